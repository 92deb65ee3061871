"""Two legs (ORD-13): one after the other, sized by what was really bought, with a way back and a memory."""

from __future__ import annotations

import pytest
from msgspec import structs

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.pair_table import ENDS_ANYWHERE, PAIR_TRANSITIONS, pair_moved
from polyhost.kernel.state import OrderEntry, PairEntry, fold
from polyhost.model.commands import Command, Post, Prepare
from polyhost.model.events import BalanceSeen, Operator, RunBegan, StreamChanged, SweepDone, TokenBalanceSeen
from polyhost.model.messages import Message
from polyhost.model.money import Micros, micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget, Pair
from polyhost.model.records import HeldDeclared, OrderIntended, PairMoved, PairOpened
from polyhost.model.words import Action, OrderState, PairState, Purpose, Side
from polyhost.settings import Configuration

from .rig import CONDITION, START, Rig, none, only, window

CHEAP = Pair(ticks("0.42"), ticks("0.50"), micros("20"), "sum below 1", Side.UP)
PAUSE_MS = 2_000
ROLLBACK_MS = 5_000


def opened(book: str = "0.50/0.42", **options: object) -> Rig:
    """A market in its first minutes; UP asks 0.42 and DOWN asks 0.50 (UP bids 0.50 would cross: 0.41 by default)."""
    rig = Rig(**options)  # type: ignore[arg-type]
    rig.to(START + 60_000)
    rig.book("0.41/0.42" if book == "0.50/0.42" else book)
    return rig


CROSSED = Pair(ticks("0.42"), ticks("0.60"), micros("20"), "sum below 1", Side.UP)
"""On a book 0.41/0.42: UP asks 0.42, DOWN asks 0.59."""


def first_leg(rig: Rig, wish: Pair = CROSSED) -> OrderEntry:
    """Open a pair and post its first leg."""
    post = rig.posted(rig.answer(wish))
    rig.accept(post, "matched")
    return rig.order(post)


def bought(rig: Rig, order: OrderEntry, size: str, price: str = "0.42", status: str = "CONFIRMED") -> None:
    """The leg got ``size``, and its order is over."""
    rig.trades += 1
    trade = f"t{rig.trades}"
    rig.trade(order, size, price, "MATCHED", trade_id=trade)
    if order.open:
        rig.see(order, "CANCELED", size, "CANCELLATION")
    if status == "CONFIRMED":
        rig.trade(order, size, price, "CONFIRMED", trade_id=trade)
        rig.balances(order.slot.side)


def fresh(rig: Rig, ms: int) -> list[Command]:
    """Time passes with a living book."""
    caused: list[Command] = []
    for step in range(0, ms, 500):
        data = rig.kernel.data(CONDITION)
        assert data is not None
        data.book.changed_at = rig.now
        caused += rig.wait(min(500, ms - step))
    return caused


def the_pair(rig: Rig) -> PairEntry:
    return rig.kernel.state.pairs["p00001"]


def second_leg(rig: Rig) -> OrderEntry:
    """The first leg got 20 and is settled; after the pause the second is posted."""
    bought(rig, first_leg(rig), "20")
    post = rig.posted(fresh(rig, PAUSE_MS))
    rig.accept(post, "matched")
    return rig.order(post)


def sound(rig: Rig) -> None:
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state


def test_ord_13_funds_of_both_legs_are_reserved_before_the_first_leaves() -> None:
    rig = opened()
    commands = rig.answer(CROSSED)
    draft = only(commands, Prepare).draft
    assert (draft.token_id, draft.action, draft.order_type.value) == (rig.market.up, Action.BUY, "FAK")
    pair = the_pair(rig)
    up, down = pair.size * 4_200 // 10_000, pair.size * 6_000 // 10_000
    assert rig.cash("reserved") >= up + down, "the second leg is paid for before the first is sent"
    assert rig.cash("reserved") <= CROSSED.stake
    kinds = [type(r) for r in rig.records]
    assert kinds.index(PairOpened) < kinds.index(OrderIntended)
    assert rig.kernel.at_risk() == rig.cash("reserved")
    sound(rig)


