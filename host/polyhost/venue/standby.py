"""When the other client is asked (CON-19): the one policy, as a gateway around the order client's.

It posts nothing and signs nothing. A cancel that the order client fails goes out through the other one: a cancel may be
sent twice, and an order that cannot be cancelled is the worst that a broken client can do. Open orders, trades and
collateral are asked from it when the order client has failed to read them several times in a row, and by ``witness``
when what it read is not what the ledger says. The other client is imported and connected when it is first needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from loguru import logger
from msgspec import Struct, structs

from polyhost.errors import PolyhostError
from polyhost.model.builder import Builder, Credited
from polyhost.model.commands import (
    Cancel,
    CancelEverything,
    CancelMany,
    CancelMarket,
    Command,
    QueryBalance,
    Sweep,
)
from polyhost.model.events import BalanceSeen, CancelAnswered, Event, QueryFailed, SweepDone
from polyhost.model.examination import Approving, Examination
from polyhost.model.market import Market
from polyhost.model.money import money_text
from polyhost.venue.budget import Budget
from polyhost.venue.contract import ClientGateway
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.heartbeats import Beaten
from polyhost.venue.polymarket.outcomes import Answer, classify

CANCELS_FAILED: Final = 2
"""So often in a row an order's cancel fails at the order client before the other one sends it."""
READS_FAILED: Final = 3
"""So often in a row a sweep or the collateral is not read before the other one is asked."""
CANCEL_WITHIN_S: Final = 4.0
"""A cancel that is not answered by then, wall seconds, is sent by the other one at once. The first goes on."""
VENUES_OWN: Final = frozenset({"rate_limit", "restarting", "budget", "disabled"})
"""Unknown cancels that are no client's fault: the venue said so, or we kept within its limits ourselves."""


class Figure(Struct, frozen=True):
    """What one client sees; ``problem`` says why something is not known."""

    client: str
    orders: tuple[str, ...] = ()
    """Ids of the open orders."""
    trades: int = 0
    collateral: int | None = None
    problem: str = ""

    def said(self) -> str:
        money = "unknown" if self.collateral is None else money_text(self.collateral)
        return f"{self.client}: {len(self.orders)} open orders, {self.trades} trades, {money}" + (
            f" ({self.problem})" if self.problem else ""
        )


class Witnessed(Struct, frozen=True):
    """Both clients' figures, asked at the same time."""

    main: Figure
    other: Figure

    @property
    def agree(self) -> bool:
        """Both know everything, and it is the same."""
        figures = (self.main, self.other)
        whole = not any(each.problem for each in figures)
        return whole and len({(frozenset(each.orders), each.trades, each.collateral) for each in figures}) == 1

    def said(self) -> str:
        return f"{self.main.said()}; {self.other.said()}"


