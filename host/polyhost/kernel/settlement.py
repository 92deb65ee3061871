"""The end of a market: the venue's result, what the shares pay, and the close of every position in it."""

from __future__ import annotations

from typing import Final

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.exits import close_record
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.model.commands import QueryResult
from polyhost.model.events import MarketResolved
from polyhost.model.money import Micros, money_text, size_text
from polyhost.model.openings import Key, ended_by
from polyhost.model.records import CloseRecorded, MarketChanged, MarketSettled, ObligationMet
from polyhost.model.words import Side

RESULT_STEPS_MS: Final = (30_000, 30_000, 60_000, 120_000, 300_000, 600_000)
"""After its end a market's result is asked for after these, market ms, then after the last one for ever (POS-05)."""
NO_PRICE_CYCLES: Final = 3
"""A market that we have something in is asked for first after so many cycles without a price (POS-05)."""
UNRESOLVED_MS: Final = 1_800_000
"""A market with a position that is not decided this long after its end is told, market ms."""


class Settlement:
    """Books the venue's own result; never infers one from a book. Asks for it until there is one."""

    def __init__(self, core: Core, flow: OrderFlow) -> None:
        self.core = core
        self.flow = flow
        self._asked: dict[str, int] = {}
        """Condition id → how often its result was asked for in this run."""

    def ended(self, condition_id: str) -> None:
        """A market's end has come: no more orders, and soon its result is asked for."""
        core = self.core
        entry = core.market(condition_id)
        if entry is None or entry.settled:
            return
        if entry.accepting:
            core.record(MarketChanged(core.now, condition_id, accepting=False, cause="end"))
        for side in Side:
            self._unmanaged(condition_id, side)
        soon = NO_PRICE_CYCLES * core.settings.evaluation.cadence_ms
        wait = min(soon, RESULT_STEPS_MS[0]) if self._held(condition_id) else RESULT_STEPS_MS[0]
        core.at_market(core.now + wait, "result", condition_id)

    def _unmanaged(self, condition_id: str, side: Side) -> None:
        """Neither sold nor declared held when the window ended (W): it cannot happen unseen."""
        position = self.core.state.position(condition_id, side)
        if position is None or position.loose <= 0 or position.held:
            return
        data = self.core.data.get(condition_id)
        plan = None if data is None else data.exits.get(side)
        waiting = "" if plan is None else plan.waiting
        self.core.notice(
            "unmanaged", f"{condition_id}:{side.value}",
            f"The window ended with {size_text(position.loose)} {side.value} neither sold nor declared held"
            + (f" ({waiting})" if waiting else ""), condition_id,
        )

    def ask(self, condition_id: str) -> None:
        """Ask for the result, and again with growing pauses for as long as there is none."""
        core = self.core
        entry = core.market(condition_id)
        if entry is None or entry.settled:
            self._asked.pop(condition_id, None)
            return
        times = self._asked.get(condition_id, 0)
        self._asked[condition_id] = times + 1
        core.command(QueryResult(condition_id, entry.market.slug))
        core.at_market(core.now + RESULT_STEPS_MS[min(times, len(RESULT_STEPS_MS) - 1)], "result", condition_id)
        late_ms = core.now - entry.market.end
        if late_ms >= UNRESOLVED_MS and self._held(condition_id):
            core.notice(
                "unresolved", condition_id,
                f"No result {late_ms // 60_000} minutes after its end: it is asked for every "
                f"{RESULT_STEPS_MS[-1] // 60_000} minutes until there is one", condition_id,
            )

    def _held(self, condition_id: str) -> bool:
        """Do we have something in it?"""
        positions = (self.core.state.position(condition_id, side) for side in Side)
        return any(position is not None and position.size > 0 for position in positions)

    def final_price(self, source: Key, price: int) -> None:
        """What a settlement source says of a minute's end, 1e-8: it is the final price of the markets that end by it.

        The first word stands. The result itself is the venue's alone.
        """
        core = self.core
        for condition_id, data in core.data.items():
            if data.final is None and ended_by(core.state.markets[condition_id].market) == source:
                data.final = price

    def _final(self, event: MarketResolved) -> int | None:
        """The price it ended by: as the result tells it, else as the settlement feed did; None: nobody told."""
        data = self.core.data.get(event.condition_id)
        return event.final if event.final is not None or data is None else data.final

    def resolved(self, event: MarketResolved) -> bool:
        """Book the result once; True when it was new."""
        core = self.core
        entry = core.state.markets.get(event.condition_id)
        if entry is None or entry.settled:
            return False
        self.flow.market_settled(event.condition_id)
        record = MarketSettled(core.now, event.condition_id, event.winner, self._final(event), event.source)
        core.record(record)
        closes = tuple(
            close for side in (Side.UP, Side.DOWN) if (close := self.pay(event.condition_id, side)) is not None
        )
        core.tell("on_settlement", event.condition_id, (record, closes))
        if entry.entries:
            winner = "50-50" if event.winner is None else event.winner.value
            pays = core.state.unredeemed.get(event.condition_id, 0)
            redeemable = f", {money_text(pays)} to be redeemed" if pays else ""
            # The whole window's: sides that were closed before the end count too.
            pnl = -core.state.balance(f"market:{event.condition_id}") - core.state.balance(f"fees:{event.condition_id}")
            core.notice(
                "settled", event.condition_id,
                f"{entry.market.slug} settled {winner}: P&L {money_text(pnl)}{redeemable}", event.condition_id,
            )
        return True

    def pay(self, condition_id: str, side: Side) -> CloseRecorded | None:
        """Turn the shares of one side into what they pay; also for a fill that arrives after the result."""
        core = self.core
        entry = core.state.markets[condition_id]
        position = core.state.position(condition_id, side)
        asset = f"{condition_id}:{side.value}"
        if position is None:
            return None
        settled, in_flight = core.state.balance("settled", asset), core.state.balance("in_flight", asset)
        shares = settled + in_flight
        paid = payout(position.size - shares, side, entry.winner)
        total = payout(position.size, side, entry.winner)
        if shares:
            core.record(ledger.payout(core.now, condition_id, asset, settled, in_flight, total - paid))
        if asset in core.state.obligations:
            core.record(ObligationMet(core.now, condition_id, side, "settled"))
        if position.closed and not shares:
            return None
        data = core.data.get(condition_id)
        plan = None if data is None else data.exits.get(side)
        close = close_record(
            core, position, f"settled ({position.held})" if position.held else "settled",
            forced=plan is not None and plan.forced, sell_failed=plan is not None and plan.sell_failed, payout=total,
            shares=position.size,
        )
        core.record(close)
        return close


def payout(shares: Micros, side: Side, winner: Side | None) -> Micros:
    """1.00 a winning share, nothing a losing one, a half each (rounded down) when the result is 50-50."""
    if winner is None:
        return shares // 2
    return shares if winner is side else 0
