"""Resting entries that the market leaves: re-priced by their plugin, or cancelled by the host (ORD-14)."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import Ask, Cancel, Command, Post, Prepare
from polyhost.model.events import Evaluated, Operator, Proposed, RunBegan
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import CancelOrders, Enter, Reprice
from polyhost.model.words import OrderState, Purpose, Side

from .rig import CONDITION, START, Rig, cancels, none, only


def pending(price: str = "0.40", book: str = "0.40/0.42", **options: Any) -> tuple[Rig, OrderEntry]:
    """An entry of 62.5 shares rests at 0.40 in the window's second minute."""
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book(book)
    post = rig.posted(rig.answer(Enter(Side.UP, ticks(price), "test", order_type="GTC")))
    rig.accept(post)
    return rig, rig.order(post)


def at(rig: Rig, book: str, ms: int) -> list[Command]:
    """The market stands there for so long."""
    caused: list[Command] = []
    for _ in range(ms // 500):
        rig.book(book)
        caused += rig.wait(500)
    return caused


@pytest.mark.parametrize(("book", "far"), [("0.42/0.43", False), ("0.42/0.44", True), ("0.38/0.40", True)])
def test_ord_14_an_entry_is_far_from_5_percent_of_its_price_and_two_ticks(book: str, far: bool) -> None:
    """The midpoint was 0.41: 0.425 is 1.5 ticks away, 0.43 and 0.39 are 2."""
    rig, order = pending()
    assert (order.order_id in cancels(at(rig, book, 6_000))) is far


def test_ord_14_two_ticks_at_least_however_cheap_it_is() -> None:
    rig, order = pending("0.06", "0.06/0.08")
    none(at(rig, "0.07/0.09", 6_000), Cancel)
    assert order.order_id in cancels(at(rig, "0.08/0.10", 6_000))


def test_ord_14_five_percent_at_least_however_fine_the_ticks() -> None:
    rig, order = pending("0.80", "0.80/0.82")
    none(at(rig, "0.83/0.85", 6_000), Cancel)
    assert order.order_id in cancels(at(rig, "0.84/0.86", 6_000))


def test_ord_14_its_plugin_has_three_seconds_to_answer() -> None:
    rig, order = pending()
    none(at(rig, "0.44/0.46", 2_500), Cancel)
    assert cancels(at(rig, "0.44/0.46", 2_000)) == [order.order_id]


def test_ord_14_a_market_that_comes_back_in_time_is_no_reason() -> None:
    rig, _ = pending()
    none(at(rig, "0.44/0.46", 2_000), Cancel)
    none(at(rig, "0.40/0.42", 2_000), Cancel)
    none(at(rig, "0.44/0.46", 2_500), Cancel)


def test_ord_14_fifteen_percent_against_goes_at_once_and_before_a_re_price() -> None:
    """0.40 times 0.15 is 0.06: from a midpoint of 0.46 to one of 0.40."""
    rig, order = pending("0.40", "0.45/0.47")
    none(at(rig, "0.40/0.41", 1_000), Cancel)
    assert cancels(at(rig, "0.39/0.41", 1_000)) == [order.order_id]
    rig.answer(Reprice(order.ref, ticks("0.38")))
    none(rig.canceled(order), Prepare)


def test_ent_05_a_price_that_rose_by_fifteen_percent_is_not_against_a_buy() -> None:
    rig, _ = pending(settings={"pending": {"answer_s": 600}})
    none(at(rig, "0.50/0.52", 2_000), Cancel)


def test_a_book_that_is_lost_is_no_reason_for_anything() -> None:
    rig, _ = pending()
    none(rig.wait(15_000), Cancel)


# --- re-pricing -------------------------------------------------------------------------------------------------------


def test_ord_14_a_re_price_cancels_proves_and_places_the_rest_in_the_same_slot() -> None:
    rig, order = pending()
    rig.book("0.44/0.46")
    caused = rig.answer(Reprice(order.ref, ticks("0.44"), "follow"))
    assert cancels(caused) == [order.order_id]
    none(caused, Prepare)
    rig.trade(order, "10", "0.40", maker=True)
    size = order.draft.size
    draft = only(rig.canceled(order, "10"), Prepare).draft
    assert (draft.price, draft.size) == (ticks("0.44"), size - micros("10"))
    moved = rig.kernel.state.orders[draft.ref]
    assert moved.slot == order.slot
    assert (moved.why["plugin"], moved.why["moved_from"], moved.why["reason"]) == ("test", order.ref, "follow")
    assert rig.cash("reserved") == moved.reserve
    assert rig.kernel.broken_invariants() == []


def test_ord_14_a_re_priced_entry_is_measured_from_where_it_is_now() -> None:
    rig, order = pending()
    rig.book("0.44/0.46")
    rig.answer(Reprice(order.ref, ticks("0.44")))
    rig.accept(rig.posted(rig.canceled(order)))
    none(at(rig, "0.44/0.46", 6_000), Cancel)


def test_a_re_price_goes_on_resting() -> None:
    rig, order = pending()
    rig.book("0.44/0.46")
    rig.answer(Reprice(order.ref, ticks("0.60")))
    assert only(rig.canceled(order), Prepare).draft.price == ticks("0.45")


def test_ord_14_only_the_plugin_that_owns_an_entry_re_prices_it() -> None:
    rig, order = pending()
    view = rig.ask().view
    stranger = (Proposed("other", Reprice(order.ref, ticks("0.41"))),)
    none(rig.do(Evaluated(view.view_seq, view.book_epoch, view.state_rev, CONDITION, proposals=stranger)), Cancel)
    assert any("other may not re-price" in getattr(record, "text", "") for record in rig.records)


def test_t6_a_rest_that_could_not_be_placed_again_is_not_re_priced() -> None:
    rig, order = pending()
    rig.trade(order, str(order.draft.size / 1_000_000 - 4), "0.40", maker=True)
    none(rig.answer(Reprice(order.ref, ticks("0.41"))), Cancel)


def test_t7_one_re_price_a_second() -> None:
    rig, order = pending(settings={"evaluation": {"cadence_ms": 100}})
    rig.answer(Reprice(order.ref, ticks("0.39")))
    post = rig.posted(rig.canceled(order))
    rig.accept(post)
    placed_at, second = rig.now, rig.order(post)
    sent: list[int] = []
    while not sent:
        for ask in [c for c in rig.wait(50) if isinstance(c, Ask)]:
            sent += [rig.now for _ in cancels(rig.reply(ask, Reprice(second.ref, ticks("0.38"))))]
    assert 1_000 <= sent[0] - placed_at <= 1_300


def test_a_re_price_whose_order_was_filled_meanwhile_places_nothing() -> None:
    rig, order = pending()
    rig.answer(Reprice(order.ref, ticks("0.41")))
    none(rig.trade(order, str(order.draft.size / 1_000_000), "0.40", maker=True), Prepare)


def test_ord_23_a_block_that_came_meanwhile_places_nothing_and_says_so() -> None:
    rig, order = pending()
    rig.answer(Reprice(order.ref, ticks("0.41")))
    rig.do(Operator("pause"))
    none(rig.canceled(order), Prepare)
    assert any("is not placed at 0.41" in getattr(record, "text", "") for record in rig.records)
    assert rig.cash("reserved") == 0


def test_a_re_price_upwards_is_for_what_funds_allow() -> None:
    rig, order = pending(settings={"limits": {"window": "25"}})
    rig.book("0.60/0.62")
    rig.answer(Reprice(order.ref, ticks("0.60")))
    draft = only(rig.canceled(order), Prepare).draft
    assert draft.size < order.draft.size
    assert rig.kernel.at_risk() <= micros("25")


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_resting_entries_go_at_the_obligations_time_at_the_latest() -> None:
    rig, order = pending(settings={"safety": {"book_age_ms_max": 10_000_000}})
    due = rig.market.end - 120_000
    none(rig.to(due - 1), Cancel)
    assert cancels(rig.to(due)) == [order.order_id]


def test_after_a_restart_resting_entries_are_looked_at_again_from_what_their_record_tells() -> None:
    rig, order = pending()
    again = Rig(follow=False, start_at=rig.now)
    again.kernel.restore(rig.records)
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    assert order.order_id in cancels(at(again, "0.44/0.46", 6_000))


def test_a_plugin_sees_whose_an_order_is_and_where_the_market_was() -> None:
    rig, order = pending()
    seen = rig.ask().view.orders[0]
    assert (seen.ref, seen.owner, seen.mid_placed, seen.purpose) == (order.ref, "test", ticks("0.41"), Purpose.ENTRY)


def test_ent_05_a_plugin_cancels_one_order_by_its_ref() -> None:
    rig, order = pending()
    caused = rig.answer(CancelOrders(None, "too old", ref=order.ref))
    assert cancels(caused) == [order.order_id]
    rig.canceled(order)
    assert order.state is OrderState.CLOSED
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "at market now")))
    assert isinstance(post, Post)
