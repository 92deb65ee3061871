"""The kernel's order rules, each just inside and just outside, on a scripted venue."""

from __future__ import annotations

import pytest

from polyhost.kernel.state import fold
from polyhost.model.commands import Post, Prepare, QueryOrder, Sweep
from polyhost.model.events import CancelAnswered, Operator, OrderNotFound, PrepareFailed, RunBegan, SweepDone
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import CancelOrders, Enter, ExitNow, ExitTarget, HoldToSettlement, Notice
from polyhost.model.records import NoticeRaised, OperatorSaid, OrderIntended, OrderPrepared
from polyhost.model.words import OrderState, Side

from .rig import CONDITION, START, Rig, cancels, none, only

BUY_UP = Enter(Side.UP, ticks("0.42"), "test")


def opened(**options: object) -> Rig:
    rig = Rig(**options)  # type: ignore[arg-type]
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def test_ord_01_an_order_is_durable_before_it_is_posted() -> None:
    rig = opened()
    commands = rig.answer(BUY_UP)
    none(commands, Post)
    assert any(isinstance(r, OrderIntended) for r in rig.records)
    post = rig.posted(commands)
    kinds = [type(r) for r in rig.records]
    assert kinds.index(OrderIntended) < kinds.index(OrderPrepared)
    assert rig.order(post).request == post.request, "everything needed to post it again is in the journal (U9)"


def test_ord_03_the_stake_is_reserved_at_the_worst_price_with_fee_and_freed_at_the_end() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    # 25.00 / (0.42 + 0.07*0.42*0.58 = 0.437052) = 57.2 shares; a FAK at 0.42 comes in steps of 0.5 share (whole cents).
    assert order.draft.size == micros("57")
    assert rig.cash("reserved") == order.reserve == micros("24.91196")
    rig.trade(order, "20", "0.41")
    rig.see(order, "CANCELED", "20", "CANCELLATION")
    assert order.state is OrderState.CLOSED
    assert rig.cash("reserved") == 0
    assert rig.cash() == micros("1000") - micros("8.2") - micros("0.33866")


def test_ord_02_one_live_buy_a_slot_and_one_entry_a_window_and_side() -> None:
    rig = opened()
    rig.posted(rig.answer(BUY_UP))
    none(rig.answer(BUY_UP), Prepare)
    other = rig.answer(Enter(Side.DOWN, ticks("0.60"), "other side"))
    only(other, Prepare)


def test_ent_01_a_killed_entry_without_fill_may_be_tried_again() -> None:
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    rig.refuse(post, "fak_no_match", "no orders found to match with FAK order.")
    assert rig.order(post).state is OrderState.CLOSED
    only(rig.answer(BUY_UP), Prepare)


def test_u1_no_answer_makes_an_order_unknown_and_keeps_slot_and_reservation() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.wait(1_499)
    assert order.state is OrderState.PREPARED
    asked = rig.wait(1)
    assert order.state is OrderState.UNKNOWN
    assert rig.cash("reserved") == order.reserve > 0
    only(asked, QueryOrder)
    none(rig.answer(BUY_UP), Prepare)


def test_u3_a_refusal_after_a_restart_proves_nothing() -> None:
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.refuse(post, "balance", "not enough balance / allowance")
    assert rig.order(post).state is OrderState.UNKNOWN


def test_u4_a_404_proves_nothing_and_the_ladder_asks_again() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.wait(1_500)
    counts = []
    for pause in (250, 250, 500, 1_000, 2_000, 5_000, 5_000):
        rig.do(OrderNotFound(order.order_id))
        asked = rig.wait(pause)
        counts.append(sum(isinstance(c, QueryOrder) for c in asked))
    assert counts == [1] * 7
    assert order.state is OrderState.UNKNOWN


def test_u2_a_trade_proves_presence_and_a_late_answer_counts() -> None:
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    order = rig.order(post)
    rig.wait(1_500)
    rig.trade(order, "10", "0.42")
    assert order.state is OrderState.WORKING
    assert order.present
    rig.refuse(post, "balance")
    assert order.state is OrderState.WORKING, "a refusal cannot undo a proved presence"


