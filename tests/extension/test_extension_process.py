"""Plugins in processes of their own: deadlines, death, secrets, memory, and state across a restart."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

import extension_builders as make
import pytest
from test_extension_contract import SIGNAL, blocking, in_a_loop

from polyhost.errors import PluginError
from polyhost.extension import Deadlines, Runner, process
from polyhost.extension.protocol import Ask
from polyhost.extension.table import Inputs
from polyhost.model.events import PluginStruck
from polyhost.model.records import NoticeRaised

pytestmark = pytest.mark.alone

SHORT = Deadlines(answer_ms=250, life_ms=800, start_ms=60_000, deliver_ms=200)
"""Deadlines that are missed on purpose."""
Start = Callable[..., Runner]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(bodies: dict[str, str], foreign: tuple[str, ...], **more: object) -> Runner:
            runner = make.runner(tmp_path, bodies, foreign=foreign, **more)  # type: ignore[arg-type]
            stack.callback(runner.stop)
            runner.start()
            return runner

        yield start


def pid_of(runner: Runner, plugin: str) -> int:
    pid = runner._foreign[runner.names.index(plugin)].pid
    assert pid is not None
    return pid


def test_plg_05_a_plugin_that_hangs_is_killed_and_goes_on_from_its_durable_state(started: Start) -> None:
    body = """
@hookimpl
def signal(self, view):
    if view.view_seq == 2:
        while True: pass
    return Signal(0.5, 0.5, "", {"kept": self.state["kept"]})
"""
    runner = started({"spins": body, "momentum": SIGNAL}, ("spins",), deadlines=SHORT)
    runner.load_state("spins", {"kept": "7"})
    before = pid_of(runner, "spins")
    begin = time.monotonic()
    evaluated = runner.evaluate_inline(make.view(2))
    assert [name for name, _ in evaluated.signals] == ["momentum"]
    used = evaluated.used[0]
    assert (used.failed, used.problem, used.away) == ("signal", "no answer within 250 ms", True)
    assert time.monotonic() - begin >= 0.8, "it had until its sign of life was due"
    assert runner.take_struck() == [PluginStruck("spins", "no answer within 250 ms", False)]
    assert pid_of(runner, "spins") != before
    make.be_patient(runner)
    evaluated = runner.evaluate_inline(make.view(3))
    assert evaluated.signals[0][1].features == {"kept": 7.0}


def test_plg_05_a_hanging_plugin_does_not_hold_up_the_event_loop(started: Start) -> None:
    spins = "@hookimpl\ndef signal(self, view):\n    while view.view_seq == 2: pass\n    return Signal(0.5, 0.5)"
    long = Deadlines(answer_ms=250, life_ms=600_000, start_ms=60_000)
    runner = started({"spins": spins, "momentum": SIGNAL}, ("spins",), deadlines=long)
    before = pid_of(runner, "spins")

    async def scenario() -> None:
        evaluated = await runner.evaluate(make.view(2))
        assert [name for name, _ in evaluated.signals] == ["momentum"]
        assert pid_of(runner, "spins") == before, "the chain goes on after the time for an answer"
        again = await runner.evaluate(make.view(3))
        assert again.used[0].problem == "its process is not ready"
        assert len(runner.take_struck()) == 1, "being away is not one more strike"
        due = runner._foreign[0]._life
        assert due is not None
        assert 500 < due.when() - asyncio.get_running_loop().time() <= 600
        look = due._callback
        due.cancel()
        look()  # the time for a sign of life is over
        make.be_patient(runner)
        async with asyncio.timeout(60):
            while (await runner.evaluate(make.view(4))).signals[0][0] != "spins":
                await asyncio.sleep(0.02)
        assert pid_of(runner, "spins") != before

    asyncio.run(scenario())
    assert runner.take_struck() == []


def test_plg_05_a_late_answer_is_dropped_and_its_plugin_lives_on(started: Start, tmp_path: Path) -> None:
    """It answers when it has been struck for it."""
    struck = tmp_path / "struck"
    naps = f"""
@hookimpl
def signal(self, view):
    while view.view_seq == 2 and not os.path.exists({str(struck)!r}): time.sleep(0.01)
    return Signal(0.5, 0.5)
