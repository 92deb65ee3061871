"""Whole copies of a database file: consistent while somebody writes, looked through, and there only when complete."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from polyhost.files import sync_folder
from polyhost.journal.errors import JournalError
from polyhost.journal.sqlite_errors import told


def copy_before(path: Path, version: int) -> Path:
    """The copy that a migration needs, beside the database: ``NAME.v1.backup``, ``NAME.v1.2.backup`` …

    Raises JournalError when there can be none: then nothing is migrated.
    """
    target = unused(path.with_name(f"{path.name}.v{version}.backup"), ".backup")
    try:
        copy_file(path, target)
    except JournalError as error:
        found = f"no backup can be made before it is migrated ({error.found}), so it stays at version {version}"
        raise JournalError(path, found, error.remedy) from error
    return target


def unused(path: Path, suffix: str) -> Path:
    """This name, or with a number before ``suffix``: no copy ever replaces another."""
    target, count = path, 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name.removesuffix(suffix)}.{count}{suffix}")
    return target


def copy_file(source: Path, target: Path) -> None:
    """A copy of a database file that needs nothing beside it; it has its name when it is whole and on the disk.

    Raises JournalError: the source cannot be read, or the copy cannot be written or is not sound.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as original:
            _copy(original, source, part, target)
        os.replace(part, target)
        sync_folder(target.parent)
    except OSError as error:
        raise JournalError(target, f"it cannot be written ({error.strerror})", "Free space, or name another") from error
    finally:
        part.unlink(missing_ok=True)


def _copy(original: sqlite3.Connection, source: Path, part: Path, target: Path) -> None:
    try:
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise told(source, error) from error
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            original.backup(copy)
            # Of itself: no log beside it, whoever looks at it.
            copy.execute("PRAGMA journal_mode = DELETE")
            damage = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise told(target, error) from error
    if damage != "ok":
        raise JournalError(source, f"it is damaged ({damage})", "Restore an earlier backup: `polyhost db restore FILE`")
    with part.open("rb") as file:
        os.fsync(file.fileno())
