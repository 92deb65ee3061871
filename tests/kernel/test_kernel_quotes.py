"""Standing quotes: what rests is what its owner wants, one step at a time, and nothing rests when all is not well."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from polyhost.kernel.state import OrderEntry, SlotLock, lock_key
from polyhost.model.commands import Ask, Cancel, Command, Post, Prepare, QueryBalance
from polyhost.model.events import BalanceSeen, Evaluated, Operator, PluginUse, Proposed, RunEnding, StreamChanged
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Answer, CancelOrders, ExitNow, ExitTarget, HoldToSettlement, QuoteTarget
from polyhost.model.records import Slot
from polyhost.model.words import Action, OrderState, OrderType, Purpose, Side

from .rig import CONDITION, START, Rig, cancels, none, only, window


def bid(price: str = "0.40", size: str = "20", side: Side = Side.UP, **options: Any) -> QuoteTarget:
    return QuoteTarget(side, Action.BUY, ticks(price), micros(size), **options)


def offer(price: str = "0.45", size: str | None = None, **options: Any) -> QuoteTarget:
    return QuoteTarget(Side.UP, Action.SELL, ticks(price), None if size is None else micros(size), **options)


def quoting(**options: Any) -> Rig:
    """A window's second minute, 0.40 bid and 0.44 asked."""
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book("0.40/0.44")
    return rig


def resting(rig: Rig, *targets: Answer) -> OrderEntry:
    post = rig.posted(rig.answer(*targets))
    rig.accept(post)
    return rig.order(post)


def drafts(commands: list[Command]) -> list[tuple[Action, int, int]]:
    return [(c.draft.action, c.draft.price, c.draft.size) for c in commands if isinstance(c, Prepare)]


def renewed(rig: Rig, seconds: int, *targets: Answer) -> list[Command]:
    """The owner repeats its targets once a second; what that caused."""
    caused: list[Command] = []
    for _ in range(seconds):
        caused += rig.answer(*targets)
    return caused


# --- what is placed ---------------------------------------------------------------------------------------------------


def test_t9_a_quote_is_always_post_only_and_rests() -> None:
    rig = quoting()
    order = resting(rig, bid())
    assert order.draft.post_only
    assert order.draft.order_type is OrderType.GTC
    assert order.slot.purpose is Purpose.QUOTE
    assert rig.cash("reserved") == order.reserve > 0


def test_t1_an_equal_target_is_no_change_however_often_it_comes() -> None:
    rig = quoting()
    resting(rig, bid())
    none(renewed(rig, 8, bid()), Prepare, Cancel)


def test_t1_at_equal_urgency_the_present_owner_keeps_the_slot() -> None:
    rig = quoting()
    resting(rig, bid("0.40"))
    ask = rig.ask()
    view = ask.view
    both = (Proposed("other", bid("0.42")), Proposed("test", bid("0.40")))
    none(
        rig.do(Evaluated(view.view_seq, view.book_epoch, view.state_rev, CONDITION, proposals=both)), Prepare, Cancel
    )


def test_ent_03_quotes_leave_what_must_stay_free_and_so_do_not_block_one_another() -> None:
    """Two that take all the cash made it low, were cancelled for that, and came back (simulation, seed 5003)."""
    rig = quoting(cash="10")
    targets = bid("0.40", "12.5", key="near"), bid("0.30", "14", key="far")
    orders = [rig.order(rig.posted([prepare])) for prepare in rig.answer(*targets) if isinstance(prepare, Prepare)]
    assert rig.cash("free") >= micros("1")
    assert sum(order.reserve for order in orders) >= micros("8.5")
    assert not rig.kernel.blocks()
    none(renewed(rig, 5, *targets), Cancel)


def test_t2_a_price_is_quantised_in_the_safe_direction_and_the_size_floored() -> None:
    rig = quoting()
    order = resting(rig, bid("0.4099", "20.0199"))
    assert (order.draft.price, order.draft.size) == (ticks("0.40"), micros("20.01"))


def test_a_quote_that_would_cross_rests_a_tick_away_from_the_other_side() -> None:
    rig = quoting()
    assert resting(rig, bid("0.60")).draft.price == ticks("0.43")
    rig = quoting()
    rig.enter(price="0.44")
    assert resting(rig, offer("0.20")).draft.price == ticks("0.41")


def test_a_stake_is_converted_at_the_quotes_own_price() -> None:
    rig = quoting()
    order = resting(rig, QuoteTarget(Side.UP, Action.BUY, ticks("0.40"), stake=micros("10")))
    assert micros("9.98") < order.reserve <= micros("10")


