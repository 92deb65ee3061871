"""EVD-01: three accounts of one pass, each with its own orders; a profit whose sign differs is no evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from polyhost.cli import main as front
from polyhost.lab.accounts import CENTRAL, FATES, OPTIMISTIC, PESSIMISTIC, SLOW_MS, judged
from polyhost.lab.backtest import Backtest, together
from polyhost.lab.summary import text_lines
from polyhost.lab.tape import Tape
from polyhost.model.money import ticks
from polyhost.model.proposals import Answer, ExitTarget
from polyhost.model.records import FillBooked
from polyhost.model.view import View
from polyhost.model.words import Action, Side
from polyhost.settings import Configuration

from .lab_tapes import START, Row, book, gamma, quiet_window, resolved, trade, write
from .test_lab_backtest import Scripted, buy_once_and_hold

END = START + 900_000
AT = START + 120_000


def fills(tmp_path: Path, rows: list[Row], answer: Any, action: Action) -> dict[str, list[FillBooked]]:
    """What each account got, over one pass."""
    passes = [Backtest(Configuration(), Scripted(answer), fate=fate) for fate in FATES]
    together(passes, [Tape(write(tmp_path / "t.jsonl", rows))])
    return {
        each.fate.name: [
            record for _, record in each.journal.read() if isinstance(record, FillBooked) and record.action is action
        ]
        for each in passes
    }


def resting_exit(view: View) -> list[Answer]:
    return [ExitTarget(Side.UP, ticks("0.50"), "test")] if view.positions else buy_once_and_hold()(view)


@pytest.mark.parametrize(
    ("event", "filled"),
    [
        (trade(AT, "0.49", "100"), set()),
        (trade(AT, "0.50", "100"), {"optimistic"}),
        (trade(AT, "0.51", "100"), {"pessimistic", "central", "optimistic"}),
        (book(AT, "0.49", "0.51"), set()),
        (book(AT, "0.50", "0.51"), {"central", "optimistic"}),
        (book(AT, "0.51", "0.52"), {"pessimistic", "central", "optimistic"}),
    ],
)
def test_evd_01_where_a_resting_order_stands_in_the_queue_decides_what_fills_it(
    tmp_path: Path, event: Row, filled: set[str]
) -> None:
    sold = fills(tmp_path, [*quiet_window(until_ms=119_000), event], resting_exit, Action.SELL)
    assert {name for name, found in sold.items() if found} == filled
    assert {fill.price for found in sold.values() for fill in found} <= {ticks("0.50")}


def test_evd_01_the_pessimistic_account_is_late_and_the_optimistic_at_once(tmp_path: Path) -> None:
    """The ask of 0.41 is gone 200 ms after the decision: only who is quick gets it; then it is 0.39 for a while."""
    rows = [gamma(START - 1_000), *(book(START + ms, "0.40", "0.41") for ms in range(0, 60_000, 1_000))]
    rows += [book(START + 60_100, "0.38", "0.40"), book(START + 60_400, "0.38", "0.39")]
    bought = fills(tmp_path, rows, buy_once_and_hold(), Action.BUY)
    got = {name: (found[0].price, found[0].at - START) for name, found in bought.items()}
    assert got["optimistic"] == (ticks("0.41"), 60_001)
    assert got["central"] == (ticks("0.40"), 60_151)
    assert got["pessimistic"] == (ticks("0.39"), 60_001 + SLOW_MS + 150 + SLOW_MS)


def test_evd_01_of_a_level_without_a_size_the_pessimistic_account_gets_nothing(tmp_path: Path) -> None:
    rows = [gamma(START - 1_000)]
    for ms in range(0, 120_000, 1_000):
        quote = {"event_type": "best_bid_ask", "asset_id": "101", "best_bid": "0.40", "best_ask": "0.41"}
        rows.append({"ts": START + ms, "source": "polymarket", "msg": quote})
    bought = fills(tmp_path, rows, buy_once_and_hold(), Action.BUY)
    assert {name for name, found in bought.items() if found} == {"central", "optimistic"}


def test_evd_01_one_pass_gives_each_account_what_it_gets_alone(tmp_path: Path) -> None:
    """They share the reading of the tape and nothing else."""
    path = write(tmp_path / "t.jsonl", [*quiet_window(until_ms=200_000), trade(AT, "0.50", "9"), resolved(END)])
    alone = [Backtest(Configuration(), Scripted(resting_exit), fate=fate) for fate in FATES]
    for each in alone:
        each.run([Tape(path)])
    shared = [Backtest(Configuration(), Scripted(resting_exit), fate=fate) for fate in FATES]
    together(shared, [Tape(path)])
    assert [each.journal.bodies for each in shared] == [each.journal.bodies for each in alone]
    assert shared[0].journal.bodies != shared[2].journal.bodies


@pytest.mark.parametrize(
    ("figures", "begins"),
    [
        (("-1.000000", "0.000001", "2.000000"), "not evidence"),
        (("0.000000", "0.000001", "2.000000"), "not evidence"),
        (("0.000001", "0.000001", "2.000000"), "a profit however"),
        (("-2.000000", "-1.000000", "-0.000001"), "a loss however"),
        (("-2.000000", "0.000000", "0.000000"), "not evidence"),
        (("0.000000", "0.000000", "0.000000"), "no profit and no loss"),
    ],
)
def test_evd_01_a_sign_that_differs_is_no_evidence(figures: tuple[str, str, str], begins: str) -> None:
    names = (PESSIMISTIC.name, CENTRAL.name, OPTIMISTIC.name)
    assert judged(dict(zip(names, figures, strict=True))).startswith(begins)


def test_evd_01_backtest_tells_all_three_figures(tmp_path: Path) -> None:
    rows = [*quiet_window(), resolved(END + 8_000)]
    path = write(tmp_path / "t.jsonl", rows)
    answer = CliRunner().invoke(front.app, ["backtest", str(path), "--json"])
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert list(report["pnl"]) == ["pessimistic", "central", "optimistic"]
    assert list(report["accounts"]) == ["pessimistic", "central", "optimistic"]
    assert report["evidence"].startswith("no profit and no loss")
    told = text_lines(report)
    assert any("P&L pessimistic 0.000000, central 0.000000, optimistic 0.000000" in line for line in told)
    assert report["evidence"] in told
    alone = CliRunner().invoke(front.app, ["backtest", str(path), "--central", "--json"])
    assert json.loads(alone.stdout)["pnl"] == {"central": "0.000000"}
    assert json.loads(alone.stdout)["evidence"] == "one account alone: no statement"


def test_evd_01_entries_of_a_strategy_that_differ_in_luck_make_no_evidence(tmp_path: Path) -> None:
    """UP bought at 0.41 and offered at 0.50, where only the first in the queue sells; the others are forced out."""
    rows = [*quiet_window(until_ms=200_000), trade(AT, "0.50", "100"), resolved(END + 8_000, "DOWN")]
    passes = [Backtest(Configuration(), Scripted(resting_exit), fate=fate) for fate in FATES]
    reports = together(passes, [Tape(write(tmp_path / "t.jsonl", rows))])
    figures = {each.fate.name: report["pnl"]["central"] for each, report in zip(passes, reports, strict=True)}
    assert figures["central"] == figures["pessimistic"] == "-1.005860"
    assert float(figures["optimistic"]) > 0
    assert judged(figures).startswith("not evidence")


def test_a_buy_is_never_better_for_the_pessimist(tmp_path: Path) -> None:
    """Same decision, same quiet book: all three pay the same."""
    bought = fills(tmp_path, quiet_window(until_ms=70_000), buy_once_and_hold(), Action.BUY)
    assert {(fill.price, fill.size) for found in bought.values() for fill in found} == {(ticks("0.41"), 23_000_000)}
