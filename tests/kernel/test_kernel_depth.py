"""Spread and depth are checked before a large order at market (ORD-18, ENT-04)."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.model.commands import Prepare
from polyhost.model.messages import Level, Message
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow
from polyhost.model.rounding import market_step
from polyhost.model.words import Action, OrderType, Side

from .rig import CONDITION, START, UP, Rig, none, only


def offered(*levels: tuple[str, str], bid: str = "0.40", **options: Any) -> Rig:
    """A window's second minute; what is offered, best first: (price, size)."""
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.kernel.feed(
        Message(
            event_type="book", asset_id=UP, bids=[Level(bid, "1000")],
            asks=[Level(price, size) for price, size in levels],
        ),
        rig.now,
    )
    return rig


def gates(rig: Rig) -> set[str]:
    return set(rig.kernel.gates(CONDITION)) - {"no_book"}


@pytest.mark.parametrize("reduced", [True, False])
def test_ord_18_more_than_a_set_share_of_what_is_near_is_reduced_to_it(reduced: bool) -> None:
    """A hundredth of a share below and above five times the order. What is offered three ticks away is not near."""
    fifth = {"depth": {"share_max": 0.2}}
    full = only(offered(("0.42", "100000")).answer(Enter(Side.UP, ticks("0.42"))), Prepare).draft.size
    near = full * 5 + (-10_000 if reduced else 10_000)
    rig = offered(("0.42", f"{near / 1_000_000}"), ("0.45", "100000"), settings=fifth)
    draft = only(rig.answer(Enter(Side.UP, ticks("0.42"))), Prepare).draft
    assert (draft.size < full) is reduced
    assert draft.size <= near // 5
    why = rig.kernel.state.orders[draft.ref].why
    assert why["limited"].startswith("depth") is reduced


def test_ord_18_what_is_within_two_ticks_counts() -> None:
    full = only(offered(("0.42", "100000")).answer(Enter(Side.UP, ticks("0.44"))), Prepare).draft.size
    rig = offered(("0.42", "10"), ("0.44", "1000"))
    assert only(rig.answer(Enter(Side.UP, ticks("0.44"))), Prepare).draft.size == full


def test_ent_04_what_depth_leaves_below_the_minimum_is_refused_with_the_reason() -> None:
    rig = offered(("0.42", "4"))
    none(rig.answer(Enter(Side.UP, ticks("0.42"))), Prepare)
    assert gates(rig) == {"depth"}


def test_ent_04_a_buy_is_reduced_to_what_is_offered_near_the_best_price() -> None:
    """By default to all of it: what lies further away is not bought, however high the worst price is."""
    rig = offered(("0.42", "30"), ("0.46", "1000"))
    draft = only(rig.answer(Enter(Side.UP, ticks("0.46"))), Prepare).draft
    assert micros("25") < draft.size <= micros("30")


def test_ord_18_a_large_order_is_refused_across_a_wide_spread_a_small_one_is_not() -> None:
    rig = offered(("0.52", "100"), bid="0.40")
    none(rig.answer(Enter(Side.UP, ticks("0.52"))), Prepare)
    assert gates(rig) == {"spread"}
    assert only(offered(("0.52", "1000"), bid="0.40").answer(Enter(Side.UP, ticks("0.52"))), Prepare)
    assert only(offered(("0.50", "100"), bid="0.40").answer(Enter(Side.UP, ticks("0.50"))), Prepare)


def test_ord_18_a_resting_entry_takes_nothing_and_is_not_reduced() -> None:
    rig = offered(("0.42", "20"))
    assert only(rig.answer(Enter(Side.UP, ticks("0.40"), order_type="GTC")), Prepare).draft.size > micros("59")


def test_ord_18_a_resting_entry_that_would_cross_is_a_large_order_too() -> None:
    rig = offered(("0.42", "20"))
    assert only(rig.answer(Enter(Side.UP, ticks("0.42"), order_type="GTC")), Prepare).draft.size == micros("20")


def test_ord_18_the_limits_are_settings() -> None:
    rig = offered(("0.42", "100"), settings={"depth": {"share_max": 0.5}})
    assert only(rig.answer(Enter(Side.UP, ticks("0.42"))), Prepare).draft.size == micros("50")


def test_ord_18_a_market_order_carries_a_worst_price_and_whole_steps() -> None:
    rig = offered(("0.42", "101.37"))
    draft = only(rig.answer(Enter(Side.UP, ticks("0.43"))), Prepare).draft
    assert (draft.order_type, draft.price) == (OrderType.FAK, ticks("0.43"))
    assert draft.size % market_step(Action.BUY, draft.price) == 0


def test_exi_08_an_exit_is_never_held_back_by_depth() -> None:
    rig = offered(("0.42", "100000"))
    rig.enter()
    rig.kernel.feed(
        Message(event_type="book", asset_id=UP, bids=[Level("0.30", "6")], asks=[Level("0.60", "6")]), rig.now
    )
    draft = only(rig.answer(ExitNow(Side.UP, "stop")), Prepare).draft
    assert draft.action is Action.SELL
    assert draft.size > micros("50")
