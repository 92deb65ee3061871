from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from polyhost.model.events import StreamChanged
from polyhost.model.view import Candle
from polyhost.venue import binance
from polyhost.venue.binance import BinanceFeed
from polyhost.venue.link import Pace

from ..unhurried import PATIENCE_S

FAST = Pace(
    ping_s=0.05, pong_s=PATIENCE_S, first_s=PATIENCE_S, open_s=PATIENCE_S, data_s=0.0, backoff_s=0.01,
    backoff_max_s=0.02,
)
MINUTE = 60_000


def _row(start: int, close: str = "10.5") -> list[Any]:
    return [start, "10", "11", "9", close, "3.5", start + MINUTE - 1, "0", 1, "0", "0", "0"]


def _kline(start: int, close: str, closed: bool = False) -> str:
    k = {"t": start, "T": start + MINUTE - 1, "s": "BTCUSDT", "i": "1m", "o": "10", "c": close, "h": "11", "l": "9",
         "v": "3.5", "x": closed}  # fmt: skip
    return json.dumps({"stream": "btcusdt@kline_1m", "data": {"e": "kline", "E": 5, "s": "BTCUSDT", "k": k}})


def _print(price: str, stamp: int) -> str:
    data = {"e": "aggTrade", "E": 5, "s": "BTCUSDT", "a": 1, "p": price, "q": "0.1", "T": stamp, "m": True, "M": True}
    return json.dumps({"stream": "btcusdt@aggTrade", "data": data})


class Spot:
    """A running feed and what it told."""

    def __init__(self, fake: Any, http: httpx.AsyncClient) -> None:
        self.prices: list[Any] = []
        self.candles: list[tuple[int, float, bool]] = []
        self.events: list[Any] = []
        self.frames: list[bytes] = []
        self.feed = BinanceFeed(
            http, fake.ws_url, ["btc"], on_price=lambda *price: self.prices.append(price), on_candle=self._candle,
            on_event=self.events.append, on_frame=lambda raw, _: self.frames.append(raw), pace=FAST,
        )  # fmt: skip

    def _candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        assert symbol == "BTC"
        self.candles.append((candle.start, candle.close, closed))


def _run(venue: Any, job: Any) -> None:
    async def go() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            spot = Spot(fake, http)
            task = asyncio.create_task(spot.feed.run())
            try:
                await job(fake, spot)
            finally:
                spot.feed.close()
                await asyncio.wait_for(task, PATIENCE_S)

    asyncio.run(go())


def test_con_04_prints_and_candles_with_an_hour_of_backlog(venue: Any) -> None:
    async def job(fake: Any, spot: Spot) -> None:
        fake.answers["GET /api/v3/klines"] = (200, [_row(0), _row(MINUTE)])
        await fake.until(lambda: len(spot.candles) == 2)
        ws = fake.opened["/stream"][0]
        await ws.send_str(_print("65000.12345678", 61_000))
        await ws.send_str(_kline(MINUTE, "10.75", closed=True))
        await ws.send_str(_kline(2 * MINUTE, "10.8"))
        await ws.send_str('{"result":null,"id":1}')
        await fake.until(lambda: len(spot.candles) == 4)
        assert fake.asked("GET /api/v3/klines")[0][0] == {"symbol": "BTCUSDT", "interval": "1m", "limit": "60"}
        assert spot.prices == [("binance", "BTC", 6_500_012_345_678, 61_000)]
        assert spot.candles[:2] == [(0, 10.5, True), (MINUTE, 10.5, False)]
        assert spot.candles[2:] == [(MINUTE, 10.75, True), (2 * MINUTE, 10.8, False)]
        assert [json.loads(raw)["e"] for raw in spot.frames] == ["aggTrade", "kline", "kline"]
        assert spot.events == [StreamChanged("spot", True, 1)]

    _run(venue, job)


def test_live_candles_wait_for_the_backlog_so_that_starts_never_go_back(
    venue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It does not give up, however long this takes.
    monkeypatch.setattr(binance, "BACKFILL_WAIT_S", 0.01)
    monkeypatch.setattr(binance, "BACKFILL_TRIES", 1_000)

    async def job(fake: Any, spot: Spot) -> None:
        fake.answers["GET /api/v3/klines"] = (500, {})
        await fake.until(lambda: bool(fake.opened["/stream"]))
        await fake.opened["/stream"][0].send_str(_kline(2 * MINUTE, "10.9"))
        await fake.opened["/stream"][0].send_str(_kline(MINUTE, "10.7", closed=True))
        await fake.opened["/stream"][0].send_str(_print("1", 1))
        await fake.until(lambda: bool(spot.prices))
        assert spot.candles == []
        fake.answers["GET /api/v3/klines"] = (200, [_row(0), _row(MINUTE)])
        await fake.until(lambda: len(spot.candles) == 3)
        assert spot.candles == [(0, 10.5, True), (MINUTE, 10.7, True), (2 * MINUTE, 10.9, False)]

    _run(venue, job)


def test_a_backlog_that_cannot_be_had_does_not_stop_live_candles(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance, "BACKFILL_WAIT_S", 0.001)

    async def job(fake: Any, spot: Spot) -> None:
        await fake.until(lambda: len(fake.asked("GET /api/v3/klines")) == binance.BACKFILL_TRIES)
        await fake.opened["/stream"][0].send_str(_kline(MINUTE, "10.7"))
        await fake.until(lambda: spot.candles == [(MINUTE, 10.7, False)])

    _run(venue, job)


def test_con_04_after_a_disconnect_the_gap_is_filled_and_nothing_older_is_told_again(venue: Any) -> None:
    async def job(fake: Any, spot: Spot) -> None:
        fake.answers["GET /api/v3/klines"] = [(200, [_row(0), _row(MINUTE)]), (200, [_row(0), _row(MINUTE, "10.9"),
                                                                                     _row(2 * MINUTE)])]  # fmt: skip
        await fake.until(lambda: len(spot.candles) == 2)
        await fake.opened["/stream"][0].close()
        await fake.until(lambda: len(spot.candles) == 4)
        assert spot.candles[2:] == [(MINUTE, 10.9, True), (2 * MINUTE, 10.5, False)]
        assert [(event.up, event.epoch) for event in spot.events] == [(True, 1), (False, 1), (True, 2)]

    _run(venue, job)


def test_spot_frames_that_cannot_be_read_are_counted(venue: Any) -> None:
    async def job(fake: Any, spot: Spot) -> None:
        await fake.until(lambda: bool(fake.opened["/stream"]))
        for text in ("what", "7", _print("1.x", 1), '{"stream":"s","data":{"e":5}}', _print("2", 2)):
            await fake.opened["/stream"][0].send_str(text)
        await fake.until(lambda: bool(spot.prices))
        assert spot.feed.bad == 4
        assert spot.prices == [("binance", "BTC", 200_000_000, 2)]

    _run(venue, job)
