"""The write-ahead log moves into the database some time after a commit, or at once when it has grown (PER-01)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import checkpoint as module
from polyhost.journal.checkpoint import Checkpointer

WAIT_S = 20.0
NEVER_S = 1_000_000.0


@contextmanager
def checkpointing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_s: float
) -> Iterator[tuple[Checkpointer, threading.Semaphore]]:
    """A checkpointer of three records, and what counts its checkpoints."""
    done = threading.Semaphore(0)
    monkeypatch.setattr(module, "CHECKPOINT_S", after_s)
    monkeypatch.setattr(module, "CHECKPOINT_RECORDS", 3)
    monkeypatch.setattr(Checkpointer, "_checkpoint", lambda self: done.release())
    checkpointer = Checkpointer(tmp_path / "journal.db")
    try:
        yield checkpointer, done
    finally:
        checkpointer.close()


def until_it_waits(checkpointer: Checkpointer) -> None:
    """Its thread has seen everything so far."""
    changed: Any = checkpointer._changed
    deadline = time.monotonic() + WAIT_S
    while not changed._waiters:
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_per_01_a_commit_is_checkpointed_after_a_while_and_so_is_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with checkpointing(tmp_path, monkeypatch, 0.001) as (checkpointer, done):
        for _ in range(2):
            checkpointer.committed(1)
            assert done.acquire(timeout=WAIT_S)


def test_per_01_a_log_that_has_grown_is_checkpointed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with checkpointing(tmp_path, monkeypatch, NEVER_S) as (checkpointer, done):
        for _ in range(2):
            for _ in range(3):
                until_it_waits(checkpointer)
                checkpointer.committed(1)
            assert done.acquire(timeout=WAIT_S)
        checkpointer.committed(2)
        assert not done.acquire(blocking=False)
