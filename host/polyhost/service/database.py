"""What ``polyhost db`` does with a data folder's databases: back up, restore, migrate, export, prune, release.

Reading may happen beside a running host; what changes a database needs the folder's lock, so no host runs meanwhile.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from polyhost.errors import ConfigError
from polyhost.journal import JournalError, JournalStore
from polyhost.journal.analysis import prune, rows_before
from polyhost.journal.backup import copy_file
from polyhost.journal.dump import SUFFIX
from polyhost.journal.emergency import emergency_path
from polyhost.journal.export import ANALYSIS_EXPORTS, JOURNAL_EXPORTS, TABLES, export_table
from polyhost.journal.export_files import WRITERS
from polyhost.journal.migrations import ANALYSIS, JOURNAL
from polyhost.journal.opening import connected, database, inspect, inspect_file, prepare
from polyhost.journal.place import Postgres, elsewhere, place_for, settle
from polyhost.journal.restoring import begin, check_nothing_waits, dump_journal, exchange, fill, rows_of_backup
from polyhost.journal.retention import prune_recordings
from polyhost.journal.sqlite_errors import told
from polyhost.service.db_check import folded
from polyhost.service.folder import DataFolder
from polyhost.settings import HostTable

BACKUPS: Final = "backups"
"""Folder of backups within a data folder."""


def back_up(folder: DataFolder, to: Path | None, *, portable: bool, analysis: bool) -> dict[str, Any]:
    """Copy the journal while a host may run; what was made. A journal in PostgreSQL becomes a portable dump. What waits
    in an emergency file (``waiting``) is not in it.

    Raises JournalError: there is none, it is damaged, or the copy cannot be written; ConfigError: the name is taken.
    """
    journal = folder.journal
    if inspect(journal, JOURNAL).version == 0:
        raise JournalError(journal, "there is no journal to back up", "`polyhost run` makes it")
    dumped = portable or elsewhere(journal) is not None
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = to or folder.path / BACKUPS / f"journal-{stamp}{SUFFIX if dumped else '.db'}"
    thought = analysis and inspect_file(folder.analysis, ANALYSIS).version > 0
    other = target.with_name(f"analysis-{stamp}.db") if thought else None
    for path in (target, other):
        _free(path)
    if dumped:
        dump_journal(journal, target)
    else:
        copy_file(journal, target)
    records = sum(1 for _ in rows_of_backup(target))
    if other is not None:
        copy_file(folder.analysis, other)
    return {
        "backup": str(target), "kind": "dump" if dumped else "sqlite", "records": records,
        "bytes": target.stat().st_size, "analysis": None if other is None else str(other),
        "waiting": emergency_path(journal).exists(),
    }


def _free(path: Path | None) -> None:
    if path is None:
        return
    if path.exists():
        raise ConfigError(f"{path} exists already; name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder of {path} cannot be made: {error.strerror}; name another file") from error


def restore(folder: DataFolder, file: Path, host: HostTable) -> dict[str, Any]:
    """Put the journal of a backup in the place that the configuration names; what stood there is set aside.

    The backup is read to its end, folded, and its invariants checked before anything is changed. Needs the folder's
    lock. Raises JournalError: the backup is not sound, or a host elsewhere writes the journal.
    """
    journal = folder.journal
    check_nothing_waits(journal)
    target = _target(folder, host)
    made = begin(journal, target)
    records = fill(made, file)
    _, problems = folded(made)
    if problems:
        raise JournalError(file, f"it is not sound: {problems[0]}", "Name another backup: nothing was changed")
    kept = exchange(journal, target)
    return {"restored": str(file), "records": records, "to": _shown(journal), "set_aside": kept}


def _target(folder: DataFolder, host: HostTable) -> Postgres | None:
    if not host.database:
        return None
    known = elsewhere(folder.journal)
    return place_for(host.database, host.account, known.folder if known else "")


def _shown(journal: Path) -> str:
    place = elsewhere(journal)
    return str(journal) if place is None else place.shown


def migrate(folder: DataFolder, host: HostTable) -> dict[str, Any]:
    """Bring both databases to this host's schema, as a start does, and take in what waits in an emergency file.

    Needs the folder's lock. Raises JournalError, ConfigError: the folder's journal stands elsewhere.
    """
    settle(folder.journal, host.database, host.account)
    before = inspect(folder.journal, JOURNAL).version
    store = JournalStore(folder.journal, host.account)
    store.close()
    analysis = inspect_file(folder.analysis, ANALYSIS).version
    if analysis:
        prepare(folder.analysis, ANALYSIS)
    return {
        "journal": {"place": _shown(folder.journal), "from": before, "to": JOURNAL.version, "last_seq": store.last_seq},
        "analysis": {"from": analysis, "to": ANALYSIS.version if analysis else 0},
    }


def clear_out(folder: DataFolder, days: float, host: HostTable, *, dry: bool, vacuum: bool) -> dict[str, Any]:
    """Delete analysis rows older than ``days`` and recordings past their settings; what went. ``vacuum`` gives the
    room back to the disk and needs the folder's lock. Raises JournalError."""
    before = time.time_ns() // 1_000_000 - round(days * 86_400_000)
    report: dict[str, Any] = {"days": days, "dry_run": dry, "analysis_rows": 0, "recordings": [], "freed_bytes": 0}
    path = folder.analysis
    if inspect_file(path, ANALYSIS).version:
        size = path.stat().st_size
        prepare(path, ANALYSIS)
        report["analysis_rows"] = _pruned(path, before, dry, vacuum)
        report["freed_bytes"] = size - path.stat().st_size
    recordings = folder.path / "recordings"
    if recordings.is_dir():
        gone = prune_recordings(recordings, host.record_hours, host.record_gb, None, time.time(), dry=dry)
        report["recordings"] = [str(each) for each in gone]
    return report