def test_ent_04_a_quote_is_reduced_to_what_limits_leave_or_waits() -> None:
    rig = quoting(settings={"limits": {"window": "5"}})
    order = resting(rig, bid("0.40", "100"))
    assert order.reserve <= micros("5")
    assert order.why["limited"] == "limit_window"
    rig = quoting(settings={"limits": {"window": "1"}})
    none(rig.answer(bid("0.40", "100")), Prepare)


def test_both_sides_are_quoted_at_once() -> None:
    rig = quoting()
    caused = rig.answer(bid("0.40"), bid("0.55", side=Side.DOWN))
    assert drafts(caused) == [
        (Action.BUY, ticks("0.40"), micros("20")), (Action.BUY, ticks("0.55"), micros("20"))
    ]


def test_the_number_of_quotes_a_side_is_bounded() -> None:
    rig = quoting(settings={"quotes": {"slots_max": 2}})
    caused = rig.answer(*(bid(price, key=price) for price in ("0.40", "0.39", "0.38")))
    assert [price for _, price, _ in drafts(caused)] == [ticks("0.40"), ticks("0.39")]
    assert any("More than 2 quotes" in getattr(record, "text", "") for record in rig.records)


# --- moving -----------------------------------------------------------------------------------------------------------


def test_t4_a_new_price_cancels_first_and_places_only_after_the_proof() -> None:
    rig = quoting()
    first = resting(rig, bid("0.40"))
    moved = rig.answer(bid("0.41"))
    assert cancels(moved) == [first.order_id]
    none(moved, Prepare)
    assert drafts(rig.canceled(first)) == [(Action.BUY, ticks("0.41"), micros("20"))]


def test_t7_one_replacement_a_second() -> None:
    """0.41 was placed just now: 0.42 waits until a second after that, to the millisecond."""
    rig = quoting(settings={"evaluation": {"cadence_ms": 200}})
    first = resting(rig, bid("0.40"))
    rig.wait(2_000)
    rig.answer(bid("0.41"))
    second = rig.posted(rig.canceled(first))
    rig.accept(second)
    placed_at = rig.now
    ask = next(c for c in rig.wait(600) if isinstance(c, Ask))
    none(rig.reply(ask, bid("0.42")), Cancel, Prepare)
    none(rig.to(placed_at + 999), Cancel)
    assert cancels(rig.to(placed_at + 1_000)) == [second.request.order_id]


def test_t7_nothing_moves_for_less_than_the_tolerance() -> None:
    rig = quoting()
    resting(rig, bid("0.40", tolerance=ticks("0.03")))
    none(rig.answer(bid("0.38", tolerance=ticks("0.03"))), Cancel)
    assert cancels(rig.answer(bid("0.37", tolerance=ticks("0.03"))))


def test_t7_a_target_that_comes_and_goes_places_at_most_once_a_second() -> None:
    rig = quoting(settings={"evaluation": {"cadence_ms": 100}})
    placed: list[int] = []
    answers = 0

    def carry(caused: list[Command]) -> None:
        for draft in [c.draft for c in caused if isinstance(c, Prepare)]:
            placed.append(rig.now)
            carry(rig.accept(only(rig.sign(draft), Post)))
        for order in list(rig.kernel.state.open_orders(CONDITION)):
            if order.state is OrderState.CANCELLING:
                carry(rig.canceled(order))

    while answers < 60:
        rig.book("0.40/0.44")
        for ask in [c for c in rig.wait(50) if isinstance(c, Ask)]:
            answers += 1
            carry(rig.reply(ask, *([bid()] if answers % 2 else [])))
    assert len(placed) >= 4
    assert all(later - earlier >= 1_000 for earlier, later in pairwise(placed))


def test_t6_what_could_not_be_placed_again_is_not_cancelled_for_a_more_careful_rest() -> None:
    """4 shares cannot rest; what rests at less than is offered stays, what rests at more goes all the same."""
    rig = quoting()
    resting(rig, bid("0.40", "20"))
    none(rig.answer(bid("0.42", "4")), Cancel)
    assert cancels(rig.answer(bid("0.38", "4")))


def test_a_smaller_target_shrinks_and_a_larger_one_grows_what_rests() -> None:
    rig = quoting()
    first = resting(rig, bid("0.40", "20"))
    assert cancels(rig.answer(bid("0.40", "12"))) == [first.order_id]
    second = rig.posted(rig.canceled(first))
    rig.accept(second)
    assert rig.order(second).draft.size == micros("12")
    assert cancels(rig.answer(bid("0.40", "30"))) == [second.request.order_id]


