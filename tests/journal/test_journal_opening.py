"""Opening: new, older, newer, foreign, damaged and locked databases, and what each is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import JournalError, JournalStore, journal_status, read_journal
from polyhost.journal.catalog import tables_in
from polyhost.journal.dump import read_dump
from polyhost.journal.migrations import JOURNAL, Family, Migration
from polyhost.journal.opening import inspect, prepare, reading
from polyhost.journal.place import elsewhere
from polyhost.journal.recovery import decoded

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
    if elsewhere(path) is not None:
        return remote_bytes(path)
    beside = {other.name: other.stat().st_size for other in path.parent.iterdir() if other != path}
    assert beside.pop(f"{path.name}-wal", 0) == 0
    beside.pop(f"{path.name}-shm", None)
    assert beside == {}
    return path.read_bytes()


def remote_bytes(path: Path) -> bytes:
    """Every table with every row, and no file but the one that says where it is."""
    assert [other.name for other in path.parent.iterdir()] == ["journal.db.postgres"]
    with reading(path) as connection:
        rows = {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"').fetchall()))
            for name in sorted(tables_in(connection))
        }
    return repr(rows).encode()


def test_per_02_a_new_database_is_made_once_with_its_history(journal_path: Path) -> None:
    first = prepare(journal_path, JOURNAL)
    again = prepare(journal_path, JOURNAL)
    assert first == again
    assert first.version == JOURNAL.version
    assert [row[:2] for row in first.history] == [(1, "first tables")]


def test_per_03_the_journal_is_in_wal_mode_with_full_sync(journal_file: Path, build: Any) -> None:
    store = JournalStore(journal_file, "main")
    store.commit([build.run()])
    assert store._connection is not None
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_per_03_a_commit_in_postgresql_waits_for_its_disk(remote: Any, journal_file: Path, build: Any) -> None:
    remote(journal_file)
    store = JournalStore(journal_file, "main")
    store.commit([build.run()])
    assert store._connection is not None
    assert store._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    store.close()


def test_an_empty_file_is_a_new_database(journal_file: Path) -> None:
    journal_file.parent.mkdir()
    journal_file.touch()
    assert prepare(journal_file, JOURNAL).version == JOURNAL.version


def test_per_02_an_older_database_is_backed_up_and_migrated_once(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    records = list(read_journal(journal_path))
    assert prepare(journal_path, later(MOOD)).version == 2
    assert prepare(journal_path, later(MOOD)).version == 2
    (copy,) = journal_path.parent.glob("*.backup*")
    if elsewhere(journal_path) is None:
        assert copy.name == "journal.db.v1.backup"
        assert list(read_journal(copy)) == records
    else:
        assert copy.name == "journal.db.v1.backup.dump.jsonl.gz"
        assert [decoded(copy, row) for row in read_dump(copy)] == [record for _, record in records]
    with reading(journal_path) as connection:
        assert connection.execute("SELECT count(mood), count(*) FROM orders").fetchone() == (0, 2)


def test_per_02_a_migration_that_fails_leaves_the_version_before_it(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    with pytest.raises(JournalError, match=r"migration 3 \(goes wrong half way\) failed.*nowhere.*v1\.backup"):
        prepare(journal_path, later(MOOD, BROKEN))
    assert inspect(journal_path, later(MOOD, BROKEN)).version == 2
    with reading(journal_path) as connection:
        tables = tables_in(connection)
    assert "moods" in tables
    assert "half" not in tables


def test_a_backup_never_replaces_another(journal_file: Path, build: Any) -> None:
    write(journal_file, build)
    first = journal_file.with_name("journal.db.v1.backup")
    first.write_text("precious")
    prepare(journal_file, later(MOOD))
    assert first.read_text() == "precious"
    assert journal_file.with_name("journal.db.v1.2.backup").exists()


def test_per_02_a_newer_database_is_told_and_not_touched(journal_path: Path, build: Any) -> None:
    write(journal_path, build)
    prepare(journal_path, later(MOOD))
    for copy in journal_path.parent.glob("*.backup*"):
        copy.unlink()
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


def test_a_foreign_database_is_told_and_not_touched(journal_file: Path) -> None:
    journal_file.parent.mkdir()
    with closing(sqlite3.connect(journal_file)) as connection, connection:
        connection.execute("CREATE TABLE journal (mine TEXT)")
    before = everything(journal_file)
    with pytest.raises(JournalError, match="no polyhost journal"):
        JournalStore(journal_file, "main")
    assert everything(journal_file) == before


def test_a_file_that_is_no_database_is_told_and_not_touched(journal_file: Path) -> None:
    journal_file.parent.mkdir()
    journal_file.write_text("dear diary, today I traded " * 100)
    before = everything(journal_file)
    with pytest.raises(JournalError, match="no database") as caught:
        JournalStore(journal_file, "main")
    assert "backup" in caught.value.remedy
    assert everything(journal_file) == before


def test_a_folder_in_its_place_is_told(journal_file: Path) -> None:
    journal_file.mkdir(parents=True)
    with pytest.raises(JournalError, match="folder"):
        JournalStore(journal_file, "main")
    assert not journal_status(journal_file).readable


def test_a_database_with_damaged_pages_is_told(journal_file: Path, build: Any) -> None:
    write(journal_file, build)
    data = bytearray(journal_file.read_bytes())
    with closing(sqlite3.connect(journal_file)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal'").fetchone()[0]
    data[(root - 1) * size : root * size] = b"\x5a" * size
    journal_file.write_bytes(bytes(data))
    with pytest.raises(JournalError, match="damaged") as caught:
        list(read_journal(journal_file))
    assert "backup" in caught.value.remedy
    found = journal_status(journal_file)
    assert any("damaged" in problem for problem in found.problems)
    assert journal_file.read_bytes() == bytes(data)


def test_a_history_with_gaps_is_told(journal_path: Path, build: Any, harm: Any) -> None:
    write(journal_path, build)
    with harm(journal_path) as connection:
        connection.execute("UPDATE schema_version SET version = 7")
    with pytest.raises(JournalError, match="gaps"):
        JournalStore(journal_path, "main")


def test_a_database_locked_by_another_program_is_told_at_the_start(journal_file: Path, build: Any) -> None:
    write(journal_file, build)
    with closing(sqlite3.connect(journal_file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE runs SET mode = mode")
        with pytest.raises(JournalError, match="locked") as caught:
            inspect(journal_file, JOURNAL, busy_ms=20)
        assert "Stop what uses it" in caught.value.remedy
        other.execute("ROLLBACK")
