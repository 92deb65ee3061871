"""What an attacker of the kernel found: orders of events that nobody had thought of, each with what it would cost."""

from __future__ import annotations

import pytest

from polyhost.kernel.state import OrderEntry, fold
from polyhost.model.commands import Post, Prepare
from polyhost.model.events import (
    ActionAnswered,
    BalanceSeen,
    CancelAnswered,
    Operator,
    OrderNotFound,
    PostAnswered,
    RunBegan,
    RunEnding,
    StreamChanged,
    SweepDone,
    TokenBalanceSeen,
)
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import CancelOrders, Enter, ExitNow, ExitTarget, HoldToSettlement, Merge, Pair
from polyhost.model.words import Action, ActionState, OrderState, Side

from .rig import CONDITION, START, Rig, cancels, none, only

CROSSED = Pair(ticks("0.42"), ticks("0.60"), micros("20"), "sum below 1", Side.UP)
AT_99 = ExitTarget(Side.UP, ticks("0.99"))
RESTING = Enter(Side.UP, ticks("0.40"), "rests", order_type="GTC")


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    return rig


def sound(rig: Rig) -> None:
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state


def again(before: Rig) -> Rig:
    """The host was killed and starts again on what it had written."""
    rig = Rig(follow=False)
    rig.records = list(before.records)
    rig.kernel.restore(before.records)
    rig.now, rig.trades, rig.balance = before.now + 3_000, before.trades, before.balance
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 1))
    return rig


def live(rig: Rig, ms: int) -> list[object]:
    """Time passes with a living book."""
    caused: list[object] = []
    for step in range(0, ms, 500):
        data = rig.kernel.data(CONDITION)
        assert data is not None
        data.book.changed_at = rig.now
        caused += rig.wait(min(500, ms - step))
    return caused


def leg(rig: Rig, order: OrderEntry, size: str, price: str, status: str = "CONFIRMED") -> str:
    rig.trades += 1
    trade = f"t{rig.trades}"
    rig.trade(order, size, price, "MATCHED", trade_id=trade)
    if order.open:
        rig.see(order, "CANCELED", size, "CANCELLATION")
    if status == "CONFIRMED":
        rig.trade(order, size, price, "CONFIRMED", trade_id=trade)
        rig.balances(order.slot.side)
    return trade


# --- a pair and a sale of its shares at once --------------------------------------------------------------------------


def test_ord_13_shares_that_are_being_sold_do_not_pair_off() -> None:
    """The operator closes while the second leg settles: what pairs off then is on its way out already."""
    rig = opened()
    post = rig.posted(rig.answer(CROSSED))
    rig.accept(post, "matched")
    leg(rig, rig.order(post), "20", "0.42")
    second = rig.order(rig.posted([c for c in live(rig, 2_500) if isinstance(c, Prepare)]))
    rig.do(PostAnswered(second.order_id, "accepted", "matched"))
    trade = leg(rig, second, "20", "0.59", "MATCHED")
    sale = rig.posted(rig.do(Operator("close", "", "me")))
    rig.accept(sale, "matched")
    rig.trade(second, "20", "0.59", "CONFIRMED", trade_id=trade)
    rig.balances(Side.DOWN)
    leg(rig, rig.order(sale), "20", "0.41")
    sound(rig)
    down = rig.kernel.state.position(CONDITION, Side.DOWN)
    assert down is not None
    assert down.paired == 0
    other = [p for p in rig.commands if isinstance(p, Prepare) and p.draft.token_id == rig.market.down]
    assert [p.draft.action for p in other] == [Action.BUY, Action.SELL], "the operator's close is for both sides"


# --- an operator's or a deadline's close that somebody else takes back ------------------------------------------------


