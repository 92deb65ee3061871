"""How long what a mirrored book shows has stood, level by level, while somebody watches it.

A quote that flashes is no liquidity: an order that takes a while to arrive would not have met it. So of each level only
the least that it showed during the last ``span_ms`` can be hit, and what was ahead of a resting order counts as gone
only when the most that was shown there has been less for as long. Kept only for markets in which orders are open or on
their way: the others cost nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from polyhost.model.book import UNKNOWN_SIZE, Book
from polyhost.model.money import Micros, Ticks

EVERYTHING: Final[Micros] = 1 << 62
"""More than any level holds: a bound that bounds nothing."""


class Stood:
    """The sizes that a shared book has shown lately. Its driver tells of every change: ``changed``, ``replaced``."""

    __slots__ = ("_began", "_epoch", "_now", "_past", "_shown", "_span", "book")

    def __init__(self, book: Book, span_ms: int, now: Callable[[], int]) -> None:
        """``now``: market ms of the exchange's latest call."""
        self.book = book
        self._span = span_ms
        self._now = now
        self._epoch = -1
        self._began = 0
        self._shown: dict[tuple[bool, Ticks], Micros] = {}
        self._past: dict[tuple[bool, Ticks], deque[tuple[int, Micros]]] = {}
        """(a bid?, UP price) → sizes shown before, each with the market ms until which."""
        if book.ready:
            self.begin()

    def begin(self) -> None:
        """What the book shows now is all that is known of it: nothing of it has stood yet."""
        self._epoch, self._began = self.book.epoch, self._now()
        self._past.clear()
        self._shown = self._rows()

    @property
    def lost(self) -> bool:
        """The book was spoiled since: what is shown has nothing to do with what was."""
        return self._epoch != self.book.epoch

    def least(self, is_bid: bool, price: Ticks) -> Micros:
        """The least that a level showed during the last ``span_ms``; 0 for one watched less long than that."""
        since = self._now() - self._span
        if self.lost or self._began > since:
            return 0
        return max(min([self._shown.get((is_bid, price), 0), *self._lately(is_bid, price, since)]), 0)

    def most(self, is_bid: bool, price: Ticks) -> Micros:
        """The most that a level showed during the last ``span_ms``; without bound while that is not known."""
        since = self._now() - self._span
        if self.lost or self._began > since:
            return EVERYTHING
        sizes = [self._shown.get((is_bid, price), 0), *self._lately(is_bid, price, since)]
        return EVERYTHING if UNKNOWN_SIZE in sizes else max(sizes)

    def changed(self, is_bid: bool, price: Ticks) -> None:
        """A level may show another size than before."""
        key = (is_bid, price)
        size, before = (self.book.bids if is_bid else self.book.asks).get(price, 0), self._shown.get(key, 0)
        if size == before:
            return
        past = self._past.setdefault(key, deque())
        now = self._now()
        while past and past[0][0] <= now - self._span:
            past.popleft()
        past.append((now, before))
        if size:
            self._shown[key] = size
        else:
            del self._shown[key]

    def replaced(self) -> None:
        """A full book of the same epoch came: levels that are as they were have stood on."""
        for is_bid, price in [key for key, size in self._shown.items() if self._now_shown(key) != size]:
            self.changed(is_bid, price)
        for is_bid, price in [key for key in self._rows() if key not in self._shown]:
            self.changed(is_bid, price)

    def _lately(self, is_bid: bool, price: Ticks, since: int) -> list[Micros]:
        return [size for until, size in self._past.get((is_bid, price), ()) if until > since]

    def _now_shown(self, key: tuple[bool, Ticks]) -> Micros:
        is_bid, price = key
        return (self.book.bids if is_bid else self.book.asks).get(price, 0)

    def _rows(self) -> dict[tuple[bool, Ticks], Micros]:
        bids = {(True, price): size for price, size in self.book.bids.items()}
        return bids | {(False, price): size for price, size in self.book.asks.items()}