def test_t1_a_partial_fill_is_not_topped_up_by_an_equal_target() -> None:
    rig = quoting()
    order = resting(rig, bid("0.40", "20"))
    rig.trade(order, "8", "0.40", maker=True)
    none(renewed(rig, 3, bid("0.40", "20")), Cancel, Prepare)


# --- fills ------------------------------------------------------------------------------------------------------------


def filled(rig: Rig, order: OrderEntry, size: str) -> list[Command]:
    before = len(rig.commands)
    rig.trade(order, size, f"{order.draft.price / 10_000}", maker=True, trade_id=f"f{order.ref}")
    rig.trade(order, size, f"{order.draft.price / 10_000}", "CONFIRMED", maker=True, trade_id=f"f{order.ref}")
    return rig.commands[before:]


def test_what_a_quote_buys_is_a_position_with_an_obligation() -> None:
    rig = quoting()
    order = resting(rig, bid("0.40", "20"))
    filled(rig, order, "20")
    assert order.state is OrderState.CLOSED
    assert f"{CONDITION}:UP" in rig.kernel.state.obligations
    assert rig.kernel.broken_invariants() == []
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert (position.size, position.fees) == (micros("20"), 0)


def test_nothing_is_quoted_anew_before_its_owner_has_seen_the_fill() -> None:
    """The view was made, then the fill came: the answer speaks of a position that was."""
    rig = quoting()
    order = resting(rig, bid("0.40", "20"))
    ask = rig.ask()
    caused = filled(rig, order, "20")
    caused += rig.reply(ask, bid("0.40", "20"))
    none(caused, Prepare)
    assert drafts(rig.answer(bid("0.40", "20"))), "the next answer knows of it"