@pytest.mark.parametrize("word", ["close", "kill"])
def test_exi_07_a_plugins_hold_does_not_take_back_what_is_being_sold(word: str) -> None:
    rig = opened()
    rig.enter()
    rig.book("/0.42")
    rig.do(Operator(word, "", "me", flatten=True))
    rig.book("0.41/0.42")
    rig.answer(HoldToSettlement(Side.UP, "I like it"))
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.held == ""
    plan = rig.kernel.data(CONDITION)
    assert plan is not None
    assert plan.exit(Side.UP).urgent is not None


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("word", ["close", "kill"])
def test_ord_17_a_close_of_the_operator_goes_on_after_a_restart(word: str, held: bool) -> None:
    rig = opened()
    rig.enter()
    if held:
        rig.answer(HoldToSettlement(Side.UP, "I like it"))
    rig.book("/0.42")
    none(rig.do(Operator(word, "", "me", flatten=True)), Prepare)
    rig = again(rig)
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    rig.balances()
    rig.book("0.41/0.42")
    sale = only(list(live(rig, 2_000)), Prepare).draft  # type: ignore[arg-type]
    assert (sale.action, sale.token_id) == (Action.SELL, rig.market.up)
    post = only(rig.sign(sale), Post)
    rig.accept(post, "matched")
    leg(rig, rig.order(post), f"{sale.size / 1_000_000}", "0.41")
    sound(rig)


# --- buys that were to be cancelled -----------------------------------------------------------------------------------


def resting(rig: Rig) -> OrderEntry:
    post = rig.posted(rig.answer(RESTING))
    rig.accept(post)
    return rig.order(post)


@pytest.mark.parametrize("outcome", ["unknown", "delayed", "not_found"])
def test_u7_an_absent_order_that_shows_up_is_cancelled_until_it_is_gone(outcome: str) -> None:
    rig = opened()
    post = rig.posted(rig.answer(RESTING))
    order = rig.order(post)
    rig.do(PostAnswered(order.order_id, "unknown", http=500))
    while order.open and rig.now < rig.market.end + 200_000:
        rig.wait(60_000)
        rig.swept()
    assert order.cause == "absent"
    assert not rig.kernel.state.markets[CONDITION].settled
    rig.see(order, "LIVE", "0")
    rig.do(CancelAnswered(order.order_id, outcome))
    rig.wait(2_000)
    rig.commands.clear()
    rig.see(order, "LIVE", "0", source="query")
    assert order.order_id in cancels(rig.commands), "nobody else would"


def test_ord_17_a_kill_that_the_venue_did_not_hear_is_said_again_after_a_restart() -> None:
    rig = opened()
    order = resting(rig)
    assert cancels(rig.do(Operator("kill", "", "me"))) == [order.order_id]
    rig = again(rig)
    order = rig.kernel.state.orders[order.ref]
    rig.do(SweepDone("", (rig.row(order, "LIVE", "0"),), (), True, begun=rig.now))
    rig.wait(2_000)
    assert order.order_id in cancels(rig.commands)


def test_u5_an_unknown_buy_that_was_not_wanted_is_cancelled_when_it_turns_up() -> None:
    rig = opened()
    post = rig.posted(rig.answer(RESTING))
    order = rig.order(post)
    rig.do(PostAnswered(order.order_id, "unknown", http=500))
    rig.do(Operator("pause", "", "me"))
    rig.wait(1_000)
    rig.do(CancelAnswered(order.order_id, "not_found"))
    rig.wait(1_300)
    rig.commands.clear()
    rig.see(order, "LIVE", "0", source="query")
    assert order.order_id in cancels(rig.commands)


# --- a stop beside an unknown sale ------------------------------------------------------------------------------------


def test_u8_a_stop_does_not_end_as_too_small_because_its_own_sale_is_unknown() -> None:
    rig = opened()
    rig.book("0.20/0.21")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.21"), "test"), stake="2"))
    rig.accept(post, "matched")
    rig.fill(rig.order(post))
    data = rig.kernel.data(CONDITION)
    assert data is not None
    sale = rig.posted(rig.answer(ExitNow(Side.UP, "stop", "stop")))
    rig.do(PostAnswered(sale.request.order_id, "unknown", http=500))
    live(rig, 3_000)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.held == "", "all of it is in the sale that nobody knows of"
    after = rig.see(rig.order(sale), "CANCELED", "0", "CANCELLATION")
    assert [c for c in (*after, *live(rig, 2_000)) if isinstance(c, Prepare)], "and is sold when that one is over"


