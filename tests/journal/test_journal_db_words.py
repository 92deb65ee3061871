"""``polyhost db``'s other words, from the command line: one object each, exit codes, and what a person reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from polyhost.cli.db import app
from polyhost.errors import PolyhostError
from polyhost.journal import JournalStore, read_journal
from polyhost.journal.analysis import AnalysisWriter
from polyhost.journal.place import elsewhere
from polyhost.model.commands import Analyse
from polyhost.service.folder import DataFolder


@pytest.fixture(autouse=True)
def elsewhere_than_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No polyhost.toml of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(journal_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal with records that fold, kept where the configuration says."""
    store = JournalStore(journal_path, "main")
    for step in build.life()[:5]:
        store.commit(step)
    store.close()
    writer = AnalysisWriter(journal_path.with_name("analysis.db"))
    for at in range(3):
        writer.add(Analyse("marks", {"at": at}))
    writer.close()
    place = elsewhere(journal_path)
    if place is not None:
        monkeypatch.setenv("POLYHOST__HOST__DATABASE", place.url)
        monkeypatch.setattr("polyhost.journal.place.schema_of", lambda account: place.schema)
    return journal_path.parent


def said(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code as the command line gives it, and standard output."""
    result = CliRunner().invoke(app, [*words, "--data-dir", str(folder)])
    if isinstance(result.exception, PolyhostError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.stdout


def told(folder: Path, *words: str) -> dict[str, Any]:
    code, text = said(folder, *words, "--json")
    assert code == 0, text
    report: dict[str, Any] = json.loads(text)
    return report


def test_ops_10_every_word_of_db_answers_with_one_object_or_with_lines(folder: Path, tmp_path: Path) -> None:
    records = list(read_journal(folder / "journal.db"))
    made = told(folder, "backup", "--analysis")
    assert made["records"] == len(records)
    assert Path(made["backup"]).parent == folder / "backups"
    assert Path(made["analysis"]).stat().st_size > 0
    assert told(folder, "migrate")["journal"] | {"place": ""} == {
        "place": "", "from": 1, "to": 1, "last_seq": len(records)
    }
    assert told(folder, "export", str(tmp_path / "out"))["tables"]["ledger"]["rows"] == 4
    assert told(folder, "prune", "--days", "0", "--dry-run")["analysis_rows"] == 2
    restored = told(folder, "restore", made["backup"])
    assert restored["records"] == len(records)
    assert list(read_journal(folder / "journal.db")) == records
    for words, line in (
        (("backup", str(tmp_path / "second")), "records,"),
        (("migrate",), "schema 1 → 1"),
        (("export", str(tmp_path / "more"), "--table", "fills"), "0 rows of fills"),
        (("prune", "--vacuum"), "0 analysis rows older than 14 days deleted"),
        (("restore", str(tmp_path / "second")), "what was there is kept: "),
        (("check",), f"{len(records)} records read, 0 problems"),
    ):
        code, text = said(folder, *words)
        assert (code, line in text) == (0, True), text


def test_ops_10_exit_codes_tell_a_running_host_a_bad_backup_and_wrong_words_apart(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").write_text("no backup")
    assert said(folder, "restore", str(tmp_path / "bad"))[0] == 1
    assert said(folder, "restore", str(tmp_path / "nowhere"))[0] == 1
    assert said(tmp_path / "empty", "backup")[0] == 1
    assert said(folder, "backup", str(tmp_path / "bad"))[0] == 2
    assert said(folder, "export", str(tmp_path / "out"), "--table", "moods")[0] == 2
    good = told(folder, "backup")["backup"]
    with DataFolder(folder):
        for words in (("restore", good), ("migrate",), ("prune", "--vacuum")):
            code, text = said(folder, *words)
            assert (code, "another host already uses" in text) == (2, True), words
        for words in (("backup", str(tmp_path / "live")), ("prune",), ("export", str(tmp_path / "live_tables"))):
            assert said(folder, *words)[0] == 0, words


def test_sec_04_release_is_for_a_journal_in_postgresql(folder: Path) -> None:
    code, text = said(folder, "release")
    if elsewhere(folder / "journal.db") is None:
        assert code == 2
        assert "the folder's own lock" in text
    else:
        assert code == 0
        assert text.endswith(": nobody held it\n")
