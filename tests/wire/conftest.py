"""What the wire tests share: a small quiet exchange on loopback, wallets, and the official client aimed at it."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aiohttp
import httpx
import msgspec
import py_clob_client_v2.http_helpers.helpers as http_helpers
import pytest
from polymarket import PRODUCTION, AsyncSecureClient
from polymarket._internal.environment import create_environment, get_environment_config

from polyhost.exchange.api import MarketDecided
from polyhost.exchange.server import Running, ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.model.market import Market
from polyhost.model.words import Side

from ..unhurried import PATIENCE_S, unhurried_module  # noqa: F401 a fixture

KEY = "0x" + "11" * 32
OTHER_KEY = "0x" + "22" * 32
QUIET = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=0.0))
"""One series, nobody trades but the clients."""
BUSY = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=20.0))
Result = TypeVar("Result")


def faulty(**pathologies: float) -> ServerSettings:
    """The quiet exchange, misbehaving so."""
    return msgspec.structs.replace(QUIET, pathologies=pathologies)


def environment(up: Running) -> Any:
    """The official client's environment, every address of it on loopback."""
    b, w = up.url, up.ws_url
    config = dataclasses.replace(
        get_environment_config(PRODUCTION),
        clob_url=b, gamma_url=b, data_url=b, relayer_url=b, rpc_url=b, rfq_url=b, perps_url=b, builder_gateway_url=b,
        collateral_return_url=b, clob_market_ws_url=w + "/ws/market", clob_user_ws_url=w + "/ws/user",
        rtds_ws_url=w + "/rtds", sports_ws_url=w + "/sports", realtime_ws_url=w + "/ws/live", perps_ws_url=w + "/perps",
        rfq_quoter_ws_url=w + "/rfq", relayer_poll_frequency_ms=20,
    )
    assert "polymarket.com" not in str(config)
    return create_environment(name="sim", config=config)


@asynccontextmanager
async def official(up: Running, key: str = KEY) -> AsyncIterator[AsyncSecureClient]:
    """The official client with a plain wallet."""
    from eth_account import Account

    client = await AsyncSecureClient.create(
        private_key=key, wallet=Account.from_key(key).address, environment=environment(up)
    )
    try:
        yield client
    finally:
        await client.close()


def last_market(up: Running) -> Market:
    """The window that ends last: open for the whole test."""
    windows = [market for market in up.engine.world.listing(False) if market.start is not None]
    return max(windows, key=lambda market: market.end)


def decide(up: Running, market: Market, winner: Side) -> None:
    """The market is resolved at this moment, and everybody is told."""
    now, world = up.engine.clock.now, up.engine.world
    said = world.exchange.decide(market.condition_id, winner, None, None, now)
    listed = world.windows.listed[market.condition_id]
    listed.decided, listed.decided_at = MarketDecided(market.condition_id, winner, None, None), now
    up.engine._give_out(said, now)


def on_exchange(
    body: Callable[[Running], Awaitable[Result]], settings: ServerSettings = QUIET, **options: Any
) -> Result:
    """Run a test body against a fresh exchange."""

    async def whole() -> Result:
        async with running(settings, **options) as up:
            return await body(up)

    return asyncio.run(whole())


async def get(up: Running, path: str, **params: Any) -> Any:
    """The JSON of a public GET; the status is asserted to be 200."""
    async with aiohttp.ClientSession() as session, session.get(up.url + path, params=params) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def status_of(up: Running, method: str, path: str, **options: Any) -> tuple[int, Any]:
    """Status and JSON of any call."""
    async with aiohttp.ClientSession() as session, session.request(method, up.url + path, **options) as response:
        return response.status, await response.json()


async def frames(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
    """Objects that arrive, arrays taken apart."""
    async for message in socket:
        decoded = msgspec.json.decode(message.data)
        for item in decoded if isinstance(decoded, list) else [decoded]:
            yield item


async def until(socket: aiohttp.ClientWebSocketResponse, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first frame that is wanted; fails when it does not come."""
    async with asyncio.timeout(PATIENCE_S):
        async for frame in frames(socket):
            if wanted(frame):
                return frame
    raise AssertionError("the socket ended")


@contextmanager
def standing(up: Running) -> Iterator[None]:
    """Inside, market time stands still: what is asked has no age, and nothing that waits for a moment comes."""
    with up.engine.busy():
        yield


async def passed(up: Running, until_ms: int) -> None:
    """Market time has come that far."""
    async with asyncio.timeout(PATIENCE_S):
        while up.engine.clock.now < until_ms:
            await asyncio.sleep(0.005)


@pytest.fixture
def wire() -> Any:
    """The helpers of this file: tests cannot import their conftest."""
    return sys.modules[__name__]


@pytest.fixture
def own_http(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The second client keeps one module-wide connection pool; a test gets its own and closes it."""
    with httpx.Client(http2=True, timeout=PATIENCE_S) as client:
        monkeypatch.setattr(http_helpers, "_http_client", client)
        yield
