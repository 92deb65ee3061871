"""``polyhost db status``: the object, the words for people, the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from polyhost.cli.db import app
from polyhost.journal import JournalStore
from polyhost.journal.analysis import AnalysisWriter
from polyhost.model.commands import Analyse

KEYS = [
    "path", "exists", "readable", "schema_version", "schema_wanted", "last_seq", "bytes", "rows", "migrations",
    "problems", "holder", "analysis",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No polyhost.toml of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def status(folder: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["status", "--data-dir", str(folder), *more])
    return result.exit_code, result.stdout


def test_db_status_tells_what_stands_there_while_a_run_writes(tmp_path: Path, build: Any) -> None:
    store = JournalStore(tmp_path / "data" / "journal.db", "main")
    for step in build.life():
        store.commit(step)
    analysis = AnalysisWriter(tmp_path / "data" / "analysis.db")
    analysis.add(Analyse("marks", {"at": 1}))
    code, text = status(tmp_path / "data", "--json")
    report = json.loads(text)
    assert code == 0
    assert list(report) == KEYS
    assert report["last_seq"] == report["rows"]["journal"] == store.last_seq
    assert report["rows"]["trades"] == 2
    assert report["migrations"][0]["name"] == "first tables"
    assert report["readable"] is report["analysis"]["readable"] is True
    code, text = status(tmp_path / "data")
    assert code == 0
    assert f"last record {store.last_seq}" in text
    assert "trades 2" in text
    analysis.close()
    store.close()


def test_db_status_without_a_journal_answers_no_and_makes_nothing(tmp_path: Path) -> None:
    code, text = status(tmp_path / "nowhere", "--json")
    assert code == 1
    assert json.loads(text)["exists"] is False
    assert "polyhost run" in status(tmp_path / "nowhere")[1]
    assert not (tmp_path / "nowhere").exists()


def test_db_status_tells_a_damaged_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("no database " * 500)
    code, text = status(tmp_path, "--json")
    report = json.loads(text)
    assert code == 1
    assert report["exists"] is True
    assert report["readable"] is False
    assert "backup" in report["problems"][0]
    assert "problem: " in status(tmp_path)[1]
