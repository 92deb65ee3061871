"""The websocket channels, frame by frame."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from polyhost.exchange.server import sockets
from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.sockets import Socket

from ..unhurried import PATIENCE_S


def test_con_01_a_subscription_begins_with_full_books_and_its_hashes_are_rest_s(wire: Any) -> None:
    """CON-02's witness: the hash of a price change is the hash of the REST book at that moment."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with (
            wire.official(up) as client,
            aiohttp.ClientSession() as session,
            session.ws_connect(up.ws_url + "/ws/market") as socket,
        ):
            await socket.send_json({"type": "market", "assets_ids": [market.up, market.down]})
            first = await socket.receive_json()
            assert [frame["asset_id"] for frame in first] == [market.up, market.down]
            assert all(frame["event_type"] == "book" for frame in first)
            await client.post_order(
                await client.create_limit_order(asset_id=market.down, price="0.30", size="10", side="BUY")
            )
            told = await wire.until(socket, lambda frame: frame["event_type"] == "price_change")
            by_token = {change["asset_id"]: change for change in told["price_changes"]}
            assert (by_token[market.down]["side"], by_token[market.down]["price"]) == ("BUY", "0.3")
            assert (by_token[market.up]["side"], by_token[market.up]["price"]) == ("SELL", "0.7")
            assert (by_token[market.up]["best_bid"], by_token[market.up]["best_ask"]) == ("0", "0.7")
            for token in (market.up, market.down):
                book = await wire.get(up, "/book", token_id=token)
                assert book["hash"] == by_token[token]["hash"]
                assert book["timestamp"] == told["timestamp"]

    wire.on_exchange(body)