"""
    late = Deadlines(answer_ms=250, life_ms=60_000, start_ms=60_000)
    runner = started({"naps": naps}, ("naps",), deadlines=late, struck=lambda _: struck.touch())
    before = pid_of(runner, "naps")
    assert runner.evaluate_inline(make.view(2)).signals == ()
    assert [each.reason for each in runner.take_struck()] == ["no answer within 250 ms"]
    make.be_patient(runner)
    assert [name for name, _ in runner.evaluate_inline(make.view(3)).signals] == ["naps"]
    assert pid_of(runner, "naps") == before


@pytest.mark.parametrize("ask", [blocking, in_a_loop])
def test_plg_05_a_plugin_that_ends_its_process_is_a_strike(
    started: Start, ask: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "EXIT_S_MAX", 60.0)  # however long it takes to end: its code is known
    dies = "@hookimpl\ndef signal(self, view):\n    if view.view_seq == 2: os._exit(7)\n    return Signal(0.5, 0.5)"
    runner = started({"dies": dies, "momentum": SIGNAL}, ("dies",), strikes_max=2)
    evaluated = ask(runner, make.view(2))
    assert [name for name, _ in evaluated.signals] == ["momentum"]  # type: ignore[attr-defined]
    reason = "its process ended (exit code 7)"
    assert runner.take_struck() == [PluginStruck("dies", reason, False)]
    if ask is blocking:
        runner.evaluate_inline(make.view(2))
        assert runner.take_struck() == [PluginStruck("dies", reason, True)]
        assert runner.status()[0].state == "quarantined"
        runner.release("dies")
        runner._foreign[0].greet()
        assert len(runner.evaluate_inline(make.view(3)).signals) == 2


def test_plg_05_a_process_killed_from_outside_is_started_again(started: Start) -> None:
    runner = started({"momentum": SIGNAL}, ("momentum",))
    os.kill(pid_of(runner, "momentum"), signal.SIGKILL)
    runner.evaluate_inline(make.view(1))
    assert len(runner.take_struck()) == 1
    assert len(runner.evaluate_inline(make.view(2)).signals) == 1


def test_plg_05_a_plugin_that_eats_memory_fails_alone(started: Start) -> None:
    eats = "@hookimpl\ndef signal(self, view):\n    self.much = bytearray(8 << 30)\n    return Signal(0.5, 0.5)"
    runner = started({"eats": eats, "momentum": SIGNAL}, ("eats",))
    evaluated = runner.evaluate_inline(make.view())
    assert [name for name, _ in evaluated.signals] == ["momentum"]
    assert evaluated.used[0].problem == "MemoryError"


def test_plg_05_a_plugin_that_writes_nonsense_to_its_socket_is_a_strike(started: Start) -> None:
    vandal = """
@hookimpl
def signal(self, view):
    import socket
    socket.socket(fileno=os.dup(int(sys.argv[1]))).send(b"\\0\\0\\0\\2no")
    return Signal(0.5, 0.5)
"""
    runner = started({"vandal": vandal, "momentum": SIGNAL}, ("vandal",))
    evaluated = runner.evaluate_inline(make.view())
    assert [name for name, _ in evaluated.signals] == ["momentum"]
    struck, = runner.take_struck()
    assert struck.reason.startswith("its process sent what is no message")


def test_plg_05_what_a_process_sends_is_not_believed_because_its_own_checks_let_it_pass(started: Start) -> None:
    lifts = """
@hookimpl
def signal(self, view):
    import polyhost.extension.answers as answers
    answers.ANSWERS_MAX = 10**6
    answers._RANGES[Signal] = lambda answer: answer
    return Signal(7.0, 0.5)
