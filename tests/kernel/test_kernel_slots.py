"""Slots by purpose (ORD-02), reversals and re-opens (ORD-08), hedges that fail (EXI-09), promises (POS-12)."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import OrderEntry, fold
from polyhost.model.commands import Ask, Post, Prepare, Remember
from polyhost.model.events import BalanceSeen, Operator, RunBegan, StreamChanged, SweepDone
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import ORDER_REF, Defer, Enter, ExitNow, ExitTarget, Pair, QuoteTarget
from polyhost.model.records import OrderIntended, OrderPrepared, PluginStateSet
from polyhost.model.words import Action, OrderState, Purpose, Side
from polyhost.settings import Configuration

from .rig import CONDITION, START, Rig, cancels, none, only

BUY_UP = Enter(Side.UP, ticks("0.42"), "test")
HEDGE = Enter(Side.DOWN, ticks("0.60"), "stop first", Purpose.HEDGE)
ADD = Enter(Side.UP, ticks("0.42"), "more", Purpose.SCALE_IN)
STOP = ExitNow(Side.UP, "stop loss")


def opened(**options: Any) -> Rig:
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book("0.41/0.42")
    return rig


def holding(**options: Any) -> Rig:
    """57 UP are held."""
    rig = opened(**options)
    rig.enter(Side.UP)
    return rig


def posted(rig: Rig, wish: Enter, stake: str = "10", *standing: ExitTarget) -> OrderEntry:
    return rig.order(rig.posted(rig.answer(wish, *standing, stake=stake)))


def accepted(rig: Rig, wish: Enter, stake: str = "10", *standing: ExitTarget) -> OrderEntry:
    post = rig.posted(rig.answer(wish, *standing, stake=stake))
    rig.accept(post)
    return rig.order(post)


def grid(key: str, price: str = "0.30", side: Side = Side.UP) -> Enter:
    return Enter(side, ticks(price), "level", Purpose.GRID_LEVEL, "GTC", key=key)


def refusal(rig: Rig, purpose: Purpose) -> str:
    """The gate that the next view tells for a wish of this purpose; empty for none."""
    return next((told.gate for told in rig.ask().view.refused if told.purpose is purpose), "")


def sound(rig: Rig) -> None:
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state


# --- ORD-02 -----------------------------------------------------------------------------------------------------------


def test_ord_02_one_hedge_a_window_and_side() -> None:
    rig = holding()
    hedge = posted(rig, HEDGE)
    none(rig.answer(HEDGE, stake="10"), Prepare)
    rig.fill(hedge, "0.59")
    none(rig.answer(HEDGE, stake="10"), Prepare)
    assert refusal(rig, Purpose.HEDGE) == "slot"
    assert sorted(rig.kernel.state.obligations) == [f"{CONDITION}:DOWN", f"{CONDITION}:UP"]
    sound(rig)


def test_ord_02_a_hedge_needs_something_to_hedge_and_a_hedge_without_a_fill_may_be_tried_again() -> None:
    rig = opened()
    none(rig.answer(HEDGE), Prepare)
    rig = holding()
    for _ in range(5):
        rig.refuse(rig.posted(rig.answer(HEDGE, stake="10")), "fak_killed", "no orders found to match")
    none(rig.answer(HEDGE, stake="10"), Prepare)
    assert refusal(rig, Purpose.HEDGE) == "slot"


def test_ord_02_one_scale_in_at_a_time_and_only_on_what_is_held() -> None:
    rig = opened()
    none(rig.answer(ADD), Prepare)
    rig = holding()
    first = posted(rig, ADD, "5")
    none(rig.answer(ADD, stake="5"), Prepare)
    rig.fill(first, "0.42")
    second = posted(rig, ADD, "5")
    assert second.ref != first.ref
    sound(rig)


def test_ord_02_no_scale_in_while_the_position_is_being_sold() -> None:
    rig = holding()
    rig.answer(STOP)
    none(rig.answer(STOP, ADD, stake="5"), Prepare)


def test_ord_02_grid_levels_are_bounded_and_told_apart_by_their_key() -> None:
    rig = opened(settings={"safety": {"grid_levels_max": 2}})
    accepted(rig, grid("1", "0.40"))
    none(rig.answer(grid("1", "0.40"), stake="5"), Prepare)
    none(rig.answer(grid("", "0.40"), stake="5"), Prepare)
    accepted(rig, grid("2", "0.38"), "5")
    none(rig.answer(grid("3", "0.36"), stake="5"), Prepare)
    accepted(rig, grid("3", "0.36", Side.DOWN), "5")
    sound(rig)


def test_grd_01_a_bought_level_is_used_again_only_after_its_side_was_flat() -> None:
    rig = opened(settings={"safety": {"grid_levels_max": 2}})
    level = accepted(rig, grid("1", "0.40"))
    rig.fill(level, "0.40")
    none(rig.answer(grid("1", "0.39"), stake="5"), Prepare)
    accepted(rig, grid("2", "0.38"), "5")
    none(rig.answer(grid("3", "0.36"), stake="5"), Prepare)
    sale = rig.order(rig.posted(rig.answer(STOP)))
    rig.fill(sale, "0.40")
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.size == 0
    sound(rig)
    # ORD-08: a re-open waits for what rests of the grid before.
    left = rig.kernel.state.open_orders(CONDITION)[0]
    assert cancels(rig.answer(grid("1", "0.40"), stake="5")) == [left.order_id]
    assert refusal(rig, Purpose.GRID_LEVEL) == "pending_orders"
    rig.canceled(left)
    accepted(rig, grid("1", "0.40"), "5")
    accepted(rig, grid("3", "0.38"), "5")
    sound(rig)


def test_grd_01_one_take_profit_a_side_covers_the_total_of_its_levels() -> None:
    rig = opened()
    rig.fill(accepted(rig, grid("1", "0.40")), "0.40")
    profit = ExitTarget(Side.UP, ticks("0.70"))
    rig.accept(rig.posted(rig.answer(profit)))
    second = accepted(rig, grid("2", "0.38"), "10", profit)
    begin = len(rig.commands)
    rig.fill(second, "0.38")
    draft = only(rig.commands[begin:], Prepare).draft
    assert (draft.action, draft.size) == (Action.SELL, second.draft.size)
    sells = [o for o in rig.kernel.state.open_orders(CONDITION) if o.draft.action is Action.SELL]
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert sum(order.draft.size for order in sells) == position.size


@pytest.mark.parametrize("purpose", [Purpose.LEG, Purpose.QUOTE])
def test_ord_02_legs_and_quotes_are_no_entries(purpose: Purpose) -> None:
    rig = opened()
    none(rig.answer(Enter(Side.UP, ticks("0.42"), "x", purpose)), Prepare)
    assert refusal(rig, purpose) == "purpose"


# --- EXI-04 -----------------------------------------------------------------------------------------------------------


def test_exi_04_the_exit_covers_the_new_total_in_the_same_cycle_as_the_scale_in_fills() -> None:
    rig = holding()
    plan = ExitTarget(Side.UP, ticks("0.99"))
    rig.accept(rig.posted(rig.answer(plan)))
    added = posted(rig, ADD, "5", plan)
    begin, now = len(rig.commands), rig.now
    rig.fill(added, "0.42")
    draft = only(rig.commands[begin:], Prepare).draft
    assert rig.now == now
    assert (draft.action, draft.price, draft.size) == (Action.SELL, ticks("0.99"), added.draft.size)


# --- ORD-08 -----------------------------------------------------------------------------------------------------------


def test_ord_08_a_hedge_waits_until_everything_else_that_could_buy_is_over() -> None:
    rig = holding()
    adding = accepted(rig, Enter(Side.UP, ticks("0.35"), "more", Purpose.SCALE_IN, "GTC"))
    level = accepted(rig, grid("1", "0.50", Side.DOWN))
    exit_order = rig.order(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99")))))
    rig.accept(rig_post(exit_order))
    commands = rig.answer(ExitTarget(Side.UP, ticks("0.99")), HEDGE, stake="10")
    assert sorted(cancels(commands)) == sorted([adding.order_id, level.order_id]), "the exit remains"
    none(commands, Prepare)
    rig.canceled(adding)
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99")), HEDGE, stake="10"), Prepare)
    assert refusal(rig, Purpose.HEDGE) == "pending_orders", "the fate of one is not known"
    rig.canceled(level)
    assert only(rig.answer(ExitTarget(Side.UP, ticks("0.99")), HEDGE, stake="10"), Prepare).draft.action is Action.BUY


def rig_post(order: OrderEntry) -> Post:
    assert order.request is not None
    return Post(order.request)


def test_ord_08_an_entry_on_the_other_side_after_an_exit_is_a_reversal_and_one_without_is_not() -> None:
    rig = opened()
    accepted(rig, Enter(Side.UP, ticks("0.30"), "rests", order_type="GTC"))
    only(rig.answer(Enter(Side.DOWN, ticks("0.60"), "the other side"), stake="10"), Prepare)
    rig = holding()
    rig.fill(rig.order(rig.posted(rig.answer(STOP))), "0.41")
    level = accepted(rig, grid("1", "0.30", Side.DOWN))
    commands = rig.answer(Enter(Side.DOWN, ticks("0.60"), "turn"), stake="10")
    assert cancels(commands) == [level.order_id]
    none(commands, Prepare)
    rig.canceled(level)
    only(rig.answer(Enter(Side.DOWN, ticks("0.60"), "turn"), stake="10"), Prepare)


def test_ord_08_an_unknown_order_is_no_known_fate() -> None:
    rig = holding()
    adding = posted(rig, Enter(Side.UP, ticks("0.35"), "more", Purpose.SCALE_IN, "GTC"))
    rig.wait(1_500)
    assert adding.state is OrderState.UNKNOWN
    rig.book("0.41/0.42")
    none(rig.answer(HEDGE, stake="10"), Prepare)
    assert refusal(rig, Purpose.HEDGE) == "pending_orders"


def test_ord_08_quotes_stay_away_while_a_reversal_waits() -> None:
    rig = holding()
    quote = QuoteTarget(Side.DOWN, Action.BUY, ticks("0.50"), micros("10"))
    post = rig.posted(rig.answer(quote))
    rig.accept(post)
    assert cancels(rig.answer(quote, HEDGE, stake="10")) == [post.request.order_id]
    rig.canceled(rig.order(post))
    drafts = [c.draft for c in rig.answer(quote, HEDGE, stake="10") if isinstance(c, Prepare)]
    assert [draft.order_type.value for draft in drafts] == ["FAK"], "the hedge, and no quote in its way"


# --- EXI-09, U8 -------------------------------------------------------------------------------------------------------


def wishes(rig: Rig) -> tuple[Any, ...]:
    """What a reversal answers while it waits for its hedge, with a stop-loss beside it."""
    return (STOP, Defer(Side.UP, "stop", rig.now + 600_000, "a hedge first"), HEDGE)


def test_exi_03_a_defer_holds_the_stop_back_while_its_hedge_is_on_its_way() -> None:
    rig = holding()
    sold = [c for c in rig.answer(*wishes(rig), stake="10") if isinstance(c, Prepare)]
    assert only(list(sold), Prepare).draft.action is Action.BUY
    none([c for c in rig.answer(*wishes(rig)[:2]) if isinstance(c, Prepare)], Prepare)


@pytest.mark.parametrize(
    ("why", "gate"),
    [("funds", "minimum"), ("breaker", "pause"), ("ask", "price"), ("limit", "minimum"), ("stream", "user_stream"),
     ("veto", "veto")],
)
def test_exi_09_a_hedge_that_cannot_be_bought_is_told_at_once_and_the_stop_sells(why: str, gate: str) -> None:
    rig = holding(settings={"limits": {"window": "25"}} if why == "limit" else {})
    stake, vetoes = "10", ()
    match why:
        case "funds":
            stake = "0.5"
        case "breaker":
            rig.do(Operator("pause", who="me"))
        case "ask":
            rig.book("0.30/0.42")
        case "stream":
            rig.do(StreamChanged("user", False, 2))
        case "veto":
            vetoes = (("guard", "no"),)
    commands = rig.reply(rig.ask(), *wishes(rig), stake=stake, vetoes=vetoes)
    none(commands, Prepare)
    again = only(commands, Ask)
    told = again.view.hedge_refused(Side.DOWN)
    assert told is not None
    assert (told.gate, told.at) == (gate, rig.now), "asked again in the same turn"
    sold = rig.reply(again, *wishes(rig), stake=stake, vetoes=vetoes)
    assert only(sold, Prepare).draft.action is Action.SELL
    asks = [c for c in sold if isinstance(c, Ask)]
    if asks:  # the sale changed what the hedge was based on; that is asked about once, not for ever
        none([c for c in rig.reply(asks[-1], *wishes(rig), stake=stake, vetoes=vetoes) if isinstance(c, Ask)], Ask)


def test_exi_09_a_hedge_that_is_killed_is_told_and_the_stop_sells() -> None:
    rig = holding()
    post = rig.posted(rig.answer(*wishes(rig), stake="10"))
    again = only(rig.refuse(post, "fak_killed", "no orders found to match"), Ask)
    told = again.view.hedge_refused(Side.DOWN)
    assert told is not None
    assert told.gate == "unfilled"
    assert only(rig.reply(again, *wishes(rig)[:2]), Prepare).draft.action is Action.SELL


def test_exi_09_a_hedge_without_a_fill_for_ten_seconds_is_cancelled_and_told() -> None:
    rig = holding()
    order = accepted(rig, Enter(Side.DOWN, ticks("0.50"), "rests", Purpose.HEDGE, "GTC"))
    placed = order.placed_at
    begin = len(rig.commands)
    rig.to(placed + 9_999)
    assert cancels(rig.commands[begin:]) == []
    rig.to(placed + 10_000)
    assert cancels(rig.commands[begin:]) == [order.order_id]
    assert refusal(rig, Purpose.HEDGE) == "unfilled"


def test_exi_09_a_hedge_that_filled_in_part_stands() -> None:
    rig = holding()
    order = accepted(rig, Enter(Side.DOWN, ticks("0.50"), "rests", Purpose.HEDGE, "GTC"))
    rig.trade(order, "1", "0.50")
    rig.to(order.placed_at + 11_000)
    assert order.state is OrderState.WORKING
    assert refusal(rig, Purpose.HEDGE) == ""


@pytest.mark.parametrize("after", ["answer", "restart"])
def test_u8_an_unknown_hedge_holds_no_stop_and_its_fill_still_counts(after: str) -> None:
    rig = holding()
    order = rig.order(rig.posted(rig.answer(*wishes(rig), stake="10")))
    if after == "answer":
        asked = [c for c in rig.wait(1_500) if isinstance(c, Ask)]
        ask = asked[-1]
    else:
        restart(rig)
        order = rig.kernel.state.orders[order.ref]
        ask = rig.ask()
    assert order.state is OrderState.UNKNOWN
    commands = rig.reply(ask, *wishes(rig)[:2])
    assert only(commands, Prepare).draft.action is Action.SELL, "the obligation is met by selling"
    assert refusal(rig, Purpose.HEDGE) == "unknown"
    rig.trade(order, "5", "0.59")
    rig.book("0.41/0.42")
    assert refusal(rig, Purpose.HEDGE) == ""
    sound(rig)


def restart(rig: Rig) -> None:
    records = list(rig.records)
    rig.kernel = Kernel(Configuration(), "main")
    rig.kernel.analyse = False
    rig.kernel.restore(records)
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 2))
    rig.do(SweepDone("", (), (), True))
    for side in (Side.UP,):
        rig.balances(side)
    rig.book("0.41/0.42")


# --- POS-12 -----------------------------------------------------------------------------------------------------------


def test_pos_12_a_promise_is_durable_in_the_step_of_its_order_and_before_it_is_posted() -> None:
    rig = holding()
    wish = Enter(
        Side.DOWN, ticks("0.60"), "hedge", Purpose.HEDGE,
        remember={"hedge": ORDER_REF, "at": 3_000, "level": 0.3, "done": True, "text": "as it is"},
    )
    begin = len(rig.records)
    commands = rig.answer(wish, stake="10")
    step = rig.records[begin:]
    ref = next(r.draft.ref for r in step if isinstance(r, OrderIntended))
    kept = {"hedge": f'"{ref}"', "at": "3000", "level": "0.3", "done": "true", "text": '"as it is"'}
    assert next(r for r in step if isinstance(r, PluginStateSet)).changes == kept
    assert not any(isinstance(r, OrderPrepared) for r in step)
    assert rig.kernel.state.plugin_state["test"] == kept
    assert only(commands, Remember) == Remember("test", dict(kept))
    rig.posted(commands)
    sound(rig)


def test_pos_12_a_promise_of_a_wish_that_became_no_order_is_not_kept() -> None:
    rig = opened()
    none(rig.answer(Enter(Side.DOWN, ticks("0.60"), "x", Purpose.HEDGE, remember={"hedge": ORDER_REF})), Remember)
    assert rig.kernel.state.plugin_state == {}


def test_pos_12_none_forgets_a_promise_and_a_pair_keeps_its_own() -> None:
    rig = opened()
    pair = Pair(ticks("0.42"), ticks("0.60"), micros("20"), "cheap", Side.UP, remember={"pair": ORDER_REF})
    only(rig.answer(pair), Remember)
    assert rig.kernel.state.plugin_state == {"test": {"pair": '"p00001"'}}
    rig = opened()
    rig.answer(Enter(Side.UP, ticks("0.42"), "x", remember={"a": 1}), stake="5")
    rig.answer(Enter(Side.DOWN, ticks("0.60"), "x", remember={"a": None}), stake="5")
    assert rig.kernel.state.plugin_state == {"test": {}}
