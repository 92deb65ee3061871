"""The formula of liquidity rewards (polymarket.md 6), in exact integers: what a resting order scores, and a maker.

``S(v, s) = ((v - s) / v)**2`` for an order ``s`` from the midpoint where the market's spread is ``v``. All prices are
UP ticks; a distance is in half ticks, so that a midpoint between two ticks is exact. A score is micro-shares times
``(2v - s)**2``: divide by ``(2v)**2`` for the published figure. It knows nothing of accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from polyhost.model.money import ONE, Micros, Ticks

C: Final = 3
"""What one side alone is worth less, where it counts at all …"""
BOTH_BELOW: Final[Ticks] = 1_000
BOTH_ABOVE: Final[Ticks] = 9_000
"""… outside of these midpoints only quotes on both sides count."""
AGE_MS: Final = 3_500
"""An order scores when it has rested for this long (the venue's changelog, quoted 2026)."""


def middle(bids: Mapping[Ticks, Micros], asks: Mapping[Ticks, Micros], min_size: Micros) -> int | None:
    """Twice the midpoint between the best levels of at least ``min_size``; None when a side has none."""
    best_bid = max((price for price, size in bids.items() if size >= min_size), default=0)
    best_ask = min((price for price, size in asks.items() if size >= min_size), default=ONE)
    return best_bid + best_ask if best_bid > 0 and best_ask < ONE else None


def order_score(price: Ticks, size: Micros, mid: int, spread: Ticks, min_size: Micros) -> int:
    """What an order at an UP price scores; ``mid`` as of ``middle``. 0: too small, or too far away."""
    left = 2 * spread - abs(2 * price - mid)
    return left * left * size if left > 0 and size >= min_size else 0


def maker_score(bids: int, asks: int, mid: int) -> int:
    """A maker's Q_min (times ``C``) from the sums over his bids and his asks, both books of the market together."""
    smaller, larger = min(bids, asks), max(bids, asks)
    if 2 * BOTH_BELOW <= mid <= 2 * BOTH_ABOVE:
        return max(C * smaller, larger)
    return C * smaller
