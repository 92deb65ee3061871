"""One host an account (SEC-04): who may write a journal in PostgreSQL.

A session lock of the database, which ends with the connection, keeps two hosts apart at every instant: the writer
writes on the very connection that holds it. A row beside it says who holds it, for people, and outlives a lost
connection: a host that never gave the journal back may still run, cut off, with records in its emergency file that
nobody else has. A host of another folder does not go on in its place until a person says that it ended; one of its own
folder does at once.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from typing import Final

from msgspec import Struct

from polyhost.journal.catalog import tables_in
from polyhost.journal.connection import Connection
from polyhost.journal.errors import JournalError
from polyhost.journal.place import Postgres

WAIT_S: Final = 3.0
"""A host that was killed a moment ago keeps its session for an instant: so long it is waited for, wall time."""
POLL_S: Final = 0.1
"""While it is waited for, the lock is asked for this often, wall time."""
_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS "holder" (
        "one" BIGINT NOT NULL PRIMARY KEY, "folder" TEXT NOT NULL, "host" TEXT NOT NULL, "pid" BIGINT NOT NULL,
        "since" BIGINT NOT NULL, "released" BIGINT
    )
"""
_TAKE: Final = """
    INSERT INTO "holder" ("one", "folder", "host", "pid", "since", "released") VALUES (1, ?, ?, ?, ?, NULL)
    ON CONFLICT ("one") DO UPDATE SET "folder" = excluded."folder", "host" = excluded."host",
        "pid" = excluded."pid", "since" = excluded."since", "released" = NULL
"""


class Holder(Struct, frozen=True):
    folder: str
    """The data folder's random name (``Postgres.folder``)."""
    host: str
    """Name of the machine."""
    pid: int
    since: int
    """Wall ms."""
    released: int | None
    """Wall ms; None: it holds the journal, or ended without a word."""

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.since / 1_000))
        return f"process {self.pid} on {self.host}, since {since} UTC"


def lock(connection: Connection, place: Postgres, wait_s: float = WAIT_S) -> None:
    """Keep every other host out for as long as this connection lives. Raises JournalError naming who is in."""
    deadline = time.monotonic() + wait_s
    while not connection.execute("SELECT pg_try_advisory_lock(?)", (_number(place.schema),)).fetchone()[0]:
        if time.monotonic() >= deadline:
            held = holder(connection)
            raise JournalError(
                place.shown, f"another host writes this account's journal ({held or 'it is not told which'})",
                "Stop it, or give this host another [host] account",
            )
        time.sleep(POLL_S)


def take(connection: Connection, place: Postgres) -> None:
    """Write down that this process holds the journal; ``lock`` it before, and let its schema be there.

    Raises JournalError when a host of another folder never gave it back.
    """
    connection.execute(_TABLE)
    before = holder(connection)
    if before is not None and before.released is None and before.folder != place.folder:
        raise JournalError(
            place.shown,
            f"another host ({before}) never gave this account's journal back: it may still run, cut off from the"
            " database, or have left an emergency file",
            "See that it ended, and start it once more if journal.db.emergency.jsonl is in its data folder; if it is"
            " gone for good, say so with `polyhost db release`",
        )
    connection.execute(_TAKE, (place.folder, socket.gethostname(), os.getpid(), _now()))


def give_back(connection: Connection) -> None:
    """This process has written everything, and the journal is anybody's."""
    connection.execute('UPDATE "holder" SET "released" = ? WHERE "released" IS NULL', (_now(),))


def holder(connection: Connection) -> Holder | None:
    """Who held the journal last; None: nobody ever did."""
    if "holder" not in tables_in(connection):
        return None
    row = connection.execute('SELECT "folder", "host", "pid", "since", "released" FROM "holder"').fetchone()
    return None if row is None else Holder(*row)


def _number(schema: str) -> int:
    """The lock's number: the same for the same schema from everywhere."""
    return int.from_bytes(hashlib.sha256(f"polyhost {schema}".encode()).digest()[:8], "big", signed=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
