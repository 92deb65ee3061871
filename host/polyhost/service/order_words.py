"""The words about orders on the control socket: list ours beside what the venue says, and cancel one or all (OPS-08).

The journal says what is ours and why; the venue is asked at that moment, through the gateway. What it lists and the
journal does not know is foreign (a person's), is shown apart, and is cancelled by nothing but ``kill --all``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from polyhost.kernel.state import OrderEntry, State
from polyhost.model.commands import Command, Sweep
from polyhost.model.events import Event, Operator, QueryFailed, SweepDone
from polyhost.model.gateway import OrderRow
from polyhost.model.money import price_text, size_text
from polyhost.service.control import Word
from polyhost.service.control_client import RefusedError, Request
from polyhost.service.control_words import arguments
from polyhost.service.status import open_orders

LOOK_BACK_S: Final = 60
"""Trades are asked for too (one request gives both), since so long ago: nothing here needs older ones."""
ALL: Final = "all"


class OrderWords:
    """``orders`` and ``cancel`` of one account."""

    def __init__(
        self,
        state: Callable[[], State],
        now: Callable[[], int],
        execute: Callable[[Command], Awaitable[list[Event]]],
        said: Callable[[Operator], Awaitable[dict[str, Any]]],
    ) -> None:
        """``now`` is market ms; ``execute`` asks the venue; ``said`` has the kernel take an operator's word."""
        self._state = state
        self._now = now
        self._execute = execute
        self._said = said

    def table(self) -> dict[str, Word]:
        """Word → what does it."""
        return {"orders": self._orders, "cancel": self._cancel}

    async def _orders(self, request: Request) -> dict[str, Any]:
        arguments(request)
        listed = await self._listed()
        state = self._state()
        return {
            "orders": [order_line(state, order, self._now(), listed) for order in open_orders(state)],
            "foreign": [foreign_line(state, row) for row in listed.rows.values() if foreign(state, row)],
            "venue": {"asked": True, "complete": not listed.problem, "problem": listed.problem or None},
        }

    async def _listed(self) -> Listed:
        for event in await self._execute(Sweep("", max(self._now() // 1_000 - LOOK_BACK_S, 0))):
            match event:
                case SweepDone():
                    return Listed({row.order_id: row for row in event.orders}, event.problem)
                case QueryFailed():
                    return Listed({}, event.reason)
        return Listed({}, "the gateway did not answer")

    async def _cancel(self, request: Request) -> dict[str, Any]:
        wanted = arguments(request, order=str).get("order", "")
        if not wanted:
            raise RefusedError("name an order, or all", 2)
        state = self._state()
        meant = open_orders(state) if wanted == ALL else [_named(state, wanted)]
        before = {order.ref: order.state.value for order in meant}
        taken = await self._said(Operator("cancel", wanted, request.who, False, request.why))
        return taken | {
            "orders": [
                {"order": ref, "order_id": self._state().orders[ref].order_id or None, "was": was,
                 "state": self._state().orders[ref].state.value}
                for ref, was in before.items()
            ]
        }


class Listed:
    """The open orders that the venue shows, by id; ``problem`` says what of them is missing."""

    __slots__ = ("problem", "rows")

    def __init__(self, rows: dict[str, OrderRow], problem: str = "") -> None:
        self.rows = rows
        self.problem = problem


def _named(state: State, wanted: str) -> OrderEntry:
    found = state.orders.get(wanted) or state.by_order_id(wanted)
    if found is None:
        raise RefusedError(
            f"{wanted!r} is no order of ours: `polyhost orders` lists them; a person's order is cancelled where it was "
            "made, or by `polyhost kill --all`", 1,
        )
    return found


def foreign(state: State, row: OrderRow) -> bool:
    """Not in our journal: somebody's else."""
    return state.by_order_id(row.order_id) is None


def order_line(state: State, order: OrderEntry, now: int, listed: Listed | None) -> dict[str, Any]:
    """One open order of ours; ``venue`` is null when nobody asked."""
    draft, slot = order.draft, order.slot
    row = None if listed is None else listed.rows.get(order.order_id)
    return {
        "order": order.ref, "order_id": order.order_id or None,
        "slug": state.markets[slot.condition_id].market.slug, "side": slot.side.value, "purpose": slot.purpose.value,
        "slot": slot.key or None, "state": order.state.value, "action": draft.action.value,
        "type": draft.order_type.value, "price": price_text(draft.price), "size": size_text(draft.size),
        "matched": size_text(order.done), "age_s": max(now - order.placed_at, 0) // 1_000,
        "why": order.why.get("plugin") or "host",
        "venue": None if listed is None else {
            "listed": row is not None,
            "status": None if row is None else row.status,
            "matched": None if row is None or row.size_matched is None else size_text(row.size_matched),
        },
    }


def foreign_line(state: State, row: OrderRow) -> dict[str, Any]:
    """One order at the venue that is not ours."""
    market = state.markets.get(row.condition_id)
    return {
        "order_id": row.order_id, "condition_id": row.condition_id,
        "slug": None if market is None else market.market.slug, "action": row.action.value,
        "price": price_text(row.price), "size": size_text(row.original_size),
        "matched": None if row.size_matched is None else size_text(row.size_matched), "status": row.status,
    }
