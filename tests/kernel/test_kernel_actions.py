"""Merge, redeem and split: durable before they are sent, done once, and the money is conserved to the micro-unit."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.kernel.exits import ASIDE_MS, OBLIGATION_NEAR_MS
from polyhost.kernel.state import ActionEntry, OrderEntry, fold
from polyhost.model.commands import Act, Cancel, Command, Post, Prepare, QueryTokenBalance
from polyhost.model.events import (
    ActionAnswered,
    BalanceSeen,
    Operator,
    RunBegan,
    StreamChanged,
    SweepDone,
    TokenBalanceSeen,
)
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget, Merge, Split
from polyhost.model.records import ActionIntended, LedgerPosted, NoticeRaised
from polyhost.model.words import ActionKind, ActionState, OrderState, Side

from .rig import CONDITION, START, Rig, none, only

UP, DOWN = f"{CONDITION}:UP", f"{CONDITION}:DOWN"


def both(shares: str = "20", **options: Any) -> Rig:
    """UP and DOWN are held, settled and visible."""
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    for side, price in ((Side.UP, "0.42"), (Side.DOWN, "0.60")):
        post = rig.posted(rig.answer(Enter(side, ticks(price), "test"), stake="25"))
        rig.accept(post, "matched")
        rig.fill(rig.order(post), price, shares)
    return rig


NO_KEY = "a safe wallet has no relayer key; make one"


def test_set_03_what_a_wallet_cannot_send_is_not_begun_and_the_operator_is_told_what_mends_it() -> None:
    rig = both(cannot_act=NO_KEY)
    for word, target in (("merge", rig.market.slug), ("merge", ""), ("redeem", "")):
        rig.wait(70_000)
        before = len(rig.records)
        rig.do(Operator(word, target, "me"))
        told = [each.text for each in rig.records[before:] if isinstance(each, NoticeRaised)]
        assert told == [f"No {word}: {NO_KEY}"]
    rig.answer(Merge(micros("5"), "test"))
    rig.answer(Split(micros("5"), "test"))
    none(rig.commands, Act)
    assert rig.kernel.state.actions == {}
    sound(rig)


def test_set_03_what_cannot_be_done_by_itself_is_told_once_and_not_tried() -> None:
    rig = both(settings={"settlement": {"auto_merge": True, "auto_redeem": True}}, cannot_act=NO_KEY)
    rig.wait(600_000)
    told = [each.text for each in rig.records if isinstance(each, NoticeRaised) and NO_KEY in each.text]
    assert told == [f"Nothing is redeemed or merged by itself: {NO_KEY}"]
    assert rig.kernel.state.actions == {}
    rig.do(RunBegan("run-3", "0.1.0", "live", "hash", "main", rig.builder))
    rig.do(StreamChanged("user", True, 2))
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    rig.do(Operator("merge", rig.market.slug, "me"))
    assert rig.kernel.state.actions, "a later run with a key can"


def the_action(rig: Rig) -> ActionEntry:
    return rig.kernel.state.actions["a00001"]


def sound(rig: Rig) -> None:
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state


def shown(rig: Rig, up: str, down: str) -> None:
    """The venue's balances."""
    rig.do(TokenBalanceSeen(rig.market.up, micros(up)))
    rig.do(TokenBalanceSeen(rig.market.down, micros(down)))


def test_pos_07_a_full_pair_is_merged_back_into_collateral() -> None:
    rig = both()
    before = rig.cash()
    commands = rig.answer(Merge(None, "free the money"))
    request = only(commands, Act).request
    assert (request.kind, request.condition_id, request.size) == (ActionKind.MERGE, CONDITION, micros("20"))
    assert rig.cash() == before, "nothing is booked before it is done"
    rig.do(ActionAnswered("a00001", "done", transaction="0xabc"))
    assert rig.cash() == before + micros("20")
    assert (rig.kernel.state.balance("settled", UP), rig.kernel.state.balance("settled", DOWN)) == (0, 0)
    assert rig.kernel.state.obligations == {}
    closes = rig.kernel.state.closes
    assert [close.exit_reason for close in closes] == ["merged", "merged"]
    assert sum(close.pnl for close in closes) == rig.cash() - micros("1000")
    sound(rig)
    rig.resolve(Side.UP)
    assert rig.cash("unredeemed") == 0
    sound(rig)


