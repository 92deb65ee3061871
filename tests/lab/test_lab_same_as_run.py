"""A backtest and a run are one program: the inputs of a backtest, handed to the run's own shell, give the same journal.

Every input that the backtest's kernel got is noted with its times and goes once more through service/engine.py, with
the journal's writer and a file under it. Nobody answers there: the venue's and the plugins' answers are inputs too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
import pytest

from polyhost.extension.runner import Runner
from polyhost.journal import JournalWriter
from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import Backtest
from polyhost.lab.tape import Tape
from polyhost.model.batching import single
from polyhost.model.commands import Command, Follow, Post, Tell, Unfollow
from polyhost.model.events import (
    Candidate,
    Evaluated,
    Event,
    PluginStruck,
    PluginTold,
    PostAnswered,
    Proposed,
    TradeSeen,
)
from polyhost.model.messages import Message
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Answer, Enter, ExitNow, ExitTarget, Notice
from polyhost.model.reading import Reading
from polyhost.model.records import CloseRecorded, MarketSettled, NoticeRaised, OrderIntended, PluginStateSet
from polyhost.model.step import Step
from polyhost.model.times import MarketMs
from polyhost.model.view import Candle, View
from polyhost.model.words import Purpose, Side
from polyhost.service.engine import Engine
from polyhost.settings import Configuration
from polyhost.venue.polymarket.decode import FrameDecoder

from .lab_tapes import START, Row, book, gamma, host, price, quiet_window, reading, resolved, trade, write

END: Final = START + 900_000
SETTINGS: Final = Configuration.model_validate({"evaluation": {"cadence_ms": 2_000}})
HOOKS: Final = frozenset({"on_fill", "on_order", "on_settlement"})
DURABLE_WITHIN_S: Final = 60.0


# --- the inputs -------------------------------------------------------------------------------------------------------


class Input(NamedTuple):
    """One call of the kernel: ``what`` entrance, with what, and when."""

    what: str
    given: Any
    now: int
    wall: int


class NotingKernel(Kernel):
    """Notes everything that comes in."""

    def __init__(self, settings: Configuration, account: str, told_hooks: frozenset[str]) -> None:
        super().__init__(settings, account, told_hooks)
        self.analyse = False
        self.inputs: list[Input] = []

    def feed(self, message: Message, now: int) -> bool:
        self.inputs.append(Input("feed", message, now, now))
        return super().feed(message, now)

    def price(self, feed: str, symbol: str, price: int, stamp: int, now: int) -> None:
        self.inputs.append(Input("price", (feed, symbol, price, stamp), now, now))
        super().price(feed, symbol, price, stamp, now)

    def candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        self.inputs.append(Input("candle", (symbol, candle, closed), 0, 0))
        super().candle(symbol, candle, closed)

    def reading(self, source: str, name: str, value: float, at: int, now: int) -> bool:
        self.inputs.append(Input("reading", Reading(name, value, at, source), now, now))
        return super().reading(source, name, value, at, now)

    def turn(self, now: int, wall: int) -> Step:
        self.inputs.append(Input("turn", None, now, wall))
        return super().turn(now, wall)

    def handle(self, event: Event, now: int, wall: int) -> Step:
        self.inputs.append(Input("event", event, now, wall))
        return super().handle(event, now, wall)

    def ended(self, now: int, reason: str) -> Step:
        self.inputs.append(Input("ended", reason, now, now))
        return super().ended(now, reason)


class Trader:
    """Plugins that use every way in: an entry, a target that moves, a stop, state and notices of ``on_…`` hooks."""

    told_hooks = HOOKS

    def evaluate(self, view: View) -> Evaluated:
        answers = self._answers(view)
        return Evaluated(
            view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
            candidates=tuple(
                Candidate(Proposed("trader", each), micros("10")) for each in answers if isinstance(each, Enter)
            ),
            proposals=tuple(Proposed("trader", each) for each in answers if not isinstance(each, Enter)),
        )

    def _answers(self, view: View) -> list[Answer]:
        if not view.positions:
            young = not view.taken and not view.orders and view.reading("mood", 60_000) is not None
            return [Enter(Side.UP, ticks("0.41"), "young")] if young else []
        if view.up.bid <= ticks("0.30"):
            return [ExitNow(Side.UP, "fell")]
        return [ExitTarget(Side.UP, ticks("0.60") if view.elapsed_s < 120 else ticks("0.55"), "plan")]

    def tell(self, command: Tell) -> list[PluginTold]:
        notice = (Notice("filled"),) if command.hook == "on_fill" else ()
        return [PluginTold("trader", command.hook, {"last": f'"{command.at}"'}, notice)]

    def struck(self) -> list[PluginStruck]:
        return []


def story() -> list[Row]:
    """Two windows: one is bought, covered and sold into a crossing bid, the other stopped; with prices and a gap."""
    second = START + 900_000
    rows = [*quiet_window(every_ms=2_000), gamma(second - 30_000, start=second, number=2)]
    rows += [book(START + 200_000, "0.56", "0.57"), trade(START + 150_000, "0.54", "40"), host(START + 80_500, "gap")]
    twap = "crypto_prices_twap_sixty"
    rows += [price(START + 200 + ms, twap, 71_485.25, START + ms) for ms in range(0, 5_000, 1_000)]
    rows += [reading(at + 30_000, "mood", 0.5, at + 29_000) for at in (START, second)]
    rows += [price(START + ms, "crypto_prices", 71_480.5 + ms / 1e4, START + ms) for ms in range(0, 60_000, 5_000)]
    quotes = [("0.40", "0.41")] * 100 + [("0.29", "0.31")] * 350
    rows += [
        book(second + 2_000 * n, bid, ask, token="1101") for n, (bid, ask) in enumerate(quotes)
    ]
    rows += [resolved(END + 8_000), resolved(second + 908_000, "DOWN", start=second, number=2)]
    return rows


def backtest(path: Path) -> tuple[list[bytes], list[Input]]:
    """The journal of a backtest over the story, and everything its kernel got."""
    run = Backtest(SETTINGS, Trader())
    run.kernel = kernel = NotingKernel(SETTINGS, SETTINGS.host.account, HOOKS)
    run.run([Tape(write(path, story()))])
    return run.journal.bodies, kernel.inputs


# --- the run's shell --------------------------------------------------------------------------------------------------


class ScriptedClock:
    """Both times, as the input at hand says."""

    def __init__(self) -> None:
        self.market = self.wall = 0

    def now(self) -> MarketMs:
        return MarketMs(self.market)

    def wall_seconds(self, market_ms: float) -> float:
        return market_ms / 1_000


class ScriptedEngine(Engine):
    """The shell as it is, but for where its wall clock is."""

    clock: ScriptedClock

    def wall(self) -> int:
        return self.clock.wall


class Silent:
    """A venue and plugins that never answer; the venue remembers what it was asked for."""

    all_inline = False

    def __init__(self) -> None:
        self.asked: list[Command] = []

    async def execute(self, command: Command) -> list[Event]:
        self.asked.append(command)
        return []

    async def evaluate(self, view: View) -> Evaluated:
        never: asyncio.Future[Evaluated] = asyncio.get_running_loop().create_future()
        return await never

    async def tell_async(self, hook: str, **facts: object) -> list[PluginTold]:
        return []

    def take_struck(self) -> list[PluginStruck]:
        return []

    async def deliver(self, notice: NoticeRaised, channel: str) -> str:
        return ""


class Shell:
    """The run's engine over a journal on disk, with scripted times and nobody who answers."""

    def __init__(self, journal: Path) -> None:
        loop = asyncio.get_running_loop()
        self.clock, self.silent = ScriptedClock(), Silent()
        self.followed: list[Follow | Unfollow] = []
        self.failures: list[Exception] = []
        self.journal = JournalWriter(
            journal, SETTINGS.host.account, lambda seq: self._later(loop, seq), self.failures.append
        )
        kernel = Kernel(SETTINGS, SETTINGS.host.account, HOOKS)
        self.engine = ScriptedEngine(
            kernel, self.clock, self.silent, cast(Runner, self.silent), self.journal, None, None,
            follow=self.followed.append,
        )
        self._decoder = FrameDecoder()
        self._told_seq = 0

    def _later(self, loop: asyncio.AbstractEventLoop, seq: int) -> None:
        loop.call_soon_threadsafe(self._durable, seq)

    def _durable(self, seq: int) -> None:
        self._told_seq = seq
        self.engine.durable(seq)

    def push(self, one: Input) -> None:
        """One input by the entrance that the run has for it."""
        if one.what != "candle":
            self.clock.market, self.clock.wall = one.now, one.wall
        match one.what:
            case "feed":
                raw = msgspec.json.encode(one.given)
                self.engine.frame(raw, self._decoder.decode(raw))
            case "price":
                self.engine.price(*one.given)
            case "candle":
                self.engine.candle(*one.given)
            case "reading":
                self.engine.reading(one.given)
            case "turn":
                self.engine.turn()
            case "event":
                self.engine.event(one.given)
            case "ended":
                self.engine.carry_out(self.engine.kernel.ended(one.now, one.given))
            case _:
                raise AssertionError(one.what)

    async def close(self) -> None:
        async with asyncio.timeout(DURABLE_WITHIN_S):
            while self._told_seq < self.journal.last_seq:
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # the last posts leave
        await self.engine.close()
        self.journal.close()
        assert self.failures == []
        if self.engine.broken is not None:
            raise self.engine.broken


