"""The venue's hash of a book: sha1 of its own compact JSON, so that a rebuilt book can be checked bit by bit.

Layout proved on 92,048 recorded frames: ``{market, asset_id, timestamp, hash:"", bids, asks, min_order_size, tick_size,
neg_risk, last_trade_price}``, bids ascending and asks descending (best last), the last price with three decimals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks, price_text, show_fixed, size_text


def last_price_text(price: Ticks | None) -> str:
    """``0.480``; a fourth decimal only where it says something; empty before the first trade."""
    if price is None:
        return ""
    return show_fixed(price, 4, 4 if price % 10 else 3)


def _levels(levels: Sequence[tuple[Ticks, Micros]]) -> str:
    """Worst first, as on the wire."""
    rows = [f'{{"price":"{price_text(price)}","size":"{size_text(size)}"}}' for price, size in reversed(levels)]
    return "[" + ",".join(rows) + "]"


def book_hash(
    market: Market,
    token_id: str,
    at: int,
    bids: Sequence[tuple[Ticks, Micros]],
    asks: Sequence[tuple[Ticks, Micros]],
    last_price: Ticks | None,
) -> str:
    """Hash of one token's book at market ms ``at``; levels best first."""
    text = (
        f'{{"market":"{market.condition_id}","asset_id":"{token_id}","timestamp":"{at}","hash":"",'
        f'"bids":{_levels(bids)},"asks":{_levels(asks)},"min_order_size":"{size_text(market.min_size)}",'
        f'"tick_size":"{price_text(market.tick)}","neg_risk":{"true" if market.neg_risk else "false"},'
        f'"last_trade_price":"{last_price_text(last_price)}"}}'
    )
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
