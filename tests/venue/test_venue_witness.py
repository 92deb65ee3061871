"""Is the quiet real? The venue is asked for the book, and its answer compared with what the stream has shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from polyhost.errors import VenueError
from polyhost.kernel.hotpath import Feed
from polyhost.model.book import Book
from polyhost.model.market import Market
from polyhost.model.messages import Level, Message
from polyhost.model.money import Micros
from polyhost.model.times import MarketMs
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.decode import FrameDecoder
from polyhost.venue.polymarket.market_stream import FRAMES_KEPT, Track
from polyhost.venue.polymarket.witness import BookWitness

CONDITION, UP, DOWN = "0xa", "11", "22"
MARKET = Market("btc-updown-5m-0", CONDITION, UP, DOWN, MarketMs(300_000), MarketMs(0), "BTC", 300)
START = 1_795_225_800_000


def rest_book(hash_: str, bid: str = "0.40") -> Message:
    return Message(asset_id=UP, market=CONDITION, hash=hash_, bids=[Level(bid, "10")], asks=[Level("0.60", "10")])


def frame(hash_: str) -> bytes:
    return json.dumps({"event_type": "price_change", "price_changes": [{"asset_id": UP, "hash": hash_}]}).encode()


class Venue:
    """Answers by request, each scripted; None: nothing there; a VenueError is raised."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {"books": None, "midpoints": None, "midpoint": None, "book": None}

    def _answer(self, source: str) -> Any:
        self.asked.append(source)
        answer = self.answers[source]
        if isinstance(answer, VenueError):
            raise answer
        return answer

    async def books(self, tokens: Sequence[str]) -> dict[str, Message]:
        book = self._answer("books")
        return {} if book is None else {UP: book}

    async def midpoints(self, tokens: Sequence[str]) -> dict[str, str]:
        price = self._answer("midpoints")
        return {} if price is None else {UP: price}

    async def midpoint(self, token: str) -> str | None:
        price: str | None = self._answer("midpoint")
        return price

    async def book(self, token: str) -> Message | None:
        book: Message | None = self._answer("book")
        return book


class Bench:
    """A witness on scripted time with a stream that is up and a kernel feed behind it."""

    def __init__(self, speed: float = 1.0) -> None:
        self.now = 1_000.0
        self.wall = START / 1_000
        self.clock = VenueClock(lambda: self.wall, lambda: self.now)
        if speed != 1.0:
            self.clock.sample(f"{START};{speed:g}")
        self.venue = Venue()
        self.feed = Feed()
        self.book: Book = self.feed.add(CONDITION, UP, DOWN)
        self.track = Track(MARKET, self.now)
        self.spoils: list[str] = []
        self.lost: list[Market] = []
        self.raw: list[bytes] = []
        stream: Any = SimpleNamespace(
            tracks={CONDITION: self.track}, link=SimpleNamespace(up=True),
            spoil=lambda market, reason: (self.spoils.append(reason), self.book.spoil()),
        )  # fmt: skip
        self.stream = stream
        self.witness = BookWitness(
            stream, self.venue, self.clock, book_of=lambda _: self.book, lost=lambda: self.lost, on_frame=self.taken
        )

    def taken(self, raw: bytes, messages: list[Message]) -> None:
        self.raw.append(raw)
        for message in messages:
            self.feed.apply(message, self.clock.now())

    def stream_book(self, hash_: str, bid: str = "0.40") -> None:
        message = rest_book(hash_, bid)
        message.event_type = "book"
        self.feed.apply(message, self.clock.now())
        self.track.took(frame(hash_), self.now)

    def stream_shows(self, *hashes: str) -> None:
        for hash_ in hashes:
            self.track.took(frame(hash_), self.now)

    def after(self, seconds: float) -> None:
        """Half-second rounds for so long."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.wall += 0.5
            asyncio.run(self.witness.round(self.now))

    @property
    def age_ms(self) -> int:
        return self.clock.now() - self.book.changed_at


def test_con_02_a_quiet_book_that_the_venue_confirms_stays_fresh_for_ever() -> None:
    bench = Bench()
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("h1")
    worst = 0
    for _ in range(600):
        bench.after(0.5)
        worst = max(worst, bench.age_ms)
    assert bench.book.ready
    assert worst <= 5_000, "half of the age an order may rest on"
    assert bench.spoils == []


def test_con_02_a_book_with_another_hash_but_our_levels_is_a_witness_too() -> None:
    """The hash covers the last trade's price and the time, which the stream's last change may not have told."""
    bench = Bench()
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("other")
    bench.after(300)
    assert bench.spoils == []
    assert bench.age_ms <= 5_000


def test_con_02_a_frozen_stream_is_found_by_two_answers_it_never_showed() -> None:
    bench = Bench()
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("h2", bid="0.41")
    bench.after(4.5)
    assert bench.spoils == [], "one answer may have overtaken the stream"
    assert bench.age_ms >= 4_000, "and it makes nothing fresh"
    bench.after(1.5)
    assert len(bench.spoils) == 1
    assert not bench.book.ready


def test_con_02_an_answer_that_only_overtook_the_stream_spoils_nothing() -> None:
    bench = Bench()
    bench.stream_book("h0")
    for number in range(1, 400):
        bench.venue.answers["books"] = rest_book(f"h{number}", bid=f"0.{10 + number % 30}")
        bench.after(0.5)
        bench.stream_shows(f"h{number}")
    assert bench.venue.asked
    assert bench.spoils == []


def test_con_02_a_busy_market_is_asked_about_once_a_minute_too() -> None:
    """A stream may go on and yet have lost something: the book is wrong until somebody asks."""
    bench = Bench()
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("lost", bid="0.41")
    for number in range(124):
        bench.stream_shows(f"x{number}")
        bench.after(0.5)
    assert len(bench.spoils) == 1
    assert 2 <= len(bench.venue.asked) <= 3


def test_con_02_a_stream_that_forgot_what_it_showed_is_not_judged() -> None:
    bench = Bench()
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("h1-long-ago", bid="0.41")
    books = bench.venue.books

    async def during(tokens: Sequence[str]) -> dict[str, Message]:
        bench.stream_shows(*(f"y{number}" for number in range(FRAMES_KEPT)))
        return await books(tokens)

    bench.venue.books = during  # type: ignore[method-assign]
    bench.after(200)
    assert bench.venue.asked
    assert bench.spoils == []


def test_con_02_a_new_connection_is_given_its_chance_before_the_book_is_spoiled_again() -> None:
    bench = Bench()
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("h2", bid="0.41")
    bench.after(60)
    assert len(bench.spoils) == 1
    bench.after(10)
    assert len(bench.spoils) == 2


def test_con_05_a_book_that_is_not_there_is_an_answer() -> None:
    bench = Bench()
    bench.after(300)
    assert bench.venue.asked.count("books") >= 50
    assert (bench.spoils, bench.raw) == ([], [])


def test_con_02_while_the_stream_is_down_nothing_is_doubted() -> None:
    bench = Bench()
    bench.stream_book("h1")
    bench.stream.link.up = False
    bench.venue.answers["books"] = rest_book("h2", bid="0.41")
    bench.after(120)
    assert bench.venue.asked == []


def test_con_02_at_speed_the_question_comes_as_early_in_market_time() -> None:
    """Four market seconds at speed 60 are 67 wall ms: the wall's own least wait holds."""
    bench = Bench(speed=60.0)
    bench.stream_book("h1")
    bench.venue.answers["books"] = rest_book("h1")
    bench.after(1.0)
    assert bench.witness.confirmed == 2