class Standby:
    """The order client's gateway with the other client behind it; keeps the same contract."""

    def __init__(
        self, main: ClientGateway, other: Callable[[], ClientGateway], names: tuple[str, str], *,
        within_s: float = CANCEL_WITHIN_S,
    ) -> None:
        """``other`` makes the other client's gateway, not connected; ``names`` are the two clients'."""
        self._main = main
        self._make = other
        self._names = names
        self._within_s = within_s
        self._other: ClientGateway | None = None
        self._connecting = asyncio.Lock()
        self._failed: dict[str, int] = {}
        """Order id → cancels in a row that failed at the order client."""
        self._unread: dict[type, int] = {}
        self._late: set[asyncio.Task[list[Event]]] = set()
        self.cancels = 0
        """Cancels that the other client sent."""
        self.reads = 0

    # --- the same contract --------------------------------------------------------------------------------------------

    @property
    def budget(self) -> Budget:
        return self._main.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._main.budget = budget

    @property
    def wallet(self) -> str:
        return self._main.wallet

    @property
    def credentials(self) -> Credentials:
        return self._main.credentials

    @property
    def signs_fast(self) -> bool:
        """Whether the order client signs without its library, byte for byte the same."""
        return bool(getattr(self._main, "signs_fast", False))

    async def connect(self) -> None:
        await self._main.connect()

    async def reconnect(self) -> None:
        """The other one is made anew when it is needed again: it may have been what did not work."""
        await self._main.reconnect()
        await self._let_go()

    async def close(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._main.close()
        await self._let_go()

    async def warm(self, market: Market) -> bool:
        return await self._main.warm(market)

    async def builder(self, code: str) -> Builder:
        return await self._main.builder(code)

    async def credited(self, code: str, since_s: int) -> Credited:
        return await self._main.credited(code, since_s)

    async def balance(self) -> Event:
        return await self._main.balance()

    async def examine(self, symbols: Sequence[str]) -> Examination:
        return await self._main.examine(symbols)

    async def approve(self) -> Approving:
        return await self._main.approve()

    async def heartbeat(self, shown: str) -> Beaten:
        return await self._main.heartbeat(shown)

    async def notifications(self) -> list[Mapping[str, Any]]:
        return await self._main.notifications()

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        await self._main.drop_notifications(ids)

    async def execute(self, command: Command) -> list[Event]:
        match command:
            case Cancel(order_id):
                return await self._cancel(command, (order_id,))
            case CancelMany(order_ids):
                return await self._cancel(command, order_ids)
            case CancelMarket() | CancelEverything():
                return await self._cancel(command, ())
            case Sweep() | QueryBalance():
                return await self._read(command)
        return await self._main.execute(command)

    # --- cancels ------------------------------------------------------------------------------------------------------

    async def _cancel(self, command: Command, order_ids: Sequence[str]) -> list[Event]:
        """``order_ids`` empty: a person's word for whatever is there, which nobody repeats."""
        answered, broken = await self._bounded(command, order_ids)
        lost = [event for event in answered if isinstance(event, CancelAnswered) and _clients_fault(event)]
        for event in answered:
            if isinstance(event, CancelAnswered) and event not in lost:
                self._failed.pop(event.order_id, None)
        for event in lost:
            self._failed[event.order_id] = self._failed.get(event.order_id, 0) + 1
        due = [event.order_id for event in lost if broken or self._failed[event.order_id] >= CANCELS_FAILED]
        if not lost or (order_ids and not due):
            return answered
        sent: Command = CancelMany(tuple(due)) if order_ids else command
        said = await self._by_the_other(sent, f"{self._names[0]} failed a cancel: {lost[0].text or 'no answer'}")
        if said is None:
            return answered
        self.cancels += len(due) or 1
        return self._instead(answered, said, lost)

    async def _bounded(self, command: Command, order_ids: Sequence[str]) -> tuple[list[Event], bool]:
        """The order client's answers, and whether it gave none in time or broke; a late answer is not waited for."""
        task = asyncio.create_task(self._main.execute(command))
        done, _ = await asyncio.wait({task}, timeout=self._within_s)
        reason = "silence"
        if done:
            error = task.exception()
            if error is None:
                return task.result(), False
            logger.opt(exception=error).error("the client {} broke on a cancel", self._names[0])
            reason = f"transport: {type(error).__name__}: {error}"
        else:
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return [CancelAnswered(order_id, "unknown", reason, 0) for order_id in order_ids or ("",)], True

    def _instead(self, answered: list[Event], said: list[Event], lost: list[CancelAnswered]) -> list[Event]:
        """The other client's answers take the place of those that were lost."""
        named = {event.order_id: event for event in said if isinstance(event, CancelAnswered)}
        kept = [event for event in answered if event not in lost]
        for event in lost:
            if event.order_id and event.order_id not in named:
                kept.append(event)
        for event in named.values():
            if event.outcome != "unknown":
                self._failed.pop(event.order_id, None)
            text = f"{event.text} (by {self._names[1]})".strip()
            kept.append(structs.replace(event, text=text))
        return kept

    # --- reads --------------------------------------------------------------------------------------------------------

    async def _read(self, command: Command) -> list[Event]:
        events = await self._main.execute(command)
        kind = type(command)
        failures = [event for event in events if isinstance(event, QueryFailed)]
        self._unread[kind] = self._unread.get(kind, 0) + 1 if failures else 0
        if self._unread[kind] < READS_FAILED:
            return events
        said = await self._by_the_other(command, f"{self._names[0]} reads nothing: {failures[0].reason}")
        if said is None or any(isinstance(event, QueryFailed) for event in said):
            return events
        self.reads += 1
        return said

    async def witness(self) -> Witnessed:
        """What both clients say of the key's open orders, its trades and its collateral, now."""
        main = _figure(self._names[0], await _asked(self._main))
        try:
            other = _figure(self._names[1], await _asked(await self._connected()))
        except PolyhostError as error:
            other = Figure(self._names[1], problem=str(error))
        return Witnessed(main, other)

    # --- the other ----------------------------------------------------------------------------------------------------

    async def _by_the_other(self, command: Command, why: str) -> list[Event] | None:
        """What the other client answers; None: it cannot be had, which is told."""
        try:
            other = await self._connected()
            said = await other.execute(command)
        except Exception as error:  # the standby must never make things worse than they are
            logger.error("{}; {} cannot help: {}", why, self._names[1], error)
            return None
        logger.warning("{}; asked {} instead", why, self._names[1])
        return said

    async def _connected(self) -> ClientGateway:
        async with self._connecting:
            if self._other is None:
                made = self._make()
                await made.connect()
                self._other = made
            return self._other

    async def _let_go(self) -> None:
        other, self._other = self._other, None
        if other is not None:
            await other.close()


def _clients_fault(event: CancelAnswered) -> bool:
    """Not known what became of it, and not because the venue asked us to wait."""
    code = classify("cancel", Answer(event.http, event.text)).code
    return event.outcome == "unknown" and code not in VENUES_OWN


async def _asked(gateway: ClientGateway) -> list[Event]:
    return [*await gateway.execute(Sweep("", 0)), await gateway.balance()]


def _figure(client: str, events: Sequence[Event]) -> Figure:
    found = Figure(client)
    problems = []
    for event in events:
        match event:
            case SweepDone():
                ids = tuple(row.order_id for row in event.orders)
                found = structs.replace(found, orders=ids, trades=len(event.trades))
                problems += [event.problem] if event.problem else []
            case BalanceSeen():
                found = structs.replace(found, collateral=event.collateral)
            case QueryFailed():
                problems.append(f"{event.what}: {event.reason}")
    return structs.replace(found, problem="; ".join(problems))
