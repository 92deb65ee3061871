"""CANCELLED_UNFILLED: a resting entry that met nobody has an end of its own, and plugins see it (ENT-05)."""

from __future__ import annotations

from polyhost.kernel.state import OrderEntry, fold
from polyhost.model.commands import Prepare
from polyhost.model.money import ticks
from polyhost.model.proposals import CancelOrders, Enter, Reprice
from polyhost.model.view import UnfilledView
from polyhost.model.words import OrderState, Purpose, Side

from .rig import START, Rig, none, only


def resting(purpose: Purpose = Purpose.ENTRY, key: str = "") -> tuple[Rig, OrderEntry]:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.40"), "test", purpose, order_type="GTC", key=key)))
    rig.accept(post)
    return rig, rig.order(post)


def cancelled(rig: Rig, order: OrderEntry, matched: str = "0") -> None:
    rig.answer(CancelOrders(Side.UP, "enough", order.ref))
    rig.canceled(order, matched)


def unfilled(rig: Rig) -> UnfilledView | None:
    return rig.ask().view.unfilled


def test_ent_05_an_entry_that_is_cancelled_without_a_fill_ends_as_cancelled_unfilled() -> None:
    rig, order = resting()
    cancelled(rig, order)
    assert (order.state, order.cause) == (OrderState.CLOSED, "cancelled_unfilled")
    assert unfilled(rig) == UnfilledView(order.ref, Side.UP, "test", ticks("0.40"), order.placed_at, rig.now - 1_000)
    assert fold(rig.records).unfilled == rig.kernel.state.unfilled != {}


def test_ent_05_one_that_expired_at_the_venue_ends_the_same_way() -> None:
    rig, order = resting()
    rig.see(order, "CANCELED_EXPIRED_ORDER", "0", "CANCELLATION")
    assert order.cause == "cancelled_unfilled"


def test_ent_05_one_that_was_partly_filled_does_not() -> None:
    rig, order = resting()
    rig.trade(order, "1", "0.40", maker=True)
    cancelled(rig, order, "1")
    assert order.cause == "ended"
    assert unfilled(rig) is None


def test_ent_05_neither_does_a_taker_nor_a_grid_level() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.43"), "test")))
    order = rig.order(post)
    rig.accept(post, "matched")
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert order.cause == "ended"
    rig, order = resting(Purpose.GRID_LEVEL, "1")
    cancelled(rig, order)
    assert order.cause == "ended"


def test_ent_05_it_is_forgotten_with_the_next_entry_or_a_late_fill() -> None:
    rig, order = resting()
    cancelled(rig, order)
    rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.61"), "test")))
    assert unfilled(rig) is None
    rig, order = resting()
    cancelled(rig, order)
    rig.trade(order, "1", "0.40", maker=True)
    assert unfilled(rig) is None


def test_ent_05_a_re_priced_entry_is_none_that_ended() -> None:
    rig, order = resting()
    rig.answer(Reprice(order.ref, ticks("0.39")))
    only(rig.canceled(order), Prepare)
    assert order.cause == "cancelled_unfilled"
    assert rig.kernel.state.unfilled == {}


def test_ent_05_the_slot_takes_the_retry_only_after_the_old_orders_end_is_proved() -> None:
    rig, order = resting()
    rig.answer(CancelOrders(Side.UP, "enough", order.ref))
    none(rig.answer(Enter(Side.UP, ticks("0.43"), "retry")), Prepare)
    rig.canceled(order)
    only(rig.answer(Enter(Side.UP, ticks("0.43"), "retry")), Prepare)
