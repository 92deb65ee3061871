"""Queues that nobody can see, counted carefully (``Queue.BEHIND``): a resting order stands behind what is displayed.

What trades at its price or beyond uses up what is ahead first, and only what is left of a print fills it. Cancels ahead
count when they have been displayed for a while: a trade is told twice, as a print and as a smaller level, in either
order, and must move the order up once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from polyhost.exchange.stood import EVERYTHING
from polyhost.model.book import UNKNOWN_SIZE
from polyhost.model.money import MICRO, Micros, Ppm, Ticks

if TYPE_CHECKING:
    from polyhost.exchange.market import MarketState
    from polyhost.exchange.mirror import Mirror
    from polyhost.exchange.orders import Order


def ahead_of(mirror: Mirror, is_bid: bool, price: Ticks, share: Ppm) -> Micros:
    """What is ahead of an order that comes to rest at an UP price now: ``share`` of what is displayed there."""
    shown = (mirror.book.bids if is_bid else mirror.book.asks).get(price, 0)
    return EVERYTHING if shown == UNKNOWN_SIZE else -(-shown * share // MICRO)


def moved_up(mirror: Mirror, order: Order) -> None:
    """No more can be ahead of an order than was displayed at its price."""
    if mirror.stood is not None:
        order.ahead = min(order.ahead, mirror.stood.most(order.is_bid, order.up_price))


def to_the_back(state: MarketState, share: Ppm) -> None:
    """The market was out of sight: what is displayed now may all be ahead of what rests."""
    mirror = state.mirror
    assert mirror is not None, state.condition_id
    for order in state.orders():
        order.ahead = max(order.ahead, ahead_of(mirror, order.is_bid, order.up_price, share))


def served(state: MarketState, bids: bool, price: Ticks, size: Micros, made_ms: int) -> Iterator[tuple[Order, Micros]]:
    """Whom a print of ``size`` at an UP price fills, and by how much: our orders on one side, best and oldest first.

    Those at its price or better are reached. All fills together are at most the print. Orders younger than the print
    (``made_ms``, market ms) were not there.
    """
    mirror = state.mirror
    assert mirror is not None, state.condition_id
    queues = state.bids if bids else state.asks
    reached = [at for at in queues if (at >= price if bids else at <= price)]
    given: Micros = 0
    for order in [order for at in sorted(reached, reverse=bids) for order in queues[at].values()]:
        if order.created_ms > made_ms:
            continue
        moved_up(mirror, order)
        part = min(order.left, size - order.ahead - given)
        order.ahead = max(order.ahead - size, 0)
        if part > 0:
            given += part
            yield order, part


def unripe(state: MarketState) -> bool:
    """Does the book cross an order that rests with more than has stood yet? Then it is worth another look."""
    mirror = state.mirror
    if mirror is None or mirror.stood is None or not mirror.book.ready:
        return False
    book, stood = mirror.book, mirror.stood
    bid, ask = max(state.bids, default=-1), min(state.asks, default=EVERYTHING)
    crossing = [(False, price) for price in book.asks if price <= bid]
    crossing += [(True, price) for price in book.bids if price >= ask]
    return any((book.bids if is_bid else book.asks)[price] > stood.least(is_bid, price) for is_bid, price in crossing)
