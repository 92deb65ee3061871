"""Opening a database of ours: look first, harm nothing, then bring it to this host's schema version.

A file is looked at read-only before anything is written to it. Missing or empty: it is made. Ours and older: backed up
and migrated, each version in one transaction. Newer, foreign, damaged or locked: told with the remedy, and left alone.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from loguru import logger
from msgspec import Struct
from peewee import OperationalError, SchemaManager, SqliteDatabase

from polyhost import __version__
from polyhost.files import sync_folder
from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import Family, Migration
from polyhost.journal.schema import SchemaVersion, insert_sql

BUSY_MS: Final = 5_000
"""How long a start waits for a lock that somebody else holds."""
_RESTORE: Final = "Put a backup in its place, or move it away to start with an empty one"


class Found(Struct, frozen=True):
    """What stands at a path. ``version`` 0: nothing yet."""

    version: int
    history: tuple[tuple[int, str, int, str], ...] = ()
    """(version, name, wall ms, host version) of each migration."""


def told(path: Path, error: sqlite3.Error) -> JournalError:
    """SQLite's error as one that names the file and what to do."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalError(path, "it is locked by another program", "Stop what uses it, then start again")
    if primary == sqlite3.SQLITE_NOTADB:
        return JournalError(path, "it is no database (or its first page is damaged)", _RESTORE)
    if primary == sqlite3.SQLITE_CORRUPT:
        return JournalError(path, f"it is damaged ({error})", _RESTORE)
    if primary == sqlite3.SQLITE_FULL:
        return JournalError(path, "the disk is full", "Free space, then start again")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
        return JournalError(path, f"it cannot be opened or written ({error})", "Check its folder and permissions")
    if primary == sqlite3.SQLITE_IOERR:
        return JournalError(path, f"the disk failed ({error})", "Check the disk, then start again")
    return JournalError(path, f"the database refused: {error}", "Run `polyhost db status` for more")


def is_busy(error: sqlite3.Error) -> bool:
    """Somebody else holds the lock: waiting helps."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def reading(path: Path, busy_ms: int = BUSY_MS) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write; a run may be active. SQLite's errors come out as JournalError."""
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=busy_ms / 1_000, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise told(path, error) from error


def inspect(path: Path, family: Family, busy_ms: int = BUSY_MS) -> Found:
    """What stands at ``path``, read-only. Raises JournalError for what is not a database of this family, is damaged,
    is newer than this host, or is locked for ``busy_ms``."""
    if path.is_dir():
        raise JournalError(path, "it is a folder, not a database", "Name a file, or move the folder away")
    if not path.exists() or path.stat().st_size == 0:
        return Found(0)
    with reading(path, busy_ms) as connection:
        identity = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if identity == 0 and not tables:
            return Found(0)
        if identity != family.application_id:
            raise JournalError(
                path,
                f"it is a database, but no polyhost {family.name} (id {identity:#x}, {len(tables)} tables)",
                "Name another data_dir, or move the file away",
            )
        if "schema_version" not in tables:
            raise JournalError(path, "its migration history is missing", _RESTORE)
        rows = connection.execute("SELECT version, name, applied_at, host FROM schema_version ORDER BY version")
        history = tuple(rows.fetchall())
    return _checked(path, family, history)


def _checked(path: Path, family: Family, history: tuple[tuple[int, str, int, str], ...]) -> Found:
    versions = [row[0] for row in history]
    if versions != list(range(1, len(versions) + 1)):
        raise JournalError(path, f"its migration history has gaps (versions {versions})", _RESTORE)
    if versions and versions[-1] > family.version:
        raise JournalError(
            path,
            f"its schema version {versions[-1]} is newer than this host's {family.version}"
            f" (written by polyhost {history[-1][3]})",
            "Install that polyhost, or restore the backup made before the migration",
        )
    return Found(len(versions), history)


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

    Raises JournalError as ``inspect`` does, and when a migration fails: then the database is as it was before it.
    """
    found = inspect(path, family, busy_ms)
    if found.version == family.version:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(path, f"its folder cannot be made ({error})", "Name another data_dir") from error
    try:
        copy = backup(path, found.version) if found.version else None
        _migrate(path, family, busy_ms, copy)
        sync_folder(path.parent)
    except sqlite3.Error as error:
        raise told(path, error) from error
    return inspect(path, family, busy_ms)


def backup(path: Path, version: int) -> Path:
    """A whole copy beside the database, consistent even while somebody writes: ``NAME.v1.backup``, ``….v1.2.backup`` …

    The copy appears under its name only when it is complete and on the disk. Raises sqlite3.Error or OSError.
    """
    target, count = path.with_name(f"{path.name}.v{version}.backup"), 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.v{version}.{count}.backup")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy)
    handle = os.open(part, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(part, target)
    sync_folder(path.parent)
    return target


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