def test_ord_13_a_pair_whose_second_leg_cannot_be_paid_buys_nothing() -> None:
    rig = opened(cash="3")
    none(rig.answer(CROSSED), Prepare)
    assert rig.kernel.state.pairs == {}
    assert rig.kernel.gates(CONDITION)["minimum"] == 1


def test_ord_13_the_second_leg_is_paid_from_its_own_reservation_however_little_else_is_free() -> None:
    """ORD-23's low balance is about new exposure: what both legs reserved together is not short of itself."""
    rig = opened(cash="20.4")
    bought(rig, first_leg(rig), "18.5")
    assert rig.cash("free") < 1_000_000
    order = rig.order(rig.posted(fresh(rig, PAUSE_MS)))
    assert order.slot.side is Side.DOWN
    assert [name for name, _ in rig.kernel.blocks()] == ["low_balance"]
    sound(rig)


def test_ord_13_a_second_leg_that_the_venue_shows_no_money_for_is_not_bought() -> None:
    """The venue shows less than is reserved (simulation, seed 263): the reservation alone pays for nothing."""
    rig = opened(cash="20.4")
    bought(rig, first_leg(rig), "18.5")
    reserved = rig.cash("reserved")
    rig.balance = reserved - micros("6")
    rig.do(BalanceSeen(rig.balance, True))
    caused = fresh(rig, PAUSE_MS)
    bought_more = [c.draft for c in caused if isinstance(c, Prepare) and c.draft.action is Action.BUY]
    assert bought_more == []
    sound(rig)


@pytest.mark.parametrize("seconds", [1, 30])
def test_ord_13_the_second_leg_waits_until_the_first_is_settled(seconds: int) -> None:
    rig = opened()
    order = first_leg(rig)
    bought(rig, order, "20", status="MATCHED")
    none(fresh(rig, seconds * 1_000), Prepare)
    assert the_pair(rig).state is PairState.SETTLING
    rig.trade(order, "20", "0.42", "CONFIRMED", trade_id=f"t{rig.trades}")
    rig.balances(Side.UP)
    none(fresh(rig, PAUSE_MS - 1), Prepare)
    draft = only(rig.wait(1), Prepare).draft
    assert (draft.token_id, draft.size) == (rig.market.down, micros("20"))


def test_ord_13_the_second_leg_is_sized_by_what_the_first_really_got() -> None:
    rig = opened()
    order = first_leg(rig, Pair(ticks("0.42"), ticks("0.59"), micros("20"), first=Side.UP))
    assert order.draft.size > micros("13.5")
    bought(rig, order, "13.5")
    draft = only(fresh(rig, PAUSE_MS), Prepare).draft
    assert draft.size == micros("13"), "whole cents at 0.59: whole shares, never more than the first leg got"


def test_ord_13_a_pair_is_held_only_as_far_as_it_pairs_off() -> None:
    rig = opened()
    second = second_leg(rig)
    assert rig.cash("reserved") == second.reserve, "what the second leg does not need is free"
    bought(rig, second, "20", "0.59")
    pair = the_pair(rig)
    assert (pair.state, pair.cause, pair.paired, pair.left) == (PairState.DONE, "paired", micros("20"), 0)
    for side in Side:
        position = rig.kernel.state.position(CONDITION, side)
        assert position is not None
        assert (position.paired, position.loose) == (micros("20"), 0)
    assert rig.kernel.state.obligations == {}
    none(rig.answer(ExitNow(Side.UP, "stop"), ExitTarget(Side.DOWN, ticks("0.99"))), Prepare)
    none(rig.to(rig.market.end - 60_000), Prepare)
    rig.resolve(Side.UP)
    sound(rig)
    assert sum(close.pnl for close in rig.kernel.state.closes) == rig.cash() + rig.cash("unredeemed") - micros("1000")