# --- prices while the stream's book is lost ---------------------------------------------------------------------------


def _lost(**answers: Any) -> Bench:
    bench = Bench()
    bench.stream_book("h1")
    bench.book.spoil()
    bench.stream.link.up = False
    bench.lost = [MARKET]
    bench.venue.answers.update(answers)
    bench.after(0.5)
    return bench


DOWN_ERROR = VenueError("HTTP 500: Internal server error", endpoint="x")


@pytest.mark.parametrize(
    ("answers", "source", "best"),
    [
        ({"books": rest_book("z", "0.45")}, "books", (4_500, 6_000)),
        ({"books": DOWN_ERROR, "midpoints": "0.47"}, "midpoints", (4_700, 4_700)),
        ({"books": DOWN_ERROR, "midpoints": DOWN_ERROR, "midpoint": "0.48"}, "midpoint", (4_800, 4_800)),
        (
            {"books": DOWN_ERROR, "midpoints": DOWN_ERROR, "midpoint": DOWN_ERROR, "book": rest_book("z", "0.44")},
            "book", (4_400, 6_000),
        ),
    ],
)  # fmt: skip
def test_con_03_of_the_sources_that_answer_the_first_prices_the_exit(
    answers: dict[str, Any], source: str, best: tuple[int, int]
) -> None:
    bench = _lost(**answers)
    assert (bench.book.source, (bench.book.best_bid, bench.book.best_ask)) == (source, best)
    assert bench.book.priced
    assert not bench.book.ready, "good for exits, not for entries"
    assert bench.age_ms == 0
    again, ours = FrameDecoder().decode(bench.raw[-1]), Feed()
    replayed = ours.add(CONDITION, UP, DOWN)
    for message in again:
        ours.apply(message, bench.clock.now())
    assert (replayed.bids, replayed.asks, replayed.source) == (bench.book.bids, bench.book.asks, source), "a recording"


def test_con_03_when_nobody_answers_nothing_is_made_up() -> None:
    bench = _lost(books=DOWN_ERROR, midpoints=DOWN_ERROR, midpoint=DOWN_ERROR, book=DOWN_ERROR)
    assert bench.venue.asked == ["books", "midpoints", "midpoint", "book"]
    assert not bench.book.priced


def test_con_03_the_stream_wins_over_an_answer_that_came_too_late() -> None:
    bench = _lost(books=rest_book("z", "0.45"))
    bench.stream_book("h9", bid="0.50")
    bench.after(0.5)
    assert (bench.book.source, bench.book.best_bid) == ("stream", 5_000)
    assert bench.book.ready


def test_con_03_no_change_of_the_stream_is_applied_to_prices_that_were_asked_for() -> None:
    bench = _lost(books=rest_book("z", "0.45"))
    change = json.dumps({
        "event_type": "price_change", "market": CONDITION,
        "price_changes": [{"asset_id": UP, "price": "0.55", "size": "5", "side": "BUY"}],
    }).encode()  # fmt: skip
    for message in FrameDecoder().decode(change):
        bench.feed.apply(message, 1)
    size: Micros = 10_000_000
    assert bench.book.bids == {4_500: size}