def test_u6_an_unknown_entry_ends_as_absent_only_after_the_market_and_a_complete_sweep() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.to(rig.market.end + 59_999)
    early = rig.asks()
    rig.swept(begun=early)
    assert order.state is OrderState.UNKNOWN
    rig.to(rig.market.end + 60_000)
    rig.swept(complete=False)
    assert order.state is OrderState.UNKNOWN, "an incomplete sweep proves nothing"
    rig.swept(begun=early)
    assert order.state is OrderState.UNKNOWN, "it began too early"
    rig.do(SweepDone(CONDITION, (), (), True))
    assert order.state is OrderState.UNKNOWN, "nobody knows when it began"
    rig.swept()
    assert order.state is OrderState.CLOSED
    assert rig.cash("reserved") == 0


def test_u7_a_fill_of_an_absent_order_is_booked_and_told() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.to(rig.market.end + 61_000)
    rig.swept()
    rig.trade(order, "57", "0.42")
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.size == micros("57")
    assert any(isinstance(r, NoticeRaised) and r.level == "critical" for r in rig.records)
    assert rig.kernel.broken_invariants() == []


def test_ord_07_a_cancel_of_an_unknown_order_is_a_success_and_no_proof() -> None:
    rig = opened()
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.39"), "rest", order_type="GTC")))
    order = rig.order(post)
    rig.accept(post)
    sent = rig.answer(CancelOrders(Side.UP, "changed my mind"))
    assert cancels(sent) == [order.order_id]
    none(rig.answer(CancelOrders(Side.UP, "again")), type(sent[0]))
    caused = rig.do(CancelAnswered(order.order_id, "not_found"))
    assert order.open
    only(caused, QueryOrder)
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert not order.open


def test_ord_09_a_fill_before_the_answer_finds_its_order() -> None:
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    order = rig.order(post)
    rig.trade(order, "57", "0.42")
    assert order.state is OrderState.CLOSED
    rig.accept(post, "matched")
    assert rig.kernel.broken_invariants() == []


def test_pos_06_duplicate_and_reordered_trades_count_once() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    for status in ("MINED", "MATCHED", "MATCHED", "CONFIRMED", "MINED", "CONFIRMED"):
        rig.trade(order, "57", "0.42", status, trade_id="t9")
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.bought == position.settled == micros("57")


def test_pos_01_a_failed_trade_is_taken_back_exactly_once() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.trade(order, "57", "0.42", "MATCHED", trade_id="t9")
    rig.trade(order, "57", "0.42", "FAILED", trade_id="t9")
    rig.trade(order, "57", "0.42", "FAILED", trade_id="t9")
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.size == 0
    assert rig.cash() == micros("1000")
    assert rig.kernel.broken_invariants() == []


def test_field_8_a_maker_fill_is_our_own_slice_and_pays_no_fee() -> None:
    rig = opened()
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.39"), "rest", order_type="GTC")))
    order = rig.order(post)
    rig.accept(post)
    rig.trade(order, "10", "0.39", maker=True)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert (position.size, position.paid, position.fees) == (micros("10"), micros("3.9"), 0)


def test_exi_01_a_target_rests_for_the_whole_sellable_position() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    order = rig.order(post)
    assert (order.draft.price, order.draft.size) == (ticks("0.99"), micros("57"))
    rig.accept(post)
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99"))), Prepare)


def test_ord_04_nothing_is_sold_before_it_is_settled_and_visible() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.trade(order, "57", "0.42", "MATCHED", trade_id="t9")
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99"))), Prepare)
    rig.trade(order, "57", "0.42", "CONFIRMED", trade_id="t9")
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99"))), Prepare)
    rig.balances(size="20.129")
    # The balance itself drives the exit: 20.129 is truncated, never rounded.
    drafts = [c.draft for c in rig.commands if isinstance(c, Prepare) and c.draft.action.value == "SELL"]
    assert [d.size for d in drafts] == [micros("20.12")]