def test_t3_a_quote_that_sells_is_for_what_is_held_and_not_offered_already() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    first = resting(rig, offer("0.60", "30", key="a"))
    caused = rig.answer(offer("0.60", "30", key="a"), offer("0.70", key="b"))
    held = rig.kernel.state.position(CONDITION, Side.UP)
    assert held is not None
    assert drafts(caused) == [(Action.SELL, ticks("0.70"), (held.size - first.draft.size) // 10_000 * 10_000)]


def test_an_exit_takes_the_shares_of_a_quote_and_is_placed_after_its_end() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    quote = resting(rig, offer("0.60"))
    caused = rig.answer(offer("0.60"), ExitTarget(Side.UP, ticks("0.90")))
    assert cancels(caused) == [quote.order_id]
    none(caused, Prepare)
    placed = rig.canceled(quote)
    assert [price for _, price, _ in drafts(placed)] == [ticks("0.90")]
    none(rig.answer(offer("0.60"), ExitTarget(Side.UP, ticks("0.90"))), Prepare, Cancel)


def test_an_urgent_sale_takes_the_shares_of_a_quote() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    quote = resting(rig, offer("0.60"))
    assert cancels(rig.answer(ExitNow(Side.UP, "stop"))) == [quote.order_id]
    draft = only(rig.canceled(quote), Prepare).draft
    assert draft.order_type is OrderType.FAK


def test_the_end_of_an_exit_target_leaves_the_quotes_alone() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    resting(rig, offer("0.60"))
    none(renewed(rig, 3, offer("0.60")), Cancel)


# --- withdrawing ------------------------------------------------------------------------------------------------------


def test_t1_a_target_no_longer_named_is_withdrawn() -> None:
    rig = quoting()
    order = resting(rig, bid())
    assert cancels(rig.answer()) == [order.order_id]


def test_a_target_stands_until_its_own_end_and_not_longer() -> None:
    rig = quoting(settings={"quotes": {"unrenewed_s": 60}})
    order = resting(rig, bid(valid_until=START + 70_000))
    none(rig.to(START + 69_999), Cancel)
    assert cancels(rig.to(START + 70_000)) == [order.order_id]


def test_a_target_that_is_not_renewed_is_withdrawn() -> None:
    """Its owner hangs: no answer comes any more."""
    rig = quoting()
    order = resting(rig, bid())
    stood = rig.now
    rig.book("0.40/0.44")
    none(rig.to(stood + 4_900), Cancel)
    assert order.order_id in cancels(rig.to(stood + 6_000))


def test_a_target_of_a_plugin_that_failed_stands_until_its_end() -> None:
    """One missed deadline is no wish; nor is it a reason to go on for ever."""
    rig = quoting()
    order = resting(rig, bid())
    view = rig.ask().view
    failed = (PluginUse("test", 0, "propose", "late"),)
    none(rig.do(Evaluated(view.view_seq, view.book_epoch, view.state_rev, CONDITION, used=failed)), Cancel)
    assert order.order_id in cancels(rig.wait(6_000))


def test_a_cancel_in_the_same_answer_wins_over_the_quote() -> None:
    rig = quoting()
    order = resting(rig, bid())
    caused = rig.answer(bid(), CancelOrders(Side.UP, "enough"))
    assert cancels(caused) == [order.order_id]


@pytest.mark.parametrize("word", ["pause", "kill"])
def test_ord_23_an_operators_word_takes_quotes_away_at_once(word: str) -> None:
    rig = quoting()
    order = resting(rig, bid())
    assert order.order_id in cancels(rig.do(Operator(word)))
    none(rig.answer(bid()), Prepare)


def test_a_lost_user_stream_takes_quotes_away_at_once_and_they_come_back_after_it() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    quotes = [resting(rig, bid("0.40", side=Side.DOWN)), resting(rig, bid("0.40", side=Side.DOWN), offer("0.60"))]
    lost = cancels(rig.do(StreamChanged("user", False, 2, "lost")))
    assert lost == [order.order_id for order in quotes]
    none(rig.answer(bid("0.40", side=Side.DOWN)), Prepare)


def test_the_end_of_the_run_takes_quotes_away() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    sell = resting(rig, offer("0.60"))
    assert cancels(rig.do(RunEnding("stop"))) == [sell.order_id]


def test_a_book_that_is_lost_or_stale_takes_quotes_away() -> None:
    rig = quoting()
    order = resting(rig, bid())
    rig.do(StreamChanged("market", False, 2, "lost"))
    assert cancels(rig.wait(1_000)) == [order.order_id]

    rig = quoting(settings={"quotes": {"unrenewed_s": 600}})
    order = resting(rig, bid())
    rig.book("0.40/0.44")
    none(rig.wait(9_000), Cancel)
    assert cancels(rig.wait(2_500))[:1] == [order.order_id]


def test_t9_quotes_go_when_what_they_buy_would_have_to_be_sold_at_once() -> None:
    rig = quoting()
    rig.to(rig.market.end - 121_500)
    rig.book("0.40/0.44")
    order = resting(rig, bid())
    assert order.order_id in cancels(rig.to(rig.market.end - 120_000))
    rig.canceled(order)
    none(rig.answer(bid()), Prepare)


def test_t9_nothing_is_placed_in_the_last_two_seconds() -> None:
    """Not even when the deadline of positions, a third of its setting at 5 minutes, lies later than that."""
    for left_ms, placed in ((2_000, True), (1_999, False)):
        rig = Rig(
            market=window(300),
            settings={"safety": {"close_before_expiry_s": 2.01}, "evaluation": {"cadence_ms": 100}},
        )
        rig.to(rig.market.end - 2_500)
        rig.book("0.40/0.44")
        ask = next(c for c in rig.wait(400) if isinstance(c, Ask))
        rig.to(rig.market.end - left_ms)
        assert bool(drafts(rig.reply(ask, bid()))) is placed


def test_a_target_that_saw_another_book_places_nothing() -> None:
    """The stream broke and came back between the question and the answer."""
    rig = quoting()
    ask = rig.ask()
    rig.do(StreamChanged("market", False, 2, "lost"))
    rig.do(StreamChanged("market", True, 3))
    rig.book("0.60/0.64")
    none(rig.reply(ask, bid()), Prepare)


def test_what_is_held_to_settlement_is_not_offered() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    rig.answer(HoldToSettlement(Side.UP, "ahead"))
    none(rig.answer(offer("0.60")), Prepare)


def test_an_exit_does_not_take_a_quote_for_its_own_order() -> None:
    """The same price: the quote goes all the same, and nothing is added beside it before its end is proved."""
    rig = quoting()
    rig.enter(price="0.44")
    quote = resting(rig, offer("0.60", "30"))
    caused = rig.answer(offer("0.60", "30"), ExitTarget(Side.UP, ticks("0.60")))
    none(caused, Prepare)
    assert cancels(caused) == [quote.order_id]
    placed = only(rig.canceled(quote), Prepare).draft
    assert not placed.post_only
    assert placed.size > quote.draft.size


def test_quotes_of_an_earlier_life_are_cancelled_at_the_start() -> None:
    rig = quoting()
    order = resting(rig, bid())
    again = Rig(follow=False, start_at=rig.now)
    again.kernel.restore(rig.records)
    assert order.order_id in _cancelled_on(again)


def _cancelled_on(rig: Rig) -> list[str]:
    from polyhost.model.events import RunBegan

    return cancels(rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main")))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_refused_quote_waits_longer_each_time_and_trips_no_breaker() -> None:
    rig = quoting()
    rig.enter(price="0.44")
    times = []
    for _ in range(5):
        before = len(rig.commands)
        while not drafts(rig.commands[before:]):
            rig.answer(offer("0.60"))
        times.append(rig.now)
        rig.refuse(only(rig.sign(only(rig.commands[before:], Prepare).draft), Post), "post_only_cross")
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[-1] >= 5_000
    assert "exit_failures" not in rig.kernel.state.blocked


def test_a_quote_whose_outcome_is_unknown_keeps_its_slot_and_reservation() -> None:
    rig = quoting()
    post = rig.posted(rig.answer(bid()))
    rig.wait(1_500)
    order = rig.order(post)
    assert order.state is OrderState.UNKNOWN
    assert rig.cash("reserved") == order.reserve > 0
    none(renewed(rig, 3, bid()), Prepare)


def test_ord_03_an_old_balance_is_fetched_first() -> None:
    rig = quoting()
    for _ in range(6):
        rig.wait(1_000, balances=False)
        rig.book("0.40/0.44")
    before = len(rig.commands)
    rig.reply(next(c for c in reversed(rig.commands) if isinstance(c, Ask)), bid())
    none(rig.commands[before:], Prepare)
    assert any(isinstance(c, QueryBalance) for c in rig.commands[before:])
    rig.do(BalanceSeen(rig.balance, True))
    rig.wait(1_000)
    assert drafts(rig.commands[before:])


def test_t7_a_plugin_that_changes_its_mind_every_second_does_not_oscillate() -> None:
    """A market that moves and a target that follows it: at most one replacement a second and slot, one order each."""
    rig = quoting()
    posts: list[int] = []
    for second in range(60):
        price = 0.36 + 0.01 * (second % 7)
        rig.book(f"{price:.2f}/{price + 0.04:.2f}")
        caused = rig.answer(bid(f"{price:.2f}"), bid(f"{0.94 - price:.2f}", side=Side.DOWN))
        for _ in range(3):
            signed = [c.draft for c in caused if isinstance(c, Prepare)]
            caused = []
            for draft in signed:
                caused += rig.accept(only(rig.sign(draft), Post))
                posts.append(rig.now)
            for order in list(rig.kernel.state.open_orders(CONDITION)):
                if order.state is OrderState.CANCELLING:
                    caused += rig.canceled(order)
        assert len(rig.kernel.state.open_orders(CONDITION)) <= 2
        assert rig.kernel.broken_invariants() == []
    minutes = (rig.now - START - 60_000) / 60_000
    assert 60 <= len(posts) / minutes <= 122, "two slots, at most one replacement a second each"


def test_the_records_of_a_quoting_minute_fold_to_the_same_state() -> None:
    from polyhost.kernel.state import fold

    rig = quoting()
    order = resting(rig, bid())
    filled(rig, order, "20")
    assert fold(rig.records) == rig.kernel.state
    assert structs.asdict(order.slot)["purpose"] is Purpose.QUOTE


def test_u5_a_quote_whose_target_moved_while_it_was_unknown_is_not_wanted_any_more() -> None:
    rig = quoting()
    order = rig.order(rig.posted(rig.answer(bid("0.40"))))
    assert rig.kernel.quotes.wanted(order)
    rig.answer(bid("0.40"))
    assert rig.kernel.quotes.wanted(order)
    rig.answer(bid("0.38"))
    assert not rig.kernel.quotes.wanted(order)


def test_u7_an_unknown_quote_locks_its_own_key_and_no_other() -> None:
    rig = quoting()
    rig.posted(rig.answer(bid("0.40", key="near")))
    rig.wait(1_500)
    rig.book("0.40/0.44")
    caused = rig.answer(bid("0.40", key="near"), bid("0.38", key="far"))
    assert [price for _, price, _ in drafts(caused)] == [ticks("0.38")]


def test_u7_a_locked_slot_takes_no_quote() -> None:
    """The lock that an absence leaves behind, put there by hand: its proof takes minutes."""
    rig = quoting()
    slot = Slot(CONDITION, Side.UP, Purpose.QUOTE, "near")
    rig.kernel.state.slots_locked[lock_key(slot)] = SlotLock(slot, rig.now, "was unknown")
    caused = rig.answer(bid(key="near"), bid("0.39", key="far"))
    assert [price for _, price, _ in drafts(caused)] == [ticks("0.39")]