def test_ord_13_a_failed_second_leg_sells_the_first_by_its_actual_shares() -> None:
    rig = opened()
    bought(rig, first_leg(rig), "17.5")
    post = rig.posted(fresh(rig, PAUSE_MS))
    rig.refuse(post, "fak_killed", "no orders found to match with FAK order.")
    assert the_pair(rig).state is PairState.ROLLBACK
    assert rig.cash("reserved") == 0
    none(fresh(rig, ROLLBACK_MS - 1), Prepare)
    sale = only(fresh(rig, 1), Prepare).draft
    assert (sale.token_id, sale.action, sale.order_type.value) == (rig.market.up, Action.SELL, "FAK")
    assert sale.size == micros("17.5"), "shares that were bought, not money divided by a price"
    order = rig.order(rig.posted([Prepare(sale)]))
    rig.fill(order, "0.40")
    pair = the_pair(rig)
    assert (pair.state, pair.cause, pair.left) == (PairState.DONE, "flat", 0)
    assert rig.kernel.state.obligations == {}
    sound(rig)


def test_ord_13_a_partly_filled_second_leg_sells_only_what_has_no_partner() -> None:
    rig = opened()
    second = second_leg(rig)
    bought(rig, second, "12", "0.59")
    assert the_pair(rig).state is PairState.ROLLBACK
    sale = only(fresh(rig, ROLLBACK_MS), Prepare).draft
    assert sale.size == micros("8")
    rig.fill(rig.order(rig.posted([Prepare(sale)])), "0.40")
    pair = the_pair(rig)
    assert (pair.cause, pair.paired, pair.left) == ("paired", micros("12"), 0)
    up, down = (rig.kernel.state.position(CONDITION, side) for side in Side)
    assert up is not None
    assert down is not None
    assert (up.size, up.loose, down.size, down.loose) == (micros("12"), 0, micros("12"), 0)
    none(fresh(rig, 10_000), Prepare)
    sound(rig)


def test_ord_13_what_the_second_leg_got_pairs_off_only_when_it_is_settled() -> None:
    rig = opened()
    second = second_leg(rig)
    bought(rig, second, "20", "0.59", status="MATCHED")
    assert (the_pair(rig).state, _held(rig)) == (PairState.PAIRING, [])
    rig.trade(second, "20", "0.59", "FAILED", trade_id=f"t{rig.trades}")
    assert the_pair(rig).state is PairState.ROLLBACK
    assert only(fresh(rig, ROLLBACK_MS), Prepare).draft.size == micros("20")
    sound(rig)


def test_ord_13_the_second_legs_money_is_free_as_soon_as_there_will_be_none() -> None:
    rig = opened()
    bought(rig, first_leg(rig), "20")
    assert rig.cash("reserved") > 0
    rig.book("0.38/0.42")
    fresh(rig, PAUSE_MS)
    assert (the_pair(rig).state, rig.cash("reserved")) == (PairState.ROLLBACK, 0)


def test_ord_13_what_cannot_be_sold_again_is_recorded_as_left() -> None:
    rig = opened()
    second = second_leg(rig)
    bought(rig, second, "19", "0.59")
    none(fresh(rig, ROLLBACK_MS + 2_000), Prepare)
    pair = the_pair(rig)
    assert (pair.state, pair.cause, pair.paired, pair.left) == (
        PairState.DONE, "left", micros("19"), micros("1")
    )
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.held == "minimum"
    sound(rig)


def test_ord_13_a_first_leg_that_gets_nothing_ends_the_pair_and_frees_everything() -> None:
    rig = opened()
    post = rig.posted(rig.answer(CROSSED))
    rig.refuse(post, "fak_killed", "no orders found to match with FAK order.")
    assert (the_pair(rig).cause, rig.cash("reserved"), rig.cash()) == ("nothing", 0, micros("1000"))
    sound(rig)
    only(rig.answer(CROSSED), Prepare)
    assert rig.kernel.state.pairs["p00002"].open, "its slot is free for another pair"


