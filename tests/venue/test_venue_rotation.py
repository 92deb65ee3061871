"""A connection is replaced while it works: the new one whole first, nothing lost, nobody told of a disconnect."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from polyhost.kernel.hotpath import Feed
from polyhost.model.events import Event, StreamChanged
from polyhost.model.messages import Message
from polyhost.model.words import Side
from polyhost.venue.link import Link, Pace
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.streams import MarketStream, UserStream
from polyhost.venue.rotation import PLANNED, Rotor, Turnover

from ..unhurried import PATIENCE_S

FAST = Pace(
    ping_s=0.05, pong_s=PATIENCE_S, first_s=PATIENCE_S, open_s=PATIENCE_S, data_s=0.0, backoff_s=0.01,
    backoff_max_s=0.02,
)
SOON = Turnover(every_s=0.05, whole_s=PATIENCE_S)
NEVER = Turnover(every_s=0.0, whole_s=PATIENCE_S)
PATH = "/ws/market"


def book(token: str, size: str = "1") -> str:
    bids = [{"price": "0.40", "size": size}]
    return json.dumps({"event_type": "book", "asset_id": token, "market": "0xa", "bids": bids, "asks": []})


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.raw: list[bytes] = []
        self.sizes: list[str] = []

    def frame(self, raw: bytes, messages: list[Message]) -> None:
        self.raw.append(raw)
        self.sizes += [message.bids[0].size for message in messages if message.bids]

    @property
    def changes(self) -> list[tuple[bool, int, str]]:
        return [(event.up, event.epoch, event.reason) for event in self.events if isinstance(event, StreamChanged)]


def _market(fake: Any, heard: Heard, turnover: Turnover) -> MarketStream:
    return MarketStream(
        fake.ws_url + PATH, on_frame=heard.frame, on_event=heard.events.append, pace=FAST, turnover=turnover,
        jitter=lambda: 0.5,
    )  # fmt: skip


def _run(venue: Any, go: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        async with venue() as fake:
            await go(fake)

    asyncio.run(main())


async def _while_running(stream: Any, job: Awaitable[None]) -> None:
    task = asyncio.create_task(stream.run())
    try:
        await job
    finally:
        stream.close()
        await asyncio.wait_for(task, PATIENCE_S)


def _answers(fake: Any, books: Callable[[int], list[str]]) -> None:
    """Each connection, by its number, is greeted with these frames."""

    async def on_text(ws: Any, text: str) -> None:
        if text == "PING":
            await ws.send_str("PONG")
        elif json.loads(text).get("type"):
            for frame in books(fake.opened[PATH].index(ws)):
                await ws.send_str(frame)

    fake.on_text[PATH] = on_text


def test_con_01_the_new_socket_has_every_first_book_before_the_old_one_closes(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        _answers(fake, lambda number: [book("1", "1"), book("2", "1")] if number == 0 else [book("1", "7")])
        stream = _market(fake, heard, SOON)

        async def job() -> None:
            stream.subscribe(["1", "2"])
            await fake.until(lambda: len(fake.opened[PATH]) == 2 and fake.said[PATH].count("PING") >= 4)
            old, new = fake.opened[PATH]
            assert not old.closed, "the new one lacks the book of token 2"
            assert heard.sizes == ["1", "1"], "what a connection that is not whole says is nobody's yet"
            await old.send_str(book("1", "3"))
            await fake.until(lambda: heard.sizes == ["1", "1", "3"])
            await new.send_str(book("2", "8"))
            await fake.until(lambda: old.closed)
            assert heard.sizes == ["1", "1", "3", "7", "8"], "then all of it, in its order"
            assert json.loads(heard.raw[-1]) == [json.loads(book("1", "7")), json.loads(book("2", "8"))]
            assert heard.changes == [(True, 1, "")], "a planned rotation is no disconnect"

        await _while_running(stream, job())

    _run(venue, go)


def test_con_01_a_new_socket_that_is_never_whole_is_given_up_and_the_old_one_goes_on(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        _answers(fake, lambda number: [book("1")] if number == 0 else [])
        stream = _market(fake, heard, Turnover(every_s=0.05, whole_s=0.1))

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: stream.rotor.given_up >= 1)
            await fake.until(lambda: fake.opened[PATH][1].closed)
            await fake.opened[PATH][0].send_str(book("1", "5"))
            await fake.until(lambda: heard.sizes[-1] == "5")
            assert heard.changes == [(True, 1, "")]
            assert stream.rotor.rotations == 0

        await _while_running(stream, job())

    _run(venue, go)


def test_con_01_when_the_old_socket_dies_meanwhile_the_gap_is_told(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        _answers(fake, lambda number: [book("1")] if number == 0 else [])
        stream = _market(fake, heard, SOON)

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: len(fake.opened[PATH]) == 2)
            old, new = fake.opened[PATH]
            stream.link._pace = Pace(backoff_s=600.0)  # it does not come back by itself
            await old.close(code=1001)
            await fake.until(lambda: len(heard.changes) == 2)
            await new.send_str(book("1", "9"))
            await fake.until(lambda: heard.sizes[-1] == "9")
            assert [(up, epoch) for up, epoch, _ in heard.changes] == [(True, 1), (False, 1), (True, 2)]

        await _while_running(stream, job())

    _run(venue, go)


def test_con_02_a_stream_that_is_not_trusted_is_replaced_though_it_says_nothing(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        _answers(fake, lambda number: [book("1", str(number + 1))] if number != 1 else [])
        stream = _market(fake, heard, Turnover(every_s=0.0, whole_s=0.1))

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: heard.sizes == ["1"])
            stream.rotor.want("frozen")
            # The second connection is not whole either: the first is made anew, with a gap that is told.
            await fake.until(lambda: heard.sizes == ["1", "3"])
            assert heard.changes == [(True, 1, ""), (False, 1, "frozen"), (True, 2, "")]
            stream.rotor._turnover = NEVER  # the next one is whole, whenever that is
            stream.rotor.want("frozen")
            await fake.until(lambda: heard.sizes == ["1", "3", "4"])
            assert len(heard.changes) == 3

        await _while_running(stream, job())

    _run(venue, go)


def test_con_01_what_is_followed_during_a_rotation_is_followed_by_both(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        _answers(fake, lambda number: [book("1")] if number == 0 else [])
        stream = _market(fake, heard, SOON)

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: len(fake.opened[PATH]) == 2 and stream.rotor.spare is not None)
            await fake.until(lambda: bool(stream.rotor.spare and stream.rotor.spare.up))
            stream.subscribe(["2"])
            said = lambda: [json.loads(text) for text in fake.said[PATH] if "operation" in text]  # noqa: E731
            await fake.until(lambda: len(said()) == 2)
            assert [body["assets_ids"] for body in said()] == [["2"], ["2"]]

        await _while_running(stream, job())

    _run(venue, go)


class Exchange:
    """A venue with one moving book; each socket gets the full book and then every change, in its own time."""

    def __init__(self, fake: Any, seed: int) -> None:
        self.fake = fake
        self.random = random.Random(seed)
        self.bids: dict[str, str] = {}
        self.queues: dict[Any, asyncio.Queue[str]] = {}
        self.tasks: list[asyncio.Task[None]] = []
        fake.on_text[PATH] = self.said

    async def said(self, ws: Any, text: str) -> None:
        if text == "PING":
            await ws.send_str("PONG")
            return
        queue = self.queues[ws] = asyncio.Queue()
        queue.put_nowait(self.full())
        self.tasks.append(asyncio.create_task(self.send(ws, queue)))

    def open(self) -> list[asyncio.Queue[str]]:
        return [queue for ws, queue in self.queues.items() if not ws.closed]

    def full(self) -> str:
        bids = [{"price": price, "size": size} for price, size in self.bids.items()]
        return json.dumps({"event_type": "book", "asset_id": "1", "market": "0xa", "bids": bids, "asks": []})

    def change(self) -> None:
        price, size = f"0.{self.random.randrange(10, 90)}", str(self.random.randrange(0, 5))
        self.bids[price] = size
        if size == "0":
            del self.bids[price]
        changed = [{"asset_id": "1", "price": price, "size": size, "side": "BUY", "hash": ""}]
        text = json.dumps({"event_type": "price_change", "market": "0xa", "price_changes": changed})
        for queue in self.queues.values():
            queue.put_nowait(text)

    async def send(self, ws: Any, queue: asyncio.Queue[str]) -> None:
        while not ws.closed:
            text = await queue.get()
            await asyncio.sleep(self.random.choice((0, 0, 0, 0.001, 0.003)))
            if not ws.closed:
                await ws.send_str(text)


def test_con_01_many_rotations_of_a_moving_book_lose_nothing(venue: Any) -> None:
    """One lost or doubled change would stay in the book for good: changes are never repeated."""

    async def go(fake: Any) -> None:
        exchange = Exchange(fake, 7)
        feed, heard = Feed(), Heard()
        ours = feed.add("0xa", "1", "2")

        def frame(raw: bytes, messages: list[Message]) -> None:
            for message in messages:
                feed.apply(message, 0)

        stream = MarketStream(
            fake.ws_url + PATH, on_frame=frame, on_event=heard.events.append, pace=FAST,
            turnover=Turnover(every_s=0.03, whole_s=PATIENCE_S), jitter=lambda: 0.5,
        )  # fmt: skip

        async def job() -> None:
            stream.subscribe(["1"])
            await fake.until(lambda: ours.ready)
            while stream.rotor.rotations < 10:
                if not any(queue.qsize() > 50 for queue in exchange.open()):
                    for _ in range(20):
                        exchange.change()
                await asyncio.sleep(0.002)
            stream.rotor._turnover = NEVER
            theirs = Feed().add("0xa", "1", "2")
            await fake.until(lambda: not any(queue.qsize() for queue in exchange.open()))
            theirs.replace(Side.UP, json_levels(exchange.bids), [])
            await fake.until(lambda: ours.bids == theirs.bids)
            assert heard.changes == [(True, 1, "")]

        await _while_running(stream, job())
        for task in exchange.tasks:
            task.cancel()

    _run(venue, go)


def json_levels(bids: dict[str, str]) -> Any:
    from polyhost.model.messages import Level

    return [Level(price, size) for price, size in bids.items()]


def test_con_01_the_user_stream_is_replaced_without_a_moment_unheard_and_the_account_is_compared(venue: Any) -> None:
    async def go(fake: Any) -> None:
        heard = Heard()
        order = (
            '{"event_type":"order","id":"0x1","market":"0xa","asset_id":"1","side":"BUY","original_size":"10",'
            '"size_matched":"0","price":"0.5","type":"PLACEMENT","status":"LIVE"}'
        )
        stream = UserStream(
            fake.ws_url + "/ws/user", Credentials("key-1", "c2VjcmV0", "pass"), on_event=heard.events.append,
            pace=FAST, turnover=Turnover(every_s=0.1, whole_s=PATIENCE_S), jitter=lambda: 0.5,
        )  # fmt: skip
        deaf = asyncio.Event()

        async def on_text(ws: Any, text: str) -> None:
            if text == "PING" and (fake.opened["/ws/user"].index(ws) == 0 or deaf.is_set()):
                await ws.send_str("PONG")

        fake.on_text["/ws/user"] = on_text

        async def job() -> None:
            await fake.until(lambda: len(fake.opened["/ws/user"]) == 2)
            old, new = fake.opened["/ws/user"]
            for ws in (old, new):
                await ws.send_str(order)
            await fake.until(lambda: len(heard.events) == 3)
            await fake.until(lambda: fake.said["/ws/user"].count("PING") >= 6)
            assert heard.changes == [(True, 1, "")], "nothing proves yet that the new one is heard"
            assert not old.closed
            deaf.set()
            await fake.until(lambda: old.closed)
            assert heard.changes == [(True, 1, ""), (True, 2, PLANNED)]

        await _while_running(stream, job())

    _run(venue, go)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_con_01_rotations_are_jittered_by_a_quarter(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        waited: list[float | None] = []
        real = asyncio.wait

        async def noted(tasks: Any, timeout: float | None = None, **more: Any) -> Any:
            waited.append(timeout)
            return await real(tasks, timeout=0, **more)

        link = Link(
            "x", "ws://127.0.0.1:9", on_open=lambda _: [], on_data=lambda _: None, on_down=lambda *_: None, pace=FAST
        )
        rotor = Rotor(
            lambda: link, whole=lambda _: True, swap=lambda *_: None, turnover=Turnover(every_s=100.0),
            jitter=lambda: share,
        )  # fmt: skip
        forever: asyncio.Task[None] = asyncio.create_task(asyncio.sleep(3600))
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "wait", noted)
            assert await rotor._until_due(forever) == PLANNED
        forever.cancel()
        assert waited == [75.0 + 50.0 * share]

    asyncio.run(go())
