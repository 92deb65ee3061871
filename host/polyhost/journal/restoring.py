"""Putting a journal back: rows of a backup into a new journal, beside the present one, and then into its place.

A backup is a database file or a dump, and either goes into either kind of database: the rows are the journal, whatever
people read is folded from them again. What stood there before is set aside, never deleted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from polyhost.files import sync_folder
from polyhost.journal import emergency
from polyhost.journal.dump import MAGIC, Row, head_of, read_dump, write_dump
from polyhost.journal.errors import DRIVER_ERRORS, JournalError, UnreachableError
from polyhost.journal.keeping import keeper
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import inspect, inspect_file, reading, reading_file
from polyhost.journal.place import Postgres, elsewhere, point, pointer_path
from polyhost.journal.projections import Projector
from polyhost.journal.recovery import decoded, rows_in
from polyhost.journal.schema import Journal, insert_sql
from polyhost.journal.status import journal_status
from polyhost.journal.store import LOCK_WAIT_MS, last_seq

BATCH: Final = 2_000
"""Rows written at once."""
_INSERT: Final = insert_sql(Journal)
_NONE: Final = "Name a file that `polyhost db backup` wrote, or a copy of journal.db"


def dump_journal(journal: Path, target: Path) -> int:
    """Every row of the journal that belongs at this path, into one portable file; how many. A run may be active.

    Raises JournalError: it cannot be read, rows are missing, or the file cannot be written.
    """
    found = inspect(journal, JOURNAL)
    with reading(journal) as connection:
        # Rows only ever follow: what is read page by page is the journal as it was at one instant.
        return write_dump(rows_in(journal, connection), found.version, target)


def rows_of_backup(file: Path) -> Iterator[Row]:
    """The rows of a database file or a dump. Raises JournalError for anything else, and what is damaged or newer."""
    if not file.is_file():
        raise JournalError(file, "there is no such file", _NONE)
    with file.open("rb") as opened:
        dumped = opened.read(len(MAGIC)) == MAGIC
    if dumped:
        head = head_of(file)
        if head.schema_version > JOURNAL.version:
            found = f"its schema version {head.schema_version} is newer than this host's {JOURNAL.version}"
            raise JournalError(file, f"{found} (written by polyhost {head.host})", "Use that polyhost")
        yield from read_dump(file)
        return
    if inspect_file(file, JOURNAL).version == 0:
        raise JournalError(file, "it is an empty database", _NONE)
    with reading_file(file) as connection:
        yield from rows_in(file, connection)


def beside(journal: Path) -> Path:
    """Where a journal is put together before it takes the place of this one."""
    return journal.with_name(journal.name + ".restoring")


def begin(journal: Path, target: Postgres | None) -> Path:
    """Clear what an interrupted restore left, and say where the new journal is to be made; ``target``: PostgreSQL."""
    path = beside(journal)
    path.parent.mkdir(parents=True, exist_ok=True)
    for part in path.parent.glob(path.name + "*"):
        part.unlink()
    if target is not None:
        from polyhost.journal.postgres_opening import drop_unfinished

        unfinished = target.in_schema(target.schema + "_restoring")
        drop_unfinished(unfinished)
        point(path, unfinished)
    return path


def fill(journal: Path, file: Path) -> int:
    """Make the journal at this path from a backup, in one transaction; how many records. Raises JournalError: it is not
    empty, a row of the backup is missing or damaged, or it cannot be written."""
    kept = keeper(journal, LOCK_WAIT_MS)
    try:
        connection = kept.connection()
        if last_seq(connection):
            raise JournalError(journal, "it holds records already", "Restore into an empty one")
        connection.execute(kept.begin)
        projector, count, rows = Projector(""), 0, rows_of_backup(file)
        projector.use(connection)
        while batch := list(islice(rows, BATCH)):
            for row in batch:
                count += 1
                if row[0] != count:
                    raise JournalError(file, f"record {count} is missing", "Use another backup")
                projector.account = row[2]
                projector.apply(count, decoded(file, row))
            connection.executemany(_INSERT, batch)
            projector.flush(connection)
        connection.execute("COMMIT")
    except DRIVER_ERRORS as error:
        raise kept.told(error) from error
    finally:
        # Without a COMMIT the transaction ends here, and nothing of it was.
        kept.close()
    return count


def check_nothing_waits(journal: Path) -> None:
    """Raises JournalError: records wait in an emergency file that a sound journal could still take in."""
    waiting = emergency.emergency_path(journal)
    if waiting.exists() and journal_status(journal).readable:
        raise JournalError(
            waiting, "it holds records that the journal lacks", "Let `polyhost db migrate` take them in first"
        )


def exchange(journal: Path, target: Postgres | None) -> list[str]:
    """The journal that was made beside takes its place; where what stood there is now. Raises JournalError, OSError."""
    kept = set_aside(journal, target)
    path = beside(journal)
    if target is None:
        path.rename(journal)
    else:
        from polyhost.journal.postgres_opening import rename_schema

        rename_schema(target.in_schema(target.schema + "_restoring"), target.schema)
        point(journal, target)
        pointer_path(path).unlink()
    for part in path.parent.glob(path.name + "-*"):
        part.unlink()
    sync_folder(journal.parent)
    return kept


def set_aside(journal: Path, target: Postgres | None = None) -> list[str]:
    """Move the journal away, file or schema, with what lies beside it; where it is now. ``target``: the schema that its
    successor gets is made free as well. Raises JournalError when another host writes one of them."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    known = elsewhere(journal)
    kept = schema_aside(journal, stamp)
    if target is not None and target != known:
        made_free = _renamed(target, stamp)
        kept += [] if made_free is None else [made_free.shown]
    moved = [path for path in _files(journal) if path.exists()]
    if moved:
        folder = unused_folder(journal.with_name(f"before-{stamp}"))
        for path in moved:
            shutil.move(path, folder / path.name)
        kept.append(str(folder))
    return kept


def schema_aside(journal: Path, stamp: str) -> list[str]:
    """Where a journal in PostgreSQL is now, under another name; the word beside it names that one from here on.

    A server that is gone for good hinders nobody: that is told instead. Raises JournalError as ``set_aside``.
    """
    known = elsewhere(journal)
    if known is None:
        return []
    try:
        kept = _renamed(known, stamp)
    except UnreachableError as error:
        return [f"{known.shown}: left as it is, for {error.found}"]
    if kept is None:
        return []
    point(journal, kept)
    return [kept.shown]


def _renamed(place: Postgres, stamp: str) -> Postgres | None:
    """The schema under another name; None: there was none."""
    from polyhost.journal.postgres_opening import move_schema_away

    return move_schema_away(place, f"{place.schema}_before_{stamp.replace('-', '_')}")


def _files(journal: Path) -> list[Path]:
    """The database with its log, where it is otherwise, and what waited to be taken in."""
    names = [journal.name + suffix for suffix in ("", "-wal", "-shm")]
    return [*(journal.with_name(name) for name in names), pointer_path(journal), emergency.emergency_path(journal)]


def unused_folder(path: Path) -> Path:
    """A new folder of this name, or with a number behind it."""
    target, count = path, 0
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.{count}")
    target.mkdir()
    return target
