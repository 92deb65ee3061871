"""The figures of `polyhost report`: every table of P&L sums to the run's, whatever went wrong in it (OPS-04)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhost.configuration import load_configuration
from polyhost.errors import JournalError
from polyhost.journal import JournalStore
from polyhost.journal.analysis import AnalysisWriter
from polyhost.journal.codec import decode_record
from polyhost.kernel import ledger
from polyhost.kernel.state import fold, folding
from polyhost.lab.report import last_moment, reported
from polyhost.lab.report_results import (
    HOST,
    NOT_CLOSED,
    SETTLEMENT,
    Part,
    Results,
    apportioned,
    reason_of,
    shared,
)
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import chosen_pathologies
from polyhost.lab.summary import Extras, summary
from polyhost.model.commands import Analyse
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import ExitNow, ExitTarget
from polyhost.model.records import CloseRecorded, EarningsReported, OrderIntended, Record, RunEnded, RunStarted
from polyhost.model.study import EstimateSaid, Evaluation, Explained, SignalSaid
from polyhost.model.times import MarketMs
from polyhost.model.words import Side
from polyhost.service.why import windows

from ..kernel.rig import CONDITION, START, Rig, window

PLUGINS = Path(__file__).parents[1] / "plugins_for_tests"
TABLES = ("by_day", "by_window", "by_plugin", "by_exit_reason", "by_ender", "by_run")
DAY = 86_400_000


def unexplained(folder: Path, slugs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Where the why does not matter."""
    return {}


def written(folder: Path, records: Sequence[Record]) -> Path:
    folder.mkdir(exist_ok=True)
    store = JournalStore(folder / "journal.db", "main")
    store.commit(records)
    store.close()
    return folder