def test_ord_13_an_unknown_leg_keeps_the_pair_waiting_and_its_slot_is_not_used_again() -> None:
    rig = opened()
    post = rig.posted(rig.answer(CROSSED))
    order = rig.order(post)
    rig.wait(1_500)
    assert order.state is OrderState.UNKNOWN
    reserved = rig.cash("reserved")
    none(fresh(rig, 20_000), Prepare)
    assert (the_pair(rig).state, rig.cash("reserved")) == (PairState.FIRST, reserved)
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert the_pair(rig).cause == "nothing"
    none(rig.answer(CROSSED), Prepare)
    assert rig.kernel.gates(CONDITION)["slot"] == 1


@pytest.mark.parametrize("word", ["pause", "kill"])
def test_ord_13_a_block_between_the_legs_rolls_back_and_a_kill_leaves_the_rest_to_its_obligation(word: str) -> None:
    rig = opened()
    bought(rig, first_leg(rig), "20")
    rig.do(Operator(word, who="me"))
    caused = fresh(rig, PAUSE_MS + ROLLBACK_MS)
    bought_more = [c.draft for c in caused if isinstance(c, Prepare) and c.draft.action is Action.BUY]
    assert bought_more == []
    if word == "kill":
        assert (the_pair(rig).cause, the_pair(rig).left) == ("killed", micros("20"))
        assert list(rig.kernel.state.obligations) == [f"{CONDITION}:UP"]
        none(caused, Prepare)
    else:
        assert only(caused, Prepare).draft.size == micros("20")
    sound(rig)


def test_ord_13_a_price_that_went_away_rolls_back() -> None:
    rig = opened()
    bought(rig, first_leg(rig), "20")
    rig.book("0.38/0.42")
    caused = fresh(rig, PAUSE_MS + ROLLBACK_MS)
    assert only(caused, Prepare).draft.action is Action.SELL


def test_ord_13_a_tick_that_becomes_coarse_between_the_legs_moves_the_second_legs_price_onto_the_grid() -> None:
    """Its worst price had been right when the pair began (simulation, seed 1195): the kernel failed on it."""
    rig = opened(market=structs.replace(window(), tick=10))
    wish = Pair(ticks("0.42"), ticks("0.605"), micros("20"), "sum below 1", Side.UP)
    bought(rig, first_leg(rig, wish), "20")
    rig.kernel.feed(Message(event_type="tick_size_change", asset_id=rig.market.up, new_tick_size="0.01"), rig.now)
    draft = only(fresh(rig, PAUSE_MS), Prepare).draft
    assert (draft.price, draft.tick) == (ticks("0.60"), ticks("0.01"))
    sound(rig)


def test_ord_13_a_balance_that_is_too_old_is_fetched_and_waited_for() -> None:
    rig = opened(settings={"pair": {"pause_s": 8.0}})
    bought(rig, first_leg(rig), "20")
    none(rig.wait(8_000, balances=False), Prepare)
    assert the_pair(rig).state is PairState.PAUSING
    rig.book("0.41/0.42")
    rig.do(BalanceSeen(rig.balance, True))
    only(rig.wait(1_000, balances=False), Prepare)


def test_ord_13_a_first_leg_that_never_settles_is_rolled_back() -> None:
    rig = opened()
    order = first_leg(rig)
    bought(rig, order, "20", status="MATCHED")
    none(fresh(rig, 60_000), Prepare)
    assert the_pair(rig).state is PairState.ROLLBACK
    fresh(rig, ROLLBACK_MS)
    rig.trade(order, "20", "0.42", "CONFIRMED", trade_id=f"t{rig.trades}")
    rig.do(TokenBalanceSeen(rig.market.up, micros("20")))
    fresh(rig, 1_000)
    sale = only([c for c in rig.commands if isinstance(c, Prepare)][1:], Prepare).draft
    assert (sale.action, sale.size) == (Action.SELL, micros("20"))


