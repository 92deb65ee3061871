"""Every loop of the host under one eye: who is alive, who was started again, and what must wait meanwhile (ORD-15).

A loop that is a task beats; it is started again when it ends, fails, or is silent for longer than its limit. What has
no task of its own (the journal's thread, the link to the gateway, overdue exits) is *watched*: a figure says for how
long nothing moved. Each change is told to the kernel, which lets nothing add exposure while a safety loop is not alive.
All times here are transport time (wall seconds).
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any, Final, TypeAlias

from loguru import logger

from polyhost.model.events import LoopChanged

LOOK_S: Final = 0.25
"""Silence is looked for this often; an end is seen at once."""
RESTART_S: Final = 0.1
"""Between two starts of a loop, doubled each time, wall seconds."""
RESTART_MAX_S: Final = 30.0
"""Longest such pause."""
STEADY_S: Final = 60.0
"""A loop that lived this long is started again after the shortest pause."""
STOOD_STILL_S: Final = 2.0
"""The event loop itself did nothing for this long: told, and counted against nobody else."""
END_S: Final = 2.0
"""How long closing waits for tasks to end, wall seconds."""
STUCK_S: Final = 5.0
"""And after this long a thread says where it is stuck, while it is."""

Beat: TypeAlias = Callable[[], None]
Work: TypeAlias = Callable[[Beat], Coroutine[Any, Any, None]]


class Loop(ABC):
    """One supervised loop and its liveness figure."""

    def __init__(self, name: str, limit_s: float, *, safety: bool) -> None:
        self.name = name
        self.limit_s = limit_s
        self.safety = safety
        """Nothing adds exposure while it is not alive."""
        self.alive = True
        self.reason = ""
        """Why it is not alive, or was not the last time."""
        self.restarts = 0
        self.not_before = 0.0
        """It is not started again before this (monotonic seconds)."""
        self._started_at = 0.0
        self._pause_s = RESTART_S

    @abstractmethod
    def age_s(self, now: float) -> float:
        """Seconds without a sign of life."""

    def problem(self, now: float) -> str:
        """Why it counts as dead; empty: it lives."""
        age = self.age_s(now)
        if age == inf:
            return "nobody works on it any more"
        return "" if age <= self.limit_s else f"no sign of life for {age:.1f} s (limit {self.limit_s:g} s)"

    @abstractmethod
    def revive(self, now: float) -> None:
        """Start it again; called at most once a pause."""

    @abstractmethod
    def forgive(self, seconds: float) -> None:
        """The whole host stood still for so long: it is not this loop's silence."""

    def paused(self, now: float) -> None:
        """The next start has to wait, longer each time unless it lived for a while."""
        self._pause_s = RESTART_S if now - self._started_at >= STEADY_S else min(self._pause_s * 2, RESTART_MAX_S)
        self.not_before = now + self._pause_s
        self._started_at = now

    def described(self, now: float) -> dict[str, Any]:
        """Its figures: seconds of transport time."""
        age = self.age_s(now)
        return {
            "alive": self.alive, "safety": self.safety, "age_s": None if age == inf else round(age, 3),
            "limit_s": self.limit_s, "restarts": self.restarts, "reason": self.reason,
        }


