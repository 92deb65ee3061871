"""NOT-05: one table of alerts. The kernel tells by its kinds only, and each row is raised by what its row says."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import polyhost.kernel
import polyhost_plugins
from polyhost.kernel.core import Core
from polyhost.kernel.kernel import TRIGGERS_MAX
from polyhost.model.alerts import ALERTS, TABLE
from polyhost.model.events import JournalChecked, LoopChanged, MarketResolved, Operator, PluginTold, SweepDone
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitNow, Trigger
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Side

from .rig import CONDITION, START, Rig

KERNEL: Final = Path(polyhost.kernel.__file__).parent
RAISED: Final = {
    "adopted": "adoption.test_pos_04_a_position_we_do_not_know_is_adopted_with_obligation_exits_and_cost",
    "foreign_shares": "adoption.test_ops_06_what_appears_while_the_host_runs_is_foreign_and_limits_count_it",
    "positions_torn": "adoption.test_pos_04_entries_wait_until_the_trades_are_compared_and_the_positions_are_whole",
    "query_failed": "adoption.test_pos_04_a_market_that_is_not_found_holds_entries_up_for_a_few_looks_only",
    "unresolved": "adoption.test_pos_04_a_position_closed_while_the_host_was_away_is_settled_at_the_next_start",
    "short": "shortage.test_ord_19_a_lock_that_is_not_ours_is_told_and_is_no_failure_of_ours",
    "order_unknown": "breakers.test_u7_a_fill_of_an_absent_order_trips_a_breaker",
    "absent": "breakers.test_u7_a_fill_of_an_absent_order_trips_a_breaker",
    "reappeared": "breakers.test_u7_a_fill_of_an_absent_order_trips_a_breaker",
    "breaker": "breakers.test_u7_a_fill_of_an_absent_order_trips_a_breaker",
    "order_refused": "blocks.test_ord_22_a_missing_approval_stops_entries_with_its_remedy_and_approves_nothing",
    "blocked": "blocks.test_con_06_a_cancel_that_is_taken_shows_that_trading_is_not_disabled",
    "blocked_lasting": "blocks.test_con_06_an_order_that_is_taken_opens_the_venue_again_as_far_as_it_proves",
    "repost": "blocks.test_u5_a_restart_of_the_engine_delays_the_second_post_and_cancels_nothing",
    "approval": "blocks.test_ord_22_the_approval_is_watched_with_every_balance_and_entries_resume_with_it",
    "order_illegal": "legality."
                     "test_ord_06_an_entry_that_is_a_gtd_without_a_life_is_refused_before_anything_is_recorded",
    "trade_failed": "attack.test_ord_17_a_close_of_shares_that_never_settled_does_not_sell_what_is_bought_later",
    "pair_ended": "attack.test_ord_13_a_hold_of_what_pairs_off_leaves_no_later_leg_unmanaged",
    "pair_refused": "attack.test_ord_13_a_hold_of_what_pairs_off_leaves_no_later_leg_unmanaged",
    "pair_broken": "attack.test_ord_13_shares_that_are_being_sold_do_not_pair_off",
    "status_unknown": "status_words.test_con_12_an_unknown_word_of_a_trade_is_exposure_that_cannot_be_sold_and_is_told",
    "foreign_order": "reconciliation.test_pos_10_every_row_of_a_comparison_is_mapped_or_named",
    "foreign_trade": "reconciliation.test_pos_10_every_row_of_a_comparison_is_mapped_or_named",
    "would_have": "shadow.test_ops_06_the_gate_that_kept_the_entry_out_is_shadow_with_the_whole_order",
    "doubt": "reconciliation.test_pos_02_the_venues_own_count_of_positions_keeps_shares_that_a_balance_denies",
    "corrected": "reconciliation.test_pos_02_one_reading_corrects_nothing_and_two_apart_do",
    "unexplained": "reconciliation.test_pos_11_a_position_never_grows_by_a_balance",
    "not_signed": "adoption.test_pos_04_a_token_that_was_tracked_and_settled_is_left_alone",
    "signing": "orders.test_an_unsigned_order_frees_its_reservation_and_a_configuration_fault_stops_entries",
    "pending_cancelled": "entry_styles.test_ord_06_a_life_is_kept_across_a_restart",
    "reprice_refused": "repricing.test_ord_14_only_the_plugin_that_owns_an_entry_re_prices_it",
    "reprice_rest": "repricing.test_ord_23_a_block_that_came_meanwhile_places_nothing_and_says_so",
    "quotes_many": "quotes.test_the_number_of_quotes_a_side_is_bounded",
    "action_done": "actions.test_pos_07_a_full_pair_is_merged_back_into_collateral",
    "action_empty": "actions.test_set_03_the_operator_redeems_what_a_decided_market_pays",
    "action_refused": "actions.test_rew_03_the_operators_merge_takes_what_is_free_and_cancels_nothing",
    "action_failed": "actions.test_a_refused_merge_gives_the_shares_back_and_is_not_repeated_at_once",
    "action_unknown": "actions.test_a_late_answer_counts",
    "settled": "actions.test_pos_07_a_full_pair_is_merged_back_into_collateral",
    "late_settle": "actions.test_set_03_a_split_that_ends_after_the_result_is_paid_out",
    "redeem_waits": "auto_settle."
                    "test_set_03_a_market_with_a_trade_that_may_still_fail_waits_and_is_told_after_half_an_hour",
    "reward_paid": "rewards.test_rew_01_a_payout_is_cash_booked_once_with_its_cause",
    "audit_missing": "audit.test_not_01_a_start_tells_the_last_day_again_for_who_missed_it",
    "loop_dead": "supervised.test_ord_15_a_loop_that_is_no_safety_loop_is_told_and_blocks_nothing",
    "plugin_strike": "plugin_life."
                     "test_plg_05_a_quarantine_is_a_record_and_a_notice_with_the_way_back_and_a_strike_is_a_notice",
    "plugin_quarantined": "plugin_life."
                          "test_plg_05_a_quarantine_is_a_record_and_a_notice_with_the_way_back_and_a_strike_is_a_notice",
    "outbox_given_up": "outbox."
                       "test_not_02_a_notice_that_a_channel_never_takes_holds_no_other_back_and_is_told_to_the_others",
}
"""Alert → the test of tests/kernel/test_kernel_….py in which it is raised; the others are raised in ``STORIES``."""
ALONE: Final = {"tick_unknown", "outbox_full", "late_match"}
"""Raised in tests of their own that take arguments: test_kernel_review, test_kernel_outbox, test_kernel_orders."""


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def stopped(urgency: str, reason: str = "test") -> Rig:
    rig = opened()
    rig.enter()
    rig.answer(ExitNow(Side.UP, reason, urgency))  # type: ignore[arg-type]
    return rig


def nobody_bids() -> Rig:
    rig = opened()
    rig.enter()
    rig.book("/0.42")
    rig.answer(ExitNow(Side.UP, "test", "stop"))
    return rig


def at_the_end() -> Rig:
    """Nobody bids to the very end."""
    rig = nobody_bids()
    rig.to(rig.market.end + 1)
    return rig


def obliged() -> Rig:
    """No plugin closes it: the deadline does."""
    rig = opened()
    rig.enter()
    rig.to(rig.market.end - 110_000)
    return rig


def an_orphan() -> Rig:
    """Over in our books, and in two lists of the venue's open orders."""
    rig = opened()
    order = rig.order(rig.posted(rig.answer(Enter(Side.UP, ticks("0.40"), "test", order_type="GTC"))))
    rig.canceled(order)
    assert not order.open
    for _ in range(2):
        assert "orphan" not in told_of(rig)
        rig.swept(rig.row(order, "LIVE", "0"))
    return rig


