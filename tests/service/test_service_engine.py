"""The shell around the kernel: what is gated, what is free, what is said, and when it stops listening."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from polyhost.journal import JournalError, MemoryJournal
from polyhost.kernel.kernel import Kernel
from polyhost.model.commands import (
    Ask,
    Cancel,
    CancelMany,
    Command,
    Deliver,
    Follow,
    Post,
    PostMany,
    QueryBalance,
    Tell,
    Unfollow,
)
from polyhost.model.events import BalanceSeen, Event, LoopChanged, PostAnswered, PostLeft, RunBegan
from polyhost.model.gateway import OrderRequest, SignedFields
from polyhost.model.market import Fees, Market
from polyhost.model.order_hash import ZERO_BYTES32
from polyhost.model.records import HeldDeclared, NoticeRaised, RunEnded
from polyhost.model.step import Step
from polyhost.model.times import MarketMs
from polyhost.model.unanswered import unanswered
from polyhost.model.words import Action, OrderType, Side
from polyhost.service.engine import Engine
from polyhost.settings import Configuration

CHANNEL = "console_notify"
BEGAN = RunBegan("run-1", "0.1.0", "sim", "hash", "main")


class Clock:
    """Market time stands."""

    def now(self) -> MarketMs:
        return MarketMs(1_000)

    def wall_seconds(self, market_ms: float) -> float:
        return market_ms / 1_000


class Runner:
    """No plugins; notices are kept."""

    all_inline = True

    def __init__(self) -> None:
        self.delivered: list[NoticeRaised] = []
        self.busy: set[str] = set()

    async def deliver(self, notice: NoticeRaised, channel: str) -> str:
        assert channel not in self.busy, "one at a time"
        self.busy.add(channel)
        await asyncio.sleep(0)
        self.busy.remove(channel)
        self.delivered.append(notice)
        return ""

    def take_struck(self) -> list[Any]:
        return []


class Gateway:
    """Keeps what it was told to do."""

    def __init__(self) -> None:
        self.done: list[Command] = []

    async def execute(self, command: Command) -> list[Event]:
        self.done.append(command)
        return []


class Recorder:
    """Keeps what the kernel was fed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.turns = 0

    def event(self, event: Event, now: int, wall: int) -> None:
        self.events.append(event)

    def turn(self, now: int, wall: int) -> None:
        self.turns += 1


def delivery(text: str, channel: str = CHANNEL) -> Deliver:
    return Deliver(NoticeRaised(1_000, f"n-{text}", "info", "orders", text, channels=(channel,)), channel)


class Bench:
    def __init__(self, *, hold: bool = False, channels: tuple[str, ...] = ()) -> None:
        self.journal = MemoryJournal(hold=hold)
        self.gateway, self.runner, self.recorder = Gateway(), Runner(), Recorder()
        recorder: Any = self.recorder
        runner: Any = self.runner
        self.engine = Engine(
            Kernel(Configuration(), channels=channels), Clock(), self.gateway, runner, self.journal, recorder, None,
            follow=lambda command: None,
        )

    def commit(self) -> None:
        """The disk has it all; the writer says so."""
        self.engine.durable(self.journal.commit())


def run(body: Callable[[], Awaitable[None]]) -> list[str]:
    """Run it; what was logged meanwhile."""
    told: list[str] = []
    sink = logger.add(told.append, format="{message}", level="INFO")
    try:
        asyncio.run(_awaited(body))
    finally:
        logger.remove(sink)
    return [line.rstrip() for line in told]


async def _awaited(body: Callable[[], Awaitable[None]]) -> None:
    await body()


async def soon() -> None:
    """Let what was started run."""
    for _ in range(10):
        await asyncio.sleep(0)


def post(number: int = 1, action: Action = Action.BUY) -> Post:
    fields = SignedFields(
        number, "0x01", "0x01", "1", 1, 1, action, 0, MarketMs(1), ZERO_BYTES32, ZERO_BYTES32
    )
    return Post(OrderRequest(f"0x{number}", fields, "0x", OrderType.FAK, False, 0, "key", False))


