"""The expiry guard: near the end of a window nothing stays open by accident (EXI-05).

Winners are declared held to settlement, everything else is sold at market. The answer is repeated at every evaluation
until the position is gone, held, or the window over. The host keeps the same obligation itself when this plugin is off.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from polyhost import ExitNow, HoldToSettlement, Plugin, PositionView, Price, Quote, Settings, View, hookimpl, price_text


class ExpiryGuardSettings(Settings):
    close_before_expiry_s: float = Field(default=120.0, gt=2)
    """Acts from this many seconds before the end (15-minute windows; scaled to shorter ones)."""
    hold_above: Price = Price("0.90")
    """A position whose midpoint is at or above this price is held to settlement (collateral a share); 1 holds none."""

    @field_validator("hold_above")
    @classmethod
    def _above_zero(cls, value: Price) -> Price:
        if value <= 0:
            raise ValueError("must be above 0: nothing would ever be closed")
        return value


class ExpiryGuard(Plugin):
    name = "expiry_guard"
    description = "Two minutes before the end a position is closed, or knowingly held when it is clearly ahead."
    Settings = ExpiryGuardSettings
    settings: ExpiryGuardSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitNow | HoldToSettlement | None:
        """None before the time, after the end, and for what is already held."""
        guard_s = view.scaled_s(self.settings.close_before_expiry_s)
        if position.held or not 0 < view.time_left_s <= guard_s:
            return None
        worth = worth_of(view.side(position.side))
        told = f"{view.time_left_s:.0f} s left, {position.side} at {price_text(worth)}"
        if worth >= self.settings.hold_above:
            return HoldToSettlement(position.side, f"{told}, held from {self.settings.hold_above}")
        return ExitNow(position.side, f"{told}, below {self.settings.hold_above}", urgency="forced_close")


def worth_of(quote: Quote) -> int:
    """The midpoint in ticks; of a one-sided book the bid, since only a bid shows that somebody pays."""
    return quote.mid if quote.complete else quote.bid