def told_of(rig: Rig) -> list[str]:
    return [record.text for record in rig.records if isinstance(record, NoticeRaised)]


def a_torn_comparison() -> Rig:
    rig = Rig(follow=False)
    rig.begin()
    rig.kernel._core.reconciling = True
    rig.do(SweepDone("", (), (), False, begun=rig.now))
    return rig


def late() -> Rig:
    rig = nobody_bids()
    rig.wait(5_100)
    return rig


def said(event: object) -> Callable[[], Rig]:
    def story() -> Rig:
        rig = opened()
        rig.do(event)  # type: ignore[arg-type]
        return rig

    return story


def many_triggers() -> Rig:
    rig = opened()
    prices = [ticks("0.10") + 100 * number for number in range(TRIGGERS_MAX + 1)]
    rig.answer(*(Trigger(Side.UP, "bid", "below", price) for price in prices))
    return rig


STORIES: Final[dict[str, Callable[[], Rig]]] = {
    "emergency_stop": lambda: stopped("stop"),
    "forced": lambda: stopped("forced_close"),
    "forced_by_host": obliged,
    "exit_late": late,
    "unmanaged": at_the_end,
    "orphan": an_orphan,
    "second_pass": a_torn_comparison,
    "loop_dead_safety": said(LoopChanged("user stream", False, "a bug")),
    "loop_alive": said(LoopChanged("user stream", True, "a bug")),
    "sealed": said(LoopChanged("sealed", False, "no space left")),
    "journal_check": said(JournalChecked("page 3 is torn")),
    "plugin_failed": said(PluginTold("mine", "on_fill", problem="ValueError")),
    "word_unknown": said(Operator("dance")),
    "triggers_many": many_triggers,
}


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kinds told of in this test."""
    seen: set[str] = set()
    real = Core.notice

    def notice(self: Core, kind: str, *more: str, **options: str) -> None:
        seen.add(kind)
        real(self, kind, *more, **options)

    monkeypatch.setattr(Core, "notice", notice)
    return seen


@pytest.mark.parametrize("kind", sorted(STORIES))
def test_not_05_an_alert_is_raised_with_its_level_and_topic(kind: str, kinds: set[str]) -> None:
    rig = STORIES[kind]()
    assert kind in kinds
    alert = ALERTS[kind]
    raised = [r for r in rig.records if isinstance(r, NoticeRaised)]
    assert (alert.level, alert.topic) in {(record.level, record.topic) for record in raised}


@pytest.mark.parametrize("kind", sorted(RAISED))
def test_not_05_an_alert_is_raised_in_the_test_of_what_it_tells(kind: str, kinds: set[str]) -> None:
    module, _, name = RAISED[kind].partition(".")
    getattr(import_module(f".test_kernel_{module}", __package__), name)()
    assert kind in kinds


def test_not_05_every_row_is_raised_by_a_test() -> None:
    plugins = {alert.kind for alert in TABLE if alert.by}
    assert plugins | ALONE | STORIES.keys() | RAISED.keys() == ALERTS.keys()
    assert len(ALERTS) == len(TABLE)


def calls(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called == name:
                yield node


def strings(node: ast.expr) -> set[object]:
    """The constants that an argument may be: one, or those of a choice."""
    if isinstance(node, ast.IfExp):
        return strings(node.body) | strings(node.orelse)
    if isinstance(node, ast.Name) and node.id == "SEALED":
        return {"sealed"}
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return {node.value}


def test_not_05_the_kernel_tells_by_the_kinds_of_the_table_and_every_kind_is_told() -> None:
    used = {
        kind for path in KERNEL.glob("*.py") for call in calls(path, "notice") for kind in strings(call.args[0])
    }
    assert used == {alert.kind for alert in TABLE if not alert.by}


@pytest.mark.parametrize("alert", [alert for alert in TABLE if alert.by], ids=lambda alert: alert.kind)
def test_not_05_a_shipped_plugins_alert_has_the_level_and_topic_of_the_table(alert: object) -> None:
    row = ALERTS[alert.kind]  # type: ignore[attr-defined]
    path = Path(polyhost_plugins.__file__).parent / f"{row.by}.py"
    pairs = {tuple(ast.literal_eval(argument) for argument in call.args[1:3]) for call in calls(path, "Notice")}
    assert (row.level, row.topic) in pairs


def test_not_05_a_window_that_ends_with_nothing_or_something_held_raises_nothing(kinds: set[str]) -> None:
    rig = opened()
    rig.to(rig.market.end + 1)
    rig.do(MarketResolved(CONDITION, Side.UP, "test"))
    held = opened()
    held.enter()
    held.book("0.95/0.96")
    held.to(held.market.end + 1)
    assert "unmanaged" not in kinds
    assert "exit_late" not in kinds


def test_ops_07_waiting_for_settlement_is_no_latency(kinds: set[str]) -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test"))))
    rig.trade(order, "59.52", "0.42", "MATCHED", trade_id="t1")
    rig.answer(ExitNow(Side.UP, "test", "stop"))
    rig.wait(12_000)
    assert "exit_late" not in kinds
    rig.trade(order, "59.52", "0.42", "CONFIRMED", trade_id="t1")
    rig.balances()
    rig.wait(1_500)
    sale = next(o for o in rig.kernel.state.orders.values() if o.draft.action.value == "SELL")
    assert int(sale.why["exit_latency_ms"]) <= 1_500
    assert "exit_late" not in kinds


def test_ops_07_a_sale_at_market_tells_its_latency(kinds: set[str]) -> None:
    rig = stopped("stop")
    first = next(o for o in rig.kernel.state.orders.values() if o.draft.action.value == "SELL")
    assert first.why["exit_latency_ms"] == "0"
    assert "exit_late" not in kinds
