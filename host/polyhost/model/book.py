"""One order book a market: both tokens' orders as one canonical book in UP ticks.

A bid for DOWN at p is an ask for UP at 1 - p. The book keeps the cached best prices and four watched prices; it knows
nothing of tokens, clocks or who watches. Sizes are micro-shares; an unknown size (a quote without sizes) is
``UNKNOWN_SIZE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from polyhost.model.messages import Level
from polyhost.model.money import ONE, Micros, Ticks, fast_micros, ticks
from polyhost.model.words import Action, Side

UNKNOWN_SIZE: Final[Micros] = -1
"""There is an order at this price, its size was not told."""
TICK_TEXTS_MAX: Final = 65_536
"""Spellings of prices remembered; there are 10,001 prices, and venues write few spellings of each."""


class TickTexts(dict[str, Ticks]):
    """Price strings seen, as ticks: a parse once, a look-up ever after."""

    def __missing__(self, text: str) -> Ticks:
        value = ticks(text)
        if len(self) < TICK_TEXTS_MAX:
            self[text] = value
        return value


TICKS_OF: Final = TickTexts()


class Book:
    """Levels of one market in UP ticks, ``best_bid`` 0 and ``best_ask`` 10,000 when that side is empty."""

    __slots__ = (
        "ask_high",
        "ask_low",
        "asks",
        "best_ask",
        "best_bid",
        "bid_high",
        "bid_low",
        "bids",
        "changed_at",
        "epoch",
        "fetched",
        "ready",
        "sized",
        "source",
    )

    def __init__(self) -> None:
        self.bids: dict[Ticks, Micros] = {}
        self.asks: dict[Ticks, Micros] = {}
        self.best_bid: Ticks = 0
        self.best_ask: Ticks = ONE
        self.epoch = 0
        """Rises whenever continuity is lost; figures of different epochs are never mixed."""
        self.ready = False
        """False until the first full book of the epoch, and after the epoch was spoiled."""
        self.fetched = False
        """True while the stream's book is lost and prices asked for by request stand in: good for exits, not for
        entries, and no message of the stream is applied to them."""
        self.source = ""
        """Where the prices come from: ``stream``, or the request that gave them (``books``, ``midpoints``,
        ``midpoint``, ``book``); empty while there are none."""
        self.sized = True
        """False when the levels' sizes are unknown."""
        self.changed_at = 0
        """Market ms of the last message, or at which the venue last confirmed this very book."""
        self.bid_high: Ticks = ONE + 1
        self.bid_low: Ticks = -1
        self.ask_high: Ticks = ONE + 1
        self.ask_low: Ticks = -1

    @property
    def crossed(self) -> bool:
        return self.best_bid >= self.best_ask

    @property
    def one_sided(self) -> bool:
        return self.best_bid == 0 or self.best_ask == ONE

    def tripped(self) -> bool:
        """True when a watched price is reached: four integer compares."""
        return (
            self.best_bid >= self.bid_high
            or self.best_ask <= self.ask_low
            or self.best_bid <= self.bid_low
            or self.best_ask >= self.ask_high
        )

    def watch(self, bid_high: Ticks, bid_low: Ticks, ask_high: Ticks, ask_low: Ticks) -> None:
        """Watch the best prices; ``ONE + 1`` and ``-1`` switch a high or low watch off."""
        self.bid_high, self.bid_low, self.ask_high, self.ask_low = bid_high, bid_low, ask_high, ask_low

    def spoil(self) -> None:
        """Continuity was lost: unusable until the next full book."""
        self.epoch += 1
        self.ready = self.fetched = False
        self.source = ""

    @property
    def priced(self) -> bool:
        """There are prices of some source: what an exit needs. Entries need ``ready``."""
        return self.ready or self.fetched

    def replace(self, side: Side, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Take a full book of one token from the stream. Raises ValueError for a price or size that is no number."""
        self._load(side, bids, asks)
        self.ready, self.fetched, self.source = True, False, "stream"

    def fetch(self, side: Side, bids: Iterable[Level], asks: Iterable[Level], source: str) -> None:
        """Take a full book of one token that was asked for, while the stream's is lost. ValueError as ``replace``."""
        self._load(side, bids, asks)
        self.fetched, self.source = True, source

    def fetch_midpoint(self, side: Side, midpoint: str, source: str) -> None:
        """Take a midpoint that was asked for, while nothing better is known: it stands for both best prices."""
        self._quote(side, midpoint, midpoint)
        self.fetched, self.source = True, source

    def _load(self, side: Side, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        texts = TICKS_OF
        if side is Side.UP:
            new_bids = {texts[level.price]: fast_micros(level.size) for level in bids}
            new_asks = {texts[level.price]: fast_micros(level.size) for level in asks}
        else:
            new_asks = {ONE - texts[level.price]: fast_micros(level.size) for level in bids}
            new_bids = {ONE - texts[level.price]: fast_micros(level.size) for level in asks}
        self.bids = new_bids
        self.asks = new_asks
        self.best_bid = max(new_bids) if new_bids else 0
        self.best_ask = min(new_asks) if new_asks else ONE
        self.sized = True

    def quote(self, side: Side, bid: str, ask: str) -> None:
        """Take the stream's best prices without sizes; an empty string is an empty side."""
        self._quote(side, bid, ask)
        self.ready, self.fetched, self.source = True, False, "stream"

    def _quote(self, side: Side, bid: str, ask: str) -> None:
        low = TICKS_OF[bid] if bid else 0
        high = TICKS_OF[ask] if ask else ONE
        if side is Side.DOWN:
            low, high = ONE - high, ONE - low
        self.bids = {low: UNKNOWN_SIZE} if low > 0 else {}
        self.asks = {high: UNKNOWN_SIZE} if high < ONE else {}
        self.best_bid = max(low, 0)
        self.best_ask = min(high, ONE)
        self.sized = False

    def set_bid(self, price: Ticks, size: Micros) -> None:
        """The total bid at an UP price is now ``size``; 0 removes the level."""
        if size:
            self.bids[price] = size
            if price > self.best_bid:
                self.best_bid = price
        elif self.bids.pop(price, None) is not None and price == self.best_bid:
            self.best_bid = max(self.bids, default=0)

    def set_ask(self, price: Ticks, size: Micros) -> None:
        """The total ask at an UP price is now ``size``; 0 removes the level."""
        if size:
            self.asks[price] = size
            if price < self.best_ask:
                self.best_ask = price
        elif self.asks.pop(price, None) is not None and price == self.best_ask:
            self.best_ask = min(self.asks, default=ONE)

    def change(self, side: Side, action: Action, price: Ticks, size: Micros) -> None:
        """One level of one token changed."""
        if side is Side.UP:
            if action is Action.BUY:
                self.set_bid(price, size)
            else:
                self.set_ask(price, size)
        elif action is Action.BUY:
            self.set_ask(ONE - price, size)
        else:
            self.set_bid(ONE - price, size)

    def best(self, side: Side) -> tuple[Ticks, Ticks]:
        """Best bid and ask of one token; 0 and 10,000 stand for an empty side."""
        if side is Side.UP:
            return self.best_bid, self.best_ask
        return ONE - self.best_ask, ONE - self.best_bid

    def offers(self, side: Side, action: Action) -> list[tuple[Ticks, Micros]]:
        """What a taker of ``action`` on a token would meet, best first: (price of that token, size)."""
        if (side is Side.UP) == (action is Action.BUY):
            levels = sorted(self.asks.items())
        else:
            levels = sorted(self.bids.items(), reverse=True)
        return levels if side is Side.UP else [(ONE - price, size) for price, size in levels]

    def depth(self, side: Side, action: Action, limit: Ticks) -> Micros:
        """Size a taker of ``action`` meets at ``limit`` or better; unknown sizes count as nothing."""
        total = 0
        for price, size in self.offers(side, action):
            if (price > limit) if action is Action.BUY else (price < limit):
                break
            total += max(size, 0)
        return total
