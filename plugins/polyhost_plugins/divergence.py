"""Divergence: what spot says the market is worth under its own settlement rule, against what it costs (SIG-05).

**Implied probability.** The settlement feed stands at ``s`` = spot less the basis, and moves like a Brownian motion
without drift whose standard deviation a square-root second is ``s * volatility`` (Bachelier's model: over minutes it
and the lognormal one are the same to four digits). The price that decides is then normal around ``mean`` with standard
deviation ``s * volatility * sqrt(span)``, and UP wins at or above the strike:

    p_up = Phi((mean - strike) / (s * volatility * sqrt(span)))

with ``left`` seconds to the end and, for a 60 s mean, ``w = 60``:

| rule | mean | span (seconds) |
| --- | --- | --- |
| spot, exchange candle | s | left |
| closes of minute candles | s | left + 60 (the close of the minute that begins at the end) |
| 60 s mean, left >= w | s | left - w + w / 3: the variance of a Brownian motion's mean over its last w seconds |
| 60 s mean, left < w | (past * m + left * s) / w | (left / w)**2 * left / 3 + (past / w)**2 * past / 12 |

In the last row ``past = w - left`` seconds of the mean are over. Their mean ``m`` is taken as half way between the spot
price at which they began (the open of that minute's candle) and now, which leaves the variance of a Brownian bridge's
mean, past / 12; without that candle ``m`` is ``s`` and past / 3 is left. A tie goes to UP as the venue has it; between
real prices it has no probability, and where nothing can move any more the comparison itself answers (0.5 for the tie of
a daily window, which is paid to both).

**Volatility** is the realised one (Andersen and Bollerslev, 1998): the root of the mean square of the logarithmic
close-to-close returns of the last ``volatility_candles`` finished one-minute candles, a minute; gaps are left out.

**Against the price.** The gap is how far ``p_up`` lies outside the quote (above the UP ask, or below the UP bid; within
it the market does not disagree). A gap at or beyond ``full_strength_gap`` has full strength.

**Across exchanges.** When a feed gives a second spot price (``second_spot``), it stands this share of the price above
ours, and ``full_strength_cross`` has full strength. A lasting premium of that exchange counts too: it isn't known.

The answer is the mean of the parts that are known, by weight.
"""

from __future__ import annotations

from itertools import pairwise
from math import erfc, log, sqrt

from pydantic import Field, model_validator

from polyhost import ONE, Abstain, Candle, Plugin, Settings, SettlementRule, Signal, View, hookimpl

CANDLE_MS = 60_000
CANDLE_S = 60.0
MEAN_S = 60.0
"""Length of the mean that decides under the TWAP rule, seconds (the venue's series names it: 60 s)."""
SYMBOLS_KEPT = 32
"""Volatilities kept; no host follows more symbols."""
CERTAIN = 1e-4
"""No model is surer than this: implied probabilities stay within it of 0 and 1."""


class DivergenceSettings(Settings):
    weight_implied: float = Field(default=0.8, ge=0)
    """Weight of the probability that spot implies against the market's price."""
    weight_cross: float = Field(default=0.2, ge=0)
    """Weight of a second exchange's spot price against ours; counts only when a feed gives one."""
    full_strength_gap: float = Field(default=0.15, gt=0, lt=1)
    """A probability this far outside the quote has full strength."""
    full_strength_cross: float = Field(default=0.0005, gt=0, lt=1)
    """A second spot price this share of the price away has full strength (0.0005 is 0.05 %)."""
    second_spot: str = "spot2"
    """Name of the second spot price's readings, without the symbol that follows a dot."""
    second_spot_age_ms_max: int = Field(default=5_000, gt=0)
    """An older second spot price is none, market ms."""
    spot_age_ms_max: int = Field(default=5_000, gt=0)
    """Abstains when the spot price is older than this, market ms."""
    volatility_candles: int = Field(default=30, ge=10, le=58)
    """Returns of so many last finished one-minute candles make the volatility."""
    volatility_candles_min: int = Field(default=10, ge=2, le=58)
    """With fewer returns there is no volatility."""
    volatility_min: float = Field(default=0.00005, ge=0)
    """The volatility is never taken below this, share of the price a square-root minute (0.00005 is 0.005 %)."""

    @model_validator(mode="after")
    def _makes_sense(self) -> DivergenceSettings:
        if not self.weight_implied + self.weight_cross > 0:
            raise ValueError("all weights are 0: the signal could never answer")
        if self.volatility_candles < self.volatility_candles_min:
            raise ValueError("volatility_candles is below volatility_candles_min: there would never be a volatility")
        return self


