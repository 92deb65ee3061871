"""SQLite's errors in words for people."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from polyhost.journal.errors import JournalError
from polyhost.journal.found import RESTORE


def told(path: Path, error: sqlite3.Error) -> JournalError:
    """SQLite's error as one that names the file and what to do."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalError(path, "it is locked by another program", "Stop what uses it, then start again")
    if primary == sqlite3.SQLITE_NOTADB:
        return JournalError(path, "it is no database (or its first page is damaged)", RESTORE)
    if primary == sqlite3.SQLITE_CORRUPT:
        return JournalError(path, f"it is damaged ({error})", RESTORE)
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