# --- actions ----------------------------------------------------------------------------------------------------------


def test_pos_02_one_reading_seen_by_two_deadlines_is_one_reading() -> None:
    rig = opened()
    for side, price in ((Side.UP, "0.42"), (Side.DOWN, "0.60")):
        post = rig.posted(rig.answer(Enter(side, ticks(price), "test"), stake="25"))
        rig.accept(post, "matched")
        rig.fill(rig.order(post), price, "20")
    rig.answer(Merge())
    action = rig.kernel.state.actions["a00001"]
    rig.wait(239_000)
    rig.do(ActionAnswered("a00001", "unknown"))
    rig.wait(1_500)
    assert action.state is ActionState.UNKNOWN
    for token in (rig.market.up, rig.market.down):
        rig.do(TokenBalanceSeen(token, 0))
    rig.wait(9_800)
    assert action.state is ActionState.UNKNOWN, "read once"


# --- the last two seconds ---------------------------------------------------------------------------------------------


def test_t9_what_is_signed_too_late_is_not_sent() -> None:
    rig = opened()
    rig.to(rig.market.end - 5_000)
    rig.book("0.41/0.42")
    draft = only(rig.answer(Enter(Side.UP, ticks("0.42"), "test", to_settlement=True)), Prepare).draft
    rig.to(rig.market.end - 1_000)
    none(rig.sign(draft), Post)
    assert rig.cash("reserved") == 0
    sound(rig)


# --- closed, and alive ------------------------------------------------------------------------------------------------


def test_ord_02_a_closed_order_that_the_venue_lists_is_cancelled() -> None:
    rig = opened()
    order = resting(rig)
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert not order.open
    rig.wait(5_000)
    rig.commands.clear()
    rig.swept(rig.row(order, "LIVE", "0"))
    assert cancels(rig.commands) == [order.order_id]


# --- what rested and is nowhere any more ------------------------------------------------------------------------------


def minutes_of_nothing(rig: Rig, order: OrderEntry, minutes: int) -> None:
    """The venue lists no order, and has an empty body for its id: so it answers for orders that are over."""
    for _ in range(minutes):
        live(rig, 60_000)
        rig.do(OrderNotFound(order.order_id))
        rig.swept()


def test_ord_02_an_exit_that_is_nowhere_any_more_does_not_cover_its_position_for_ever() -> None:
    """The dead-man's switch or the venue cancelled it while nobody listened."""
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(AT_99))
    rig.accept(post)
    order = rig.order(post)
    minutes_of_nothing(rig, order, 4)
    assert not order.open
    assert any(o.draft.action is Action.SELL for o in rig.kernel.state.open_orders(CONDITION)), "it is placed again"
    sound(rig)


def test_ord_03_a_cancelled_buy_that_is_nowhere_any_more_reserves_nothing() -> None:
    rig = opened()
    order = resting(rig)
    rig.answer(CancelOrders(Side.UP, "enough"))
    rig.do(CancelAnswered(order.order_id, "canceled"))
    minutes_of_nothing(rig, order, 4)
    assert not order.open
    assert rig.cash("reserved") == 0
    sound(rig)


# --- holds and pairs --------------------------------------------------------------------------------------------------


def paired(rig: Rig) -> None:
    """20 of both sides, held as a pair."""
    post = rig.posted(rig.answer(CROSSED))
    rig.accept(post, "matched")
    leg(rig, rig.order(post), "20", "0.42")
    second = rig.posted([c for c in live(rig, 2_500) if isinstance(c, Prepare)])
    rig.accept(second, "matched")
    leg(rig, rig.order(second), "20", "0.59")
    assert not rig.kernel.state.open_pairs


