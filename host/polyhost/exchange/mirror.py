"""Another venue's displayed book as liquidity: what we took stays taken until that venue changes the level."""

from __future__ import annotations

from polyhost.exchange.stood import Stood
from polyhost.model.book import UNKNOWN_SIZE, Book
from polyhost.model.money import Micros, Ticks


class Mirror:
    """An external book (shared, changed by its driver) and what we have taken from it.

    A level of UNKNOWN_SIZE holds whatever an order wants, every time: there is no size to use up. Unless
    ``unknown_holds`` is False: then it holds nothing. ``forgets``: with a new epoch nothing counts as taken any more.
    """

    __slots__ = ("_epoch", "_forgets", "_taken", "_unknown_holds", "book", "patient", "stood")

    def __init__(
        self, book: Book, unknown_holds: bool = True, *, forgets: bool = True, patient: bool = False
    ) -> None:
        """``patient``: only what has stood can be hit, and without a watch (``stood``) nothing has."""
        self.book = book
        self.patient = patient
        self.stood: Stood | None = None
        """What the book has shown lately; None while nobody watches."""
        self._unknown_holds = unknown_holds
        self._forgets = forgets
        self._epoch = book.epoch
        self._taken: dict[tuple[bool, Ticks], tuple[Micros, Micros]] = {}
        """(a bid?, UP price) -> (displayed size when taken, taken of it)."""

    def available(self, is_bid: bool, price: Ticks, wanted: Micros) -> Micros:
        """How much of ``wanted`` the level at an UP price still holds for us."""
        shown = (self.book.bids if is_bid else self.book.asks).get(price, 0)
        if shown == UNKNOWN_SIZE:
            return wanted if self._unknown_holds else 0
        if self.patient:
            shown, used = self._stood(is_bid, price), self._used(is_bid, price, shown)
            return max(min(wanted, shown - used), 0)
        return min(wanted, shown - self._used(is_bid, price, shown))

    def _stood(self, is_bid: bool, price: Ticks) -> Micros:
        return 0 if self.stood is None else self.stood.least(is_bid, price)

    def take(self, is_bid: bool, price: Ticks, size: Micros) -> None:
        """We took ``size`` of a level."""
        shown = (self.book.bids if is_bid else self.book.asks)[price]
        if shown != UNKNOWN_SIZE:
            self._taken[is_bid, price] = (shown, self._used(is_bid, price, shown) + size)

    def levels(self, bids: bool) -> list[Ticks]:
        """Prices of one side, best first."""
        return sorted(self.book.bids, reverse=True) if bids else sorted(self.book.asks)

    def _used(self, is_bid: bool, price: Ticks, shown: Micros) -> Micros:
        if self._forgets and self.book.epoch != self._epoch:
            self._epoch = self.book.epoch
            self._taken.clear()
        seen, used = self._taken.get((is_bid, price), (0, 0))
        if seen == shown:
            return used
        if used:
            del self._taken[is_bid, price]
        return 0

    def save(self) -> list[tuple[bool, Ticks, Micros, Micros]]:
        return [(is_bid, price, seen, used) for (is_bid, price), (seen, used) in self._taken.items()]

    def restore(self, rows: list[tuple[bool, Ticks, Micros, Micros]]) -> None:
        self._taken = {(is_bid, price): (seen, used) for is_bid, price, seen, used in rows}
