from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loguru import logger
from msgspec import structs

from polyhost.errors import VenueError
from polyhost.model.events import Event, OrderSeen, StreamChanged, TradeSeen
from polyhost.model.messages import Message
from polyhost.venue.clock import VenueClock
from polyhost.venue.link import Pace
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.streams import MarketStream, PriceStream, UserStream

from ..unhurried import PATIENCE_S

CREDENTIALS = Credentials("key-1", "c2VjcmV0", "pass")
FAST = Pace(
    ping_s=0.05, pong_s=PATIENCE_S, first_s=PATIENCE_S, open_s=PATIENCE_S, data_s=0.0, backoff_s=0.01,
    backoff_max_s=0.02,
)
BOOK = '{"event_type":"book","asset_id":"1","market":"0xa","bids":[],"asks":[],"timestamp":"1795225843999"}'
PRINT = '{"event_type":"last_trade_price","asset_id":"1","market":"0xa","price":"0.5","size":"1","timestamp":"5"}'


class Heard:
    """What a stream told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.messages: list[Message] = []
        self.raw: list[bytes] = []
        self.resolved: list[Message] = []
        self.prices: list[tuple[str, str, int, int]] = []

    def frame(self, raw: bytes, messages: list[Message]) -> None:
        self.raw.append(raw)
        self.messages += messages

    def price(self, *price: Any) -> None:
        self.prices.append(price)

    @property
    def changes(self) -> list[tuple[bool, int]]:
        return [(event.up, event.epoch) for event in self.events if isinstance(event, StreamChanged)]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, StreamChanged) and event.reason]


def _market(fake: Any, heard: Heard, pace: Pace = FAST, clock: VenueClock | None = None) -> MarketStream:
    return MarketStream(
        fake.ws_url + "/ws/market", on_frame=heard.frame, on_event=heard.events.append,
        on_resolved=heard.resolved.append, clock=clock, pace=pace,
    )  # fmt: skip


async def _while_running(stream: Any, job: Awaitable[None]) -> None:
    """Do the job while the stream runs; the stream must end by itself on close."""
    task = asyncio.create_task(stream.run())
    try:
        await job
    finally:
        stream.close()
        await asyncio.wait_for(task, PATIENCE_S)


def _run(venue: Any, go: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        async with venue() as fake:
            await go(fake)

    asyncio.run(main())


def _said(fake: Any, path: str) -> list[Any]:
    return [json.loads(text) for text in fake.said[path] if text != "PING"]


def test_con_01_it_subscribes_pings_and_gives_frames_in_order(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _market(fake, heard)

        async def job() -> None:
            stream.subscribe(["1", "2", "1"])
            await fake.until(lambda: len(_said(fake, "/ws/market")) == 1)
            ws = fake.opened["/ws/market"][0]
            await ws.send_str(BOOK)
            await ws.send_str(f"[{PRINT},{BOOK}]")
            await fake.until(lambda: len(heard.messages) == 3 and "PING" in fake.said["/ws/market"])

        await _while_running(stream, job())
        assert _said(fake, "/ws/market") == [
            {"type": "market", "assets_ids": ["1", "2"], "custom_feature_enabled": True}
        ]
        assert [message.event_type for message in heard.messages] == ["book", "last_trade_price", "book"]
        assert heard.raw[0] == BOOK.encode()
        assert heard.changes == [(True, 1), (False, 1)]

    _run(venue, go)


def test_con_08_windows_roll_by_subscribing_and_unsubscribing_on_the_open_connection(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _market(fake, heard)

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: len(_said(fake, "/ws/market")) == 1)
            stream.subscribe(["1", "2"])
            stream.unsubscribe(["1", "9"])
            await fake.until(lambda: len(_said(fake, "/ws/market")) == 3)

        await _while_running(stream, job())
        assert _said(fake, "/ws/market")[1:] == [
            {"operation": "subscribe", "assets_ids": ["2"], "custom_feature_enabled": True},
            {"operation": "unsubscribe", "assets_ids": ["1"]},
        ]
        assert stream.tokens == ("2",)
        assert len(fake.opened["/ws/market"]) == 1

    _run(venue, go)


def test_con_01_after_a_disconnect_it_resubscribes_what_is_followed_now_with_a_new_epoch(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _market(fake, heard)

        async def job() -> None:
            stream.subscribe(["1", "2"])
            await fake.until(lambda: len(_said(fake, "/ws/market")) == 1)
            stream.unsubscribe(["1"])
            await fake.until(lambda: len(_said(fake, "/ws/market")) == 2)
            await fake.opened["/ws/market"][0].close(code=1001)
            await fake.until(lambda: len(_said(fake, "/ws/market")) == 3)

        await _while_running(stream, job())
        assert _said(fake, "/ws/market")[2]["assets_ids"] == ["2"]
        assert heard.changes == [(True, 1), (False, 1), (True, 2), (False, 2)]

    _run(venue, go)


async def _until_reconnected(fake: Any, stream: Any, path: str) -> None:
    if isinstance(stream, MarketStream):
        stream.subscribe(["1"])
    await fake.until(lambda: len(fake.opened[path]) >= 2)


def test_con_02_a_venue_that_answers_no_ping_is_left(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()

        async def deaf(ws: Any, text: str) -> None:
            if text != "PING":
                await ws.send_str(BOOK)

        fake.on_text["/ws/market"] = deaf
        stream = _market(fake, heard, Pace(ping_s=0.02, pong_s=0.1, first_s=PATIENCE_S, backoff_s=0.01))
        await _while_running(stream, _until_reconnected(fake, stream, "/ws/market"))
        assert "no PONG for 0.1 s" in heard.reasons

    _run(venue, go)


def test_con_02_data_alone_is_no_pong_and_pongs_alone_are_no_data(venue: Any) -> None:
    """Frozen: connected, answering every ping, and no data for hours (py-clob-client#292)."""

    async def go(fake: Any) -> None:
        heard = Heard()

        async def frozen(ws: Any, text: str) -> None:
            await ws.send_str("PONG" if text == "PING" else BOOK)

        fake.on_text["/ws/market"] = frozen
        stream = _market(fake, heard, structs.replace(FAST, ping_s=0.02, data_s=0.1))
        await _while_running(stream, _until_reconnected(fake, stream, "/ws/market"))
        assert "no data for 0.1 s" in heard.reasons

    _run(venue, go)


def test_con_02_a_subscription_that_gives_nothing_is_made_anew(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _market(fake, heard, Pace(ping_s=0.02, pong_s=PATIENCE_S, first_s=0.1, backoff_s=0.01))
        await _while_running(stream, _until_reconnected(fake, stream, "/ws/market"))
        assert "no first event within 0.1 s" in heard.reasons

    _run(venue, go)


def test_a_frame_that_cannot_be_read_brings_full_books_by_a_new_connection(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        sent = []

        async def once(ws: Any, text: str) -> None:
            if text == "PING":
                await ws.send_str("PONG")
            elif not sent:
                sent.append(1)
                await ws.send_str(f"[{BOOK},7]")
            else:
                await ws.send_str(BOOK)

        fake.on_text["/ws/market"] = once
        stream = _market(fake, heard)

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: len(heard.messages) >= 2)

        await _while_running(stream, job())
        assert stream.decoder.bad == 1
        assert "a frame that cannot be read" in heard.reasons

    _run(venue, go)


def test_a_resolution_is_told_apart_from_the_books(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _market(fake, heard)

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: len(fake.said["/ws/market"]) >= 1)
            word = '{"event_type":"market_resolved","market":"0xa","winning_asset_id":"1","winning_outcome":"Up"}'
            await fake.opened["/ws/market"][0].send_str(word)
            await fake.until(lambda: len(heard.resolved) == 1)

        await _while_running(stream, job())
        assert heard.resolved[0].winning_asset_id == "1"

    _run(venue, go)


def test_handshake_and_frames_move_a_simulated_clock(venue: Any) -> None:
    async def go(fake: Any) -> None:
        fake.headers["X-Sim-Time"] = "1795225843000;1"
        heard, clock = Heard(), VenueClock()
        stream = _market(fake, heard, clock=clock)

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: clock.simulated)
            await fake.opened["/ws/market"][0].send_str(BOOK)
            await fake.until(lambda: bool(heard.messages))

        await _while_running(stream, job())
        assert clock.now() >= 1_795_225_843_999

    _run(venue, go)


def test_a_venue_that_is_down_is_tried_again_with_growing_jittered_pauses(venue: Any) -> None:
    async def go(fake: Any) -> None:
        url = fake.ws_url
        await fake._runner.cleanup()
        heard = Heard()
        waits: list[float] = []
        stream = MarketStream(
            url + "/ws/market", on_frame=heard.frame, on_event=heard.events.append,
            pace=Pace(backoff_s=0.001, backoff_max_s=0.004),
        )  # fmt: skip
        real = stream.link._rest

        async def rest(seconds: float) -> None:
            waits.append(seconds)
            await real(seconds)

        stream.link._rest = rest  # type: ignore[method-assign]
        stream.link._jitter = lambda: 1.0
        stream.subscribe(["1"])
        await _while_running(stream, fake.until(lambda: len(waits) >= 5))
        assert waits[:5] == [0.001, 0.002, 0.004, 0.004, 0.004]
        assert heard.events == []

    _run(venue, go)


def test_log_03_a_venue_that_is_down_is_told_once_and_once_when_it_is_up(venue: Any) -> None:
    told: list[str] = []

    async def go(fake: Any) -> None:
        heard = Heard()
        tries = 0
        stream = _market(fake, heard, structs.replace(FAST, backoff_s=0.001, backoff_max_s=0.002))
        real, good = stream.link._rest, stream.link.url

        async def rest(seconds: float) -> None:
            nonlocal tries
            tries += 1
            await real(seconds)

        stream.link._rest = rest  # type: ignore[method-assign]
        stream.subscribe(["1"])

        async def story() -> None:
            await fake.until(lambda: stream.link.up)
            stream.link.url = "ws://127.0.0.1:9/"  # nobody listens there
            stream.link.restart("a test")
            await fake.until(lambda: tries >= 10)
            stream.link.url = good
            await fake.until(lambda: stream.link.up)

        await _while_running(stream, story())

    sink = logger.add(told.append, format="{level} {message}", level="INFO")
    try:
        _run(venue, go)
    finally:
        logger.remove(sink)
    assert told[0] == "WARNING market stream down: a test\n"
    assert told[1].startswith("INFO market stream up again after ")
    assert len(told) == 2


def test_an_address_that_is_none_is_a_venue_error() -> None:
    async def go() -> None:
        stream = MarketStream("http://127.0.0.1/ws", on_frame=lambda *_: None, on_event=lambda _: None)
        stream.subscribe(["1"])
        with pytest.raises(VenueError):
            await stream.run()

    asyncio.run(go())


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), OSError("a fault of ours: disk full")])
def test_what_a_callback_raises_is_not_swallowed(venue: Any, fault: Exception) -> None:
    """Not even what looks like a network error: a full disk is no reason to reconnect."""

    async def go(fake: Any) -> None:
        def broken(raw: bytes, messages: list[Message]) -> None:
            raise fault

        stream = MarketStream(fake.ws_url + "/ws/market", on_frame=broken, on_event=lambda _: None, pace=FAST)
        stream.subscribe(["1"])
        task = asyncio.create_task(stream.run())
        await fake.until(lambda: bool(fake.said["/ws/market"]))
        await fake.opened["/ws/market"][0].send_str(BOOK)
        with pytest.raises(type(fault), match="a fault of ours"):
            await asyncio.wait_for(task, PATIENCE_S)

    _run(venue, go)


