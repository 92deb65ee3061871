"""SIM-03: the pathologies of trades, money, streams and markets as a client on loopback meets them, each for certain.

What strikes answers to requests is in test_wire_pathologies.py and test_wire_chain.py. The last test holds that every
pathology of the wire has its test.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from polymarket.errors import RequestRejectedError

from polyhost.exchange.pathologies.catalogue import BY_NAME, WIRE
from polyhost.exchange.pathologies.chance import Episode
from polyhost.model.words import Action, OrderType, Side

from ..unhurried import PATIENCE_S


def faulty(wire: Any, **probabilities: float) -> Any:
    return msgspec.structs.replace(wire.QUIET, pathologies=probabilities)


def begin(up: Any, name: str) -> None:
    now, period = up.engine.clock.now, BY_NAME[name].period_ms
    for number in (now // period, now // period + 1):
        up.engine.pathologies._episodes[name, number] = Episode(now - 1, now + 3_600_000)


def plain_market(up: Any) -> Any:
    return next(market for market in up.engine.world.listing(False) if market.start is None)


async def limit(client: Any, token: str, price: str, size: str = "10", side: str = "BUY") -> Any:
    return await client.post_order(
        await client.create_limit_order(asset_id=token, price=price, size=size, side=side)
    )


async def buy(client: Any, token: str, amount: str = "5.5", price: str = "0.55") -> Any:
    return await client.post_order(
        await client.create_market_order(asset_id=token, side="BUY", amount=amount, max_price=price)
    )


class Listener:
    """The user channel of one client, frames as they come."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def until(self, wanted: Any) -> list[dict[str, Any]]:
        """Listen until ``wanted(frames)``; fails when that does not come."""
        async with asyncio.timeout(PATIENCE_S):
            while not wanted(self.seen):
                text = await self.socket.receive_str()
                if text != "PONG":
                    self.seen.append(msgspec.json.decode(text))
        return self.seen

    async def quiet(self) -> list[dict[str, Any]]:
        """Everything that was sent up to now."""
        await self.socket.send_str("PING")
        async with asyncio.timeout(PATIENCE_S):
            while (text := await self.socket.receive_str()) != "PONG":
                self.seen.append(msgspec.json.decode(text))
        return self.seen

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.seen if frame["event_type"] == kind]


@asynccontextmanager
async def user_stream(up: Any, client: Any) -> AsyncIterator[Listener]:
    shown = client.credentials
    auth = {"apiKey": shown.key, "secret": shown.secret, "passphrase": shown.passphrase}
    async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/user") as socket:
        await socket.send_json({"type": "user", "auth": auth})
        listener = Listener(socket)
        await listener.quiet()
        yield listener


# --- trades and money -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_late_fill(wire: Any, chance: float) -> None:
    """The order says matched, the list of trades and the stream know nothing yet."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with (
            wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker, user_stream(up, taker) as heard,
        ):
            with wire.standing(up):
                await limit(maker, market.down, "0.45", "20")
                bought = await buy(taker, market.up)
                assert (await taker.get_order(order_id=bought.order_id)).size_matched == 10
                rows = (await taker.list_account_trades().first_page()).items
                await heard.quiet()
            assert (len(rows), len(heard.of("trade"))) == ((0, 0) if chance else (1, 1))

    wire.on_exchange(body, settings=faulty(wire, late_fill=chance))


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_update_before_response(wire: Any, chance: float) -> None:
    """ORD-09: the stream tells of an order whose post is not answered yet."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with wire.official(up) as client, user_stream(up, client) as heard:
            # The one answer waits for market time, which stands still; the other does not.
            with wire.standing(up):
                posting = asyncio.create_task(limit(client, market.up, "0.30"))
                await heard.until(lambda frames: any(frame["event_type"] == "order" for frame in frames))
                if chance:
                    await wire.status_of(up, "GET", "/time")  # time enough for an answer that is not held
                    assert not posting.done()
                else:
                    await posting
            answered = await posting
            assert heard.of("order")[0]["id"] == answered.order_id

    wire.on_exchange(body, settings=faulty(wire, update_before_response=chance))