def sums(report: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Table → (P&L, fees) of its rows together."""
    return {
        name: (sum(micros(row["pnl"]) for row in report[name]), sum(micros(row["fees"]) for row in report[name]))
        for name in TABLES
    }


def round_trip(rig: Rig, side: Side = Side.UP, sold: str = "0.30", reason: str = "it fell to 0.30") -> None:
    """Buy 57 at 0.42 and sell them at market."""
    rig.enter(side)
    order = rig.order(rig.posted(rig.answer(ExitNow(side, reason))))
    rig.fill(order, sold)


def lost() -> Rig:
    """57 UP for 23.94 and their fee, sold for 17.10 less another."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    round_trip(rig)
    return rig


# --- the sums ---------------------------------------------------------------------------------------------------------


@cache
def stormy() -> list[Record]:
    """A simulated quarter of an hour under every pathology: restarts, hedges, scale-ins, forced closes."""
    loaded = load_configuration(None, {
        "plugin_paths": [str(PLUGINS / "reversal.py")], "markets.symbols": ["BTC"], "plugins.turner.trusted": True,
        "plugins.entry_policy.enabled": False,
    }, env={})
    simulation = Simulation(3, Plan(0.25, chosen_pathologies(["all"]), 6.0), loaded)
    assert not simulation.run().broken
    return [decode_record(body) for body in simulation.journal.bodies]


def test_ops_04_every_table_sums_to_the_runs_own_pnl_to_the_micro_unit(tmp_path: Path) -> None:
    records = stormy()
    told = summary(fold(records), Extras())
    report = reported(written(tmp_path / "data", records), windows)
    assert micros(told["pnl"]["central"]) != 0
    assert told["positions_open"] == 0
    assert report["pnl"]["central"] == told["pnl"]["central"] == report["cash"]["all_pnl"]
    expected = micros(told["pnl"]["central"]), micros(told["fees"])
    assert sums(report) == dict.fromkeys(TABLES, expected)
    assert report["curve"][-1][1] == told["pnl"]["central"]
    assert report["costs"]["total"]["fees"] == told["fees"]
    assert sum(micros(row["fees"]) for row in report["costs"]["by_purpose"]) == micros(told["fees"])
    cash = {name: micros(amount) for name, amount in report["cash"].items()}
    assert cash["start"] + cash["all_pnl"] + cash["rewards"] == cash["end"]
    # What a summary tells of each window is what the report tells of it.
    assert {row["condition_id"]: row["pnl"] for row in report["by_window"]} == {
        row["condition_id"]: row["pnl"] for row in told["by_window"] if row["entries"]
    }
    plugins = {row["plugin"] for row in report["by_plugin"]}
    assert plugins == {"turner", "scale_in"}
    assert {"exit_plan", SETTLEMENT} <= {row["ended_by"] for row in report["by_ender"]}
    assert len(report["by_run"]) > 1, "hosts were killed and started again"
    assert report["problems"] == []


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_ops_04_the_sums_hold_wherever_the_journal_ends(cut: int) -> None:
    """A running host's journal may end between a fill and its close."""
    records = stormy()[: cut % len(stormy()) + 1]
    results = Results()
    state = fold(records)
    for record in records:
        results.see(record)
    counted, unfinished = results.found(state)
    told = summary(state, Extras())
    assert sum(each.pnl for each in counted) == micros(told["pnl"]["central"])
    assert sum(share.pnl for each in counted for share in each.entered) == micros(told["pnl"]["central"])
    assert sum(each.pnl for each in (*counted, *unfinished)) == sum(each.pnl for each in state.closes) + sum(
        each.pnl for each in counted if each.reason == NOT_CLOSED
    )
    for each in counted:
        assert (sum(share.pnl for share in each.entered), sum(share.fees for share in each.entered)) == (
            each.pnl, each.fees,
        )


def test_what_the_ledger_knows_beyond_the_closes_is_a_row_of_its_own(tmp_path: Path) -> None:
    rig = lost()
    (place,) = (place for place, record in enumerate(rig.records) if isinstance(record, CloseRecorded))
    report = reported(written(tmp_path / "data", rig.records[:place]), unexplained)
    assert [row["reason"] for row in report["by_exit_reason"]] == [NOT_CLOSED]
    assert [row["plugin"] for row in report["by_plugin"]] == [HOST]
    assert micros(report["pnl"]["central"]) == sum(
        record.pnl for record in rig.records if isinstance(record, CloseRecorded)
    )


@given(st.integers(-10**12, 10**12), st.lists(st.integers(0, 10**9), min_size=1).filter(any))
def test_a_division_by_weights_loses_nothing_and_is_off_by_less_than_a_unit(amount: int, weights: list[int]) -> None:
    parts = apportioned(amount, weights)
    assert sum(parts) == amount
    assert all(
        abs(part * sum(weights) - amount * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True)
    )


_MONEY = st.integers(0, 10**9)
_PARTS = st.dictionaries(st.sampled_from("abc"), st.builds(Part, st.integers(-10**9, 10**9), _MONEY, _MONEY))


@given(st.integers(-10**12, 10**12), _MONEY, _PARTS, _PARTS)
def test_what_counts_to_plugins_sums_to_the_close_whatever_was_bought(
    pnl: int, fees: int, parts: dict[str, Part], before: dict[str, Part]
) -> None:
    found = shared(pnl, fees, parts, before)
    assert (sum(each.pnl for each in found), sum(each.fees for each in found)) == (pnl, fees)


def test_each_plugin_bears_what_it_paid() -> None:
    """10 shares for 4.00 and 10 for 8.00, sold together for 14.00: these made 3.00, those lost 1.00."""
    parts = {"early": Part(10_000_000, 4_000_000, 0), "late": Part(10_000_000, 8_000_000, 0)}
    assert [(each.plugin, each.pnl) for each in shared(2_000_000, 0, parts, {})] == [
        ("early", 3_000_000), ("late", -1_000_000)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rests at 0.99 from an age of 20 s; moved to 0.66", "rests at N from an age of N s; moved to N"),
        ("the estimate favours DOWN by 0.33", "the estimate favours SIDE by N"), ("settled (ahead)", "settled (ahead)"),
        ("stop at -12.5%", "stop at N"), ("rsi14 turned", "rsi14 turned"), ("", "no reason given"),
    ],
)
def test_reasons_that_differ_by_figures_alone_are_one(text: str, reason: str) -> None:
    assert reason_of(text) == reason