class TaskLoop(Loop):
    """A coroutine that runs as long as the host does. ``work(beat)`` makes it; it calls ``beat`` as it goes round."""

    def __init__(
        self, name: str, work: Work, limit_s: float, *, safety: bool, now: Callable[[], float],
        idle: Callable[[], bool] | None = None,
    ) -> None:
        """``idle``: while it says True silence means nothing (there is nothing to do)."""
        super().__init__(name, limit_s, safety=safety)
        self.task: asyncio.Task[None] | None = None
        self.ended: Callable[[], None] = lambda: None
        """Called when the task ends."""
        self._work = work
        self._now = now
        self._idle = idle or (lambda: False)
        self._beat_at: float | None = None
        """None: not one beat since the last start."""

    def beat(self) -> None:
        """It went round."""
        self._beat_at = self._now()

    def age_s(self, now: float) -> float:
        if self._idle():
            return 0.0
        return now - (self._started_at if self._beat_at is None else self._beat_at)

    def problem(self, now: float) -> str:
        if self.task is None or self.task.done():
            return _end_of(self.task)
        if problem := super().problem(now):
            return problem
        waits = not self.alive and self._beat_at is None and not self._idle()
        return self.reason if waits else ""

    def revive(self, now: float) -> None:
        if self.task is not None and not self.task.done():
            if self.age_s(now) > self.limit_s:
                # Two of a kind at once would do everything twice: it is started when the old one has ended.
                self.task.cancel()
            return
        self.restarts += self.task is not None
        self.paused(now)
        self._beat_at = None
        self.task = asyncio.get_running_loop().create_task(self._work(self.beat), name=self.name)
        self.task.add_done_callback(self._task_ended)
        logger.info("loop {} started{}", self.name, f" again ({self.restarts})" if self.restarts else "")

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("loop {} failed: {}", self.name, error)
        self.ended()

    def forgive(self, seconds: float) -> None:
        self._started_at += seconds
        if self._beat_at is not None:
            self._beat_at += seconds


class WatchedLoop(Loop):
    """Something without a task: ``age()`` says for how many seconds it did not move while it should have."""

    def __init__(
        self, name: str, age: Callable[[], float], limit_s: float, *, safety: bool, restart: Callable[[], None] | None
    ) -> None:
        """``restart`` None: it comes back by itself."""
        super().__init__(name, limit_s, safety=safety)
        self._age = age
        self._restart = restart

    def age_s(self, now: float) -> float:
        return max(self._age(), 0.0)

    def forgive(self, seconds: float) -> None:
        """Its figure is somebody else's: there is no stamp of its own to move."""

    def revive(self, now: float) -> None:
        if self._restart is None:
            return
        self.restarts += 1
        self.paused(now)
        logger.warning("loop {} is set going again ({})", self.name, self.restarts)
        self._restart()