def test_set_03_a_merge_is_durable_before_it_leaves_and_leaves_once() -> None:
    rig = both()
    commands = rig.answer(Merge())
    assert isinstance(rig.records[-1], ActionIntended)
    only(commands, Act)
    for _ in range(5):
        none(rig.answer(Merge()), Act)


def test_ord_01_shares_that_are_being_merged_are_not_sold() -> None:
    rig = both()
    rig.answer(Merge(micros("15")))
    sold = [c for c in rig.answer(ExitNow(Side.UP, "stop")) if isinstance(c, Prepare)]
    assert only(list(sold), Prepare).draft.size == micros("5")
    sound(rig)


def test_ord_21_what_rests_in_a_sell_is_not_merged() -> None:
    rig = both()
    rig.accept(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99")))))
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99")), Merge()), Act)
    assert rig.kernel.gates(CONDITION)["merge"] == 1


@pytest.mark.parametrize(("size", "sent"), [("20", True), ("20.000001", False)])
def test_ord_04_no_more_is_merged_than_both_sides_have(size: str, sent: bool) -> None:
    rig = both()
    commands = rig.answer(Merge(micros(size)))
    assert any(isinstance(c, Act) for c in commands) is sent


def test_pos_02_shares_that_the_venue_does_not_show_yet_are_not_merged() -> None:
    rig = both()
    rig.balances(Side.DOWN, "3")
    assert only(rig.answer(Merge()), Act).request.size == micros("3")


def test_a_refused_merge_gives_the_shares_back_and_is_not_repeated_at_once() -> None:
    rig = both()
    rig.answer(Merge())
    rig.do(ActionAnswered("a00001", "refused", "wallet busy"))
    assert the_action(rig).state is ActionState.REFUSED
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert (position.size, position.paired) == (micros("20"), 0)
    none(rig.answer(Merge()), Act)
    sound(rig)
    rig.wait(60_000)
    rig.book("0.41/0.42")
    only(rig.answer(Merge()), Act)


def unknown(rig: Rig, how: str = "answer") -> None:
    rig.answer(Merge())
    if how == "answer":
        rig.do(ActionAnswered("a00001", "unknown", "ReadTimeout"))
    elif how == "silence":
        rig.wait(240_000)
    else:
        rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
        rig.do(BalanceSeen(rig.balance, True))
    assert the_action(rig).state is ActionState.UNKNOWN


@pytest.mark.parametrize("how", ["answer", "silence", "restart"])
def test_u1_an_action_without_an_answer_is_unknown_and_never_done_a_second_time(how: str) -> None:
    rig = both()
    unknown(rig, how)
    sent = len([c for c in rig.commands if isinstance(c, Act)])
    rig.book("0.41/0.42")
    later: list[Command] = rig.wait(30_000)
    assert sent == 1
    none(later, Act)
    assert sum(isinstance(c, QueryTokenBalance) for c in later) >= 4, "both balances are asked again and again"
    sound(rig)


def test_pos_02_two_agreeing_readings_prove_that_a_merge_happened() -> None:
    rig = both()
    unknown(rig)
    before = rig.cash()
    shown(rig, "0", "0")
    rig.wait(10_000)
    shown(rig, "0", "0")
    assert the_action(rig).state is ActionState.UNKNOWN, "one reading is not enough"
    rig.wait(10_000)
    assert the_action(rig).state is ActionState.DONE
    assert rig.cash() == before + micros("20")
    sound(rig)


def test_pos_02_readings_that_say_neither_prove_nothing() -> None:
    rig = both()
    unknown(rig)
    for up, down in (("0", "0"), ("20", "0"), ("0", "0"), ("0", "20"), ("7", "7")):
        shown(rig, up, down)
        rig.wait(10_000)
    assert the_action(rig).state is ActionState.UNKNOWN


def test_u6_balances_prove_that_a_merge_did_not_happen_only_after_five_minutes() -> None:
    rig = both()
    unknown(rig)
    began = rig.now
    while the_action(rig).open:
        shown(rig, "20", "20")
        rig.wait(10_000)
    assert the_action(rig).state is ActionState.REFUSED
    assert 300_000 <= rig.now - began <= 310_000
    sound(rig)


def test_a_late_answer_counts() -> None:
    rig = both()
    unknown(rig)
    rig.do(ActionAnswered("a00001", "done"))
    assert the_action(rig).state is ActionState.DONE
    rig.do(ActionAnswered("a00001", "done"))
    sound(rig)


def test_set_03_a_merge_that_ends_after_the_result_is_not_paid_twice() -> None:
    rig = both()
    cash = rig.cash()
    rig.answer(Merge(micros("15")))
    rig.resolve(Side.UP)
    assert rig.cash("unredeemed") == micros("20")
    rig.do(ActionAnswered("a00001", "done"))
    assert (rig.cash(), rig.cash("unredeemed")) == (cash + micros("15"), micros("5"))
    causes = [r.cause for r in rig.records if isinstance(r, LedgerPosted)]
    assert causes[-3:] == ["payout", "payout", "redeem"], "the pairs were paid out already: no share moves twice"
    sound(rig)


def test_set_03_the_operator_redeems_what_a_decided_market_pays() -> None:
    rig = both()
    cash = rig.cash()
    rig.do(Operator("redeem", who="me"))
    none(rig.commands, Act)
    rig.resolve(Side.DOWN)
    assert (rig.cash(), rig.cash("unredeemed")) == (cash, micros("20"))
    request = only(rig.do(Operator("redeem", rig.market.slug, "me")), Act).request
    assert (request.kind, request.size) == (ActionKind.REDEEM, 0)
    rig.do(ActionAnswered("a00001", "done"))
    assert (rig.cash(), rig.cash("unredeemed")) == (cash + micros("20"), 0)
    none(rig.do(Operator("redeem", rig.market.slug, "me")), Act)
    told = [r.text for r in rig.records if isinstance(r, NoticeRaised)]
    assert any("nothing is to be redeemed" in text for text in told)
    sound(rig)


def test_set_03_an_unknown_redeem_is_proved_by_balances_that_are_gone() -> None:
    rig = both()
    rig.resolve(Side.UP)
    rig.do(Operator("redeem", who="me"))
    rig.do(ActionAnswered("a00001", "unknown", "ReadTimeout"))
    for _ in range(3):
        shown(rig, "0", "0")
        rig.wait(10_000)
    assert the_action(rig).state is ActionState.DONE
    assert rig.cash("unredeemed") == 0
    sound(rig)


def test_a_split_reserves_its_collateral_and_its_shares_have_deadlines() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    only(rig.answer(Split(micros("30"))), Act)
    assert (rig.cash(), rig.cash("reserved"), rig.kernel.at_risk()) == (micros("970"), micros("30"), micros("30"))
    rig.do(ActionAnswered("a00001", "done"))
    assert (rig.cash(), rig.cash("reserved"), rig.kernel.at_risk()) == (micros("970"), 0, micros("30"))
    positions = [rig.kernel.state.position(CONDITION, side) for side in Side]
    assert [p.size for p in positions if p is not None] == [micros("30"), micros("30")]
    assert sum(p.paid for p in positions if p is not None) == micros("30")
    assert sorted(rig.kernel.state.obligations) == [DOWN, UP]
    sound(rig)


@pytest.mark.parametrize(("size", "sent"), [("50", True), ("50.000001", False)])
def test_ord_03_a_split_stays_within_the_limits(size: str, sent: bool) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    assert any(isinstance(c, Act) for c in rig.answer(Split(micros(size)))) is sent


def test_ord_23_a_block_stops_a_split_and_never_a_merge() -> None:
    rig = both()
    rig.do(Operator("pause", who="me"))
    none(rig.answer(Split(micros("5"))), Act)
    only(rig.answer(Merge()), Act)


def test_a_refused_split_frees_its_collateral() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    rig.answer(Split(micros("30")))
    rig.do(ActionAnswered("a00001", "refused", "no"))
    assert (rig.cash(), rig.cash("reserved")) == (micros("1000"), 0)
    sound(rig)


def test_set_03_a_split_that_ends_after_the_result_is_paid_out() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    rig.answer(Split(micros("30")))
    rig.resolve(Side.UP)
    rig.do(ActionAnswered("a00001", "done"))
    assert (rig.cash(), rig.cash("unredeemed")) == (micros("970"), micros("30"))
    sound(rig)


# --- what rests in exits ----------------------------------------------------------------------------------------------


def exits(rig: Rig) -> list[OrderEntry]:
    """UP and DOWN rest whole at 0.99."""
    targets = tuple(ExitTarget(side, ticks("0.99")) for side in Side)
    drafts = [command.draft for command in rig.answer(*targets) if isinstance(command, Prepare)]
    orders = []
    for draft in drafts:
        post = only(rig.sign(draft), Post)
        rig.accept(post)
        orders.append(rig.order(post))
    assert [order.draft.size for order in orders] == [micros("20")] * 2
    return orders


TARGETS = tuple(ExitTarget(side, ticks("0.99")) for side in Side)


def test_rew_03_exits_stand_aside_for_a_merge_of_what_rests_in_them() -> None:
    rig = both()
    resting = exits(rig)
    wish = Merge(None, "both sides are held")
    asked = rig.answer(wish, *TARGETS)
    none(asked, Act, Prepare)
    assert {c.order_id for c in asked if isinstance(c, Cancel)} == {order.order_id for order in resting}
    for order in resting:
        none(rig.canceled(order), Act, Prepare)
    request = only(rig.answer(wish, *TARGETS), Act).request
    assert (request.kind, request.size) == (ActionKind.MERGE, micros("20"))
    sound(rig)


def test_rew_03_what_stood_aside_for_nothing_rests_again_and_is_left_alone_for_a_minute() -> None:
    rig = both()
    resting = exits(rig)
    rig.answer(Merge(None, "both sides are held"), *TARGETS)
    for order in resting:
        rig.canceled(order)
    placed = [command for command in rig.wait(ASIDE_MS) if isinstance(command, Prepare)]
    assert {(command.draft.action.value, command.draft.size) for command in placed} == {("SELL", micros("20"))}
    for command in placed:
        rig.accept(only(rig.sign(command.draft), Post))
    none(rig.answer(Merge(None, "again"), *TARGETS), Act, Cancel)
    assert [entry.waiting for entry in rig.kernel.data(CONDITION).exits.values()] == ["", ""]  # type: ignore[union-attr]


def test_rew_03_near_the_deadline_no_exit_stands_aside() -> None:
    rig = both()
    exits(rig)
    due = min(rig.kernel.state.obligations.values())
    while rig.now < due - OBLIGATION_NEAR_MS - 2_000:
        rig.answer(*TARGETS)
    rig.to(due - OBLIGATION_NEAR_MS)
    none(rig.answer(Merge(None, "late"), *TARGETS), Act, Cancel)


def test_rew_03_a_stop_does_not_stand_aside() -> None:
    rig = both()
    resting = exits(rig)
    rig.answer(ExitNow(Side.UP, "stop"), TARGETS[1])
    plan = rig.kernel.data(CONDITION).exits[Side.UP]  # type: ignore[union-attr]
    rig.answer(Merge(None, "both sides are held"), TARGETS[1])
    assert plan.aside_wall < 0
    assert rig.kernel.data(CONDITION).exits[Side.DOWN].aside_wall > 0  # type: ignore[union-attr]
    assert resting[0].state is OrderState.CANCELLING


def test_rew_03_the_operators_merge_takes_what_is_free_and_cancels_nothing() -> None:
    rig = both()
    exits(rig)
    none(rig.do(Operator("merge", rig.market.slug, "ann")), Act, Cancel)
