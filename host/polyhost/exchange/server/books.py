"""The books as the wire shows them: both tokens of a market, already rendered level by level, with the venue's hash.

One change of one level costs a bisection and two small strings; a frame or an answer is a join. Prices in UP ticks.
The hash is sha1 of the compact JSON of the book with an empty hash, levels worst first, as the venue computes it
(py-clob-client-v2 1.2.1 ``generate_orderbook_summary_hash``; verified on recorded frames of 2026-04).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort

from polyhost.exchange.api import BookChanged, BookSnapshot
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks, price_text, size_text
from polyhost.model.words import Action


def _level(price: Ticks, size: Micros) -> bytes:
    return f'{{"price":"{price_text(price)}","size":"{size_text(size)}"}}'.encode()


class _Ladder:
    """One side of the market's book in UP ticks, rendered for both tokens."""

    __slots__ = ("_down", "_up", "prices", "sizes")

    def __init__(self) -> None:
        self.prices: list[Ticks] = []
        self.sizes: dict[Ticks, Micros] = {}
        self._up: dict[Ticks, bytes] = {}
        self._down: dict[Ticks, bytes] = {}

    def set(self, price: Ticks, size: Micros) -> None:
        known = price in self.sizes
        if size:
            if not known:
                insort(self.prices, price)
            self.sizes[price] = size
            self._up[price] = _level(price, size)
            self._down[price] = _level(ONE - price, size)
        elif known:
            del self.prices[bisect_left(self.prices, price)]
            del self.sizes[price], self._up[price], self._down[price]

    def clear(self) -> None:
        self.prices.clear()
        self.sizes.clear()
        self._up.clear()
        self._down.clear()

    def give_room(self) -> None:
        """Without levels: keep no room for those that there were (``clear`` gives it back)."""
        if not self.prices:
            self.clear()

    def rendered(self, up: bool, falling: bool) -> bytes:
        texts = self._up if up else self._down
        order = reversed(self.prices) if falling else iter(self.prices)
        return b",".join([texts[price] for price in order])


class WireBook:
    """A market's book for REST and the market channel."""

    __slots__ = ("_asks", "_bids", "changed_at", "last", "market", "tick")

    def __init__(self, market: Market, now: int) -> None:
        self.market = market
        self.tick = market.tick
        self.changed_at = now
        """Market ms of the last change: the book's ``timestamp``."""
        self.last: dict[str, Ticks] = {}
        """Last trade price by token."""
        self._bids = _Ladder()
        self._asks = _Ladder()

    @property
    def best_bid(self) -> Ticks:
        """Of UP; 0 when nobody bids."""
        return self._bids.prices[-1] if self._bids.prices else 0

    @property
    def best_ask(self) -> Ticks:
        """Of UP; 10,000 when nobody offers."""
        return self._asks.prices[0] if self._asks.prices else ONE

    def best(self, token_id: str) -> tuple[Ticks, Ticks]:
        """Best bid and ask of a token; 0 and 10,000 stand for an empty side."""
        if token_id == self.market.up:
            return self.best_bid, self.best_ask
        return ONE - self.best_ask, ONE - self.best_bid

    def other(self, token_id: str) -> str:
        return self.market.down if token_id == self.market.up else self.market.up

    def replace(self, snapshot: BookSnapshot, now: int) -> None:
        """Take a full book of one token."""
        up = snapshot.token_id == self.market.up
        self._bids.clear()
        self._asks.clear()
        for price, size in snapshot.bids if up else snapshot.asks:
            self._bids.set(price if up else ONE - price, size)
        for price, size in snapshot.asks if up else snapshot.bids:
            self._asks.set(price if up else ONE - price, size)
        self.tick = snapshot.tick
        if snapshot.last_price is not None:
            self.last[snapshot.token_id] = snapshot.last_price
        self.changed_at = now

    def change(self, changed: BookChanged, now: int) -> None:
        """Take new totals of levels of one token; the other token's mirror follows."""
        up = changed.token_id == self.market.up
        for action, price, size in changed.changes:
            ladder = self._bids if (action is Action.BUY) == up else self._asks
            ladder.set(price if up else ONE - price, size)
        self.changed_at = now

    def over(self) -> None:
        """Its market is decided: it stays as it is, for a day, in as little room as that takes."""
        self._bids.give_room()
        self._asks.give_room()

    def levels(self, token_id: str) -> tuple[bytes, bytes]:
        """Bids and asks of a token as JSON items, worst first."""
        if token_id == self.market.up:
            return self._bids.rendered(True, False), self._asks.rendered(True, True)
        return self._asks.rendered(False, True), self._bids.rendered(False, False)

    def render(self, token_id: str) -> bytes:
        """The book of a token as the venue's JSON object, with its hash."""
        head, tail = self._parts(token_id)
        return head + hashlib.sha1(head + tail).hexdigest().encode() + tail

    def frame(self, token_id: str) -> bytes:
        """As ``render``, for the market channel."""
        return b'{"event_type":"book",' + self.render(token_id)[1:]

    def hash(self, token_id: str) -> str:
        """The hash that ``render`` would state now."""
        return hashlib.sha1(b"".join(self._parts(token_id))).hexdigest()

    def _parts(self, token_id: str) -> tuple[bytes, bytes]:
        """The JSON before and after the hash's own text."""
        bids, asks = self.levels(token_id)
        market = self.market
        last = self.last.get(token_id)
        head = (
            f'{{"market":"{market.condition_id}","asset_id":"{token_id}","timestamp":"{self.changed_at}","hash":"'
        ).encode()
        tail = (
            f'"min_order_size":"{size_text(market.min_size)}","tick_size":"{price_text(self.tick)}",'
            f'"neg_risk":{"true" if market.neg_risk else "false"},'
            f'"last_trade_price":"{"" if last is None else price_text(last)}"}}'
        ).encode()
        return head, b'","bids":[' + bids + b'],"asks":[' + asks + b"]," + tail
