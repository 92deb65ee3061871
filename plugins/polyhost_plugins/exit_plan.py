"""The exit plan: a resting sell of the whole position once it is old enough (EXI-01).

The same answer at every evaluation is no change; after a fill, a scale-in or a failed placement the host makes the
resting order fit the target again.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from polyhost import (
    ONE,
    Contradiction,
    ExitTarget,
    InnerPrice,
    Plugin,
    PositionView,
    Settings,
    Setup,
    View,
    hookimpl,
    price_text,
)


class ExitPlanSettings(Settings):
    price: InnerPrice = InnerPrice("0.99")
    """Where the sell rests (collateral a share); moved to the next higher legal price of the market's tick."""
    age_min_s: float = Field(default=60.0, ge=0)
    """A position rests no sell before this age in seconds (15-minute windows; scaled to shorter ones)."""

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """A position must get old enough before it is closed."""
        if setup.scaled_s(setup.first_entry_s + self.age_min_s + setup.close_before_expiry_s) >= setup.duration_s:
            first_s, close_s = setup.first_entry_s, setup.close_before_expiry_s
            yield Contradiction(
                "age_min_s",
                f"an entry after {setup.scaled_s(first_s):g} s would not be old enough before it is closed "
                f"{setup.scaled_s(close_s):g} s before the end of a {setup.window} window: the exit could never rest",
                f"below {setup.longest_s - first_s - close_s:g}",
            )


class ExitPlan(Plugin):
    name = "exit_plan"
    description = "A resting sell near 1.00 once a position is a minute old."
    Settings = ExitPlanSettings
    settings: ExitPlanSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitTarget | None:
        """The target, pending with age and threshold while the position is too young; None when knowingly held."""
        if position.held:
            return None
        age_s, age_min_s = (view.now - position.opened_at) / 1_000, view.scaled_s(self.settings.age_min_s)
        self.metrics["last_age_s"], self.metrics["last_age_min_s"] = age_s, age_min_s
        price = legal_sell(self.settings.price, view.market.tick)
        if age_s < age_min_s:
            told = f"{age_s:.0f} s old, rests at {price_text(price)} from {age_min_s:g} s"
            return ExitTarget(position.side, price, told, not_before=position.opened_at + round(age_min_s * 1_000))
        told = f"rests at {price_text(price)} from an age of {age_min_s:g} s"
        # What moves it nearer to the market (reward_optimizer) may not sell below what it cost.
        return ExitTarget(position.side, price, told, least=legal_sell(position.average_price, view.market.tick))


def legal_sell(price: int, tick: int) -> int:
    """The nearest legal price that does not sell cheaper, at most one tick below 1.00."""
    return min(-(-price // tick) * tick, ONE - tick)
