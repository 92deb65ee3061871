"""Opening: new, older, newer, foreign, damaged and locked databases, and what each is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import JournalError, JournalStore, journal_status, read_journal
from polyhost.journal.migrations import JOURNAL, Family, Migration
from polyhost.journal.opening import inspect, prepare

MOOD = Migration(2, "orders have a mood", ("ALTER TABLE orders ADD mood TEXT", "CREATE TABLE moods (id INTEGER)"))
BROKEN = Migration(3, "goes wrong half way", ("CREATE TABLE half (id INTEGER)", "ALTER TABLE nowhere ADD x TEXT"))


def later(*more: Migration) -> Family:
    """The journal as a later release of the host would know it."""
    return Family(JOURNAL.name, JOURNAL.application_id, (*JOURNAL.migrations, *more))


def write(path: Path, build: Any) -> None:
    store = JournalStore(path, "main")
    for step in build.life():
        store.commit(step)
    store.close()


def everything(path: Path) -> bytes:
    """The file's bytes, and proof that nothing was written beside it (looking at a WAL database makes an empty log)."""
    beside = {other.name: other.stat().st_size for other in path.parent.iterdir() if other != path}
    assert beside.pop(f"{path.name}-wal", 0) == 0
    beside.pop(f"{path.name}-shm", None)
    assert beside == {}
    return path.read_bytes()


def test_per_02_a_new_database_is_made_once_with_its_history(journal_path: Path) -> None:
    first = prepare(journal_path, JOURNAL)
    again = prepare(journal_path, JOURNAL)
    assert first == again
    assert first.version == JOURNAL.version
    assert [row[:2] for row in first.history] == [(1, "first tables")]


def test_per_03_the_journal_is_in_wal_mode_with_full_sync(journal_path: Path, build: Any) -> None:
    store = JournalStore(journal_path, "main")
    store.commit([build.run()])
    assert store._connection is not None
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_an_empty_file_is_a_new_database(journal_path: Path) -> None:
    journal_path.parent.mkdir()
    journal_path.touch()
    assert prepare(journal_path, JOURNAL).version == JOURNAL.version


def test_per_02_an_older_database_is_backed_up_and_migrated_once(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    records = list(read_journal(journal_path))
    assert prepare(journal_path, later(MOOD)).version == 2
    assert prepare(journal_path, later(MOOD)).version == 2
    copies = sorted(journal_path.parent.glob("*.backup"))
    assert [copy.name for copy in copies] == ["journal.db.v1.backup"]
    assert list(read_journal(copies[0])) == records
    with closing(sqlite3.connect(journal_path)) as connection:
        assert connection.execute("SELECT count(mood), count(*) FROM orders").fetchone() == (0, 2)


def test_per_02_a_migration_that_fails_leaves_the_version_before_it(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    with pytest.raises(JournalError, match=r"migration 3 \(goes wrong half way\) failed.*no such table.*v1\.backup"):
        prepare(journal_path, later(MOOD, BROKEN))
    assert inspect(journal_path, later(MOOD, BROKEN)).version == 2
    with closing(sqlite3.connect(journal_path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "moods" in tables
    assert "half" not in tables


def test_a_backup_never_replaces_another(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    first = journal_path.with_name("journal.db.v1.backup")
    first.write_text("precious")
    prepare(journal_path, later(MOOD))
    assert first.read_text() == "precious"
    assert journal_path.with_name("journal.db.v1.2.backup").exists()


def test_per_02_a_newer_database_is_told_and_not_touched(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    prepare(journal_path, later(MOOD))
    journal_path.with_name("journal.db.v1.backup").unlink()
    before = everything(journal_path)
    with pytest.raises(JournalError, match="schema version 2 is newer than this host's 1") as caught:
        JournalStore(journal_path, "main")
    assert "backup" in caught.value.remedy
    with pytest.raises(JournalError, match="newer"):
        list(read_journal(journal_path))
    found = journal_status(journal_path)
    assert not found.readable
    assert "newer" in found.problems[0]
    assert everything(journal_path) == before


def test_an_older_database_is_told_by_status_without_migrating(
    journal_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal_path, build)
    before = everything(journal_path)
    monkeypatch.setattr("polyhost.journal.status.JOURNAL", later(MOOD))
    found = journal_status(journal_path)
    assert found.readable
    assert (found.schema_version, found.schema_wanted) == (1, 2)
    assert "older" in found.problems[0]
    assert everything(journal_path) == before


def test_a_foreign_database_is_told_and_not_touched(journal_path: Path) -> None:
    journal_path.parent.mkdir()
    with closing(sqlite3.connect(journal_path)) as connection, connection:
        connection.execute("CREATE TABLE journal (mine TEXT)")
    before = everything(journal_path)
    with pytest.raises(JournalError, match="no polyhost journal"):
        JournalStore(journal_path, "main")
    assert everything(journal_path) == before


def test_a_file_that_is_no_database_is_told_and_not_touched(journal_path: Path) -> None:
    journal_path.parent.mkdir()
    journal_path.write_text("dear diary, today I traded " * 100)
    before = everything(journal_path)
    with pytest.raises(JournalError, match="no database") as caught:
        JournalStore(journal_path, "main")
    assert "backup" in caught.value.remedy
    assert everything(journal_path) == before


def test_a_folder_in_its_place_is_told(journal_path: Path) -> None:
    journal_path.mkdir(parents=True)
    with pytest.raises(JournalError, match="folder"):
        JournalStore(journal_path, "main")
    assert not journal_status(journal_path).readable


def test_a_database_with_damaged_pages_is_told(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    data = bytearray(journal_path.read_bytes())
    with closing(sqlite3.connect(journal_path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal'").fetchone()[0]
    data[(root - 1) * size : root * size] = b"\x5a" * size
    journal_path.write_bytes(bytes(data))
    with pytest.raises(JournalError, match="damaged") as caught:
        list(read_journal(journal_path))
    assert "backup" in caught.value.remedy
    found = journal_status(journal_path)
    assert any("damaged" in problem for problem in found.problems)
    assert journal_path.read_bytes() == bytes(data)


def test_a_history_with_gaps_is_told(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    with closing(sqlite3.connect(journal_path)) as connection, connection:
        connection.execute("UPDATE schema_version SET version = 7")
    with pytest.raises(JournalError, match="gaps"):
        JournalStore(journal_path, "main")


def test_a_database_locked_by_another_program_is_told_at_the_start(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    with closing(sqlite3.connect(journal_path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE runs SET mode = mode")
        with pytest.raises(JournalError, match="locked") as caught:
            inspect(journal_path, JOURNAL, busy_ms=20)
        assert "Stop what uses it" in caught.value.remedy
        other.execute("ROLLBACK")