def test_con_01_subscriptions_change_while_connected_and_ping_gets_pong(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with (
            wire.official(up) as client,
            aiohttp.ClientSession() as session,
            session.ws_connect(up.ws_url + "/ws/market") as socket,
        ):
            await socket.send_json({"type": "market", "assets_ids": []})
            await socket.send_str("PING")
            assert (await socket.receive_str()) == "PONG"
            await socket.send_json({"operation": "subscribe", "assets_ids": [market.up]})
            assert [frame["asset_id"] for frame in await socket.receive_json()] == [market.up]
            await socket.send_json({"operation": "unsubscribe", "assets_ids": [market.up]})
            await socket.send_str("PING")
            assert (await socket.receive_str()) == "PONG"
            await client.post_order(
                await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            )
            await socket.send_str("PING")
            assert (await socket.receive_str()) == "PONG"
            await socket.send_str("not json")
            assert "error" in await socket.receive_json()
            pong = await socket._writer.send_frame(b"now", aiohttp.WSMsgType.PING)
            assert pong is None
            await socket.send_str("PING")
            assert (await socket.receive_str()) == "PONG"

    wire.on_exchange(body)


def test_con_01_custom_features_tell_best_prices_new_and_resolved_markets(wire: Any) -> None:
    async def body(up: Any) -> None:
        world = up.engine.world
        # Not the running one: it may end before anybody has subscribed.
        later = up.engine.clock.now + 60_000
        first = min((m for m in world.listing(False) if m.start is not None and m.end > later), key=lambda m: m.end)
        async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/market") as socket:
            await socket.send_json({"type": "market", "assets_ids": [first.up], "custom_feature_enabled": True})
            seen: dict[str, Any] = {}
            async with asyncio.timeout(PATIENCE_S):
                async for frame in wire.frames(socket):
                    seen.setdefault(frame["event_type"], frame)
                    if {"best_bid_ask", "new_market", "market_resolved"} <= set(seen):
                        break
            resolved = seen["market_resolved"]
            assert resolved["market"] == first.condition_id
            winner = world.resolution(first.condition_id)[0].winner
            assert resolved["winning_asset_id"] == first.token(winner)
            assert seen["new_market"]["slug"].startswith("btc-updown-5m-")
            assert seen["best_bid_ask"]["asset_id"] == first.up

    wire.on_exchange(body, settings=wire.BUSY, speed=200.0)


def test_ord_10_the_user_channel_tells_a_key_its_own_orders_and_trades_only(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with (
            wire.official(up) as maker,
            wire.official(up, wire.OTHER_KEY) as taker,
            aiohttp.ClientSession() as session,
            session.ws_connect(up.ws_url + "/ws/user") as socket,
        ):
            shown = maker.credentials
            auth = {"apiKey": shown.key, "secret": shown.secret, "passphrase": shown.passphrase}
            await socket.send_json({"type": "user", "auth": auth})
            await socket.send_str("PING")
            assert (await socket.receive_str()) == "PONG"
            posted = await maker.post_order(
                await maker.create_limit_order(asset_id=market.up, price="0.40", size="10", side="BUY")
            )
            placed = await wire.until(socket, lambda frame: frame["event_type"] == "order")
            assert (placed["type"], placed["id"], placed["status"]) == ("PLACEMENT", posted.order_id, "LIVE")
            assert (placed["associate_trades"], placed["owner"]) == ([], shown.key)
            await taker.post_order(
                await taker.create_limit_order(asset_id=market.down, price="0.60", size="6", side="BUY")
            )
            statuses = []
            updated = None
            async with asyncio.timeout(PATIENCE_S):
                async for frame in wire.frames(socket):
                    if frame["event_type"] == "order":
                        updated = frame
                        assert frame["id"] == posted.order_id, "another key's order was shown"
                    else:
                        statuses.append(frame["status"])
                        assert frame["trader_side"] == "MAKER"
                        assert frame["maker_orders"][0]["order_id"] == posted.order_id
                        if frame["status"] == "CONFIRMED":
                            break
            assert statuses == ["MATCHED", "MINED", "CONFIRMED"]
            assert updated is not None
            assert (updated["type"], updated["size_matched"]) == ("UPDATE", "6")
            await maker.cancel_order(order_id=posted.order_id)
            gone = await wire.until(socket, lambda frame: frame["event_type"] == "order")
            assert (gone["type"], gone["status"], gone["size_matched"]) == ("CANCELLATION", "CANCELED", "6")

    wire.on_exchange(body, speed=20.0)


@pytest.mark.parametrize("frame", ['{"type":"user","auth":{"apiKey":"x","secret":"y","passphrase":"z"}}', "{}", "?"])
def test_sim_01_a_bad_key_closes_the_user_channel(wire: Any, frame: str) -> None:
    async def body(up: Any) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/user") as socket:
            await socket.send_str(frame)
            message = await socket.receive(timeout=PATIENCE_S)
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == 4001

    wire.on_exchange(body)


def test_con_16_the_live_channel_wants_a_key_and_begins_with_two_minutes(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with (
            wire.official(up) as client,
            aiohttp.ClientSession() as session,
            session.ws_connect(up.ws_url + "/ws/live") as socket,
        ):
            twap = {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 60}}
            await socket.send_json({"op": "subscribe", "rid": "1", "subscriptions": [twap]})
            assert await socket.receive_json() == {"op": "error", "code": "auth_required", "rid": "1"}
            await socket.send_json({"op": "auth", "rid": "2", "auth": {"apiKey": "x"}})
            assert await socket.receive_json() == {"op": "error", "code": "auth_invalid", "rid": "2"}
            shown = client.credentials
            auth = {"apiKey": shown.key, "secret": shown.secret, "passphrase": shown.passphrase}
            await socket.send_json({"op": "auth", "rid": "3", "auth": auth})
            assert await socket.receive_json() == {"op": "authed", "rid": "3"}
            wrong = {"channel": "price.crypto", "filter": {"symbol": "nonusd"}}
            await socket.send_json({"op": "subscribe", "rid": "4", "subscriptions": [twap, wrong]})
            assert await socket.receive_json() == {"op": "subscribed", "channel": "price.crypto.twap", "rid": "4"}
            refused = await socket.receive_json()
            assert (refused["code"], refused["channel"]) == ("bad_filter", "price.crypto")
            snapshot = await socket.receive_json()
            assert (snapshot["snapshot"], snapshot["seq"]) == (True, 1)
            stamps = [point["timestamp"] for point in snapshot["payload"]["data"]]
            assert 115 <= len(stamps) <= 121
            assert [b - a for a, b in pairwise(stamps)] == [1_000] * (len(stamps) - 1)
            update = await socket.receive_json()
            assert (update["seq"], update["payload"]["timestamp"]) == (2, stamps[-1] + 1_000)
            assert update["payload"]["window_seconds"] == 60
            await socket.send_json({"op": "ping", "rid": "5"})
            await wire.until(socket, lambda frame: frame.get("op") == "pong")

    wire.on_exchange(body, speed=10.0)


def test_con_04_binance_streams_raw_combined_and_subscribed_later(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(up.ws_url + "/ws/btcusdt@aggTrade") as socket:
                told = await socket.receive_json(timeout=PATIENCE_S)
                assert (told["e"], told["s"]) == ("aggTrade", "BTCUSDT")
                assert len(told["p"].split(".")[1]) == 8
                await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 7})
                assert (await wire.until(socket, lambda frame: "result" in frame)) == {"result": None, "id": 7}
                quote = await wire.until(socket, lambda frame: "u" in frame)
                assert float(quote["b"]) < float(quote["a"])
            async with session.ws_connect(up.ws_url + "/stream?streams=btcusdt@kline_1m/btcusdt@aggTrade") as socket:
                candle = await wire.until(socket, lambda frame: frame["stream"] == "btcusdt@kline_1m")
                assert candle["data"]["k"]["i"] == "1m"
                closed = await wire.until(
                    socket, lambda frame: frame["stream"] == "btcusdt@kline_1m" and frame["data"]["k"]["x"]
                )
                assert closed["data"]["k"]["T"] - closed["data"]["k"]["t"] == 59_999

    wire.on_exchange(body, speed=60.0)


def test_con_16_legacy_topics_give_a_backlog_and_updates(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/rtds") as socket:
            topics = ("crypto_prices", "crypto_prices_chainlink", "crypto_prices_twap_sixty")
            items = [{"topic": topic, "type": "update"} for topic in topics]
            await socket.send_json({"action": "subscribe", "subscriptions": items})
            backlog = [await socket.receive_json() for _ in topics]
            assert [frame["type"] for frame in backlog] == ["subscribe"] * 3
            seen = set()
            async with asyncio.timeout(PATIENCE_S):
                async for frame in wire.frames(socket):
                    seen.add((frame["topic"], frame["payload"]["symbol"]))
                    if len(seen) == 3:
                        break
            assert seen == {
                ("crypto_prices", "btcusdt"), ("crypto_prices_chainlink", "btc/usd"),
                ("crypto_prices_twap_sixty", "btc/usd"),
            }

    wire.on_exchange(body, speed=10.0)


def test_the_wire_s_books_stay_equal_to_the_core_s(wire: Any) -> None:
    """Ten minutes of a busy market: after them every level of every open book is the same on both sides of the wire."""

    async def body(up: Any) -> None:
        engine = up.engine
        until = engine.clock.now + 600_000
        async with asyncio.timeout(PATIENCE_S):
            while engine.clock.now < until:
                await asyncio.sleep(0.01)
        compared = 0
        for market in engine.world.listing(False):
            fresh = WireBook(market, engine.clock.now)
            fresh.replace(engine.world.exchange.snapshot(market.up), engine.clock.now)
            shown = engine.books[market.up]
            assert shown.levels(market.up) == fresh.levels(market.up)
            assert shown.levels(market.down) == fresh.levels(market.down)
            assert shown.tick == fresh.tick
            compared += bool(shown.levels(market.up)[0])
        assert compared >= 3

    wire.on_exchange(body, settings=wire.BUSY, speed=300.0, free_running=True)


def test_a_client_that_reads_nothing_holds_market_time_back(wire: Any) -> None:
    """Market time never runs away from a reader; when it reads again, time goes on."""

    async def body(up: Any) -> None:
        engine = up.engine
        tokens = [token for market in engine.world.listing(False) for token in (market.up, market.down)]
        async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/market") as socket:
            transport = socket._conn.transport
            await socket.send_json({"type": "market", "assets_ids": tokens})
            await socket.receive()
            transport.pause_reading()
            async with asyncio.timeout(PATIENCE_S):
                while not engine.held:
                    await asyncio.sleep(0.001)
            before = engine.clock.now
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert engine.held
            assert engine.clock.now == before
            transport.resume_reading()
            async with asyncio.timeout(PATIENCE_S):
                while engine.clock.now < before + 1_000:
                    await socket.receive()

    wire.on_exchange(body, settings=wire.BUSY, speed=60.0)


def test_a_client_may_wait_for_its_order_without_reading_its_streams(wire: Any) -> None:
    """One that posts and reads in turn answers no ping meanwhile: its order's taker delay passes all the same."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with (
            wire.official(up) as maker,
            wire.official(up, wire.OTHER_KEY) as taker,
            aiohttp.ClientSession() as session,
            session.ws_connect(up.ws_url + "/ws/market") as socket,
        ):
            await maker.post_order(
                await maker.create_limit_order(asset_id=market.up, price="0.40", size="10", side="BUY")
            )
            signed = await taker.create_limit_order(asset_id=market.down, price="0.60", size="6", side="BUY")
            await socket.send_json({"type": "market", "assets_ids": [market.up]})
            async with asyncio.timeout(PATIENCE_S):
                while not up.engine.held:
                    await asyncio.sleep(0.001)
                assert (await taker.post_order(signed)).status == "matched"

    wire.on_exchange(body, speed=60.0)


def test_a_client_that_stays_stuck_is_dropped_and_market_time_goes_on(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are never dropped silently: the one way out is the venue's, the connection ends (4002)."""
    monkeypatch.setattr("polyhost.exchange.server.sockets.STUCK_S", 0.1)
    monkeypatch.setattr("polyhost.exchange.server.sockets.CLOSING_S", 0.1)

    async def body(up: Any) -> None:
        engine = up.engine
        tokens = [token for market in engine.world.listing(False) for token in (market.up, market.down)]
        async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/market") as socket:
            await socket.send_json({"type": "market", "assets_ids": tokens})
            await socket.receive()
            socket._conn.transport.pause_reading()
            async with asyncio.timeout(PATIENCE_S):
                while engine.crowd.sockets:
                    await asyncio.sleep(0.002)
            socket._conn.transport.resume_reading()
            last = await socket.receive()
            while last.type is aiohttp.WSMsgType.TEXT:
                last = await socket.receive()
            assert last.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        before = engine.clock.now
        async with asyncio.timeout(PATIENCE_S):
            while engine.clock.now <= before:
                await asyncio.sleep(0.002)

    wire.on_exchange(body, settings=wire.BUSY, speed=60.0, free_running=True)


def test_a_write_that_never_ends_ends_the_connection() -> None:
    """With the client's buffers full not even a closing frame leaves: the connection is aborted."""

    class Transport:
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    async def body() -> None:
        socket, transport = Socket(), Transport()
        socket._transport = transport  # type: ignore[assignment]
        socket._writing_since = 100.0
        socket.check(100.0 + sockets.STUCK_S)
        assert not transport.aborted
        assert socket.holds(100.0 + sockets.STUCK_S, 1.0)
        socket.check(100.1 + sockets.STUCK_S)
        assert transport.aborted

    asyncio.run(body())