def ended(number: int) -> RunEnded:
    return RunEnded(MarketMs(number), f"run-{number}", "test")


def test_ord_01_a_post_waits_for_its_records_and_a_cancel_does_not() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        bench.engine.carry_out(Step([ended(1)], [post(), Cancel("0x2"), QueryBalance()]))
        await soon()
        assert bench.gateway.done == [Cancel("0x2"), QueryBalance()]
        bench.commit()
        await soon()
        assert bench.gateway.done[2:] == [post()]

    run(body)


def test_ord_01_posts_leave_in_their_order_each_after_its_own_records() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        bench.engine.carry_out(Step([ended(1)], [post(1)]))
        bench.engine.carry_out(Step([ended(2)], [post(2)]))
        bench.engine.durable(1)
        await soon()
        assert bench.gateway.done == [post(1)]
        bench.engine.durable(2)
        await soon()
        assert bench.gateway.done == [post(1), post(2)]

    run(body)


def test_con_10_posts_that_are_durable_together_leave_as_one_request_and_so_do_cancels() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        bench.engine.carry_out(Step([ended(1)], [post(1), QueryBalance(), Cancel("0x7"), Cancel("0x8")]))
        bench.engine.carry_out(Step([ended(2)], [post(2)]))
        await soon()
        assert bench.gateway.done == [CancelMany(("0x7", "0x8")), QueryBalance()], "cancels first"
        bench.commit()
        await soon()
        assert bench.gateway.done[2:] == [PostMany((post(1).request, post(2).request))]

    run(body)


def test_ord_01_a_batch_holds_no_post_whose_records_are_not_durable() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        for number in (1, 2, 3):
            bench.engine.carry_out(Step([ended(number)], [post(number)]))
        bench.engine.durable(2)
        await soon()
        assert bench.gateway.done == [PostMany((post(1).request, post(2).request))]

    run(body)


def test_the_log_and_the_notices_say_only_what_is_durable() -> None:
    bench = Bench(hold=True)
    notice = delivery("a text")

    async def body() -> None:
        bench.engine.carry_out(Step([ended(1)], [notice]))
        await soon()
        logger.info("now")
        assert bench.runner.delivered == []
        bench.commit()
        await soon()
        assert [told.text for told in bench.runner.delivered] == ["a text"]

    assert run(body) == ["now", "run run-1 ended: test"]


def test_a_sealed_journal_holds_posts_back_and_lets_cancels_and_words_go() -> None:
    """Design 1, when the disk fails: everything that adds exposure stops, free commands go on."""
    bench = Bench(hold=True, channels=(CHANNEL,))

    async def body() -> None:
        bench.engine.carry_out(Step([ended(1)], [post(), delivery("a text", "one")]))
        bench.engine.seal(JournalError("journal.db", "the disk is full", "Free space"))
        bench.engine.carry_out(Step([ended(2)], [post(2), Cancel("0x3"), delivery("b", "other")]))
        bench.engine.durable(5)
        await soon()
        assert bench.gateway.done == [Cancel("0x3")]
        texts = [told.text for told in bench.runner.delivered]
        assert [texts[0], texts[2]] == ["a text", "b"]
        assert texts[1].startswith("Nothing is entered any more, cancels and sells go on: the journal failed")
        unsent = [event for event in bench.recorder.events if isinstance(event, PostAnswered)]
        assert [(event.order_id, event.outcome, event.code) for event in unsent] == [
            ("0x1", "refused", "sealed"), ("0x2", "refused", "sealed"),
        ], "never sent: that much is known"
        assert ("loop:sealed" in [name for name, _ in bench.engine.kernel.blocks()])

    told = run(body)
    assert told[0] == "run run-1 ended: test"
    assert "the disk is full" in told[1]
    assert "run run-2 ended: test" in told[2:]


