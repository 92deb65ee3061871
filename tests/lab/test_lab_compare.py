"""`polyhost compare` over a data folder, tapes and tables: what is scored, what is left out, and what it says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from polyhost.cli import main as front
from polyhost.journal import JournalStore
from polyhost.journal.analysis import AnalysisWriter
from polyhost.lab import studied
from polyhost.lab.compare import compared, text_lines
from polyhost.lab.studied import BadRow, CompareError, Studied, live, sampled, table
from polyhost.model.commands import Analyse
from polyhost.model.records import MarketSettled
from polyhost.model.study import EstimateSaid, Evaluation, SignalSaid
from polyhost.model.words import Side

from .lab_tapes import START, book, gamma, price, resolved, write

STAKE = 25_000_000


def evaluation(at_s: float, market: str = "0xc1", p: float | None = 0.6, **changes: Any) -> Evaluation:
    """One of a 15-minute window from 0 s, quoted 0.50/0.52; ``p``: both combiners' and the signal's."""
    said = EstimateSaid(None, None, None, "no opinion") if p is None else EstimateSaid(p, 0.2, "UP")
    plain = Evaluation(
        round(at_s * 1_000), market, f"btc-updown-15m-{market}", 1, 0, 900_000 - round(at_s * 1_000), 5_000, 5_200, 1,
        1, 5, 70_000, 1, 0.51, "", 64_000.0, 9, None, None, "additive", "",
        {"s": SignalSaid(p, None if p is None else 0.5, "" if p is not None else "no opinion")},
        {"additive": said, "bayesian": said},
    )
    return msgspec.structs.replace(plain, **changes)


def asked(*args: object, code: int = 0) -> Any:
    answer = CliRunner().invoke(front.app, ["compare", *(str(arg) for arg in args), "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


# --- what is scored ---------------------------------------------------------------------------------------------------


def test_evd_05_what_is_scored_is_settled_priced_and_estimated_by_every_combiner() -> None:
    silent = EstimateSaid(None, None, None, "no opinion")
    rows = [
        evaluation(0), evaluation(50, p=0.7), evaluation(100, prior=None, no_prior="the book is empty"),
        evaluation(150, estimates={"additive": EstimateSaid(0.6, 0.2, "UP"), "bayesian": silent}),
        evaluation(200, signals={}), evaluation(0, "0xopen"), evaluation(0, "0xvoid"),
    ]
    found = sampled("live", rows, {"0xc1": Side.UP, "0xvoid": None})
    assert (found.windows, found.unsettled, found.void) == (1, 1, 1)
    assert found.left_out == {"bayesian abstained": 1, "the market had no price: the book is empty": 1}
    assert (found.combiners, found.signals, found.trading) == (["additive", "bayesian"], ["s"], "additive")
    assert found.sample is not None
    assert list(found.sample.opinions["additive"]) == [0.6, 0.7, 0.6]
    assert [str(value) for value in found.sample.opinions["s"]] == ["0.6", "0.7", "nan"]
    # A share at 0.52 costs the fee of 0.07 * 0.52 * 0.48 more; DOWN is bought at 1 - 0.50.
    assert list(found.sample.cost) == pytest.approx([0.537472] * 3)
    assert list(found.sample.cost_other) == pytest.approx([0.5175] * 3)


def test_a_combiner_that_never_answers_keeps_nothing_out() -> None:
    mute = {"additive": EstimateSaid(0.6, 0.2, "UP"), "bayesian": EstimateSaid(None, None, None, "not running")}
    found = sampled("live", [evaluation(0, estimates=mute)], {"0xc1": Side.UP})
    assert (found.combiners, found.left_out) == (["additive"], {})


def test_a_plugin_that_is_signal_and_combiner_is_scored_as_both() -> None:
    row = evaluation(0, signals={"additive": SignalSaid(0.3, 1.0), "market": SignalSaid(0.2, 1.0)})
    found = sampled("live", [row], {"0xc1": Side.UP})
    assert found.sample is not None
    assert list(found.sample.opinions) == ["additive", "bayesian", "additive (signal)", "market (signal)"]


def folder_with(tmp_path: Path, rows: list[Evaluation], results: dict[str, Side | None]) -> Path:
    writer = AnalysisWriter(tmp_path / "analysis.db")
    for row in rows:
        writer.add(Analyse("evaluations", msgspec.structs.asdict(row)))
    writer.close()
    store = JournalStore(tmp_path / "journal.db", "main")
    store.commit([MarketSettled(1_000_000, market, winner, None, "venue") for market, winner in results.items()])
    store.close()
    return tmp_path


def test_evd_05_a_data_folder_is_read_on_the_grid_and_settled_by_its_journal(tmp_path: Path) -> None:
    """Every second of a window, but one evaluation in each twentieth is scored."""
    rows = [evaluation(second) for second in range(0, 900, 5)] + [evaluation(3, "0xopen")]
    found = live(folder_with(tmp_path, rows, {"0xc1": Side.DOWN}))
    assert (found.windows, found.unsettled, found.evaluations) == (1, 1, 181)
    assert found.sample is not None
    assert len(found.sample.unit) == studied.PARTS
    assert set(found.sample.won) == {0.0}


def test_an_empty_folder_is_nothing_to_score_and_says_so(tmp_path: Path) -> None:
    report = asked("--data-dir", tmp_path, code=1)
    assert (report["windows"], report["forecasters"], report["verdicts"]) == (0, [], [])
    answer = CliRunner().invoke(front.app, ["compare", "--data-dir", str(tmp_path)])
    assert "Nothing to score" in answer.stdout


# --- tapes ------------------------------------------------------------------------------------------------------------


def trending(tmp_path: Path, winner: str = "UP") -> Path:
    """A window in which spot rises by 0.4 % and the market follows; it has a strike."""
    rows = [gamma(START - 1_000), resolved(START + 908_000, winner)]
    for second in range(-60, 900):
        at = START + second * 1_000
        spot = 64_000 * (1 + 0.004 * min(max(second, 0), 300) / 300)
        rows.append(price(at, "crypto_prices", spot, at, "btcusdt"))
        rows.append(price(at, "crypto_prices_twap_sixty", spot, at))
        if second >= 0:
            bid = 50 + min(second, 300) // 30
            rows.append(book(at, f"0.{bid:02d}", f"0.{bid + 1:02d}"))
    return write(tmp_path / "trend.jsonl", rows)


def test_sig_09_after_a_trade_of_the_shipped_configuration_no_opinion_is_missing(tmp_path: Path) -> None:
    """The shipped plugins trade a tape: at the entry both combiners, the prior and what they saw are all there."""
    from polyhost.configuration import load_configuration
    from polyhost.lab.backtest import Backtest
    from polyhost.lab.plugins import running
    from polyhost.lab.tape import Tape
    from polyhost.model.records import OrderIntended

    shipped = load_configuration(Path(__file__).resolve().parents[2] / "config" / "polyhost.toml", env={})
    rows: list[Evaluation] = []

    def take(command: Analyse) -> None:
        if command.table == "evaluations":
            rows.append(msgspec.convert(command.row, Evaluation))

    with running(shipped) as plugins:
        run = Backtest(shipped.configuration, plugins, study=take)
        run.run([Tape(trending(tmp_path))])
    assert [name for row in rows for name in row.omissions()] == []
    entries = [record for _, record in run.journal.read() if isinstance(record, OrderIntended)]
    assert entries, "the shipped configuration did not trade: this test proves nothing"
    seen = {row.view_seq: row for row in rows}
    for entry in entries:
        if "view_seq" not in entry.why:
            continue
        row = seen[int(entry.why["view_seq"])]
        assert row.prior is not None
        assert row.spot is not None
        assert {"additive", "bayesian"} <= set(row.estimates)
        for name, said in row.estimates.items():
            assert None not in (said.p_up, said.confidence, said.bias), name
            assert f"{name} {said.p_up:.4f}/{said.confidence:.3f}/{said.bias}" in entry.why["estimates"]


def test_evd_05_tapes_are_scored_by_the_configured_plugins(tmp_path: Path) -> None:
    report = asked(trending(tmp_path))
    assert (report["source"], report["windows"], report["unsettled"]) == ("tapes", 1, 0)
    assert report["scored"] == studied.PARTS
    names = {each["name"]: each for each in report["forecasters"]}
    assert names["market"]["kind"] == "baseline"
    assert names["additive"]["kind"] == "combiner"
    assert names["binance_momentum"]["kind"] == "signal"
    assert names["market"]["brier_difference"] is None
    assert "can't tell" in report["verdicts"][0]
    assert report == asked(trending(tmp_path))


def test_evd_05_the_recorded_windows_with_books_are_scored(recording: Callable[[str], Path]) -> None:
    report = asked(recording("resolvedkit"))
    assert (report["windows"], report["unsettled"]) == (10, 0)
    assert {each["windows"] for each in report["forecasters"] if each["kind"] != "signal"} == {10}
    assert all("never can" in text for text in report["verdicts"])


# --- tables -----------------------------------------------------------------------------------------------------------

HEAD = "model_prob_of_side,entry_price,won,note\n"


def test_evd_05_the_recorded_trades_score_as_their_source_says(recording: Callable[[str], Path]) -> None:
    """Model 0.1806, market 0.1676 (the recordings' own README)."""
    report = asked("--csv", recording("calibration_trades"))
    market, model = report["forecasters"]
    assert (round(model["brier"]["value"], 4), round(market["brier"]["value"], 4)) == (0.1806, 0.1676)
    assert (report["windows"], report["scored"], report["bad_row_count"]) == (1462, 1462, 0)
    assert report["verdicts"][0].startswith("model is worse than the market's price on 1462 windows")
    assert model["brier_difference"]["low"] > 0


def test_a_table_may_be_plain_or_zipped_and_other_columns_do_not_matter(tmp_path: Path) -> None:
    text = HEAD + "0.8,0.6,1,x\n0.7,0.6,0,y\n"
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "zipped.csv.gz").write_bytes(gzip.compress(text.encode()))
    plain, zipped = (asked("--csv", tmp_path / name) for name in ("plain.csv", "zipped.csv.gz"))
    assert plain == zipped
    assert plain["forecasters"][1]["brier"]["value"] == pytest.approx((0.04 + 0.49) / 2)
    assert plain["notes"] == ["no column names the window: each row is its own"]


