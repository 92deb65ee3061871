"""Pathologies as an official client meets them: HTTP answers, websockets, the catalogue and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from polymarket.errors import (
    OrderHeartbeatMismatchError,
    RateLimitError,
    RequestRejectedError,
    TransportError,
)
from polymarket.models.clob.order_response import AcceptedOrder

from polyhost.exchange.pathologies.catalogue import BY_NAME
from polyhost.exchange.pathologies.chance import Episode

from ..unhurried import PATIENCE_S


def faulty(wire: Any, **probabilities: float) -> Any:
    """A quiet exchange that misbehaves so."""
    return msgspec.structs.replace(wire.QUIET, pathologies=probabilities)


def begin(up: Any, name: str, since_ms: int = 1, lasts_ms: int = 3_600_000) -> None:
    """An episode goes on now (and whatever period comes next)."""
    now, period = up.engine.clock.now, BY_NAME[name].period_ms
    for number in (now // period, now // period + 1):
        up.engine.pathologies._episodes[name, number] = Episode(now - since_ms, now + lasts_ms)


async def limit(client: Any, market: Any, price: str = "0.40", size: str = "10", **more: Any) -> Any:
    signed = await client.create_limit_order(asset_id=market.up, price=price, size=size, side="BUY", **more)
    return await client.post_order(signed)


async def open_ids(client: Any) -> list[str]:
    return [row.id for row in (await client.list_open_orders().first_page()).items]


@asynccontextmanager
async def user_stream(up: Any, client: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    shown = client.credentials
    auth = {"apiKey": shown.key, "secret": shown.secret, "passphrase": shown.passphrase}
    async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/user") as socket:
        await socket.send_json({"type": "user", "auth": auth})
        await ping(socket)
        yield socket


async def ping(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Frames that come before the answer to a ping."""
    await socket.send_str("PING")
    found = []
    async with asyncio.timeout(PATIENCE_S):
        while (text := await socket.receive_str()) != "PONG":
            found.append(msgspec.json.decode(text))
    return found


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_an_error_may_hide_an_order_that_rests(wire: Any, chance: float) -> None:
    async def body(up: Any) -> None:
        async with wire.official(up) as client:
            if chance:
                with pytest.raises(RequestRejectedError) as refused:
                    await limit(client, wire.last_market(up))
                assert refused.value.status == 500
            else:
                assert isinstance(await limit(client, wire.last_market(up)), AcceptedOrder)
            assert len(await open_ids(client)) == 1

    wire.on_exchange(body, settings=faulty(wire, error_but_filled=chance))


