"""The expiry guard: near the end of a window nothing stays open by accident (EXI-05).

Winners are declared held to settlement, everything else is sold at market. The answer is repeated at every evaluation
until the position is gone, held, or the window over. The host keeps the same obligation itself when this plugin is off.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, field_validator

from polyhost import (
    Contradiction,
    ExitNow,
    HoldToSettlement,
    Plugin,
    PositionView,
    Price,
    Quote,
    Settings,
    Setup,
    View,
    hookimpl,
    price_text,
)


class ExpiryGuardSettings(Settings):
    close_before_expiry_s: float = Field(default=120.0, gt=2)
    """Acts from this many seconds before the end (15-minute windows; scaled to shorter ones)."""
    hold_above: Price = Price("0.90")
    """A position whose midpoint is at or above this price is held to settlement (collateral a share); 1 holds none."""
    age_max_s: float = Field(default=0.0, ge=0)
    """A position this old is closed, whatever it is worth (seconds; 15-minute windows; scaled); 0: at no age."""

    @field_validator("hold_above")
    @classmethod
    def _above_zero(cls, value: Price) -> Price:
        if value <= 0:
            raise ValueError("must be above 0: nothing would ever be closed")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """The guard acts before the host does, there is time to hold something, and an age comes before the end."""
        guard_s, close_s, age_s = self.close_before_expiry_s, setup.close_before_expiry_s, self.age_max_s
        if guard_s < close_s:
            problem = f"the host itself acts {close_s:g} s before the end (safety.close_before_expiry_s)"
            yield Contradiction(
                "close_before_expiry_s", f"{problem}: the guard could never fire", f"at least {close_s:g}"
            )
        yield from setup.too_long(
            "close_before_expiry_s", guard_s, f"leaves no time to hold anything in a {setup.window} window"
        )
        if age_s and setup.scaled_s(setup.first_entry_s + age_s + guard_s) >= setup.duration_s:
            problem = f"no position gets so old in a {setup.window} window before it is closed anyway"
            most_s = setup.longest_s - setup.first_entry_s - guard_s
            yield Contradiction("age_max_s", problem, f"below {most_s:g}, or 0")
        for name, plan in setup.settings_of("exit_plan"):
            if 0 < age_s <= plan.age_min_s:
                problem = f"{name} rests a sell from an age of {plan.age_min_s:g} s: it could never rest"
                yield Contradiction("age_max_s", problem, f"above {plan.age_min_s:g}, or 0")


class ExpiryGuard(Plugin):
    name = "expiry_guard"
    description = "Two minutes before the end a position is closed, or knowingly held when it is clearly ahead."
    Settings = ExpiryGuardSettings
    settings: ExpiryGuardSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitNow | HoldToSettlement | None:
        """None before the time, after the end, and for what is already held."""
        guard_s = view.scaled_s(self.settings.close_before_expiry_s)
        if position.held or view.time_left_s <= 0:
            return None
        if view.time_left_s > guard_s:
            return self._too_old(view, position)
        worth = worth_of(view.side(position.side))
        told = f"{view.time_left_s:.0f} s left, {position.side} at {price_text(worth)}"
        if worth >= self.settings.hold_above:
            return HoldToSettlement(position.side, f"{told}, held from {self.settings.hold_above}")
        return ExitNow(position.side, f"{told}, below {self.settings.hold_above}", urgency="forced_close")


    def _too_old(self, view: View, position: PositionView) -> ExitNow | None:
        """EXI-08: the optional limit of a position's age."""
        age_s, age_max_s = (view.now - position.opened_at) / 1_000, view.scaled_s(self.settings.age_max_s)
        if not age_max_s or age_s < age_max_s:
            return None
        return ExitNow(position.side, f"{age_s:.0f} s old, at most {age_max_s:g} s", urgency="forced_close")


def worth_of(quote: Quote) -> int:
    """The midpoint in ticks; of a one-sided book the bid, since only a bid shows that somebody pays."""
    return quote.mid if quote.complete else quote.bid
