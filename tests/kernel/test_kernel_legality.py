"""ORD-06: every rule just inside and just outside, and that an illegal order leaves no trace but a notice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from polyhost.kernel.legality import Illegal, illegal
from polyhost.model.commands import Prepare
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import ONE, micros, ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.records import NoticeRaised, OrderIntended, Slot
from polyhost.model.rounding import TICK_RULES, market_size, safe_price
from polyhost.model.words import Action, OrderState, OrderType, Purpose, Side

from .rig import START, UP, Rig, none, window

NOW = START + 250
"""Not a full second."""
FINE = structs.replace(window(), tick=10)


def draft(
    price: str = "0.40", size: str = "10", action: Action = Action.BUY, kind: OrderType = OrderType.GTC,
    expiration_s: int = 0, post_only: bool = False,
) -> OrderDraft:
    return OrderDraft("o1", UP, action, kind, ticks(price), micros(size), 100, False, post_only, expiration_s)


def judged(market: Market | None = None, bid: str = "0.30", ask: str = "0.50", **order: Any) -> Illegal | None:
    return illegal(draft(**order), market or window(), ticks(bid), ticks(ask), NOW)


SELL = {"action": Action.SELL}
FAK = {"kind": OrderType.FAK}
POST = {"post_only": True}


@pytest.mark.parametrize(
    ("inside", "outside", "rule", "shown", "nearest"),
    [
        ({"price": "0.41"}, {"price": "0.415"}, "tick size", "0.415", "0.41"),
        ({"price": "0.42", **SELL}, {"price": "0.415", **SELL}, "tick size", "0.415", "0.42"),
        ({"price": "0.01"}, {"price": "0"}, "price bounds", "0", "0.01"),
        ({"price": "0.99"}, {"price": "0.991"}, "price bounds", "0.991", "0.99"),
        ({"price": "0.99", **SELL}, {"price": "1", **SELL}, "price bounds", "1", "0.99"),
        ({"size": "5.01"}, {"size": "5.011"}, "size precision", "5.011", "5.01"),
        ({"price": "0.53", "size": "7", **FAK}, {"price": "0.53", "size": "7.5", **FAK}, "size precision", "7.5", "7"),
        ({"price": "0.53", "size": "7.01", **FAK, **SELL}, {"price": "0.53", "size": "7.001", **FAK, **SELL},
         "size precision", "7.001", "7"),
        ({"size": "5"}, {"size": "4.99"}, "minimum size", "4.99", "5"),
        ({"size": "5", **SELL}, {"size": "4.99", **SELL}, "minimum size", "4.99", "5"),
        ({"size": "2.5", **FAK}, {"size": "2.45", **FAK}, "minimum value", "0.980000 (2.45 shares at 0.4)",
         "1.000000 (2.5 shares)"),
        # A buy that crosses is marketable; one tick below the ask it rests, and no value is asked for.
        ({"price": "0.14", "size": "7.15", "ask": "0.14"}, {"price": "0.14", "size": "7.14", "ask": "0.14"},
         "minimum value", "0.999600 (7.14 shares at 0.14)", "1.001000 (7.15 shares)"),
        ({"price": "0.13", "size": "5", "ask": "0.14"}, {"price": "0.14", "size": "5", "ask": "0.14"},
         "minimum value", "0.700000 (5 shares at 0.14)", "1.001000 (7.15 shares)"),
        # A sell at any price is worth what is bid for it.
        ({"price": "0.01", "size": "3.34", **FAK, **SELL}, {"price": "0.01", "size": "3.33", **FAK, **SELL},
         "minimum value", "0.999000 (3.33 shares at 0.3)", "1.002000 (3.34 shares)"),
        ({"expiration_s": 0}, {"expiration_s": 1}, "expiration", "1", "0"),
        # The book is 0.30/0.50: what would meet it is no post-only.
        ({"price": "0.49", **POST}, {"price": "0.50", **POST}, "post-only price", "0.5", "0.49"),
        ({"price": "0.31", **SELL, **POST}, {"price": "0.30", **SELL, **POST}, "post-only price", "0.3", "0.31"),
        ({"price": "0.50", **POST, "ask": "1"}, {"price": "0.01", "size": "100", **POST, "ask": "0.01"},
         "post-only price", "0.01", "none"),
        ({**FAK}, {**FAK, **POST}, "post-only type", "FAK", "GTC"),
    ],
)  # fmt: skip
def test_ord_06_the_refusal_says_the_rule_the_value_and_the_nearest_legal_one(
    inside: dict[str, Any], outside: dict[str, Any], rule: str, shown: str, nearest: str
) -> None:
    assert judged(**inside) is None
    refused = judged(**outside)
    assert refused == Illegal(rule, shown, nearest)
    assert all(part in refused.text for part in (rule, shown, nearest, "ORD-06"))


@pytest.mark.parametrize(("ahead_s", "legal"), [(181, True), (180, False), (62, False), (61, False), (0, False)])
def test_ord_06_a_gtd_expires_at_least_180_s_ahead(ahead_s: int, legal: bool) -> None:
    """From 0.250 s after a full second: the 180th second is 179.750 s away."""
    at = START // 1_000 + ahead_s
    refused = judged(kind=OrderType.GTD, expiration_s=at)
    assert refused == (None if legal else Illegal("expiration", str(at), str(START // 1_000 + 181)))


def test_ord_06_at_the_full_second_180_s_are_enough() -> None:
    def at(now: int) -> Illegal | None:
        made = draft(kind=OrderType.GTD, expiration_s=START // 1_000 + 180)
        return illegal(made, window(), ticks("0.30"), ticks("0.50"), now)

    assert at(START) is None
    assert at(START + 1) is not None


def test_ord_06_the_tick_is_the_markets_own_at_the_moment() -> None:
    assert judged(FINE, price="0.415") is None
    assert judged(FINE, price="0.999") is None
    assert judged(FINE, price="0.4155") == Illegal("tick size", "0.4155", "0.415")
    assert judged(structs.replace(window(), tick=1_000), price="0.45") == Illegal("tick size", "0.45", "0.4")


@given(
    price=st.integers(0, ONE), size=st.integers(0, 100_000_000), action=st.sampled_from(Action),
    kind=st.sampled_from(OrderType), tick=st.sampled_from(sorted(TICK_RULES)), bid=st.integers(0, ONE - 1),
)
def test_ord_06_the_nearest_legal_price_and_size_are_legal(
    price: int, size: int, action: Action, kind: OrderType, tick: int, bid: int
) -> None:
    """Following what the refusals say ends with a legal order, at a price that is not worse."""
    market = structs.replace(window(), tick=tick)
    wanted = OrderDraft("o1", UP, action, kind, price, size, tick, False)
    for _ in range(6):
        refused = illegal(wanted, market, bid, ONE, START)
        if refused is None:
            break
        amount = refused.nearest
        if refused.rule in ("tick size", "price bounds"):
            wanted = structs.replace(wanted, price=ticks(amount))
        elif refused.rule == "expiration":
            wanted = structs.replace(wanted, expiration_s=int(amount))
        else:
            shares = amount.partition("(")[2].partition(" ")[0] or amount
            wanted = structs.replace(wanted, size=micros(shares))
    assert illegal(wanted, market, bid, ONE, START) is None
    assert wanted.price == safe_price(action, price, tick)


@given(price=st.integers(1, 99), size=st.integers(0, 100_000_000), action=st.sampled_from(Action))
def test_ord_06_what_the_rounding_rules_make_is_never_refused_for_its_price_or_precision(
    price: int, size: int, action: Action
) -> None:
    made = OrderDraft("o1", UP, action, OrderType.FAK, price * 100, market_size(action, price * 100, size), 100, False)
    refused = illegal(made, window(), ticks("0.30"), ONE, START)
    assert refused is None or refused.rule == "minimum value" or made.size == 0


# --- in the kernel ----------------------------------------------------------------------------------------------------


def test_ord_06_an_entry_that_is_a_gtd_without_a_life_is_refused_before_anything_is_recorded() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    free = rig.cash()
    commands = rig.answer(Enter(Side.UP, ticks("0.41"), "test", order_type="GTD"))
    none(commands, Prepare)
    assert not [record for record in rig.records if isinstance(record, OrderIntended)]
    (notice,) = [record for record in rig.records if isinstance(record, NoticeRaised)]
    earliest = -(-(rig.now + 180_000) // 1_000)
    assert f"expiration (ORD-06): 0 is not legal, the nearest that is: {earliest}" in notice.text
    assert "entry" in notice.text
    assert rig.cash() == free
    data = rig.kernel.data(rig.market.condition_id)
    assert data is not None
    assert data.gates["expiration"] == 1


@pytest.mark.parametrize(("life_s", "signed"), [(180, True), (179, False), (61, False)])
def test_ord_06_a_gtd_sell_of_less_than_180_s_is_refused_by_the_host_itself(life_s: int, signed: bool) -> None:
    """Whatever part of the host wants it: this is where every order passes."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.now = START + 120_000
    rig.kernel.turn(rig.now, rig.now)
    slot = Slot(rig.market.condition_id, Side.UP, Purpose.EXIT)
    made = structs.replace(
        draft("0.60", action=Action.SELL, kind=OrderType.GTD, expiration_s=rig.now // 1_000 + life_s),
        ref=rig.kernel.flow.next_ref(),
    )
    refused = rig.kernel.flow.place(slot, made, 0, {})
    step = rig.kernel.turn(rig.now, rig.now)
    assert [type(record) for record in step.records] == [OrderIntended if signed else NoticeRaised]
    assert any(isinstance(command, Prepare) for command in step.commands) is signed
    assert (refused is None) is signed
    if refused is not None:
        assert refused.nearest == str(rig.now // 1_000 + 180)


def test_ord_06_what_entries_and_exits_make_themselves_passes() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    order = rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.60"), "plan")))
    rig.accept(post)
    assert (order.state, rig.order(post).state) == (OrderState.CLOSED, OrderState.WORKING)
    assert not [record for record in rig.records if isinstance(record, NoticeRaised)]
