"""Reconciliation: host and venue are compared all the time, nothing is lost by it and nothing grows by it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from polyhost.kernel.allowance import Allowance
from polyhost.kernel.state import PositionEntry, fold
from polyhost.model.commands import (
    Command,
    Post,
    Prepare,
    QueryBalance,
    QueryPositions,
    QueryResult,
    QueryTokenBalance,
    Sweep,
)
from polyhost.model.events import PositionsSeen, StreamChanged, SweepDone, TokenBalanceSeen
from polyhost.model.gateway import PositionRow, TradeRow
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget
from polyhost.model.records import (
    CloseRecorded,
    FillBooked,
    LedgerPosted,
    NoticeRaised,
    ObligationMet,
    PositionCorrected,
    Record,
    UnexplainedSeen,
)
from polyhost.model.words import Action, Side

from .rig import CONDITION, DOWN, START, UP, Rig, cancels, none, only

BUY_UP = Enter(Side.UP, ticks("0.42"), "test")
TARGET = ExitTarget(Side.UP, ticks("0.60"))


def opened(**settings: Any) -> Rig:
    rig = Rig(settings=settings)
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def holding(side: Side = Side.UP) -> Rig:
    rig = opened()
    rig.enter(side)
    return rig


def position(rig: Rig, side: Side = Side.UP) -> PositionEntry:
    found = rig.kernel.state.position(CONDITION, side)
    assert found is not None
    return found


class Venue:
    """Answers what reconciliation asks, with balances that the test sets."""

    def __init__(self, rig: Rig, balance: int, *, positions: int | None = -1, sweeps: bool = True) -> None:
        """``positions``: what the venue's own count says; -1: the same as the balance, None: it never answers."""
        self.rig = rig
        rig.shares_read = False
        self.balance = balance
        self.positions = positions
        self.sweeps = sweeps
        self.asked: list[Command] = []

    def wait(self, ms: int) -> list[Record]:
        """Time passes in steps of half a second, with every question answered; the records that were written."""
        before = len(self.rig.records)
        data = self.rig.kernel.data(CONDITION)
        end = self.rig.now + ms
        while self.rig.now < end:
            if data is not None:
                data.book.changed_at = self.rig.now
            todo = self.rig.wait(min(500, end - self.rig.now))
            while todo:
                self.asked += todo
                todo = [more for command in todo for more in self.answer(command)]
        return self.rig.records[before:]

    def answer(self, command: Command) -> list[Command]:
        match command:
            case QueryTokenBalance(token_id=token) if token == UP:
                return self.rig.do(TokenBalanceSeen(UP, self.balance))
            case QueryTokenBalance(token_id=token):
                held = self.rig.kernel.state.position(CONDITION, Side.DOWN)
                return self.rig.do(TokenBalanceSeen(token, 0 if held is None else held.size))
            case Sweep(condition_id=condition_id, begun=begun) if self.sweeps:
                rows = tuple(
                    self.rig.row(order, "LIVE", None) for order in self.rig.kernel.state.open_orders(CONDITION)
                )
                return self.rig.do(SweepDone(condition_id, rows, (), True, begun=begun))
            case QueryPositions(begun=begun) if self.positions is not None:
                size = self.balance if self.positions == -1 else self.positions
                rows_held = (PositionRow(UP, CONDITION, size, ticks("0.42")),) if size else ()
                return self.rig.do(PositionsSeen(rows_held, True, begun=begun))
            case Prepare():
                return self.rig.sign(command.draft)
            case Post():
                return self.rig.accept(command)
            case _:
                return []


def written(records: list[Record], *kinds: type) -> list[Record]:
    return [record for record in records if isinstance(record, kinds)]


CHANGES = (PositionCorrected, UnexplainedSeen, FillBooked, LedgerPosted, CloseRecorded)


# --- the comparison after a (re)connect -------------------------------------------------------------------------------


def test_ord_10_a_sweep_begun_before_a_second_reconnect_does_not_end_the_comparison() -> None:
    """It may have been answered before what was missed while the stream was down a second time."""
    rig = opened()
    first = only(rig.do(StreamChanged("user", True, 2, "reconnected")), Sweep)
    rig.wait(300)
    rig.do(StreamChanged("user", False, 3, "gone again"))
    rig.wait(300)
    second = only(rig.do(StreamChanged("user", True, 4, "reconnected")), Sweep)
    assert first.begun < second.begun == rig.now
    rig.do(SweepDone("", (), (), True, begun=first.begun))
    none(rig.answer(BUY_UP), Prepare)
    rig.do(SweepDone("", (), (), True, begun=second.begun))
    only(rig.answer(BUY_UP), Prepare)


