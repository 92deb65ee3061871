"""The judge of new exposure: nothing may stop it, the funds are there, the limits hold, its market takes orders."""

from __future__ import annotations

from typing import Final

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import State
from polyhost.kernel.views import SIDES
from polyhost.lab.sim_finding import Broken, must
from polyhost.lab.sim_heard import Heard
from polyhost.model.money import Micros
from polyhost.model.records import ActionIntended, OrderIntended, PairOpened, Record
from polyhost.model.words import Action, ActionKind, Purpose

LAST_ORDER_MS: Final = 2_000
"""T9: nothing is placed so close to the end, market ms."""


class EntryJudge:
    """Looks at each record that wants new exposure, just before it becomes true."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def judge(self, record: Record, before: State, kernel: Kernel, now: int) -> None:
        """``before``: the durable state without the record. Raises Broken."""
        match record:
            case OrderIntended():
                self._order(record, before, kernel, now)
            case PairOpened():
                self._allowed(record.condition_id, Purpose.LEG, before, kernel, now, record.ref)
                self._paid(record.condition_id, record.reserve, before, record.ref)
            case ActionIntended(kind=ActionKind.SPLIT):
                self._allowed(record.condition_id, Purpose.QUOTE, before, kernel, now, record.ref)
                self._paid(record.condition_id, record.size, before, record.ref)
            case _:
                pass

    def _order(self, record: OrderIntended, before: State, kernel: Kernel, now: int) -> None:
        slot, ref = record.slot, record.draft.ref
        end = before.markets[slot.condition_id].market.end
        if now > end - LAST_ORDER_MS:
            raise Broken("nothing_placed_at_the_end", f"{record} {end - now} ms before it", ref)
        self._allowed(slot.condition_id, slot.purpose, before, kernel, now, ref)
        if record.draft.action is Action.BUY and slot.purpose is not Purpose.LEG:
            self._paid(slot.condition_id, record.reserve, before, ref)  # a leg's funds are reserved by its pair

    def _allowed(
        self, condition_id: str, purpose: Purpose, before: State, kernel: Kernel, now: int, ref: str
    ) -> None:
        """ORD-23, by the facts of this life and the durable state."""
        stops = self.heard.stops(purpose, before, now)
        must(not stops, "entries_only_while_allowed", f"{purpose.value} {ref} although: {stops}", ref)
        entry, data = before.markets[condition_id], kernel.data(condition_id)
        adds = purpose not in (Purpose.EXIT, Purpose.EMERGENCY)
        if not adds:
            return
        market, book = entry.market, None if data is None else data.book
        opened = entry.accepting and not entry.settled and (market.start is None or now >= market.start)
        must(opened, "entries_only_while_allowed", f"{purpose.value} {ref} in a market that takes none", ref)
        fresh = book is not None and book.ready and not book.crossed
        fresh = fresh and book is not None and now - book.changed_at <= self.heard.settings.safety.book_age_ms_max
        must(fresh, "entries_only_while_allowed", f"{purpose.value} {ref} although: stale_book", ref)

    def _paid(self, condition_id: str, reserve: Micros, before: State, ref: str) -> None:
        """ORD-03: there is so much; and the limits hold with it."""
        room = self.heard.available(before)
        must(reserve <= room, "funds_suffice", f"{ref} reserves {reserve} of {room}", ref)
        limits, market = self.heard.settings.limits, before.markets[condition_id].market
        window = symbol = total = reserve
        for other in before.exposed:
            risk = _at_risk(before, other)
            total += risk
            window += risk if other == condition_id else 0
            symbol += risk if market.symbol and before.markets[other].market.symbol == market.symbol else 0
        for name, sum_, most in (
            ("window", window, limits.window), ("symbol", symbol, limits.symbol), ("total", total, limits.total),
        ):
            must(sum_ <= int(most), "limits_hold", f"{ref} makes {sum_} of at most {most} a {name}", ref)


def _at_risk(state: State, condition_id: str) -> Micros:
    """Collateral at risk in a market: reserved there, and paid for what is held."""
    risk = sum(order.reserve for order in state.open_orders(condition_id))
    pair, action = state.open_pair(condition_id), state.open_action(condition_id)
    risk += 0 if pair is None else pair.reserve
    risk += 0 if action is None else action.reserve
    for side in SIDES:
        position = state.position(condition_id, side)
        if position is not None and position.size > 0:
            risk += position.cost
    return risk
