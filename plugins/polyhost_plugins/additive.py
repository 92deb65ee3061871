"""The additive combiner: a weighted sum of signals, squeezed into a probability (SIG-07, SIG-10).

1. A signal's signed strength (``Signal.strength``) is ``± sqrt(abs(2 p_up - 1) * weight)``: how far from even it is,
   tempered by how much its plugin trusts it.
2. ``sum`` = the mean of the strengths by the configured weights of the signals that answered.
3. Signals against the sum's direction count ``opposing_scale`` of themselves.
4. ``score = sum * multiplier``, times ``agreement`` when spot and market trend point the same way, times
   ``divergence`` when they point opposite ways.
5. ``p_up = 1 / (1 + exp(-score))`` and ``confidence = abs(2 p_up - 1)``.

With the defaults the confidence never passes 0.72, since nothing in here knows more than momentum does.
"""

from __future__ import annotations

from math import exp

from pydantic import Field, field_validator

from polyhost import Abstain, Estimate, Plugin, Settings, Signal, View, hookimpl

WEIGHTS = {
    "binance_momentum": 0.35,
    "polymarket_momentum": 0.20,
    "indicators": 0.15,
    "order_flow": 0.15,
    "divergence": 0.15,
    "sentiment": 0.05,
}
SCORE_MAX = 20.0
"""Beyond it a double's probability is 0 or 1, which no estimate may be."""


class AdditiveSettings(Settings):
    weights: dict[str, float] = Field(default_factory=lambda: dict(WEIGHTS))
    """Weight of each signal by plugin name, 0 or more, renormalised over those that answer. Names given replace or add
    to the shipped ones; a signal without a weight is ignored."""
    multiplier: float = Field(default=1.5, gt=0)
    """The weighted mean is multiplied by this before it becomes a probability."""
    opposing_scale: float = Field(default=0.1, ge=0, le=1)
    """Signals against the majority count this fraction of themselves."""
    agreement: float = Field(default=1.2, gt=0)
    """Factor when the spot trend and the market trend point the same way."""
    divergence: float = Field(default=0.8, gt=0)
    """Factor when the spot trend and the market trend point opposite ways."""
    spot_trend: str = "binance_momentum"
    """Plugin whose signal is the spot trend."""
    market_trend: str = "polymarket_momentum"
    """Plugin whose signal is the market trend."""
    trend_strength_min: float = Field(default=0.05, ge=0, lt=1)
    """A trend weaker than this strength (0 to 1) neither agrees nor diverges."""
    bias_confidence_min: float = Field(default=0.05, ge=0, lt=1)
    """Below this confidence the bias is NONE."""

    @field_validator("weights", mode="before")
    @classmethod
    def _over_the_shipped(cls, value: object) -> object:
        return WEIGHTS | value if isinstance(value, dict) else value

    @field_validator("weights")
    @classmethod
    def _weights_make_sense(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"weight of {name} is {weight}, not a number of 0 or more")
        if not sum(value.values()) > 0:
            raise ValueError("all weights are 0: the combiner could never answer")
        return value


class Additive(Plugin):
    name = "additive"
    description = "Weighted sum of signals, as a probability with a confidence."
    Settings = AdditiveSettings
    settings: AdditiveSettings

    def __init__(self, settings: AdditiveSettings) -> None:
        super().__init__(settings)
        self._weights = {name: weight for name, weight in settings.weights.items() if weight > 0}
        self._opposing_scale = settings.opposing_scale
        self._trend_strength_min = max(settings.trend_strength_min, 1e-9)

    @hookimpl
    def combine(self, view: View, signals: tuple[tuple[str, Signal], ...]) -> Estimate | Abstain:
        """One estimate; abstains when no signal with a weight answered."""
        weights = self._weights
        strengths = {name: signal.strength for name, signal in signals if name in weights}
        if not strengths:
            return Abstain("no signal with a weight answered")
        total = sum([weights[name] for name in strengths])
        plain = {name: weights[name] / total * strength for name, strength in strengths.items()}
        majority = sum(plain.values())
        scale = self._opposing_scale
        parts = {name: part * scale if part * majority < 0 else part for name, part in plain.items()}
        factor, relation = self._relation(strengths)
        return self._estimate(sum(parts.values()) * self.settings.multiplier * factor, parts, relation)

    def _relation(self, strengths: dict[str, float]) -> tuple[float, str]:
        """How spot and market trend stand to each other: the factor and the word for it."""
        settings = self.settings
        spot = strengths.get(settings.spot_trend, 0.0)
        market = strengths.get(settings.market_trend, 0.0)
        if min(abs(spot), abs(market)) < self._trend_strength_min:
            return 1.0, "no second trend"
        if spot * market > 0:
            return settings.agreement, "trends agree"
        return settings.divergence, "trends diverge"

    def _estimate(self, score: float, parts: dict[str, float], relation: str) -> Estimate:
        bounded = min(max(score, -SCORE_MAX), SCORE_MAX)
        told = ", ".join([f"{name} {part:+.3f}" for name, part in parts.items()])
        reason = f"score {score:+.3f} ({relation}; {told})"
        return Estimate.of_probability(1 / (1 + exp(-bounded)), reason, parts, self.settings.bias_confidence_min)
