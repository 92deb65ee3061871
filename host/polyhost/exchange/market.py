"""One market inside the exchange: its rules as they stand, its queues of resting orders, its last print.

Both tokens share one book in UP ticks. Price-time priority: at a price, the queue is in order of arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from polyhost.exchange.api import MarketDecided
from polyhost.model.book import Book
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.words import Action, Side

if TYPE_CHECKING:
    from polyhost.exchange.mirror import Mirror
    from polyhost.exchange.orders import Order


def outcome_name(market: Market, side: Side) -> str:
    """The outcome as the venue names it: Up and Down of a window, Yes and No elsewhere."""
    if market.start is None:
        return "Yes" if side is Side.UP else "No"
    return "Up" if side is Side.UP else "Down"


class MarketState:
    """A market's mutable half. ``resting`` totals every order that rests here."""

    __slots__ = (
        "asks", "bids", "condition_id", "decision", "last", "looks_again", "market", "mirror", "resting",
        "taken_before",
    )  # fmt: skip

    def __init__(self, market: Market) -> None:
        self.market = market
        self.condition_id = market.condition_id
        self.resting = Book()
        self.resting.ready = True
        self.bids: dict[Ticks, dict[int, Order]] = {}
        self.asks: dict[Ticks, dict[int, Order]] = {}
        self.mirror: Mirror | None = None
        self.last: tuple[Ticks, Micros, Action] | None = None
        """Last print as (UP price, size, action on UP)."""
        self.decision: MarketDecided | None = None
        self.looks_again = False
        """A look at what crosses the resting orders is planned."""
        self.taken_before: list[tuple[bool, Ticks, Micros, Micros]] = []
        """What a saved exchange had taken of its mirrored book, until that is mirrored again."""

    def change(self, **fields: Any) -> None:
        """Replace fields of the market's description (its tick, ``accepting``)."""
        self.market = structs.replace(self.market, **fields)

    @property
    def displayed(self) -> Book:
        """What a taker sees: the mirrored book, or our own."""
        return self.resting if self.mirror is None else self.mirror.book

    def crosses(self, is_bid: bool, up_price: Ticks) -> bool:
        """Would an order at this UP price meet the best opposite one?"""
        book = self.displayed
        if not book.ready:
            return False
        if is_bid:
            return book.best_ask < ONE and up_price >= book.best_ask
        return book.best_bid > 0 and up_price <= book.best_bid

    def add(self, order: Order) -> None:
        """Let an order rest at the end of its queue."""
        price = order.up_price
        if order.is_bid:
            queue = self.bids.get(price)
            if queue is None:
                self.bids[price] = {order.seq: order}
            else:
                queue[order.seq] = order
            self.resting.set_bid(price, self.resting.bids.get(price, 0) + order.left)
        else:
            queue = self.asks.get(price)
            if queue is None:
                self.asks[price] = {order.seq: order}
            else:
                queue[order.seq] = order
            self.resting.set_ask(price, self.resting.asks.get(price, 0) + order.left)

    def remove(self, order: Order) -> None:
        """Take a resting order out, with what is left of it."""
        price = order.up_price
        queues = self.bids if order.is_bid else self.asks
        queue = queues[price]
        del queue[order.seq]
        if not queue:
            del queues[price]
        self.reduce(order, order.left)

    def reduce(self, order: Order, size: Micros) -> None:
        """Part of a resting order is gone from the totals."""
        price = order.up_price
        if order.is_bid:
            self.resting.set_bid(price, self.resting.bids[price] - size)
        else:
            self.resting.set_ask(price, self.resting.asks[price] - size)

    def give_room(self) -> None:
        """It is decided and nothing rests here: an emptied table keeps the room of all that it ever held, a new one
        has none. Decided markets stay for a day, hundreds of them."""
        for emptied in (self.bids, self.asks, self.resting.bids, self.resting.asks):
            if not emptied:
                emptied.clear()

    def first(self, bids: bool) -> Order | None:
        """The order that is next to be met on one side; None when nothing rests there."""
        queues = self.bids if bids else self.asks
        return next(iter(queues[max(queues) if bids else min(queues)].values())) if queues else None

    def orders(self) -> list[Order]:
        """Every resting order, oldest first."""
        found = [order for side in (self.bids, self.asks) for queue in side.values() for order in queue.values()]
        return sorted(found, key=lambda order: order.seq)
