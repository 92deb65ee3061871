"""The venue's other streams: the account's orders and trades, and reference prices.

Each tells of every connection and every loss of continuity by a ``StreamChanged`` with its epoch; nothing is replayed
by the venue, so whoever needs completeness asks after each of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from loguru import logger

from polyhost.model.events import Event, OrderSeen, StreamChanged, TradeSeen
from polyhost.venue.clock import VenueClock
from polyhost.venue.link import Link, Pace, nobody
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.decode import FEEDS, exact_e8, symbol_of
from polyhost.venue.polymarket.market_stream import PING, MarketStream, is_pong
from polyhost.venue.polymarket.rows import order_row, trade_row
from polyhost.venue.rotation import PLANNED, Rotor, Turnover
from polyhost.venue.silence import SILENT_S, SilenceWatch

__all__ = ["MarketStream", "PriceStream", "UserStream"]

OnEvent = Callable[[Event], None]
OnPrice = Callable[[str, str, int, int], None]
"""(feed, symbol, price in 1e-8, stamp in market ms)."""

PONG_BYTES_MAX: Final = 64
"""Answers to a ping of the price stream are objects; longer frames are looked at as data only."""
USER_PACE: Final = Pace(data_s=0.0)
"""An account without orders is silent: only its pongs are watched."""
REFRESH_S: Final = 5.0
"""A backlog is asked again at most this often, wall seconds."""


def _encode(body: object) -> str:
    return msgspec.json.encode(body).decode()


class UserStream:
    """The key's own orders and trades, in every market.

    An event that cannot be read is never dropped in silence: it is logged and told as a loss of continuity, after which
    the account is swept.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        on_event: OnEvent,
        on_frame: Callable[[bytes], None] | None = None,
        clock: VenueClock | None = None,
        pace: Pace | None = None,
        turnover: Turnover | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``on_frame``: gets each raw frame, for recordings (it holds the API key's id, not its secrets)."""
        self.bad = 0
        self.epoch = 0
        """Rises with every connection, and with every loss of continuity within one."""
        self._url = url
        self._clock = clock
        self._pace = pace or USER_PACE
        self._jitter = jitter
        self._credentials = credentials
        self._on_event = on_event
        self._on_frame = on_frame
        self.rotor = Rotor(
            self._make, whole=lambda link: link.pongs > 0, swap=self._swap, turnover=turnover, jitter=jitter
        )

    @property
    def link(self) -> Link:
        """The connection that counts."""
        return self.rotor.link

    async def run(self, beat: Callable[[], None] = nobody) -> None:
        """Stay connected until ``close``; ``beat`` as it goes round."""
        await self.rotor.run(beat)

    def close(self) -> None:
        self.rotor.close()

    def _make(self) -> Link:
        link: Link = Link(
            "user", self._url, on_open=lambda epoch: self._open(link), on_data=self._data,
            on_down=lambda epoch, reason: self._down(link, reason), clock=self._clock, pace=self._pace, ping=PING,
            is_pong=is_pong, expects_data=lambda: False, jitter=self._jitter,
        )
        return link

    def _open(self, link: Link) -> list[str]:
        if link is self.rotor.link:
            self._told_up("")
        return greeting_of_user(self._credentials)

    def _told_up(self, reason: str) -> None:
        self.epoch += 1
        self._on_event(StreamChanged("user", True, self.epoch, reason))

    def _swap(self, old: Link, new: Link) -> None:
        """Both connections were heard meanwhile, and repeats change nothing; the account is compared all the same."""
        self._told_up(PLANNED if old.up else "")

    def _down(self, link: Link, reason: str) -> None:
        if link is self.rotor.link:
            self._on_event(StreamChanged("user", False, self.epoch, reason))

    def _data(self, raw: bytes) -> None:
        if self._on_frame is not None:
            self._on_frame(raw)
        try:
            body = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            self._lost(f"not JSON: {error}")
            return
        for data in body if isinstance(body, list) else [body]:
            self._one(data)

    def _one(self, data: object) -> None:
        kind = data.get("event_type") if isinstance(data, Mapping) else None
        try:
            if isinstance(data, Mapping) and kind == "order":
                self._on_event(OrderSeen(order_row(data), "stream"))
            elif isinstance(data, Mapping) and kind == "trade":
                self._on_event(TradeSeen(trade_row(data), "stream"))
            else:
                self._lost(f"an event of unknown kind {kind!r}")
        except ValueError as error:
            self._lost(f"an event whose {error}")

    def _lost(self, problem: str) -> None:
        self.bad += 1
        logger.error("user stream: {} ({} so far); the account is asked instead", problem, self.bad)
        self._told_up(problem)


class PriceStream:
    """Reference prices: the settlement feeds of the venue, Chainlink spot and its 60 s TWAP.

    ``on_price(feed, symbol, price_e8, stamp_ms)`` with feed ``chainlink`` or ``twap_60``; every connection begins with
    the ticks of the last two minutes. Ticks may come twice (a backlog overlaps) and out of order.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        symbols: Sequence[str],
        *,
        on_price: OnPrice,
        on_event: OnEvent,
        on_frame: Callable[[bytes], None] | None = None,
        clock: VenueClock | None = None,
        pace: Pace | None = None,
        silent_s: float = SILENT_S,
    ) -> None:
        """``silent_s``: a feed that ticked before and is silent for so long has the stream made anew, wall seconds."""
        self.bad = 0
        self.refused: dict[str, str] = {}
        """Channel or operation → the venue's error code."""
        self._credentials = credentials
        self._symbols = [symbol.upper() for symbol in symbols]
        self._on_price = on_price
        self._on_event = on_event
        self._on_frame = on_frame
        self._clock = clock
        self._authed = False
        self._seq: dict[str, int] = {}
        self._refreshed_at = float("-inf")
        self._rid = 0
        self._silence = SilenceWatch(silent_s)
        self.link = Link(
            "reference", url, on_open=self._open, on_data=self._data, on_down=self._down, clock=clock, pace=pace,
            ping=_encode({"op": "ping"}), is_pong=is_op_pong, expects_data=lambda: bool(self._symbols),
            quiet=self._silence.problem,
        )

    async def run(self, beat: Callable[[], None] = nobody) -> None:
        """Stay connected until ``close``; ``beat`` as it goes round."""
        self.link.beat = beat
        await self.link.run()

    def close(self) -> None:
        self.link.close()

    def refresh(self) -> bool:
        """Ask for the last two minutes of every feed again; False when not connected, or asked a moment ago."""
        now = asyncio.get_running_loop().time()
        if not self._authed or now - self._refreshed_at < REFRESH_S:
            return False
        self._refreshed_at = now
        self.link.send(self._request("unsubscribe"))
        self.link.send(self._request("subscribe"))
        return True

    def _open(self, epoch: int) -> list[str]:
        self._authed = False
        self._seq.clear()
        return [greeting_of_prices(self._credentials, self._next_rid())]

    def _next_rid(self) -> str:
        self._rid += 1
        return str(self._rid)

    def _request(self, op: str) -> str:
        return subscription(op, self._symbols, self._next_rid())

    def _down(self, epoch: int, reason: str) -> None:
        if self._authed:
            self._authed = False
            self._on_event(StreamChanged("reference", False, epoch, reason))

    def _data(self, raw: bytes) -> None:
        try:
            body = msgspec.json.decode(raw)
            for data in body if isinstance(body, list) else [body]:
                self._one(raw, data)
        except (ValueError, TypeError, AttributeError) as error:
            # msgspec's errors are ValueErrors; the others are a shape that is not the venue's.
            self.bad += 1
            logger.warning("price frame that cannot be read ({} so far): {}", self.bad, error)

    def _one(self, raw: bytes, data: Mapping[str, Any]) -> None:
        match data.get("op"):
            case None:
                if self._on_frame is not None:
                    self._on_frame(raw)
                self._prices(data)
            case "authed":
                self._authed = True
                self._on_event(StreamChanged("reference", True, self.link.epoch))
                self.link.send(self._request("subscribe"))
            case "error":
                self._refused(str(data.get("code")), str(data.get("channel") or "auth"))
            case _:
                return

    def _refused(self, code: str, channel: str) -> None:
        if self.refused.get(channel) != code:
            logger.warning("price stream: {} refused ({})", channel, code)
        self.refused[channel] = code
        if code.startswith("auth"):
            self.link.restart(f"not authenticated: {code}")

    def _prices(self, data: Mapping[str, Any]) -> None:
        channel = str(data.get("channel"))
        feed = FEEDS.get(channel)
        payload = data.get("payload")
        if feed is None or not isinstance(payload, Mapping):
            return
        self._count(channel, data)
        symbol = symbol_of(str(payload.get("symbol")))
        points = payload.get("data") if data.get("snapshot") else [payload]
        for point in points or ():
            self._point(feed, symbol, point)
        if self._clock is not None and isinstance(data.get("ts"), int):
            self._clock.seen(data["ts"])

    def _point(self, feed: str, symbol: str, point: Mapping[str, Any]) -> None:
        price = exact_e8(str(point.get("full_accuracy_value") or ""), float(point.get("value") or 0.0))
        if price > 0:
            stamp = int(point["timestamp"])
            self._silence.heard(f"{feed} {symbol}", stamp)
            self._on_price(feed, symbol, price, stamp)

    def _count(self, channel: str, data: Mapping[str, Any]) -> None:
        """Sequence numbers tell of lost frames; a fresh backlog brings them back."""
        seq = data.get("seq")
        if not isinstance(seq, int):
            return
        last = self._seq.get(channel)
        self._seq[channel] = seq
        if data.get("dropped") or (last is not None and seq > last + 1):
            logger.debug("price stream lost frames on {} before {}", channel, seq)
            self.refresh()


def greeting_of_user(given: Credentials) -> list[str]:
    """What opens the user stream; the answer to the ping proves that the subscription before it was read."""
    return [_encode({"type": "user", "auth": _auth(given)}), PING]


def greeting_of_prices(given: Credentials, rid: str) -> str:
    """What opens the price stream; subscriptions are taken once it is answered."""
    return _encode({"op": "auth", "rid": rid, "auth": _auth(given)})


def _auth(given: Credentials) -> dict[str, str]:
    return {"apiKey": given.key, "secret": given.secret, "passphrase": given.passphrase}


def subscription(op: str, symbols: Sequence[str], rid: str) -> str:
    """Subscribe to, or unsubscribe from, both settlement feeds of these symbols."""
    items: list[dict[str, object]] = []
    for symbol in symbols:
        name = f"{symbol.lower()}usd"
        items.append({"channel": "price.crypto.twap", "filter": {"symbol": name, "window_seconds": 60}})
        items.append({"channel": "price.crypto", "filter": {"symbol": name, "provider": "chainlink"}})
    return _encode({"op": op, "rid": rid, "subscriptions": items})


def is_op_pong(raw: bytes) -> bool:
    return len(raw) <= PONG_BYTES_MAX and b'"pong"' in raw
