"""What a hostile reading of the kernel found: each test is a way in which money was lost, stuck or miscounted."""

from __future__ import annotations

import pytest

from polyhost.kernel.state import fold
from polyhost.model.commands import Cancel, Command, Post, Prepare, QueryOrder, QueryTokenBalance, Sweep
from polyhost.model.events import (
    BalanceSeen,
    CancelAnswered,
    Operator,
    OrderNotFound,
    PostAnswered,
    PrepareFailed,
    RunBegan,
    RunEnding,
    StreamChanged,
    SweepDone,
    TokenBalanceSeen,
)
from polyhost.model.messages import Level, Message
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget, HoldToSettlement
from polyhost.model.words import OrderState, Side

from .rig import CONDITION, START, UP, Rig, cancels, none, only

BUY_UP = Enter(Side.UP, ticks("0.42"), "test")
REST_UP = Enter(Side.UP, ticks("0.39"), "rest", order_type="GTC")
AT_99 = ExitTarget(Side.UP, ticks("0.99"))
STOP = ExitNow(Side.UP, "stop")


def opened(**options: object) -> Rig:
    rig = Rig(**options)  # type: ignore[arg-type]
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def holding(**options: object) -> Rig:
    rig = opened(**options)
    rig.enter()
    return rig


def drafts(commands: list[Command]) -> list[Prepare]:
    return [c for c in commands if isinstance(c, Prepare)]


def sound(rig: Rig) -> None:
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state


# --- exits that stalled -----------------------------------------------------------------------------------------------


def test_exi_08_in_the_last_seconds_a_small_position_is_sold_though_one_tick_of_it_is_worth_nothing() -> None:
    """57 shares at 0.01 are below the venue's least value of 1.00: nothing was ever sold in the last ten seconds."""
    rig = holding(settings={"safety": {"close_before_expiry_s": 3}})
    rig.to(rig.market.end - 9_000)
    rig.book("0.40/0.42")
    draft = only(rig.answer(STOP), Prepare).draft
    assert draft.price == ticks("0.02"), "the lowest price at which 57 shares are worth 1.00"
    assert draft.size == micros("57")


def test_exi_08_the_widening_price_stops_where_the_order_would_be_worth_too_little() -> None:
    """After six unmatched attempts the worst price was one tick, and the sale was given up for good."""
    rig = holding()
    commands = rig.answer(STOP)
    for _ in range(9):
        post = rig.posted(commands)
        rig.refuse(post, "fak_killed", "no orders found")
        commands = rig.wait(250)
        rig.book("0.40/0.42")
    assert drafts(commands)[0].draft.price == ticks("0.02")


def test_t8_a_venue_that_takes_no_cancel_does_not_stop_the_sale_nor_is_it_flooded() -> None:
    """Each failed cancel was followed by the next at once, and each began the half second of waiting anew."""
    rig = holding()
    post = rig.posted(rig.answer(AT_99))
    rig.accept(post)
    sent = rig.answer(STOP)
    count = 0
    while sent and count < 50:
        count += len(cancels(sent))
        sent = [c for _ in cancels(sent) for c in rig.do(CancelAnswered(post.request.order_id, "unknown", "503"))]
    assert count == 1
    found: list[Command] = []
    for _ in range(10):
        later = rig.wait(100)
        found += later
        for _ in cancels(later):
            rig.do(CancelAnswered(post.request.order_id, "unknown", "503"))
    assert drafts(found)[0].draft.size == micros("57")
    assert len(cancels(found)) <= 4


@pytest.mark.parametrize("wish", [AT_99, STOP])
def test_ord_19_a_refused_sell_is_not_repeated_before_its_wait(wish: ExitTarget | ExitNow) -> None:
    """Its end drove the exit again before the refusal was noted: each refusal was answered by another order at once."""
    rig = holding()
    post = rig.posted(rig.answer(wish))
    rig.wait(600)
    none(rig.refuse(post, "balance", "not enough balance / allowance"), Prepare)
    none(rig.wait(999), Prepare)
    assert len(drafts(rig.wait(1))) == 1


