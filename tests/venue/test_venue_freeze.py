"""The exchange freezes its market stream, pings answered: the witness finds it, and the books come back right."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from polyhost.exchange.pathologies.catalogue import BY_NAME
from polyhost.exchange.pathologies.chance import Episode
from polyhost.exchange.server import Running, ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.kernel.hotpath import Feed
from polyhost.model.events import StreamChanged
from polyhost.model.messages import Message
from polyhost.venue.clock import VenueClock
from polyhost.venue.link import Pace
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.polymarket.rest_books import RestBooks
from polyhost.venue.polymarket.streams import MarketStream
from polyhost.venue.polymarket.witness import BookWitness, WitnessPace, same_book
from polyhost.venue.rotation import Turnover

from ..unhurried import PATIENCE_S

SETTINGS = ServerSettings(
    world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=20.0), pathologies={"ws_freeze": 1e-9}
)
QUICK = WitnessPace(round_s=0.02, quiet_ms=100, quiet_min_s=0.1, settle_s=0.1, mercy_s=0.5)


def freeze(up: Running, lasts_ms: int) -> None:
    """From now on nothing comes through the streams, for so long."""
    now, period = up.engine.clock.now, BY_NAME["ws_freeze"].period_ms
    for number in (now // period, now // period + 1):
        up.engine.pathologies._episodes["ws_freeze", number] = Episode(now - 1, now + lasts_ms)


def test_con_02_a_stream_that_the_exchange_freezes_is_found_and_its_books_come_back_right() -> None:
    events: list[Any] = []

    async def go() -> None:
        async with running(SETTINGS) as up, AsyncExitStack() as stack:
            clock, feed = VenueClock(), Feed()
            places = endpoints_at(up.url, up.ws_url)
            http = http_client(places.clob, clock, live=False)
            stack.push_async_callback(http.aclose)
            await clock.ask(http)
            market = max((each for each in up.engine.world.listing(False) if each.start is not None),
                         key=lambda each: -each.end)  # fmt: skip
            book = feed.add(market.condition_id, market.up, market.down)

            def frame(raw: bytes, messages: list[Message]) -> None:
                for message in messages:
                    feed.apply(message, clock.now())

            def event(told: Any) -> None:
                events.append(told)
                book.spoil()

            stream = MarketStream(
                places.market_ws, on_frame=frame, on_event=event, clock=clock,
                pace=Pace(pong_s=PATIENCE_S, data_s=0, first_s=1.0, backoff_s=0.01),
                turnover=Turnover(every_s=0, whole_s=0.2),
            )  # fmt: skip
            reads = RestBooks(http)
            witness = BookWitness(
                stream, reads, clock, book_of=lambda _: book, lost=list, on_frame=frame, pace=QUICK
            )
            stream.follow(market)
            tasks = [asyncio.create_task(stream.run()), asyncio.create_task(witness.run())]
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not book.ready:
                        await asyncio.sleep(0.01)
                    link, before, spoiled = stream.link, stream.link.reconnects, witness.spoiled
                    freeze(up, 3_600_000)
                    while witness.spoiled == spoiled:
                        await asyncio.sleep(0.01)
                    assert not book.ready
                    assert link.reconnects == before, "connected all the time, and never told that anything was wrong"
                    freeze(up, 0)
                    agreed = False
                    while not agreed:
                        await asyncio.sleep(0.05)
                        theirs = (await reads.books([market.up])).get(market.up)
                        agreed = theirs is not None and same_book(book, theirs)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in ended), ended
            spoils = [e for e in events if isinstance(e, StreamChanged) and e.tokens]
            assert spoils[0].up
            assert set(spoils[0].tokens) == {market.up, market.down}

    asyncio.run(go())
