"""A writing thread that dies is replaced: what it had in hand becomes durable once, whether or not it was committed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import JournalWriter, read_journal
from polyhost.model import records as r

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""The threads are killed on purpose."""
WAIT_S = 60.0


def notice(build: Any, name: str) -> r.NoticeRaised:
    return r.NoticeRaised(build.now(), name, "info", "test", "x")


@pytest.mark.parametrize("committed", [False, True])
def test_ord_15_a_dead_writing_thread_is_replaced_and_nothing_is_lost_or_written_twice(
    journal_path: Path, build: Any, committed: bool
) -> None:
    told, heard = [], threading.Condition()

    def durable(seq: int) -> None:
        with heard:
            told.append(seq)
            heard.notify_all()

    writer = JournalWriter(journal_path, "main", durable, lambda error: None)
    store: Any = writer._store
    real = store.commit

    def commit(*args: Any) -> int:
        if committed:
            real(*args)
        store.commit = real
        raise SystemExit

    store.commit = commit
    writer.append([notice(build, "n1"), notice(build, "n2")])
    writer._thread.join(WAIT_S)
    assert writer.behind_s() == float("inf")
    assert told == []
    writer.append([notice(build, "n3")])
    writer.revive()
    with heard:
        assert heard.wait_for(lambda: told and told[-1] == 3, WAIT_S)
    assert writer.behind_s() == 0
    assert writer.sealed is None
    writer.close()
    kept = [record for _, record in read_journal(journal_path)]
    assert [record.notice_id for record in kept if isinstance(record, r.NoticeRaised)] == ["n1", "n2", "n3"]


def test_ord_15_a_living_thread_is_left_alone(journal_path: Path) -> None:
    writer = JournalWriter(journal_path, "main", lambda seq: None, lambda error: None)
    thread = writer._thread
    writer.revive()
    assert writer._thread is thread
    writer.close()
    writer.revive()
    assert writer._thread is thread
    assert not thread.is_alive()