def test_ord_13_a_hold_of_what_pairs_off_leaves_no_later_leg_unmanaged() -> None:
    rig = opened()
    paired(rig)
    rig.answer(HoldToSettlement(Side.UP, "a pair pays 1.00"))
    post = rig.posted(rig.answer(CROSSED))
    rig.accept(post, "matched")
    leg(rig, rig.order(post), "20", "0.42")
    rig.book("0.30/0.42")
    caused = live(rig, 9_000)
    sold = [c.draft for c in caused if isinstance(c, Prepare)]
    assert [draft.action for draft in sold] == [Action.SELL], "the second leg costs too much: the first goes back"
    sound(rig)


def test_ord_17_a_close_while_a_merge_is_under_way_sells_what_was_not_merged() -> None:
    rig = opened()
    paired(rig)
    rig.answer(Merge())
    none(rig.do(Operator("close", "", "me")), Prepare)
    caused = list(rig.do(ActionAnswered("a00001", "refused", "reverted")))
    caused += [c for c in live(rig, 3_000) if isinstance(c, Prepare)]  # type: ignore[misc]
    sold = {c.draft.token_id for c in caused if isinstance(c, Prepare)}
    assert sold == {rig.market.up, rig.market.down}
    sound(rig)



def test_ord_17_a_cancel_that_got_lost_before_a_restart_is_said_again() -> None:
    """The run ended while the venue took no cancels."""
    rig = opened()
    order = resting(rig)
    assert cancels(rig.do(RunEnding("stopped"))) == [order.order_id]
    rig.do(CancelAnswered(order.order_id, "unknown"))
    rig = again(rig)
    order = rig.kernel.state.orders[order.ref]
    rig.do(SweepDone("", (rig.row(order, "LIVE", "0"),), (), True, begun=rig.now))
    rig.wait(2_000)
    assert order.order_id in cancels(rig.commands)


def test_t3_a_stop_does_not_end_as_too_small_before_its_trade_is_here() -> None:
    """The order's update is faster than its trade: what it sold is not 'too small to sell'."""
    rig = opened()
    rig.book("0.20/0.21")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.21"), "test"), stake="2"))
    rig.accept(post, "matched")
    rig.fill(rig.order(post))
    sale = rig.posted(rig.answer(ExitNow(Side.UP, "stop", "stop")))
    rig.accept(sale, "matched")
    order = rig.order(sale)
    size = f"{order.draft.size / 1_000_000}"
    rig.see(order, "MATCHED", size)
    live(rig, 3_000)
    leg(rig, order, size, "0.20")
    assert rig.kernel.state.closes[-1].exit_reason == "stop"
    sound(rig)


def test_a_forgotten_market_leaves_nothing_behind() -> None:
    rig = opened()
    rig.answer()
    rig.to(rig.market.end + 1_000)
    rig.resolve(Side.UP)
    rig.wait(70_000)
    assert rig.kernel.data(CONDITION) is None
    assert rig.kernel.quotes._asked == {}


def test_ord_17_a_close_of_shares_that_never_settled_does_not_sell_what_is_bought_later() -> None:
    rig = opened()
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test")))
    rig.accept(post, "matched")
    trade = leg(rig, rig.order(post), "20", "0.42", "MATCHED")
    rig.do(Operator("close", "", "me"))
    rig.trade(rig.order(post), "20", "0.42", "FAILED", trade_id=trade)
    again_bought = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test")))
    rig.accept(again_bought, "matched")
    rig.commands.clear()
    rig.fill(rig.order(again_bought))
    live(rig, 3_000)
    none(rig.commands, Prepare)
    sound(rig)


def test_t8_a_stop_waits_half_a_second_for_a_cancel_that_was_under_way_before_it() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(AT_99))
    rig.accept(post)
    live(rig, 1_500)
    assert cancels(rig.answer(ExitTarget(Side.UP, ticks("0.90")))) == [post.request.order_id]
    rig.wait(100)
    assert rig.order(post).state is OrderState.CANCELLING
    rig.do(Operator("close", "", "me"))
    caused = rig.wait(600)
    assert [c.draft.order_type.value for c in caused if isinstance(c, Prepare)] == ["FAK"]