async def _push_all(inputs: list[Input], path: Path) -> Shell:
    shell = Shell(path)
    try:
        for number, one in enumerate(inputs):
            shell.push(one)
            if number % 100 == 0:
                await asyncio.sleep(0)
    finally:
        await shell.close()
    return shell


def through_the_run(inputs: list[Input], path: Path) -> list[bytes]:
    """The bytes in the journal's file after these inputs."""
    asyncio.run(_push_all(inputs, path))
    return bodies(path)


def bodies(path: Path) -> list[bytes]:
    with sqlite3.connect(path) as database:
        rows = database.execute("select body from journal order by seq").fetchall()
    database.close()
    return [row[0] if isinstance(row[0], bytes) else row[0].encode() for row in rows]


# --- the tests --------------------------------------------------------------------------------------------------------


def test_ops_05_the_same_inputs_through_run_give_the_backtests_journal_byte_for_byte(tmp_path: Path) -> None:
    expected, inputs = backtest(tmp_path / "story.jsonl")
    assert through_the_run(inputs, tmp_path / "journal.db") == expected


def test_the_run_asks_its_venue_for_the_same_orders_in_the_same_order(tmp_path: Path) -> None:
    """Sells and buys each in their order: of what becomes durable together, sells leave first (CON-10)."""
    expected, inputs = backtest(tmp_path / "story.jsonl")
    shell = asyncio.run(_push_all(inputs, tmp_path / "journal.db"))
    prepared = [msgspec.json.decode(body)["request"] for body in expected if b'"order_prepared"' in body]
    asked = [one for command in shell.silent.asked for one in single(command)]
    posted = [command.request for command in asked if isinstance(command, Post)]
    for action in ("BUY", "SELL"):
        wanted = [request["order_id"] for request in prepared if request["fields"]["action"] == action]
        assert [request.order_id for request in posted if request.fields.action == action] == wanted
    assert len(posted) == len(prepared)
    assert [type(command) for command in shell.followed].count(Follow) == 2


