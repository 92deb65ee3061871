"""Backups and the way back: between both kinds of database, from damaged files, to the previous release (OPS-10)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from polyhost.errors import ConfigError
from polyhost.journal import JournalError, JournalStore, journal_status, read_journal, restoring
from polyhost.journal.backup import copy_file
from polyhost.journal.catalog import columns_in
from polyhost.journal.dump import read_dump, write_dump
from polyhost.journal.emergency import append, emergency_path
from polyhost.journal.migrations import JOURNAL, Family, Migration
from polyhost.journal.opening import prepare, reading
from polyhost.journal.place import elsewhere, point, pointer_path
from polyhost.journal.schema import PROJECTIONS, table_of
from polyhost.kernel.invariants import broken
from polyhost.kernel.state import fold
from polyhost.model import records as r
from polyhost.service.database import back_up, migrate, restore
from polyhost.service.folder import DataFolder
from polyhost.settings import HostTable

MOOD = Migration(2, "orders have a mood", ("ALTER TABLE orders ADD mood TEXT",))
NEWER = Family(JOURNAL.name, JOURNAL.application_id, (*JOURNAL.migrations, MOOD))


def write(path: Path, steps: list[list[r.Record]]) -> list[tuple[int, r.Record]]:
    store = JournalStore(path, "main")
    for step in steps:
        store.commit(step)
    store.close()
    return list(read_journal(path))


def tables(path: Path) -> dict[str, list[Any]]:
    with reading(path) as connection:
        return {
            table_of(model): sorted(
                (dict(zip(columns_in(connection, table_of(model)), row, strict=True)) for row in
                 connection.execute(f'SELECT * FROM "{table_of(model)}"').fetchall()), key=repr,
            )
            for model in PROJECTIONS
        }


def bodies(path: Path) -> list[Any]:
    with reading(path) as connection:
        return [tuple(row) for row in connection.execute("SELECT * FROM journal ORDER BY seq").fetchall()]


def whole(build: Any) -> list[list[r.Record]]:
    """The steps of a window's life that fold with what was before them: the life has kinds that never meet."""
    steps: list[list[r.Record]] = []
    for step in build.life():
        try:
            state = fold([record for each in [*steps, step] for record in each])
        except (AssertionError, KeyError):
            continue
        if not broken(state):
            steps.append(step)
    assert len(steps) > 10
    return steps


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


