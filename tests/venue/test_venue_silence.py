"""One symbol of a feed freezes while the others go on (CON-02)."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import count, pairwise
from typing import Any

from polyhost.model.events import StreamChanged
from polyhost.venue.binance import BinanceFeed
from polyhost.venue.link import Pace
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.silence import SilenceWatch

from ..unhurried import PATIENCE_S


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_con_02_a_symbol_that_ticked_before_and_is_silent_is_named_while_others_tick() -> None:
    clock = Clock()
    watch = SilenceWatch(60.0, clock)
    for second in range(60):
        clock.now = float(second)
        watch.heard("BTC", second)
        watch.heard("ETH", min(second, 5))  # the same stamp again and again is silence too
        assert watch.problem() == ""
    clock.now = 65.5
    watch.heard("BTC", 65)
    assert watch.problem() == "ETH is silent for 60 s"


def test_con_02_what_stays_silent_is_named_ever_more_rarely_and_anew_after_it_spoke() -> None:
    """A symbol may have ended for good: the others must not lose their connection every minute for it."""
    clock = Clock()
    watch = SilenceWatch(60.0, clock)
    watch.heard("ETH", 1)
    named = []
    for second in range(7_200):
        clock.now = float(second)
        if watch.problem():
            named.append(second)
    assert named[:5] == [61, 182, 423, 904, 1_805]
    assert [b - a for a, b in pairwise(named[4:])] == [901] * (len(named) - 5)
    watch.heard("ETH", 2)
    clock.now += 61
    assert watch.problem() == "ETH is silent for 60 s"


def test_con_02_what_never_ticked_is_not_expected_to() -> None:
    clock = Clock()
    watch = SilenceWatch(60.0, clock)
    clock.now = 10_000.0
    assert watch.problem() == ""


def _trade(symbol: str, stamp: int) -> str:
    trade = {"e": "aggTrade", "E": stamp, "s": symbol, "p": "100.5", "q": "1", "T": stamp}
    return json.dumps({"stream": f"{symbol.lower()}@aggTrade", "data": trade})


def test_con_02_a_frozen_symbol_has_the_spot_stream_made_anew(venue: Any) -> None:
    async def go() -> None:
        told: list[Any] = []
        async with venue() as fake, http_client(fake.url, None, live=False) as http:
            fake.answers["GET /api/v3/klines"] = (200, [])
            feed = BinanceFeed(
                http, fake.ws_url, ["BTC", "ETH"], on_price=lambda *_: None, on_candle=lambda *_: None,
                on_event=told.append, silent_s=0.15,
                pace=Pace(pong_s=PATIENCE_S, first_s=PATIENCE_S, backoff_s=0.01, ping_s=0.04),
            )  # fmt: skip
            task = asyncio.create_task(feed.run())
            await fake.until(lambda: len(fake.opened["/stream"]) == 1)
            (ws,) = fake.opened["/stream"]
            await ws.send_str(_trade("ETHUSDT", 1))
            async with asyncio.timeout(PATIENCE_S):
                for stamp in count():
                    if len(fake.opened["/stream"]) > 1:
                        break
                    with suppress(ConnectionError):  # it is being left
                        if not ws.closed:
                            await ws.send_str(_trade("BTCUSDT", stamp))
                    await asyncio.sleep(0.01)
            feed.close()
            await asyncio.wait_for(task, PATIENCE_S)
        reasons = [event.reason for event in told if isinstance(event, StreamChanged) and event.reason]
        assert reasons[0] == "ETH is silent for 0.15 s"

    asyncio.run(go())


def test_con_04_a_connection_that_the_venue_announces_to_close_is_made_anew_before(venue: Any) -> None:
    async def go() -> None:
        async with venue() as fake, http_client(fake.url, None, live=False) as http:
            fake.answers["GET /api/v3/klines"] = (200, [])
            feed = BinanceFeed(
                http, fake.ws_url, ["BTC"], on_price=lambda *_: None, on_candle=lambda *_: None,
                on_event=lambda _: None, pace=Pace(pong_s=PATIENCE_S, first_s=PATIENCE_S, backoff_s=0.01),
            )  # fmt: skip
            task = asyncio.create_task(feed.run())
            await fake.until(lambda: len(fake.opened["/stream"]) == 1)
            await fake.opened["/stream"][0].send_str(
                json.dumps({"stream": "btcusdt@aggTrade", "data": {"e": "serverShutdown", "E": 1}})
            )
            await fake.until(lambda: len(fake.opened["/stream"]) == 2)
            feed.close()
            await asyncio.wait_for(task, PATIENCE_S)

    asyncio.run(go())
