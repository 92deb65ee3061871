"""The venue's market messages, decoded to the fields that are needed and no others (msgspec, straight from the bytes).

One flat struct serves every kind: a field that a kind lacks keeps its default. Numbers stay the strings they are on the
wire until a book needs them.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

WITNESSED: Final = "witnessed"
"""Our own kind: the venue, asked by request, shows the very book that the stream gave; ``timestamp`` is the market ms
at which it was asked."""
FETCHED: Final = "fetched_"
"""Beginning of our own kinds for prices that were asked for because the stream's book is lost; the source follows
(``fetched_books``: levels, ``fetched_midpoint``: a price); ``timestamp`` as above."""


class Level(Struct):
    price: str
    size: str


class Change(Struct):
    """One level of a ``price_change``; ``size`` is the new total at that price, "0" removes it."""

    asset_id: str
    price: str
    size: str
    side: str


class PricePayload(Struct):
    """Payload of a reference price message (``crypto_prices*`` or ``price.crypto*``)."""

    symbol: str = ""
    timestamp: int = 0
    value: float = 0.0
    full_accuracy_value: str = ""
    window_seconds: int = 0


class Kline(Struct):
    """Binance kline body: open time, close time, prices and base volume as strings, ``x``: closed."""

    t: int
    T: int
    o: str
    c: str
    h: str
    l: str  # noqa: E741 the wire's own name
    v: str
    x: bool = False


class Message(Struct):
    """Any message of a market, price or Binance stream."""

    event_type: str = ""
    asset_id: str = ""
    market: str = ""
    timestamp: str | int = ""
    hash: str = ""
    bids: list[Level] | None = None
    asks: list[Level] | None = None
    price_changes: list[Change] | None = None
    price: str = ""
    size: str = ""
    side: str = ""
    best_bid: str = ""
    best_ask: str = ""
    tick_size: str = ""
    new_tick_size: str = ""
    winning_asset_id: str = ""
    winning_outcome: str = ""
    # price topics
    topic: str = ""
    channel: str = ""
    payload: PricePayload | None = None
    # binance streams
    e: str = ""
    s: str = ""
    p: str = ""
    q: str = ""
    T: int = 0
    b: str = ""
    a: str | int = ""
    k: Kline | None = None
