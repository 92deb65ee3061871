"""analysis.db: apart from the journal, in batches, pruned by age, never in the way of trading (PER-06)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from loguru import logger

from polyhost.journal import JournalError, JournalStore, analysis
from polyhost.journal.analysis import AnalysisWriter, prune
from polyhost.journal.schema import ANALYSIS_TABLES, columns_of, table_of
from polyhost.journal.status import analysis_status, schema_problems
from polyhost.model.commands import Analyse


def filled(path: Path) -> AnalysisWriter:
    writer = AnalysisWriter(path)
    writer.add(Analyse("evaluations", {"at": 5, "condition_id": "0xc0", "p_up": 0.61, "who": ("a", "b")}))
    writer.add(Analyse("evaluations", {"at": 6, "condition_id": "0xc0"}))
    writer.add(Analyse("quotes", {"at": 7, "bid": 4_000}))
    writer.add(Analyse("marks", {"at": 8, "value": 10**18}))
    writer.add(Analyse("explanations", {"at": 9, "condition_id": "0xc0", "outcome": "order"}))
    writer.close()
    return writer


def test_per_06_rows_are_kept_apart_with_time_market_and_body(tmp_path: Path) -> None:
    assert filled(tmp_path / "analysis.db").dropped == 0
    filled(tmp_path / "analysis.db")
    with closing(sqlite3.connect(tmp_path / "analysis.db")) as connection:
        rows = connection.execute("SELECT id, time, market, body FROM evaluations ORDER BY id").fetchall()
        assert schema_problems(connection, ANALYSIS_TABLES) == []
        for model in ANALYSIS_TABLES:
            for row in connection.execute(f'SELECT * FROM "{table_of(model)}"'):
                assert None not in row, columns_of(model)
    assert [row[:3] for row in rows] == [(1, 5, "0xc0"), (2, 6, "0xc0"), (3, 5, "0xc0"), (4, 6, "0xc0")]
    assert json.loads(rows[0][3])["who"] == ["a", "b"]
    found = analysis_status(tmp_path / "analysis.db")
    assert found.rows == {"schema_version": 3, "evaluations": 4, "quotes": 2, "marks": 2, "explanations": 2}


def test_a_table_that_does_not_exist_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    writer = AnalysisWriter(tmp_path / "analysis.db")
    with pytest.raises(ValueError, match="no table 'moods'"):
        writer.add(Analyse("moods", {}))
    writer.close()


def test_per_06_old_rows_are_pruned_and_numbers_never_repeat(tmp_path: Path) -> None:
    filled(tmp_path / "analysis.db")
    with closing(sqlite3.connect(tmp_path / "analysis.db")) as connection, connection:
        connection.execute("UPDATE evaluations SET wall = 1000")
        assert prune(connection, 1_000) == 0
        assert prune(connection, 1_001) == 1
        assert connection.execute("SELECT id FROM evaluations").fetchall() == [(2,)]


def test_pruning_happens_by_itself_at_the_start(tmp_path: Path) -> None:
    filled(tmp_path / "analysis.db")
    with closing(sqlite3.connect(tmp_path / "analysis.db")) as connection, connection:
        connection.execute("UPDATE evaluations SET wall = 1000")
    filled(tmp_path / "analysis.db")
    with closing(sqlite3.connect(tmp_path / "analysis.db")) as connection:
        assert connection.execute("SELECT id FROM evaluations ORDER BY id").fetchall() == [(3,), (4,)]


def test_per_06_the_log_beside_the_file_goes_into_it_as_rows_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prunings are ten minutes apart: until then a busy host's log would grow by hundreds of megabytes."""
    monkeypatch.setattr(analysis, "CHECKPOINT_ROWS", 100)
    path = tmp_path / "analysis.db"
    writer = AnalysisWriter(path)
    for first in range(0, 5_000, 100):
        writer._write([("marks", number, 1, "0x1", "x" * 400) for number in range(first, first + 100)])
    log = path.with_name("analysis.db-wal").stat().st_size
    writer._database.close()
    writer.close()
    assert path.stat().st_size > 2_000_000
    assert log < path.stat().st_size / 4


def test_rows_that_cannot_be_written_are_counted_and_trading_goes_on(tmp_path: Path) -> None:
    writer = AnalysisWriter(tmp_path / "analysis.db")
    with closing(sqlite3.connect(tmp_path / "analysis.db")) as connection, connection:
        connection.execute("DROP TABLE quotes")
    told: list[str] = []
    handler = logger.add(told.append, format="{message}")
    writer.add(Analyse("quotes", {"at": 1}))
    writer.close()
    assert writer.dropped == 1
    for _ in range(3):  # a disk that stays full: not a line a second
        writer._write([("quotes", 1, 1, "0x1", "{}")])
    logger.remove(handler)
    assert (writer.dropped, len(told)) == (4, 1)


def test_a_journal_is_no_analysis_data_and_the_other_way_round(tmp_path: Path) -> None:
    JournalStore(tmp_path / "journal.db", "main").close()
    with pytest.raises(JournalError, match="no polyhost analysis data"):
        AnalysisWriter(tmp_path / "journal.db")
    filled(tmp_path / "analysis.db")
    with pytest.raises(JournalError, match="no polyhost journal"):
        JournalStore(tmp_path / "analysis.db", "main")
