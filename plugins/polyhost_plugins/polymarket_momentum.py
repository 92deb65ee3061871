"""Market momentum: where the UP token's own midpoint has gone over recent minutes (SIG-02).

For each horizon ``h`` the change is the midpoint now less the last midpoint of the minute history at least ``h``
seconds old. A change at or beyond ``full_strength_change`` counts 1 (or -1), smaller ones in proportion; the answer is
the mean of the horizons that the history reaches, by weight.
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from polyhost import Plugin, Price, Settings, Signal, View, hookimpl, price_text

GAP_MS_MAX = 120_000
"""Each minute's last midpoint is kept, so neighbours are less than two minutes apart; more is a hole in the history."""


class PolymarketMomentumSettings(Settings):
    full_strength_change: Price = Price("0.10")
    """A change of the UP midpoint by this much has full strength (collateral a share)."""
    weight_60s: float = Field(default=0.4, ge=0)
    """Weight of the change over the last 60 seconds of market time."""
    weight_180s: float = Field(default=0.3, ge=0)
    """Weight of the change over the last 180 seconds of market time."""
    weight_300s: float = Field(default=0.3, ge=0)
    """Weight of the change over the last 300 seconds of market time."""

    @field_validator("full_strength_change")
    @classmethod
    def _above_zero(cls, value: Price) -> Price:
        if value <= 0:
            raise ValueError("must be above 0")
        return value

    @model_validator(mode="after")
    def _some_weight(self) -> PolymarketMomentumSettings:
        if not self.weight_60s + self.weight_180s + self.weight_300s > 0:
            raise ValueError("all horizon weights are 0: the signal could never answer")
        return self


class PolymarketMomentum(Plugin):
    name = "polymarket_momentum"
    description = "Change of the UP midpoint over 1, 3 and 5 minutes."
    Settings = PolymarketMomentumSettings
    settings: PolymarketMomentumSettings

    @hookimpl
    def signal(self, view: View) -> Signal | None:
        """The weighted mean of the known horizons; None with a one-sided book or too little history."""
        if not view.up.complete:
            return None
        weights = {60: self.settings.weight_60s, 180: self.settings.weight_180s, 300: self.settings.weight_300s}
        changes = {span: view.up.mid - then for span in weights if (then := mid_at(view, span)) is not None}
        total = sum(weights[span] for span in changes)
        if not total:
            return None
        score = sum(weights[span] * self._strength(change) for span, change in changes.items()) / total
        features = {f"change_{span}s": change / 10_000 for span, change in changes.items()}
        told = ", ".join(f"{span}s {change / 10_000:+.4f}" for span, change in changes.items())
        direction = (score > 0) - (score < 0)
        return Signal.of_direction(direction, abs(score), f"UP midpoint {price_text(view.up.mid)}: {told}", features)

    def _strength(self, change: int) -> float:
        return min(max(change / self.settings.full_strength_change, -1.0), 1.0)


def mid_at(view: View, span_s: int) -> int | None:
    """The UP midpoint (ticks) that stood ``span_s`` seconds ago; None when the history does not reach there."""
    moment = view.now - span_s * 1_000
    for stamp, mid in reversed(view.mids):
        if stamp <= moment:
            return mid if stamp > moment - GAP_MS_MAX else None
    return None
