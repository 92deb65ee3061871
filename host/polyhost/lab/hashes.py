"""The venue's own checksum of a book: a rebuilt book can be compared with the venue bit by bit.

A ``book`` frame's ``hash`` is the sha1 of the compact JSON of ``{market, asset_id, timestamp, hash: "", bids, asks,
min_order_size, tick_size, neg_risk, last_trade_price}``, bids ascending, asks descending, the last price with three
decimals (checked on 92,048 recorded frames). Streams mostly leave ``tick_size`` and ``last_trade_price`` out; both are
then found by search, nearest to the last known or to its mirror first (a trade in the other token shows as 1 - p), on a
copied sha1 of what comes before them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from polyhost.model.book import Book
from polyhost.model.messages import Message
from polyhost.model.money import ONE, Micros, Ticks, price_text, size_text
from polyhost.model.words import Side

TICKS: Final = ("0.01", "0.001", "0.0001", "0.1", "0.005", "0.0025")
"""Tick sizes of the venue, the usual ones first."""
MILLI: Final = 1_000
LEVEL_TEXTS_MAX: Final = 1 << 20
"""Levels remembered as text; the memory is dropped when full."""


class Found(Struct, frozen=True):
    """What made the hash come out. ``last``: thousandths, None for no trade yet. ``tries``: hashes computed."""

    last: int | None
    tick: str
    tries: int


class _LevelTexts(dict[tuple[Ticks, Micros], str]):
    """Levels as the venue writes them, remembered: most of a book is unchanged from frame to frame."""

    def __missing__(self, level: tuple[Ticks, Micros]) -> str:
        price, size = level
        text = f'{{"price":"{price_text(price)}","size":"{size_text(size)}"}}'
        if len(self) >= LEVEL_TEXTS_MAX:
            self.clear()
        self[level] = text
        return text


class Witness:
    """Checks rebuilt books against the hashes of one stream; remembers tick and last price of each token."""

    def __init__(self, min_order_size: str = "5", neg_risk: bool = False) -> None:
        self._size = min_order_size
        self._neg_risk = "true" if neg_risk else "false"
        self._known: dict[str, tuple[int | None, str]] = {}
        self._texts = _LevelTexts()

    def verify(self, frame: Message, book: Book, side: Side) -> Found | None:
        """Does the book, rebuilt from this frame for this token, hash to the frame's hash? None: it does not."""
        head = hashlib.sha1(self._head(frame, book, side).encode(), usedforsecurity=False)
        last, tick = self._known.get(frame.asset_id, (None, TICKS[0]))
        for tries, (candidate, each) in enumerate(_candidates(last, tick), 1):
            price = "" if candidate is None else f"{candidate // MILLI}.{candidate % MILLI:03}"
            if self._hash(head, each, price) == frame.hash:
                self._known[frame.asset_id] = candidate, each
                return Found(candidate, each, tries)
        return None

    def _head(self, frame: Message, book: Book, side: Side) -> str:
        bids, asks = wire_levels(book, side)
        texts = self._texts
        return (
            f'{{"market":"{frame.market}","asset_id":"{frame.asset_id}","timestamp":"{frame.timestamp}","hash":"",'
            f'"bids":[{",".join([texts[level] for level in bids])}],'
            f'"asks":[{",".join([texts[level] for level in asks])}],'
            f'"min_order_size":"{self._size}","tick_size":"'
        )

    def _hash(self, head: hashlib._Hash, tick: str, price: str) -> str:
        sha = head.copy()
        sha.update(f'{tick}","neg_risk":{self._neg_risk},"last_trade_price":"{price}"}}'.encode())
        return sha.hexdigest()


def wire_levels(book: Book, side: Side) -> tuple[list[tuple[Ticks, Micros]], list[tuple[Ticks, Micros]]]:
    """One token's levels in the venue's order: bids ascending, asks descending (the best is last)."""
    if side is Side.UP:
        return sorted(book.bids.items()), sorted(book.asks.items(), reverse=True)
    bids = [(ONE - price, size) for price, size in sorted(book.asks.items(), reverse=True)]
    asks = [(ONE - price, size) for price, size in sorted(book.bids.items())]
    return bids, asks


def _candidates(last: int | None, tick: str) -> Iterator[tuple[int | None, str]]:
    """Every possible last price and tick, the likely ones first.

    Prices lie on the tick's grid, near the last one or, after a trade in the other token, near its mirror; whatever
    else is possible follows.
    """
    usual = [other for other in TICKS[:2] if other != tick]
    for each in (tick, *usual):
        step = max(round(float(each) * MILLI), 1)
        for candidate in _nearest(last, step):
            yield candidate, each
    for each in (tick, *(other for other in TICKS if other != tick)):
        for candidate in _nearest(last, 1):
            yield candidate, each


def _nearest(last: int | None, step: int) -> Iterator[int | None]:
    """Last prices on a grid in order of distance from the last one or its mirror; "no trade yet" among the first."""
    if last is None:
        yield None
        last = MILLI // 2
    yield last
    near = {last}
    for distance in range(0, MILLI, step):
        for price in (last + distance, last - distance, MILLI - last + distance, MILLI - last - distance):
            if 0 < price < MILLI and price not in near:
                near.add(price)
                yield price
    yield None
