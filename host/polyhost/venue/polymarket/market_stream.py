"""The stream of books and prints: what is followed, what came of it, and its replacement without a gap.

Every connection begins with full books. One that is to replace another is fed to nobody until it has a full book of
all that the old one has; then what it brought is handed on at once, in its order, and the old one is closed. As each
message states what is and not what changed by, books end as the new connection says, and nothing is lost or doubled.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from loguru import logger

from polyhost.model.events import Event, StreamChanged
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.venue.clock import VenueClock
from polyhost.venue.link import Link, Pace, nobody
from polyhost.venue.polymarket.decode import FrameDecoder
from polyhost.venue.rotation import Rotor, Turnover

OnFrame = Callable[[bytes, list[Message]], None]
OnEvent = Callable[[Event], None]

PING: Final = "PING"
PONG: Final = b"PONG"
TOKENS_MAX: Final = 500
"""Tokens of one market connection (undocumented venue limit, seen by others)."""
FRAMES_KEPT: Final = 500
"""Frames of a market that are remembered, for the question whether the stream ever showed a book's hash."""
WARM_FRAMES_MAX: Final = 50_000
"""Frames of a connection that is not whole yet; more, and it is made anew."""


class Track:
    """What came of one followed market: when the last message, and the frames of the latest ones."""

    __slots__ = ("at", "count", "frames", "market", "since", "sought")

    def __init__(self, market: Market, now: float) -> None:
        self.market = market
        self.since = now
        """Loop time at which it was subscribed."""
        self.at = now
        """Loop time of its last message; of its subscription while there was none."""
        self.count = 0
        """Messages of it so far."""
        self.frames: deque[bytes] = deque(maxlen=FRAMES_KEPT)
        self.sought: bytes | None = None
        """A hash that the stream has not shown yet; None once it has."""

    def took(self, raw: bytes, now: float) -> None:
        """A message of it came."""
        self.at = now
        self.count += 1
        self.frames.append(raw)
        if self.sought is not None and self.sought in raw:
            self.sought = None

    def shown(self, hash_: str) -> bool:
        """The stream has shown a book with this hash lately."""
        wanted = hash_.encode()
        return any(wanted in frame for frame in self.frames)