def test_a_sell_leaves_a_sealed_host_when_the_emergency_file_holds_its_record_and_not_before() -> None:
    """Stops, forced closes and a flatten must not wait for a disk that never comes back."""
    bench = Bench(hold=True)

    async def body() -> None:
        engine = bench.engine
        engine.carry_out(Step([ended(1)], [post(1, Action.SELL)]))
        engine.seal(JournalError("journal.db", "the disk is full", "Free space"))
        await soon()
        assert bench.gateway.done == []
        engine.carry_out(Step([ended(2)], [post(2), post(3, Action.SELL)]))
        engine.aside(1)
        await soon()
        assert bench.gateway.done == [post(1, Action.SELL)]
        engine.aside(engine.journal.last_seq)
        await soon()
        assert bench.gateway.done == [post(1, Action.SELL), post(3, Action.SELL)]

    run(body)


def test_per_01_a_lock_that_lasts_holds_buys_back_and_no_sell() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        engine = bench.engine
        engine.carry_out(Step([ended(1)], [post(1)]))
        engine.carry_out(Step([ended(2)], [post(2, Action.SELL)]))
        engine.aside(2)
        await soon()
        assert bench.gateway.done == [post(2, Action.SELL)], "it overtakes the buy"
        bench.commit()
        await soon()
        assert bench.gateway.done == [post(2, Action.SELL), post(1)]

    run(body)


def test_not_02_notices_of_one_moment_are_delivered_one_after_the_other() -> None:
    """A channel takes one at a time: the second of two would be refused."""
    bench = Bench(channels=(CHANNEL,))

    async def body() -> None:
        bench.engine.event(BEGAN)
        for n in range(3):
            bench.engine.event(LoopChanged(f"l{n}", False, "test", safety=False))
        await soon()
        bench.engine.event(LoopChanged("l3", False, "test", safety=False))
        await soon()
        assert len(bench.runner.delivered) == 4
        assert bench.engine.kernel.state.outbox == {}, "and each is noted as told"
        assert bench.engine.broken is None

    run(body)


def test_a_halted_engine_takes_nothing_more_so_that_its_end_can_be_written() -> None:
    """Streams and the timer go on for a moment after a run is over."""
    bench = Bench()

    async def body() -> None:
        engine = bench.engine
        engine.event(BEGAN)
        await soon()
        records, fed, asked = bench.journal.last_seq, list(bench.recorder.events), list(bench.gateway.done)
        engine.halt()
        engine.event(BalanceSeen(5_000_000, True))
        engine.frame(b"[]", [])
        engine.price("binance", "BTC", 1, 1)
        engine.turn()
        await soon()
        assert bench.journal.last_seq == records
        assert bench.recorder.events == fed == [BEGAN]
        assert bench.recorder.turns == 0
        assert bench.gateway.done == asked
        assert engine.broken is None

    run(body)


def test_an_event_that_a_handler_causes_is_handled_after_it_and_in_order() -> None:
    bench = Bench()

    async def body() -> None:
        engine = bench.engine
        real, seen = engine.kernel.handle, []

        def handle(event: Event, now: int, wall: int) -> Step:
            seen.append(event)
            if event == BEGAN:
                engine.event(BalanceSeen(1, True))
                assert seen == [BEGAN]
            return real(event, now, wall)

        engine.kernel.handle = handle  # type: ignore[method-assign]
        engine.event(BEGAN)
        assert seen == [BEGAN, BalanceSeen(1, True)]

    run(body)


def fails(*args: object) -> Step:
    raise AssertionError("cannot be true")


def test_ord_15_a_fault_of_the_kernel_is_told_with_its_trace_and_breaks_the_run() -> None:
    """Whoever called it may be started again; what the kernel holds in memory is not to be trusted any more."""
    bench = Bench()

    async def body() -> None:
        async def work() -> None:
            bench.engine.event(BEGAN)

        bench.engine.kernel.handle = fails  # type: ignore[method-assign]
        bench.engine.start(work())
        await soon()
        assert isinstance(bench.engine.broken, AssertionError)
        assert bench.engine.changed.is_set()
        assert bench.engine.halted
        assert bench.engine.faults == 0, "told once"

    told = run(body)
    assert told[0].startswith("the host failed: cannot be true")