def test_sim_03_partial_then_reject(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        async with wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker:
            await limit(maker, market.down, "0.45", "6")
            with pytest.raises(RequestRejectedError, match="rounding issues") as refused:
                await limit(taker, market.up, "0.55", "10")
            assert refused.value.status == 500
            (trade,) = (await taker.list_account_trades().first_page()).items
            order = await taker.get_order(order_id=trade.taker_order_id)
            assert (order.size_matched, order.status.startswith("CANCELED")) == (6, True)
            assert (await taker.list_open_orders().first_page()).items == ()

    wire.on_exchange(body, settings=faulty(wire, partial_then_reject=1.0))


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_settlement_late(wire: Any, chance: float) -> None:
    """After ten seconds of market time the usual trade is confirmed, a late one is matched and its shares missing."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker:
            await limit(maker, market.down, "0.45", "20")
            await buy(taker, market.up)
            await wire.passed(up, up.engine.clock.now + 10_000)
            (trade,) = (await taker.list_account_trades().first_page()).items
            shares = await taker.get_balance_allowance(asset_type="CONDITIONAL", asset_id=market.up)
            assert (trade.status, shares.balance) == (("MATCHED", 0) if chance else ("CONFIRMED", 10_000_000))

    wire.on_exchange(body, settings=faulty(wire, settlement_late=chance), speed=100.0)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_ord_19_phantom_lock(wire: Any, chance: float) -> None:
    """The money of a matched buy is counted twice: an order for most of the rest is refused with the venue's sum."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker:
            await limit(maker, market.down, "0.45", "1000")
            await buy(taker, market.up, "400", "0.55")
            if not chance:
                assert (await limit(taker, market.up, "0.50", "1000")).status == "live"
                return
            with pytest.raises(RequestRejectedError, match=r"sum of matched orders: \d+") as refused:
                await limit(taker, market.up, "0.50", "1000")
            assert refused.value.status == 400

    wire.on_exchange(body, settings=faulty(wire, phantom_lock=chance))


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_cross_match(wire: Any, chance: float) -> None:
    """The population's order for UP turns out to be one for DOWN: the maker's part names the other token."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        exchange = up.engine.world.exchange
        exchange.open_house("crossing")
        _, said = exchange.place_house(
            "crossing", market.up, Action.SELL, 5_000, 20_000_000, OrderType.GTC, up.engine.clock.now
        )
        up.engine._give_out(said, up.engine.clock.now)
        async with wire.official(up) as taker:
            assert (await buy(taker, market.up)).status == "matched"
            (trade,) = (await taker.list_account_trades().first_page()).items
            (part,) = trade.maker_orders
            crossed = (part.asset_id, part.side, part.price) == (market.down, "BUY", Decimal("0.5"))
            assert crossed == bool(chance)
            assert trade.asset_id == market.up

    wire.on_exchange(body, settings=faulty(wire, cross_match=chance))


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_ord_07_cancel_race(wire: Any, chance: float) -> None:
    """Between asking for a cancel and getting its answer the order is filled, wholly or by half."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        # Nobody else is there: the venue's own account takes the other side.
        async with wire.official(up) as client:
            posted = await limit(client, market.up, "0.40")
            await client.cancel_order(order_id=posted.order_id)
            order = await client.get_order(order_id=posted.order_id)
            assert (order.size_matched > 0) == bool(chance)
            assert up.engine.world.exchange.audit() == []

    wire.on_exchange(body, settings=faulty(wire, cancel_race=chance))


# --- the user stream --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_dup_trade(wire: Any, chance: float) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        async with (
            wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker, user_stream(up, taker) as heard,
        ):
            await limit(maker, market.down, "0.45", "20")
            await buy(taker, market.up)
            await heard.until(lambda frames: sum(frame.get("status") == "CONFIRMED" for frame in frames) > chance)
            told = [frame["status"] for frame in heard.of("trade")]
            assert {status: told.count(status) for status in told} == dict.fromkeys(
                ("MATCHED", "MINED", "CONFIRMED"), 2 if chance else 1
            )

    wire.on_exchange(body, settings=faulty(wire, dup_trade=chance), speed=20.0)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_trade_before_order(wire: Any, chance: float) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        async with (
            wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker, user_stream(up, taker) as heard,
        ):
            await limit(maker, market.down, "0.45", "20")
            await buy(taker, market.up)
            await heard.until(lambda frames: {"order", "trade"} <= {frame["event_type"] for frame in frames})
            kinds = [frame["event_type"] for frame in heard.seen]
            assert (kinds.index("trade") < kinds.index("order")) == bool(chance)

    wire.on_exchange(body, settings=faulty(wire, trade_before_order=chance), speed=5.0)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_sim_03_ws_reorder(wire: Any, chance: float) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        async with wire.official(up) as client, user_stream(up, client) as heard:
            with wire.standing(up):  # sent at one moment, whatever this machine takes for it
                posted = [(await limit(client, market.up, "0.30")).order_id for _ in range(8)]
            await heard.until(lambda frames: len(frames) == len(posted))
            seen = [frame["id"] for frame in heard.seen]
            assert sorted(seen) == sorted(posted), "nothing is lost"
            assert (seen != posted) == bool(chance)

    wire.on_exchange(body, settings=faulty(wire, ws_reorder=chance))


# --- markets ----------------------------------------------------------------------------------------------------------


async def _market_frames(up: Any, token: str, wanted: Any) -> list[dict[str, Any]]:
    """The market channel's frames of a token until one is wanted."""
    seen: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/market") as socket:
        await socket.send_json({"type": "market", "assets_ids": [token], "custom_feature_enabled": True})
        async with asyncio.timeout(PATIENCE_S):
            while not any(wanted(frame) for frame in seen):
                decoded = msgspec.json.decode(await socket.receive_str())
                seen += decoded if isinstance(decoded, list) else [decoded]
    return seen


