"""The writer's thread: order, group commit, locks, a failing disk, a killed process."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import JournalError, JournalPort, JournalWriter, MemoryJournal, read_journal
from polyhost.journal.emergency import emergency_path
from polyhost.journal.opening import reading
from polyhost.journal.store import JournalStore
from polyhost.model import records as r

WAIT_S = 60.0
"""Bound of every wait here; nothing waits that long unless it is broken."""


class Shell:
    """What the shell does with the writer's two callbacks."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.errors: list[JournalError] = []
        self._changed = threading.Condition()

    def durable(self, seq: int) -> None:
        with self._changed:
            self.told.append(seq)
            self._changed.notify_all()

    def failed(self, error: JournalError) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    def wait(self, until: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(until, WAIT_S), "nothing happened"


def opened(path: Path) -> tuple[JournalWriter, Shell]:
    shell = Shell()
    return JournalWriter(path, "main", shell.durable, shell.failed), shell


def notice(build: Any, name: str) -> r.NoticeRaised:
    return r.NoticeRaised(build.now(), name, "info", "test", "x")


def test_ord_01_commands_are_released_in_order_when_their_records_are_on_the_disk(
    journal_path: Path, build: Any
) -> None:
    writer, shell = opened(journal_path)
    seqs = [writer.append(step) for step in build.life()]
    writer.close()
    assert seqs == sorted(seqs)
    assert shell.told == sorted(set(shell.told))
    assert shell.told[-1] == seqs[-1] == writer.durable_seq == writer.last_seq
    assert shell.errors == []
    assert len(list(read_journal(journal_path))) == seqs[-1]


def test_a_step_without_records_waits_for_nothing_new(journal_path: Path, build: Any) -> None:
    writer, _ = opened(journal_path)
    assert writer.append([]) == 0
    seq = writer.append([notice(build, "n1")])
    assert writer.append([]) == seq
    writer.close()


def test_per_01_steps_that_wait_together_are_one_commit_and_none_is_split(
    journal_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    entered, go_on = threading.Event(), threading.Event()
    original = JournalStore.commit

    def slow(self: JournalStore, records: Any, *more: Any) -> int:
        if records:
            groups.append(len(records))
            entered.set()
            assert go_on.wait(WAIT_S)
        return original(self, records, *more)

    monkeypatch.setattr(JournalStore, "commit", slow)
    writer, shell = opened(journal_path)
    writer.append([notice(build, "first")])
    assert entered.wait(WAIT_S)
    for number in range(5):
        writer.append([notice(build, f"a{number}"), notice(build, f"b{number}")])
    go_on.set()
    writer.close()
    assert groups == [1, 10]
    assert shell.told == [1, 11]


def test_per_01_a_locked_database_is_waited_for_and_nothing_is_told_durable_meanwhile(
    journal_path: Path, build: Any, locked: Any
) -> None:
    writer, shell = opened(journal_path)
    writer.append([notice(build, "n1")])
    shell.wait(lambda: shell.told == [1])
    with locked(journal_path):
        seq = writer.append([notice(build, "n2")])
        assert seq == 2
        assert shell.told == [1]
        assert writer.durable_seq == 1
    shell.wait(lambda: shell.told == [1, 2])
    writer.close()
    assert shell.errors == []


def test_a_lock_that_outlasts_closing_seals_the_journal_and_the_next_start_has_it_all(
    journal_path: Path, build: Any, locked: Any
) -> None:
    writer, shell = opened(journal_path)
    writer.append([notice(build, "n1")])
    shell.wait(lambda: shell.told == [1])
    with locked(journal_path):
        writer.append([notice(build, "n2"), notice(build, "n3")])
        writer.close(timeout_s=0)
    assert "locked" in str(shell.errors[0])
    assert shell.told == [1]
    assert [record.notice_id for _, record in read_journal(journal_path)] == ["n1", "n2", "n3"]  # type: ignore[union-attr]
    writer, shell = opened(journal_path)
    assert writer.last_seq == 3
    assert not emergency_path(journal_path).exists()
    assert writer.append([notice(build, "n4")]) == 4
    writer.close()
    assert [seq for seq, _ in read_journal(journal_path)] == [1, 2, 3, 4]


def test_a_failing_disk_seals_tells_once_and_loses_nothing(
    journal_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, shell = opened(journal_path)
    writer.append([notice(build, "n1")])
    shell.wait(lambda: shell.told == [1])

    def broken(*_: object) -> int:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(JournalStore, "_write", broken)
        writer.append([notice(build, "n2")])
        shell.wait(lambda: shell.errors)
    writer.append([notice(build, "n3")])
    writer.append([notice(build, "n4")])
    writer.close()
    assert shell.told == [1]
    assert writer.durable_seq == 1
    assert len(shell.errors) == 1
    assert "disk failed" in shell.errors[0].found
    assert writer.sealed is shell.errors[0]
    assert [seq for seq, _ in read_journal(journal_path)] == [1, 2, 3, 4]
    with reading(journal_path) as connection:
        assert connection.execute("SELECT max(seq) FROM journal").fetchone() == (1,)


def test_a_second_writer_of_the_same_journal_is_sealed_not_mixed_in(journal_file: Path, build: Any) -> None:
    first, told_first = opened(journal_file)
    second, told_second = opened(journal_file)
    first.append([notice(build, "n1")])
    told_first.wait(lambda: told_first.told)
    second.append([notice(build, "m1")])
    told_second.wait(lambda: told_second.errors)
    assert told_second.told == []
    second.append([notice(build, "m2")])
    second.close()
    first.close()
    with pytest.raises(JournalError, match=r"record 1 .* is not the one that the journal holds"):
        JournalWriter(journal_file, "main", told_first.durable, told_first.failed)
    emergency_path(journal_file).unlink()
    assert len(list(read_journal(journal_file))) == 1


def test_a_commit_that_failed_and_reached_the_disk_all_the_same_is_not_taken_in_twice(
    journal_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = JournalStore.commit

    def doubtful(self: JournalStore, records: Any, *more: Any) -> int:
        original(self, records, *more)
        raise JournalError(self.path, "the disk failed", "Check it")

    writer, shell = opened(journal_path)
    with monkeypatch.context() as patch:
        patch.setattr(JournalStore, "commit", doubtful)
        writer.append([notice(build, "n1"), notice(build, "n2")])
        shell.wait(lambda: shell.errors)
        writer.append([notice(build, "n3")])
        writer.close()
    assert [seq for seq, _ in read_journal(journal_path)] == [1, 2, 3]
    writer, _ = opened(journal_path)
    writer.close()
    assert [seq for seq, _ in read_journal(journal_path)] == [1, 2, 3]
    assert writer.last_seq == 3


def test_a_host_that_cannot_be_told_any_more_still_loses_nothing(journal_path: Path, build: Any) -> None:
    def gone(_: object) -> None:
        raise RuntimeError("Event loop is closed")

    writer = JournalWriter(journal_path, "main", gone, gone)
    writer.append([notice(build, "n1")])
    writer.append([notice(build, "n2")])
    writer.close()
    assert [seq for seq, _ in read_journal(journal_path)] == [1, 2]


def test_nothing_is_taken_after_closing(journal_path: Path, build: Any) -> None:
    writer, _ = opened(journal_path)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append([notice(build, "n1")])


def test_a_torn_last_line_of_the_emergency_file_is_left_out(journal_path: Path, build: Any) -> None:
    JournalStore(journal_path, "main").close()
    path = emergency_path(journal_path)
    record = b'{"record":"notice_raised","at":1,"notice_id":"n1","level":"info","topic":"t","text":"x"}'
    path.write_bytes(b'{"seq":1,"record":' + record + b'}\n{"seq":2,"rec')
    assert [seq for seq, _ in read_journal(journal_path)] == [1]
    path.write_bytes(b'{"seq":2,"record":' + record + b"}\n")
    with pytest.raises(JournalError, match="expected 1"):
        list(read_journal(journal_path))
    path.write_bytes(b"nonsense\n")
    with pytest.raises(JournalError, match="line 1 is damaged"):
        list(read_journal(journal_path))


CHILD = """
import sys, threading
from polyhost.journal import JournalWriter
from polyhost.model.records import FillMoved, NoticeRaised
from polyhost.model.words import TradeStatus

out = sys.stdout
def durable(seq):
    out.write(f"{seq}\\n")
    out.flush()
writer = JournalWriter(sys.argv[1], "main", durable, lambda error: None)
start = writer.last_seq
for step in range(10**9):
    # Each step is two records that name it: half a step would show.
    writer.append([NoticeRaised(start, f"{start}:{step}:{part}", "info", "t", "x" * 200) for part in "ab"])
    if step % 7 == 0:
        while writer.durable_seq < writer.last_seq - 40:
            threading.Event().wait(0.001)
"""


@pytest.mark.parametrize("lines", [1, 3, 12, 60])
def test_per_05_kill_minus_nine_during_commits_loses_nothing_that_was_told_durable(
    journal_path: Path, lines: int
) -> None:
    """Twice on the same journal: the second process goes on where the first was killed."""
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(journal_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            assert child.stdout is not None
            told = [int(child.stdout.readline()) for _ in range(lines)]
            child.send_signal(signal.SIGKILL)
            told += [int(line) for line in child.stdout.read().split(b"\n")[:-1]]
        records = list(read_journal(journal_path))
        assert [seq for seq, _ in records] == list(range(1, len(records) + 1))
        assert len(records) >= told[-1]
        assert len(records) % 2 == 0, "a step was split"
        names = [record.notice_id.split(":") for _, record in records if isinstance(record, r.NoticeRaised)]
        for first, second in zip(names[::2], names[1::2], strict=True):
            assert (first[:2], first[2], second[2]) == (second[:2], "a", "b")
        with reading(journal_path) as connection:
            assert connection.execute("SELECT count(*) FROM notices").fetchone() == (len(records),)


def test_a_journal_in_memory_gives_the_same_bytes_and_numbers(journal_path: Path, build: Any) -> None:
    told: list[int] = []
    memory = MemoryJournal(told.append)
    writer, _ = opened(journal_path)
    for step in build.life():
        assert memory.append(step) == writer.append(step)
    writer.close()
    assert list(memory.read()) == list(read_journal(journal_path))
    with reading(journal_path) as connection:
        bodies = [row[0].encode() for row in connection.execute("SELECT body FROM journal ORDER BY seq")]
    assert memory.bodies == bodies
    assert told[-1] == memory.last_seq == memory.durable_seq


def test_a_crash_in_memory_drops_what_was_not_committed(build: Any) -> None:
    told: list[int] = []
    memory = MemoryJournal(told.append, hold=True)
    memory.append(build.life()[0])
    assert told == []
    memory.commit()
    memory.append(build.life()[3])
    assert [seq for seq, _ in memory.read()] == [1, 2]
    assert memory.crash() == 2
    assert memory.last_seq == memory.durable_seq == 2
    assert memory.append([build.run()]) == 3
    memory.commit()
    assert told == [2, 3]
    assert [json.loads(body)["record"] for body in memory.bodies] == ["run_started", "ledger_posted", "run_started"]


def test_both_journals_are_what_the_shell_expects(journal_path: Path) -> None:
    writer, _ = opened(journal_path)
    ports: list[JournalPort] = [writer, MemoryJournal()]
    assert [port.last_seq for port in ports] == [0, 0]
    for port in ports:
        port.close()