def test_ord_15_a_task_of_the_shell_that_fails_is_told_and_the_host_goes_on() -> None:
    bench = Bench(channels=(CHANNEL,))

    async def body() -> None:
        async def work() -> None:
            raise ValueError("a bug of ours")

        bench.engine.start(work())
        await soon()
        assert bench.engine.broken is None
        assert bench.engine.faults == 1
        heard = [event for event in bench.recorder.events if isinstance(event, LoopChanged)]
        assert heard == [LoopChanged("task", False, "ValueError: a bug of ours", safety=False)]
        assert [told.level for told in bench.runner.delivered] == ["warning"]
        assert bench.engine.kernel.blocks()[0][0] == "user_stream", "no safety loop: it blocks nothing"

    told = run(body)
    assert told[0].startswith("a task of the host failed: a bug of ours")


def test_ord_15_a_command_that_cannot_be_begun_takes_no_other_with_it() -> None:
    bench = Bench()

    async def body() -> None:
        def follow(command: Follow | Unfollow) -> None:
            raise ValueError("too many tokens")

        bench.engine._follow = follow
        market = Market(
            "btc-updown-5m-1", "0xc0", "1", "2", MarketMs(0), MarketMs(300_000), "BTC", 300, fees=Fees(70_000)
        )
        bench.engine.carry_out(Step([], [Follow(market), Cancel("0x2")]))
        await soon()
        assert bench.gateway.done == [Cancel("0x2")]
        assert bench.engine.faults == 1

    run(body)


def test_ord_15_a_gateway_that_raises_proves_nothing_about_the_order() -> None:
    bench = Bench()

    async def body() -> None:
        async def execute(command: Command) -> list[Event]:
            raise RuntimeError("a bug of the gateway")

        bench.gateway.execute = execute  # type: ignore[method-assign]
        bench.engine.carry_out(Step([], [post(7)]))
        await soon()
        assert bench.recorder.events == [
            PostLeft("0x7"), PostAnswered("0x7", "unknown", text="RuntimeError: a bug of the gateway")
        ]
        assert bench.engine.broken is None

    run(body)


def test_ord_15_a_gateway_that_cannot_even_begin_an_order_holds_up_no_other_one() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        begun = bench.gateway.execute

        def execute(command: Command) -> Coroutine[Any, Any, list[Event]]:
            if command == post(7, Action.SELL):
                raise ValueError("too long a message")
            return begun(command)

        bench.gateway.execute = execute  # type: ignore[method-assign]
        bench.engine.carry_out(Step([ended(1)], [post(7, Action.SELL), post(8)]))
        bench.commit()
        await soon()
        assert bench.gateway.done == [post(8)]
        assert PostAnswered("0x7", "unknown", text="ValueError: too long a message") in bench.recorder.events

    run(body)


def test_ord_01_a_durable_order_leaves_before_the_host_does_anything_else() -> None:
    """A gateway that sends at once has it before the log line and before the kernel hears that it left."""
    bench = Bench(hold=True)
    told: list[object] = []

    async def body() -> None:
        begun = bench.gateway.execute

        def execute(command: Command) -> Coroutine[Any, Any, list[Event]]:
            told.append(command)
            assert not bench.recorder.events
            return begun(command)

        bench.gateway.execute = execute  # type: ignore[method-assign]
        bench.engine.carry_out(Step([ended(1)], [post(1)]))
        assert not told, "not before it is durable"
        bench.commit()
        assert told == [post(1)]
        assert bench.recorder.events == [PostLeft("0x1")]
        await bench.engine.close()  # its task has not begun: nothing of it is left behind

    assert run(body) == ["run run-1 ended: test"]


