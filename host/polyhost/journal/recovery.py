"""Reading the journal back: every record in order, typed, or a clear word about what is wrong with it.

The fold is the kernel's; this module only proves that nothing is missing and that every row is what was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from polyhost.journal import emergency
from polyhost.journal.codec import KINDS, decode_record
from polyhost.journal.connection import Connection
from polyhost.journal.dump import Row
from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import inspect, reading
from polyhost.journal.store import body_of
from polyhost.model.records import Record

PAGE: Final = 5_000
"""Rows read at once; between pages no read lock is held, so that a run's log can be reset."""
_PAGE_SQL: Final = "SELECT seq, time, account, market, kind, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
_REMEDY: Final = "Restore a backup (`polyhost db restore FILE`); `polyhost db status` shows what is readable"
_NEWER: Final = "A later polyhost wrote it: install that one, or restore the backup made before it first ran"
_KNOWN: Final = frozenset(KINDS.values())


def read_journal(path: Path | str, since_seq: int = 0) -> Iterator[tuple[int, Record]]:
    """Every record after ``since_seq`` with its number, in order, and then what a failed run left in its emergency
    file. Nothing when there is no journal yet; the database is not written to.

    Raises JournalError naming the number when one is missing, damaged or of a kind this host does not know.
    """
    file = Path(path)
    seq = since_seq
    if inspect(file, JOURNAL).version > 0:
        with reading(file) as connection:
            for row in rows_in(file, connection, since_seq):
                yield row[0], decoded(file, row)
                seq = row[0]
            yield from emergency.read(file, seq, partial(body_of, connection))


def rows_in(path: Path, connection: Connection, since_seq: int = 0) -> Iterator[Row]:
    """The journal's rows after ``since_seq``, as they stand there. Raises JournalError: a number is missing."""
    seq = since_seq
    while rows := connection.execute(_PAGE_SQL, (seq, PAGE)).fetchall():
        for row in rows:
            if row[0] != seq + 1:
                raise JournalError(path, f"record {seq + 1} is missing (record {row[0]} follows)", _REMEDY)
            yield row
            seq = row[0]


def decoded(path: Path, row: Row) -> Record:
    """The record of a row. Raises JournalError naming its number: damaged, or of a kind this host does not know."""
    seq, *_, kind, body = row
    if kind not in _KNOWN:
        found = f"record {seq} is of a kind that this host does not know ({kind})"
        raise JournalError(path, found, _NEWER)
    try:
        record = decode_record(body)
    except (msgspec.DecodeError, TypeError) as error:
        raise JournalError(path, f"record {seq} ({kind}) is damaged: {error}", _REMEDY) from error
    if KINDS[type(record)] != kind:
        raise JournalError(path, f"record {seq} says {KINDS[type(record)]}, its row says {kind}", _REMEDY)
    return record
