"""What stands at a journal's path: for ``polyhost db status``, read-only, while a run is active or not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from peewee import Model

from polyhost.journal import emergency
from polyhost.journal.catalog import columns_in, tables_in
from polyhost.journal.connection import Connection
from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import ANALYSIS, JOURNAL, Family
from polyhost.journal.opening import inspect, reading
from polyhost.journal.place import elsewhere
from polyhost.journal.schema import ANALYSIS_TABLES, JOURNAL_TABLES, columns_of, nullable_of, table_of

JOURNAL_FILE: Final = "journal.db"
ANALYSIS_FILE: Final = "analysis.db"
"""Names within a data directory."""
READ_MS: Final = 1_000
"""Longest wait for a lock."""


class DatabaseStatus(Struct, frozen=True):
    path: str
    """Of the file, or the place in PostgreSQL."""
    exists: bool
    readable: bool
    schema_version: int
    """0: nothing there yet, or unreadable."""
    schema_wanted: int
    rows: dict[str, int]
    last_seq: int
    """Of the journal; 0 for analysis data."""
    bytes: int
    """Of the database with its write-ahead log, or of the account's tables in PostgreSQL."""
    problems: tuple[str, ...]
    """What is wrong, with the remedy; empty: nothing."""
    history: tuple[tuple[int, str, int, str], ...] = ()
    """(version, name, wall ms, host version) of each migration."""
    holder: str = ""
    """Of a journal in PostgreSQL: the host that writes it, or never gave it back; empty: nobody."""


def journal_status(path: Path | str) -> DatabaseStatus:
    """The journal's state; never raises for what is wrong with it, and changes nothing."""
    return _status(Path(path), JOURNAL, JOURNAL_TABLES)


def analysis_status(path: Path | str) -> DatabaseStatus:
    """As ``journal_status``, of the analysis data."""
    return _status(Path(path), ANALYSIS, ANALYSIS_TABLES)


def _status(path: Path, family: Family, models: tuple[type[Model], ...]) -> DatabaseStatus:
    values: dict[str, Any] = {
        "version": 0, "rows": {}, "last_seq": 0, "history": (), "problems": [], "holder": "", "bytes": _size(path)
    }
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
        values["problems"].append("An emergency file waits beside it; `polyhost run` or `db migrate` takes it in.")
    shown, there = _place(path, values["version"] > 0 or (not readable and bool(values["problems"])))
    return DatabaseStatus(
        shown, there, readable, values["version"], family.version, values["rows"], values["last_seq"],
        values["bytes"], tuple(values["problems"]), values["history"], values["holder"],
    )


def _place(path: Path, answered: bool) -> tuple[str, bool]:
    """How a person calls it, and whether there is anything; of PostgreSQL what it ``answered``."""
    try:
        place = elsewhere(path)
    except JournalError:
        # Told among the problems: asking what stands there said so.
        return str(path), True
    return (str(path), path.exists()) if place is None else (place.shown, answered)


def _look(path: Path, family: Family, models: tuple[type[Model], ...], values: dict[str, Any]) -> None:
    with reading(path, READ_MS) as connection:
        if values["version"] < family.version:
            values["problems"].append(
                f"schema version {values['version']} is older than this host's {family.version}."
                " The next `polyhost run` makes a backup and migrates it."
            )
        else:
            values["problems"].extend(schema_problems(connection, models))
        if isinstance(connection, sqlite3.Connection):
            values["problems"].extend(_damage(connection))
        else:
            values.update(_figures(connection))
        tables = tables_in(connection)
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


def _damage(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("PRAGMA quick_check(3)").fetchall()
    return [f"damaged: {row[0]}. Restore a backup." for row in found if row[0] != "ok"]


def _figures(connection: Connection) -> dict[str, Any]:
    """Size and holder of a journal in PostgreSQL."""
    from polyhost.journal.lease import holder

    sizes = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relnamespace = ?::regnamespace"
    held = holder(connection)
    schema = connection.execute("SELECT current_schema()").fetchone()[0]
    return {
        "bytes": int(connection.execute(sizes + " AND relkind = 'r'", (schema,)).fetchone()[0]),
        "holder": "" if held is None or held.released is not None else str(held),
    }


def schema_problems(connection: Connection, models: tuple[type[Model], ...]) -> list[str]:
    """Where the database's tables differ from the models (PER-07): tables, columns, NOT NULL."""
    problems = []
    for model in models:
        name = table_of(model)
        found = columns_in(connection, name)
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
            there = columns_in(connection, name)
            for column in (each for each in columns_of(model) if each in there and each not in nullable_of(model)):
                count = connection.execute(f'SELECT count(*) FROM "{name}" WHERE "{column}" IS NULL').fetchone()[0]
                if count:
                    problems.append(f"{name}.{column} is NULL in {count} rows. Restore a backup.")
    return problems


def _size(path: Path) -> int:
    return sum(
        part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.is_file()
    )
