"""`polyhost report` on the command line and the terminal: figures, plots, what is missing and what is broken."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from polyhost.cli import main as front
from polyhost.journal import JournalStore
from polyhost.lab.report import reported
from polyhost.model.words import Side
from polyhost.service.report_terminal import show
from polyhost.service.why import windows

from ..kernel.rig import CONDITION
from ..lab.test_lab_report import analysed, evaluation, lost, sums, wanted, written

DOCS = Path(__file__).parents[2] / "docs" / "report.md"


def folder(tmp_path: Path) -> Path:
    """A loss, decided, with evaluations and an entry that a guard kept out."""
    rig = lost()
    rig.resolve(Side.UP)
    data = written(tmp_path / "data", rig.records)
    analysed(
        data, evaluations=[evaluation(second) for second in range(0, 900, 45)],
        explanations=[wanted(60, "order"), wanted(61, "veto", "veto", "guard")],
    )
    return data


def asked(data: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of the command."""
    with pytest.raises(SystemExit) as stop:
        front.main(["report", "--data-dir", str(data), *more])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def drawn(data: Path, width: int) -> str:
    out = io.StringIO()
    show(reported(data, windows), Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_ops_04_the_json_is_one_object_and_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = asked(folder(tmp_path), capsys, "--json")
    assert (code, out.count("\n")) == (0, 1)
    report = json.loads(out)
    assert len(set(sums(report).values())) == 1
    assert report["opinions"]["scores"]["windows"] == 1
    assert set(report) == set(documented("The object"))


def documented(heading: str) -> list[str]:
    """Names in the first column of the page's table below a heading."""
    text = DOCS.read_text(encoding="utf-8").partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)(?:\[\])?`", row)]


@pytest.mark.parametrize("width", [80, 120])
def test_ops_04_tables_and_plots_fit_the_terminal(tmp_path: Path, width: int) -> None:
    text = drawn(folder(tmp_path), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for title in (
        "P&L by day (UTC)", "P&L by the plugin that bought", "P&L by exit reason", "P&L by who ended it",
        "P&L by window", "Fees and slippage", "How right they were", "Calibration: how often UP came true",
        "Entries that plugins wanted", "Who kept entries out", "Worst windows", "Realised P&L after each of 1 closes",
        "Calibration: the chance given",
    ):
        assert title in text, title
    assert "it fell to N" in text
    assert "entry: BUY 57 UP, limit 0.42, by test: test" in text
    assert "polyhost why window btc-updown-15m-1800000000" in text
    assert ("of bets a window" in text) is (width > 80), "what matters less is left out where there is little room"
    assert "\x1b" not in text, "colours are for terminals"


def test_a_terminal_has_colours(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard", highlight=False)
    show(reported(folder(tmp_path), windows), console)
    assert "\x1b[31m" in out.getvalue()


def test_without_plotext_the_tables_come_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    text = drawn(folder(tmp_path), 80)
    assert "install polyhost[report]" in text
    assert "P&L by day" in text


def test_the_report_is_of_the_time_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder(tmp_path)
    code, out, _ = asked(data, capsys, "--since", "2100-01-01")
    assert code == 0
    assert "nothing happened in that time" in out
    assert "No position was closed in that time." in out
    code, _, err = asked(data, capsys, "--since", "yesterday")
    assert code == 2
    assert "'yesterday' is no time" in err
    _, out, _ = asked(data, capsys, "--since", "1h", "--json")
    assert len(json.loads(out)["by_window"]) == 1


def test_an_empty_folder_a_damaged_journal_and_a_newer_one_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = asked(tmp_path / "empty", capsys)
    assert (code, out) == (1, "")
    assert "nothing was ever run" in err
    assert not (tmp_path / "empty").exists(), "who looks makes nothing"
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "journal.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    code, out, err = asked(bad, capsys, "--html", str(tmp_path / "page.html"))
    assert (code, out) == (1, "")
    assert "journal.db" in err
    assert not (tmp_path / "page.html").exists()
    newer = written(tmp_path / "newer", lost().records)
    advance(newer / "journal.db")
    code, _, err = asked(newer, capsys)
    assert code == 1
    assert "9999" in err


def advance(journal: Path) -> None:
    """A later polyhost migrated it."""
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (9999, 'later', 0, '9.9')")
        connection.commit()


def test_a_damaged_analysis_file_is_told_beside_the_journals_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folder(tmp_path)
    for file in data.glob("analysis.db*"):
        file.unlink()
    (data / "analysis.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    code, out, _ = asked(data, capsys)
    assert code == 1
    assert "analysis data: " in out
    assert "P&L by day" in out


def test_a_journal_that_a_host_writes_is_read_as_far_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The writer's connection is open, and its last records are in the log beside the file."""
    data = tmp_path / "data"
    data.mkdir()
    store = JournalStore(data / "journal.db", "main")
    records = lost().records
    store.commit(records[:-1])
    code, out, _ = asked(data, capsys, "--json")
    first: dict[str, Any] = json.loads(out)
    store.commit(records[-1:])
    _, out, _ = asked(data, capsys, "--json")
    store.close()
    assert (code, json.loads(out)["records"]) == (0, first["records"] + 1)


def test_the_html_is_written_in_place_and_what_cannot_be_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without plots, which is said, too."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    data, page = folder(tmp_path), tmp_path / "page.html"
    page.write_text("old")
    code, out, err = asked(data, capsys, "--html", str(page), "--json")
    assert (code, json.loads(out)["account"]) == (0, "main")
    assert f"{page}: the report (without plots: install polyhost[report]" in err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    code, _, err = asked(data, capsys, "--html", str(tmp_path / "nowhere" / "page.html"))
    assert code == 2
    assert "cannot be written" in err


def test_con_13_of_several_accounts_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.toml"
    file.write_text(
        f'[host]\ndata_dir = "{tmp_path}"\nmode = "paper"\n'
        '[accounts.one]\nmode = "paper"\n[accounts.two]\nmode = "paper"\n', encoding="utf-8",
    )
    written(tmp_path / "one", lost().records)
    for more, code, said in (([], 2, "several accounts"), (["--account", "one"], 0, "P&L by day")):
        with pytest.raises(SystemExit) as stop:
            front.main(["report", "-c", str(file), *more])
        out, err = capsys.readouterr()
        assert (int(stop.value.code or 0), said in out + err) == (code, True), out + err


def test_the_worst_window_is_the_rigs(tmp_path: Path) -> None:
    (worst,) = reported(folder(tmp_path), windows)["worst"]
    assert worst["condition_id"] == CONDITION
