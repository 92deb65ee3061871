"""The crash matrix: kill the host at every point where dying could hurt, start it again, and check that nothing did.

A first run, undisturbed, counts the points: each kind of record before it is appended, appended but not on the disk,
and on the disk before anything it gates leaves; each command before and after it leaves; each fact before it is
handled; the stages of the journal's transaction, and instants within its commit. Then one run per point dies there, at
its first, middle and last passing, with different times of absence; further runs die again while they recover, and
some meet a full disk. Processes are forked from one that has everything imported, so that a run costs a fraction of a
second.
"""

from __future__ import annotations

import gc
import os
import selectors
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger

from polyhost.lab.crash_points import Target
from polyhost.lab.crash_run import CrashRun, Outcome, Plan
from polyhost.lab.crash_stage import Stage

PROMPT_MS: Final = 400
"""Absence after a kill at the first passing of a point, market ms …"""
LONGER_MS: Final = (25_000, 7_000)
"""… and at the middle and the last one."""
LAZY_MS: Final = 200
"""In those, records that nothing gated waits for stay in memory so long: more is lost."""
DELAYS_US: Final = (20, 60, 120, 250, 500)
"""Instants within a commit, from its beginning."""
TWICE: Final = ("send.post.BUY.FAK.after", "send.post.SELL.FAK.after", "record.order_prepared.committed")
"""After a kill here, a second one while the host recovers."""
COMMAND: Final = "polyhost selftest crash"
FULL_AT: Final = ("journal.begun", "journal.committed")
"""The disk fails before anything is written, or after all of it was: both look alike to the host."""
LIVES: Final = 6
MANY: Final = {
    "journal.written": (3, 5, 7, 9, 11), "event.evaluated": (1, 4, 9, 20, 40), "send.querybalance.after": (1, 3, 8),
    "event.trade_seen.MATCHED": (1,), "event.order_seen.stream.PLACEMENT": (1, 2), "event.prepared": (1, 2),
}  # fmt: skip
STUCK_MS: Final = (1_000, 3_000, 12_000)
"""How late what a killed host had sent arrives."""
BACK_MS: Final = (-18_000, -9_000, 5_000)
"""Beside the last result, which is known 8 s after the end."""


