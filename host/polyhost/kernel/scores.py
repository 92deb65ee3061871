"""What each of our resting orders scores for liquidity rewards at one instant, by the published formula (REW-01).

Reckoned for the views from the full book; the venue's own word about it is asked for in scoring.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from polyhost.kernel.state import OrderEntry
from polyhost.model.book import Book
from polyhost.model.market import Market
from polyhost.model.money import ONE, Ticks
from polyhost.model.rewards import SCORES_FROM_MS, reward_midpoint, reward_score, two_sided_only
from polyhost.model.words import Action, OrderState, Side


def rests(order: OrderEntry) -> bool:
    """Is it at the venue's book, as far as we know?"""
    return order.state is OrderState.WORKING and order.draft.order_type.rests and order.open_upper > 0


def local_scores(market: Market, book: Book, orders: Iterable[OrderEntry], now: int) -> dict[str, float]:
    """Ref → what the order scores at this instant by the published formula; orders that score nothing are left out."""
    if market.reward_rate_day <= 0 or market.reward_max_spread <= 0 or not book.sized:
        return {}
    least = market.reward_min_size
    mid = reward_midpoint(book.bids.items(), book.asks.items(), least)
    if mid is None:
        return {}
    found: dict[str, float] = {}
    sides: set[bool] = set()
    for order in orders:
        if not rests(order) or now - order.placed_at < SCORES_FROM_MS:
            continue
        price = _up_price(order.slot.side, order.draft.price)
        score = reward_score(price, order.open_upper, mid, market.reward_max_spread, least)
        if score > 0.0:
            found[order.ref] = score
            sides.add(_is_bid(order))
    return {} if two_sided_only(mid) and len(sides) < 2 else found


def _up_price(side: Side, price: Ticks) -> Ticks:
    return price if side is Side.UP else ONE - price


def _is_bid(order: OrderEntry) -> bool:
    """On which side of UP's book it stands: a sell of DOWN is a bid for UP."""
    return (order.draft.action is Action.BUY) is (order.slot.side is Side.UP)
