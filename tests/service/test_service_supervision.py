"""The supervisor: every end and every silence is seen, told and mended; pauses grow; nothing runs twice (ORD-15)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from polyhost.model.events import LoopChanged
from polyhost.service.supervision import LOOK_S, RESTART_MAX_S, RESTART_S, STEADY_S, Beat, Supervisor


class Bench:
    """A supervisor on a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.told: list[tuple[str, bool, str]] = []
        self.over = False
        self.supervisor = Supervisor(self._tell, done=lambda: self.over, now=lambda: self.now)

    def _tell(self, event: LoopChanged) -> None:
        self.told.append((event.name, event.alive, event.reason))

    async def after(self, seconds: float) -> None:
        """Let time pass, looked at as often as the host does (in steps that are no standstill)."""
        left = seconds
        while left > 0:
            self.now += min(left, LOOK_S)
            left -= LOOK_S
            self.supervisor.look()
            await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Work:
    """A loop that does as the test says: beats, is silent, ends or fails."""

    def __init__(self) -> None:
        self.runs = 0
        self.running = 0
        self.beat: Beat = lambda: None
        self.end: asyncio.Future[None]
        self.stubborn = False

    async def __call__(self, beat: Beat) -> None:
        self.runs += 1
        self.running += 1
        self.beat, self.end = beat, asyncio.get_running_loop().create_future()
        beat()
        try:
            while True:
                try:
                    await asyncio.shield(self.end)
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
                else:
                    return
        finally:
            self.running -= 1