class CrashMatrix:
    """Plans the runs and judges them.

    ``folder``: where the journals of failed runs are kept (None: nowhere). ``command``: how this matrix is called.
    """

    def __init__(
        self, stage: Stage, jobs: int | None = None, folder: Path | None = None, command: str = COMMAND
    ) -> None:
        self._command = command
        self._stage = stage
        self._jobs = jobs or os.cpu_count() or 1
        self._folder = folder

    def run(
        self, plans: Sequence[Plan] | None = None, *, runs_max: int | None = None,
        each: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """All runs (at most ``runs_max``, spread over all points), or just these; ``each(done, of)`` is called as they
        end. The report of ``selftest crash``."""
        began = time.perf_counter()
        with self._frozen(), self._place() as place:
            base = self._play([Plan()], place / "undisturbed")[0]
            outcomes: list[tuple[Plan, Outcome]] = [(Plan(), base)]
            if not base.problems:
                wanted = self._wanted(base, place, runs_max) if plans is None else list(plans)
                outcomes += list(zip(wanted, self._play(wanted, place / "runs", each), strict=True))
        return report(outcomes, base, self._command, time.perf_counter() - began)

    def _wanted(self, base: Outcome, place: Path, runs_max: int | None) -> list[Plan]:
        """The whole matrix: what matters most first."""
        first, later = first_kills(base), later_kills(base)
        second = self._second_kills(base, place)
        found = [
            *first, *stuck_sends(base), *commit_kills(base), *full_disks(base), *emergencies(base), *second,
            *many_kills(base), *later, *absences(base), Plan(locked=True),
        ]  # fmt: skip
        if runs_max is None or len(found) <= runs_max:
            return found
        kept = found[: min(runs_max, len(first))]
        rest, room = found[len(first) :], runs_max - len(kept)
        return kept + [rest[number * len(rest) // room] for number in range(room)]

    def _second_kills(self, base: Outcome, place: Path) -> list[Plan]:
        """Kill once, see what recovery passes, and kill again at each of it."""
        firsts = [Target(point, max(base.counts[point] // 2, 1)) for point in TWICE if point in base.counts]
        seen = self._play([Plan((first,), 0, PROMPT_MS) for first in firsts], place / "firsts")
        return [
            Plan((first, Target(point, 1, 1)), 0, PROMPT_MS)
            for first, outcome in zip(firsts, seen, strict=True)
            for point in outcome.early
        ]

    def undisturbed(self) -> Outcome:
        """What happens when nobody is killed."""
        with self._place() as place:
            return self._play([Plan()], place / "undisturbed")[0]

    # --- processes ----------------------------------------------------------------------------------------------------

    def _play(
        self, plans: Sequence[Plan], place: Path, each: Callable[[int, int], None] | None = None
    ) -> list[Outcome]:
        """Each plan in a process forked from this one, a few at a time; their outcomes in order."""
        outcomes: list[Outcome | None] = [None] * len(plans)
        waiting = list(enumerate(plans))[::-1]
        done = 0
        with selectors.DefaultSelector() as under_way:
            while waiting or under_way.get_map():
                while waiting and len(under_way.get_map()) < self._jobs:
                    number, plan = waiting.pop()
                    pid, pipe = self._fork(plan, place / f"{number:04d}")
                    under_way.register(pipe, selectors.EVENT_READ, (number, pid, bytearray()))
                for key, _ in under_way.select():
                    number, pid, said = key.data
                    part = os.read(key.fd, 65_536)
                    said += part
                    if not part:
                        under_way.unregister(key.fd)
                        os.close(key.fd)
                        os.waitpid(pid, 0)
                        outcomes[number] = _outcome(bytes(said))
                        done += 1
                        if each is not None:
                            each(done, len(plans))
        return [outcome for outcome in outcomes if outcome is not None]

    def _fork(self, plan: Plan, folder: Path) -> tuple[int, int]:
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write)
            return pid, read
        code = 1
        try:
            os.close(read)
            logger.remove()
            outcome = self._run_here(plan, folder)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(msgspec.json.encode(outcome))
            code = 0
        finally:
            os._exit(code)

    def _run_here(self, plan: Plan, folder: Path) -> Outcome:
        stage = self._stage
        folder.mkdir(parents=True)
        try:
            outcome = CrashRun(stage, folder, plan).run()
        except Exception:
            # Whatever it was, the matrix goes on, and the run is shown with its trace.
            return Outcome([f"the run failed: {traceback.format_exc()[-3_000:]}"])
        if self._folder is None or not outcome.problems:
            shutil.rmtree(folder)
        return outcome

    @contextmanager
    def _place(self) -> Iterator[Path]:
        if self._folder is not None:
            yield self._folder
            return
        with tempfile.TemporaryDirectory(prefix="polyhost-crash-") as name:
            yield Path(name)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Forked processes share what is here already; a collection would copy it for each of them."""
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            gc.unfreeze()


def first_kills(base: Outcome) -> list[Plan]:
    """Die at the first passing of each point, and be back at once."""
    return [Plan((Target(point, 1),), 0, PROMPT_MS) for point in sorted(base.counts)]


def later_kills(base: Outcome) -> list[Plan]:
    """Die at the middle and the last passing, with more of it not yet on the disk, and stay away longer."""
    found = []
    for point, count in sorted(base.counts.items()):
        lazy = 0 if point.startswith("journal.") else LAZY_MS
        for occurrence, down_ms in zip(sorted({(count + 1) // 2, count} - {1}), LONGER_MS, strict=False):
            found.append(Plan((Target(point, occurrence),), lazy, down_ms))
    return found


def commit_kills(base: Outcome) -> list[Plan]:
    """Die within a commit, wherever it is after so long."""
    commits = base.counts.get("journal.written", 0)
    return [
        Plan((Target("journal.written", max(commits * part // 5 + number, 1), 0, delay),), 0, PROMPT_MS)
        for number, delay in enumerate(DELAYS_US)
        for part in range(1, 5)
    ]


def stuck_sends(base: Outcome) -> list[Plan]:
    """Die after each post and cancel; what was sent reaches the venue when the next life has asked for it already."""
    return [
        Plan((Target(point, occurrence),), 0, PROMPT_MS, stuck_ms)
        for point in sorted(base.counts)
        if point.startswith(("send.post", "send.cancel")) and point.endswith(".after")
        for occurrence in range(1, base.counts[point] + 1)
        for stuck_ms in STUCK_MS
    ]


def absences(base: Outcome) -> list[Plan]:
    """Die early, and be back just before the end, too late for anything, or after the result."""
    return [
        Plan((Target(point, max(base.counts[point] // 2, 1)),), 0, PROMPT_MS, back_ms=back_ms)
        for point in sorted(base.counts)
        if point.startswith(("send.post", "record.fill", "record.order_m")) and point.endswith(("after", "committed"))
        for back_ms in BACK_MS
    ]


def many_kills(base: Outcome) -> list[Plan]:
    """Die six times in a row, each life after so many posts, cancels, commits or facts."""
    return [
        Plan(tuple(Target(point, step, life) for life in range(LIVES)), lazy, down_ms)
        for point, steps in MANY.items()
        if point in base.counts
        for step in steps
        for lazy, down_ms in ((0, PROMPT_MS), (LAZY_MS, 3_000))
    ]


def full_disks(base: Outcome) -> list[Plan]:
    """The disk is full from any commit on; the host seals itself, is ended, and finds room again."""
    return [
        Plan((), 0, PROMPT_MS, disk_full=(point, occurrence), flatten=occurrence % 2 == 1)
        for point in FULL_AT
        for occurrence in range(1, base.counts.get(point, 0) + 1)
    ]


def emergencies(base: Outcome) -> list[Plan]:
    """The disk is full, and the host dies while it puts records aside, or the next one while it takes them in."""
    aside = [Target(point, occurrence) for point in ("emergency.begun", "emergency.written") for occurrence in (1, 2)]
    taken = [Target(point, 1, 1) for point in (*FULL_AT, "journal.inserted", "journal.written", "emergency.absorbed")]
    count = base.counts.get("journal.begun", 0)
    return [
        Plan((target,), 0, PROMPT_MS, disk_full=("journal.begun", max(count * part // 6, 1)), flatten=part % 2 == 1)
        for target in (*aside, *taken)
        for part in range(1, 6)
    ]


def posts_of(stage: Stage) -> int:
    """Orders that a host left alone posts there."""
    return CrashMatrix(stage).undisturbed().posts


def _outcome(said: bytes) -> Outcome:
    if not said:
        return Outcome(["the run's process died"])
    return msgspec.json.decode(said, type=Outcome)


def report(outcomes: Sequence[tuple[Plan, Outcome]], base: Outcome, command: str, seconds: float) -> dict[str, Any]:
    """``points``: kinds of places; ``runs`` made; ``survived`` of them; ``failures``: what broke, how to repeat it."""
    failures = [
        {"points": labels(plan), "problems": outcome.problems, "replay": f"{command}{options(plan)}"}
        for plan, outcome in outcomes
        if outcome.problems
    ]
    missed = [labels(plan) for plan, outcome in outcomes if not outcome.problems and not outcome.reached]
    return {
        "points": len(base.counts),
        "runs": len(outcomes),
        "survived": len(outcomes) - len(failures),
        "kills": sum(outcome.lives - 1 for _, outcome in outcomes),
        "posts": base.posts,
        "sealed": sum(outcome.sealed for _, outcome in outcomes),
        "sealed_sells": sum(outcome.sealed_sells for _, outcome in outcomes),
        "locks": sum(outcome.locks for _, outcome in outcomes),
        "not_reached": missed,
        "failures": failures,
        "wall": {"duration_s": round(seconds, 3)},
    }


def labels(plan: Plan) -> list[str]:
    found = [target.label for target in plan.targets]
    if plan.disk_full is not None:
        found.append(f"disk_full:{plan.disk_full[0]}:{plan.disk_full[1]}")
    return found + (["locked"] if plan.locked else []) + (["flatten"] if plan.flatten else [])


def options(plan: Plan) -> str:
    """The options that repeat a run."""
    parts = "".join(f" --point {label}" for label in labels(plan))
    times = f" --group-ms {plan.group_ms} --down-ms {plan.down_ms}"
    if plan.stuck_ms:
        times += f" --stuck-ms {plan.stuck_ms}"
    return parts + times + ("" if plan.back_ms is None else f" --back-ms {plan.back_ms}")


def plan_of(
    points: Sequence[str], group_ms: int, down_ms: int, stuck_ms: int = 0, back_ms: int | None = None
) -> Plan:
    """The plan that ``options`` wrote. Raises ValueError for a label that is none."""
    targets = []
    full = None
    locked, flatten = "locked" in points, "flatten" in points
    for text in points:
        if text in ("locked", "flatten"):
            continue
        if text.startswith("disk_full:"):
            _, point, occurrence = text.split(":")
            full = (point, int(occurrence))
        else:
            targets.append(Target.parse(text))
    return Plan(tuple(targets), group_ms, down_ms, stuck_ms, back_ms, full, locked, flatten)