@hookimpl
def propose(self, view): return [Skip("again")] * 2_000
"""
    runner = started({"lifts": lifts, "momentum": SIGNAL}, ("lifts",))
    evaluated = runner.evaluate_inline(make.view())
    assert [name for name, _ in evaluated.signals] == ["momentum"]
    assert evaluated.proposals == ()
    assert evaluated.used[0].problem == "p_up is 7.0; it must be above 0 and below 1"
    assert len(runner.take_struck()) == 1, "one strike a chain"


def test_plg_07_a_plugins_process_has_none_of_the_hosts_environment(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYHOST_PRIVATE_KEY", "0xsecret")
    reads = '@hookimpl\ndef signal(self, view): return Signal(0.5, 0.5, " ".join(sorted(os.environ)))'
    runner = started({"reads": reads}, ("reads",))
    names = set(runner.evaluate_inline(make.view()).signals[0][1].reason.split())
    assert "PATH" in names
    assert names <= {"PATH", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT"}


def test_what_a_plugin_prints_is_not_on_standard_output(
    started: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    prints = '@hookimpl\ndef signal(self, view):\n    print("chatter", flush=True)\n    return Signal(0.5, 0.5)'
    runner = started({"prints": prints}, ("prints",))
    runner.evaluate_inline(make.view())
    out, error = capfd.readouterr()
    assert (out, "chatter" in error) == ("", True)


def test_a_plugins_log_lines_are_the_hosts_under_its_name(started: Start) -> None:
    from loguru import logger

    lines: list[tuple[str, str, str]] = []
    sink = logger.add(
        lambda message: lines.append(
            (message.record["level"].name, message.record["extra"].get("plugin", ""), message.record["message"])
        ),
        format="{message}",
    )
    try:
        speaks = '@hookimpl\ndef signal(self, view): self.log.warning("odd {} <{{x}}>", view.view_seq)'
        started({"speaks": speaks}, ("speaks",)).evaluate_inline(make.view(4))
    finally:
        logger.remove(sink)
    assert ("WARNING", "speaks", "odd 4 <{x}>") in lines


def test_log_03_what_a_process_says_over_a_question_is_about_what_it_was_asked_about(started: Start) -> None:
    """Its lines come with the answer, read by whoever reads the socket: the window is that of the question."""
    from loguru import logger

    bound: list[tuple[str, str]] = []
    sink = logger.add(
        lambda message: bound.append((message.record["message"], message.record["extra"].get("market", ""))),
        format="{message}",
    )
    speaks = """
        @hookimpl
        def signal(self, view): self.log.info("asked")
        @hookimpl
        def on_market(self, at, market): self.log.info("told")
        @hookimpl
        def notify(self, notice): self.log.info("delivered {}", notice.text)
    """

    async def talk(runner: Runner) -> None:
        with logger.contextualize(market="w1"):
            await runner.evaluate(make.view(1))
        with logger.contextualize(market="w2"):
            await runner.tell_async("on_market", at=1, market=make.view(1).market)
        with logger.contextualize(market="w3"):
            assert await runner.deliver(NoticeRaised(1, "n1", "info", "t", "this"), "speaks") == ""
        await runner.evaluate(make.view(2))

    try:
        asyncio.run(talk(started({"speaks": dedent(speaks)}, ("speaks",))))
    finally:
        logger.remove(sink)
    said = [row for row in bound if row[0].startswith(("asked", "told", "delivered"))]
    assert said == [("asked", "w1"), ("told", "w2"), ("delivered this", "w3"), ("asked", "")]


def test_plugins_of_other_processes_work_side_by_side(started: Start, tmp_path: Path) -> None:
    """Each waits for the other: one after the other they would never answer."""

    def meets(mine: str, other: str) -> str:
        return f"""
@hookimpl
def signal(self, view):
    met = {str(tmp_path)!r} + "/met-{{}}-" + str(view.view_seq)
    open(met.format("{mine}"), "w").close()
    while not os.path.exists(met.format("{other}")): time.sleep(0.01)
    return Signal(0.5, 0.5)
