"""What stands at a journal's path: for ``polyhost db status``, read-only, while a run is active or not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from peewee import Model

from polyhost.journal import emergency
from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import ANALYSIS, JOURNAL, Family
from polyhost.journal.opening import inspect, reading
from polyhost.journal.schema import ANALYSIS_TABLES, JOURNAL_TABLES, columns_of, nullable_of, table_of

JOURNAL_FILE: Final = "journal.db"
ANALYSIS_FILE: Final = "analysis.db"
"""Names within a data directory."""
READ_MS: Final = 1_000
"""Longest wait for a lock."""


class DatabaseStatus(Struct, frozen=True):
    path: str
    exists: bool
    readable: bool
    schema_version: int
    """0: nothing there yet, or unreadable."""
    schema_wanted: int
    rows: dict[str, int]
    last_seq: int
    """Of the journal; 0 for analysis data."""
    bytes: int
    """Of the database with its write-ahead log."""
    problems: tuple[str, ...]
    """What is wrong, with the remedy; empty: nothing."""
    history: tuple[tuple[int, str, int, str], ...] = ()
    """(version, name, wall ms, host version) of each migration."""


def journal_status(path: Path | str) -> DatabaseStatus:
    """The journal's state; never raises for what is wrong with it, and changes nothing."""
    return _status(Path(path), JOURNAL, JOURNAL_TABLES)


def analysis_status(path: Path | str) -> DatabaseStatus:
    """As ``journal_status``, of the analysis data."""
    return _status(Path(path), ANALYSIS, ANALYSIS_TABLES)


def _status(path: Path, family: Family, models: tuple[type[Model], ...]) -> DatabaseStatus:
    values: dict[str, Any] = {"version": 0, "rows": {}, "last_seq": 0, "history": (), "problems": []}
    try:
        found = inspect(path, family, READ_MS)
        values.update(version=found.version, history=found.history)
        if found.version:
            _look(path, family, models, values)
    except JournalError as error:
        values["problems"].append(f"{error.found}. {error.remedy}.")
        readable = False
    else:
        readable = found.version > 0
    if emergency.emergency_path(path).exists():
        values["problems"].append("An emergency file waits beside it; the next `polyhost run` takes it in.")
    return DatabaseStatus(
        str(path), path.exists(), readable, values["version"], family.version, values["rows"], values["last_seq"],
        _size(path), tuple(values["problems"]), values["history"],
    )


def _look(path: Path, family: Family, models: tuple[type[Model], ...], values: dict[str, Any]) -> None:
    with reading(path, READ_MS) as connection:
        if values["version"] < family.version:
            values["problems"].append(
                f"schema version {values['version']} is older than this host's {family.version}."
                " The next `polyhost run` makes a backup and migrates it."
            )
        else:
            values["problems"].extend(schema_problems(connection, models))
        for result in connection.execute("PRAGMA quick_check(3)").fetchall():
            if result[0] != "ok":
                values["problems"].append(f"damaged: {result[0]}. Restore a backup.")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for name in (table_of(model) for model in models):
            if name in tables:
                values["rows"][name] = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        if "journal" in tables:
            first, last, count = connection.execute(
                "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0), count(*) FROM journal"
            ).fetchone()
            values["last_seq"] = last
            if (first, last) != (1, count):
                values["problems"].append(f"records are missing: {count} rows, numbers {first} to {last}. Restore.")


def schema_problems(connection: sqlite3.Connection, models: tuple[type[Model], ...]) -> list[str]:
    """Where the database's tables differ from the models (PER-07): tables, columns, NOT NULL."""
    problems = []
    for model in models:
        name = table_of(model)
        found = {row[1]: bool(row[3]) for row in connection.execute(f'PRAGMA table_info("{name}")')}
        wanted = {column: column not in nullable_of(model) for column in columns_of(model)}
        if not found:
            problems.append(f"table {name} is missing. Restore a backup.")
        elif list(found.items()) != list(wanted.items()):
            odd = sorted(column for column in found.keys() | wanted.keys() if found.get(column) != wanted.get(column))
            problems.append(f"table {name} differs from its model in {', '.join(odd) or 'the order of columns'}.")
    return problems


def null_problems(path: Path, models: tuple[type[Model], ...]) -> list[str]:
    """Columns that are NULL in some row although their model says they are not (PER-07). Raises JournalError."""
    problems = []
    with reading(path, READ_MS) as connection:
        for model in models:
            name = table_of(model)
            there = {row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')}
            for column in (each for each in columns_of(model) if each in there and each not in nullable_of(model)):
                count = connection.execute(f'SELECT count(*) FROM "{name}" WHERE "{column}" IS NULL').fetchone()[0]
                if count:
                    problems.append(f"{name}.{column} is NULL in {count} rows. Restore a backup.")
    return problems


def _size(path: Path) -> int:
    return sum(
        part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.is_file()
    )