class Divergence(Plugin):
    name = "divergence"
    description = "Probability that spot, volatility and time left imply under the settlement rule, against the price."
    Settings = DivergenceSettings
    settings: DivergenceSettings

    def __init__(self, settings: DivergenceSettings) -> None:
        super().__init__(settings)
        self._volatilities: dict[str, tuple[tuple[Candle, ...], float | None]] = {}
        """By symbol: the finished candles and the volatility a square-root minute, which changes once a minute."""

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """The weighted mean of the known parts; abstains when there is none, and says why."""
        spot = view.spot
        if spot is None:
            return Abstain("no spot price")
        if view.spot_age_ms > self.settings.spot_age_ms_max:
            return Abstain("the spot price is too old")
        features: dict[str, float] = {}
        implied = self._gap(view, spot, features)
        cross = self._cross(view, spot)
        total = score = 0.0
        told = []
        settings = self.settings
        for name, weight, found, full in (
            ("gap", settings.weight_implied, implied, settings.full_strength_gap),
            ("cross", settings.weight_cross, cross, settings.full_strength_cross),
        ):
            if isinstance(found, str):
                told.append(found)
            elif found is not None and weight:
                total += weight
                score += weight * min(max(found / full, -1.0), 1.0)
                features[name] = found
                told.append(f"{name} {found:+.4f}")
        if not total:
            return Abstain(", ".join(told) or "no second spot price")
        score /= total
        if "implied" in features:
            told.append(f"implied {features['implied']:.3f}")
        return Signal.of_direction((score > 0) - (score < 0), abs(score), ", ".join(told), features)

    def _gap(self, view: View, spot: float, features: dict[str, float]) -> float | str:
        """How far the implied probability lies outside the quote, above or below (signed), or why it is not known."""
        up, strike, basis = view.up, view.strike, view.basis
        if not up.complete:
            return "no complete quote"
        if view.market.rule is SettlementRule.ORACLE:
            return "no price decides this market"
        if strike is None:
            return "the strike is not known"
        if basis is None:
            return "the settlement feed's distance from spot is not known"
        volatility = self._volatility(view)
        if volatility is None:
            return "too few candles for a volatility"
        deciding = spot - basis
        if not deciding > 0:
            return "spot less its distance from the settlement feed is no price"
        mean, span_s = outcome(view, deciding)
        deviation = deciding * volatility * sqrt(span_s / CANDLE_S)
        p_up = probability(mean - strike, deviation, view.market.rule)
        features |= {"implied": p_up, "volatility": volatility, "market": (up.bid + up.ask) / (2 * ONE)}
        return max(p_up - up.ask / ONE, 0.0) + min(p_up - up.bid / ONE, 0.0)

    def _cross(self, view: View, spot: float) -> float | None:
        """How far a second exchange's price is above ours, share of the price; None: no feed gives one."""
        second = view.reading(f"{self.settings.second_spot}.{view.market.symbol}", self.settings.second_spot_age_ms_max)
        return second.value / spot - 1 if second is not None and second.value > 0 else None

    def _volatility(self, view: View) -> float | None:
        """Share of the price a square-root minute; None: too few returns, or none that moved."""
        candles = view.candles
        if candles and candles[-1].start + CANDLE_MS > view.now:
            candles = candles[:-1]
        symbol = view.market.symbol
        known = self._volatilities.get(symbol)
        if known is not None and known[0] == candles:
            return known[1]
        found = self._realised(candles)
        if len(self._volatilities) >= SYMBOLS_KEPT:
            self._volatilities.clear()
        self._volatilities[symbol] = candles, found
        return found

    def _realised(self, candles: tuple[Candle, ...]) -> float | None:
        recent = candles[-self.settings.volatility_candles - 1:]
        squares = [
            log(after.close / before.close) ** 2
            for before, after in pairwise(recent)
            if after.start - before.start == CANDLE_MS and before.close > 0 and after.close > 0
        ]
        if len(squares) < self.settings.volatility_candles_min or not any(squares):
            return None
        return max(sqrt(sum(squares) / len(squares)), self.settings.volatility_min)


def outcome(view: View, deciding: float) -> tuple[float, float]:
    """Mean of the price that decides, and the seconds of motion that its variance is worth (see the table above).

    ``deciding``: the settlement feed now, as far as spot tells.
    """
    left = max(view.time_left_s, 0.0)
    rule = view.market.rule
    if rule is SettlementRule.CANDLE_CLOSES:
        return deciding, left + CANDLE_S
    if rule is not SettlementRule.TWAP_60:
        return deciding, left
    if left >= MEAN_S:
        return deciding, left - MEAN_S + MEAN_S / 3
    past = MEAN_S - left
    begun = _opened(view)
    to_come = (left / MEAN_S) ** 2 * left / 3
    if begun is None:
        return deciding, to_come + (past / MEAN_S) ** 2 * past / 3
    # Both ends of the past part moved with spot, so the basis is in both.
    so_far = deciding + (begun - (view.spot or begun)) / 2
    return (past * so_far + left * deciding) / MEAN_S, to_come + (past / MEAN_S) ** 2 * past / 12


def _opened(view: View) -> float | None:
    """Spot when the deciding mean began: the open of the window's last minute; None: that candle is not there."""
    begins = view.market.end - CANDLE_MS
    last = view.candles[-1] if view.candles else None
    return last.open if last is not None and last.start == begins else None


def probability(ahead: float, deviation: float, rule: SettlementRule) -> float:
    """That UP wins, given how far the mean is above the strike; a tie is UP's, of a daily window half of it."""
    if deviation > 0:
        p_up = 0.5 * erfc(-ahead / deviation / sqrt(2))
    elif ahead == 0 and rule is SettlementRule.CANDLE_CLOSES:
        p_up = 0.5
    else:
        p_up = 1.0 if ahead >= 0 else 0.0
    return min(max(p_up, CERTAIN), 1 - CERTAIN)
