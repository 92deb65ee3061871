"""Opening a journal in PostgreSQL: look first, harm nothing, then bring it to this host's schema version.

As with a file: no schema is made, older is backed up and migrated, newer or foreign is told and left alone. DDL is
transactional, so a migration is there as a whole or not at all.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from loguru import logger

from polyhost import __version__
from polyhost.journal import lease
from polyhost.journal.backup import unused
from polyhost.journal.catalog import tables_in
from polyhost.journal.connection import Connection
from polyhost.journal.dump import SUFFIX, Row, write_dump
from polyhost.journal.errors import JournalError, PostgresError
from polyhost.journal.found import RESTORE, Found, understood
from polyhost.journal.migrations import JOURNAL, Family, Migration
from polyhost.journal.place import Postgres
from polyhost.journal.postgres import REMOTE_WAIT_MS, PgConnection, connect, told
from polyhost.journal.schema import SchemaVersion, insert_sql

_COMMENT: Final = "SELECT obj_description(oid) FROM pg_namespace WHERE nspname = ?"
_VERSIONS: Final = """
    CREATE TABLE IF NOT EXISTS "schema_version" (
        "version" BIGINT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "applied_at" BIGINT NOT NULL, "host" TEXT NOT NULL
    )
"""


@contextmanager
def reading_postgres(place: Postgres, busy_ms: int = REMOTE_WAIT_MS) -> Iterator[PgConnection]:
    """A session that cannot write. PostgreSQL's errors come out as JournalError."""
    try:
        with closing(connect(place, lock_ms=busy_ms)) as connection:
            yield connection
    except PostgresError as error:
        raise told(place, error) from error


def inspect_postgres(place: Postgres, family: Family = JOURNAL, busy_ms: int = REMOTE_WAIT_MS) -> Found:
    """What stands there. Raises JournalError for a schema that is not ours, is newer than this host, or is locked."""
    with reading_postgres(place, busy_ms) as connection:
        return _inspected(connection, place, family)


def _inspected(connection: Connection, place: Postgres, family: Family) -> Found:
    row = connection.execute(_COMMENT, (place.schema,)).fetchone()
    tables = tables_in(connection)
    if row is None or not tables:
        return Found(0)
    if row[0] != _mark(family):
        raise JournalError(
            place.shown, f"there is such a schema, but no polyhost {family.name} ({len(tables)} tables)",
            "Name another database, or rename the schema",
        )
    if "schema_version" not in tables:
        raise JournalError(place.shown, "its migration history is missing", RESTORE)
    rows = connection.execute("SELECT version, name, applied_at, host FROM schema_version ORDER BY version")
    return understood(place.shown, family, tuple(tuple(row) for row in rows))


def open_to_write(
    place: Postgres, journal: Path, family: Family = JOURNAL, lock_ms: int = REMOTE_WAIT_MS
) -> PgConnection:
    """The one connection that may write this journal, made or migrated; ``journal`` is where its file would be.

    Raises JournalError as ``inspect_postgres`` does, and when another host holds it (``lease``).
    """
    try:
        connection = connect(place, write=True, lock_ms=lock_ms)
        try:
            lease.lock(connection, place, lease.WAIT_S)
            prepare_postgres(connection, place, journal, family)
            lease.take(connection, place)
        except BaseException:
            connection.close()
            raise
    except PostgresError as error:
        raise told(place, error) from error
    return connection


def prepare_once(place: Postgres, journal: Path, family: Family, lock_ms: int) -> Found:
    """Make or migrate it, and let it go again. Raises JournalError as ``open_to_write`` does."""
    with closing(open_to_write(place, journal, family, lock_ms)) as connection:
        try:
            lease.give_back(connection)
            return _inspected(connection, place, family)
        except PostgresError as error:
            raise told(place, error) from error


def prepare_postgres(connection: PgConnection, place: Postgres, journal: Path, family: Family = JOURNAL) -> Found:
    """Make or migrate the schema on a connection that holds its lock. Raises JournalError, PostgresError."""
    found = _inspected(connection, place, family)
    if found.version == family.version:
        if missing := sorted(family.tables - tables_in(connection)):
            raise JournalError(place.shown, f"its table {missing[0]} is missing", RESTORE)
        return found
    copy = _dump_before(connection, journal, found.version) if found.version else None
    for migration in family.migrations[found.version :]:
        try:
            _apply(connection, place, family, migration)
        except PostgresError as error:
            raise JournalError(
                place.shown, f"migration {migration.version} ({migration.name}) failed: {error}",
                f"The database is as before it{f'; a copy is {copy}' if copy else ''}. Report this error",
            ) from error
    return _inspected(connection, place, family)


