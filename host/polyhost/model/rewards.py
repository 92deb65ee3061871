"""Liquidity rewards by the venue's published formula: what a resting order scores, as the host reckons it by itself.

``S(v, s) = ((v - s) / v)**2`` for an order ``s`` away from the midpoint in a market whose largest rewarded distance is
``v`` (docs.polymarket.com, liquidity rewards, read 2026-11), times its size. The midpoint lies between the best levels
of at least the market's minimum size. Scores are opinions: floats, in shares. Prices are ticks, and a midpoint is told
as twice itself, so that one between two ticks is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from polyhost.model.money import MICRO, ONE, Micros, Ticks

ONE_SIDED_DIVISOR: Final = 3.0
"""Quotes on one side alone count a third, where they count at all …"""
TWO_SIDED_BELOW: Final[Ticks] = 1_000
TWO_SIDED_ABOVE: Final[Ticks] = 9_000
"""… outside of these midpoints only quotes on both sides do."""
SCORES_FROM_MS: Final = 3_500
"""An order scores once it has rested for so long (the venue's changelog, read 2026-11); market ms."""


def reward_midpoint(
    bids: Iterable[tuple[Ticks, Micros]], asks: Iterable[tuple[Ticks, Micros]], min_size: Micros
) -> Ticks | None:
    """Twice the midpoint that rewards are measured from; None when a side has no level of ``min_size`` shares.

    Levels are (price, size) of one token, in any order.
    """
    bid = max((price for price, size in bids if size >= min_size), default=0)
    ask = min((price for price, size in asks if size >= min_size), default=ONE)
    return bid + ask if bid > 0 and ask < ONE else None


def reward_score(price: Ticks, size: Micros, twice_mid: Ticks, max_spread: Ticks, min_size: Micros = 0) -> float:
    """What an order at ``price`` adds to its side's sum, in shares: its size nearest to the midpoint, 0 too far away.

    ``twice_mid`` as of ``reward_midpoint``, of the same token; ``max_spread`` and ``min_size`` are the market's.
    """
    left = 2 * max_spread - abs(2 * price - twice_mid)
    if left <= 0 or size < min_size:
        return 0.0
    return (left / (2 * max_spread)) ** 2 * size / MICRO


def maker_score(first: float, second: float, twice_mid: Ticks) -> float:
    """A maker's score from the sums over his two sides (bids of a token and asks of the other one are one side)."""
    smaller, larger = min(first, second), max(first, second)
    if two_sided_only(twice_mid):
        return smaller
    return max(smaller, larger / ONE_SIDED_DIVISOR)


def two_sided_only(twice_mid: Ticks) -> bool:
    """Does one side alone score nothing at this midpoint?"""
    return not 2 * TWO_SIDED_BELOW <= twice_mid <= 2 * TWO_SIDED_ABOVE
