"""How the store keeps a journal: which connection writes, how a transaction begins, what the errors mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from polyhost.journal import emergency, sqlite_errors
from polyhost.journal.connection import Connection
from polyhost.journal.errors import JournalError, PostgresError
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import connected, database, prepare
from polyhost.journal.place import Postgres, elsewhere
from polyhost.journal.schema import Journal, table_of


class Keeper(Protocol):
    """One journal, to be written from one thread."""

    begin: str
    """Begins a transaction to write in, or fails as busy after a moment."""

    def connection(self) -> Connection:
        """The connection that writes, opened when it is not. Raises DRIVER_ERRORS, JournalError."""

    def busy(self, error: sqlite3.Error | PostgresError) -> bool:
        """Somebody else holds a lock: waiting helps."""

    def told(self, error: sqlite3.Error | PostgresError) -> JournalError:
        """The error in words for people."""

    def forget(self) -> None:
        """The writing thread lets go of its connection: whoever writes next opens a new one."""

    def close(self) -> None:
        """Give everything back; call it from the writing thread."""


def keeper(path: Path, busy_ms: int) -> Keeper:
    """Opens (makes, migrates) the journal that belongs at ``path``. A lock is waited for in steps of ``busy_ms``.

    Raises JournalError naming what was found and the remedy.
    """
    place = elsewhere(path)
    return FileKeeper(path, busy_ms) if place is None else PostgresKeeper(path, place, busy_ms)


class FileKeeper:
    """A SQLite file; the folder's lock keeps other hosts out."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: Path, busy_ms: int) -> None:
        self._path = path
        self._busy_ms = busy_ms
        prepare(path, JOURNAL)
        self._database = database(path, busy_ms=busy_ms)

    def connection(self) -> sqlite3.Connection:
        return connected(self._database)

    def busy(self, error: sqlite3.Error | PostgresError) -> bool:
        return isinstance(error, sqlite3.OperationalError) and sqlite_errors.is_busy(error)

    def told(self, error: sqlite3.Error | PostgresError) -> JournalError:
        assert isinstance(error, sqlite3.Error)
        return sqlite_errors.told(self._path, error)

    def forget(self) -> None:
        self._database.close()  # this thread's connection: another thread's is its own to close
        self._database = database(self._path, busy_ms=self._busy_ms)

    def close(self) -> None:
        self._database.close()


class PostgresKeeper:
    """A schema in PostgreSQL; its lease keeps other hosts out. A connection that is lost is not made again: what was
    in hand goes to the emergency file, and the next start looks what became of it."""

    # As an insert would: who locks the table is met before anything is written, and a vacuum is in nobody's way. Other
    # writers are kept out by the lease.
    begin = f'BEGIN; LOCK TABLE "{table_of(Journal)}" IN ROW EXCLUSIVE MODE'

    def __init__(self, path: Path, place: Postgres, busy_ms: int) -> None:
        from polyhost.journal.postgres_opening import open_to_write

        self._path = path
        self._place = place
        self._busy_ms = busy_ms
        self._connection: Connection | None = open_to_write(place, path, lock_ms=busy_ms)

    def connection(self) -> Connection:
        if self._connection is None:
            from polyhost.journal.postgres_opening import open_to_write

            self._connection = open_to_write(self._place, self._path, lock_ms=self._busy_ms)
        return self._connection

    def busy(self, error: sqlite3.Error | PostgresError) -> bool:
        from polyhost.journal.postgres import BUSY

        return isinstance(error, PostgresError) and error.state == BUSY

    def told(self, error: sqlite3.Error | PostgresError) -> JournalError:
        from polyhost.journal.postgres import told

        if not isinstance(error, PostgresError):
            return sqlite_errors.told(self._path, error)
        return told(self._place, error)

    def forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """The lease is given back only when nothing is left that this folder alone knows."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        from polyhost.journal import lease

        try:
            if not emergency.emergency_path(self._path).exists():
                lease.give_back(connection)
        except PostgresError:
            # The connection is lost: the row keeps saying who held the journal, which is so.
            pass
        finally:
            connection.close()
