"""``polyhost why``: the chain of causes of an order, a position and a window, from the journal alone (EVD-03)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli import main as front
from polyhost.journal import JournalStore
from polyhost.journal.analysis import AnalysisWriter
from polyhost.model.commands import Analyse, QueryTokenBalance, Sweep
from polyhost.model.events import PositionsSeen, SweepDone, TokenBalanceSeen
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import ExitTarget
from polyhost.model.records import PositionCorrected, Record
from polyhost.model.words import Side

from ..kernel.rig import CONDITION, START, UP, Rig, window


def written(folder: Path, records: list[Record]) -> Path:
    folder.mkdir(exist_ok=True)
    store = JournalStore(folder / "journal.db", "main")
    store.commit(records)
    store.close()
    return folder


def asked(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        front.main(["why", *words, "--data-dir", str(folder)])
    return int(stop.value.code or 0), capsys.readouterr().out


def report(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out = asked(folder, capsys, *words, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def corrected() -> Rig:
    """57 UP were bought, 20 of them were sold by a trade, and 10 were taken by hand."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    sell = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.60"), reason="half way")))
    rig.accept(sell)
    exit_ = rig.order(sell)
    rig.trade(exit_, "20", "0.60", "CONFIRMED", maker=True)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    left = position.size - micros("10")
    while not any(isinstance(record, PositionCorrected) for record in rig.records):
        for command in rig.wait(500):
            if isinstance(command, QueryTokenBalance):
                rig.do(TokenBalanceSeen(UP, left))
            elif isinstance(command, Sweep):
                row = rig.row(exit_, "LIVE", "20")
                rig.do(SweepDone(command.condition_id, (row,), (), True, begun=command.begun))
                rig.do(PositionsSeen((), True, begun=command.begun))
                rig.do(_held(left, command.begun))
    return rig


def _held(size: int, begun: int) -> PositionsSeen:
    from polyhost.model.gateway import PositionRow

    return PositionsSeen((PositionRow(UP, CONDITION, size, ticks("0.42")),), True, begun=begun)


def test_evd_03_a_position_is_the_sum_of_its_rows_each_with_cause_reference_and_size_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = corrected()
    told = report(written(tmp_path / "d", rig.records), capsys, "position", rig.market.slug, "up")
    rows = [row for row in told["rows"] if row["record"] == "ledger_posted"]
    assert [row["cause"] for row in rows] == ["fill", "settle", "fill", "correction"]
    assert [row["ref"] for row in rows] == ["t1/o000001", "t1/o000001", "t2/o000002", f"{CONDITION}:UP"]
    changes = [micros(row["change"].lstrip("+")) for row in rows]
    size = 0
    for change, row in zip(changes, rows, strict=True):
        size += change
        assert micros(row["size_after"]) == size
    assert told["size"] == rows[-1]["size_after"]
    assert (told["taken"], told["end"]) == ("10", rig.market.end)
    assert any(row["record"] == "position_corrected" and "positions" in row["text"] for row in told["rows"])
    assert any(row["record"] == "obligation_set" for row in told["rows"])
    entry, exit_ = told["orders"]
    assert (entry["why"]["plugin"], entry["why"]["signals"]) == ("test", "s 0.6000/0.500")
    assert exit_["why"]["reason"] == "exit plan"


def test_evd_03_an_order_tells_what_it_saw_and_what_became_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = corrected()
    folder = written(tmp_path / "d", rig.records)
    told = report(folder, capsys, "order", "o000001")
    assert [row["record"] for row in told["chain"]][:4] == [
        "order_intended", "ledger_posted", "order_prepared", "order_moved"
    ]
    assert told["order"]["why"]["stake"] == "25.000000"
    assert told["order"]["state"] == "closed"
    again = report(folder, capsys, "order", told["order"]["order_id"])
    assert again == told
    code, out = asked(folder, capsys, "order", "o000001")
    assert code == 0
    assert "stake: 25.000000" in out
    assert "wanted: BUY" in out


def test_evd_03_a_window_without_a_trade_names_the_first_gate_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    folder = written(tmp_path / "d", rig.records)
    kept = AnalysisWriter(folder / "analysis.db")
    for gate in ("book_old", "minimum", "book_old", ""):
        kept.add(Analyse("evaluations", {"at": rig.now, "condition_id": CONDITION, "gate": gate}))
    kept.add(Analyse("evaluations", {"at": rig.now, "condition_id": "0xother", "gate": "slot"}))
    kept.close()
    told = report(folder, capsys, "window", rig.market.slug)
    assert told["first_failed_gate"] == "book_old"
    assert told["gates"] == {"book_old": 2, "minimum": 1}
    assert told["orders"] == []
    assert "gate minimum: 1 times" in asked(folder, capsys, "window", rig.market.slug)[1]


def test_evd_03_a_window_tells_what_every_signal_and_combiner_thought_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    folder = written(tmp_path / "d", rig.records)
    kept = AnalysisWriter(folder / "analysis.db")
    silent = {"p_up": None, "weight": None, "abstained": "no spot price"}
    for at, p_up in ((1, 0.6), (2, 0.8), (3, 0.7)):
        said = {"mine": {"p_up": p_up, "weight": 0.5, "abstained": ""}, "other": silent}
        trading = {"additive": {"p_up": p_up, "confidence": 0.3, "bias": "UP", "abstained": ""}}
        kept.add(Analyse("evaluations", {
            "at": rig.now + at, "condition_id": CONDITION, "gate": "x",
            "signals": said if at < 3 else said | {"mine": silent},
            "estimates": trading,
        }))
    kept.close()
    told = report(folder, capsys, "window", rig.market.slug)["opinions"]
    assert list(told) == ["mine", "other", "additive"]
    assert (told["mine"]["answers"], told["mine"]["abstentions"], told["mine"]["p_up"]) == (2, 1, 0.8)
    assert (told["mine"]["lowest"], told["mine"]["highest"], told["mine"]["at"]) == (0.6, 0.8, rig.now + 2)
    out = asked(folder, capsys, "window", rig.market.slug)[1]
    for line in (
        "signal mine: p_up 0.800, weight 0.500 at the end; 2 answers from 0.600 to 0.800, 1 abstentions",
        "signal other: no answer, 3 times: no spot price",
        "combiner additive: p_up 0.700, confidence 0.300 at the end; 3 answers from 0.600 to 0.800",
    ):
        assert line in out.splitlines()


def test_evd_03_without_analysis_data_a_window_tells_what_the_journal_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = corrected()
    rig.to(rig.market.end + 10_000)
    rig.resolve(Side.UP)
    told = report(written(tmp_path / "d", rig.records), capsys, "window", rig.market.slug)
    assert (told["winner"], told["entries"], told["gates"]) == ("UP", 1, {})
    assert told["first_failed_gate"] is None
    assert len(told["orders"]) >= 2
    assert any("settled UP" in row["text"] for row in told["rows"])
    assert any(row["record"] == "close_recorded" for row in told["rows"])


@pytest.mark.parametrize(
    "words", [("order", "o999999"), ("window", "no-such"), ("position", window().slug, "DOWN"), ("order", "0x")]
)
def test_evd_03_what_the_journal_does_not_know_is_exit_code_1(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An order id that fits several orders is no answer either."""
    folder = written(tmp_path / "d", corrected().records)
    assert asked(folder, capsys, *words)[0] == 1


def test_evd_03_a_side_that_is_none_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(tmp_path, capsys, "position", "x", "SIDEWAYS")[0] == 2