def test_ord_10_a_close_that_arrives_during_a_comparison_is_applied_at_once() -> None:
    rig = holding()
    sell = rig.posted(rig.answer(TARGET))
    rig.accept(sell)
    rig.do(StreamChanged("user", True, 2, "reconnected"))
    order = rig.order(sell)
    rig.trade(order, f"{order.draft.size / 1e6}", "0.60", "MATCHED", maker=True)
    assert position(rig).size == 0
    assert position(rig).closed


def test_ord_11_events_during_a_comparison_do_not_restart_it() -> None:
    rig = holding()
    swept = only(rig.do(StreamChanged("user", True, 2, "reconnected")), Sweep)
    sell = rig.posted(rig.answer(TARGET))
    rig.accept(sell)
    for _ in range(20):
        caused = rig.see(rig.order(sell), "LIVE", "0", "UPDATE")
        none(caused, Sweep)
    rig.do(SweepDone("", (rig.row(rig.order(sell), "LIVE", "0"),), (), True, begun=swept.begun))
    assert "reconciling" not in dict(rig.kernel.blocks())


# --- in turn (POS-10) -------------------------------------------------------------------------------------------------


def test_pos_10_balances_of_open_positions_are_read_in_turn_one_a_second() -> None:
    rig = holding()
    rig.enter(Side.DOWN, price="0.60")
    venue = Venue(rig, position(rig).size)
    venue.wait(10_000)
    venue.asked.clear()
    venue.wait(20_000)
    tokens = [command.token_id for command in venue.asked if isinstance(command, QueryTokenBalance)]
    assert 14 <= len(tokens) <= 20
    assert all(one != other for one, other in pairwise(tokens))
    assert set(tokens) == {UP, DOWN}


def test_ord_03_balance_calls_are_one_a_second_on_average_and_five_at_once() -> None:
    bucket = Allowance(1_000, 5)
    assert [bucket.take(10_000) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.take(10_999), bucket.take(11_000), bucket.take(11_000)] == [False, True, False]
    assert not bucket.full(15_999)
    assert bucket.full(16_000)
    rig = holding()
    rig.wait(10_000)
    calls = [c for c in rig.wait(60_000) if isinstance(c, QueryTokenBalance | QueryBalance)]
    assert 50 <= len(calls) <= 61


def test_ord_03_a_reading_that_is_refused_for_now_is_made_in_its_turn() -> None:
    rig = holding()
    core = rig.kernel._core
    for number in range(8):
        core.ask_balance(f"t{number}")
    core.take()
    asked = [c.token_id for c in rig.wait(20_000) if isinstance(c, QueryTokenBalance)]
    late = [token for token in asked if token.startswith("t")]
    assert late == sorted(late)
    assert late[-1] == "t7"


def test_pos_10_orders_and_trades_of_the_key_are_compared_every_minute_give_or_take() -> None:
    rig = opened()
    times = []
    end = rig.now + 600_000
    while rig.now < end:
        times += [rig.now for c in rig.wait(1_000) if isinstance(c, Sweep) and not c.condition_id]
    gaps = {later - earlier for earlier, later in pairwise(times)}
    assert 9 <= len(times) <= 11
    assert len(gaps) > 1, "jittered"
    assert all(53_000 <= gap <= 67_000 for gap in gaps)


def test_pos_10_a_pass_that_finds_nothing_writes_nothing_however_often_it_runs() -> None:
    rig = holding()
    only(rig.do(StreamChanged("user", True, 5)), Sweep)
    venue = Venue(rig, position(rig).size)
    for command in rig.do(StreamChanged("user", True, 6)):
        venue.answer(command)
    assert venue.wait(400_000) == []
    assert any(isinstance(c, QueryPositions) for c in venue.asked)
    state = rig.kernel.state
    assert state == fold(rig.records)


def test_con_14_the_age_of_every_comparison_is_told() -> None:
    rig = holding()
    venue = Venue(rig, position(rig).size)
    venue.wait(310_000)
    ages = rig.kernel.reconciliation.ages()
    assert set(ages) == {"collateral_ms", "balances_ms", "orders_and_trades_ms", "positions_ms"}
    for name, limit in (("balances_ms", 5_000), ("orders_and_trades_ms", 67_000), ("positions_ms", 340_000)):
        age = ages[name]
        assert age is not None
        assert age <= limit, name