def test_bad_rows_are_left_out_and_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text(HEAD + "0.8,0.6,1,x\n1.2,0.6,1,x\n0.5,nan,0,x\nhalf,0.6,0,x\n0.5,0.6,maybe,x\n0.5\n0.5,1,1,x\n")
    found = table(path)
    assert found.bad_rows == [
        BadRow(3, "model_prob_of_side is '1.2', not from 0 to 1"), BadRow(4, "entry_price is 'nan', not from 0 to 1"),
        BadRow(5, "could not convert string to float: 'half'"), BadRow(6, "won is 'maybe', neither 1 nor 0"),
        BadRow(7, "entry_price is None, not from 0 to 1"), BadRow(8, "entry_price is '1': nothing is sold at that"),
    ]
    assert (found.windows, found.evaluations) == (1, 7)
    report = compared(found, STAKE, 0.02)
    assert report["bad_rows"][0] == {"line": 3, "problem": "model_prob_of_side is '1.2', not from 0 to 1"}
    assert "line 3 left out: model_prob_of_side is '1.2', not from 0 to 1" in text_lines(report)


def test_rows_of_one_window_are_one_unit(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text("window,model_prob_of_side,entry_price,won\na,0.9,0.5,1\na,0.9,0.5,1\nb,0.9,0.5,0\n")
    report = asked("--csv", path)
    assert (report["windows"], report["scored"]) == (2, 3)
    assert report["forecasters"][1]["brier"]["value"] == pytest.approx((0.01 + 0.81) / 2)
    # One bet a window at 0.50 and a fee of 0.0175: 48.31 shares each.
    assert report["forecasters"][1]["bets"] == 2
    assert float(report["forecasters"][1]["pnl"]) == pytest.approx(25 / 0.5175 - 50, abs=1e-6)


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "", "model_prob_of_side,won\n0.5,1\n"])
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trades.csv"
    path.write_text(text)
    with pytest.raises(CompareError, match="lacks the column"):
        table(path)