def test_ord_15_a_delivery_that_hangs_is_given_up_and_stays_owed() -> None:
    bench = Bench(channels=(CHANNEL, "phone"))

    async def body() -> None:
        real, hangs = bench.runner.deliver, asyncio.Event()

        async def deliver(notice: NoticeRaised, channel: str) -> str:
            if channel == "phone":
                await hangs.wait()
            return await real(notice, channel)

        bench.runner.deliver = deliver  # type: ignore[method-assign]
        bench.engine.event(BEGAN)
        bench.engine.event(LoopChanged("l", False, "test", safety=False))
        await soon()
        assert len(bench.runner.delivered) == 1, "the other channel has it"
        (outgoing,) = bench.engine.kernel.state.outbox.values()
        assert outgoing.owed == ["phone"]
        bench.engine.deliver_anew()
        await soon()
        assert bench.engine.outbox_age_s() == 0
        assert bench.engine.kernel.state.outbox, "what nobody took is still owed"

    run(body)


def test_what_is_under_way_is_cancelled_at_the_end_and_what_is_durable_is_said() -> None:
    bench = Bench(hold=True)

    async def body() -> None:
        begun = asyncio.Event()

        async def forever() -> None:
            begun.set()
            await asyncio.Event().wait()

        bench.engine.start(forever())
        bench.engine.carry_out(Step([ended(1)], []))
        await begun.wait()
        bench.journal.commit()
        await bench.engine.close()
        assert bench.engine.broken is None

    assert run(body) == ["run run-1 ended: test"]


def test_u9_a_batch_whose_answer_was_lost_is_lost_order_by_order() -> None:
    lost = unanswered(PostMany((post(1).request, post(2).request)), "gone")
    assert lost == [PostAnswered("0x1", "unknown", text="gone"), PostAnswered("0x2", "unknown", text="gone")]
    assert [event.order_id for event in unanswered(CancelMany(("0x1", "0x2")), "gone")] == ["0x1", "0x2"]


class Speaker(Runner):
    """One plugin, which says what it is asked and told, in this process or after a moment, and delivers nothing."""

    async def evaluate(self, view: Any) -> Event:
        await asyncio.sleep(0)
        return self.evaluate_inline(view)

    def evaluate_inline(self, view: Any) -> Event:
        logger.info("asked")
        return BalanceSeen(0, True)

    async def tell_async(self, hook: str, **facts: Any) -> list[Any]:
        await asyncio.sleep(0)
        return self.tell(hook, **facts)

    def tell(self, hook: str, **facts: Any) -> list[Any]:
        logger.info(hook)
        return []

    async def deliver(self, notice: NoticeRaised, channel: str) -> str:
        return "nobody listens"


@pytest.mark.parametrize("inline", [True, False])
def test_log_03_what_plugins_say_is_about_what_they_are_asked_about(inline: bool) -> None:
    """A line over a question, a fact or a notice stands in its window's log, and so does a delivery that failed."""
    bench = Bench()
    speaker = bench.engine.runner = Speaker()  # type: ignore[assignment]
    speaker.all_inline = inline
    market = Market(
        "btc-updown-5m-1", "0xc0", "1", "2", start=MarketMs(0), end=MarketMs(300_000), symbol="BTC", duration_s=300
    )
    view: Any = SimpleNamespace(market=market)
    held = HeldDeclared(MarketMs(1), "0xc0", Side.DOWN, "rule", "clearly ahead")
    notice = NoticeRaised(MarketMs(1), "n1", "info", "orders", "text", "0xc0", channels=(CHANNEL,))
    bound: list[tuple[str, ...]] = []

    async def body() -> None:
        for command in (
            Ask(view), Tell("on_settlement", MarketMs(1), market, (held, ())), Tell("on_day", MarketMs(1), None, None),
            Deliver(notice, CHANNEL),
        ):
            bench.engine.carry_out(Step([], [command]))
            await soon()

    def keep(message: Any) -> None:
        extra = message.record["extra"]
        bound.append((message.record["message"].partition(" n1 ")[0], extra.get("market", ""), extra.get("side", "")))

    sink = logger.add(keep, format="{message}")
    run(body)
    logger.remove(sink)
    slug = market.slug
    assert bound == [("asked", slug, ""), ("on_settlement", slug, "DOWN"), ("on_day", "", ""), ("notice", "0xc0", "")]
