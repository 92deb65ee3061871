"""Tables for other programs: exact decimals, both formats alike, any time, bounded memory; fills for accounting."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from polyhost.errors import ConfigError
from polyhost.journal import JournalError, JournalStore, export, read_journal
from polyhost.journal.analysis import AnalysisWriter
from polyhost.journal.export import ANALYSIS_EXPORTS, JOURNAL_EXPORTS, TABLES, export_table
from polyhost.journal.schema import PROJECTIONS, PluginState, columns_of, table_of
from polyhost.model.commands import Analyse
from polyhost.model.records import FillBooked, LedgerPosted
from polyhost.service.database import clear_out, export_all, when
from polyhost.service.folder import DataFolder
from polyhost.settings import HostTable


@pytest.fixture
def folder(journal_path: Path, build: Any) -> DataFolder:
    """A window's life in the journal, and something of everything in the analysis data."""
    store = JournalStore(journal_path, "main")
    for step in build.life():
        store.commit(step)
    store.close()
    writer = AnalysisWriter(journal_path.with_name("analysis.db"))
    for number in range(7):
        said = {"momentum": {"p_up": 0.1 + number / 100, "weight": 0.5, "abstained": ""}}
        writer.add(Analyse("evaluations", {
            "at": 1_000 + number, "condition_id": "0xc0", "slug": "btc", "bid": 4_100, "ask": None, "prior": 0.415,
            "signals": said, "estimates": {"additive": {"p_up": None, "confidence": None, "abstained": "no signal"}},
        }))
    writer.add(Analyse("marks", {"at": 5, "condition_id": "0xc0", "value": 1}))
    writer.close()
    return DataFolder(journal_path.parent)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_ops_11_fills_for_accounting_are_exact_and_add_up_to_what_cash_moved(
    folder: DataFolder, tmp_path: Path
) -> None:
    export_all(folder, tmp_path / "out", ["fills"], "csv", "", "")
    bought, sold = rows(tmp_path / "out" / "fills.csv")
    assert bought["time"] == "2026-09-21T14:13:20.010Z"
    assert bought["market"] == "btc-updown-5m-1790000100"
    assert (bought["side"], bought["action"], bought["status"], bought["maker"]) == ("UP", "BUY", "CONFIRMED", "false")
    assert (bought["price"], bought["shares"], bought["money"], bought["fee"]) == (
        "0.5000", "10.000000", "5.000000", "0.000070"
    )
    assert (bought["cash"], sold["cash"]) == ("-5.000070", "2.399930")
    assert (bought["order_id"], bought["purpose"]) == ("0xo1", "entry")


