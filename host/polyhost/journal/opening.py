"""Opening a database of ours: look first, harm nothing, then bring it to this host's schema version.

A file is looked at read-only before anything is written to it. Missing or empty: it is made. Ours and older: backed up
and migrated, each version in one transaction. Newer, foreign, damaged or locked: told with the remedy, and left alone.
A journal in PostgreSQL is treated the same way (``postgres_opening``); readers need not know which it is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from loguru import logger
from peewee import OperationalError, SchemaManager, SqliteDatabase

from polyhost import __version__
from polyhost.files import sync_folder
from polyhost.journal.backup import copy_before
from polyhost.journal.catalog import tables_in
from polyhost.journal.connection import Connection
from polyhost.journal.errors import JournalError
from polyhost.journal.found import RESTORE, Found, understood
from polyhost.journal.migrations import Family, Migration
from polyhost.journal.place import elsewhere
from polyhost.journal.schema import SchemaVersion, insert_sql
from polyhost.journal.sqlite_errors import is_busy, told

BUSY_MS: Final = 5_000
"""How long a start waits for a lock that somebody else holds."""


@contextmanager
def reading(path: Path, busy_ms: int = BUSY_MS) -> Iterator[Connection]:
    """A connection that cannot write; a run may be active. The driver's errors come out as JournalError."""
    if (place := elsewhere(path)) is not None:
        from polyhost.journal.postgres_opening import reading_postgres

        with reading_postgres(place, busy_ms) as remote:
            yield remote
        return
    with reading_file(path, busy_ms) as connection:
        yield connection


@contextmanager
def reading_file(path: Path, busy_ms: int = BUSY_MS) -> Iterator[sqlite3.Connection]:
    """As ``reading``, of this very file."""
    try:
        uri, timeout = f"{path.resolve().as_uri()}?mode=ro", busy_ms / 1_000
        # Who exports hands it to a thread of polars; nobody uses it from two at once.
        with closing(
            sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise told(path, error) from error


def inspect(path: Path, family: Family, busy_ms: int = BUSY_MS) -> Found:
    """What stands at ``path``, read-only. Raises JournalError for what is not a database of this family, is damaged,
    is newer than this host, or is locked for ``busy_ms``."""
    if (place := elsewhere(path)) is not None:
        from polyhost.journal.postgres_opening import inspect_postgres

        return inspect_postgres(place, family, busy_ms)
    return inspect_file(path, family, busy_ms)


def inspect_file(path: Path, family: Family, busy_ms: int = BUSY_MS) -> Found:
    """As ``inspect``, of this very file."""
    if path.is_dir():
        raise JournalError(path, "it is a folder, not a database", "Name a file, or move the folder away")
    if not path.exists() or path.stat().st_size == 0:
        return Found(0)
    with reading_file(path, busy_ms) as connection:
        identity = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = tables_in(connection)
        if identity == 0 and not tables:
            return Found(0)
        if identity != family.application_id:
            raise JournalError(
                path,
                f"it is a database, but no polyhost {family.name} (id {identity:#x}, {len(tables)} tables)",
                "Name another data_dir, or move the file away",
            )
        if "schema_version" not in tables:
            raise JournalError(path, "its migration history is missing", RESTORE)
        rows = connection.execute("SELECT version, name, applied_at, host FROM schema_version ORDER BY version")
        history = tuple(rows.fetchall())
    return understood(path, family, history)


def database(path: Path, *, full_sync: bool = True, busy_ms: int = BUSY_MS) -> SqliteDatabase:
    """peewee's database on a prepared file: WAL; ``full_sync``: a commit is on the disk before it returns.

    Checkpoints are left to another connection. Not connected yet: connections belong to threads.
    """
    return SqliteDatabase(
        str(path),
        pragmas=[
            ("busy_timeout", busy_ms),
            ("journal_mode", "wal"),
            ("synchronous", 2 if full_sync else 1),
            ("wal_autocheckpoint", 0),
        ],
        timeout=busy_ms / 1_000,
    )


def connected(peewee: SqliteDatabase) -> sqlite3.Connection:
    """This thread's connection of peewee's, opened when it is not yet. Raises sqlite3.Error."""
    try:
        connection: sqlite3.Connection = peewee.connection()  # type: ignore[no-untyped-call]
    except OperationalError as error:
        # peewee wraps the driver's errors while it connects; one kind of error is enough for our callers.
        cause = error.__cause__ or error.__context__
        raise cause if isinstance(cause, sqlite3.Error) else sqlite3.OperationalError(str(error)) from error
    return connection


def prepare(path: Path, family: Family, busy_ms: int = BUSY_MS) -> Found:
    """Make or migrate the database at ``path``, and say what stands there now. Repeating it changes nothing.

    Raises JournalError as ``inspect`` does, when a table is missing, when no backup can be made (then nothing is
    migrated), and when a migration fails: then the database is as it was before it.
    """
    if (place := elsewhere(path)) is not None:
        from polyhost.journal.postgres_opening import prepare_once

        return prepare_once(place, path, family, busy_ms)
    found = inspect_file(path, family, busy_ms)
    if found.version == family.version:
        with reading_file(path, busy_ms) as connection:
            all_there(path, tables_in(connection), family)
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(path, f"its folder cannot be made ({error})", "Name another data_dir") from error
    copy = copy_before(path, found.version) if found.version else None
    try:
        _migrate(path, family, busy_ms, copy)
        sync_folder(path.parent)
    except sqlite3.Error as error:
        raise told(path, error) from error
    return inspect_file(path, family, busy_ms)


def all_there(where: Path | str, tables: set[str], family: Family) -> None:
    """Raises JournalError when a table of the family is gone: better said now than at the first order."""
    if missing := sorted(family.tables - tables):
        raise JournalError(where, f"its table {missing[0]} is missing", RESTORE)


def _migrate(path: Path, family: Family, busy_ms: int, copy: Path | None) -> None:
    peewee = database(path, busy_ms=busy_ms)
    try:
        connection = connected(peewee)
        for migration in family.migrations:
            try:
                _apply(peewee, connection, family, migration)
            except sqlite3.Error as error:
                if is_busy(error):
                    raise
                raise JournalError(
                    path,
                    f"migration {migration.version} ({migration.name}) failed: {error}",
                    f"The database is as before it{f'; a copy is {copy}' if copy else ''}. Report this error",
                ) from error
    finally:
        peewee.close()


def _apply(peewee: SqliteDatabase, connection: sqlite3.Connection, family: Family, migration: Migration) -> None:
    """One migration in one transaction, unless another process was faster."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        SchemaManager(SchemaVersion, peewee).create_table(safe=True)
        done = connection.execute("SELECT 1 FROM schema_version WHERE version = ?", (migration.version,)).fetchone()
        if done is None:
            for statement in migration.statements:
                connection.execute(statement)
            row = (migration.version, migration.name, time.time_ns() // 1_000_000, __version__)
            connection.execute(insert_sql(SchemaVersion), row)
            connection.execute(f"PRAGMA application_id = {family.application_id}")
            logger.info("database {} is at schema version {} ({})", family.name, migration.version, migration.name)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
