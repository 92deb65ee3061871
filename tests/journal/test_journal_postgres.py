"""A journal in PostgreSQL: one host an account, a connection that is lost, where it is, and no password anywhere."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from polyhost.errors import ConfigError
from polyhost.journal import JournalError, JournalStore, JournalWriter, journal_status, lease, read_journal
from polyhost.journal import store as store_module
from polyhost.journal.emergency import emergency_path
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import inspect
from polyhost.journal.place import Postgres, elsewhere, place_for, point, pointer_path, schema_of, settle
from polyhost.journal.postgres_opening import dialect_of, reading_postgres, released
from polyhost.model import records as r
from polyhost.service.db_check import checked

WAIT_S = 60.0
SECRET = "hunter2-correct-horse"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "WAIT_S", 0.0)
    monkeypatch.setattr(store_module, "LOCK_WAIT_MS", 10)


@pytest.fixture
def here(tmp_path: Path, remote: Any) -> Path:
    path = tmp_path / "data" / "journal.db"
    remote(path)
    return path


def beside(here: Path, folder: str) -> Path:
    """The same journal as another data folder names it."""
    place = elsewhere(here)
    assert place is not None
    path = here.parents[1] / folder / "journal.db"
    point(path, Postgres(place.schema, folder, url=place.url))
    return path


def notice(build: Any, name: str) -> r.NoticeRaised:
    return r.NoticeRaised(build.now(), name, "info", "test", "x")


def names(path: Path) -> list[str]:
    return [record.notice_id for _, record in read_journal(path) if isinstance(record, r.NoticeRaised)]


def test_sec_04_a_second_host_is_refused_by_name_until_the_first_gives_the_journal_back(
    here: Path, build: Any
) -> None:
    first = JournalStore(here, "main")
    first.commit([notice(build, "n1")])
    for path in (here, beside(here, "there")):
        with pytest.raises(JournalError, match=r"another host writes.*process \d+ on .*, since .* UTC") as caught:
            JournalStore(path, "main")
        assert "Stop it" in caught.value.remedy
    assert str(journal_status(here).holder).startswith("process ")
    first.close()
    assert journal_status(here).holder == ""
    other = JournalStore(beside(here, "there"), "main")
    assert other.commit([notice(build, "n2")]) == 2
    other.close()


def test_sec_04_a_host_that_was_killed_goes_on_in_its_own_folder_and_elsewhere_only_when_a_person_says_so(
    here: Path, build: Any
) -> None:
    killed = JournalStore(here, "main")
    killed.commit([notice(build, "n1")])
    assert killed._connection is not None
    killed._connection.close()  # as a killed process leaves it: nobody gave anything back
    there = beside(here, "there")
    with pytest.raises(JournalError, match="never gave this account's journal back") as caught:
        JournalStore(there, "main")
    assert "polyhost db release" in caught.value.remedy
    again = JournalStore(here, "main")
    assert again._keeper.connection() is not None
    again._keeper.connection().close()
    place = elsewhere(there)
    assert place is not None
    held = released(place)
    assert held is not None
    assert held.folder == "here"
    assert released(place) is None
    JournalStore(there, "main").close()


def test_sec_04_a_host_that_writes_cannot_be_released(here: Path, build: Any) -> None:
    store = JournalStore(here, "main")
    place = elsewhere(here)
    assert place is not None
    with pytest.raises(JournalError, match="another host writes"):
        released(place)
    store.close()


def test_sec_04_a_journal_whose_rest_is_in_an_emergency_file_is_not_given_back(here: Path, build: Any) -> None:
    store = JournalStore(here, "main")
    store.commit([notice(build, "n1")])
    emergency_path(here).write_text("")
    store.close()
    with pytest.raises(JournalError, match="never gave"):
        JournalStore(beside(here, "there"), "main")


class Shell:
    """The writer's callbacks, in the order they came."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.errors: list[JournalError] = []
        self._changed = threading.Condition()

    def tell(self, what: str, seq: int) -> None:
        with self._changed:
            self.told.append((what, seq))
            self._changed.notify_all()

    def failed(self, error: JournalError) -> None:
        self.errors.append(error)
        self.tell("failed", 0)

    def wait(self, until: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(until, WAIT_S), self.told


def test_per_05_a_lost_connection_seals_the_journal_and_the_next_start_has_it_all(
    here: Path, build: Any, harm: Any
) -> None:
    shell = Shell()
    writer = JournalWriter(
        here, "main", lambda seq: shell.tell("durable", seq), shell.failed, lambda seq: shell.tell("aside", seq)
    )
    writer.append([notice(build, "n1")])
    shell.wait(lambda: ("durable", 1) in shell.told)
    ours: Any = writer._store._connection  # other sessions of this server may just be ending
    with harm(here) as other:
        ended = other.execute("SELECT pg_terminate_backend(?)", (ours._raw.info.backend_pid,))
        assert ended.fetchall() == [(True,)]
    writer.append([notice(build, "n2"), notice(build, "n3")])
    shell.wait(lambda: ("aside", 3) in shell.told)
    writer.append([notice(build, "n4")])
    shell.wait(lambda: ("aside", 4) in shell.told)
    assert shell.told == [("durable", 1), ("failed", 0), ("aside", 3), ("aside", 4)], "told once, in this order"
    assert "connection is lost" in shell.errors[0].found
    assert writer.durable_seq == 1
    writer.close()
    assert emergency_path(here).exists()
    assert names(here) == ["n1", "n2", "n3", "n4"], "readers have it before it is taken in"
    store = JournalStore(here, "main")
    assert store.last_seq == 4
    assert not emergency_path(here).exists()
    assert store.commit([notice(build, "n5")]) == 5
    store.close()
    assert names(here) == ["n1", "n2", "n3", "n4", "n5"]


def test_a_vacuum_is_in_nobodys_way_and_a_lock_on_any_table_is_waited_for(here: Path, build: Any, harm: Any) -> None:
    """PostgreSQL locks tables one by one: a stranger's lock on one is met in the middle of a commit."""
    store = JournalStore(here, "main")
    store.commit([notice(build, "n1")])
    with harm(here) as other:
        other.execute("BEGIN; LOCK TABLE journal IN SHARE UPDATE EXCLUSIVE MODE")
        assert store.commit([notice(build, "n2")], lambda: False) == 2, "as a vacuum locks it"
        other.execute("ROLLBACK")
        for table in ("journal", "notices"):
            other.execute(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")
            asked = []

            def waiting(asked: list[int] = asked, other: Any = other) -> bool:
                asked.append(1)
                other.execute("ROLLBACK")
                return True

            seq = store.last_seq
            assert store.commit([notice(build, table)], waiting) == seq + 1
            assert asked == [1]
    store.close()
    assert names(here) == ["n1", "n2", "journal", "notices"]


def test_a_server_that_does_not_answer_is_told_with_the_remedy_and_never_an_empty_journal(tmp_path: Path) -> None:
    path = tmp_path / "data" / "journal.db"
    point(path, Postgres("polyhost_main", "here", url=f"postgresql://polyhost@/postgres?host={tmp_path}"))
    for act in (lambda: list(read_journal(path)), lambda: JournalStore(path, "main")):
        with pytest.raises(JournalError, match="connection is lost or cannot be made") as caught:
            act()
        assert "Check that the server runs" in caught.value.remedy
    found = journal_status(path)
    assert (found.exists, found.readable) == (True, False), "nobody says that there is nothing"
    assert "server runs" in found.problems[0]
    assert "server runs" in checked(path, path.with_name("analysis.db"))[1][0]


def test_a_schema_of_somebody_else_is_told_and_not_touched(here: Path, harm: Any) -> None:
    place = elsewhere(here)
    assert place is not None
    with harm(here) as other:
        other.execute(f'CREATE SCHEMA "{place.schema}"; CREATE TABLE "{place.schema}"."journal" ("mine" TEXT)')
    with pytest.raises(JournalError, match="no polyhost journal"):
        JournalStore(here, "main")
    with harm(here) as other:
        assert other.execute('SELECT * FROM "journal"').fetchall() == []
        assert other.execute("SELECT tablename FROM pg_tables WHERE schemaname = ?", (place.schema,)).fetchall() == [
            ("journal",)
        ]


def test_a_strangers_text_with_a_nul_is_kept_without_sealing_the_journal(here: Path, build: Any) -> None:
    """PostgreSQL's text holds none; a venue's error may."""
    record = r.NoticeRaised(build.now(), "n1", "info", "test", "a\0b")
    store = JournalStore(here, "main")
    assert store.commit([record]) == 1
    store.close()
    assert list(read_journal(here)) == [(1, record)], "the record itself is whole"
    place = elsewhere(here)
    assert place is not None
    with reading_postgres(place) as connection:
        assert connection.execute("SELECT text FROM notices").fetchone() == ("a\ufffdb",)


def test_migrations_speak_postgresql_too() -> None:
    assert dialect_of('CREATE TABLE "x" ("a" INTEGER NOT NULL) WITHOUT ROWID') == (
        'CREATE TABLE "x" ("a" BIGINT NOT NULL) '
    )


@pytest.mark.parametrize(
    ("account", "schema"),
    [
        ("main", "polyhost_main"),
        ("paper_2", "polyhost_paper_2"),
        ("Main", "polyhost_main_eb814be3"),
        ("a b", "polyhost_a_b_c8687a08"),
    ],
)
def test_con_13_each_account_has_a_schema_of_its_own(account: str, schema: str) -> None:
    assert schema_of(account) == schema
    assert len(schema_of("x" * 200) + "_before_20261121_162500") < 64, "PostgreSQL cuts longer names off"


def test_the_folder_says_where_its_journal_is_and_another_setting_is_told_never_obeyed(
    tmp_path: Path, build: Any
) -> None:
    path = tmp_path / "data" / "journal.db"
    assert settle(path, "", "main") is None
    url = "postgresql://me@db.example/trading"
    place = settle(path, url, "main")
    assert place is not None
    assert elsewhere(path) == place
    assert settle(path, url, "main") == place, "the same setting again"
    for setting in ("", "postgresql://me@db.example/other"):
        with pytest.raises(ConfigError, match=r"polyhost db backup.*polyhost db restore"):
            settle(path, setting, "main")
    with pytest.raises(ConfigError, match=r"is in postgresql://me@db\.example/trading"):
        settle(path, url, "another")
    assert elsewhere(path) == place
    pointer_path(path).unlink()
    JournalStore(path, "main").close()
    with pytest.raises(ConfigError, match="is the file"):
        settle(path, url, "main")
    assert elsewhere(path) is None


def test_sec_01_a_password_is_in_no_setting_file_error_or_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="holds a password") as refused:
        place_for(f"postgresql://me:{SECRET}@127.0.0.1:1/db", "main")
    assert SECRET not in str(refused.value)
    path = tmp_path / "data" / "journal.db"
    monkeypatch.setenv("POLYHOST_TEST_DATABASE", f"postgresql://me:{SECRET}@127.0.0.1:1/db")
    place = settle(path, {"env": "POLYHOST_TEST_DATABASE"}, "main")
    assert place is not None
    assert SECRET not in pointer_path(path).read_text()
    assert SECRET not in repr(place)
    assert place.secrets() == (f"postgresql://me:{SECRET}@127.0.0.1:1/db", SECRET)
    written = io.StringIO()
    sink = logger.add(written, backtrace=True, diagnose=False, level=0)
    addresses = [
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",  # nobody there
        f"postgresql://me:{SECRET}@127.0.0.1:port/db",
        f"postgresql://me:{SECRET}@[::1]x/db",  # the driver repeats what it cannot read
        f"postgresql://me@127.0.0.1:1/db?password={SECRET}",
        f"{SECRET} is no address",
    ]
    try:
        for address in addresses:
            monkeypatch.setenv("POLYHOST_TEST_DATABASE", address)
            with pytest.raises(JournalError) as caught:
                inspect(path, JOURNAL)
            logger.opt(exception=caught.value).error("{}", caught.value)
            written.write(repr(caught.value))
    finally:
        logger.remove(sink)
    assert "127.0.0.1" in written.getvalue()
    assert SECRET not in written.getvalue()
    monkeypatch.delenv("POLYHOST_TEST_DATABASE")
    with pytest.raises(JournalError, match=r"POLYHOST_TEST_DATABASE is not set.*export POLYHOST_TEST_DATABASE"):
        list(read_journal(path))


def test_a_word_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    pointer_path(tmp_path / "journal.db").write_text("{")
    with pytest.raises(JournalError, match="does not say where the journal is") as caught:
        JournalStore(tmp_path / "journal.db", "main")
    assert "Delete it" in caught.value.remedy
    assert not journal_status(tmp_path / "journal.db").readable


def test_b7_a_host_with_a_file_imports_no_driver_of_postgresql() -> None:
    script = (
        "import sys, polyhost.journal, polyhost.service.folder, peewee;"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('psycopg', 'polars', 'psycopg_binary')))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