def test_an_exit_that_is_not_signed_is_not_tried_again_at_once_for_ever() -> None:
    rig = holding()
    draft = only(rig.answer(AT_99), Prepare).draft
    none(rig.do(PrepareFailed(draft.ref, "the signer is away")), Prepare)
    none(rig.wait(999), Prepare)
    assert len(drafts(rig.wait(1))) == 1


def test_a_signature_that_never_comes_frees_slot_and_reservation_and_is_never_posted_later() -> None:
    rig = opened()
    draft = only(rig.answer(BUY_UP), Prepare).draft
    rig.wait(5_000)
    assert rig.kernel.state.orders[draft.ref].state is OrderState.CLOSED
    assert rig.cash("reserved") == 0
    none(rig.sign(draft), Post)
    sound(rig)


def test_the_timers_of_an_exit_do_not_multiply() -> None:
    """A stale deadline set another one for good: after a minute of waiting dozens fired at each instant."""
    rig = holding()
    rig.book("/0.42")
    rig.answer(STOP)
    turns = 0
    for step in range(40):
        rig.wait(130)
        rig.do(TokenBalanceSeen(rig.market.up, micros("57") - step))
        rig.kernel.exits.now(CONDITION, STOP)
    pending = [key for key in rig.kernel._core._wall_heap if key[2] == "exit"]
    turns = len(pending)
    assert turns <= 2


def test_u1_a_late_refusal_of_the_only_post_counts() -> None:
    """A market order's answer after 1.5 s was ignored: the slot and the money, or the stop, were locked to the end."""
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    rig.wait(1_600)
    assert rig.order(post).state is OrderState.UNKNOWN
    rig.refuse(post, "fak_killed", "no orders found")
    assert rig.order(post).state is OrderState.CLOSED
    assert rig.cash("reserved") == 0
    none(rig.answer(BUY_UP), Prepare)  # U7: a slot that was ever unknown takes no second entry
    sound(rig)


def test_u8_an_unknown_sell_no_longer_counts_within_thirty_seconds_of_the_obligation() -> None:
    rig = holding()
    rig.to(rig.market.end - 160_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(STOP))
    rig.wait(1_500)
    assert rig.order(post).state is OrderState.UNKNOWN
    none(rig.to(rig.market.end - 151_000), Prepare)
    assert drafts(rig.to(rig.market.end - 149_000))[0].draft.size == micros("57")


def test_u8_another_sell_is_signed_half_a_second_after_the_unknown_one_was_cancelled() -> None:
    rig = holding()
    rig.to(rig.market.end - 130_000)
    rig.book("0.40/0.42")
    rig.posted(rig.answer(STOP))
    none(rig.wait(1_500), Prepare)
    none(rig.wait(499), Prepare)
    assert drafts(rig.wait(260))


def test_a_failed_trade_of_a_sell_whose_size_the_venue_still_counts_does_not_block_the_next_sell() -> None:
    """size_matched stays at 57 though the trade failed: the order was never closed, and nothing was sold again."""
    rig = holding()
    post = rig.posted(rig.answer(STOP))
    rig.accept(post, "matched")
    order = rig.order(post)
    rig.trade(order, "20", "0.40", trade_id="t50")
    rig.trade(order, "20", "0.40", "FAILED", trade_id="t50")
    again = rig.see(order, "CANCELED", "20", "CANCELLATION")
    assert order.state is OrderState.CLOSED
    again += rig.wait(300)
    assert drafts(again)[0].draft.size == micros("57")
    sound(rig)


def test_a_trade_first_heard_of_when_it_had_failed_does_not_keep_its_order_waiting_for_ever() -> None:
    rig = holding()
    post = rig.posted(rig.answer(STOP))
    rig.accept(post, "matched")
    order = rig.order(post)
    rig.see(order, "CANCELED", "57", "CANCELLATION")
    assert order.open
    again = rig.trade(order, "57", "0.40", "FAILED")
    assert not order.open
    assert drafts([*again, *rig.wait(300)])[0].draft.size == micros("57")
    sound(rig)