def _pruned(path: Path, before: int, dry: bool, vacuum: bool) -> int:
    peewee = database(path, full_sync=False)
    try:
        with closing(connected(peewee)) as connection:
            if dry:
                return rows_before(connection, before)
            gone = prune(connection, before)
            if vacuum:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return gone
    except sqlite3.Error as error:
        raise told(path, error) from error
    finally:
        peewee.close()


def let_go(folder: DataFolder) -> dict[str, Any]:
    """A host that is gone for good gives its journal back by this word. Raises JournalError: it still writes;
    ConfigError: the journal is a file, which needs no such thing."""
    place = elsewhere(folder.journal)
    if place is None:
        raise ConfigError(f"the journal of {folder.path} is a file: only the folder's own lock keeps another host out")
    from polyhost.journal.postgres_opening import released

    held = released(place)
    return {"place": place.shown, "released": None if held is None else str(held)}


def export_all(
    folder: DataFolder, out: Path, names: Sequence[str], form: str, since: str, until: str
) -> dict[str, Any]:
    """Write tables as files ``out/NAME.FORMAT``; none named: every table of the databases that are there.

    Raises ConfigError: a table, a format or a time is unknown, or a file exists; JournalError as ``export_table``.
    """
    now = time.time_ns() // 1_000_000
    start, end = when(since, now), when(until, now)
    if form not in WRITERS:
        raise ConfigError(f"there is no format {form}", allowed=tuple(WRITERS))
    for name in names:
        if name not in TABLES:
            raise ConfigError(f"there is no table {name}", allowed=TABLES)
    wanted = names or _present(folder)
    files = {name: out / f"{name}.{form}" for name in wanted}
    for path in files.values():
        _free(path)
    rows = {
        name: export_table(name, folder.journal, folder.analysis, path, form, start, end)
        for name, path in files.items()
    }
    return {
        "format": form, "since": start, "until": end,
        "tables": {name: {"file": str(path), "rows": rows[name]} for name, path in files.items()},
    }


def _present(folder: DataFolder) -> tuple[str, ...]:
    thought = inspect_file(folder.analysis, ANALYSIS).version > 0
    return (*JOURNAL_EXPORTS, *(ANALYSIS_EXPORTS if thought else ()))


def when(text: str, now: int) -> int | None:
    """``2026-11-21``, ``2026-11-21T16:00`` (UTC) or ``24h`` before ``now`` as ms; None for an empty text.

    Raises ConfigError for anything else.
    """
    if not text:
        return None
    if ago := _AGO.fullmatch(text):
        return now - round(float(ago[1]) * _MS_OF[ago[2]])
    try:
        told_at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time; write 2026-11-21, 2026-11-21T16:00 (UTC), or 24h, 7d ago") from None
    return round((told_at if told_at.tzinfo else told_at.replace(tzinfo=UTC)).timestamp() * 1_000)


_MS_OF: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
