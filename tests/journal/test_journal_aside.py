"""What waits for a lock, or for a disk that failed, stands in the emergency file: told, whole, once, and taken in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import JournalError, JournalWriter, read_journal, store
from polyhost.journal.emergency import emergency_path
from polyhost.model import records as r

WAIT_S = 60.0


class Shell:
    """The writer's callbacks, in the order they came."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self._changed = threading.Condition()

    def _tell(self, what: str, seq: int) -> None:
        with self._changed:
            self.told.append((what, seq))
            self._changed.notify_all()

    def durable(self, seq: int) -> None:
        self._tell("durable", seq)

    def aside(self, seq: int) -> None:
        self._tell("aside", seq)

    def failed(self, error: JournalError) -> None:
        self._tell("failed", 0)

    def wait(self, until: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(until, WAIT_S), self.told


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_WAIT_MS", 10)


def opened(path: Path) -> tuple[JournalWriter, Shell]:
    shell = Shell()
    return JournalWriter(path, "main", shell.durable, shell.failed, shell.aside), shell


def notice(build: Any, name: str) -> r.NoticeRaised:
    return r.NoticeRaised(build.now(), name, "info", "test", "x")


def names(path: Path) -> list[str]:
    return [record.notice_id for _, record in read_journal(path) if isinstance(record, r.NoticeRaised)]


def test_per_01_what_waits_for_a_lock_is_aside_meanwhile_and_in_the_journal_afterwards(
    journal_path: Path, build: Any, locked: Any
) -> None:
    writer, shell = opened(journal_path)
    writer.append([notice(build, "n1")])
    shell.wait(lambda: shell.told == [("durable", 1)])
    with locked(journal_path):
        writer.append([notice(build, "n2")])
        shell.wait(lambda: ("aside", 2) in shell.told)
        writer.append([notice(build, "n3"), notice(build, "n4")])
        shell.wait(lambda: ("aside", 4) in shell.told)
        assert writer.durable_seq == 1, "no buy leaves"
        assert names(journal_path) == ["n1", "n2", "n3", "n4"], "killed now, nothing is lost"
        assert emergency_path(journal_path).read_text().count("\n") == 3, "each record once"
    shell.wait(lambda: shell.told[-1] == ("durable", 4))
    assert writer.sealed is None
    assert names(journal_path) == ["n1", "n2", "n3", "n4"]
    writer.close()
    assert not emergency_path(journal_path).exists(), "out of the way as soon as the journal has it"
    again, _ = opened(journal_path)
    assert again.last_seq == 4
    assert not emergency_path(journal_path).exists()
    again.close()


def test_per_01_a_second_lock_after_a_first_one_loses_nothing_either(
    journal_path: Path, build: Any, locked: Any
) -> None:
    writer, shell = opened(journal_path)
    for number in (1, 3):
        with locked(journal_path):
            writer.append([notice(build, f"n{number}")])
            shell.wait(lambda seq=number: ("aside", seq) in shell.told)
        writer.append([notice(build, f"n{number + 1}")])
        shell.wait(lambda seq=number + 1: ("durable", seq) in shell.told)
    writer.close()
    assert names(journal_path) == ["n1", "n2", "n3", "n4"]
    again, _ = opened(journal_path)
    again.close()
    assert names(journal_path) == ["n1", "n2", "n3", "n4"]


def test_a_failing_disk_is_told_first_and_then_what_the_emergency_file_holds(
    journal_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, shell = opened(journal_path)

    def full(*args: object) -> int:
        raise JournalError(journal_path, "the disk is full", "Free space")

    monkeypatch.setattr(writer._store, "commit", full)
    writer.append([notice(build, "n1"), notice(build, "n2")])
    shell.wait(lambda: len(shell.told) == 2)
    writer.append([notice(build, "n3")])
    shell.wait(lambda: len(shell.told) == 3)
    assert shell.told == [("failed", 0), ("aside", 2), ("aside", 3)]
    writer.close()
    assert names(journal_path) == ["n1", "n2", "n3"]