def test_ord_13_a_first_leg_that_fails_on_chain_ends_the_pair() -> None:
    rig = opened()
    order = first_leg(rig)
    bought(rig, order, "20", status="MATCHED")
    rig.trade(order, "20", "0.42", "FAILED", trade_id=f"t{rig.trades}")
    assert (the_pair(rig).cause, rig.cash()) == ("nothing", micros("1000"))
    sound(rig)


def test_ord_13_exits_of_plugins_wait_for_a_pair_and_its_deadline_does_not() -> None:
    rig = opened(settings={"pair": {"pause_s": 3_000.0}})
    bought(rig, first_leg(rig), "20")
    none(rig.answer(ExitNow(Side.UP, "stop loss"), ExitTarget(Side.UP, ticks("0.99"))), Prepare)
    none(rig.answer(Enter(Side.DOWN, ticks("0.60"), "another plugin")), Prepare)
    assert rig.kernel.gates(CONDITION)["pair"] == 1
    sold: list[Command] = []
    while not sold and rig.now < rig.market.end:
        sold = [c for c in fresh(rig, 500) if isinstance(c, Prepare)]
    assert only(sold, Prepare).draft.action is Action.SELL
    assert rig.now >= rig.market.end - 120_000
    rig.fill(rig.order(rig.posted(sold)), "0.40")
    fresh(rig, 1_000)
    assert the_pair(rig).open, "its pause has not ended"
    rig.resolve(Side.DOWN)
    assert (the_pair(rig).state, the_pair(rig).cause) == (PairState.DONE, "market_settled")
    sound(rig)


def test_ord_13_no_pair_beside_another_order_position_or_pair_of_the_market() -> None:
    rig = opened()
    rig.enter(Side.UP)
    none(rig.answer(CROSSED), Prepare)
    assert rig.kernel.gates(CONDITION)["slot"] == 1
    rig = opened()
    rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.50"), "rests", order_type="GTC")))
    none(rig.answer(CROSSED), Prepare)
    assert rig.kernel.gates(CONDITION)["pending_orders"] == 1
    rig = opened()
    none(rig.answer(CROSSED, CROSSED)[1:], PairOpened)
    assert list(rig.kernel.state.pairs) == ["p00001"]
    rig = opened()
    none(rig.answer(CROSSED, vetoes=(("guard", "no"),)), Prepare)
    assert rig.kernel.gates(CONDITION)["veto"] == 1


def test_ord_13_pairs_of_one_market_are_bounded() -> None:
    rig = opened(settings={"pair": {"window_max": 2}})
    for _ in range(2):
        rig.refuse(rig.posted(rig.answer(CROSSED)), "fak_killed", "no orders found")
    none(rig.answer(CROSSED), Prepare)
    assert rig.kernel.gates(CONDITION)["slot"] == 1


def test_pos_07_the_operators_close_sells_what_pairs_off_too() -> None:
    rig = opened()
    bought(rig, second_leg(rig), "20", "0.59")
    caused = rig.do(Operator("close", who="me"))
    sold = {c.draft.token_id: c.draft.size for c in caused if isinstance(c, Prepare)}
    assert sold == {rig.market.up: micros("20"), rig.market.down: micros("20")}
    sound(rig)


# --- restarts ---------------------------------------------------------------------------------------------------------


def restarted(rig: Rig) -> Rig:
    """The host died; its journal is folded, the venue answers as before."""
    records = list(rig.records)
    rig.kernel = Kernel(Configuration(), "main")
    rig.kernel.analyse = False
    rig.kernel.restore(records)
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 2))
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    rig.book("0.41/0.42")
    return rig


def story(rig: Rig) -> list[int]:
    """A whole pair with a partly filled second leg; the number of records after each of its steps."""
    marks = []

    def mark() -> None:
        marks.append(len(rig.records))

    post = rig.posted(rig.answer(CROSSED))
    mark()
    rig.accept(post, "matched")
    order = rig.order(post)
    bought(rig, order, "20", status="MATCHED")
    mark()
    rig.trade(order, "20", "0.42", "CONFIRMED", trade_id=f"t{rig.trades}")
    rig.balances(Side.UP)
    mark()
    post = rig.posted(fresh(rig, PAUSE_MS))
    mark()
    rig.accept(post, "matched")
    second = rig.order(post)
    bought(rig, second, "12", "0.59", status="MATCHED")
    mark()
    rig.trade(second, "12", "0.59", "CONFIRMED", trade_id=f"t{rig.trades}")
    rig.balances(Side.DOWN)
    mark()
    return marks