@pytest.fixture
def url(postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An address whose account has a schema of this test alone."""
    monkeypatch.setattr("polyhost.journal.place.schema_of", lambda account: f"polyhost_{abs(hash(str(tmp_path)))}")
    return postgres


@pytest.mark.parametrize("kept", ["sqlite", "postgres"])
@pytest.mark.parametrize("goes_to", ["sqlite", "postgres"])
def test_ops_10_a_backup_of_a_running_journal_is_restored_into_either_kind_and_the_old_one_is_kept(
    folder: DataFolder, build: Any, url: str, kept: str, goes_to: str
) -> None:
    settings = {"sqlite": HostTable(), "postgres": HostTable(database=url)}
    life = whole(build)
    with folder:
        migrate(folder, settings[kept])
    store = JournalStore(folder.journal, "main")
    for step in life[:-1]:
        store.commit(step)
    report = back_up(folder, None, portable=False, analysis=False)
    assert report["records"] == store.last_seq
    assert report["kind"] == {"sqlite": "sqlite", "postgres": "dump"}[kept]
    expected, figures, rows = list(read_journal(folder.journal)), tables(folder.journal), bodies(folder.journal)
    store.commit(life[-1])
    store.close()
    with folder:
        done = restore(folder, Path(report["backup"]), settings[goes_to])
    assert list(read_journal(folder.journal)) == expected
    assert (tables(folder.journal), bodies(folder.journal)) == (figures, rows), "to the last byte"
    assert (elsewhere(folder.journal) is None) is (goes_to == "sqlite")
    assert journal_status(folder.journal).problems == ()
    (before,) = folder.path.glob("before-*")
    assert len(list(read_journal(before / "journal.db"))) == len(expected) + 1, "what was there is still readable"
    assert len(done["set_aside"]) == (2 if kept == "postgres" else 1)
    assert [path.name for path in folder.path.glob("*restoring*")] == []
    again = JournalStore(folder.journal, "main")
    assert again.commit([build.run("after")]) == len(expected) + 1
    again.close()


def test_ops_10_the_previous_release_goes_on_from_the_backup_that_a_newer_one_made(
    journal_path: Path, build: Any
) -> None:
    """Newer release: migrates. Back again: the older says what stands there, and restores what was before."""
    folder = DataFolder(journal_path.parent)
    place = elsewhere(journal_path)
    host = HostTable() if place is None else HostTable(database=place.url)
    records = write(journal_path, whole(build))
    prepare(journal_path, NEWER)
    with pytest.raises(JournalError, match=r"schema version 2 is newer than this host's 1.*polyhost db restore FILE"):
        JournalStore(journal_path, "main")
    (backup,) = folder.path.glob("journal.db.v1*backup*")
    with pytest.MonkeyPatch.context() as patch:
        if place is not None:
            patch.setattr("polyhost.journal.place.schema_of", lambda account: place.schema)
        with folder:
            done = restore(folder, backup, host)
    assert done["records"] == len(records)
    assert list(read_journal(journal_path)) == records
    store = JournalStore(journal_path, "main")
    assert store.commit([build.run("older again")]) == len(records) + 1
    store.close()
    (before,) = folder.path.glob("before-*")
    assert not journal_status(before / "journal.db").readable
    assert "newer" in journal_status(before / "journal.db").problems[0], "the newer one's is unharmed"


def test_ops_10_a_newer_dump_is_told_and_nothing_changes(folder: DataFolder, build: Any, tmp_path: Path) -> None:
    records = write(folder.journal, whole(build))
    newer = tmp_path / "newer.dump.jsonl.gz"
    write_dump(restoring.rows_of_backup(folder.journal), 2, newer)
    with folder, pytest.raises(JournalError, match="newer than this host's 1") as caught:
        restore(folder, newer, HostTable())
    assert "Use that polyhost" in caught.value.remedy
    assert list(read_journal(folder.journal)) == records


def test_a_restore_is_refused_while_a_host_runs(folder: DataFolder, build: Any, tmp_path: Path) -> None:
    write(folder.journal, build.life())
    copy_file(folder.journal, tmp_path / "copy.db")
    with folder, pytest.raises(ConfigError, match="another host already uses"), DataFolder(folder.path):
        pass


def harmed(kind: str, good: Path, bad: Path) -> Path:
    """A backup with something wrong with it."""
    bad.write_bytes(good.read_bytes())
    data = bytearray(good.read_bytes())
    match kind:
        case "truncated":
            bad.write_bytes(data[: len(data) // 2])
        case "garbage page":
            with closing(sqlite3.connect(good)) as connection:
                root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal'").fetchone()[0]
            data[(root - 1) * 4096 : root * 4096] = b"\x5a" * 4096
            bad.write_bytes(data)
        case "foreign":
            bad.unlink()
            with closing(sqlite3.connect(bad)) as connection, connection:
                connection.execute("CREATE TABLE journal (mine TEXT)")
        case "empty":
            bad.write_bytes(b"")
        case "no table":
            with closing(sqlite3.connect(bad)) as connection, connection:
                connection.execute("DROP TABLE journal")
        case "row":
            with closing(sqlite3.connect(bad)) as connection, connection:
                connection.execute("UPDATE journal SET body = '{}' WHERE seq = 5")
        case "gap":
            with closing(sqlite3.connect(bad)) as connection, connection:
                connection.execute("DELETE FROM journal WHERE seq = 5")
        case "newer":
            prepare(bad, NEWER)
        case "does not fold":
            with closing(sqlite3.connect(bad)) as connection, connection:
                connection.execute("UPDATE journal SET body = replace(body, '-5300000', '-5300001')")
    return bad


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "damaged|malformed|no database"),
        ("garbage page", "damaged"),
        ("foreign", "no polyhost journal"),
        ("empty", "empty database"),
        ("no table", "no such table"),
        ("row", "record 5"),
        ("gap", "record 5 is missing"),
        ("newer", "newer"),
        ("does not fold", "cannot be folded|invariant"),
    ],
)
def test_per_02_a_backup_that_is_not_sound_changes_nothing(
    folder: DataFolder, build: Any, tmp_path: Path, kind: str, words: str
) -> None:
    records = write(folder.journal, build.life()[:5])
    copy_file(folder.journal, tmp_path / "good.db")
    bad = harmed(kind, tmp_path / "good.db", tmp_path / "bad.db")
    before = folder.journal.read_bytes()
    with folder, pytest.raises(JournalError, match=words) as caught:
        restore(folder, bad, HostTable())
    assert caught.value.remedy
    assert folder.journal.read_bytes() == before
    assert list(read_journal(folder.journal)) == records
    assert not list(folder.path.glob("before-*"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("truncated", "cut off|whole gzip"), ("changed", "not those that were written"), ("text", "gzip")],
)
def test_a_dump_that_was_cut_off_or_changed_is_told(
    folder: DataFolder, build: Any, tmp_path: Path, kind: str, words: str
) -> None:
    import gzip

    write(folder.journal, build.life()[:5])
    dump = tmp_path / "x.dump.jsonl.gz"
    restoring.dump_journal(folder.journal, dump)
    if kind == "truncated":
        dump.write_bytes(dump.read_bytes()[:-20])
    elif kind == "text":
        dump.write_bytes(b"\x1f\x8b nonsense")
    else:
        dump.write_bytes(gzip.compress(gzip.decompress(dump.read_bytes()).replace(b"5300000", b"5300009")))
    with pytest.raises(JournalError, match=words):
        list(read_dump(dump))
    before = folder.journal.read_bytes()
    with folder, pytest.raises(JournalError):
        restore(folder, dump, HostTable())
    assert folder.journal.read_bytes() == before


def start(journal: Path) -> None:
    """What a host does first."""
    JournalStore(journal, "main").close()
    list(read_journal(journal))


@pytest.mark.parametrize("kind", ["truncated", "garbage page", "no table"])
def test_per_02_a_damaged_journal_is_refused_at_the_start_unharmed_and_a_backup_takes_its_place(
    folder: DataFolder, build: Any, tmp_path: Path, kind: str
) -> None:
    records = write(folder.journal, build.life()[:5])
    copy_file(folder.journal, tmp_path / "good.db")
    harmed(kind, tmp_path / "good.db", folder.journal)
    before = folder.journal.read_bytes()
    with pytest.raises(JournalError) as caught:
        start(folder.journal)
    assert "polyhost db restore FILE" in caught.value.remedy or "db status" in caught.value.remedy
    assert journal_status(folder.journal).problems
    assert folder.journal.read_bytes() == before
    with folder:
        restore(folder, tmp_path / "good.db", HostTable())
    assert list(read_journal(folder.journal)) == records
    (kept,) = folder.path.glob("before-*")
    assert (kept / "journal.db").read_bytes() == before


def test_a_journal_without_one_of_its_tables_is_refused_at_the_start(
    journal_path: Path, build: Any, harm: Any
) -> None:
    write(journal_path, build.life()[:2])
    with harm(journal_path) as connection:
        connection.execute("DROP TABLE positions")
    with pytest.raises(JournalError, match="its table positions is missing"):
        JournalStore(journal_path, "main")


def test_per_02_without_a_backup_there_is_no_migration(
    journal_file: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: the copy cannot be made, the database stays as it is, and no piece of a copy is left."""
    records = write(journal_file, build.life())
    before = journal_file.read_bytes()
    connect = sqlite3.connect

    def full(database: Any, *args: Any, **options: Any) -> Any:
        connection = connect(database, *args, **options)
        if str(database).endswith(".part"):
            connection.execute("PRAGMA page_size = 4096")
            connection.execute("PRAGMA max_page_count = 3")
        return connection

    monkeypatch.setattr(sqlite3, "connect", full)
    words = r"no backup can be made before it is migrated \(the disk is full\)"
    with pytest.raises(JournalError, match=words) as caught:
        prepare(journal_file, NEWER)
    assert "Free space" in caught.value.remedy
    monkeypatch.undo()
    assert journal_file.read_bytes() == before
    assert list(read_journal(journal_file)) == records
    assert not list(journal_file.parent.glob("*backup*"))


def test_what_waits_in_an_emergency_file_is_taken_in_before_a_restore_may_set_it_aside(
    folder: DataFolder, build: Any, tmp_path: Path
) -> None:
    write(folder.journal, build.life()[:2])
    copy_file(folder.journal, tmp_path / "copy.db")
    append(folder.journal, 4, build.life()[2])
    with folder:
        with pytest.raises(JournalError, match="records that the journal lacks") as caught:
            restore(folder, tmp_path / "copy.db", HostTable())
        assert "db migrate" in caught.value.remedy
        assert migrate(folder, HostTable())["journal"]["last_seq"] == 4
        assert not emergency_path(folder.journal).exists()
        restore(folder, tmp_path / "copy.db", HostTable())


def test_a_backup_never_replaces_a_file_and_needs_a_journal(folder: DataFolder, build: Any, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        back_up(folder, None, portable=False, analysis=True)
    write(folder.journal, build.life())
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        back_up(folder, tmp_path / "mine.txt", portable=True, analysis=False)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_server_that_is_gone_for_good_hinders_no_restore_into_a_file(
    folder: DataFolder, build: Any, tmp_path: Path, remote: Any
) -> None:
    place = remote(folder.journal)
    records = write(folder.journal, whole(build))
    backup = Path(back_up(folder, None, portable=False, analysis=False)["backup"])
    gone = type(place)(place.schema, place.folder, url=f"postgresql://polyhost@/postgres?host={tmp_path}")
    point(folder.journal, gone)
    with folder:
        done = restore(folder, backup, HostTable())
    assert list(read_journal(folder.journal)) == records
    assert "left as it is" in done["set_aside"][0]
    assert not pointer_path(folder.journal).exists()


def test_starting_anew_sets_a_journal_in_postgresql_aside_too(folder: DataFolder, build: Any, remote: Any) -> None:
    remote(folder.journal)
    records = write(folder.journal, whole(build))
    with folder:
        kept = folder.set_aside()
    assert kept is not None
    assert list(read_journal(folder.journal)) == []
    assert list(read_journal(kept / "journal.db")) == records