def test_per_06_every_table_is_exported_alike_in_both_formats(folder: DataFolder, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    told = export_all(folder, tmp_path / "csv", (), "csv", "", "")
    assert tuple(told["tables"]) == TABLES
    export_all(folder, tmp_path / "parquet", (), "parquet", "", "")
    for name in TABLES:
        texts = rows(tmp_path / "csv" / f"{name}.csv")
        frame = polars.read_parquet(tmp_path / "parquet" / f"{name}.parquet")
        assert frame.height == len(texts) == told["tables"][name]["rows"], name
        for row, text in zip(frame.iter_rows(named=True), texts, strict=True):
            assert {key: shown(value) for key, value in row.items()} == text, name
    assert (tmp_path / "csv" / "opinions.csv").read_text().count("\n") == 15
    opinion, estimate = rows(tmp_path / "csv" / "opinions.csv")[0], rows(tmp_path / "csv" / "opinions.csv")[-1]
    assert {opinion["plugin"], estimate["plugin"]} == {"momentum", "additive"}


def shown(value: object) -> str:
    """A typed value as CSV writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if hasattr(value, "isoformat"):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"  # type: ignore[attr-defined]
    return str(value) if isinstance(value, Decimal | int | str) else repr(value)


def test_every_column_of_a_projection_is_exported() -> None:
    names = {"trades": "fills", "ledger_entries": "ledger"}
    renamed = {"booked_at": "time", "size": "shares", "market": "condition_id"}
    for model in PROJECTIONS:
        if model is PluginState:
            continue  # a plugin's own notes
        table = table_of(model)
        columns = JOURNAL_EXPORTS[names.get(table, table)].columns
        for column in columns_of(model):
            wanted = renamed.get(column, column) if table == "trades" else column
            if (table, column) != ("trades", "moved_at"):
                assert wanted in columns, f"{table}.{column}"


def test_a_time_cuts_every_table(folder: DataFolder, tmp_path: Path) -> None:
    told = export_all(folder, tmp_path / "a", (), "csv", "1970-01-01T00:00:01.002", "1970-01-01T00:00:01.005")
    assert {name: each["rows"] for name, each in told["tables"].items() if each["rows"]} == {
        "evaluations": 3, "opinions": 6
    }
    second = max(record.at for _, record in read_journal(folder.journal) if isinstance(record, FillBooked))
    since = f"{datetime.fromtimestamp(second / 1_000, UTC):%Y-%m-%dT%H:%M:%S}.{second % 1_000:03}"
    told = export_all(folder, tmp_path / "b", ["fills", "ledger"], "csv", since, "")
    posted = [record for _, record in read_journal(folder.journal) if isinstance(record, LedgerPosted)]
    later = sum(len(record.entries) for record in posted if record.at >= second)
    assert (told["tables"]["fills"]["rows"], told["tables"]["ledger"]["rows"]) == (1, later)
    assert 0 < later < sum(len(record.entries) for record in posted)


def test_only_a_batch_of_rows_is_ever_in_hand(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def counting(path: Path, columns: Any, batches: Any) -> int:
        sizes.extend(map(len, batches))
        path.touch()
        return sum(sizes)

    monkeypatch.setattr(export, "BATCH", 3)
    monkeypatch.setitem(export.WRITERS, "csv", counting)
    for name, most in (("evaluations", 3), ("opinions", 6), ("ledger", 3)):
        sizes.clear()
        count = export_table(name, folder.journal, folder.analysis, tmp_path / name, "csv")
        assert count == {"evaluations": 7, "opinions": 14, "ledger": 14}[name]
        assert max(sizes) <= most
        assert len(sizes) > 2


def test_what_cannot_be_exported_is_told_and_no_file_is_replaced(folder: DataFolder, tmp_path: Path) -> None:
    for names, form, since, words in (
        (["moods"], "csv", "", "no table moods.*fills, orders"),
        (["fills"], "xml", "", "no format xml.*csv, parquet"),
        (["fills"], "csv", "yesterday", "'yesterday' is no time"),
    ):
        with pytest.raises(ConfigError, match=words):
            export_all(folder, tmp_path, names, form, since, "")
    (tmp_path / "fills.csv").write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        export_all(folder, tmp_path, ["orders", "fills"], "csv", "", "")
    assert (tmp_path / "fills.csv").read_text() == "precious"
    assert not (tmp_path / "orders.csv").exists()
    with pytest.raises(JournalError, match="nothing to export"):
        export_all(DataFolder(tmp_path / "nowhere"), tmp_path / "x", ["fills"], "csv", "", "")


def test_times_are_utc_or_ago() -> None:
    day = 86_400_000
    assert when("", 5) is None
    assert when("1970-01-02", 0) == day
    assert when("1970-01-02T01:00+01:00", 0) == day
    assert [when(text, 10 * day) for text in ("36h", "1.5d", "30m")] == [8.5 * day, 8.5 * day, 10 * day - 1_800_000]


def test_per_06_analysis_and_recordings_are_pruned_by_a_word_and_the_room_is_given_back(
    folder: DataFolder, tmp_path: Path
) -> None:
    host = HostTable()
    writer = AnalysisWriter(folder.analysis)
    for number in range(2_000):
        writer.add(Analyse("quotes", {"at": number, "condition_id": "0xc0", "text": "x" * 300}))
    writer.close()
    size = folder.analysis.stat().st_size
    run = folder.path / "recordings" / "run1"
    run.mkdir(parents=True)
    for name in ("a", "b"):
        (run / f"{name}.jsonl.gz").write_bytes(b"x")
    os.utime(run / "a.jsonl.gz", (1, 1))
    dry = clear_out(folder, 0.0, host, dry=True, vacuum=False)
    assert dry["analysis_rows"] == 6 + 1_999
    assert [Path(path).name for path in dry["recordings"]] == ["a.jsonl.gz"]
    assert len(list(run.iterdir())) == 2
    assert clear_out(folder, 1.0, host, dry=True, vacuum=False)["analysis_rows"] == 0
    done = clear_out(folder, 0.0, host, dry=False, vacuum=True)
    assert done["analysis_rows"] == dry["analysis_rows"]
    assert done["freed_bytes"] > size // 2
    assert [path.name for path in run.iterdir()] == ["b.jsonl.gz"]


def test_pruning_takes_a_bounded_number_of_rows_at_a_time(folder: DataFolder) -> None:
    from polyhost.journal.analysis import prune
    from polyhost.journal.opening import connected, database

    peewee = database(folder.analysis)
    connection = connected(peewee)
    assert [prune(connection, 10**15, 4) for _ in range(3)] == [4, 2, 0]
    assert connection.execute("SELECT id FROM evaluations").fetchall() == [(7,)]
    peewee.close()


def test_all_names_of_tables_are_one_list() -> None:
    assert set(TABLES) == {*JOURNAL_EXPORTS, *ANALYSIS_EXPORTS}
    assert len(set(TABLES)) == len(TABLES)
