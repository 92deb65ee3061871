"""What anybody may ask the venue: is it there, what time is it, may one trade from this place, do its streams speak?

For a look at health: each question is asked once, with a VenueError where there is no usable answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.model.examination import SocketHeard
from polyhost.model.market import Market
from polyhost.venue.clock import HEADER, VenueClock
from polyhost.venue.polymarket.account import error_text, parsed
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.polymarket.market_stream import PING, is_pong
from polyhost.venue.probe import probe

TIME_ASKED: Final = 4
"""Answers of whole seconds; each bounds the skew a little closer."""


class Skew(Struct, frozen=True):
    """How far the venue's clock is from the one it is compared with."""

    ahead_ms: float
    """Above 0: the venue's is ahead."""
    simulated: bool
    """True: against the simulated exchange's own market time; False: against this machine's clock."""
    answered_ms: float
    """The quickest answer."""


class Place(Struct, frozen=True):
    """From where the venue sees us."""

    blocked: bool
    country: str
    region: str


async def skew(endpoints: Endpoints, clock: VenueClock) -> Skew:
    """Ask the venue's time a few times; ``clock`` learns from it. Raises VenueError when it does not answer."""
    quickest = float("inf")
    ahead = 0.0
    async with http_client(endpoints.clob, clock, live=endpoints.live) as http:
        for _ in range(TIME_ASKED):
            asked, began = time.time(), time.monotonic()
            response = await _got(http, "/time")
            quickest = min(quickest, (time.monotonic() - began) * 1_000)
            text = response.text.strip()
            if not text.isdigit():
                raise VenueError(f"/time is no number: {text[:40]!r}", endpoint=endpoints.clob)
            stamp = response.headers.get(HEADER)
            if stamp:
                # Whole seconds, cut off: less than one second apart is the same time.
                apart = int(text) * 1_000 - int(stamp.partition(";")[0])
                ahead = apart if apart > 0 else min(apart + 1_000, 0)
            else:
                clock.prove(int(text), asked, time.time())
                ahead = clock.skew_ms
    return Skew(ahead, clock.simulated, quickest)


async def venue_version(endpoints: Endpoints) -> int:
    """The protocol that the venue's order book speaks. Raises VenueError."""
    async with http_client(endpoints.clob, None, live=endpoints.live) as http:
        said: Any = parsed(await _got(http, "/version"))
    version = said.get("version") if isinstance(said, dict) else None
    if not isinstance(version, int):
        raise VenueError("/version names none", endpoint=endpoints.clob)
    return version


async def place(endpoints: Endpoints) -> Place:
    """Where the venue's website thinks we are. Raises VenueError."""
    async with http_client(endpoints.site, None, live=endpoints.live) as http:
        said: Any = parsed(await _got(http, "/api/geoblock"))
    if not isinstance(said, dict) or not isinstance(said.get("blocked"), bool):
        raise VenueError("/api/geoblock does not say whether this place is blocked", endpoint=endpoints.site)
    return Place(said["blocked"], str(said.get("country") or ""), str(said.get("region") or ""))


async def market_stream(endpoints: Endpoints, market: Market) -> SocketHeard:
    """Subscribe to one market: its books come at once."""
    asked = {"type": "market", "assets_ids": [market.up, market.down], "custom_feature_enabled": True}
    greeting = (msgspec.json.encode(asked).decode(), PING)
    return await probe(
        endpoints.market_ws, greeting, is_first=lambda raw: b'"book"' in raw or b'"bids"' in raw, is_pong=is_pong,
    )


async def spot_stream(endpoints: Endpoints, symbols: Sequence[str]) -> SocketHeard:
    """Binance's streams of the symbols; it answers no text pings, so its first message stands for both."""
    streams = "/".join(f"{symbol.lower()}usdt@kline_1m" for symbol in symbols)

    def tells(raw: bytes) -> bool:
        return b'"stream"' in raw

    return await probe(
        f"{endpoints.binance_ws}/stream?streams={streams}", (), is_first=tells, is_pong=lambda raw: False,
        enough=lambda heard: "first" in heard,
    )


async def spot_rest(endpoints: Endpoints, symbol: str) -> None:
    """Binance's candles can be read. Raises VenueError."""
    async with http_client(endpoints.binance, None, live=endpoints.live) as http:
        said: Any = parsed(await _got(http, f"/api/v3/klines?symbol={symbol.upper()}USDT&interval=1m&limit=1"))
    if not isinstance(said, list) or not said:
        raise VenueError("no candle in the answer", endpoint=endpoints.binance)


async def _got(http: httpx.AsyncClient, path: str) -> httpx.Response:
    """An answer with status 200. Raises VenueError."""
    endpoint = str(http.base_url).rstrip("/")
    try:
        response = await http.get(path)
    except httpx.HTTPError as error:
        raise VenueError(f"does not answer ({error or type(error).__name__})", endpoint=endpoint) from error
    if response.status_code != 200:
        text = error_text(response, parsed(response))
        raise VenueError(f"{path} answers HTTP {response.status_code}: {text}", endpoint=endpoint)
    return response