# --- time, runs, what is open -----------------------------------------------------------------------------------------


def test_runs_and_days_stand_apart_and_a_time_takes_its_part_of_both(tmp_path: Path) -> None:
    """What was bought by one run and settled by the next is the next one's, on its day."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    round_trip(rig)
    rig.enter(Side.DOWN, "0.60")
    rig.records.append(RunEnded(MarketMs(rig.now), "run-1", "stopped"))
    rig.now += DAY
    rig.records.append(RunStarted(MarketMs(rig.now), "run-2", "0.2.0", "sim", "hash2", "main"))
    rig.resolve(Side.DOWN)
    folder = written(tmp_path / "data", rig.records)
    report = reported(folder, unexplained)
    first, second = (micros(row["pnl"]) for row in report["by_run"])
    assert first < 0 < second
    assert [(row["run"], row["version"], row["ended"]) for row in report["by_run"]] == [
        ("run-1", "0.1.0", "stopped"), ("run-2", "0.2.0", None)
    ]  # fmt: skip
    assert [micros(row["pnl"]) for row in report["by_day"]] == [first, second]
    today = reported(folder, unexplained, since=rig.now - 1_000)
    assert micros(today["pnl"]["central"]) == second
    assert sums(today) == dict.fromkeys(TABLES, (second, micros(today["pnl"]["fees"])))
    assert (today["costs"]["total"]["fills"], len(today["by_run"])) == (0, 1)
    before = reported(folder, unexplained, until=rig.now - 1_000)
    assert micros(before["pnl"]["central"]) == first
    # Cash is the journal's, whatever the time.
    assert today["cash"] == before["cash"] == report["cash"]
    assert report["open"]["unredeemed_windows"] == [
        {"slug": rig.market.slug, "condition_id": CONDITION, "amount": report["open"]["unredeemed"]}
    ]  # fmt: skip
    assert last_moment(folder, rig.now + DAY) == rig.now, "a simulation's clock stood still"


def test_a_live_folder_counts_back_from_now(tmp_path: Path) -> None:
    rig = lost()
    records = [msgspec.structs.replace(each, mode="live") if isinstance(each, RunStarted) else each
               for each in rig.records]
    assert last_moment(written(tmp_path / "data", records), rig.now + DAY) == rig.now + DAY


def test_a_window_with_open_shares_counts_apart_until_it_is_flat(tmp_path: Path) -> None:
    rig = lost()
    rig.enter(Side.DOWN, "0.60")
    report = reported(written(tmp_path / "data", rig.records), unexplained)
    assert (report["pnl"]["central"], report["by_window"]) == ("0.000000", [])
    opened = report["open"]
    assert opened["closes"] == 1
    assert micros(opened["realised"]) == sum(each.pnl for each in rig.kernel.state.closes)
    (position,) = opened["positions"]
    assert (position["side"], position["worth"], opened["in_positions"]) == ("DOWN", None, position["cost"])


def test_a_position_is_worth_what_the_last_evaluation_would_pay(tmp_path: Path) -> None:
    rig = lost()
    rig.enter(Side.DOWN, "0.60")
    folder = written(tmp_path / "data", rig.records)
    analysed(folder, evaluations=[evaluation(0, bid=3_000, ask=3_600)])
    (position,) = reported(folder, unexplained)["open"]["positions"]
    assert micros(position["worth"]) == micros(position["size"]) * 6_400 // 10_000


def test_nothing_that_was_ever_run_is_said(tmp_path: Path) -> None:
    for ask in (lambda: reported(tmp_path, unexplained), lambda: last_moment(tmp_path, 0)):
        with pytest.raises(JournalError, match="nothing was ever run"):
            ask()


# --- costs ------------------------------------------------------------------------------------------------------------


def test_evd_06_fees_and_slippage_are_measured_per_fill_against_schedule_and_quote(tmp_path: Path) -> None:
    """57 shares bought at the ask that was seen, and sold 0.10 below the bid that was seen."""
    costs = reported(written(tmp_path / "data", lost().records), unexplained)["costs"]
    entry, exit_ = costs["by_purpose"]
    assert (entry["purpose"], entry["role"], entry["slippage"]) == ("entry", "taker", "0.000000")
    assert (exit_["purpose"], exit_["slippage"], exit_["slippage_ticks"]) == ("exit", "5.700000", 1000.0)
    assert costs["total"]["fees"] == costs["total"]["scheduled_fees"] != "0.000000"
    assert costs["total"]["volume"] == f"{57 * 0.42 + 57 * 0.30:.6f}"


def test_without_a_quote_in_its_record_a_fill_has_no_slippage(tmp_path: Path) -> None:
    records = [
        msgspec.structs.replace(each, why={"plugin": "test", "ask": "1", "bid": ""})
        if isinstance(each, OrderIntended) else each for each in lost().records
    ]
    total = reported(written(tmp_path / "data", records), unexplained)["costs"]["total"]
    assert (total["fills"], total["measured_fills"], total["slippage_ticks"]) == (2, 0, None)


def test_what_rested_until_it_was_taken_has_no_slippage(tmp_path: Path) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    sell = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.60"))))
    rig.accept(sell)
    rig.trade(rig.order(sell), "57", "0.60", maker=True)
    costs = reported(written(tmp_path / "data", rig.records), unexplained)["costs"]
    assert [(row["purpose"], row["role"], row["measured_fills"]) for row in costs["by_purpose"]] == [
        ("entry", "taker", 1), ("exit", "maker", 0)
    ]  # fmt: skip


def test_a_trade_that_failed_cost_nothing(tmp_path: Path) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    order = rig.order(rig.posted(rig.answer(ExitNow(Side.UP, "stop"))))
    rig.trade(order, "57", "0.30", trade_id="bad")
    rig.trade(order, "57", "0.30", "FAILED", trade_id="bad")
    report = reported(written(tmp_path / "data", rig.records), unexplained)
    assert report["costs"]["total"]["fills"] == 1
    assert [row["side"] for row in report["open"]["positions"]] == ["UP"]


def test_a_failed_sale_and_its_repetition_count_to_who_bought(tmp_path: Path) -> None:
    rig = lost()
    rig.trade(next(reversed(rig.kernel.state.orders.values())), "57", "0.30", "FAILED", trade_id="none")
    results = Results()
    for record, _ in folding(rig.records):
        results.see(record)
    again = msgspec.structs.replace(rig.kernel.state.closes[-1], pnl=-1_000_000)
    results.see(again)
    assert [each.plugin for each in results.closed[-1].entered] == ["test"]


def test_rew_03_rewards_are_what_the_books_and_the_venue_say(tmp_path: Path) -> None:
    rig = lost()
    day = rig.now // DAY
    more: list[Record] = [
        ledger.reward(MarketMs(rig.now), "r1", 1_500_000), EarningsReported(MarketMs(rig.now), day, CONDITION, 7, 5),
        ledger.reward(MarketMs(rig.now + DAY), "r2", 250_000),
    ]
    folder = written(tmp_path / "data", [*rig.records, *more])
    rewards = reported(folder, unexplained)["rewards"]
    assert rewards["paid"] == "1.750000"
    assert [(row["slug"], row["rewards"], row["rebates"]) for row in rewards["earned"]] == [
        (rig.market.slug, "0.000007", "0.000005")
    ]  # fmt: skip
    later = reported(folder, unexplained, since=(day + 1) * DAY)["rewards"]
    assert (later["paid"], later["earned"]) == ("0.250000", [])


# --- opinions and the worst windows -----------------------------------------------------------------------------------


def evaluation(at_s: float, **changes: Any) -> Evaluation:
    """Of the rig's window, both combiners at 0.60 for UP."""
    said = EstimateSaid(0.6, 0.2, "UP")
    plain = Evaluation(
        START + round(at_s * 1_000), CONDITION, window().slug, 1, START, 900_000 - round(at_s * 1_000), 4_000, 4_200, 1,
        1, 5, 70_000, 1, 0.41, "", 70_000.0, 9, None, None, "additive", "", {"s": SignalSaid(0.6, 0.5)},
        {"additive": said, "bayesian": said},
    )
    return msgspec.structs.replace(plain, **changes)