def test_a_damaged_or_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress((HEAD + "0.8,0.6,1,x\n" * 500).encode())[:40])
    for name in ("torn.csv.gz", "absent.csv"):
        with pytest.raises(CompareError, match=name):
            table(tmp_path / name)


def test_a_table_of_bad_rows_alone_is_nothing_to_score(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text(HEAD + "2,2,2,x\n")
    report = asked("--csv", path, code=1)
    assert (report["bad_row_count"], report["scored"]) == (1, 0)


# --- usage and words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["t.jsonl", "--csv", "x.csv"], ["--stake", "0"], ["--stake", "much"]])
def test_wrong_usage_ends_with_two(args: list[str]) -> None:
    assert CliRunner().invoke(front.app, ["compare", *args]).exit_code == 2


def test_a_bet_follows_stake_and_edge(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text(HEAD + "0.8,0.6,1,x\n")
    # Cost 0.6168; the edge is 0.1832.
    for edge, stake, profit in ((0.18, "10", 10 / 0.6168 - 10), (0.19, "10", 0.0), (0.18, "20", 20 / 0.6168 - 20)):
        report = asked("--csv", path, "--edge", edge, "--stake", stake)
        assert float(report["forecasters"][1]["pnl"]) == pytest.approx(profit, abs=1e-6)


def test_the_words_hold_the_table_the_reliability_and_the_verdict() -> None:
    rows = [evaluation(second, market, p) for market, p in (("0xc1", 0.9), ("0xc2", 0.4)) for second in (0, 60)]
    report = compared(sampled("live", rows, {"0xc1": Side.UP, "0xc2": Side.DOWN}), STAKE, 0.02)
    told = "\n".join(text_lines(report))
    assert "2 windows, 4 evaluations scored of 0, the first in each 20th of a window" in told
    assert "came true, by what was said" in told
    assert "0.9 to 1.0" in told
    assert "The data can't tell additive from bayesian on 2 windows, and fewer than 20 never can" in told
    assert "bets of 25.000000" in told


def test_each_combiner_is_judged_against_the_other_and_against_the_market() -> None:
    """Thirty windows in which one combiner is nearly always right and the other nearly always wrong."""
    rows, won = [], {}
    for number in range(30):
        side = Side.UP if number % 2 else Side.DOWN
        won[f"0x{number}"] = side
        p = 0.8 if side is Side.UP else 0.2
        said = {"additive": EstimateSaid(1 - p, 0.6, "UP"), "bayesian": EstimateSaid(p, 0.6, "UP")}
        rows.append(evaluation(0, f"0x{number}", estimates=said))
    report = compared(sampled("live", rows, won), STAKE, 0.02)
    assert [text.split(" on ")[0] for text in report["verdicts"]] == [
        "additive is worse than bayesian", "additive is worse than the market's price",
        "bayesian is better than the market's price",
    ]
    assert report["pairs"][0]["windows"] == 30


def test_a_report_without_a_sample_has_every_key_of_one_with(tmp_path: Path) -> None:
    empty = compared(Studied("live", None), STAKE, 0.02)
    full = compared(sampled("live", [evaluation(0)], {"0xc1": Side.UP}), STAKE, 0.02)
    assert list(empty) == list(full)
