"""What a buy at market may take of the book: spread and depth are checked before a large order (ORD-18).

Exits are never held back by this; they sell what they must at a worst price of their own.
"""

from __future__ import annotations

from msgspec import Struct

from polyhost.kernel.volatile import MarketData
from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks, price_text, size_text
from polyhost.model.words import Action, Side
from polyhost.settings import DepthTable

SHARES = 1_000_000
"""The setting is a share; sizes are compared in millionths, exactly."""


class Fit(Struct, frozen=True):
    """How much of a buy at market the book carries."""

    size: Micros
    limited: str = ""
    """Why it is less than what was asked; empty when it is not."""
    refused: str = ""
    """Why nothing of it should be sent; empty when something may."""


def fit(limits: DepthTable, market: Market, data: MarketData, side: Side, price: Ticks, size: Micros) -> Fit:
    """What may be bought at ``price`` or better. A book without sizes carries anything: it does not tell its depth."""
    book = data.book
    bid, ask = book.best(side)
    if not book.sized or price < ask:
        return Fit(size)
    near = book.depth(side, Action.BUY, ask + limits.ticks * market.tick)
    if size <= _share(near, limits.large_over):
        return Fit(size)
    if ask - bid > int(limits.spread_max):
        gap = price_text(ask - bid)
        return Fit(0, refused=f"{size_text(size)} is large, and bid and ask are {gap} apart")
    most = _share(near, limits.share_max)
    if size <= most:
        return Fit(size)
    return Fit(most, f"depth: {size_text(most)} of {size_text(near)} near {price_text(ask)}")


def whole(data: MarketData, side: Side, price: Ticks, size: Micros) -> Fit:
    """A FOK takes all or nothing: at most what is offered at ``price`` or better, or it would be killed for sure."""
    offered = data.book.depth(side, Action.BUY, price) if data.book.sized else size
    if size <= offered:
        return Fit(size)
    return Fit(offered, f"depth: {size_text(offered)} at {price_text(price)} or better")


def _share(size: Micros, share: float) -> Micros:
    return size * round(share * SHARES) // SHARES
