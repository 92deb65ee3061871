"""A disk that is full or locked: nothing is lost, nothing is told durable that is not."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.exchange.pathologies import BY_NAME, Pathologies
from polyhost.journal import JournalError
from polyhost.lab.faults import FaultyJournal
from polyhost.model.records import NoticeRaised, Record
from polyhost.model.times import NEVER

NAMES = ("disk_full", "db_locked")


def records(count: int) -> list[Record]:
    return [NoticeRaised(number, f"n{number}", "info", "test", "a fact") for number in range(count)]


class Disk:
    """A journal, and what it said."""

    def __init__(self, **probabilities: float) -> None:
        self.durable: list[int] = []
        self.failed: list[JournalError] = []
        self.pathologies = Pathologies(3, probabilities)
        self.journal = FaultyJournal(self.pathologies, self.durable.append, self.failed.append)

    def sequence(self) -> list[int]:
        return [seq for seq, _ in self.journal.read()]


def episode(name: str) -> Any:
    return Pathologies(3, {name: 1.0}).episode(name, 0)


@pytest.mark.parametrize("name", NAMES)
def test_con_a_disk_that_is_well_commits_at_once(name: str) -> None:
    disk = Disk(**{name: 0.0})
    assert disk.journal.append(records(2)) == 2
    assert disk.journal.commit(episode(name).start) == 2
    assert (disk.durable, disk.failed, disk.journal.sealed) == ([2], [], None)
    assert BY_NAME[name].layers == ("journal",)


def test_per_a_full_disk_seals_the_journal_and_nothing_more_is_durable() -> None:
    disk = Disk(disk_full=1.0)
    when = episode("disk_full")
    disk.journal.append(records(2))
    disk.journal.commit(when.start - 1)
    disk.journal.append(records(1))
    assert disk.journal.commit(when.start) == 2
    told = [str(error) for error in disk.failed]
    assert told == ["the simulated disk: there is no space left. Make room and start again."]
    assert disk.journal.append(records(3)) == 6
    assert disk.journal.commit(when.end) == 2, "sealed for good, until the host starts again"
    assert (disk.durable, disk.journal.next_due) == ([2], NEVER)
    assert len(disk.failed) == 1


def test_per_what_a_full_disk_kept_out_is_taken_in_by_the_next_start() -> None:
    disk = Disk(disk_full=1.0)
    when = episode("disk_full")
    disk.journal.append(records(2))
    disk.journal.commit(when.start)
    disk.journal.append(records(3))
    assert disk.journal.crash() == 0, "the emergency list survives the process"
    assert not disk.journal.reopen(when.end - 1)
    assert disk.journal.reopen(when.end)
    assert disk.sequence() == [1, 2, 3, 4, 5]
    assert [record for _, record in disk.journal.read()] == [*records(2), *records(3)]
    assert (disk.journal.sealed, disk.journal.durable_seq) == (None, 5)


def test_per_a_locked_database_is_waited_for() -> None:
    disk = Disk(db_locked=1.0)
    when = episode("db_locked")
    disk.journal.append(records(2))
    assert disk.journal.commit(when.start) == 0
    assert (disk.durable, disk.journal.next_due) == ([], when.end)
    assert disk.journal.commit(when.end) == 2
    assert (disk.durable, disk.failed, disk.journal.next_due) == ([2], [], NEVER)


def test_per_a_process_that_dies_while_the_database_is_locked_loses_only_what_was_not_durable() -> None:
    disk = Disk(db_locked=1.0)
    when = episode("db_locked")
    disk.journal.append(records(1))
    disk.journal.commit(when.start - 1)
    disk.journal.append(records(2))
    disk.journal.commit(when.start)
    assert disk.journal.crash() == 2
    assert disk.sequence() == [1]