def run(body: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        bench = Bench()
        try:
            await body(bench)
        finally:
            await bench.supervisor.close()

    asyncio.run(whole())


def test_ord_15_a_loop_that_fails_is_told_at_once_and_started_again_after_a_pause() -> None:
    async def body(bench: Bench) -> None:
        work = Work()
        loop = bench.supervisor.task("user stream", work, 5, safety=True)
        await settle()
        work.end.set_exception(ValueError("a bug"))
        await settle()
        assert bench.told == [("user stream", False, "ValueError: a bug")], "before the next look"
        await bench.after(RESTART_S + LOOK_S)
        assert work.runs == 2
        assert bench.told[1:] == [("user stream", True, "ValueError: a bug")]
        assert loop.restarts == 1
        assert work.running == 1

    run(body)


@pytest.mark.parametrize(("how", "told"), [("return", "it ended"), ("cancel", "it was cancelled")])
def test_ord_15_a_loop_that_merely_ends_is_as_dead_as_one_that_fails(how: str, told: str) -> None:
    async def body(bench: Bench) -> None:
        work = Work()
        loop = bench.supervisor.task("discovery", work, 5)
        await settle()
        if how == "return":
            work.end.set_result(None)
        else:
            assert loop.task is not None
            loop.task.cancel()
        await settle()
        assert bench.told == [("discovery", False, told)]
        await bench.after(1)
        assert work.runs == 2

    run(body)


@pytest.mark.parametrize(("silent_s", "dead"), [(5.0, False), (5.25, True)])
def test_ord_15_a_silent_loop_is_dead_beyond_its_limit_only(silent_s: float, dead: bool) -> None:
    async def body(bench: Bench) -> None:
        work = Work()
        bench.supervisor.task("kernel", work, 5, safety=True)
        await settle()
        await bench.after(silent_s)
        assert (bench.told != []) is dead
        if dead:
            assert bench.told == [("kernel", False, "no sign of life for 5.2 s (limit 5 s)")]
            await bench.after(1)
            assert work.runs == 2
            assert bench.told[-1][:2] == ("kernel", True)

    run(body)


def test_ord_15_a_stalled_loop_that_does_not_let_go_is_never_doubled() -> None:
    """Entries stay blocked: better none than two."""

    async def body(bench: Bench) -> None:
        work = Work()
        work.stubborn = True
        bench.supervisor.task("operator", work, 5, safety=True)
        await settle()
        await bench.after(7)
        assert work.runs == 1
        assert bench.told == [("operator", False, "no sign of life for 5.2 s (limit 5 s)")]
        work.stubborn = False
        await bench.after(LOOK_S)
        assert (work.runs, work.running) == (2, 1)

    run(body)


def test_ord_15_pauses_between_restarts_grow_to_a_bound_and_begin_anew_after_a_steady_time() -> None:
    async def body(bench: Bench) -> None:
        starts: list[float] = []

        async def work(beat: Beat) -> None:
            starts.append(bench.now)
            beat()
            raise ValueError("again")

        loop = bench.supervisor.task("user stream", work, 5)
        await settle()
        await bench.after(200)
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert gaps == sorted(gaps)
        assert gaps[-1] == pytest.approx(RESTART_MAX_S, abs=LOOK_S)
        assert len(starts) < 20
        loop.paused(bench.now + STEADY_S + RESTART_MAX_S)
        assert loop.not_before == bench.now + STEADY_S + RESTART_MAX_S + RESTART_S

    run(body)


def test_ord_15_a_loop_started_again_counts_as_alive_with_its_first_beat_only() -> None:
    async def body(bench: Bench) -> None:
        beats: list[Beat] = []

        async def work(beat: Beat) -> None:
            beats.append(beat)
            if len(beats) == 1:
                raise ValueError("a bug")
            await asyncio.Event().wait()

        bench.supervisor.task("clock", work, 5, safety=True)
        await settle()
        await bench.after(1)
        assert len(beats) == 2
        assert bench.told == [("clock", False, "ValueError: a bug")], "started, but it has shown nothing yet"
        beats[1]()
        await bench.after(LOOK_S)
        assert bench.told[-1][:2] == ("clock", True)

    run(body)


def test_ord_15_a_watched_figure_above_its_limit_is_told_and_set_going_again() -> None:
    async def body(bench: Bench) -> None:
        age, revived = [0.0], []
        bench.supervisor.watch("journal", lambda: age[0], 5, lambda: revived.append(bench.now), safety=True)
        await bench.after(1)
        assert bench.told == []
        age[0] = float("inf")
        await bench.after(LOOK_S)
        assert bench.told == [("journal", False, "nobody works on it any more")]
        assert len(revived) == 1
        age[0] = 0.0
        await bench.after(LOOK_S)
        assert bench.told[-1][:2] == ("journal", True)

    run(body)


def test_ord_15_a_standstill_of_the_whole_host_is_told_and_held_against_no_loop() -> None:
    async def body(bench: Bench) -> None:
        work = Work()
        bench.supervisor.task("kernel", work, 2, safety=True)
        await settle()
        await bench.after(LOOK_S)
        bench.now += 8
        bench.supervisor.look()
        assert bench.told == [
            ("event loop", False, "the host's event loop stood still for 7.8 s"),
            ("event loop", True, "the host's event loop stood still for 7.8 s"),
        ]
        assert work.runs == 1

    run(body)


def test_ord_15_nothing_to_do_is_no_silence() -> None:
    async def body(bench: Bench) -> None:
        idle = [True]
        bench.supervisor.task("market stream", Work(), 5, safety=True, idle=lambda: idle[0])
        await settle()
        await bench.after(20)
        assert bench.told == []
        idle[0] = False
        await bench.after(LOOK_S)
        assert bench.told[0][1] is False

    run(body)


def test_ord_15_a_run_that_is_over_starts_nothing_again() -> None:
    async def body(bench: Bench) -> None:
        work = Work()
        bench.supervisor.task("kernel", work, 2, safety=True)
        await settle()
        bench.over = True
        work.end.set_result(None)
        await bench.after(3)
        assert bench.told == []
        assert work.runs == 1

    run(body)


def test_log_08_the_line_of_life_names_what_is_not_alive() -> None:
    async def body(bench: Bench) -> None:
        good, bad = Work(), Work()
        bench.supervisor.task("kernel", good, 5, safety=True)
        bench.supervisor.task("discovery", bad, 5)
        await settle()
        assert bench.supervisor.said() == "2 of 2 loops alive, 0 restarts"
        bad.end.set_exception(ValueError("a bug"))
        await settle()
        assert bench.supervisor.said() == "1 of 2 loops alive, 0 restarts, NOT ALIVE: discovery"
        figures = bench.supervisor.figures()
        assert figures["discovery"] == {
            "alive": False, "safety": False, "age_s": 0.0, "limit_s": 5, "restarts": 0, "reason": "ValueError: a bug",
        }

    run(body)