class MarketStream:
    """Books and prints of the tokens subscribed to.

    ``on_frame(raw, messages)`` gets each frame in order; ``on_resolved(message)`` each ``market_resolved`` besides. A
    frame that cannot be read means a book may be wrong: the connection is made anew, which brings full books.
    """

    def __init__(
        self,
        url: str,
        *,
        on_frame: OnFrame,
        on_event: OnEvent,
        on_resolved: Callable[[Message], None] | None = None,
        clock: VenueClock | None = None,
        pace: Pace | None = None,
        turnover: Turnover | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.decoder = FrameDecoder()
        self.tracks: dict[str, Track] = {}
        """By condition id: the markets that are followed (not single tokens)."""
        self.epoch = 0
        """Rises with every connection that came after a gap, and with every loss of continuity within one."""
        self._url = url
        self._on_frame = on_frame
        self._on_event = on_event
        self._on_resolved = on_resolved
        self._clock = clock
        self._pace = pace
        self._jitter = jitter
        self._tokens: dict[str, None] = {}
        self._booked: set[str] = set()
        """Tokens of which the connection that counts has brought a full book."""
        self._warm: list[tuple[bytes, list[Message]]] = []
        self._warm_booked: set[str] = set()
        self._wanted = asyncio.Event()
        self.rotor = Rotor(self._make, whole=self._whole, swap=self._swap, turnover=turnover, jitter=jitter)

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self._tokens)

    @property
    def link(self) -> Link:
        """The connection that counts."""
        return self.rotor.link

    def follow(self, market: Market) -> None:
        """Follow a market: its tokens, and when something last came of it."""
        self.subscribe((market.up, market.down))
        self.tracks.setdefault(market.condition_id, Track(market, asyncio.get_running_loop().time()))

    def unfollow(self, market: Market) -> None:
        """Follow it no more."""
        self.tracks.pop(market.condition_id, None)
        self.unsubscribe((market.up, market.down))

    def subscribe(self, tokens: Iterable[str]) -> None:
        """Follow more tokens, at once when connected. Raises ValueError above the venue's limit."""
        fresh = [token for token in dict.fromkeys(tokens) if token not in self._tokens]
        if len(self._tokens) + len(fresh) > TOKENS_MAX:
            raise ValueError(f"{len(self._tokens) + len(fresh)} tokens on one connection, at most {TOKENS_MAX}")
        self._tokens.update(dict.fromkeys(fresh))
        if fresh:
            self._wanted.set()
            self._say({"operation": "subscribe", "assets_ids": fresh, "custom_feature_enabled": True})

    def unsubscribe(self, tokens: Iterable[str]) -> None:
        """Follow these no more."""
        gone = [token for token in dict.fromkeys(tokens) if token in self._tokens]
        for token in gone:
            del self._tokens[token]
            self._booked.discard(token)
        if gone:
            self._say({"operation": "unsubscribe", "assets_ids": gone})

    def show_again(self, market: Market) -> None:
        """Have the venue send a followed market's full books once more: somebody else wants them, too."""
        tokens = [market.up, market.down]
        self._say({"operation": "unsubscribe", "assets_ids": tokens})
        self._say({"operation": "subscribe", "assets_ids": tokens, "custom_feature_enabled": True})

    def spoil(self, market: Market, reason: str) -> None:
        """The market's book is not to be trusted: told as a loss of continuity, and the connection is replaced."""
        self.epoch += 1
        self._booked -= {market.up, market.down}
        self._on_event(StreamChanged("market", True, self.epoch, reason, (market.up, market.down)))
        self.rotor.want(reason)

    async def run(self, beat: Callable[[], None] = nobody) -> None:
        """Connect when there is something to follow, and stay connected until ``close``; ``beat`` as it goes round."""
        await self._wanted.wait()
        await self.rotor.run(beat)

    def close(self) -> None:
        self.rotor.close()
        self._wanted.set()

    # --- connections --------------------------------------------------------------------------------------------------

    def _make(self) -> Link:
        link: Link = Link(
            "market", self._url, on_open=lambda epoch: self._open(link), on_data=lambda raw: self._data(link, raw),
            on_down=lambda epoch, reason: self._down(link, reason), clock=self._clock, pace=self._pace, ping=PING,
            is_pong=is_pong, expects_data=lambda: bool(self._tokens), jitter=self._jitter,
        )
        return link

    def _counts(self, link: Link) -> bool:
        return link is self.rotor.link

    def _say(self, body: object) -> None:
        text = _encode(body)
        self.rotor.link.send(text)
        if self.rotor.spare is not None:
            self.rotor.spare.send(text)

    def _open(self, link: Link) -> list[str]:
        if self._counts(link):
            self._booked.clear()
            self._again()
        else:
            self._forget_warm()
        return [_encode({"type": "market", "assets_ids": list(self._tokens), "custom_feature_enabled": True})]

    def _again(self) -> None:
        """A connection after a gap: everything is new."""
        self.epoch += 1
        now = asyncio.get_running_loop().time()
        for track in self.tracks.values():
            track.since = track.at = now
            track.frames.clear()
            track.sought = None
        self._on_event(StreamChanged("market", True, self.epoch))

    def _down(self, link: Link, reason: str) -> None:
        if self._counts(link):
            self._on_event(StreamChanged("market", False, self.epoch, reason))

    def _forget_warm(self) -> None:
        self._warm.clear()
        self._warm_booked.clear()

    def _whole(self, spare: Link) -> bool:
        """It has a full book of every token that the connection before had one of, and of one token at least."""
        return bool(self._warm_booked) and self._booked <= self._warm_booked

    def _swap(self, old: Link, new: Link) -> None:
        """The new connection counts from here on: what it brought is taken at once, in its order."""
        if not old.up:
            self._again()
        warm, self._booked = list(self._warm), set(self._warm_booked)
        self._forget_warm()
        if warm:
            self._take(_joined([raw for raw, _ in warm]), [message for _, messages in warm for message in messages])

    # --- frames -------------------------------------------------------------------------------------------------------

    def _data(self, link: Link, raw: bytes) -> None:
        bad = self.decoder.bad
        messages = self.decoder.decode(raw)
        if self.decoder.bad != bad:
            logger.warning("market frame that cannot be read ({} so far): {}", self.decoder.bad, self.decoder.problem)
            link.restart("a frame that cannot be read")
        if not messages:
            return
        if self._clock is not None and self._clock.simulated:
            stamp = str(messages[-1].timestamp)
            if stamp.isdigit():
                self._clock.seen(int(stamp))
        if self._counts(link):
            self._take(raw, messages)
        elif link is self.rotor.spare:
            self._keep(link, raw, messages)

    def _keep(self, spare: Link, raw: bytes, messages: list[Message]) -> None:
        self._warm.append((raw, messages))
        self._warm_booked.update(message.asset_id for message in messages if message.event_type == "book")
        if len(self._warm) > WARM_FRAMES_MAX:
            spare.restart("not whole after very many frames")

    def _take(self, raw: bytes, messages: list[Message]) -> None:
        now = self.rotor.link.data_at or 0.0
        for message in messages:
            track = self.tracks.get(message.market)
            if track is not None:
                track.took(raw, now)
            if message.event_type == "book":
                self._booked.add(message.asset_id)
        self._on_frame(raw, messages)
        if self._on_resolved is not None:
            for message in messages:
                if message.event_type == "market_resolved":
                    self._on_resolved(message)


def is_pong(raw: bytes) -> bool:
    return raw == PONG


def _encode(body: object) -> str:
    return msgspec.json.encode(body).decode()


def _joined(frames: Sequence[bytes]) -> bytes:
    """Several frames, objects or arrays, as one array."""
    return b"[" + b",".join(frame.strip().removeprefix(b"[").removesuffix(b"]") for frame in frames) + b"]"