def wanted(at_s: float, outcome: str, gate: str = "", by: str = "sizer", plugin: str = "test") -> Explained:
    at = START + round(at_s * 1_000)
    return Explained(
        at, CONDITION, window().slug, 1, plugin, "entry", "UP", "", 4_200, 25_000_000, outcome, gate, by, ""
    )


def analysed(folder: Path, **rows: Sequence[Evaluation | Explained]) -> None:
    writer = AnalysisWriter(folder / "analysis.db")
    for table, given_rows in rows.items():
        for row in given_rows:
            writer.add(Analyse(table, msgspec.structs.asdict(row)))
    writer.close()


def test_evd_05_both_combiners_are_held_to_what_came_true(tmp_path: Path) -> None:
    rig = lost()
    rig.resolve(Side.UP)
    folder = written(tmp_path / "data", rig.records)
    analysed(
        folder, evaluations=[evaluation(second) for second in range(0, 900, 45)],
        explanations=[
            wanted(60, "order"), wanted(61, "veto", "veto", "guard"), wanted(62, "refused", "spread", "host"),
        ],
    )
    opinions = reported(folder, unexplained)["opinions"]
    scores = {each["name"]: each for each in opinions["scores"]["forecasters"]}
    assert list(scores) == ["market", "additive", "bayesian", "s"]
    for name in ("additive", "bayesian"):
        (row,) = scores[name]["reliability"]
        assert (row["from"], row["evaluations"], row["said"], row["came_true"]) == (0.6, 20, 0.6, 1.0)
    assert opinions["wanted"] == [
        {"plugin": "test", "wanted": 3, "orders": 1, "outcomes": {"order": 1, "refused": 1, "veto": 1}}
    ]  # fmt: skip
    assert {(row["by"], row["gate"]) for row in opinions["refused_by"]} == {("guard", "veto"), ("host", "spread")}
    late = reported(folder, unexplained, since=START + 61_500)["opinions"]
    assert late["scores"]["windows"] == 0, "only windows that began in the time are scored"
    assert [row["wanted"] for row in late["wanted"]] == [1]


