"""``polyhost why``: the chain of causes of an order, a position and a window, from the journal alone (EVD-03)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli import main as front
from polyhost.journal import JournalStore
from polyhost.journal.analysis import AnalysisWriter
from polyhost.journal.explanations import evaluation_of
from polyhost.model.commands import Analyse, QueryTokenBalance, Sweep
from polyhost.model.events import (
    BalanceSeen,
    Candidate,
    Evaluated,
    Lost,
    MarketFound,
    PositionsSeen,
    Proposed,
    RunBegan,
    StreamChanged,
    SweepDone,
    TokenBalanceSeen,
)
from polyhost.model.money import micros, reference_text, ticks
from polyhost.model.proposals import Enter, Estimate, ExitTarget, Signal
from polyhost.model.records import MarketAdded, PluginMoved, PositionCorrected, Record
from polyhost.model.times import moment_text
from polyhost.model.words import Bias, Side
from polyhost.service.why import UnknownError, lines, windows

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


def test_evd_03_a_window_without_a_trade_names_the_gate_that_failed_most_often_as_the_summary_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    folder = written(tmp_path / "d", rig.records)
    kept = AnalysisWriter(folder / "analysis.db")
    for gate in ("too_early", "book_old", "minimum", "book_old", ""):
        row = {"at": rig.now, "condition_id": CONDITION, "gate": gate, "gate_text": f"{gate} text"}
        kept.add(Analyse("evaluations", row))
    kept.add(Analyse("evaluations", {"at": rig.now, "condition_id": "0xother", "gate": "slot"}))
    kept.close()
    told = report(folder, capsys, "window", rig.market.slug)
    assert (told["first_failed_gate"], told["first_failed_text"]) == ("book_old", "book_old text"), (
        "the very first is too_early, in every window"
    )
    assert told["gates"] == {"too_early": 1, "book_old": 2, "minimum": 1}
    assert told["orders"] == []
    assert "gate minimum: 1 times" in asked(folder, capsys, "window", rig.market.slug)[1]
    with pytest.raises(UnknownError, match=f"did you mean '{rig.market.slug}'"):
        windows(folder, (rig.market.slug[:-1],))


def test_evd_03_a_window_without_an_evaluation_says_so_in_a_persons_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig()
    records = [each for each in rig.records if each.at < rig.market.start]
    assert any(isinstance(each, MarketAdded) for each in records)
    told = report(written(tmp_path / "early", records), capsys, "window", rig.market.slug)
    assert told["first_failed_gate"] == "not_evaluated"
    assert "before the window begins" in told["first_failed_text"]
    rig.to(rig.market.end + 10_000)
    rig.resolve(Side.UP)
    folder = written(tmp_path / "late", rig.records)
    told = report(folder, capsys, "window", rig.market.slug)
    assert (told["first_failed_gate"], "no plugin was asked in it" in told["first_failed_text"]) == (
        "not_evaluated", True,
    )
    out = asked(folder, capsys, "window", rig.market.slug)[1]
    assert f"start: {moment_text(rig.market.start)}\n" in out
    assert f"end: {moment_text(rig.market.end)}\n" in out
    assert not re.search(r"\b\d{12,}\b", out), "no time in ms and no price in 1e-8"


def test_evd_03_numbers_of_a_window_are_shown_as_a_person_writes_them() -> None:
    row = {"seq": 3, "at": START + 250, "text": "found"}
    told = lines({"slug": "a", "start": START, "obligation_due": None, "strike": 252_858_229_415, "rows": [row]})
    moment = moment_text(START)
    assert told == ["slug: a", f"start: {moment}", "strike: 2,528.58229415", f"#3 at {moment}.250: found"]
    assert [reference_text(value) for value in (7_025_460_000_000, 143_750_000, 0, -5)] == [
        "70,254.60", "1.4375", "0.00", "-0.00000005",
    ]


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


def kept(folder: Path, rig: Rig) -> Path:
    """The rig's journal and what it left for studies."""
    written(folder, rig.records)
    analysis = AnalysisWriter(folder / "analysis.db")
    for command in rig.commands:
        if isinstance(command, Analyse):
            analysis.add(command)
    analysis.close()
    return folder


