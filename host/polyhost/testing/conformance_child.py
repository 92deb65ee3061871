"""The conformance suite in a process of its own: ``python -m polyhost.testing.conformance_child``.

Nothing foreign is imported into the process that asks. Standard input holds the job, standard output gets the answer;
what a plugin prints goes to standard error. A plugin that ends its process, or never ends, loses only its own report.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from polyhost.errors import PluginError
from polyhost.extension.process import ENVIRONMENT
from polyhost.extension.sources import Source, loaded_class
from polyhost.testing.report import Report

CPU_LIMIT: Final = 60
"""CPU seconds of one process, after which the system ends it: a C call that has no end is ended by nothing else."""
PATIENCE: Final = 300.0
"""Wall seconds until it is killed: one that waits for something uses no CPU."""
SEEDS: Final = ("1", "2")
"""Of the hashes of texts, in the process that examines and in the one it is compared with."""

LOST: Final = "what was found so far was lost with its process"


class Subject(Struct, frozen=True):
    """One plugin to be examined."""

    source: Source
    name: str
    table: dict[str, Any] = {}
    paths: tuple[str, ...] = ()
    """Folders that its modules are found in, besides the usual ones."""
    others: tuple[Source, ...] = ()
    """Where it is, too, in case it cannot be imported from ``source``."""

    def loadable(self) -> Source:
        """The first of its sources that can be imported; the first of all where none can."""
        for source in (self.source, *self.others):
            try:
                loaded_class(source)
            except PluginError:
                continue
            return source
        return self.source


class Job(Struct, frozen=True):
    """What is asked of a process. ``whole``: the reports, too, and not only the digests."""

    subjects: tuple[Subject, ...]
    whole: bool = True


class Result(Struct):
    """What was found of one plugin."""

    digests: list[int] = field(default_factory=list)
    report: Report | None = None


def examined(subject: Subject) -> Report:
    """Examine a plugin in two processes that hash differently; the report of the first, compared with the second."""
    from polyhost.testing.conformance import compared

    running = [_started(Job((subject,), whole), seed) for whole, seed in zip((True, False), SEEDS, strict=True)]
    (one, ended), (other, _) = [_ended(process) for process in running]
    if not one or one[0].report is None:
        report = Report(subject.name, subject.source.origin)
        report.add(*ended)
        report.leave(LOST)
        return report
    report = one[0].report
    compared(report, one[0].digests, other[0].digests if other else None)
    return report


def digests_elsewhere(subjects: Sequence[Subject]) -> list[list[int] | None]:
    """Digests of the plugins' answers in a process with other hashes; None of each where that process failed."""
    results, _ = _ended(_started(Job(tuple(subjects), False), SEEDS[1]))
    return [result.digests or None for result in results] if results else [None for _ in subjects]


def _started(job: Job, seed: str) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": seed}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "polyhost.testing.conformance_child"], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(job))
        process.stdin.close()
    except BrokenPipeError:  # it ended before it read its job: its exit code says so below
        pass
    process.stdin = None
    return process


def _ended(process: subprocess.Popen[bytes]) -> tuple[list[Result], tuple[str, str]]:
    """The answers; without any, the rule that is broken by that and how."""
    try:
        out, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return [], ("end", f"its process did not end within {PATIENCE:g} s")
    try:
        return msgspec.json.decode(out, type=list[Result]), ("contract", "")
    except msgspec.DecodeError:
        code = process.returncode
        if code == -resource_signal():
            return [], ("end", f"its process used more than {CPU_LIMIT} s of CPU")
        return [], ("contract", f"its process ended in the middle of the examination (exit code {code})")


def resource_signal() -> int:
    """What ends a process that used its CPU time up."""
    import signal

    return int(signal.SIGXCPU)


def main() -> None:
    """Read the job, examine, write the answer."""
    from loguru import logger

    from polyhost.testing.conformance import Examination

    logger.remove()
    answer = os.dup(1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT + 1))
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    results = []
    for subject in job.subjects:
        sys.path[:0] = subject.paths
        examination = Examination(subject.loadable(), subject.name, subject.table)
        report = examination.run() if job.whole else None
        digests = examination.digests if job.whole else examination.digest()
        results.append(Result(digests, report))
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(results))


if __name__ == "__main__":
    main()
