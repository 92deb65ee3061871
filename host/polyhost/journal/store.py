"""The journal's database, written by one thread: a group of records in one transaction, with their projections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from polyhost.journal import emergency
from polyhost.journal.codec import KINDS, encode_record
from polyhost.journal.connection import Connection
from polyhost.journal.errors import DRIVER_ERRORS
from polyhost.journal.keeping import keeper
from polyhost.journal.opening import reading
from polyhost.journal.points import crash_point
from polyhost.journal.projections import Projector
from polyhost.journal.schema import Journal, insert_sql
from polyhost.model.records import Record

LOCK_WAIT_MS: Final = 1_000
"""A lock is waited for in steps of this length, for ever; between them the waiter may be told to stop."""
_INSERT: Final = insert_sql(Journal)
_Row: TypeAlias = tuple[int, int, str, str, str, str]


def last_seq(connection: Connection) -> int:
    """Sequence number of the last durable record; 0: none."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0])


def body_of(connection: Connection, seq: int) -> str | None:
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
        self._keeper = keeper(self.path, LOCK_WAIT_MS)
        self._projector = Projector(account)
        self._connection: Connection | None = None
        self._staged: list[_Row] = []
        """Rows of the next records to be committed."""
        try:
            with reading(self.path) as connection:
                self.last_seq = last_seq(connection)
            self._absorb()
        except BaseException:
            self._keeper.close()
            raise

    def stage(self, records: Sequence[Record]) -> None:
        """Work out the rows of what ``commit`` will get first, before its rest is known. Nothing is written."""
        if self._connection is None:
            return
        try:
            self._staged += self._rows(records)
        except Exception:  # whatever it is, ``commit`` meets it again, and says so
            self._unstage()

    def commit(self, records: Sequence[Record], waiting: Callable[[], bool] = lambda: True) -> int:
        """Write all records in one transaction; when it returns they are on the disk. The last one's number.

        A locked database is waited for as long as ``waiting()``, asked once a second, says True. Raises JournalError
        when the disk is full or fails, or waiting ended: then nothing of these records was written.
        """
        if not records:
            return self.last_seq
        while True:
            try:
                connection = self._connection or self._open()
                self._write(connection, records)
                break
            except DRIVER_ERRORS as error:
                if not self._keeper.busy(error) or not waiting():
                    raise self._keeper.told(error) from error
        self.last_seq += len(records)
        return self.last_seq

    def reopen(self) -> None:
        """Another thread writes from here on: nothing of the earlier one's connection is used again.

        Raises JournalError when the database cannot be read.
        """
        self.let_go()
        with reading(self.path) as connection:
            self.last_seq = last_seq(connection)

    def let_go(self) -> None:
        """This thread writes no more: its connection is closed, as no other thread can close it."""
        self._connection = None
        self._unstage()
        self._keeper.forget()

    def close(self) -> None:
        """Give the database back; call it from the writing thread."""
        self._connection = None
        self._keeper.close()

    def _absorb(self) -> None:
        """Take in what a failed run wrote to its emergency file (design: sealed kernels go on with it)."""
        if not emergency.emergency_path(self.path).exists():
            return
        with reading(self.path) as connection:
            rest = [record for _, record in emergency.read(self.path, self.last_seq, partial(body_of, connection))]
        try:
            self.commit(rest)
        finally:
            # Another thread writes from here on.
            self.let_go()
        crash_point("emergency.absorbed")
        emergency.put_away(self.path)

    def _open(self) -> Connection:
        self._connection = connection = self._keeper.connection()
        self._projector.use(connection)
        return connection

    def _write(self, connection: Connection, records: Sequence[Record]) -> None:
        try:
            connection.execute(self._keeper.begin)
            crash_point("journal.begun")
            rows = self._staged + self._rows(records[len(self._staged) :])
            connection.executemany(_INSERT, rows)
            crash_point("journal.inserted")
            self._projector.flush(connection)
            crash_point("journal.written")
            connection.execute("COMMIT")
            crash_point("journal.committed")
            self._staged = []
        except BaseException:
            self._unstage()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _rows(self, records: Sequence[Record]) -> list[_Row]:
        """The journal's rows of the records after the staged ones; their projections wait in the projector."""
        rows, seq = [], self.last_seq + len(self._staged)
        for record in records:
            seq += 1
            market = self._projector.apply(seq, record)
            body = encode_record(record).decode()
            rows.append((seq, record.at, self.account, market, KINDS[type(record)], body))
        return rows

    def _unstage(self) -> None:
        """What is in memory is not what is in the database: it is worked out anew."""
        self._staged = []
        self._projector.forget()