"""

    runner = started({"one": meets("one", "two"), "two": meets("two", "one")}, ("one", "two"))
    assert len(runner.evaluate_inline(make.view()).signals) == 2
    assert len(asyncio.run(runner.evaluate(make.view(2))).signals) == 2


def test_two_markets_at_once_take_turns_at_one_plugin(started: Start) -> None:
    runner = started({"momentum": SIGNAL.replace("0.7", "view.view_seq / 100")}, ("momentum",))

    async def both() -> list[float]:
        answers = await asyncio.gather(*(runner.evaluate(make.view(seq)) for seq in range(1, 9)))
        return [answer.signals[0][1].p_up for answer in answers]

    assert asyncio.run(both()) == [seq / 100 for seq in range(1, 9)]
    assert runner.take_struck() == []


def test_a_delivery_that_hangs_ends_at_its_limit_and_questions_go_on(started: Start) -> None:
    from polyhost.model.records import NoticeRaised

    hangs = SIGNAL + "\n@hookimpl\ndef notify(self, notice): time.sleep(30 if notice.text == 'rain' else 0)"
    runner = started({"here": hangs, "there": hangs}, ("there",), deadlines=Deadlines(60_000, 80_000, 60_000, 150))
    notice, other = NoticeRaised(9, "n1", "info", "t", "rain"), NoticeRaised(9, "n2", "info", "t", "sun")

    async def scenario() -> None:
        late = "not delivered within 150 ms"
        for channel in ("here", "there"):
            assert await runner.deliver(notice, channel) == late
        assert len((await runner.evaluate(make.view())).signals) == 2
        for channel in ("here", "there"):
            assert await runner.deliver(other, channel) == "still delivering an earlier notice"
            assert await runner.deliver(notice, channel) == late, "the same one is waited for, not begun once more"

    asyncio.run(scenario())
    assert runner.take_struck() == []


def test_a_process_that_dies_at_its_start_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "EXIT_S_MAX", 60.0)
    make.plugin_file(tmp_path, "early", SIGNAL, make.HEADER + "\nos._exit(9)\n")
    plugin, = make.load(tmp_path, {"early": {}})
    assert plugin.state == "refused"
    assert "its process ended (exit code 9)" in plugin.problem


def test_a_plugin_ends_with_the_host_even_when_it_spins(started: Start) -> None:
    spins = "@hookimpl\ndef signal(self):\n    while True: pass"
    runner = started({"spins": spins}, ("spins",), deadlines=Deadlines(1, 600_000, 60_000))
    foreign = runner._foreign[0]
    foreign.send(lambda seq: Ask(seq, 1, "signal", make.view(), Inputs()))
    ending = foreign._process
    assert ending is not None
    os.close(foreign._lifeline)  # what the kernel does when the host is killed
    foreign._lifeline = -1
    assert ending.wait(100) == 0


def test_releasing_what_does_not_run_is_refused(started: Start) -> None:
    with pytest.raises(PluginError, match="does not run"):
        started({"momentum": SIGNAL}, ()).release("nobody")


def test_plg_03_a_change_waits_for_the_questions_under_way_and_the_next_ones_for_it(started: Start) -> None:
    """Who is asked is known by place: places change only between evaluations."""
    naps = "@hookimpl\ndef signal(self, view): time.sleep(0.2); return Signal(0.5, 0.5)"
    runner = started({"naps": naps, "second": SIGNAL}, ("naps", "second"))

    async def scenario() -> None:
        under_way = asyncio.ensure_future(runner.evaluate(make.view(1)))
        await asyncio.sleep(0)
        async with runner.quiet():
            assert under_way.done()
            waiting = asyncio.ensure_future(runner.evaluate(make.view(2)))
            await asyncio.sleep(0.02)
            gone = runner.seat([plugin for plugin in runner._plugins if plugin.name == "second"])
            assert not waiting.done()
        for each in gone:
            await each.closed()
        assert [name for name, _ in under_way.result().signals] == ["naps", "second"]
        assert [name for name, _ in (await waiting).signals] == ["second"]

    asyncio.run(scenario())
    assert runner.names == ("second",)
    assert runner.take_struck() == []


def test_plg_05_who_strikes_again_is_started_later_each_time(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyhost.extension import runner as module

    assert [module.pause_before_s(strikes) for strikes in (1, 2, 3, 4, 50)] == [0.0, 1.0, 2.0, 4.0, 30.0]
    dies = "@hookimpl\ndef signal(self, view):\n    if view.view_seq < 3: os._exit(7)\n    return Signal(0.5, 0.5)"
    runner = started({"dies": dies, "momentum": SIGNAL}, ("dies",))

    rests: list[tuple[float, Callable[..., None], tuple[object, ...]]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        soon = loop.call_later

        def later(delay: float, call: Callable[..., None], *args: object, **more: object) -> object:
            """The pause before a start ends when the test says so."""
            if call == runner._after_pause:
                return rests.append((delay, call, args))
            return soon(delay, call, *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "call_later", later)
        await runner.evaluate(make.view(1))
        assert runner._foreign[0].pid is not None, "at once after the first strike"
        async with asyncio.timeout(60):
            while runner.status()[0].strikes < 2:
                await runner.evaluate(make.view(2))
                await asyncio.sleep(0.01)
            assert runner._foreign[0].pid is None, "it rests"
            for _ in range(3):
                assert (await runner.evaluate(make.view(3))).used[0].problem == "its process is not ready"
            ((pause_s, end, whose),) = rests
            assert pause_s == module.PAUSE_FIRST_S
            end(*whose)
            assert runner._foreign[0].pid is not None
            while (await runner.evaluate(make.view(4))).signals[0][0] != "dies":
                await asyncio.sleep(0.01)
        assert runner.status()[0].strikes == 2, "resting is no strike"

    asyncio.run(scenario())
