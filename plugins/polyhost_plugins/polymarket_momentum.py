"""Market momentum: where the UP token's own midpoint has gone over recent minutes (SIG-02).

For each horizon ``h`` the change is the midpoint now less the last midpoint of the minute history at least ``h``
seconds old. A change at or beyond ``full_strength_change`` counts 1 (or -1), smaller ones in proportion; the answer is
the mean of the horizons that the history reaches, by weight.
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from polyhost import ONE, Abstain, Plugin, Price, Settings, Signal, View, hookimpl, price_text

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

    def __init__(self, settings: PolymarketMomentumSettings) -> None:
        super().__init__(settings)
        self._weights = ((60, settings.weight_60s), (180, settings.weight_180s), (300, settings.weight_300s))
        self._full_strength_change = int(settings.full_strength_change)

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """The weighted mean of the known horizons; abstains with a one-sided book or too little history."""
        up = view.up
        if not up.complete:
            return Abstain("no complete quote")
        mid = up.mid
        total = score = 0.0
        features: dict[str, float] = {}
        told = []
        for span, weight in self._weights:
            then = mid_at(view, span)
            if then is None:
                continue
            change = mid - then
            total += weight
            score += weight * min(max(change / self._full_strength_change, -1.0), 1.0)
            features[f"change_{span}s"] = change / ONE
            told.append(f"{span}s {change / ONE:+.4f}")
        if not total:
            return Abstain("no earlier midpoint that counts")
        score /= total
        direction = (score > 0) - (score < 0)
        reason = f"UP midpoint {price_text(mid)}: {', '.join(told)}"
        return Signal.of_direction(direction, abs(score), reason, features)


def mid_at(view: View, span_s: int) -> int | None:
    """The UP midpoint (ticks) that stood ``span_s`` seconds ago; None when the history does not reach there."""
    moment = view.now - span_s * 1_000
    for stamp, mid in reversed(view.mids):
        if stamp <= moment:
            return mid if stamp > moment - GAP_MS_MAX else None
    return None