# --- shares that are gone (POS-02, POS-03, T5) ------------------------------------------------------------------------


def test_pos_02_a_balance_of_zero_right_after_a_fill_is_lag() -> None:
    """For nine seconds the venue shows nothing; then the shares are there."""
    rig = holding()
    size = position(rig).size
    venue = Venue(rig, 0, positions=size)
    assert written(venue.wait(9_000), *CHANGES) == []
    venue.balance = size
    assert written(venue.wait(30_000), *CHANGES) == []
    assert position(rig).size == size
    assert rig.kernel.reconciliation.doubted == 0


def test_pos_02_one_reading_corrects_nothing_and_two_apart_do() -> None:
    rig = holding()
    size = position(rig).size
    venue = Venue(rig, size - micros("10"))
    early = venue.wait(9_500)
    assert written(early, *CHANGES) == []
    late = venue.wait(6_000)
    corrected = written(late, PositionCorrected)
    assert [(c.size, c.seen, c.evidence) for c in corrected if isinstance(c, PositionCorrected)] == [
        (micros("10"), size - micros("10"), "positions")
    ]
    assert position(rig).size == size - micros("10")
    assert rig.kernel.broken_invariants() == []


def test_pos_02_two_readings_that_differ_from_each_other_correct_nothing() -> None:
    rig = holding()
    size = position(rig).size
    venue = Venue(rig, 0, positions=None)
    for step in range(40):
        venue.balance = size - micros(str(1 + step % 2))
        assert written(venue.wait(4_000), PositionCorrected) == []


def test_pos_02_the_venues_own_count_of_positions_keeps_shares_that_a_balance_denies() -> None:
    rig = holding()
    venue = Venue(rig, 0, positions=position(rig).size)
    records = venue.wait(400_000)
    assert written(records, PositionCorrected) == []
    told = [r.text for r in records if isinstance(r, NoticeRaised) and "nothing is changed" in r.text]
    assert told


