"""Binance-shaped market data: streams (raw and combined) and the REST calls that go with them.

Shapes: polymarket.md 11. The world has prices but no order flow of its own for spot: every price is one print of
``PRINT_SIZE`` and a one-step spread around it, which docs/exchange-server.md states.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from polyhost.exchange.api import CandleTick, PriceTick
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.server.sockets import Socket
from polyhost.model.money import show_fixed

STEP: Final = 1_000_000
"""Half of the shown spread: 0.01 in 1e-8."""
PRINT_SIZE: Final = 1_000_000
"""0.01 of the base currency in 1e-8: the nominal size of prints and quotes."""
MINUTE_MS: Final = 60_000


class StreamRequest(msgspec.Struct):
    """A control frame."""

    method: str = ""
    params: list[str] = msgspec.field(default_factory=list)
    id: int | str | None = None


def _text(value: int) -> str:
    return show_fixed(value, 8, 8)


def pair(symbol: str) -> str:
    """``BTC`` as ``BTCUSDT``."""
    return f"{symbol}USDT"


def symbol_of(pair_text: str) -> str:
    """``btcusdt`` as ``BTC``."""
    return pair_text.upper().removesuffix("USDT")


def book_ticker(symbol: str, price: int, update: int) -> dict[str, Any]:
    """The ``bookTicker`` stream message."""
    size = _text(PRINT_SIZE)
    return {"u": update, "s": pair(symbol), "b": _text(price - STEP), "B": size, "a": _text(price + STEP), "A": size}


def rest_book_ticker(symbol: str, price: int) -> dict[str, Any]:
    """``GET /api/v3/ticker/bookTicker`` of one symbol."""
    size = _text(PRINT_SIZE)
    return {
        "symbol": pair(symbol), "bidPrice": _text(price - STEP), "bidQty": size, "askPrice": _text(price + STEP),
        "askQty": size,
    }


def agg_trade(tick: PriceTick, number: int, buyer_is_maker: bool, now: int) -> dict[str, Any]:
    """The ``aggTrade`` stream message."""
    return {
        "e": "aggTrade", "E": now, "s": pair(tick.symbol), "a": number, "p": _text(tick.price), "q": _text(PRINT_SIZE),
        "f": number, "l": number, "T": tick.stamp, "m": buyer_is_maker, "M": True,
    }


def kline(candle: CandleTick, now: int) -> dict[str, Any]:
    """The ``kline_1m`` stream message."""
    return {
        "e": "kline", "E": now, "s": pair(candle.symbol),
        "k": {
            "t": candle.start, "T": candle.start + MINUTE_MS - 1, "s": pair(candle.symbol), "i": "1m", "f": 0, "L": 0,
            "o": _text(candle.open), "c": _text(candle.close), "h": _text(candle.high), "l": _text(candle.low),
            "v": _text(candle.volume), "n": 0, "x": candle.closed, "q": _quote_volume(candle), "V": "0", "Q": "0",
            "B": "0",
        },
    }


def rest_kline(candle: CandleTick) -> list[Any]:
    """A row of ``GET /api/v3/klines``."""
    return [
        candle.start, _text(candle.open), _text(candle.high), _text(candle.low), _text(candle.close),
        _text(candle.volume), candle.start + MINUTE_MS - 1, _quote_volume(candle), 0, "0", "0", "0",
    ]


def _quote_volume(candle: CandleTick) -> str:
    return _text(candle.volume * candle.close // 100_000_000)


class BinanceHub:
    """Subscriptions by stream name, on raw and on combined sockets."""

    def __init__(self) -> None:
        self._followers: dict[str, set[Socket]] = {}
        self._combined: set[Socket] = set()
        self._numbers: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._decoder = msgspec.json.Decoder(StreamRequest)

    def join(self, socket: Socket, streams: list[str], combined: bool) -> None:
        if combined:
            self._combined.add(socket)
        for stream in streams:
            self._followers.setdefault(stream, set()).add(socket)

    def leave(self, socket: Socket) -> None:
        self._combined.discard(socket)
        for followers in self._followers.values():
            followers.discard(socket)

    def heard(self, socket: Socket, text: str) -> None:
        """Obey SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS."""
        try:
            request = self._decoder.decode(text)
        except msgspec.DecodeError:
            socket.send(b'{"error":{"code":3,"msg":"Invalid JSON"}}')
            return
        result: Any = None
        match request.method:
            case "SUBSCRIBE":
                self.join(socket, request.params, combined=False)
            case "UNSUBSCRIBE":
                for stream in request.params:
                    self._followers.get(stream, set()).discard(socket)
            case "LIST_SUBSCRIPTIONS":
                result = sorted(stream for stream, followers in self._followers.items() if socket in followers)
            case _:
                socket.send(encode({"error": {"code": 2, "msg": f"unknown method {request.method!r}"}}))
                return
        socket.send(encode({"result": result, "id": request.id}))

    def _tell(self, stream: str, body: bytes) -> None:
        wrapped = b""
        for socket in self._followers.get(stream, ()):
            if socket in self._combined:
                wrapped = wrapped or b'{"stream":"' + stream.encode() + b'","data":' + body + b"}"
                socket.send(wrapped)
            else:
                socket.send(body)

    def price(self, tick: PriceTick, now: int) -> None:
        """A spot price: a print and a quote."""
        if tick.feed != "binance":
            return
        stem = pair(tick.symbol).lower()
        number = self._numbers.get(tick.symbol, 0) + 1
        self._numbers[tick.symbol] = number
        falling = tick.price < self._last.get(tick.symbol, tick.price)
        self._last[tick.symbol] = tick.price
        if self._followers.get(f"{stem}@aggTrade"):
            self._tell(f"{stem}@aggTrade", encode(agg_trade(tick, number, falling, now)))
        if self._followers.get(f"{stem}@bookTicker"):
            self._tell(f"{stem}@bookTicker", encode(book_ticker(tick.symbol, tick.price, number)))

    def candle(self, candle: CandleTick, now: int) -> None:
        stream = f"{pair(candle.symbol).lower()}@kline_1m"
        if self._followers.get(stream):
            self._tell(stream, encode(kline(candle, now)))
