"""Asks for the book by request when the stream is quiet, and again in turn: is the stream telling everything?

A market stream can be connected, answer every ping and be frozen for hours (py-clob-client#292). A quiet market looks
the same. The difference is what the venue shows to somebody who asks: a book whose hash the stream has shown, or that
equals ours, is a *witness* that the quiet is real, and makes the book fresh; one that the stream never showed, twice in
turn, means that the stream is not to be trusted: the book's epoch is spoiled and the connection replaced. While a
book is lost and somebody needs its price, what was asked for is handed on with its source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from loguru import logger
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.model.book import Book
from polyhost.model.market import Market
from polyhost.model.messages import FETCHED, WITNESSED, Message
from polyhost.model.words import Side
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.market_stream import FRAMES_KEPT, MarketStream, OnFrame, Track

_T = TypeVar("_T")
MEANWHILE_MAX: Final = FRAMES_KEPT // 2
"""A stream that brought so many messages of the market during the question is alive, and no longer remembers what it
showed at the beginning: no judgement."""
DISSENTS_MAX: Final = 2
"""So many answers in turn that the stream has not shown make the book spoiled: one may have overtaken the stream."""


class WitnessPace(Struct, frozen=True):
    """How often, in wall seconds unless said otherwise."""

    round_s: float = 0.5
    """A look at what is due."""
    quiet_ms: int = 4_000
    """A market without a message for so long (market ms) is asked about: well within the age an order may rest on."""
    quiet_min_s: float = 0.4
    """The same on the wall at least, however fast market time runs."""
    turn_s: float = 60.0
    """Every followed market is asked about this often, quiet or not."""
    settle_s: float = 1.0
    """An answer that the stream has not shown is given so long to be shown after all."""
    mercy_s: float = 60.0
    """A market whose book was spoiled is not spoiled again for so long: a new connection needs its chance."""


class Reads(Protocol):
    """What is asked: ``RestBooks``."""

    async def books(self, tokens: Sequence[str]) -> dict[str, Message]: ...
    async def midpoints(self, tokens: Sequence[str]) -> dict[str, str]: ...
    async def midpoint(self, token: str) -> str | None: ...
    async def book(self, token: str) -> Message | None: ...


class _Doubt:
    """An answer that the stream had not shown; the track seeks its hash from then on."""

    __slots__ = ("at", "count")

    def __init__(self, at: float, count: int) -> None:
        self.at = at
        self.count = count
        """Answers in turn that the stream never showed."""


class BookWitness:
    """Watches the books of a market stream.

    ``book_of(condition_id)`` is the book as the host has it, None when it has none; ``lost()`` the markets whose book
    is lost while somebody needs its price; ``on_frame`` takes what is learnt as messages of our own kinds.
    """

    def __init__(
        self,
        stream: MarketStream,
        reads: Reads,
        clock: VenueClock,
        *,
        book_of: Callable[[str], Book | None],
        lost: Callable[[], Iterable[Market]],
        on_frame: OnFrame,
        pace: WitnessPace | None = None,
    ) -> None:
        self.confirmed = 0
        """Answers that agreed with the stream."""
        self.spoiled = 0
        """Books that were spoiled because the stream had not shown what the venue shows."""
        self.sources: dict[str, int] = {}
        """Prices handed on while the stream was lost, by source."""
        self._stream = stream
        self._reads = reads
        self._clock = clock
        self._book_of = book_of
        self._lost = lost
        self._on_frame = on_frame
        self._pace = pace or WitnessPace()
        self._asked: dict[str, float] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._mercy: dict[str, float] = {}
        self._silent: set[str] = set()
        """Sources that do not answer: told once until they do."""

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Watch until cancelled; ``beat`` before each look."""
        while True:
            beat()
            await self.round(asyncio.get_running_loop().time())
            await asyncio.sleep(self._pace.round_s)

    async def round(self, now: float) -> None:
        """One look at loop time ``now``: ask about what is due, judge the answers, price what is lost."""
        tracks = self._stream.tracks
        for kept in (self._asked, self._doubts, self._mercy):
            for gone in [condition_id for condition_id in kept if condition_id not in tracks]:
                del kept[gone]
        lost = {market.condition_id: market for market in self._lost()}
        due = [track.market for track in tracks.values() if self._due(track, now)]
        wanted = {market.condition_id: market for market in due} | lost
        if not wanted:
            return
        asked_ms = self._clock.now()
        for condition_id in wanted:
            self._asked[condition_id] = now
        counts = {market.condition_id: tracks[market.condition_id].count for market in due}
        books = await self._books([market.up for market in wanted.values()])
        if books is not None:
            for market in due:
                track = tracks.get(market.condition_id)
                if track is not None and track.count - counts[market.condition_id] < MEANWHILE_MAX:
                    self._judge(track, books.get(market.up), asked_ms, now)
        await self._price(list(lost.values()), books or {}, asked_ms)

    # --- the witness --------------------------------------------------------------------------------------------------

    def _due(self, track: Track, now: float) -> bool:
        pace = self._pace
        if not self._stream.link.up:
            return False  # no question: it is down, and said so
        quiet_s = max(self._clock.wall_seconds(pace.quiet_ms), pace.quiet_min_s)
        since = now - self._asked.get(track.market.condition_id, track.since)
        doubt = self._doubts.get(track.market.condition_id)
        if doubt is not None:
            return now - doubt.at >= pace.settle_s
        return since >= pace.turn_s or (now - track.at >= quiet_s and since >= quiet_s)

    def _judge(self, track: Track, answer: Message | None, asked_ms: int, now: float) -> None:
        market = track.market
        condition_id = market.condition_id
        doubt = self._doubts.get(condition_id)
        if answer is None or (answer.bids is None and answer.asks is None):
            self._doubts.pop(condition_id, None)
            return  # no book at the venue: new, or ended
        book = self._book_of(condition_id)
        if track.shown(answer.hash) or (book is not None and same_book(book, answer)):
            self._doubts.pop(condition_id, None)
            self.confirmed += 1
            self._confirm(market, asked_ms)
        else:
            # A doubt whose book came on the stream after all was only early; so may this one be.
            count = 1 if doubt is None or track.sought is None else doubt.count + 1
            self._doubts[condition_id] = _Doubt(now, count)
            track.sought = answer.hash.encode()
            if count >= DISSENTS_MAX:
                self._spoil(track, now)

    def _confirm(self, market: Market, asked_ms: int) -> None:
        self._tell(Message(event_type=WITNESSED, asset_id=market.up, market=market.condition_id,
                           timestamp=str(asked_ms)))  # fmt: skip

    def _spoil(self, track: Track, now: float) -> None:
        market = track.market
        if now < self._mercy.get(market.condition_id, now):
            return
        del self._doubts[market.condition_id]
        self._mercy[market.condition_id] = now + self._pace.mercy_s
        self.spoiled += 1
        quiet_s = now - track.at
        reason = f"the venue shows a book that the stream never did (its last message {quiet_s:.1f} s ago)"
        logger.bind(market=market.slug).warning("{}: {}", market.slug, reason)
        self._stream.spoil(market, reason)

    # --- prices while the stream is lost (CON-03) ---------------------------------------------------------------------

    async def _price(self, markets: list[Market], books: dict[str, Message], asked_ms: int) -> None:
        """Of the sources in turn: books in a batch, midpoints in a batch, one midpoint, one book."""
        left = [market for market in markets if not self._take(market, books.get(market.up), "books", asked_ms)]
        if not left:
            return
        midpoints = await self._answer("midpoints", self._reads.midpoints([market.up for market in left])) or {}
        for market in left:
            price = midpoints.get(market.up)
            if price:
                self._hand_on(market, "midpoints", asked_ms, price=price)
                continue
            price = await self._answer("midpoint", self._reads.midpoint(market.up))
            if price:
                self._hand_on(market, "midpoint", asked_ms, price=price)
                continue
            self._take(market, await self._answer("book", self._reads.book(market.up)), "book", asked_ms)

    def _take(self, market: Market, book: Message | None, source: str, asked_ms: int) -> bool:
        if book is None or (book.bids is None and book.asks is None):
            return False
        self._hand_on(market, source, asked_ms, book=book)
        return True

    def _hand_on(
        self, market: Market, source: str, asked_ms: int, *, book: Message | None = None, price: str = ""
    ) -> None:
        self.sources[source] = self.sources.get(source, 0) + 1
        message = Message(
            event_type=FETCHED + source, asset_id=market.up, market=market.condition_id, timestamp=str(asked_ms),
            price=price,
        )
        if book is not None:
            message.bids, message.asks = book.bids or [], book.asks or []
        self._tell(message)

    def _tell(self, message: Message) -> None:
        kept = {name: value for name, value in msgspec.structs.asdict(message).items() if value not in ("", None, 0)}
        self._on_frame(msgspec.json.encode(kept), [message])

    async def _books(self, tokens: list[str]) -> dict[str, Message] | None:
        return await self._answer("books", self._reads.books(tokens))

    async def _answer(self, source: str, asked: Awaitable[_T]) -> _T | None:
        """The answer, or None when there is none: one endpoint that fails stops nothing."""
        try:
            answer = await asked
        except VenueError as error:
            if source not in self._silent:
                logger.warning("prices by request ({}): {}", source, error)
            self._silent.add(source)
            return None
        self._silent.discard(source)
        return answer


def same_book(book: Book, answer: Message) -> bool:
    """The UP token's book as asked for has exactly our levels. Raises nothing: a price that is none is no match."""
    if not (book.ready and book.sized):
        return False
    other = Book()
    try:
        other.replace(Side.UP, answer.bids or (), answer.asks or ())
    except ValueError:
        return False
    return other.bids == book.bids and other.asks == book.asks
