"""One notice a day (UTC) with what it brought (NOT-01)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Literal

from polyhost import DayFigures, Notice, Plugin, Settings, hookimpl

MICRO = 1_000_000
TOLD = "day"
"""Key of the state: the last day that was told."""


class DailySummarySettings(Settings):
    level: Literal["info", "warning", "critical"] = "info"
    """Level of the notice: channels have least levels."""
    empty_days: bool = True
    """Days without any window, entry or refusal are told, too: a sign of life."""


class DailySummary(Plugin):
    name = "daily_summary"
    description = "Once a day what it brought: windows, entries, exits, P&L, fees, rewards, refusals, breakers."
    Settings = DailySummarySettings
    settings: DailySummarySettings

    @hookimpl
    def on_day(self, day: DayFigures) -> Iterable[Notice]:
        """Tell a day once, however often the host says that it is over."""
        if day.day <= self.state.get(TOLD, -1):
            return []
        # The notice and this note become durable together.
        self.state[TOLD] = day.day
        if not (self.settings.empty_days or day.windows or day.entries or day.exits or day.rejects):
            return []
        return [Notice(text_of(day), self.settings.level, "summary")]


def text_of(day: DayFigures) -> str:
    """The day in a sentence."""
    named = date(1970, 1, 1) + timedelta(days=day.day)
    pnl, fees, rewards = (f"{amount / MICRO:.2f}" for amount in (day.pnl, day.fees, day.rewards))
    breakers = ", ".join(day.breakers) or "none"
    builder = f" ({day.builder_fees / MICRO:.2f} of them for the builder code)" if day.builder_fees else ""
    return (
        f"{named}: P&L {pnl} after {fees} of fees{builder}, rewards {rewards}; {day.windows} windows, "
        f"{day.entries} entries, {day.exits} exits, {day.rejects} orders refused; breakers: {breakers}"
    )
