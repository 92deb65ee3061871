"""What UP of a window is worth to a trader: the chance that the final price is at or above the strike, by its rule.

Plain arithmetic on reference prices: normal moves of the measured volatility, and the part of a 60 s mean that is known
already. It knows nothing of books or orders.
"""

from __future__ import annotations

import math

from msgspec import Struct

from polyhost.exchange.prices import (
    COARSE_VARIANCE,
    HOME_MEMORY_S,
    SECOND,
    TWAP_TICKS,
    VOLATILITY_MEMORY_S,
    SymbolPrices,
)
from polyhost.exchange.settlement import read_after_ms
from polyhost.model.words import SettlementRule

LEAST_SD: float = 2e-7
"""The outcome is never more certain than a tick of the feed allows (deviation of the log price)."""


MINUTES_PART: float = 0.1
"""Over minutes moves add up to this much more than over the 15 s that volatility is measured on (docs/seam.md)."""


class Outlook(Struct, frozen=True, gc=False):
    """A deciding price as it is expected: ``mean`` in 1e-8, ``variance`` in seconds of the walk's variance."""

    mean: float
    variance: float


def phi(z: float) -> float:
    """Chance that a standard normal is below ``z``; in [0, 1]."""
    return 0.5 * math.erfc(-z * math.sqrt(0.5))


def outlook(prices: SymbolPrices, at_ms: int, rule: SettlementRule = SettlementRule.TWAP_60) -> Outlook:
    """The price that counts at ``at_ms`` by the rule, as expected now."""
    if rule is not SettlementRule.TWAP_60:
        return _point(prices, at_ms + read_after_ms(rule), rule)
    level = prices.expected()
    second = at_ms // SECOND
    left = second - prices.second
    if left >= TWAP_TICKS:
        # A mean of 60 values of a walk varies like the walk at a third of the way, from the first of them on.
        return Outlook(level, left - TWAP_TICKS + TWAP_TICKS / 3)
    if left <= 0:
        return Outlook(prices.chainlink_sum_at(second) / TWAP_TICKS, 0.0)
    known = prices.chainlink_sum(second - TWAP_TICKS + 1)
    return Outlook((known + left * level) / TWAP_TICKS, left**3 / (3 * TWAP_TICKS**2))


def _point(prices: SymbolPrices, at_ms: int, rule: SettlementRule) -> Outlook:
    """One price of a feed: Chainlink's, a second behind the walk, or Binance's, above it by the basis."""
    mark = prices.marks.get(at_ms // SECOND)
    spot = rule is SettlementRule.SPOT
    if mark is not None:
        return Outlook(float(mark.chainlink if spot else mark.binance), 0.0)
    left = max(at_ms // SECOND - prices.second, 0)
    level = prices.expected() * (1.0 if spot else math.exp(prices.basis * 1e-4))
    return Outlook(level, _lasting(prices, left))


def _lasting(prices: SymbolPrices, left_s: int) -> float:
    """Variance of the walk in so many seconds, in seconds of the variance measured now.

    Over hours volatility returns to its mean and the price is pulled home (fitted to the walk itself).
    """
    usual = (prices.model.sd_bps * 1e-4) ** 2 * COARSE_VARIANCE / prices.volatility**2
    near = VOLATILITY_MEMORY_S / 2 * (1 - math.exp(-2 * left_s / VOLATILITY_MEMORY_S))
    pulled = HOME_MEMORY_S / 2 * (1 - math.exp(-2 * left_s / HOME_MEMORY_S))
    return near + max(pulled - near, 0.0) * usual


def up_chance(
    prices: SymbolPrices,
    strike: int | None,
    start_ms: int,
    end_ms: int,
    rule: SettlementRule = SettlementRule.TWAP_60,
) -> float:
    """Chance of UP: of a window whose strike is known, or (None) still to come."""
    final = outlook(prices, end_ms, rule)
    variance, base = final.variance, float(strike or 0)
    if strike is None:
        opening = outlook(prices, start_ms, rule)
        base = opening.mean
        # The walk up to the opening moves strike and final together.
        variance = max(final.variance - opening.variance, final.variance / 3)
    growth = 1 + MINUTES_PART * min(1.0, variance / TWAP_TICKS)
    sd = max(prices.volatility * growth * math.sqrt(variance), LEAST_SD)
    return phi((final.mean / base - 1) / sd)