def test_a_market_sell_that_the_venue_forgot_is_over_when_complete_sweeps_do_not_show_it() -> None:
    """Accepted, killed without a match, and its id answers 404: it blocked every further sale."""
    rig = holding()
    post = rig.posted(rig.answer(STOP))
    rig.accept(post, "matched")
    order = rig.order(post)
    for _ in range(12):
        for command in rig.wait(1_000):
            if isinstance(command, Sweep) and command.condition_id:
                rig.do(OrderNotFound(order.order_id))
                rig.do(SweepDone(CONDITION, (), (), True))
        rig.book("0.40/0.42")
    assert order.state is OrderState.CLOSED
    assert len([c for c in rig.commands if isinstance(c, Prepare)]) >= 3


def test_the_last_fill_of_an_ended_sell_closes_it_at_once() -> None:
    """Its end was told before its fill: the sale waited up to five seconds for the next look."""
    rig = holding()
    post = rig.posted(rig.answer(STOP))
    rig.accept(post, "matched")
    order = rig.order(post)
    rig.see(order, "CANCELED", "20", "CANCELLATION")
    assert order.open
    rig.wait(20)
    sold = rig.trade(order, "20", "0.40")
    assert not order.open
    assert drafts([*sold, *rig.wait(250)])[0].draft.size == micros("37")


def test_pos_02_shares_that_show_late_are_asked_for_while_an_exit_rests_already() -> None:
    rig = opened()
    rig.enter()
    rig.balances(size="20")
    rig.accept(rig.posted(rig.answer(AT_99)))
    asked = rig.wait(2_500)
    assert sum(isinstance(c, QueryTokenBalance) for c in asked) in (2, 3)


# --- fills that failed ------------------------------------------------------------------------------------------------


def test_a_failed_sell_reopens_the_position_with_its_obligation_and_its_pnl_is_counted_once() -> None:
    rig = holding()
    post = rig.posted(rig.answer(STOP))
    order = rig.order(post)
    rig.trade(order, "57", "0.40", trade_id="t50")
    state = rig.kernel.state
    position = state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.closed
    assert state.obligations == {}
    rig.trade(order, "57", "0.40", "FAILED", trade_id="t50")
    assert not position.closed
    assert list(state.obligations.values()) == [rig.market.end - 120_000]
    sound(rig)
    rig.to(rig.market.end - 119_000)
    rig.book("0.40/0.42")
    again = rig.posted(rig.wait(3_000))
    rig.trade(rig.order(again), "57", "0.30", "CONFIRMED")
    assert position.closed
    assert sum(close.pnl for close in state.closes) == rig.cash() - micros("1000")
    sound(rig)


def test_a_position_whose_buy_failed_leaves_no_wish_behind() -> None:
    """An exit that was asked for before the failure would have sold the next entry at once; so would `held`."""
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.trade(order, "57", "0.42", trade_id="t50")
    rig.answer(STOP)
    rig.answer(HoldToSettlement(Side.UP, "mine"))
    rig.answer(STOP)
    rig.trade(order, "57", "0.42", "FAILED", trade_id="t50")
    assert rig.kernel.state.obligations == {}
    rig.enter()
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.held == ""
    none(rig.wait(2_000), Prepare)
    assert len(rig.kernel.state.obligations) == 1
    sound(rig)


@pytest.mark.parametrize("winner", [Side.UP, Side.DOWN, None])
def test_a_trade_that_fails_after_the_result_takes_its_payout_back(winner: Side | None) -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.trade(order, "20", "0.42", trade_id="t50")
    rig.trade(order, "37", "0.42", trade_id="t51")
    rig.to(rig.market.end + 8_000)
    rig.resolve(winner)
    rig.trade(order, "37", "0.42", "FAILED", trade_id="t51")
    rig.trade(order, "20", "0.42", "CONFIRMED", trade_id="t50")
    sound(rig)
    state = rig.kernel.state
    assert state.balance("unredeemed") == {Side.UP: micros("20"), Side.DOWN: 0, None: micros("10")}[winner]
    total = state.balance("free") + state.balance("unredeemed")
    assert total == micros("1000") + sum(close.pnl for close in state.closes)