def test_t4_a_new_price_cancels_first_and_places_only_after_the_proof() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    old = rig.order(post)
    rig.accept(post)
    moved = rig.answer(ExitTarget(Side.UP, ticks("0.95")))
    assert cancels(moved) == [old.order_id]
    none(moved, Prepare)
    none(rig.do(CancelAnswered(old.order_id, "canceled")), Prepare)
    placed = rig.see(old, "CANCELED", "0", "CANCELLATION")
    assert only(placed, Prepare).draft.price == ticks("0.95")


def test_t3_a_fill_during_the_replacement_shrinks_the_new_order() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    old = rig.order(post)
    rig.accept(post)
    rig.answer(ExitTarget(Side.UP, ticks("0.95")))
    rig.trade(old, "17", "0.99", maker=True)
    placed = rig.canceled(old, "17")
    assert only(placed, Prepare).draft.size == micros("40")


def test_t3_what_a_sell_is_told_to_have_matched_is_gone_before_its_trade_is_seen() -> None:
    """The stream's order update may come ahead of the trade: selling the same shares again was refused for balance."""
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    order = rig.order(post)
    rig.accept(post)
    none(rig.see(order, "MATCHED", "57", "UPDATE"), Prepare)
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99"))), Prepare)
    rig.trade(order, "57", "0.99", maker=True)
    assert rig.kernel.state.closes[0].exit_reason == "target"


def test_t6_a_remainder_below_the_minimum_is_never_cancelled() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    order = rig.order(post)
    rig.accept(post)
    rig.trade(order, "52.5", "0.99", maker=True)
    assert cancels(rig.answer(ExitTarget(Side.UP, ticks("0.95")))) == []
    assert order.open_upper == micros("4.5")


def test_t8_an_exit_now_cancels_waits_for_proof_and_sells_what_is_left() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    resting = rig.order(post)
    rig.accept(post)
    urgent = rig.answer(ExitNow(Side.UP, "stop"))
    assert cancels(urgent) == [resting.order_id]
    none(urgent, Prepare)
    rig.trade(resting, "7", "0.99", maker=True)
    sold = rig.canceled(resting, "7")
    draft = only(sold, Prepare).draft
    assert (draft.size, draft.price, draft.order_type.value) == (micros("50"), ticks("0.39"), "FAK")


def test_t8_after_half_a_second_without_proof_the_sale_leaves_all_the_same() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    rig.accept(post)
    rig.answer(ExitNow(Side.UP, "stop"))
    none(rig.wait(499), Prepare)
    assert only(rig.wait(1), Prepare).draft.size == micros("57")


def test_t8_a_balance_refusal_is_not_yet_and_is_tried_again_after_one_two_three_seconds() -> None:
    rig = opened()
    rig.enter()
    commands = rig.answer(ExitNow(Side.UP, "stop"))
    for pause in (1_000, 2_000, 3_000, 5_000):
        post = rig.posted(commands)
        rig.refuse(post, "balance", "not enough balance / allowance")
        none(rig.wait(pause - 1), Prepare)
        commands = rig.wait(1)
        rig.book("0.40/0.42")
    assert rig.kernel.state.blocked == {}


def test_t9_nothing_is_placed_in_the_last_two_seconds() -> None:
    rig = opened()
    rig.enter()
    rig.to(rig.market.end - 3_000)
    rig.book("0.40/0.42")
    ask = rig.ask()
    none(rig.reply(ask, ExitNow(Side.UP, "stop")), Prepare)
    none(rig.wait(500), Prepare)


@pytest.mark.parametrize(("mid", "expected"), [("0.89/0.90", "forced"), ("0.89/0.91", "held")])
def test_exi_05_the_obligation_closes_or_holds_without_any_plugin(mid: str, expected: str) -> None:
    """0.90 is ahead, 0.895 is not; nobody answered a single question."""
    rig = opened()
    rig.enter()
    rig.to(rig.market.end - 121_000)
    rig.book(mid)
    rig.to(rig.market.end - 118_001)
    none(list(rig.commands[-50:]), Post)
    sent = rig.to(rig.market.end - 118_000)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    if expected == "held":
        assert position.held == "ahead"
        none(sent, Prepare)
    else:
        draft = only(sent, Prepare).draft
        assert (draft.size, draft.price) == (micros("57"), ticks("0.88"))


