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
from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import inspect, reading
from polyhost.journal.store import body_of
from polyhost.model.records import Record

PAGE: Final = 5_000
"""Rows read at once; between pages no read lock is held, so that a run's log can be reset."""
_PAGE_SQL: Final = "SELECT seq, kind, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
_REMEDY: Final = "Restore a backup; `polyhost db status` shows what is readable"


def read_journal(path: Path | str, since_seq: int = 0) -> Iterator[tuple[int, Record]]:
    """Every record after ``since_seq`` with its number, in order, and then what a failed run left in its emergency
    file. Nothing when there is no journal yet; the database is not written to.

    Raises JournalError naming the number when one is missing, damaged or of a kind this host does not know.
    """
    file = Path(path)
    seq = since_seq
    if inspect(file, JOURNAL).version > 0:
        with reading(file) as connection:
            while rows := connection.execute(_PAGE_SQL, (seq, PAGE)).fetchall():
                for number, kind, body in rows:
                    if number != seq + 1:
                        raise JournalError(file, f"record {seq + 1} is missing (record {number} follows)", _REMEDY)
                    yield number, _decode(file, number, kind, body)
                    seq = number
            yield from emergency.read(file, seq, partial(body_of, connection))


def _decode(path: Path, seq: int, kind: str, body: str) -> Record:
    try:
        record = decode_record(body)
    except (msgspec.DecodeError, TypeError) as error:
        raise JournalError(path, f"record {seq} ({kind}) is damaged: {error}", _REMEDY) from error
    if KINDS[type(record)] != kind:
        raise JournalError(path, f"record {seq} says {KINDS[type(record)]}, its row says {kind}", _REMEDY)
    return record