def test_a_fill_after_the_result_is_paid_and_the_closes_sum_to_what_the_side_brought() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.trade(order, "20", "0.42", "CONFIRMED")
    rig.to(rig.market.end + 8_000)
    rig.resolve(Side.UP)
    rig.trade(order, "37", "0.42", "CONFIRMED")
    state = rig.kernel.state
    assert state.balance("unredeemed") == micros("57")
    total = state.balance("free") + state.balance("unredeemed")
    assert total == micros("1000") + sum(close.pnl for close in state.closes)
    sound(rig)


def test_a_sell_fill_after_the_result_gives_the_payout_back() -> None:
    rig = holding()
    post = rig.posted(rig.answer(AT_99))
    rig.accept(post)
    rig.to(rig.market.end + 8_000)
    rig.resolve(Side.UP)
    rig.trade(rig.order(post), "57", "0.99", maker=True)
    state = rig.kernel.state
    assert state.balance("unredeemed") == 0
    assert state.balance("free") == micros("1000") + sum(close.pnl for close in state.closes)
    sound(rig)


def test_a_rest_that_was_held_as_too_small_is_a_position_again_when_more_is_bought() -> None:
    rig = opened()
    post = rig.posted(rig.answer(REST_UP))
    order = rig.order(post)
    rig.accept(post)
    rig.trade(order, "1", "0.39", "CONFIRMED", maker=True)
    rig.balances()
    rig.answer(STOP)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.held == "minimum"
    rig.trade(order, "40", "0.39", "CONFIRMED", maker=True)
    assert position.held == ""
    assert len(rig.kernel.state.obligations) == 1
    sound(rig)


# --- orders on their way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [RunEnding("stopped"), Operator("kill", who="me")])
def test_ord_17_an_order_on_its_way_when_everything_is_cancelled_is_cancelled_when_it_arrives(
    stop: RunEnding | Operator
) -> None:
    rig = opened()
    post = rig.posted(rig.answer(REST_UP))
    none(rig.do(stop), Cancel)
    assert cancels(rig.accept(post)) == [post.request.order_id]


@pytest.mark.parametrize("stop", [RunEnding("stopped"), Operator("kill", who="me")])
def test_ord_17_an_order_that_was_not_signed_when_everything_is_cancelled_is_never_posted(
    stop: RunEnding | Operator
) -> None:
    rig = opened()
    draft = only(rig.answer(REST_UP), Prepare).draft
    rig.do(stop)
    none(rig.sign(draft), Post)
    assert rig.cash("reserved") == 0
    sound(rig)


def test_ord_17_an_order_of_unknown_fate_is_cancelled_by_id_once_it_is_found() -> None:
    rig = opened()
    post = rig.posted(rig.answer(REST_UP))
    rig.do(Operator("kill", who="me"))
    assert cancels(rig.wait(1_500)) == [post.request.order_id]


@pytest.mark.parametrize("stop", [RunEnding("stopped"), Operator("kill", who="me")])
def test_ord_17_a_cancel_that_was_lost_is_sent_again_until_the_end_is_proved(stop: RunEnding | Operator) -> None:
    """Nobody asks twice for what a kill or a stop cancels: one lost cancel left the order at the venue."""
    rig = opened()
    post = rig.posted(rig.answer(REST_UP))
    rig.accept(post)
    order = rig.order(post)
    assert cancels(rig.do(stop)) == [order.order_id]
    for _ in range(3):
        rig.wait(1_500)
        assert cancels(rig.see(order, "LIVE", "0", source="query")) == [order.order_id]
    asked = rig.wait(20_000)
    assert sum(isinstance(c, QueryOrder) for c in asked) >= 3, "a query without an answer is asked again too"
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert not order.open
    sound(rig)


# --- restarts and comparisons -----------------------------------------------------------------------------------------


def restarted(before: Rig) -> Rig:
    rig = Rig(follow=False)
    rig.kernel.restore(before.records)
    rig.now = before.now + 3_000
    rig.records = list(before.records)
    rig.trades = before.trades
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    return rig