def test_exi_11_the_obligation_of_a_five_minute_window_is_forty_seconds_before_its_end() -> None:
    from .rig import window

    rig = opened(market=window(300))
    rig.enter()
    assert list(rig.kernel.state.obligations.values()) == [rig.market.end - 40_000]


def test_exi_08_the_worst_price_widens_and_ends_at_one_tick() -> None:
    rig = opened()
    rig.enter()
    prices = []
    commands = rig.answer(ExitNow(Side.UP, "stop"))
    for _ in range(4):
        post = rig.posted(commands)
        prices.append(rig.order(post).draft.price)
        rig.refuse(post, "fak_no_match", "no orders found")
        commands = rig.wait(250)
    assert prices == [ticks("0.39"), ticks("0.38"), ticks("0.36"), ticks("0.32")]


def test_set_01_settlement_pays_winners_and_cash_adds_up_to_the_micro_unit() -> None:
    rig = opened()
    rig.enter()
    rig.answer(HoldToSettlement(Side.UP, "ahead"))
    rig.to(rig.market.end + 8_000)
    rig.resolve(Side.UP)
    state = rig.kernel.state
    assert state.balance("unredeemed") == micros("57")
    assert state.closes[0].pnl == micros("57") - micros("24.91196")
    assert rig.kernel.broken_invariants() == []
    total = sum(state.balance(a) for a in ("free", "reserved", "unredeemed"))
    assert total == micros("1000") + state.closes[0].pnl


def test_limits_reduce_the_stake_and_name_what_did() -> None:
    rig = opened(settings={"limits": {"window": "10"}})
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    assert order.reserve <= micros("10")
    assert order.why["limited"] == "limit_window"


def test_ent_04_below_the_minimum_nothing_is_bought() -> None:
    rig = opened(settings={"limits": {"window": "2"}})
    none(rig.answer(BUY_UP), Prepare)
    data = rig.kernel.data(CONDITION)
    assert data is not None
    assert data.gates.get("minimum") == 1


@pytest.mark.parametrize("gate", ["veto", "size", "book_old", "book_crossed", "price", "slot", "user_stream"])
def test_evd_03_each_refusal_names_its_gate(gate: str) -> None:
    from polyhost.model.events import StreamChanged

    rig = opened()
    stake: str | None = "25"
    vetoes: tuple[tuple[str, str], ...] = ()
    ask = rig.ask()
    match gate:
        case "veto":
            vetoes = (("guard", "no"),)
        case "size":
            stake = None
        case "book_old":
            rig.kernel.book(CONDITION).changed_at = rig.now - 10_001  # type: ignore[union-attr]
        case "book_crossed":
            rig.book("0.45/0.42")
        case "price":
            rig.book("0.42/0.43")
        case "slot":
            rig.reply(ask, BUY_UP)
            ask = rig.ask()
        case "user_stream":
            rig.do(StreamChanged("user", False, 1, "test"))
    none(rig.reply(ask, BUY_UP, stake=stake, vetoes=vetoes), Prepare)
    gates = dict(rig.kernel.data(CONDITION).gates)  # type: ignore[union-attr]
    gates.pop("no_book")  # the minute before the first book
    assert gates == {gate: 1}


