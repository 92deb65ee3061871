"""Entries of every order type: what is sent, how long it lives, and that post-only never takes (CON-11, ORD-06)."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.kernel.lifetimes import resting_type
from polyhost.kernel.state import OrderEntry, fold
from polyhost.model.commands import Ask, Command, Prepare
from polyhost.model.events import RunBegan
from polyhost.model.gateway import OrderDraft
from polyhost.model.messages import Level, Message
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, Reprice
from polyhost.model.words import OrderState, OrderType, Side

from .rig import START, UP, Rig, cancels, none, only


def opened(book: str = "0.40/0.42", size: str = "1000", **options: Any) -> Rig:
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book(book, size)
    return rig


def wish(price: str = "0.40", kind: str = "GTC", **more: Any) -> Enter:
    return Enter(Side.UP, ticks(price), "test", order_type=kind, **more)


def drafted(rig: Rig, entry: Enter, stake: str = "25") -> OrderDraft:
    return only(rig.answer(entry, stake=stake), Prepare).draft


def resting(rig: Rig, entry: Enter) -> OrderEntry:
    post = rig.posted(rig.answer(entry))
    rig.accept(post)
    return rig.order(post)


def quiet(rig: Rig, until: int, book: str = "0.40/0.42") -> list[Command]:
    """The market stands still until then."""
    caused: list[Command] = []
    while rig.now < until:
        rig.book(book)
        caused += rig.to(min(rig.now + 500, until))
    return caused


def gates(rig: Rig) -> dict[str, int]:
    """First failed gates since there was a book."""
    return {name: n for name, n in rig.kernel.gates(rig.market.condition_id).items() if name != "no_book"}


@pytest.mark.parametrize(
    ("kind", "more"),
    [("FAK", {}), ("FOK", {}), ("GTC", {}), ("GTC", {"post_only": True}), ("GTD", {"valid_s": 300.0}),
     ("GTD", {"valid_s": 300.0, "post_only": True})],
)
def test_con_11_an_entry_of_every_order_type_is_sent_as_it_was_wished(kind: str, more: dict[str, Any]) -> None:
    rig = opened()
    price = "0.40" if kind.startswith("GT") else "0.43"
    draft = drafted(rig, wish(price, kind, **more))
    assert (draft.order_type.value, draft.post_only) == (kind, more.get("post_only", False))
    assert draft.price == ticks(price)
    assert (draft.expiration_s > 0) is (kind == "GTD")


def test_con_11_a_fok_is_sized_to_what_is_offered_at_its_price_and_a_fak_is_not() -> None:
    """30 shares at 0.42 and 1,000 at 0.44: a FOK up to 0.43 for more than 30 would be killed for sure."""
    for kind, shares in (("FAK", "55"), ("FOK", "30")):
        rig = opened()
        rig.kernel.feed(
            Message(event_type="book", asset_id=UP, bids=[Level("0.40", "1000")],
                    asks=[Level("0.42", "30"), Level("0.44", "1000")]), rig.now,
        )
        draft = drafted(rig, wish("0.43", kind))
        assert draft.size == micros(shares)
        (order,) = rig.kernel.state.orders.values()
        assert ("depth" in order.why["limited"]) is (kind == "FOK")


def test_con_11_a_fok_below_the_minimum_for_lack_of_depth_is_not_sent() -> None:
    rig = opened(size="4.99")
    none(rig.answer(wish("0.43", "FOK")), Prepare)
    assert gates(rig) == {"depth": 1}


# --- how long it lives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("life_ms", "kind"), [(125_000, OrderType.GTD), (124_999, OrderType.GTC)])
def test_ord_06_the_venue_ends_long_lives_and_our_own_cancel_the_short_ones(life_ms: int, kind: OrderType) -> None:
    """The client wants 180 s to the expiration and the venue ends it 60 s before; five seconds are for signing."""
    now = START + 1
    made, expiration_s = resting_type(now, now + life_ms)
    assert made is kind
    assert expiration_s == (-(-(now + life_ms + 60_000) // 1_000) if kind is OrderType.GTD else 0)
    assert resting_type(now, 0) == (OrderType.GTC, 0)


def test_ord_06_a_short_life_is_a_gtc_that_we_cancel_at_its_end_and_not_before() -> None:
    rig = opened()
    order = resting(rig, wish(kind="GTD", valid_s=60.0))
    assert (order.draft.order_type, order.draft.expiration_s) == (OrderType.GTC, 0)
    assert order.valid_until == order.placed_at + 60_000
    none([c for c in quiet(rig, order.valid_until - 1) if cancels([c])], Prepare)
    assert order.state is OrderState.WORKING
    assert cancels(quiet(rig, order.valid_until)) == [order.order_id]


def test_ord_06_a_long_life_is_ended_by_the_venue_and_by_us_when_it_does_not() -> None:
    rig = opened()
    order = resting(rig, wish(kind="GTD", valid_s=200.0))
    assert order.draft.order_type is OrderType.GTD
    assert order.draft.expiration_s * 1_000 >= order.valid_until + 60_000
    assert cancels(quiet(rig, order.valid_until + 2_999)) == []
    assert cancels(quiet(rig, order.valid_until + 3_000)) == [order.order_id]


def test_ord_06_the_venues_own_end_frees_slot_and_money() -> None:
    rig = opened()
    free = rig.cash()
    order = resting(rig, wish(kind="GTD", valid_s=200.0))
    assert rig.cash() < free
    quiet(rig, order.valid_until)
    rig.see(order, "CANCELED_EXPIRED_ORDER", "0", "CANCELLATION")
    assert (order.state, rig.cash()) == (OrderState.CLOSED, free)
    only(rig.answer(wish()), Prepare)


def test_ord_06_a_life_is_kept_across_a_restart() -> None:
    rig = opened()
    order = resting(rig, wish(kind="GTD", valid_s=60.0))
    assert fold(rig.records).orders[order.ref].valid_until == order.valid_until
    again = Rig(follow=False, start_at=rig.now)
    again.kernel.restore(rig.records)
    again.records = list(rig.records)
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    assert cancels(again.to(order.valid_until + 1_000)) == [order.order_id]


def test_ord_06_a_re_priced_order_keeps_its_end_and_not_the_venues_expiration() -> None:
    """With less than two minutes left the venue can no longer end it: what is placed again is ended by us."""
    rig = opened()
    order = resting(rig, wish(kind="GTD", valid_s=200.0))
    quiet(rig, order.placed_at + 100_000)
    rig.answer(Reprice(order.ref, ticks("0.39")))
    draft = only(rig.canceled(order), Prepare).draft
    assert (draft.order_type, draft.expiration_s, draft.price) == (OrderType.GTC, 0, ticks("0.39"))
    moved = rig.kernel.state.orders[draft.ref]
    assert moved.valid_until == order.valid_until
    rig.sign(draft)
    assert moved.order_id in cancels(quiet(rig, order.valid_until))


def test_ord_06_plugins_see_what_rests_and_until_when() -> None:
    rig = opened()
    order = resting(rig, wish(kind="GTD", valid_s=60.0, post_only=True))
    (seen,) = rig.ask().view.orders
    assert (seen.rests, seen.order_type, seen.post_only, seen.valid_until) == (True, "GTC", True, order.valid_until)
    fak = opened()
    fak.answer(wish("0.43", "FAK"))
    (seen,) = fak.ask().view.orders
    assert (seen.rests, seen.order_type, seen.valid_until) == (False, "FAK", 0)


# --- post-only --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "sent"), [("0.4", "0.4"), ("0.41", "0.41"), ("0.42", "0.41"), ("0.5", "0.41")])
def test_ent_06_a_post_only_that_would_cross_is_moved_one_tick_away(price: str, sent: str) -> None:
    rig = opened()
    draft = drafted(rig, wish(price, post_only=True))
    assert (draft.price, draft.post_only) == (ticks(sent), True)
    (order,) = rig.kernel.state.orders.values()
    assert order.why.get("price_wanted", sent) == price


def test_ent_06_no_post_only_without_a_price_below_the_ask() -> None:
    rig = opened("0.001/0.01")
    none(rig.answer(wish("0.02", post_only=True), stake="1"), Prepare)
    assert gates(rig) == {"post_only": 1}


def test_ent_06_a_post_only_that_the_venue_refuses_is_over_and_its_slot_is_free() -> None:
    """The book moved between the decision and the venue."""
    rig = opened()
    free = rig.cash()
    post = rig.posted(rig.answer(wish(post_only=True)))
    rig.refuse(post, "post_only_cross", "invalid post-only order: order crosses book")
    assert (rig.order(post).state, rig.order(post).cause, rig.cash()) == (OrderState.CLOSED, "refused", free)
    only(rig.answer(wish("0.43", "FAK")), Prepare)


def test_ent_06_without_post_only_a_limit_at_the_ask_takes_and_rests() -> None:
    draft = drafted(opened(), wish("0.42"))
    assert (draft.price, draft.order_type, draft.post_only) == (ticks("0.42"), OrderType.GTC, False)


def test_ord_02_a_resting_entry_is_the_only_buy_of_its_slot_whatever_its_style() -> None:
    rig = opened()
    resting(rig, wish(kind="GTD", valid_s=200.0, post_only=True))
    for kind in ("FAK", "FOK", "GTC"):
        none(rig.answer(wish("0.43", kind)), Prepare)
    assert gates(rig) == {"slot": 3}
    assert isinstance(rig.ask(), Ask)