def test_a_market_sell_under_way_at_the_restart_is_asked_for_until_its_end_is_known() -> None:
    before = holding()
    post = before.posted(before.answer(STOP))
    before.accept(post, "matched")
    rig = restarted(before)
    asked = rig.wait(6_000)
    assert sum(isinstance(c, Sweep) and c.condition_id == CONDITION for c in asked) >= 2


def test_the_comparison_after_a_reconnect_reaches_back_to_when_the_stream_was_lost() -> None:
    """A sweep of one market advanced the watermark: what other markets had matched before it was never seen."""
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.trade(order, "10", "0.42")
    rig.do(StreamChanged("user", False, 1, "lost"))
    lost_s = rig.now // 1_000
    rig.wait(300_000)
    rig.trade(order, "10", "0.42", trade_id="t60")
    sweep = only(rig.do(StreamChanged("user", True, 2)), Sweep)
    assert sweep.since_s <= lost_s


def test_a_trade_that_settles_late_is_looked_up_since_its_order_was_placed() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(BUY_UP)))
    rig.wait(1_000)
    rig.trade(order, "57", "0.42", trade_id="t50")
    rig.kernel.state.last_match_s += 3_600  # other markets went on
    sweeps = [c for c in rig.wait(5_000) if isinstance(c, Sweep) and c.condition_id == CONDITION]
    assert sweeps
    assert all(sweep.since_s <= order.placed_at // 1_000 for sweep in sweeps)


def test_a_flapping_user_stream_does_not_multiply_the_comparisons() -> None:
    rig = opened()
    for epoch in range(20):
        rig.do(StreamChanged("user", True, epoch))
    sweeps = [c for c in rig.wait(10_000) if isinstance(c, Sweep)]
    assert len(sweeps) <= 5


def test_a_second_beginning_does_not_double_the_balance_queries() -> None:
    from polyhost.model.commands import QueryBalance

    rig = opened()
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    asked = [c for c in rig.wait(40_000) if isinstance(c, QueryBalance)]
    assert len(asked) == 10


def test_exi_05_the_obligation_is_enforced_however_slow_the_cadence_is() -> None:
    rig = Rig(settings={"evaluation": {"cadence_ms": 90_000}})
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    order = rig.order(rig.posted(_entered(rig)))
    rig.fill(order)
    rig.to(rig.market.end - 121_000)
    rig.book("0.40/0.42")
    assert drafts(rig.to(rig.market.end - 115_000))


def _entered(rig: Rig) -> list[Command]:
    from polyhost.model.commands import Ask

    asks = [c for c in rig.to(START + 90_000) if isinstance(c, Ask)]
    rig.book("0.40/0.42")
    return rig.reply(asks[-1], BUY_UP)


def test_an_accepted_answer_after_the_end_changes_nothing() -> None:
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    rig.trade(rig.order(post), "57", "0.42")
    rig.resolve(Side.UP)
    for outcome in ("accepted", "refused", "unknown"):
        rig.do(PostAnswered(post.request.order_id, outcome))
    rig.resolve(Side.DOWN)
    sound(rig)


# --- the feed ---------------------------------------------------------------------------------------------------------


def _ticked(rig: Rig, tick: str) -> bool:
    message = Message(
        event_type="book", asset_id=UP, bids=[Level("0.40", "10")], asks=[Level("0.42", "10")], tick_size=tick
    )
    return rig.kernel.feed(message, rig.now)


def test_con_09_a_full_book_that_repeats_the_tick_wakes_nobody() -> None:
    rig = opened()
    _ticked(rig, "0.01")
    rig.wait(1)
    assert not _ticked(rig, "0.01")
    assert _ticked(rig, "0.001")
    rig.wait(1)
    assert rig.kernel.state.markets[CONDITION].market.tick == 10
    assert _ticked(rig, "0.01")


@pytest.mark.parametrize("tick", ["0", "0.02", "1"])
def test_con_09_a_tick_that_no_rule_is_known_for_is_not_followed(tick: str) -> None:
    """A tick of zero was recorded, and every price after it divided by it: the host could not start again either."""
    rig = opened()
    _ticked(rig, tick)
    rig.wait(1)
    assert rig.kernel.state.markets[CONDITION].market.tick == 100
    rig.book("0.40/0.42")
    rig.enter()
