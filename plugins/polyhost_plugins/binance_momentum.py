"""Spot momentum: how far the symbol's spot price has moved since the window opened and over recent minutes (SIG-01).

For each horizon ``h`` the move is ``spot / spot_h - 1``. ``spot_h`` is the price at the window's opening second, or the
price ``h`` seconds ago, read from the one-minute candle that holds that moment by a straight line from its open to its
close. A move at or beyond ``full_strength_move`` counts 1 (or -1), smaller ones in proportion. The answer is the mean
of the horizons that are known, by weight.

Two features are always told and stored; each joins the mean when it is given a weight (0 as shipped):

- ``acceleration`` = move over 60 s - move over 180 s / 3: how much faster the last minute was than the last three on
  average, as a fraction a minute; it counts as a move of its size does;
- ``volume_weighted`` = sum(volume * (close / open - 1)) / sum(volume) over the candles begun in the last 300 s, as a
  fraction a minute; left out when nothing was traded. It counts as a move of five times its size does: that is what
  five such minutes make.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from polyhost import Abstain, Candle, Plugin, Settings, Signal, View, hookimpl

CANDLE_MS = 60_000
VOLUME_SPAN_MS = 300_000


class BinanceMomentumSettings(Settings):
    full_strength_move: float = Field(default=0.002, gt=0, lt=1)
    """A move of this fraction of the price has full strength (0.002 is 0.2 %)."""
    weight_open: float = Field(default=0.4, ge=0)
    """Weight of the move since the window's opening second."""
    weight_60s: float = Field(default=0.2, ge=0)
    """Weight of the move over the last 60 seconds of market time."""
    weight_180s: float = Field(default=0.2, ge=0)
    """Weight of the move over the last 180 seconds of market time."""
    weight_300s: float = Field(default=0.2, ge=0)
    """Weight of the move over the last 300 seconds of market time."""
    weight_acceleration: float = Field(default=0.0, ge=0)
    """Weight of the acceleration of the last minute against the last three."""
    weight_volume: float = Field(default=0.0, ge=0)
    """Weight of the volume-weighted move of the last 300 seconds of market time."""
    spot_age_ms_max: int = Field(default=5_000, gt=0)
    """Abstains when the spot price is older than this, market ms."""

    @model_validator(mode="after")
    def _some_weight(self) -> BinanceMomentumSettings:
        moves = self.weight_open + self.weight_60s + self.weight_180s + self.weight_300s
        if not moves + self.weight_acceleration + self.weight_volume > 0:
            raise ValueError("all weights are 0: the signal could never answer")
        return self


class BinanceMomentum(Plugin):
    name = "binance_momentum"
    description = "Spot price move since the window's open and over 1, 3 and 5 minutes."
    Settings = BinanceMomentumSettings
    settings: BinanceMomentumSettings

    def __init__(self, settings: BinanceMomentumSettings) -> None:
        super().__init__(settings)
        self._weights = {
            "open": settings.weight_open,
            "60s": settings.weight_60s,
            "180s": settings.weight_180s,
            "300s": settings.weight_300s,
        }
        self._shapes = (
            ("acceleration", settings.weight_acceleration, 1),
            ("volume_weighted", settings.weight_volume, VOLUME_SPAN_MS / CANDLE_MS),
        )
        self._full_strength_move = settings.full_strength_move
        self._spot_age_ms_max = settings.spot_age_ms_max

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """The weighted mean of what is known; abstains without a fresh spot price or any price before it."""
        spot = view.spot
        if spot is None:
            return Abstain("no spot price")
        if view.spot_age_ms > self._spot_age_ms_max:
            return Abstain("the spot price is too old")
        moves = _moves(view, spot)
        features = _features(view, moves)
        total = score = 0.0
        for name, move in moves.items():
            weight = self._weights[name]
            total += weight
            score += weight * self._share(move)
        for name, weight, scale in self._shapes:
            if weight and name in features:
                total += weight
                score += weight * self._share(features[name] * scale)
        if not total:
            return Abstain("no earlier spot price that counts")
        score /= total
        told = ", ".join([f"{name} {move:+.3%}" for name, move in moves.items()])
        direction = (score > 0) - (score < 0)
        return Signal.of_direction(direction, abs(score), f"spot {spot:.8g}: {told}", features)

    def _share(self, move: float) -> float:
        """Of full strength, -1 to 1."""
        return min(max(move / self._full_strength_move, -1.0), 1.0)


def _moves(view: View, spot: float) -> dict[str, float]:
    """Move by horizon, as a fraction; a horizon whose price is not known is left out."""
    candles, now = view.candles, view.now
    then = (
        ("open", view.spot_open),
        ("60s", price_at(candles, now - 60_000)),
        ("180s", price_at(candles, now - 180_000)),
        ("300s", price_at(candles, now - 300_000)),
    )
    return {name: spot / price - 1 for name, price in then if price}


def price_at(candles: tuple[Candle, ...], moment: int) -> float | None:
    """The price at a moment (market ms), on the line from open to close of its candle; None: no such candle."""
    for candle in reversed(candles):
        if candle.start <= moment:
            into_ms = moment - candle.start
            inside = into_ms < CANDLE_MS
            return candle.open + (candle.close - candle.open) * into_ms / CANDLE_MS if inside else None
    return None


def _features(view: View, moves: dict[str, float]) -> dict[str, float]:
    found = {f"move_{name}": move for name, move in moves.items()}
    if "60s" in moves and "180s" in moves:
        found["acceleration"] = moves["60s"] - moves["180s"] / 3
    since = view.now - VOLUME_SPAN_MS
    volume = flow = 0.0
    for candle in reversed(view.candles):
        if candle.start <= since:
            break
        traded = candle.volume
        if traded and candle.open > 0:
            volume += traded
            flow += traded * (candle.close / candle.open - 1)
    if volume > 0:
        found["volume_weighted"] = flow / volume
    return found
