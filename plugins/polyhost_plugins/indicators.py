"""Indicators on one-minute spot candles: ADX, RSI and volume-weighted momentum, one strength each (SIG-03).

They are talipp's (their values are Wilder's), read as momentum over the finished candles without a gap:

- ``adx`` (Wilder, *New Concepts in Technical Trading Systems*, 1978): direction and size of (DI+ - DI-) / (DI+ + DI-),
  times how far ADX is from ``adx_min`` (no trend, 0) to ``adx_full`` (1);
- ``rsi`` (ibid.): (RSI - 50) / (``rsi_full`` - 50), at most 1;
- ``vwm``: last close against the volume-weighted mean of the last ``vwm_period`` closes, ``vwm_full`` of it is 1.

The answer is the mean of those that are known, by weight. ADX needs twice its period of candles, RSI one more than its
period; without traded volume there is no volume-weighted mean. An RSI without any movement would be 100: there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from polyhost import Abstain, Candle, Plugin, Settings, Signal, View, hookimpl

if TYPE_CHECKING:
    from talipp.ohlcv import OHLCV

CANDLE_MS = 60_000
SYMBOLS_KEPT = 32
"""Answers kept; no host follows more symbols."""


class IndicatorsSettings(Settings):
    weight_adx: float = Field(default=0.4, ge=0)
    """Weight of the directional movement."""
    weight_rsi: float = Field(default=0.3, ge=0)
    """Weight of the relative strength."""
    weight_vwm: float = Field(default=0.3, ge=0)
    """Weight of the volume-weighted momentum."""
    adx_period: int = Field(default=14, ge=2, le=29)
    """Candles of one minute; ADX needs twice as many, and 59 finished ones are kept."""
    adx_min: float = Field(default=20.0, ge=0, lt=100)
    """At or below this ADX (0 to 100) there is no trend."""
    adx_full: float = Field(default=40.0, gt=0, le=100)
    """At or above this ADX the directional movement has its full strength."""
    rsi_period: int = Field(default=14, ge=2, le=58)
    """Candles of one minute."""
    rsi_full: float = Field(default=70.0, gt=50, le=100)
    """This RSI (0 to 100), and its mirror below 50, has full strength."""
    vwm_period: int = Field(default=20, ge=2, le=59)
    """Candles of one minute."""
    vwm_full: float = Field(default=0.001, gt=0, lt=1)
    """This share of the volume-weighted mean away from it has full strength (0.001 is 0.1 %)."""
    candle_age_s_max: float = Field(default=120.0, gt=0)
    """Abstains when the newest finished candle ended longer ago than this, seconds of market time."""

    @model_validator(mode="after")
    def _makes_sense(self) -> IndicatorsSettings:
        if not self.weight_adx + self.weight_rsi + self.weight_vwm > 0:
            raise ValueError("all weights are 0: the signal could never answer")
        if self.adx_full <= self.adx_min:
            raise ValueError(f"adx_full {self.adx_full:g} is not above adx_min {self.adx_min:g}")
        return self


class Indicators(Plugin):
    name = "indicators"
    description = "ADX, RSI and volume-weighted momentum on one-minute spot candles."
    Settings = IndicatorsSettings
    settings: IndicatorsSettings

    def __init__(self, settings: IndicatorsSettings) -> None:
        super().__init__(settings)
        self._answers: dict[str, tuple[tuple[Candle, ...], Signal | Abstain]] = {}
        """By symbol: the finished candles and what they say, which changes once a minute."""

    @hookimpl
    def start(self) -> None:
        """Load the library, which takes a while: who only looks at plugins does not wait for it."""
        from talipp.indicators import ADX, RSI, VWMA  # noqa: F401 loaded now, used when asked

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """The weighted mean of the known indicators; abstains without enough recent candles or any movement."""
        candles = view.candles
        if candles and candles[-1].start + CANDLE_MS > view.now:
            candles = candles[:-1]
        if not candles:
            return Abstain("no finished candles")
        if view.now - candles[-1].start - CANDLE_MS > self.settings.candle_age_s_max * 1_000:
            return Abstain("the candles are too old")
        symbol = view.market.symbol
        known = self._answers.get(symbol)
        if known is not None and known[0] == candles:
            return known[1]
        answer = self._of(candles)
        if len(self._answers) >= SYMBOLS_KEPT:
            self._answers.clear()
        self._answers[symbol] = candles, answer
        return answer

    def _of(self, candles: tuple[Candle, ...]) -> Signal | Abstain:
        run = _without_gap(candles)
        from talipp.ohlcv import OHLCV

        closes = [candle.close for candle in run]
        if min(closes) == max(closes):
            return Abstain("no movement in the candles")
        settings = self.settings
        bars = [OHLCV(candle.open, candle.high, candle.low, candle.close, candle.volume) for candle in run]
        total = score = 0.0
        features: dict[str, float] = {}
        told = []
        for name, weight, found in (
            ("adx", settings.weight_adx, self._adx(bars)),
            ("rsi", settings.weight_rsi, self._rsi(closes)),
            ("vwm", settings.weight_vwm, self._vwm(bars)),
        ):
            if found is None or not weight:
                continue
            value, strength = found
            total += weight
            score += weight * strength
            features |= {name: value, f"{name}_strength": strength}
            told.append(f"{name} {value:.4g} ({strength:+.2f})")
        if not total:
            return Abstain("too few candles without a gap")
        score /= total
        return Signal.of_direction((score > 0) - (score < 0), abs(score), ", ".join(told), features)

    def _adx(self, bars: list[OHLCV]) -> tuple[float, float] | None:
        """ADX and its signed strength; None: too few candles."""
        period = self.settings.adx_period
        if len(bars) < 2 * period:
            return None
        from talipp.indicators import ADX

        last = ADX(period, period, bars)[-1]
        both = last.plus_di + last.minus_di
        if not both:
            return float(last.adx), 0.0
        least, full = self.settings.adx_min, self.settings.adx_full
        trend = min(max((last.adx - least) / (full - least), 0.0), 1.0)
        return float(last.adx), trend * (last.plus_di - last.minus_di) / both

    def _rsi(self, closes: list[float]) -> tuple[float, float] | None:
        """RSI and its signed strength; None: too few candles."""
        if len(closes) < self.settings.rsi_period + 1:
            return None
        from talipp.indicators import RSI

        value = float(RSI(self.settings.rsi_period, closes)[-1])
        return value, min(max((value - 50) / (self.settings.rsi_full - 50), -1.0), 1.0)

    def _vwm(self, bars: list[OHLCV]) -> tuple[float, float] | None:
        """The last close against its volume-weighted mean, and the strength; None: too few candles, or no volume."""
        period = self.settings.vwm_period
        recent = bars[-period:]
        # Without volume talipp's mean divides by zero.
        if len(recent) < period or not sum(bar.volume for bar in recent) > 0:
            return None
        from talipp.indicators import VWMA

        value = recent[-1].close / float(VWMA(period, recent)[-1]) - 1
        return value, min(max(value / self.settings.vwm_full, -1.0), 1.0)


def _without_gap(candles: tuple[Candle, ...]) -> tuple[Candle, ...]:
    """The newest candles that follow one another minute by minute."""
    for place in range(len(candles) - 1, 0, -1):
        if candles[place].start - candles[place - 1].start != CANDLE_MS:
            return candles[place:]
    return candles
