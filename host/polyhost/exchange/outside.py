"""What other services would say of this world: a futures exchange, a second spot exchange, an index of the mood.

Pure functions of seed, symbol, spot price and market time: they keep no state and touch nothing of the world. Shapes of
the services' answers are the server's matter. Figures are plausible, not fitted: marks within 5 bps of spot, a second
spot price within 4 bps, funding around the usual 0.01 % in eight hours with some extremes, a mood that moves daily.
"""

from __future__ import annotations

from typing import Final

from polyhost.exchange.seeds import digest, stream

FUNDING_EVERY_MS: Final = 8 * 3_600_000
"""Funding is exchanged this often, market ms."""
DAY_MS: Final = 86_400_000
"""The mood changes this often, market ms."""
FUNDING_USUAL_E8: Final = 10_000
"""The interest part of a funding rate, 0.01 % in 1e-8: what longs pay shorts when nobody leans."""
FUNDING_MOST_E8: Final = 300_000
"""No rate lies beyond 0.3 %."""
MARK_WAVE_MS: Final = 60_000
"""How quickly the mark's premium changes, market ms."""
SECOND_WAVE_MS: Final = 15_000
"""How quickly the other exchange's difference changes, market ms."""
_BPS: Final = 10_000


def mark(seed: int, symbol: str, spot: int, now: int) -> int:
    """The perpetual's mark price in 1e-8."""
    return spot + round(spot * (1 + 4 * _wave(seed, f"mark {symbol}", now, MARK_WAVE_MS)) / _BPS)


def second_spot(seed: int, symbol: str, spot: int, now: int) -> int:
    """The last trade of a second spot exchange, in 1e-8."""
    return spot + round(spot * (1 + 3 * _wave(seed, f"second {symbol}", now, SECOND_WAVE_MS)) / _BPS)


def funding_e8(seed: int, symbol: str, at: int) -> int:
    """The funding rate, as a fraction in 1e-8, of the eight hours that hold ``at``."""
    draws = stream(seed, "funding", symbol, str(at // FUNDING_EVERY_MS))
    # One interval in five leans heavily to a side.
    spread = 80_000 if draws.random() < 0.2 else 10_000
    return max(-FUNDING_MOST_E8, min(FUNDING_MOST_E8, FUNDING_USUAL_E8 + round(draws.gauss(0.0, spread))))


def fear_greed(seed: int, at: int) -> int:
    """The index of the day that holds ``at``, 0 (fear) to 100 (greed)."""
    return max(0, min(100, round(stream(seed, "mood", str(at // DAY_MS)).gauss(50.0, 25.0))))


def mood(index: int) -> str:
    """What the index is called."""
    if index < 25:
        return "Extreme Fear"
    if index < 47:
        return "Fear"
    if index < 55:
        return "Neutral"
    return "Greed" if index < 76 else "Extreme Greed"


def _wave(seed: int, name: str, now: int, period_ms: int) -> float:
    """A smooth line through a random height, in [-1, 1], every ``period_ms``."""
    step, within = divmod(now, period_ms)
    first, second = _height(seed, name, step), _height(seed, name, step + 1)
    return first + (second - first) * within / period_ms


def _height(seed: int, name: str, step: int) -> float:
    return digest(seed, name, str(step)) % 2_000_001 / 1_000_000 - 1