def test_cancelling_the_task_closes_the_connection(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _market(fake, heard)
        stream.subscribe(["1"])
        task = asyncio.create_task(stream.run())
        await fake.until(lambda: bool(fake.said["/ws/market"]))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await fake.until(lambda: fake.opened["/ws/market"][0].closed)
        assert heard.changes == [(True, 1), (False, 1)]

    _run(venue, go)


def test_more_tokens_than_the_venue_takes_are_refused() -> None:
    async def go() -> None:
        stream = MarketStream("ws://127.0.0.1:9/ws", on_frame=lambda *_: None, on_event=lambda _: None)
        stream.subscribe(str(number) for number in range(500))
        with pytest.raises(ValueError, match="501 tokens"):
            stream.subscribe(["500"])

    asyncio.run(go())


# --- the user stream --------------------------------------------------------------------------------------------------

ORDER = {
    "event_type": "order", "id": "0xff", "owner": "key-1", "market": "0xa", "asset_id": "1", "side": "BUY",
    "original_size": "10", "size_matched": "", "price": "0.57", "associate_trades": None, "type": "CANCELLATION",
    "created_at": "", "status": "CANCELED_FOK orders are fully filled or killed.", "timestamp": "1672290687123",
}  # fmt: skip
TRADE = {
    "event_type": "trade", "type": "TRADE", "id": "t1", "taker_order_id": "0x06", "market": "0xa", "asset_id": "1",
    "side": "BUY", "size": "10", "price": "0.57", "fee_rate_bps": "", "status": "MATCHED", "matchtime": "1672290701",
    "maker_orders": [], "timestamp": "1672290701",
}  # fmt: skip


def _user(fake: Any, heard: Heard) -> UserStream:
    return UserStream(fake.ws_url + "/ws/user", CREDENTIALS, on_event=heard.events.append, pace=FAST)


def test_con_12_orders_and_trades_of_the_key_become_events(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _user(fake, heard)

        async def job() -> None:
            await fake.until(lambda: bool(_said(fake, "/ws/user")))
            await fake.opened["/ws/user"][0].send_str(json.dumps([ORDER, TRADE]))
            await fake.until(lambda: len(heard.events) == 3)

        await _while_running(stream, job())
        assert _said(fake, "/ws/user") == [
            {"type": "user", "auth": {"apiKey": "key-1", "secret": "c2VjcmV0", "passphrase": "pass"}}
        ]
        _, order, trade, _ = heard.events
        assert isinstance(order, OrderSeen)
        assert (order.row.size_matched, order.row.kind, order.source) == (None, "CANCELLATION", "stream")
        assert isinstance(trade, TradeSeen)
        assert (trade.row.trade_id, trade.row.matched_s) == ("t1", 1672290701)

    _run(venue, go)


@pytest.mark.parametrize("text", ["what", "7", '{"event_type":"order","id":""}', '{"event_type":"sleeping"}', "[null]"])
def test_ord_10_an_event_that_cannot_be_read_is_told_as_a_loss_of_continuity(venue: Any, text: str) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        stream = _user(fake, heard)

        async def job() -> None:
            await fake.until(lambda: bool(_said(fake, "/ws/user")))
            await fake.opened["/ws/user"][0].send_str(text)
            await fake.until(lambda: len(heard.events) == 2)

        await _while_running(stream, job())
        assert heard.changes[:2] == [(True, 1), (True, 2)]
        assert heard.reasons[0]
        assert stream.bad == 1

    _run(venue, go)


# --- reference prices -------------------------------------------------------------------------------------------------


def _tick(channel: str, seq: int, stamp: int, value: str, **more: Any) -> str:
    payload = {"symbol": "btcusd", "value": 1.0, "full_accuracy_value": value, "timestamp": stamp}
    return json.dumps({"v": 1, "channel": channel, "seq": seq, "ts": stamp, "payload": payload} | more)


def _polybolt(frames: list[str], *, auth: str = '{"op":"authed","rid":"1"}') -> Any:
    """A venue that admits, confirms each subscription and then sends these frames once."""

    async def answer(ws: Any, text: str) -> None:
        asked = json.loads(text)
        if asked["op"] == "ping":
            await ws.send_str('{ "op": "pong" }')
        elif asked["op"] == "auth":
            await ws.send_str(auth)
        elif asked["op"] == "subscribe":
            for item in asked["subscriptions"]:
                await ws.send_str(json.dumps({"op": "subscribed", "channel": item["channel"], "rid": asked["rid"]}))
            for frame in frames:
                await ws.send_str(frame)

    return answer


def _prices(fake: Any, heard: Heard, pace: Pace = FAST) -> PriceStream:
    return PriceStream(
        fake.ws_url + "/rt", CREDENTIALS, ["BTC"], on_price=heard.price, on_event=heard.events.append,
        on_frame=heard.raw.append, pace=pace,
    )  # fmt: skip


def test_con_16_reference_prices_come_exactly_with_their_backlog(venue: Any) -> None:
    snapshot = json.dumps({
        "v": 1, "channel": "price.crypto.twap", "seq": 1, "ts": 9, "snapshot": True,
        "payload": {"symbol": "btcusd", "data": [
            {"timestamp": 1000, "value": 1.5, "full_accuracy_value": "78803.715261094101516288"},
            {"timestamp": 2000, "value": 1.5, "full_accuracy_value": "78804"}]},
    })  # fmt: skip
    frames = [snapshot, _tick("price.crypto.twap", 2, 3000, "1.000000019"), _tick("price.crypto", 1, 3000, "2.5")]

    async def go(fake: Any) -> None:
        heard = Heard()
        fake.on_text["/rt"] = _polybolt(frames)
        stream = _prices(fake, heard)
        await _while_running(stream, fake.until(lambda: len(heard.prices) == 4))
        assert heard.prices == [
            ("twap_60", "BTC", 7_880_371_526_109, 1000),
            ("twap_60", "BTC", 7_880_400_000_000, 2000),
            ("twap_60", "BTC", 100_000_001, 3000),
            ("chainlink", "BTC", 250_000_000, 3000),
        ]
        auth, subscribe = _said(fake, "/rt")[:2]
        assert auth["auth"] == {"apiKey": "key-1", "secret": "c2VjcmV0", "passphrase": "pass"}
        assert subscribe["subscriptions"] == [
            {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 60}},
            {"channel": "price.crypto", "filter": {"symbol": "btcusd", "provider": "chainlink"}},
        ]
        assert heard.changes == [(True, 1), (False, 1)]
        assert len(heard.raw) == 3

    _run(venue, go)


def test_lost_price_frames_bring_the_backlog_again(venue: Any) -> None:
    frames = [_tick("price.crypto", 1, 1000, "1"), _tick("price.crypto", 3, 3000, "3")]

    async def go(fake: Any) -> None:
        heard = Heard()
        fake.on_text["/rt"] = _polybolt(frames)
        stream = _prices(fake, heard)
        ops = lambda: [said["op"] for said in _said(fake, "/rt") if said["op"] != "ping"]  # noqa: E731
        await _while_running(stream, fake.until(lambda: ops() == ["auth", "subscribe", "unsubscribe", "subscribe"]))

    _run(venue, go)


def test_a_price_stream_that_is_not_admitted_is_never_up_and_tries_again(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        fake.on_text["/rt"] = _polybolt([], auth='{"op":"error","code":"auth_invalid"}')
        stream = _prices(fake, heard)
        await _while_running(stream, fake.until(lambda: len(fake.opened["/rt"]) >= 2))
        assert heard.events == []
        assert stream.refused == {"auth": "auth_invalid"}

    _run(venue, go)


def test_price_frames_that_cannot_be_read_are_counted(venue: Any) -> None:
    frames = ["what", "[7]", _tick("price.crypto", 1, 1000, "1.x"), _tick("price.crypto", 2, 2000, "2")]

    async def go(fake: Any) -> None:
        heard = Heard()
        fake.on_text["/rt"] = _polybolt(frames)
        stream = _prices(fake, heard)
        await _while_running(stream, fake.until(lambda: bool(heard.prices)))
        assert stream.bad == 3

    _run(venue, go)


def test_a_price_stream_that_pongs_and_says_nothing_is_made_anew(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()

        async def only_pongs(ws: Any, text: str) -> None:
            await ws.send_str('{"op":"pong"}')

        fake.on_text["/rt"] = only_pongs
        stream = _prices(fake, heard, Pace(ping_s=0.02, pong_s=PATIENCE_S, first_s=0.1, backoff_s=0.01))
        await _while_running(stream, fake.until(lambda: len(fake.opened["/rt"]) >= 2))

    _run(venue, go)
