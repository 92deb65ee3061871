"""Reference prices: the authenticated live channel (PolyBolt), and the legacy topics that precede it (RTDS).

Shapes and error codes: polymarket.md 7.4 and 7.5. Sequence numbers count per connection and channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from polyhost.exchange.api import PriceTick
from polyhost.exchange.server.jsons import e8_rounded, e8_text, encode
from polyhost.exchange.server.keys import Keyring
from polyhost.exchange.server.sockets import Socket
from polyhost.exchange.server.user_hub import UserAuth

CHANNELS: Final = {"chainlink": "price.crypto", "twap_60": "price.crypto.twap"}
_FEEDS: Final = {channel: feed for feed, channel in CHANNELS.items()}
SUBSCRIPTIONS_MAX: Final = 64
TOPICS: Final = {
    "binance": "crypto_prices", "chainlink": "crypto_prices_chainlink", "twap_60": "crypto_prices_twap_sixty",
}
_TOPIC_FEEDS: Final = {topic: feed for feed, topic in TOPICS.items()}

Backlog = Callable[[str, str], list[PriceTick]]
"""(feed, symbol) to the ticks of the last two minutes, oldest first. Raises KeyError for an unknown symbol."""
Key = tuple[str, str]
"""(feed, symbol as ``BTC``)."""


class LiveFilter(msgspec.Struct):
    symbol: str = ""
    window_seconds: int = 60
    provider: str = "chainlink"


class LiveItem(msgspec.Struct):
    channel: str = ""
    filter: LiveFilter = msgspec.field(default_factory=LiveFilter)


class LiveRequest(msgspec.Struct):
    """What a client says on the live channel."""

    op: str = ""
    rid: str | int | None = None
    auth: UserAuth | None = None
    subscriptions: list[LiveItem] = msgspec.field(default_factory=list)


def _point(tick: PriceTick) -> dict[str, Any]:
    return {"timestamp": tick.stamp, "value": e8_rounded(tick.price), "full_accuracy_value": e8_text(tick.price)}


class LiveHub:
    """Subscriptions of the live channel."""

    def __init__(self, ring: Keyring, backlog: Backlog, symbols: frozenset[str]) -> None:
        self._ring = ring
        self._backlog = backlog
        self._symbols = symbols
        self._admitted: set[Socket] = set()
        self._wants: dict[Socket, set[Key]] = {}
        self._seq: dict[tuple[Socket, str], int] = {}
        self._decoder = msgspec.json.Decoder(LiveRequest)

    def leave(self, socket: Socket) -> None:
        self._admitted.discard(socket)
        self._wants.pop(socket, None)
        for key in [key for key in self._seq if key[0] is socket]:
            del self._seq[key]

    def heard(self, socket: Socket, text: str, now: int) -> None:
        """Obey a client's frame; what cannot be obeyed is answered with the venue's error code."""
        try:
            request = self._decoder.decode(text)
        except msgspec.DecodeError:
            socket.send(encode({"op": "error", "code": "bad_op"}))
            return
        match request.op:
            case "ping":
                self._reply(socket, request, {"op": "pong"})
            case "auth":
                self._admit(socket, request)
            case "subscribe" | "unsubscribe" if socket not in self._admitted:
                self._reply(socket, request, {"op": "error", "code": "auth_required"})
            case "subscribe":
                self._subscribe(socket, request, now)
            case "unsubscribe":
                self._unsubscribe(socket, request)
            case _:
                self._reply(socket, request, {"op": "error", "code": "bad_op"})

    def _reply(self, socket: Socket, request: LiveRequest, body: dict[str, Any]) -> None:
        socket.send(encode(body if request.rid is None else {**body, "rid": request.rid}))

    def _admit(self, socket: Socket, request: LiveRequest) -> None:
        auth = request.auth
        if auth is None or self._ring.matches(auth.apiKey, auth.secret, auth.passphrase) is None:
            self._reply(socket, request, {"op": "error", "code": "auth_invalid"})
            return
        self._admitted.add(socket)
        self._wants.setdefault(socket, set())
        self._reply(socket, request, {"op": "authed"})

    def _subscribe(self, socket: Socket, request: LiveRequest, now: int) -> None:
        wants = self._wants[socket]
        added = []
        for item in request.subscriptions:
            key, problem = self._key_of(item)
            if not problem and len(wants) >= SUBSCRIPTIONS_MAX and key not in wants:
                problem = "sub_limit"
            if problem:
                self._reply(socket, request, {"op": "error", "code": problem, "channel": item.channel})
                continue
            wants.add(key)
            added.append(key)
            self._reply(socket, request, {"op": "subscribed", "channel": item.channel})
        for key in added:
            self._snapshot(socket, key, now)

    def _unsubscribe(self, socket: Socket, request: LiveRequest) -> None:
        for item in request.subscriptions:
            key, problem = self._key_of(item)
            if problem:
                self._reply(socket, request, {"op": "error", "code": problem, "channel": item.channel})
                continue
            self._wants[socket].discard(key)
            self._reply(socket, request, {"op": "unsubscribed", "channel": item.channel})

    def _key_of(self, item: LiveItem) -> tuple[Key, str]:
        """The feed and symbol meant, and the error code when there is none."""
        feed = _FEEDS.get(item.channel, "")
        symbol = item.filter.symbol.lower().removesuffix("usd").upper()
        if not feed:
            return (feed, symbol), "bad_channel"
        if symbol not in self._symbols or item.filter.provider != "chainlink":
            return (feed, symbol), "bad_filter"
        if feed == "twap_60" and item.filter.window_seconds != 60:
            return (feed, symbol), "bad_filter"
        return (feed, symbol), ""

    def _next_seq(self, socket: Socket, channel: str) -> int:
        seq = self._seq.get((socket, channel), 0) + 1
        self._seq[socket, channel] = seq
        return seq

    def _snapshot(self, socket: Socket, key: Key, now: int) -> None:
        feed, symbol = key
        payload = {**_payload(feed, symbol), "data": [_point(tick) for tick in self._backlog(feed, symbol)]}
        channel = CHANNELS[feed]
        socket.send(encode({
            "v": 1, "channel": channel, "seq": self._next_seq(socket, channel), "ts": now, "snapshot": True,
            "payload": payload,
        }))

    def price(self, tick: PriceTick, now: int) -> None:
        """Tell everyone who wants this feed and symbol."""
        channel = CHANNELS.get(tick.feed)
        if channel is None:
            return
        key = (tick.feed, tick.symbol)
        tail = b""
        for socket, wants in self._wants.items():
            if key in wants:
                tail = tail or _live_tail(tick, now)
                seq = self._next_seq(socket, channel)
                socket.send(f'{{"v":1,"channel":"{channel}","seq":{seq},'.encode() + tail)


def _payload(feed: str, symbol: str) -> dict[str, Any]:
    body: dict[str, Any] = {"symbol": f"{symbol.lower()}usd", "source": "chainlink"}
    if feed == "twap_60":
        body["window_seconds"] = 60
    return body


def _live_tail(tick: PriceTick, now: int) -> bytes:
    """The frame after its sequence number, shared by all sockets."""
    return encode({"ts": now, "payload": {**_payload(tick.feed, tick.symbol), **_point(tick)}})[1:]


class TopicItem(msgspec.Struct):
    topic: str = ""
    type: str = ""


class TopicRequest(msgspec.Struct):
    """What a client says on the legacy stream."""

    action: str = ""
    subscriptions: list[TopicItem] = msgspec.field(default_factory=list)


class TopicHub:
    """Subscriptions of the legacy price topics: every symbol of a topic goes to everyone who asked for it."""

    def __init__(self, backlog: Backlog, symbols: frozenset[str]) -> None:
        self._backlog = backlog
        self._symbols = symbols
        self._wants: dict[Socket, set[str]] = {}
        self._decoder = msgspec.json.Decoder(TopicRequest)

    def leave(self, socket: Socket) -> None:
        self._wants.pop(socket, None)

    def heard(self, socket: Socket, text: str, now: int) -> None:
        """Obey a client's frame; unknown topics are accepted and stay silent, as at the venue."""
        try:
            request = self._decoder.decode(text)
        except msgspec.DecodeError:
            return
        wants = self._wants.setdefault(socket, set())
        for item in request.subscriptions:
            if request.action == "unsubscribe":
                wants.discard(item.topic)
            elif request.action == "subscribe" and item.topic in _TOPIC_FEEDS:
                wants.add(item.topic)
                self._send_backlog(socket, item.topic, now)

    def _send_backlog(self, socket: Socket, topic: str, now: int) -> None:
        feed = _TOPIC_FEEDS[topic]
        for symbol in sorted(self._symbols):
            data = [{"timestamp": tick.stamp, "value": e8_rounded(tick.price)} for tick in self._backlog(feed, symbol)]
            payload = {"symbol": _topic_symbol(feed, symbol), "data": data}
            socket.send(encode({"topic": topic, "type": "subscribe", "timestamp": now, "payload": payload}))

    def price(self, tick: PriceTick, now: int) -> None:
        """Tell everyone who wants this topic."""
        topic = TOPICS.get(tick.feed)
        audience = [socket for socket, wants in self._wants.items() if topic in wants]
        if audience:
            frame = _topic_frame(tick, now)
            for socket in audience:
                socket.send(frame)


def _topic_symbol(feed: str, symbol: str) -> str:
    return f"{symbol.lower()}usdt" if feed == "binance" else f"{symbol.lower()}/usd"


def _topic_frame(tick: PriceTick, now: int) -> bytes:
    payload: dict[str, Any] = {
        "symbol": _topic_symbol(tick.feed, tick.symbol),
        "timestamp": tick.stamp,
        "value": e8_rounded(tick.price),
        "full_accuracy_value": e8_text(tick.price),
    }
    if tick.feed == "twap_60":
        payload["window_s"] = 60
        payload["full_accuracy_value"] = str(tick.price * 10**10)
    return encode({"topic": TOPICS[tick.feed], "type": "update", "timestamp": now, "payload": payload})