def explaining(**options: Any) -> Rig:
    """A rig in the first minute of a window that keeps everything, as a host does; its run names a plugin's version."""
    rig = Rig(follow=False, **options)
    rig.kernel.analyse = rig.kernel.explain = True
    rig.do(RunBegan("run-7", "0.1.0", "sim", "abc123", "main", plugins={"test": "1.2", "guard": "1.2", "far": "0.9"}))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 1))
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    rig.do(MarketFound(rig.market))
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def test_evd_03_an_order_names_its_run_plugins_evaluation_reservation_and_its_rivals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = explaining()
    other = Enter(Side.DOWN, ticks("0.60"), "falls")
    rig.kernel._core.record(PluginMoved(rig.now, "far", "set", "me", version="1.0"))
    view = rig.ask().view
    rig.do(Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, CONDITION, (("s", Signal(0.6, 0.5)),),
        (("c", Estimate(0.6, 0.2, Bias.UP)),), "c",
        (
            Candidate(Proposed("test", other), micros("25"), "sizer", (("guard", "one side is enough"),)),
            Candidate(
                Proposed("test", Enter(Side.UP, ticks("0.42"), "cheap")), micros("25"), "sizer",
                lost=(Lost("far", other, "outbid"),),
            ),
        ),
    ))
    folder = kept(tmp_path / "d", rig)
    told = report(folder, capsys, "order", "o000001")
    assert told["run"]["config_hash"] == "abc123"
    assert told["run"]["plugins"] == {"test": "1.2", "guard": "1.2", "far": "0.9"}
    (change,) = told["run"]["changes"]
    assert (change["plugin"], change["change"], change["version"], change["who"]) == ("far", "set", "1.0", "me")
    assert told["order"]["reserved"] == "24.911960"
    assert told["order"]["why"]["book_epoch"] == str(view.book_epoch)
    assert told["evaluation"]["signals"] == {"s": {"p_up": 0.6, "weight": 0.5, "abstained": ""}}
    assert [(row["plugin"], row["outcome"], row["by"]) for row in told["beside"]] == [
        ("test", "veto", "guard"), ("far", "outbid", "test"),
    ]
    code, out = asked(folder, capsys, "order", "o000001")
    assert code == 0
    for words in (
        "run run-7: polyhost 0.1.0, sim, configuration abc123", "  plugins of version 1.2: test, guard",
        "  since then: far set by me, version 1.0", "  signal s: p_up 0.6, weight 0.5",
        "  combiner c: p_up 0.6, confidence 0.2, bias UP",
        "by far: entry DOWN at most 0.6: outbid by test (falls)",
        "by test: entry DOWN at most 0.6 for 25.000000: veto by guard (guard: one side is enough)",
    ):
        assert words in out, words


def test_evd_03_an_exit_shows_the_evaluation_before_it_and_a_position_the_runs_that_made_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = explaining()
    rig.enter()
    rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.60"), reason="half way")))
    folder = kept(tmp_path / "d", rig)
    told = report(folder, capsys, "order", "o000002")
    assert told["evaluation"]["signals"]["s"]["p_up"] == 0.6
    assert told["evaluation"]["at"] <= told["order"]["placed_at"]
    assert told["beside"] == []
    position = report(folder, capsys, "position", rig.market.slug, "UP")
    assert [(run["id"], run["config_hash"]) for run in position["runs"]] == [("run-7", "abc123")]
    assert "run run-7: polyhost" in asked(folder, capsys, "position", rig.market.slug, "UP")[1]


def test_evd_03_a_window_tells_what_became_of_every_entry_and_what_its_first_gate_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = explaining()
    wish = Enter(Side.UP, ticks("0.42"), "cheap")
    for _ in range(2):
        rig.answer(wish, vetoes=(("guard", "too many"),))
    rig.answer(wish, stake=None)
    folder = kept(tmp_path / "d", rig)
    told = report(folder, capsys, "window", rig.market.slug)
    assert (told["entries"], told["first_failed_gate"], told["first_failed_text"]) == (0, "veto", "guard: too many")
    assert told["outcomes"] == {"veto": 2, "refused size": 1}
    assert [row["outcome"] for row in told["wanted"]] == ["veto", "veto", "refused"]
    out = asked(folder, capsys, "window", rig.market.slug)[1]
    assert "first failed text: guard: too many" in out
    assert "entries that plugins wanted: 2 veto" in out
    assert "refused by host (size, no plugin sized the entry)" in out


def test_evd_03_evaluations_of_another_run_with_the_same_number_are_not_taken_for_its_own(tmp_path: Path) -> None:
    """Views are counted anew by every run: the one that was decided on is near in time."""
    analysis = AnalysisWriter(tmp_path / "analysis.db")
    for at in (1_000, 500_000):
        analysis.add(Analyse("evaluations", {"at": at, "condition_id": "0xc0", "view_seq": 7, "gate": ""}))
    analysis.close()
    near = evaluation_of(tmp_path / "analysis.db", "0xc0", 560_000, 7)
    assert near is not None
    assert near["at"] == 500_000
    assert evaluation_of(tmp_path / "analysis.db", "0xc0", 560_001, 7) is None
    assert evaluation_of(tmp_path / "analysis.db", "0xc0", 1_500, 8) is None
    assert evaluation_of(tmp_path / "none.db", "0xc0", 1_500, 7) is None