def test_pos_03_shares_taken_by_hand_leave_at_cost_exits_shrink_and_it_is_told() -> None:
    rig = holding()
    size, cost = position(rig).size, position(rig).cost
    sell = rig.posted(rig.answer(TARGET))
    rig.accept(sell)
    free = rig.cash()
    records = Venue(rig, size // 2 // 10_000 * 10_000).wait(20_000)
    left = position(rig).size
    assert left == size // 2 // 10_000 * 10_000
    assert sell.request.order_id in cancels(rig.commands)
    told = [r.text for r in records if isinstance(r, NoticeRaised) and "are gone" in r.text]
    assert len(told) == 1
    assert "by hand" in told[0]
    assert rig.cash() == free, "no money is made up"
    assert position(rig).pnl == 0
    assert abs(position(rig).cost - cost * left // size) <= 1
    assert rig.kernel.state.balance("by_hand") > 0
    order = rig.order(sell)
    again = only(rig.canceled(order), Prepare).draft
    assert again.action is Action.SELL
    assert again.size == left


def test_pos_03_a_position_that_is_all_gone_is_closed_without_profit_or_loss() -> None:
    rig = holding()
    records = Venue(rig, 0).wait(20_000)
    close = next(r for r in records if isinstance(r, CloseRecorded))
    assert (close.exit_reason, close.pnl, close.sell_failed) == ("taken by hand", 0, False)
    assert [r.how for r in records if isinstance(r, ObligationMet)] == ["closed"]
    assert rig.kernel.state.obligations == {}
    assert rig.kernel.broken_invariants() == []
    rig.resolve(Side.UP)
    assert rig.kernel.broken_invariants() == []
    assert rig.cash("unredeemed") == 0


def test_pos_02_nothing_is_corrected_while_something_of_ours_is_in_flight() -> None:
    """A sale that is not answered explains any balance."""
    rig = holding()
    sell = rig.posted(rig.answer(ExitNow(Side.UP, "test")))
    venue = Venue(rig, 0)
    assert written(venue.wait(60_000), PositionCorrected) == []
    assert rig.order(sell).open


def test_pos_02_a_trade_that_explains_the_difference_is_booked_instead() -> None:
    """Precedence: trades, then positions, then the balance."""
    rig = holding()
    size = position(rig).size
    sell = rig.posted(rig.answer(TARGET))
    rig.accept(sell)
    venue = Venue(rig, size - micros("20"), sweeps=False)
    venue.wait(5_000)
    asked = [c for c in venue.asked if isinstance(c, Sweep) and c.condition_id == CONDITION]
    assert asked, "trades are asked for first"
    rig.trade(rig.order(sell), "20", "0.60", "CONFIRMED", maker=True)
    assert written(venue.wait(60_000), PositionCorrected) == []
    assert position(rig).size == size - micros("20")


def test_pos_02_without_a_whole_comparison_of_trades_nothing_is_corrected() -> None:
    rig = holding()
    assert written(Venue(rig, 0, sweeps=False).wait(400_000), PositionCorrected) == []


def test_pos_02_a_resting_sell_that_the_comparison_does_not_list_may_have_been_filled() -> None:
    rig = holding()
    sell = rig.posted(rig.answer(TARGET))
    rig.accept(sell)
    venue = Venue(rig, 0, sweeps=False)
    for _ in range(6):
        venue.wait(5_000)
        caused = rig.do(SweepDone(CONDITION, (), (), True, begun=rig.now))
        assert any(getattr(c, "order_id", "") == sell.request.order_id for c in caused), "asked by id"
    assert position(rig).taken == 0


def test_pos_05_zero_for_five_minutes_leads_to_a_settlement_check_and_a_recorded_end() -> None:
    """The venue's count of positions never answers."""
    rig = holding()
    venue = Venue(rig, 0, positions=None)
    assert written(venue.wait(290_000), PositionCorrected) == []
    assert not any(isinstance(c, QueryResult) for c in venue.asked)
    records = venue.wait(70_000)
    assert any(isinstance(c, QueryResult) for c in venue.asked)
    assert [r.evidence for r in records if isinstance(r, PositionCorrected)] == ["balances alone"]
    assert position(rig).closed


# --- shares too many (POS-11) -----------------------------------------------------------------------------------------


def test_pos_11_a_position_never_grows_by_a_balance() -> None:
    rig = holding()
    before = position(rig)
    size, average = before.size, before.average
    venue = Venue(rig, size + micros("30"))
    records = venue.wait(300_000)
    assert [r.size for r in records if isinstance(r, UnexplainedSeen)] == [micros("30")]
    assert (position(rig).size, position(rig).average) == (size, average)
    assert rig.kernel.state.unexplained == {UP: micros("30")}
    assert len([r for r in records if isinstance(r, NoticeRaised) and "unexplained" in r.text]) == 1
    draft = only(rig.answer(ExitNow(Side.UP, "test")), Prepare).draft
    assert draft.size <= size, "what is unexplained is not sold"
    assert fold(rig.records) == rig.kernel.state


def test_pos_11_what_is_unexplained_is_forgotten_when_the_venue_no_longer_shows_it() -> None:
    rig = holding()
    size = position(rig).size
    venue = Venue(rig, size + micros("30"))
    venue.wait(30_000)
    venue.balance = size
    records = venue.wait(30_000)
    assert [r.size for r in records if isinstance(r, UnexplainedSeen)] == [0]
    assert rig.kernel.state.unexplained == {}
    venue.balance = size - micros("5")
    venue.wait(30_000)
    assert position(rig).size == size - micros("5")


@pytest.mark.parametrize("extra", [0, 1, 9_999])
def test_pos_11_dust_above_the_ledger_is_no_difference(extra: int) -> None:
    """Less than a hundredth of a share can neither be sold nor counted."""
    rig = holding()
    venue = Venue(rig, position(rig).size + extra)
    assert written(venue.wait(60_000), *CHANGES) == []
    assert rig.kernel.reconciliation.doubted == 0


# --- rows that are not ours -------------------------------------------------------------------------------------------


def test_pos_10_every_row_of_a_comparison_is_mapped_or_named() -> None:
    rig = holding()
    order = rig.order(rig.posted(rig.answer(TARGET)))
    row = rig.row(order, "LIVE", "0")
    foreign = structs.replace(row, order_id="0xforeign")
    trade = TradeRow("t99", CONDITION, UP, "0xforeign", Action.BUY, ticks("0.42"), micros("5"), "CONFIRMED", 1, ())
    for _ in range(2):
        rig.do(SweepDone("", (row, foreign), (trade,), True, begun=rig.now))
    assert dict(rig.kernel.reconciliation.named) == {"foreign_order": 1, "foreign_trade": 1}