def test_ops_04_the_worst_windows_come_with_their_why(tmp_path: Path) -> None:
    rig = lost()
    folder = written(tmp_path / "data", rig.records)
    (worst,) = reported(folder, windows)["worst"]
    assert (worst["slug"], worst["pnl"]) == (rig.market.slug, reported(folder, windows)["pnl"]["central"])
    assert [(close["side"], close["reason"], close["ended_by"]) for close in worst["closes"]] == [
        ("UP", "it fell to 0.30", "test")
    ]  # fmt: skip
    assert worst["why"] == windows(folder, [rig.market.slug])[rig.market.slug]
    assert [order["action"] for order in worst["why"]["orders"]] == ["BUY", "SELL"]
    assert reported(folder, windows, worst=0)["worst"] == []


def test_analysis_data_that_cannot_be_read_are_told_and_the_journals_figures_stand(tmp_path: Path) -> None:
    folder = written(tmp_path / "data", lost().records)
    (folder / "analysis.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    report = reported(folder, windows)
    assert len(report["problems"]) == 1
    assert report["problems"][0].startswith("analysis data: ")
    assert report["opinions"]["scores"] is None
    assert report["pnl"]["central"] != "0.000000"
    assert [each["why"] for each in report["worst"]] == [None]


def test_without_numpy_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("polyhost.lab.compare", "polyhost.lab.studied", "polyhost.lab.scoring"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    report = reported(written(tmp_path / "data", lost().records), windows)
    assert ["polyhost[analysis]" in problem for problem in report["problems"]] == [True]
    assert report["by_day"] != []