def test_sim_a_post_that_is_never_answered_may_rest(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with wire.official(up) as client:
            with pytest.raises(TransportError):
                await limit(client, wire.last_market(up))
            assert len(await open_ids(client)) == 1

    wire.on_exchange(body, settings=faulty(wire, timeout_but_filled=1.0), speed=50.0)


@pytest.mark.parametrize(
    ("name", "status", "restriction"),
    [("http_425", 425, "restarting"), ("cancel_only", 503, "cancel_only"), ("post_only_restart", 503, "post_only")],
)
def test_sim_the_venues_modes_refuse_orders_in_its_own_words(
    wire: Any, name: str, status: int, restriction: str
) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        up.engine.pathologies.probabilities.clear()
        async with wire.official(up) as client:
            resting = await limit(client, market)
            up.engine.pathologies.probabilities[name] = 1.0
            begin(up, name, since_ms=6_000)
            with pytest.raises(RequestRejectedError) as refused:
                await limit(client, market)
            assert (refused.value.status, refused.value.restriction) == (status, restriction)
            if name == "http_425":
                with pytest.raises(RequestRejectedError) as refused:
                    await client.cancel_order(order_id=resting.order_id)
                assert refused.value.status == 425
            else:
                cancelled = await client.cancel_order(order_id=resting.order_id)
                assert tuple(cancelled.canceled) == (resting.order_id,)
            if name == "post_only_restart":
                assert isinstance(await limit(client, market, post_only=True), AcceptedOrder)

    wire.on_exchange(body, settings=faulty(wire, **{name: 1.0}))


def test_sim_a_rate_limit_names_the_time_to_wait(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            for asked in (limit(client, market), client.list_open_orders().first_page()):
                with pytest.raises(RateLimitError) as refused:
                    await asked
                assert refused.value.retry_after == 1
            up.engine.pathologies.probabilities.clear()
            assert await open_ids(client) == []

    wire.on_exchange(body, settings=faulty(wire, rate_limit=1.0))


def test_ord_07_a_cancel_may_be_done_and_answered_with_404(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with wire.official(up) as client:
            posted = await limit(client, wire.last_market(up))
            with pytest.raises(RequestRejectedError) as refused:
                await client.cancel_order(order_id=posted.order_id)
            assert refused.value.status == 404
            assert await open_ids(client) == []

    wire.on_exchange(body, settings=faulty(wire, cancel_404=1.0))


def test_sim_heartbeats_that_are_missed_cancel_everything(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with wire.official(up) as client:
            up.engine.pathologies.probabilities.clear()
            await limit(client, wire.last_market(up))
            beat = (await client.send_order_heartbeat()).heartbeat_id
            up.engine.pathologies.probabilities["heartbeat_lost"] = 1.0
            begin(up, "heartbeat_lost")
            with pytest.raises(RequestRejectedError) as refused:
                await client.send_order_heartbeat(heartbeat_id=beat)
            assert refused.value.status == 500
            async with asyncio.timeout(PATIENCE_S):
                while await open_ids(client):
                    await asyncio.sleep(0.01)
            up.engine.pathologies.probabilities.clear()
            with pytest.raises(OrderHeartbeatMismatchError):
                await client.send_order_heartbeat(heartbeat_id=beat)

    wire.on_exchange(body, settings=faulty(wire, heartbeat_lost=1.0))


def test_sim_a_ghost_fill_is_reversed_on_the_wire_too(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as maker, wire.official(up, wire.OTHER_KEY) as taker:
            await maker.post_order(
                await maker.create_limit_order(asset_id=market.down, price="0.45", size="20", side="BUY")
            )
            bought = await taker.post_order(
                await taker.create_market_order(asset_id=market.up, side="BUY", amount="5.5", max_price="0.55")
            )
            assert bought.taking_amount == 10
            async with asyncio.timeout(PATIENCE_S):
                while (await taker.list_account_trades().first_page()).items[0].status != "FAILED":
                    await asyncio.sleep(0.02)
            for client in (maker, taker):
                balance = await client.get_balance_allowance(asset_type="COLLATERAL")
                assert balance.balance == 1_000_000_000

    wire.on_exchange(body, settings=faulty(wire, ghost_fill=1.0), speed=100.0)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_sim_a_killed_order_may_be_told_with_empty_texts(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client, user_stream(up, client) as socket:
            with pytest.raises(RequestRejectedError):
                await client.post_order(
                    await client.create_market_order(asset_id=market.up, side="BUY", amount="5", max_price="0.50")
                )
            told = await wire.until(socket, lambda frame: frame["event_type"] == "order")
            assert (told["type"], told["size_matched"], told["created_at"]) == ("CANCELLATION", "", "")
            assert told["status"].startswith("CANCELED_no orders found to match with FAK order")

    wire.on_exchange(body, settings=faulty(wire, empty_size_matched=1.0))


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_ord_10_the_stream_may_never_tell_a_cancel(wire: Any, chance: float) -> None:
    async def body(up: Any) -> None:
        async with wire.official(up) as client, user_stream(up, client) as socket:
            posted = await limit(client, wire.last_market(up))
            await client.cancel_order(order_id=posted.order_id)
            kinds = [frame["type"] for frame in await ping(socket)]
            assert kinds == (["PLACEMENT"] if chance else ["PLACEMENT", "CANCELLATION"])

    wire.on_exchange(body, settings=faulty(wire, missing_cancel_event=chance))


def test_con_a_frozen_stream_answers_pings_and_tells_nothing(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        begin(up, "ws_freeze")
        async with (
            wire.official(up) as client, user_stream(up, client) as socket, aiohttp.ClientSession() as session,
            session.ws_connect(up.ws_url + "/ws/market") as books,
        ):
            await books.send_json({"type": "market", "assets_ids": [market.up]})
            await ping(books)
            await limit(client, market)
            assert await ping(socket) == []
            assert await ping(books) == []
            (bid,) = (await client.get_order_book(asset_id=market.up)).bids
            assert bid.size == 10, "REST knows it"

    wire.on_exchange(body, settings=faulty(wire, ws_freeze=1.0))


def test_con_a_stream_that_breaks_cannot_be_connected_until_it_is_over(wire: Any) -> None:
    async def body(up: Any) -> None:
        up.engine.pathologies.probabilities.clear()
        async with wire.official(up) as client, user_stream(up, client) as socket:
            up.engine.pathologies.probabilities["ws_gap"] = 1.0
            begin(up, "ws_gap")
            message = await socket.receive(timeout=PATIENCE_S)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with user_stream(up, client):
                    raise AssertionError("it was let in")
            assert refused.value.status == 503
            await limit(client, wire.last_market(up))
            up.engine.pathologies.probabilities.clear()
            async with user_stream(up, client) as again:
                assert await ping(again) == [], "nothing is replayed"

    wire.on_exchange(body, settings=faulty(wire, ws_gap=1.0))


# --- the catalogue and the clock --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_con_05_a_window_may_be_listed_after_it_opened(wire: Any, chance: float) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        status, _ = await wire.status_of(up, "GET", f"/markets/slug/{market.slug}")
        listed = [row["slug"] for row in (await wire.get(up, "/markets/keyset"))["markets"]]
        assert (status, market.slug in listed) == ((404, False) if chance else (200, True))

    wire.on_exchange(body, settings=faulty(wire, gamma_late=chance))


def test_con_the_venues_clock_may_be_off(wire: Any) -> None:
    async def body(up: Any) -> None:
        told = await wire.get(up, "/time")
        assert 1 < abs(told - up.engine.clock.now // 1_000) < 22
        assert up.engine.clock.header.startswith(str(up.engine.clock.now)), "market time itself is not"

    wire.on_exchange(body, settings=faulty(wire, clock_skew=1.0))


def test_sim_the_exchange_lives_and_its_money_is_right_whatever_strikes(wire: Any) -> None:
    """Ten minutes of a busy market with everything switched on: windows end, are decided, and new ones open."""
    wired = {name: 0.2 for name, one in BY_NAME.items() if "wire" in one.layers}
    settings = msgspec.structs.replace(wire.BUSY, pathologies=wired)

    async def body(up: Any) -> None:
        until, happened = up.engine.clock.now + 600_000, up.engine.pathologies.happened
        answered = 0
        async with wire.official(up) as client:
            # On a slow machine fewer orders are sent in this time: it goes on until enough has struck.
            while up.engine.clock.now < until or not answered or len(happened) <= 10:
                markets = [market for market in up.engine.world.listing(False) if market.accepting]
                try:
                    async with asyncio.timeout(10):
                        posted = await limit(client, markets[0], price="0.60")
                        if isinstance(posted, AcceptedOrder):
                            await client.cancel_order(order_id=posted.order_id)
                    answered += 1
                except (RequestRejectedError, RateLimitError, TransportError, TimeoutError):
                    pass  # what is struck is not the question here
                await asyncio.sleep(0.005)
                assert not up.drive.done()
        assert up.engine.world.exchange.audit() == []

    wire.on_exchange(body, settings=settings, speed=200.0)


def test_an_exchange_without_pathologies_has_no_faults(wire: Any) -> None:
    async def body(up: Any) -> None:
        assert up.engine.faults is None
        assert not up.engine.pathologies

    wire.on_exchange(body)