def test_the_story_has_every_kind_of_input_and_the_turns_of_a_position(tmp_path: Path) -> None:
    """Else the comparison above would prove little."""
    expected, inputs = backtest(tmp_path / "story.jsonl")
    assert {one.what for one in inputs} == {"feed", "price", "reading", "turn", "event", "ended"}
    kinds = {msgspec.json.decode(body)["record"] for body in expected}
    tags = {kind.__struct_config__.tag for kind in (CloseRecorded, MarketSettled, OrderIntended, PluginStateSet)}
    assert tags <= kinds
    purposes = [
        msgspec.json.decode(body)["slot"]["purpose"] for body in expected if b'"order_intended"' in body
    ]
    assert purposes.count(Purpose.ENTRY.value) == 2
    assert len(purposes) >= 5, "a target placed, moved, and placed in the other window, and a stop"
    reasons = {msgspec.json.decode(body)["exit_reason"] for body in expected if b'"close_recorded"' in body}
    assert reasons == {"plan", "fell"}


def _is(kind: type, which: Callable[[Any], bool] = lambda event: True) -> Callable[[Input], bool]:
    return lambda one: one.what == "event" and isinstance(one.given, kind) and which(one.given)


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(_is(Evaluated, lambda event: bool(event.candidates)), id="an answer that enters"),
        pytest.param(_is(PostAnswered), id="the venue's answer to a post"),
        pytest.param(_is(TradeSeen), id="a trade"),
        pytest.param(_is(PluginTold, lambda event: bool(event.notices)), id="what a plugin said after a fill"),
        pytest.param(lambda one: one.what == "feed", id="the first book"),
        pytest.param(lambda one: one.what == "turn" and one.now >= START + 120_000, id="a turn of the timer"),
        pytest.param(lambda one: one.what == "ended", id="the last word"),
    ],
)
def test_one_missing_input_shows(tmp_path: Path, missing: Callable[[Input], bool]) -> None:
    expected, inputs = backtest(tmp_path / "story.jsonl")
    at = next(number for number, one in enumerate(inputs) if missing(one))
    assert through_the_run(inputs[:at] + inputs[at + 1 :], tmp_path / "journal.db") != expected


def test_a_millisecond_shows(tmp_path: Path) -> None:
    expected, inputs = backtest(tmp_path / "story.jsonl")
    at = next(number for number, one in enumerate(inputs) if _is(PostAnswered)(one))
    late = [*inputs[:at], inputs[at]._replace(now=inputs[at].now + 1), *inputs[at + 1 :]]
    assert through_the_run(late, tmp_path / "journal.db") != expected
