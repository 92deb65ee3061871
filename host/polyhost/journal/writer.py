"""The journal's one writer: a thread that makes records durable in the kernel's order, as many steps at a time as wait.

The shell appends a step's records and goes on; when they are on the disk it is told, in order, and lets the gated
commands go. A locked database is waited for. When the disk fails the journal is *sealed*: nothing is told durable any
more, and whatever comes goes to the emergency file, so that nothing is lost without a word. What waits for a lock goes
there too, after a second, and into the journal when it is free again: the file is read only as far as the journal lacks
it. Sells need no more than that (``on_aside``); everything that adds exposure waits for the journal.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from loguru import logger

from polyhost.journal import emergency
from polyhost.journal.checkpoint import Checkpointer
from polyhost.journal.errors import JournalError
from polyhost.journal.place import elsewhere
from polyhost.journal.store import JournalStore
from polyhost.model.records import LedgerPosted, OrderIntended, Record

QUEUE_RECORDS_MAX: Final = 1_000_000
"""Records that may wait for a lock (hours of trading); past it the journal is sealed and they go to the file."""
CLOSE_S: Final = 30.0
"""How long closing waits for a lock before what is left goes to the emergency file, wall time."""
INTENT_WAIT_S: Final = 0.005
"""An order that is only intended gates nothing: its commit waits at most this long, wall time, for what follows it, as
a rule the record of its signature within a millisecond. Two commits, the first in the way of the second, become one."""
INTENTION: Final = (OrderIntended, LedgerPosted)
"""Records of an intention: the order, and the reservation of its funds."""
TELL_EVERY_S: Final = 5.0
"""A lock that lasts is told once in this time."""


class JournalWriter:
    """Opens the journal at ``path`` (making, migrating, taking in an emergency file) and starts the thread.

    ``on_durable(last_seq)``, ``on_aside(last_seq)`` and ``failed(error)`` are called in the writer's thread, ``failed``
    at most once: hand them on, for instance with ``loop.call_soon_threadsafe``, and do nothing else there. Raises
    JournalError as ``JournalStore`` does.
    """

    def __init__(
        self,
        path: Path | str,
        account: str,
        on_durable: Callable[[int], None],
        failed: Callable[[JournalError], None],
        on_aside: Callable[[int], None] = lambda seq: None,
    ) -> None:
        """``on_aside(last_seq)``: the emergency file (or standard error) holds everything up to here."""
        self._on_aside = on_aside
        self._aside_seq = 0
        self._store = JournalStore(path, account)
        self._on_durable = on_durable
        self._failed = failed
        self._changed = threading.Condition()
        self._steps: deque[Sequence[Record]] = deque()
        self._last_seq = self._durable_seq = self._written_seq = self._store.last_seq
        self._hurry = False
        """Among the steps that wait is one that is more than an intention."""
        self._deadline: float | None = None
        self._waiting_since: float | None = None
        self._told_at = 0.0
        self._moved_at = time.monotonic()
        """When a group was written, or began to wait with nothing before it."""
        self._group: list[Record] = []
        """What the thread is writing; a thread that died leaves it to the next one."""
        self.sealed: JournalError | None = None
        """Why nothing becomes durable any more; None: all is well."""
        self._checkpointer = Checkpointer(self._store.path) if elsewhere(self._store.path) is None else None
        """PostgreSQL has its own."""
        self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        return self._store.path

    @property
    def last_seq(self) -> int:
        return self._last_seq

    @property
    def durable_seq(self) -> int:
        """Stands still once the journal is sealed: what only the emergency file holds releases no command."""
        return self._durable_seq

    def behind_s(self) -> float:
        """For how long (wall seconds) the oldest record waits for the disk; endless when nobody writes any more."""
        if self.sealed is not None or self._deadline is not None:
            return 0.0
        if not self._thread.is_alive():
            return float("inf")
        return 0.0 if self._written_seq == self._last_seq else time.monotonic() - self._moved_at

    def revive(self) -> None:
        """Start the writing thread again if it died; what it had in hand is written first, and never twice."""
        if self._thread.is_alive() or self.sealed is not None or self._deadline is not None:
            return
        logger.warning("journal: the writing thread died and is started again")
        self._start()

    def append(self, records: Sequence[Record]) -> int:
        """Take the records of one kernel step; they are committed in one transaction, never split. Does not wait.

        The answer is the last record's number: commands gated by these records may leave once ``on_durable`` named it
        or a later one. Appending nothing is allowed. Raises ValueError after ``close``.
        """
        if not records:
            return self._last_seq
        with self._changed:
            if self._deadline is not None:
                raise ValueError("the journal is closed")
            if self._written_seq == self._last_seq:
                self._moved_at = time.monotonic()
            self._steps.append(tuple(records))
            self._hurry = self._hurry or not all(isinstance(record, INTENTION) for record in records)
            self._last_seq += len(records)
            self._changed.notify()
            return self._last_seq

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Write everything appended, then give the files back. What a lock keeps out for ``timeout_s`` goes to the
        emergency file; the journal is sealed then and ``failed`` is told."""
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._write_all()
        except BaseException:
            self._store.let_go()
            raise

    def _write_all(self) -> None:
        self._take_over()
        while records := self._next():
            self._group = records
            if self.sealed is None:
                self._commit(records)
            else:
                self._put_aside(records)
            self._group = []
            self._moved_at = time.monotonic()
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._store.close()

    def _take_over(self) -> None:
        """Finish what a thread that died had in hand. Its transaction is there as a whole or not at all."""
        records = self._group
        if not records or self.sealed is not None:
            return
        try:
            self._store.reopen()
        except Exception as error:  # as in _commit: a second thread must not die silently either
            self._seal(error, records)
            return
        if self._store.last_seq < self._written_seq + len(records):
            self._commit(records)
        elif self._durable_seq < self._store.last_seq:
            self._durable_seq = self._written_seq = self._store.last_seq
            self._on_durable(self._durable_seq)
        self._group = []

    def _next(self) -> list[Record]:
        """Every step that waits, as one group; empty when the journal is closed and all is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._steps or self._deadline is not None)
            intended = [] if self._hurry or self.sealed is not None else [*chain.from_iterable(self._steps)]
        # While it is being signed: only the signature's own rows are left to be made when that comes.
        self._store.stage(intended)
        with self._changed:
            if not self._hurry:
                self._changed.wait_for(lambda: self._hurry or self._deadline is not None, INTENT_WAIT_S)
            self._hurry = False
            group = [*chain.from_iterable(self._steps)]
            self._steps.clear()
            return group

    def _commit(self, records: list[Record]) -> None:
        # Whatever goes wrong here must be told: a thread that dies silently would hold every order for ever.
        try:
            seq = self._store.commit(records, self._may_wait)
        except Exception as error:
            self._seal(error, records)
            return
        self._waiting_since = None
        self._durable_seq = self._written_seq = seq
        self._clear_away()
        try:
            self._on_durable(seq)
        except Exception as error:
            self._seal(error, [])
        # After the word that orders wait for: waking a third thread takes the interpreter away from it.
        if self._checkpointer is not None:
            self._checkpointer.committed(len(records))

    def _may_wait(self) -> bool:
        """Asked once a second while the database is locked. What waits is put aside meanwhile: sells go on."""
        self._keep_aside()
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = self._told_at = now
        with self._changed:
            queued = self._last_seq - self._written_seq
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            logger.warning(
                "journal: {} is locked by another program for {:.0f} s; {} records wait, no order is posted",
                self.path, now - self._waiting_since, queued,
            )
        closing = self._deadline is not None and now >= self._deadline
        return not closing and queued <= QUEUE_RECORDS_MAX

    def _seal(self, error: Exception, records: list[Record]) -> None:
        if isinstance(error, JournalError):
            told = error
        else:
            told = JournalError(self.path, f"writing failed ({type(error).__name__}: {error})", "Report this error")
        self.sealed = told
        logger.critical("journal sealed: {}. Records go to {}", told, emergency.emergency_path(self.path))
        try:
            self._failed(told)
        except Exception as deaf:
            # The host is gone already (its loop is closed); what is left to do is to write the rest aside.
            logger.critical("nobody could be told that the journal is sealed: {}", deaf)
        self._put_aside(records)

    def _put_aside(self, records: list[Record]) -> None:
        """These records, the next ones after what is written, go to the emergency file for good."""
        if records:
            self._append_aside(records)
            self._written_seq += len(records)

    def _clear_away(self) -> None:
        """The journal has it all again: what was put aside during a lock is kept under another name."""
        if not 0 < self._aside_seq <= self._written_seq:
            return
        self._aside_seq = 0
        try:
            emergency.put_away(self.path)
        except OSError as error:
            logger.warning("the emergency file stays where it is, the next start looks at it ({})", error)

    def _keep_aside(self) -> None:
        """A lock lasts: everything that waits for it stands in the emergency file too, until the journal has it."""
        with self._changed:
            waiting = [*self._group, *(record for step in self._steps for record in step)]
        self._append_aside(waiting)

    def _append_aside(self, records: list[Record]) -> None:
        """Append what of these (the next ones after what is written) the file does not hold yet, and say so."""
        known = max(self._aside_seq - self._written_seq, 0)
        fresh = records[known:]
        if not fresh:
            return
        emergency.append(self.path, self._written_seq + known + 1, fresh)
        self._aside_seq = self._written_seq + known + len(fresh)
        try:
            self._on_aside(self._aside_seq)
        except Exception as deaf:
            logger.critical("nobody could be told what the emergency file holds: {}", deaf)