@pytest.mark.parametrize("point", range(6))
def test_ord_13_a_pair_survives_a_restart_at_every_point(point: int) -> None:
    """Died there, started again, and the venue tells what became of what was on its way: paired, flat or told."""
    whole = opened()
    marks = story(whole)
    rig = opened()
    rig.records = whole.records[: marks[point]]
    rig.now = rig.records[-1].at
    before = fold(rig.records)
    restarted(rig)
    assert the_pair(rig).state is before.pairs["p00001"].state or the_pair(rig).state.value > ""
    for _ in range(6):
        if the_pair(rig).state is PairState.DONE:
            break
        for order in list(rig.kernel.state.open_orders(CONDITION)):
            if order.state is OrderState.INTENDED:
                rig.sign(order.draft)
            size, price = _venue(order)
            if order.open and order.draft.action is Action.BUY:
                bought(rig, order, size, price)
            elif order.open:
                rig.fill(order, "0.40")
        for key in list(rig.kernel.state.unsettled):
            trade, _, ref = key.partition("/")
            fill = rig.kernel.state.fills[key].fill
            rig.trade(
                rig.kernel.state.orders[ref], str(fill.size / 1e6), str(fill.price / 1e4), "CONFIRMED", trade_id=trade
            )
        for position in list(rig.kernel.state.positions.values()):
            rig.do(TokenBalanceSeen(position.token_id, position.size))
        fresh(rig, ROLLBACK_MS)
    pair = the_pair(rig)
    assert (pair.state, pair.cause, pair.paired, pair.left) == (PairState.DONE, "paired", micros("12"), 0)
    sound(rig)


def _venue(order: OrderEntry) -> tuple[str, str]:
    return ("20", "0.42") if order.slot.side is Side.UP else ("12", "0.59")


def test_ord_13_a_restart_before_the_first_leg_was_signed_ends_the_pair() -> None:
    rig = opened()
    rig.answer(CROSSED)
    restarted(rig)
    assert (the_pair(rig).cause, rig.cash("reserved")) == ("nothing", 0)
    sound(rig)


def test_every_state_of_a_pair_leads_to_its_end() -> None:
    reached = {PairState.FIRST}
    for _ in PairState:
        reached |= {after for state in reached for after in PAIR_TRANSITIONS[state].values()}
    assert reached == set(PairState)
    for state in set(PairState) - {PairState.DONE}:
        for cause in ENDS_ANYWHERE:
            assert pair_moved(state, cause) is PairState.DONE
    assert all(pair_moved(PairState.DONE, cause) is None for cause in ENDS_ANYWHERE)


def _held(rig: Rig) -> list[Micros]:
    return [r.size for r in rig.records if isinstance(r, HeldDeclared) and r.kind == "pair"]


def test_ord_13_the_legs_are_orders_of_their_own_purpose_and_every_step_is_a_record() -> None:
    rig = opened()
    bought(rig, second_leg(rig), "20", "0.59")
    legs = [r.slot for r in rig.records if isinstance(r, OrderIntended)]
    assert [(slot.side, slot.purpose, slot.key) for slot in legs] == [
        (Side.UP, Purpose.LEG, "p00001"), (Side.DOWN, Purpose.LEG, "p00001")
    ]
    causes = [r.cause for r in rig.records if isinstance(r, PairMoved)]
    assert causes == ["first", "bought", "settled", "second", "over", "paired"]
    assert _held(rig) == [micros("20"), micros("20")]
    assert sum(isinstance(c, Post) for c in rig.commands) == 2