class Supervisor:
    """Looks after loops: ``add`` them, have ``run`` running, ``close`` at the end.

    ``tell`` hears every change. ``done`` says that the run is over and nobody is to be started again.
    """

    def __init__(
        self, tell: Callable[[LoopChanged], None], *, done: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic, beside: Supervisor | None = None,
    ) -> None:
        """``beside``: looks after loops that several share, and at the event loop itself; its figures count here, too.
        """
        self.loops: dict[str, Loop] = {}
        self.standstills = 0
        """How often the event loop itself stood still."""
        self._tell = tell
        self._done = done
        self._now = now
        self._beside = beside
        self._looked_at = now()
        self._closed = False

    # --- loops --------------------------------------------------------------------------------------------------------

    def task(
        self, name: str, work: Work, limit_s: float, *, safety: bool = False, idle: Callable[[], bool] | None = None
    ) -> TaskLoop:
        """Start a loop and keep it going."""
        loop = TaskLoop(name, work, limit_s, safety=safety, now=self._now, idle=idle)
        loop.ended = lambda: self._ended(loop)
        self._add(loop)
        loop.revive(self._now())
        return loop

    def watch(
        self, name: str, age: Callable[[], float], limit_s: float, restart: Callable[[], None] | None, *,
        safety: bool = False,
    ) -> WatchedLoop:
        """Watch a figure; ``restart`` is called (with growing pauses) while it is above the limit. None: it comes back
        by itself."""
        loop = WatchedLoop(name, age, limit_s, safety=safety, restart=restart)
        self._add(loop)
        logger.info("loop {} watched", name)
        return loop

    async def drop(self, name: str) -> None:
        """End a loop for good: it is not needed any more. Nothing when there is none of this name."""
        loop = self.loops.pop(name, None)
        if isinstance(loop, TaskLoop) and loop.task is not None:
            loop.ended = lambda: None
            loop.task.cancel()
            await asyncio.wait({loop.task}, timeout=END_S)

    def _add(self, loop: Loop) -> None:
        if loop.name in self.loops:
            raise ValueError(f"two loops are called {loop.name!r}")
        self.loops[loop.name] = loop

    # --- looking ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look until cancelled."""
        if self._beside is None:
            threading.Thread(target=self._watch_the_watch, args=(threading.get_ident(),), daemon=True).start()
        self._looked_at = self._now()
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """See to every loop once."""
        now = self._now()
        still = now - self._looked_at - LOOK_S
        self._looked_at = now
        if still > STOOD_STILL_S:
            self._stood_still(still)
        for loop in self.loops.values():
            self._see_to(loop, now)

    def _see_to(self, loop: Loop, now: float) -> None:
        if self._closed or self._done():
            return
        problem = loop.problem(now)
        if problem and loop.alive:
            loop.alive, loop.reason = False, problem
            logger.error("loop {} is not alive: {}", loop.name, problem)
            self._tell(LoopChanged(loop.name, False, problem, loop.safety))
        if problem:
            if now >= loop.not_before:
                loop.revive(now)
        elif not loop.alive:
            loop.alive = True
            logger.warning("loop {} is alive again; it was not: {}", loop.name, loop.reason)
            self._tell(LoopChanged(loop.name, True, loop.reason, loop.safety))

    def _ended(self, loop: TaskLoop) -> None:
        """Its task ended: seen at once, not at the next look."""
        if not self._closed and not self._done() and loop.task is not None and loop.task.done():
            self._see_to(loop, self._now())

    def _stood_still(self, seconds: float) -> None:
        self.standstills += 1
        for loop in self.loops.values():
            loop.forgive(seconds)
        if self._beside is not None:
            return  # it tells
        reason = f"the host's event loop stood still for {seconds:.1f} s"
        logger.error("{}", reason)
        for alive in (False, True):
            self._tell(LoopChanged("event loop", alive, reason, True))

    def _watch_the_watch(self, watched: int) -> None:
        """Say where the event loop is stuck while it is; nothing in it could."""
        told = 0.0
        while not self._closed:
            time.sleep(min(LOOK_S, STUCK_S))
            looked = self._looked_at
            if self._now() - looked > STUCK_S and told != looked:
                told = looked
                frame = sys._current_frames().get(watched)
                where = "" if frame is None else "".join(traceback.format_stack(frame)[-3:])
                logger.critical("the host's event loop is stuck for {:.0f} s in\n{}", self._now() - looked, where)

    # --- figures ------------------------------------------------------------------------------------------------------

    def all_loops(self) -> dict[str, Loop]:
        """Its own and the shared ones."""
        return self.loops if self._beside is None else self.loops | self._beside.loops

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of every loop: alive, safety, age_s, limit_s, restarts, reason."""
        now = self._now()
        return {name: loop.described(now) for name, loop in self.all_loops().items()}

    def safe(self) -> bool:
        """Every safety loop lives."""
        return all(loop.alive for loop in self.all_loops().values() if loop.safety)

    def said(self) -> str:
        """One clause for the line of life."""
        loops = self.all_loops()
        down = [loop.name for loop in loops.values() if not loop.alive]
        restarts = sum(loop.restarts for loop in loops.values())
        told = f"{len(loops) - len(down)} of {len(loops)} loops alive, {restarts} restarts"
        return f"{told}, NOT ALIVE: {', '.join(down)}" if down else told

    async def close(self) -> None:
        """End every task; one that does not let go is left behind."""
        self._closed = True
        tasks = [loop.task for loop in self.loops.values() if isinstance(loop, TaskLoop) and loop.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)


def _end_of(task: asyncio.Task[None] | None) -> str:
    if task is None:
        return "it was never started"
    if task.cancelled():
        return "it was cancelled"
    error = task.exception()
    if error is None:
        return "it ended"
    return f"{type(error).__name__}: {error}"
