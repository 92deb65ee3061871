"""`polyhost status`: what the journal says, with a host on the folder and without one."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyhost.cli import main as front
from polyhost.journal import JournalStore
from polyhost.model.events import EarnedRow, EarningsSeen, PluginStruck
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.records import EntriesBlocked, ObligationMet, Record, RunEnded
from polyhost.model.times import MarketMs
from polyhost.model.words import Side
from polyhost.service import live_file, status
from polyhost.service.folder import DataFolder
from polyhost.service.status import described, lines, look

from ..kernel.rig import CONDITION, START, Rig

DOCS = Path(__file__).parents[2] / "docs" / "status.md"


def story() -> Rig:
    """57 UP with an exit that rests at 0.99, and a buy of DOWN on its way."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.accept(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99")))))
    rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.60"), "in flight"), ExitTarget(Side.UP, ticks("0.99"))))
    return rig


def live(run: str, blocks: list[tuple[str, str]]) -> live_file.Live:
    """What a host says of itself, in an hour: it does not grow old while a test runs."""
    return live_file.Live(run, time.time_ns() // 1_000_000 + 3_600_000, True, "", {}, blocks)


def written(data: Path, records: list[Record]) -> Path:
    data.mkdir(exist_ok=True)
    store = JournalStore(data / "journal.db", "main")
    store.commit(records)
    store.close()
    return data


def asked(data: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """(exit code, standard output) of the command."""
    with pytest.raises(SystemExit) as stop:
        front.main(["status", "--data-dir", str(data), *more])
    return int(stop.value.code or 0), capsys.readouterr().out


def report(data: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    got, out = asked(data, capsys, "--json")
    assert got == code
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


def test_it_tells_cash_positions_exits_obligations_and_orders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = story()
    told = report(written(tmp_path / "data", rig.records), capsys)
    state = rig.kernel.state
    assert (told["running"], told["pid"], told["runs"]) == (False, None, 1)
    assert told["run"] == {
        "id": "run-1", "version": "0.1.0", "mode": "sim", "account": "main", "config_hash": "hash",
        "started_at": START - 5_000, "ended": None,
    }  # fmt: skip
    money = {name: f"{state.balance(name) / 1e6:.6f}" for name in ("free", "reserved", "unredeemed")}
    assert told["cash"] == money
    assert told["at_risk"] == f"{rig.kernel.at_risk() / 1e6:.6f}"
    assert [window["slug"] for window in told["windows"]] == [rig.market.slug]
    (position,) = told["positions"]
    assert (position["side"], position["size"], position["settled"], position["held"]) == ("UP", "57", "57", None)
    assert position["exits"] == [{"order": "o000002", "price": "0.99", "size": "57", "state": "working"}]
    assert position["obligation_due"] == rig.market.end - 120_000
    assert [(order["order"], order["side"], order["state"]) for order in told["orders"]] == [
        ("o000002", "UP", "working"), ("o000003", "DOWN", "prepared")
    ]  # fmt: skip
    assert told["unmanaged"] == []
    assert told["last_seq"] == len(rig.records)


def test_it_tells_the_last_close_and_the_settled_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.resolve(Side.UP)
    rig.records.append(RunEnded(MarketMs(rig.now), "run-1", "windows"))
    told = report(written(tmp_path / "data", rig.records), capsys)
    assert (told["positions"], told["orders"], told["windows"]) == ([], [], [])
    assert told["windows_settled"] == 1
    assert told["last_close"]["pnl"] == told["pnl"]
    assert told["last_close"]["reason"] == "settled"
    assert told["run"]["ended"] == {"at": rig.now, "reason": "windows"}
    free, paid = (float(told["cash"][name]) for name in ("free", "unredeemed"))
    assert free + paid == pytest.approx(1_000 + float(told["pnl"]))


def test_a_host_that_runs_is_named_and_what_was_killed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data", story().records)
    _, out = asked(data, capsys)
    assert "no host runs; this is what its journal says" in out
    assert "did not end properly (killed)" in out
    with DataFolder(data):
        told = report(data, capsys)
        assert (told["running"], told["pid"]) == (True, os.getpid())
        _, out = asked(data, capsys)
    assert f"a host runs (pid {os.getpid()})" in out
    assert "since 2027-01-15 07:59:55" in out


def test_a_person_reads_window_position_exit_and_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = story()
    _, out = asked(written(tmp_path / "data", rig.records), capsys)
    slug = rig.market.slug
    assert f"window {slug}: 2027-01-15 08:00:00 to 2027-01-15 08:15:00" in out
    assert re.search(rf"position {slug}: 57 UP at 0\.\d+ \(cost 2\d\.\d+\); o000002 sells 57 at 0\.99; closed or", out)
    assert f"order o000003 {slug} entry: BUY" in out


def test_blocked_entries_are_told_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = story()
    rig.records.append(EntriesBlocked(MarketMs(rig.now), "pause", True, "paused by ana"))
    data = written(tmp_path / "data", rig.records)
    told = report(data, capsys)
    assert told["blocked"] == {"pause": "paused by ana"}
    (block,) = told["blocks"]
    assert (block["lasting"], block["by_setting"]) == (True, ["hedge"])
    assert "entry" in block["stops"]
    assert not {"exit", "emergency"} & set(block["stops"])
    assert "entries blocked (pause): paused by ana; clears: the operator" in asked(data, capsys)[1]


def test_ord_23_a_running_host_tells_what_no_journal_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = story()
    data = written(tmp_path / "data", rig.records)
    monkeypatch.setattr(status, "running_pid", lambda path: 4711)
    live_file.write(data, live("run-1", [("user_stream", "lost"), ("loop:journal", "stuck")]))
    assert list(report(data, capsys)["blocked"]) == ["user_stream", "loop:journal"]
    assert "entries blocked (loop:journal): stuck; clears: by itself with the loop" in asked(data, capsys)[1]
    live_file.write(data, live("run-0", [("user_stream", "lost")]))
    assert report(data, capsys)["blocked"] == {}, "an earlier run's"


def test_an_unmanaged_position_is_the_answer_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    data = written(tmp_path / "data", [*rig.records, ObligationMet(MarketMs(rig.now), CONDITION, Side.UP, "test")])
    told = report(data, capsys, code=1)
    assert told["unmanaged"] == [f"{rig.market.slug} UP"]
    assert f"UNMANAGED: {rig.market.slug} UP" in asked(data, capsys)[1]


def test_a_folder_where_nothing_ever_ran_is_the_answer_no_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = report(tmp_path / "none", capsys, code=1)
    assert (told["run"], told["last_close"], told["positions"]) == (None, None, [])
    assert asked(tmp_path / "none", capsys) == (1, f"{tmp_path / 'none'}: nothing was ever run here\n")
    assert not (tmp_path / "none").exists()


def test_a_journal_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal.db").write_text("no database at all, " * 100)
    with pytest.raises(SystemExit) as stop:
        front.main(["status", "--data-dir", str(tmp_path)])
    assert stop.value.code == 1
    assert "Error: " in capsys.readouterr().err


def test_the_page_names_every_key_of_the_object(tmp_path: Path) -> None:
    report = described(look(written(tmp_path / "data", story().records)))
    page = DOCS.read_text(encoding="utf-8")
    keys = {*report, *report["run"], *report["positions"][0], *report["orders"][0], *report["windows"][0]}
    assert sorted(key for key in keys if f"`{key}`" not in page and f"`{key}[]`" not in page) == []
    assert lines(report)


def test_rew_01_a_resting_order_is_told_as_scoring_or_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = story()
    day = rig.now // 86_400_000
    rig.do(EarningsSeen(day, (EarnedRow(CONDITION, 250_000, 10_000),)))
    data = written(tmp_path / "data", rig.records)
    exits = next(order for order in status.open_orders(rig.kernel.state) if order.draft.order_type.rests)
    with DataFolder(data):
        for said, text in ((True, ", SCORING"), (False, ", NOT SCORING"), (None, "live")):
            host = msgspec.structs.replace(live("run-1", []), scoring={} if said is None else {exits.ref: said})
            live_file.write(data, host)
            told = report(data, capsys)
            assert {each["order"]: each["scoring"] for each in told["orders"]}[exits.ref] is said
            (line,) = [line for line in lines(told) if line.startswith(f"order {exits.ref} ")]
            assert line.endswith(text) or (said is None and "SCORING" not in line)
        assert told["rewards"] == {
            "paid": "0.000000", "earned": {"2027-01-15": {"rewards": "0.250000", "rebates": "0.010000"}},
        }
        assert "rewards: 0.250000 and rebates 0.010000 earned on 2027-01-15; 0.000000 paid so far" in lines(told)


def test_con_17_feeds_are_shown_with_age_counts_and_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data", story().records)
    told = {"running": True, "readings": 1234, "dropped": 5, "refused": 2, "restarts": 1}
    feeds = {"index": {**told, "age_s": 0.84, "problem": ""}, "down": {**told, "age_s": None, "problem": "it ended"}}
    with DataFolder(data):
        live_file.write(data, msgspec.structs.replace(live("run-1", []), feeds=feeds))
        code, out = asked(data, capsys)
        assert json.loads(asked(data, capsys, "--json")[1])["feeds"] == feeds
    assert code == 0
    assert "feeds of index: 1,234 readings, the last 0.8 s ago, 5 dropped, 2 refused, 1 restarts\n" in out
    assert "feeds of down: 1,234 readings, none yet, 5 dropped, 2 refused, 1 restarts (it ended)" in out


def test_plg_05_a_plugin_out_of_service_is_shown_with_the_way_back(tmp_path: Path) -> None:
    rig = story()
    rig.do(PluginStruck("wild", "no answer within 50 ms", True))
    report = described(look(written(tmp_path / "data", rig.records)))
    assert report["quarantined"] == {"wild": "no answer within 50 ms"}
    line, = (line for line in lines(report) if "wild" in line)
    assert "QUARANTINED: no answer within 50 ms" in line
    assert "polyhost plugins release wild" in line