def test_stale_answers_are_dropped_and_the_market_is_asked_again() -> None:
    rig = opened()
    ask = rig.ask()
    order = rig.order(rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.60"), "x"))))
    assert order.slot.side is Side.DOWN
    none(rig.reply(ask, BUY_UP), Prepare)


def test_an_unsigned_order_frees_its_reservation_and_a_configuration_fault_stops_entries() -> None:
    rig = opened()
    draft = only(rig.answer(BUY_UP), Prepare).draft
    rig.do(PrepareFailed(draft.ref, "wrong key", configuration=True))
    assert rig.cash("reserved") == 0
    none(rig.answer(BUY_UP), Prepare)
    assert rig.kernel.blocks() == [("signing", "wrong key")]


def test_not_04_the_same_condition_is_told_once_a_minute() -> None:
    rig = opened()
    for _ in range(5):
        rig.answer(Notice("look", "info"))
    told = [r for r in rig.records if isinstance(r, NoticeRaised) and "look" in r.text]
    assert len(told) == 1


def test_per_05_a_restart_folds_to_the_same_state_and_never_signs_again() -> None:
    rig = opened()
    rig.enter()
    rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.60"), "in flight")))
    rig.answer(Notice("x"))
    assert fold(rig.records) == rig.kernel.state
    again = Rig(follow=False, start_at=rig.now + 1_000)
    again.kernel.restore(rig.records)
    commands = again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    none(commands, Prepare, Post)
    assert [o.state for o in again.kernel.state.open_orders(CONDITION)] == [OrderState.UNKNOWN]
    assert any(isinstance(c, QueryOrder) for c in commands)
    assert again.kernel.state.balance("free") == rig.kernel.state.balance("free")


def test_entries_wait_for_the_comparison_after_a_reconnect() -> None:
    from polyhost.model.events import StreamChanged

    rig = opened()
    swept = rig.do(StreamChanged("user", True, 2, "reconnected"))
    assert only(swept, Sweep).condition_id == ""
    none(rig.answer(BUY_UP), Prepare)
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    only(rig.answer(BUY_UP), Prepare)


def test_evd_03_a_window_without_a_trade_keeps_its_first_failed_gate_after_it_is_forgotten() -> None:
    rig = opened()
    rig.answer(Enter(Side.UP, ticks("0.40"), "too low a price"))
    rig.to(rig.market.end + 8_000)
    rig.resolve(Side.UP)
    rig.wait(120_000)
    assert rig.kernel.data(CONDITION) is None
    assert rig.kernel.gates(CONDITION)["price"] == 1


def test_ops_08_an_operators_cancel_ends_one_order_or_all_and_an_unknown_name_is_told() -> None:
    """By our name or the venue's id; said again it changes nothing, and it is journaled with who and why."""
    rig = opened()
    resting = Enter(Side.UP, ticks("0.39"), "rests", order_type="GTC")
    order = rig.order(rig.posted(rig.answer(resting)))
    rig.accept(Post(order.request))  # type: ignore[arg-type]
    assert cancels(rig.do(Operator("cancel", "o999999", "ann"))) == []
    assert any("o999999" in record.text for record in rig.records if isinstance(record, NoticeRaised))
    assert cancels(rig.do(Operator("cancel", order.order_id, "ann", why="a slip"))) == [order.order_id]
    assert cancels(rig.do(Operator("cancel", order.ref, "ann"))) == [], "one cancel in flight"
    said = [record for record in rig.records if isinstance(record, OperatorSaid)]
    assert (said[1].word, said[1].target, said[1].who, said[1].why) == ("cancel", order.order_id, "ann", "a slip")
    rig.canceled(order)
    assert order.state is OrderState.CLOSED
    assert cancels(rig.do(Operator("cancel", order.ref, "ann"))) == []
    assert cancels(rig.do(Operator("cancel", "all", "ann"))) == []
    assert fold(rig.records) == rig.kernel.state


def test_ops_08_a_word_about_nothing_that_is_there_is_told() -> None:
    """A mistyped breaker or window: the word is journaled, clears and sells nothing, and somebody hears of it."""
    rig = opened()
    rig.enter()
    rig.kernel.breakers.late_fill("test")
    rig.do(Operator("resume", "late_fil", "ann"))
    none(rig.do(Operator("close", "btc-updown-5m-1", "ann")), Prepare)
    told = ["No breaker to clear: 'late_fil' blocks nothing", "No position to close is open in 'btc-updown-5m-1'"]
    assert [record.text for record in rig.records if isinstance(record, NoticeRaised)][-2:] == told
    assert "late_fill" in rig.kernel.state.blocked
    rig.do(Operator("resume", "late_fill", "ann"))
    rig.do(Operator("resume", "", "ann"))
    assert rig.kernel.state.blocked == {}
    rig.book("0.41/0.42")
    rig.posted(rig.do(Operator("close", rig.market.slug, "ann")))
    assert sum(record.text.startswith("No ") for record in rig.records if isinstance(record, NoticeRaised)) == 2
