"""Reference prices of any source under one name: (feed, symbol, price in 1e-8, stamp).

Feeds: ``binance`` (spot), ``chainlink`` (spot), ``twap_60`` (the 60 s average that settles windows). Decimals below
1e-8 are cut off, as everywhere a reference price is read; a JSON number counts as the shortest decimal that it is.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from polyhost.model.market import PRICE_E8
from polyhost.model.messages import Kline, Message, PricePayload

FEEDS: Final[dict[str, str]] = {
    "crypto_prices": "binance",
    "crypto_prices_chainlink": "chainlink",
    "crypto_prices_twap_sixty": "twap_60",
    "price.crypto": "chainlink",
    "price.crypto.twap": "twap_60",
}
"""Topics (first generation) and channels (second) by feed; others are counted as unknown kinds."""
E18_TO_E8: Final = 10**10
E8_PLACES: Final = 8
QUOTES: Final = ("/usd", "usdt", "usdc", "usd")
"""Quote currencies that a symbol may end with, longest spelling first."""
SYMBOLS_MAX: Final = 4_096
"""Spellings of symbols remembered."""
_SYMBOLS: Final[dict[str, str]] = {}


class Price(Struct, frozen=True):
    """One tick of a feed. ``price`` in 1e-8, ``stamp`` the source's own ms."""

    feed: str
    symbol: str
    price: int
    stamp: int


class Candle(Struct, frozen=True):
    """A one-minute spot candle; prices and base volume in 1e-8, ``start`` ms."""

    symbol: str
    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    closed: bool


def reference(message: Message) -> Price | Candle | None:
    """The price or candle a message carries; None when it carries none. Raises ValueError for a price that is none."""
    if message.payload is not None:
        feed = FEEDS.get(message.topic or message.channel)
        return None if feed is None else _topic_price(feed, message.payload)
    if message.k is not None:
        return _candle(message.s, message.k)
    if message.e in ("trade", "aggTrade"):
        return Price("binance", symbol_of(message.s), e8(message.p), message.T)
    return None


def symbol_of(text: str) -> str:
    """``btcusdt``, ``btc/usd`` and ``BTCUSD`` are all ``BTC``."""
    found = _SYMBOLS.get(text)
    if found is None:
        found = _base(text.lower())
        if len(_SYMBOLS) < SYMBOLS_MAX:
            _SYMBOLS[text] = found
    return found


def _base(name: str) -> str:
    for quote in QUOTES:
        if name.endswith(quote) and name != quote:
            return name[: -len(quote)].upper()
    return name.upper()


def e8(text: str) -> int:
    """A decimal string in 1e-8, further places cut off. Raises ValueError when it is no decimal."""
    whole, _, fraction = text.partition(".")
    if len(fraction) == E8_PLACES and (plain := whole + fraction).isascii() and plain.isdigit():
        return int(plain)  # as spot trades write it
    digits = whole.removeprefix("-") + fraction
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(f"price {text!r} is no decimal")
    value = int(whole.removeprefix("-") or "0") * PRICE_E8 + int(fraction[:8].ljust(8, "0"))
    return -value if text.startswith("-") else value


def _topic_price(feed: str, payload: PricePayload) -> Price | None:
    if payload.window_seconds not in (0, 60):
        return None
    exact = payload.full_accuracy_value
    if not exact:
        price = e8(repr(payload.value))
    elif "." not in exact and feed != "binance" and _scaled(exact, payload.value):
        # The first generation writes these feeds as integers of 1e-18; the second writes decimals.
        price = int(exact) // E18_TO_E8
    else:
        price = e8(exact)
    return Price(feed, symbol_of(payload.symbol), price, payload.timestamp) if price > 0 else None


def _scaled(exact: str, value: float) -> bool:
    """True when a text without a point is in 1e-18: it dwarfs the plain value beside it."""
    return int(exact) > max(value, 1.0) * 1e9


def _candle(symbol: str, kline: Kline) -> Candle:
    return Candle(
        symbol_of(symbol), kline.t, e8(kline.o), e8(kline.h), e8(kline.l), e8(kline.c), e8(kline.v), kline.x
    )