def test_con_09_tick_flip(wire: Any) -> None:
    """The tick becomes fine in the middle of a window and coarse again; the stream tells both, REST shows it."""

    async def body(up: Any) -> None:
        market = max(
            (one for one in up.engine.world.listing(False) if one.start is not None and one.accepting),
            key=lambda one: -one.end,
        )
        following = next(
            one for one in up.engine.world.listing(False) if one.start is not None and one.start >= market.end
        )
        changes = [
            frame for frame in await _market_frames(
                up, following.up,
                lambda frame: frame["event_type"] == "tick_size_change" and frame["new_tick_size"] == "0.01",
            ) if frame["event_type"] == "tick_size_change"
        ]  # fmt: skip
        assert [(one["old_tick_size"], one["new_tick_size"]) for one in changes[:2]] == [
            ("0.01", "0.001"), ("0.001", "0.01"),
        ]  # fmt: skip

    wire.on_exchange(body, settings=faulty(wire, tick_flip=1.0), speed=1_000.0)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_set_01_market_resolved_missing(wire: Any, chance: float) -> None:
    """Gamma knows the result; the stream never tells it."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/market") as socket:
            await socket.send_json({"type": "market", "assets_ids": [market.up], "custom_feature_enabled": True})
            heard = Listener(socket)
            await heard.socket.send_str("PING")
            while await heard.socket.receive_str() != "PONG":
                pass
            wire.decide(up, market, Side.UP)
            await socket.send_str("PING")
            kinds = []
            async with asyncio.timeout(PATIENCE_S):
                while (text := await socket.receive_str()) != "PONG":
                    kinds.append(msgspec.json.decode(text)["event_type"])
            assert ("market_resolved" in kinds) == (not chance)
        shown = await wire.get(up, f"/markets/slug/{market.slug}")
        assert (shown["closed"], shown["outcomePrices"]) == (True, '["1","0"]')

    wire.on_exchange(body, settings=faulty(wire, market_resolved_missing=chance))


# --- prices -----------------------------------------------------------------------------------------------------------


async def _count(socket: aiohttp.ClientWebSocketResponse, words: tuple[str, ...], found: list[str]) -> None:
    """Take every frame (market time waits for those who do not) and keep those with one of the words."""
    async for message in socket:
        if any(word in message.data for word in words) and "snapshot" not in message.data:
            found.append(message.data)


async def _price_frames(up: Any, client: Any, passed: Any) -> tuple[int, int]:
    """Ticks of the reference channel and of Binance's streams within five seconds of market time; both answer PING."""
    shown = client.credentials
    auth = {"apiKey": shown.key, "secret": shown.secret, "passphrase": shown.passphrase}
    async with (
        aiohttp.ClientSession() as session, session.ws_connect(up.ws_url + "/ws/live") as live,
        session.ws_connect(up.ws_url + "/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m") as spot,
    ):
        wanted = [{"channel": "price.crypto", "filter": {"symbol": "btcusd"}}]
        await live.send_json({"op": "auth", "auth": auth})
        await live.send_json({"op": "subscribe", "subscriptions": wanted})
        heard: tuple[list[str], list[str]] = ([], [])
        tasks = [
            asyncio.create_task(_count(live, ("PONG", '"value"'), heard[0])),
            asyncio.create_task(_count(spot, ("PONG", "aggTrade", "kline"), heard[1])),
        ]
        await passed(up, up.engine.clock.now + 5_000)
        await live.send_str("PING")
        await spot.send_str("PING")
        async with asyncio.timeout(PATIENCE_S):
            while "PONG" not in heard[0] or "PONG" not in heard[1]:
                await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        return len(heard[0]) - 1, len(heard[1]) - 1


@pytest.mark.parametrize("name", ["price_freeze", "spot_freeze"])
def test_con_02_a_price_stream_freezes_and_the_other_goes_on(wire: Any, name: str) -> None:
    async def body(up: Any) -> None:
        up.engine.pathologies.probabilities.clear()
        async with wire.official(up) as client:
            live, spot = await _price_frames(up, client, wire.passed)
            assert live > 1
            assert spot > 1
            up.engine.pathologies.probabilities[name] = 1.0
            begin(up, name)
            live, spot = await _price_frames(up, client, wire.passed)
            frozen, going = (live, spot) if name == "price_freeze" else (spot, live)
            assert frozen == 0
            assert going > 1

    wire.on_exchange(body, settings=faulty(wire, **{name: 1.0}), speed=20.0)


# --- all of them ------------------------------------------------------------------------------------------------------


def test_sim_03_every_pathology_of_the_wire_is_met_on_the_wire() -> None:
    """By name, in a file of this folder: as ``name=…`` or in a list of names."""
    text = "".join(file.read_text() for file in Path(__file__).parent.glob("test_wire_*.py"))
    met = set(re.findall(r"\b(\w+)=(?:1\.0|chance)\b", text)) | set(re.findall(r'"(\w+)"', text))
    assert [name for name, one in BY_NAME.items() if WIRE in one.layers and name not in met] == []
