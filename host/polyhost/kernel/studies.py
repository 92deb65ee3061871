"""Rows for analysis.db: the quote at each evaluation, and once a minute what each open position is worth.

Prices are ticks of 1e-4, sizes and money micro-units; null is "unknown". None of it decides anything.
"""

from __future__ import annotations

from polyhost.kernel.state import MarketState, PositionEntry
from polyhost.kernel.volatile import MarketData
from polyhost.model.money import ONE


def quote_row(now: int, entry: MarketState, data: MarketData) -> dict[str, object]:
    """Both best prices of the UP token with their sizes, as plugins saw them."""
    book = data.book
    return {
        "at": now, "condition_id": entry.market.condition_id, "slug": entry.market.slug,
        "bid": book.best_bid or None, "bid_size": book.bids.get(book.best_bid),
        "ask": book.best_ask if book.best_ask < ONE else None, "ask_size": book.asks.get(book.best_ask),
        "book_epoch": book.epoch, "book_age_ms": now - book.changed_at,
    }


def mark_row(now: int, entry: MarketState, data: MarketData, position: PositionEntry) -> dict[str, object]:
    """An open position at its token's best prices; ``worth`` at the bid, None without one."""
    bid, ask = data.book.best(position.side) if data.book.ready else (0, ONE)
    return {
        "at": now, "condition_id": position.condition_id, "slug": entry.market.slug, "side": position.side.value,
        "size": position.size, "cost": position.cost, "bid": bid or None, "ask": ask if ask < ONE else None,
        "worth": position.size * bid // ONE if bid else None,
    }