def _dump_before(connection: PgConnection, journal: Path, version: int) -> Path:
    suffix = f".backup{SUFFIX}"
    target = unused(journal.with_name(f"{journal.name}.v{version}{suffix}"), suffix)
    try:
        write_dump(rows_of(connection), version, target)
    except JournalError as error:
        found = f"no backup can be made before it is migrated ({error.found}), so it stays at version {version}"
        raise JournalError(target, found, error.remedy) from error
    return target


def rows_of(connection: PgConnection) -> Iterator[Row]:
    """Every row of the journal, as of now."""
    return connection.stream('SELECT "seq", "time", "account", "market", "kind", "body" FROM "journal" ORDER BY "seq"')


def _apply(connection: PgConnection, place: Postgres, family: Family, migration: Migration) -> None:
    connection.execute("BEGIN")
    try:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{place.schema}"')
        connection.execute(f"""COMMENT ON SCHEMA "{place.schema}" IS '{_mark(family)}'""")
        connection.execute(_VERSIONS)
        for statement in migration.statements:
            connection.execute(dialect_of(statement))
        row = (migration.version, migration.name, time.time_ns() // 1_000_000, __version__)
        connection.execute(insert_sql(SchemaVersion), row)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    logger.info("database {} is at schema version {} ({})", family.name, migration.version, migration.name)


def dialect_of(statement: str) -> str:
    """A migration's statement as PostgreSQL takes it: its INTEGER is four bytes, and every table has row ids."""
    return re.sub(r"\bINTEGER\b", "BIGINT", statement).replace("WITHOUT ROWID", "")


def _mark(family: Family) -> str:
    """What tells a schema of ours from somebody else's, as ``application_id`` does in a file."""
    return f"polyhost {family.name} {family.application_id:#x}"


@contextmanager
def _holding(place: Postgres) -> Iterator[PgConnection]:
    """A connection that nobody else may write beside. Raises JournalError: another host writes."""
    try:
        with closing(connect(place, write=True)) as connection:
            lease.lock(connection, place, lease.WAIT_S)
            yield connection
    except PostgresError as error:
        raise told(place, error) from error


def drop_unfinished(place: Postgres) -> None:
    """Delete what an interrupted restore made of its own. Raises JournalError for a schema that is not ours."""
    with _holding(place) as connection:
        _inspected(connection, place, JOURNAL)
        connection.execute(f'DROP SCHEMA IF EXISTS "{place.schema}" CASCADE')


def rename_schema(place: Postgres, name: str) -> None:
    """Raises JournalError when there is such a schema already."""
    with _holding(place) as connection:
        connection.execute(f'ALTER SCHEMA "{place.schema}" RENAME TO "{name}"')


def move_schema_away(place: Postgres, name: str) -> Postgres | None:
    """Give the account's schema another name; the place that it is now, None: there was none.

    Raises JournalError when another host writes it, or never gave it back.
    """
    with _holding(place) as connection:
        if not connection.execute(_COMMENT, (place.schema,)).fetchall():
            return None
        if tables_in(connection):
            lease.take(connection, place)
            lease.give_back(connection)
        free = name
        while connection.execute(_COMMENT, (free,)).fetchall():
            # The same second, once more.
            number = int(free.rpartition("_n")[2]) + 1 if free != name else 2
            free = f"{name}_n{number}"
        connection.execute(f'ALTER SCHEMA "{place.schema}" RENAME TO "{free}"')
    return place.in_schema(free)


def released(place: Postgres) -> lease.Holder | None:
    """Say for a host that is gone for good that it gave the journal back; who that was, None: nobody held it.

    Raises JournalError when it still writes.
    """
    with _holding(place) as connection:
        held = lease.holder(connection)
        if held is None or held.released is not None:
            return None
        lease.give_back(connection)
        return held
