"""`polyhost db check`: a sound folder is sound, and each kind of damage is named with its remedy."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from polyhost.cli import main as front
from polyhost.journal import JournalStore
from polyhost.journal.analysis import AnalysisWriter
from polyhost.model.commands import Analyse

from ..kernel.rig import START, Rig


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What a run left that bought."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    (tmp_path / "data").mkdir()
    store = JournalStore(tmp_path / "data" / "journal.db", "main")
    store.commit(rig.records)
    store.close()
    AnalysisWriter(tmp_path / "data" / "analysis.db").close()
    return tmp_path / "data"


def asked(data: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    with pytest.raises(SystemExit) as stop:
        front.main(["db", "check", "--data-dir", str(data), "--json"])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return int(stop.value.code or 0), found


def test_per_07_a_sound_folder_is_sound(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = asked(data, capsys)
    assert (code, found["sound"], found["problems"]) == (0, True, [])
    assert isinstance(found["records"], int)
    assert found["records"] > 5


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE journal SET body = '{' WHERE seq = 3", "record 3"),
        ("DELETE FROM journal WHERE seq = 2", "missing"),
        ("ALTER TABLE orders ADD COLUMN mood TEXT", "mood"),
        ("DELETE FROM journal WHERE seq = (SELECT min(seq) FROM journal WHERE kind = 'market_added')", "missing"),
        (
            ("UPDATE journal SET body = replace(body, '\"asset\":\"cash\",\"delta\":', "
            "'\"asset\":\"cash\",\"delta\":1') WHERE kind = 'ledger_posted'"), "journal.db",
        ),
    ],
)
def test_per_07_damage_is_named_with_its_remedy(
    data: Path, capsys: pytest.CaptureFixture[str], statement: str, word: str
) -> None:
    with closing(sqlite3.connect(data / "journal.db", isolation_level=None)) as connection:
        connection.execute(statement)
    code, found = asked(data, capsys)
    assert code == 1
    assert word in str(found["problems"])
    assert all(str(problem).endswith(".") for problem in found["problems"])  # type: ignore[attr-defined]


def test_per_07_a_null_where_the_model_says_not_is_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(data / "journal.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '\"kind\" TEXT NOT NULL', '\"kind\" TEXT')"
            " WHERE name = 'journal'"
        )
    with closing(sqlite3.connect(data / "journal.db", isolation_level=None)) as connection:
        connection.execute("UPDATE journal SET kind = NULL WHERE seq = 1")
    code, found = asked(data, capsys)
    assert code == 1
    assert "journal.kind is NULL in 1 rows" in str(found["problems"])


def test_per_07_nothing_there_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = asked(tmp_path / "nowhere", capsys)
    assert (code, found["records"]) == (1, 0)


def test_the_kernel_writes_quotes_at_evaluations_and_marks_each_minute() -> None:
    rig = Rig()
    rig.kernel.analyse = True
    rig.to(START + 60_000)
    rig.book("0.40/0.42", "1000")
    rig.enter()
    quotes = [c.row for c in rig.commands if isinstance(c, Analyse) and c.table == "quotes"]
    assert (quotes[0]["bid"], quotes[0]["bid_size"], quotes[0]["ask"]) == (4_000, 1_000_000_000, 4_200)
    rig.wait(60_000)
    (mark,) = [c.row for c in rig.commands if isinstance(c, Analyse) and c.table == "marks"]
    assert (mark["side"], mark["size"], mark["bid"]) == ("UP", 57_000_000, 4_000)
    assert mark["worth"] == 22_800_000


def test_sig_09_an_evaluation_that_leaves_an_opinion_out_is_found(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    rig.kernel.analyse = True
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.answer()
    (row,) = [c.row for c in rig.commands if isinstance(c, Analyse) and c.table == "evaluations"]
    for kept, sound in ((row, True), (row | {"prior": None}, False)):
        writer = AnalysisWriter(data / "analysis.db")
        writer.add(Analyse("evaluations", kept))
        writer.close()
        code, found = asked(data, capsys)
        assert (code == 0) is sound
    assert found["problems"] == ["analysis.db: prior is missing in 1 evaluations. Report this."]
