"""Sentiment: how crowded the futures are, and how afraid or greedy the market says it is, against the crowd (SIG-06).

Two readings of optional feeds (``binance_futures``, ``fear_greed``), each a lean in [-1, 1], above 0 for up:

- funding: ``-(rate - funding_usual) / funding_full``, cut at 1. The usual rate is what longs pay shorts when nobody
  leans; above it longs are crowded and pay for it, below it shorts are. A rate nearer to the usual one than
  ``funding_off_min`` is ordinary and says nothing.
- Fear & Greed: ``(50 - index) / 50`` at or below ``fear_max`` and at or above ``greed_min``; between them nothing.

The answer is their mean by weight over those that are known, times ``strength_max``: a small voice, by design.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from polyhost import Abstain, Plugin, Reading, Settings, Signal, View, hookimpl

INDEX_MIDDLE = 50.0


class SentimentSettings(Settings):
    funding_usual: float = Field(default=0.0001, ge=-0.01, le=0.01)
    """The funding rate of eight hours when nobody leans (0.0001 is 0.01 %)."""
    funding_off_min: float = Field(default=0.0002, ge=0, le=0.01)
    """A rate less than this away from the usual one says nothing (a fraction of the position)."""
    funding_full: float = Field(default=0.001, gt=0, le=0.01)
    """A rate this far away from the usual one has full strength."""
    fear_max: float = Field(default=25.0, ge=0, le=50)
    """At or below this index (0 to 100) the market is afraid."""
    greed_min: float = Field(default=75.0, ge=50, le=100)
    """At or above this index (0 to 100) the market is greedy."""
    weight_funding: float = Field(default=0.6, ge=0)
    """Weight of the funding rate."""
    weight_fear_greed: float = Field(default=0.4, ge=0)
    """Weight of the Fear & Greed Index."""
    strength_max: float = Field(default=0.3, gt=0, le=1)
    """Strength of the signal when all that is known leans fully one way."""
    funding_age_s_max: float = Field(default=600.0, gt=0)
    """An older funding rate is not used, market seconds."""
    fear_greed_age_s_max: float = Field(default=172_800.0, gt=0)
    """An older index is not used, market seconds: it is for a whole day, and told after that day has begun."""

    @model_validator(mode="after")
    def _some_weight(self) -> SentimentSettings:
        if not self.weight_funding + self.weight_fear_greed > 0:
            raise ValueError("both weights are 0: the signal could never answer")
        return self


class Sentiment(Plugin):
    name = "sentiment"
    description = "Funding rate and Fear & Greed Index, against the crowd; needs their feeds."
    Settings = SentimentSettings
    settings: SentimentSettings

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """A small lean against the crowd; abstains when nothing is known or all of it is ordinary."""
        rule = self.settings
        funding = view.reading(f"funding.{view.market.symbol}", round(rule.funding_age_s_max * 1_000))
        index = view.reading("fear_greed", round(rule.fear_greed_age_s_max * 1_000))
        known = []
        features: dict[str, float] = {}
        if funding is not None and rule.weight_funding:
            known.append((rule.weight_funding, self._of_funding(funding.value)))
            features |= _told("funding", funding, view)
        if index is not None and rule.weight_fear_greed:
            known.append((rule.weight_fear_greed, self._of_index(index.value)))
            features |= _told("fear_greed", index, view)
        if not known:
            return Abstain("no funding rate and no Fear & Greed Index that is fresh enough")
        score = sum(weight * lean for weight, lean in known) / sum(weight for weight, _ in known)
        told = ", ".join(f"{name} {value:g}" for name, value in features.items() if not name.endswith("_age_s"))
        if score == 0:
            return Abstain(f"{told}: ordinary")
        return Signal.of_direction(1 if score > 0 else -1, abs(score) * rule.strength_max, told, features)

    def _of_funding(self, rate: float) -> float:
        off = rate - self.settings.funding_usual
        # Rates are written to 1e-8; a float's last digit decides nothing.
        if round(abs(off), 9) < self.settings.funding_off_min:
            return 0.0
        return -min(max(off / self.settings.funding_full, -1.0), 1.0)

    def _of_index(self, index: float) -> float:
        if self.settings.fear_max < index < self.settings.greed_min:
            return 0.0
        return min(max((INDEX_MIDDLE - index) / INDEX_MIDDLE, -1.0), 1.0)


def _told(name: str, reading: Reading, view: View) -> dict[str, float]:
    return {name: reading.value, f"{name}_age_s": (view.now - reading.at) / 1_000}
