"""The journal's database, written by one thread: a group of records in one transaction, with their projections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from polyhost.journal import emergency
from polyhost.journal.codec import KINDS, encode_record
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import connected, database, is_busy, prepare, reading, told
from polyhost.journal.points import crash_point
from polyhost.journal.projections import Projector
from polyhost.journal.schema import Journal, insert_sql
from polyhost.model.records import Record

LOCK_WAIT_MS: Final = 1_000
"""A lock is waited for in steps of this length, for ever; between them the waiter may be told to stop."""
_INSERT: Final = insert_sql(Journal)


def last_seq(connection: sqlite3.Connection) -> int:
    """Sequence number of the last durable record; 0: none."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0])


def body_of(connection: sqlite3.Connection, seq: int) -> str | None:
    """The stored JSON of one record; None: there is no such record."""
    row = connection.execute("SELECT body FROM journal WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else str(row[0])


class JournalStore:
    """Opens (makes, migrates) the journal at ``path``. Only one may write a journal, and from one thread.

    Raises JournalError naming the file, what was found and the remedy.
    """

    def __init__(self, path: Path | str, account: str) -> None:
        self.path = Path(path)
        self.account = account
        prepare(self.path, JOURNAL)
        with reading(self.path) as connection:
            self.last_seq = last_seq(connection)
        self._database = database(self.path, busy_ms=LOCK_WAIT_MS)
        self._projector = Projector(account)
        self._connection: sqlite3.Connection | None = None
        self._absorb()

    def commit(self, records: Sequence[Record], waiting: Callable[[], bool] = lambda: True) -> int:
        """Write all records in one transaction; when it returns they are on the disk. The last one's number.

        A locked database is waited for as long as ``waiting()``, asked once a second, says True. Raises JournalError
        when the disk is full or fails, or waiting ended: then nothing of these records was written.
        """
        if not records:
            return self.last_seq
        try:
            connection = self._connection or self._open()
            self._begin(connection, waiting)
            self._write(connection, records)
        except sqlite3.Error as error:
            raise told(self.path, error) from error
        self.last_seq += len(records)
        return self.last_seq

    def reopen(self) -> None:
        """Another thread writes from here on: nothing of the earlier one's connection is used again.

        Raises JournalError when the database cannot be read.
        """
        self._connection = None
        self._database = database(self.path, busy_ms=LOCK_WAIT_MS)
        self._projector.forget()
        with reading(self.path) as connection:
            self.last_seq = last_seq(connection)

    def close(self) -> None:
        """Give the file back; call it from the writing thread."""
        self._connection = None
        self._database.close()

    def _absorb(self) -> None:
        """Take in what a failed run wrote to its emergency file (design: sealed kernels go on with it)."""
        if not emergency.emergency_path(self.path).exists():
            return
        with reading(self.path) as connection:
            rest = [record for _, record in emergency.read(self.path, self.last_seq, partial(body_of, connection))]
        try:
            self.commit(rest)
        finally:
            self.close()
        crash_point("emergency.absorbed")
        emergency.put_away(self.path)

    def _open(self) -> sqlite3.Connection:
        self._connection = connection = connected(self._database)
        self._projector.use(connection)
        return connection

    def _begin(self, connection: sqlite3.Connection, waiting: Callable[[], bool]) -> None:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or not waiting():
                    raise

    def _write(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        projector, account, seq = self._projector, self.account, self.last_seq
        rows = []
        try:
            crash_point("journal.begun")
            for record in records:
                seq += 1
                market = projector.apply(seq, record)
                rows.append((seq, record.at, account, market, KINDS[type(record)], encode_record(record).decode()))
            connection.executemany(_INSERT, rows)
            crash_point("journal.inserted")
            projector.flush(connection)
            crash_point("journal.written")
            connection.execute("COMMIT")
            crash_point("journal.committed")
        except BaseException:
            projector.forget()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
