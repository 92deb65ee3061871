"""Circuit breakers: what stops new exposure until an operator clears it, never an exit (ORD-16).

A trip is a durable record, so it survives a restart. Counts of the last hour are volatile: after a restart they begin
anew, what had tripped stays tripped.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from polyhost.kernel.core import Core
from polyhost.model.money import ONE, Micros, money_text
from polyhost.model.records import DayBegan, EntriesBlocked

CHECK_EVERY_MS: Final = 5_000
"""Equity is compared with the day's start this often, market ms."""
HOUR_MS: Final = 3_600_000
"""The span of the counts, market ms."""
DAY_MS: Final = 86_400_000
COUNTED_MAX: Final = 100
"""Events remembered of one kind; far more than any limit."""


class Breakers:
    """Watches losses, drawdown, emergency stops, disconnects and failing exits."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._stops: deque[int] = deque(maxlen=COUNTED_MAX)
        self._disconnects: deque[int] = deque(maxlen=COUNTED_MAX)
        self._exit_failures = 0

    # --- what happened ------------------------------------------------------------------------------------------------

    def emergency_stop(self) -> None:
        """A stop, a floor, or a close that the host itself had to force. Planned closes do not count."""
        limit = self.core.settings.breakers.emergency_stops_hour
        self._counted(self._stops, "emergency_stops", limit, "emergency stops")

    def disconnected(self, stream: str) -> None:
        """A trading stream went down unplanned."""
        limit = self.core.settings.breakers.disconnects_hour
        self._counted(self._disconnects, "disconnects", limit, f"unplanned disconnects (last: {stream})")

    def exit_failed(self, text: str) -> None:
        """The venue refused a sell for a reason that is neither "not yet" nor "nobody bids"."""
        self._exit_failures += 1
        limit = self.core.settings.breakers.exit_failures
        if self._exit_failures > limit:
            self.trip("exit_failures", f"{self._exit_failures} exits failed in a row, the last: {text}")

    def exit_worked(self) -> None:
        self._exit_failures = 0

    def late_fill(self, text: str) -> None:
        """U7: an order that was proved absent was filled after all."""
        self.trip("late_fill", text)

    def journal_damaged(self, problem: str) -> None:
        """The journal's file is not whole any more: what is written to it now may be lost."""
        self.core.notice("journal_check", "", f"The journal is damaged: {problem}")
        self.trip("journal_damage", f"the journal is damaged: {problem}")

    # --- equity -------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare the day's loss and drawdown with their limits; begin a new day at midnight UTC."""
        core = self.core
        state = core.state
        if not state.opened:
            return
        day = core.now // DAY_MS
        now_worth = equity(core)
        if state.day != day:
            core.record(DayBegan(core.now, day, now_worth))
            if state.yesterday is not None:
                core.tell("on_day", None, state.yesterday)
        limits = core.settings.breakers
        if state.day_pnl <= -int(limits.daily_loss):
            self.trip("daily_loss", f"{money_text(-state.day_pnl)} lost today")
        drop = state.day_equity - now_worth
        if drop > 0 and drop * 10_000 > state.day_equity * round(limits.drawdown * 10_000):
            self.trip("drawdown", f"equity fell by {money_text(drop)} from {money_text(state.day_equity)} today")

    def _counted(self, times: deque[int], name: str, limit: int, what: str) -> None:
        now = self.core.now
        times.append(now)
        recent = sum(now - at < HOUR_MS for at in times)
        if recent > limit:
            self.trip(name, f"{recent} {what} in an hour")

    def trip(self, name: str, reason: str) -> None:
        """Stop new exposure, durably; told once."""
        core = self.core
        if name not in core.state.blocked:
            core.record(EntriesBlocked(core.now, name, True, reason))
            core.notice(
                "breaker", name,
                f"Breaker {name}: {reason}. New entries are off until `polyhost resume --breaker {name}`; exits go on",
            )


def equity(core: Core) -> Micros:
    """Cash, what is unredeemed, and positions of undecided markets at the midpoint (at the bid without an ask)."""
    state = core.state
    total = state.balance("free") + state.balance("reserved") + state.balance("unredeemed")
    for position in state.positions.values():
        if position.size <= 0 or state.markets[position.condition_id].settled:
            continue
        data = core.data.get(position.condition_id)
        if data is None or not data.book.priced:
            total += position.cost  # no price: at cost
            continue
        bid, ask = data.book.best(position.side)
        total += position.size * ((bid + ask) // 2 if ask < ONE else bid) // ONE
    return total
