"""Evaluations come back from analysis.db whole, the first of each part of a window, and by SQL one row an opinion."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from polyhost.journal.analysis import AnalysisWriter
from polyhost.journal.evaluations import evaluations
from polyhost.journal.migrations import ANALYSIS
from polyhost.journal.opening import prepare
from polyhost.journal.status import analysis_status
from polyhost.model.commands import Analyse
from polyhost.model.study import EstimateSaid, Evaluation, SignalSaid


def evaluation(at: int, market: str = "0xc0", **changes: Any) -> Evaluation:
    """One of a window from 0 to 900 s."""
    plain = Evaluation(
        at, market, "btc-updown-15m-0", at, 0, 900_000 - at, 4_000, 4_200, 1, 1, 5, 70_000, 1, 0.41, "", 64_000.0, 9,
        None, None, "additive", "", {"s": SignalSaid(0.6, 0.5)},
        {"additive": EstimateSaid(0.6, 0.2, "UP"), "bayesian": EstimateSaid(None, None, None, "no opinion")},
    )
    return msgspec.structs.replace(plain, **changes)


def kept(path: Path, *rows: Evaluation) -> Path:
    writer = AnalysisWriter(path)
    for row in rows:
        writer.add(Analyse("evaluations", msgspec.structs.asdict(row)))
    writer.close()
    return path


def test_the_first_evaluation_of_each_part_of_a_window_comes_back_whole(tmp_path: Path) -> None:
    path = kept(tmp_path / "analysis.db", *(evaluation(at) for at in (0, 299_999, 300_000, 599_999, 600_001, 900_000)))
    kept(path, evaluation(1, "0xother"))
    with evaluations(path) as reader:
        assert reader is not None
        assert reader.first_of_parts("0xc0", 0, 900_000, 3) == [
            evaluation(0), evaluation(300_000), evaluation(600_001)
        ]
        assert reader.markets() == ["0xc0", "0xother"]
        assert (reader.count("0xc0"), list(reader.rows("0xother"))) == (6, [evaluation(1, "0xother")])


def test_rows_of_an_older_host_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "analysis.db"
    writer = AnalysisWriter(path)
    writer.add(Analyse("evaluations", {"at": 0, "condition_id": "0xc0", "signals": {"s": 0.6}, "estimates": {}}))
    writer.close()
    kept(path, evaluation(5))
    with evaluations(path) as reader:
        assert reader is not None
        assert reader.first_of_parts("0xc0", 0, 900_000, 900) == []
        assert reader.older == 1
        assert reader.omissions() == {}


def test_sig_09_what_a_row_leaves_out_is_found_by_the_check(tmp_path: Path) -> None:
    left_out = {"additive": EstimateSaid(None, None, None)}
    path = kept(tmp_path / "analysis.db", evaluation(1), evaluation(2, estimates=left_out, prior=None))
    with evaluations(path) as reader:
        assert reader is not None
        assert reader.omissions() == {"prior": 1, "estimates.additive": 1}


def test_a_database_of_version_one_is_backed_up_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "analysis.db"
    first = msgspec.structs.replace(ANALYSIS, migrations=ANALYSIS.migrations[:1])
    prepare(path, first)
    with closing(sqlite3.connect(path)) as connection, connection:
        body = '{"signals": {"s": 0.6}}'
        connection.execute("INSERT INTO evaluations VALUES (1, 5, 4000000000000, '0xc0', ?)", (body,))
    with evaluations(path) as reader:
        assert reader is None
    kept(path, evaluation(6))
    assert analysis_status(path).rows["evaluations"] == 2
    assert (tmp_path / "analysis.db.v1.backup").exists()


def test_sig_09_sql_shows_one_row_an_opinion(tmp_path: Path) -> None:
    path = kept(tmp_path / "analysis.db", evaluation(7))
    with closing(sqlite3.connect(path)) as connection:
        columns = "role, plugin, p_up, weight, confidence, bias, abstained, prior, time_left_ms, trading"
        rows = connection.execute(f"SELECT {columns} FROM opinions ORDER BY role DESC, plugin").fetchall()
    assert rows == [
        ("signal", "s", 0.6, 0.5, None, None, "", 0.41, 899_993, "additive"),
        ("combiner", "additive", 0.6, None, 0.2, "UP", "", 0.41, 899_993, "additive"),
        ("combiner", "bayesian", None, None, None, None, "no opinion", 0.41, 899_993, "additive"),
    ]


def test_nothing_there_is_nothing_to_read(tmp_path: Path) -> None:
    with evaluations(tmp_path / "analysis.db") as reader:
        assert reader is None
