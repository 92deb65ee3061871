"""Windows of every duration on the wire: found by slug, described by their rule, settled at speed."""

from __future__ import annotations

from typing import Any

import httpx

from polyhost.exchange.server import ServerSettings
from polyhost.exchange.world import WorldSettings
from polyhost.model.series import DURATIONS, window_slug
from polyhost.venue.binance import BinanceFeed
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.discovery import Discovery

EVERY = ServerSettings(
    world=WorldSettings(symbols=("BTC",), durations_s=tuple(DURATIONS.values()), density=0.0, plain_market=False)
)


def test_con_08_con_16_the_host_finds_windows_of_every_duration_on_the_exchange_with_rule_and_strike(wire: Any) -> None:
    """Over HTTP: each running window and the next, its rule, and a candle's strike although the window runs already."""

    async def body(up: Any) -> None:
        async with httpx.AsyncClient(base_url=up.url, trust_env=False) as http:
            events: list[Any] = []
            now = up.engine.clock.now
            clock = VenueClock(steady_s=lambda: 0.0)
            clock.sample(f"{now};1")
            spot = BinanceFeed(
                http, up.ws_url, ["BTC"], on_price=lambda *_: None, on_candle=lambda *_: None, on_event=events.append
            )
            discovery = Discovery(
                Catalogue(http, http), clock, symbols=["BTC"], durations=tuple(DURATIONS), on_event=events.append,
                ask_candle=spot.candle_at,
            )
            await discovery.round()
            found = [event.market for event in events if type(event).__name__ == "MarketFound"]
            strikes = {event.condition_id: event.strike for event in events if type(event).__name__ == "StrikeSeen"}
            assert len(found) == 2 * len(DURATIONS)
            for market in found:
                listed = up.engine.world.market_by_slug(window_slug("BTC", market.duration_s, market.start))
                assert (market.rule, market.start, market.end, market.up) == (
                    listed.rule, listed.start, listed.end, listed.up
                )  # fmt: skip
                by_candle = market.duration_s in (3_600, 86_400) and market.start + 65_000 < now
                if by_candle:
                    assert strikes[market.condition_id] == up.engine.world.windows.strike(market.condition_id)

    wire.on_exchange(body, EVERY)


def test_sim_02_short_windows_are_resolved_over_the_wire(wire: Any) -> None:
    """At speed: the running 5-minute window ends, and the catalogue shows its result, strike and final price."""

    async def body(up: Any) -> None:
        world = up.engine.world
        market = min(world.listing(False), key=lambda each: each.end)
        await wire.passed(up, market.end + 70_000)
        shown = await wire.get(up, f"/markets/slug/{market.slug}")
        resolution = world.resolution(market.condition_id)
        assert resolution is not None
        decided = resolution[0]
        assert shown["closed"] is True
        assert shown["outcomePrices"] == ('["1","0"]' if decided.winner == "UP" else '["0","1"]')
        told = shown["events"][0]["eventMetadata"]
        assert round(told["priceToBeat"] * 1e8) == decided.strike
        assert round(told["finalPrice"] * 1e8) == decided.final

    wire.on_exchange(body, EVERY, speed=600.0, free_running=True)
