"""Spot prices and one-minute candles from Binance-shaped streams, with an hour of candles at every connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import httpx
import msgspec
from loguru import logger
from msgspec import Struct

from polyhost.model.events import Event, StreamChanged
from polyhost.model.messages import Kline, Message
from polyhost.model.money import parse_fixed
from polyhost.model.view import Candle
from polyhost.venue.clock import VenueClock
from polyhost.venue.link import Link, Pace, nobody
from polyhost.venue.polymarket.decode import symbol_of
from polyhost.venue.silence import SILENT_S, SilenceWatch

CANDLES: Final = 60
"""Minutes of candles fetched at every connection."""
BACKFILL_TRIES: Final = 4
BACKFILL_WAIT_S: Final = 1.0
"""Before the second try; doubled before each further one."""


class _Frame(Struct):
    """A frame of a combined stream."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


_FRAMES: Final = msgspec.json.Decoder(_Frame)
_MESSAGES: Final = msgspec.json.Decoder(Message)


class BinanceFeed:
    """Prints and candles of some symbols, in USDT.

    ``on_price(feed, symbol, price_e8, stamp_ms)`` with feed ``binance``; ``on_candle(symbol, candle, closed)`` with
    starts that never go back for a symbol; ``on_frame(raw, messages)`` each stream message as Binance wrote it.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        ws_url: str,
        symbols: Sequence[str],
        *,
        on_price: Callable[[str, str, int, int], None],
        on_candle: Callable[[str, Candle, bool], None],
        on_event: Callable[[Event], None],
        on_frame: Callable[[bytes, list[Message]], None] | None = None,
        clock: VenueClock | None = None,
        pace: Pace | None = None,
        silent_s: float = SILENT_S,
    ) -> None:
        """``http`` has the REST base address; ``ws_url`` the base of the streams (``wss://host:port``).

        ``silent_s``: a symbol that ticked before and is silent for so long (wall seconds) has the stream made anew.
        """
        self.bad = 0
        self._http = http
        self._symbols = [symbol.upper() for symbol in symbols]
        self._on_price = on_price
        self._on_candle = on_candle
        self._on_event = on_event
        self._on_frame = on_frame
        self._last: dict[str, int] = {}
        self._waiting: dict[str, dict[int, tuple[Candle, bool]]] = {}
        """Live candles of symbols whose backlog is still on its way, by start."""
        self._backfill: asyncio.Task[None] | None = None
        names = [f"{symbol.lower()}usdt@{kind}" for symbol in self._symbols for kind in ("aggTrade", "kline_1m")]
        self._silence = SilenceWatch(silent_s)
        self.link = Link(
            "spot", f"{ws_url}/stream?streams={'/'.join(names)}", on_open=self._open, on_data=self._data,
            on_down=self._down, clock=clock, pace=pace, quiet=self._silence.problem,
        )

    async def run(self, beat: Callable[[], None] = nobody) -> None:
        """Stay connected until ``close`` or cancellation; ``beat`` is called as it goes round."""
        self.link.beat = beat
        try:
            await self.link.run()
        finally:
            await self._end_backfill()

    def close(self) -> None:
        self.link.close()

    async def candle_at(self, symbol: str, start_ms: int) -> Candle | None:
        """The one-minute candle that begins at a market ms; None (and told) when it cannot be had now."""
        query: dict[str, str | int] = {"symbol": f"{symbol}USDT", "interval": "1m", "startTime": start_ms, "limit": 1}
        try:
            response = await self._http.get("/api/v3/klines", params=query)
            response.raise_for_status()
            rows = [_row_candle(row) for row in msgspec.json.decode(response.content)]
        except (httpx.HTTPError, msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
            logger.warning("the candle of {} at {} not read: {}", symbol, start_ms, error)
            return None
        return rows[0] if rows and rows[0].start == start_ms else None

    async def _end_backfill(self) -> None:
        task, self._backfill = self._backfill, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _open(self, epoch: int) -> list[str]:
        self._waiting = {symbol: {} for symbol in self._symbols}
        if self._backfill is not None:
            self._backfill.cancel()
        self._backfill = asyncio.create_task(self._fetch_all())
        self._backfill.add_done_callback(self._backfilled)
        self._on_event(StreamChanged("spot", True, epoch))
        return []

    def _backfilled(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("candles of the last hour were not taken")
            self.link.restart("the backlog of candles failed")

    def _down(self, epoch: int, reason: str) -> None:
        self._on_event(StreamChanged("spot", False, epoch, reason))

    # --- candles ------------------------------------------------------------------------------------------------------

    async def _fetch_all(self) -> None:
        for symbol in self._symbols:
            rows = await self._fetch(symbol)
            newest = max(rows, default=0)
            told = {start: (candle, start < newest) for start, candle in rows.items()}
            told |= self._waiting.pop(symbol, {})
            for _, (candle, closed) in sorted(told.items()):
                self._tell(symbol, candle, closed)

    async def _fetch(self, symbol: str) -> dict[int, Candle]:
        """The last half hour by start; empty (and told) when it cannot be had: live candles go on."""
        wait = BACKFILL_WAIT_S
        for attempt in range(1, BACKFILL_TRIES + 1):
            try:
                query: dict[str, str | int] = {"symbol": f"{symbol}USDT", "interval": "1m", "limit": CANDLES}
                response = await self._http.get("/api/v3/klines", params=query)
                response.raise_for_status()
                return {candle.start: candle for candle in map(_row_candle, msgspec.json.decode(response.content))}
            except (httpx.HTTPError, msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
                logger.warning("candles of {} not read (try {}): {}", symbol, attempt, error)
                if attempt < BACKFILL_TRIES:
                    await asyncio.sleep(wait)
                wait *= 2
        return {}

    def _tell(self, symbol: str, candle: Candle, closed: bool) -> None:
        if candle.start < self._last.get(symbol, 0):
            return
        self._last[symbol] = candle.start
        self._on_candle(symbol, candle, closed)

    # --- the stream ---------------------------------------------------------------------------------------------------

    def _data(self, raw: bytes) -> None:
        try:
            frame = _FRAMES.decode(raw)
            if not frame.stream:
                return  # an answer to a control frame
            message = _MESSAGES.decode(frame.data)
            if self._on_frame is not None:
                self._on_frame(bytes(frame.data), [message])
            self._message(message)
        except ValueError as error:  # msgspec's errors are ValueErrors
            self.bad += 1
            logger.warning("spot frame that cannot be read ({} so far): {}", self.bad, error)

    def _message(self, message: Message) -> None:
        if message.e == "aggTrade":
            symbol = symbol_of(message.s)
            self._silence.heard(symbol, message.T)
            self._on_price("binance", symbol, parse_fixed(message.p, 8, "price"), message.T)
        elif message.e == "kline" and message.k is not None:
            symbol, candle = symbol_of(message.s), _kline_candle(message.k)
            if symbol in self._waiting:
                self._waiting[symbol][candle.start] = (candle, message.k.x)
            else:
                self._tell(symbol, candle, message.k.x)
        elif message.e == "serverShutdown":
            self.link.restart("the venue announced that it closes this connection")


def _row_candle(row: list[object]) -> Candle:
    start, opened, high, low, close, volume = row[:6]
    assert isinstance(start, int), start
    return Candle(start, *(float(str(value)) for value in (opened, high, low, close, volume)))


def _kline_candle(kline: Kline) -> Candle:
    return Candle(kline.t, float(kline.o), float(kline.h), float(kline.l), float(kline.c), float(kline.v))
