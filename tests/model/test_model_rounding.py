"""Amounts of orders: venue decimals always hold, and the implied price never crosses the limit the wrong way."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polyhost.model.money import LOT, ONE, micros, ticks
from polyhost.model.rounding import (
    CENT,
    MARKET_FINE,
    TICK_RULES,
    Amounts,
    legal_price,
    limit_amounts,
    limit_price_of,
    market_size,
    market_step,
    safe_price,
)
from polyhost.model.words import Action

TICKS = sorted(TICK_RULES)
ACTIONS = st.sampled_from(list(Action))


@st.composite
def legal(draw: st.DrawFn) -> tuple[int, int]:
    """A tick size and a legal price on it."""
    tick = draw(st.sampled_from(TICKS))
    return tick, tick * draw(st.integers(1, ONE // tick - 1))


def decimals(value: int) -> int:
    """Decimal places of a micro-unit amount."""
    text = f"{value:07d}"
    return len(text[-6:].rstrip("0"))


@given(legal(), st.integers(1, 10**8), ACTIONS)
def test_a_limit_order_implies_exactly_its_price_with_legal_decimals(
    given: tuple[int, int], lots: int, action: Action
) -> None:
    tick, price = given
    amounts = limit_amounts(action, price, lots * LOT)
    paid, got = limit_price_of(action, amounts)
    assert paid * ONE == got * price
    shares, money = (amounts.taker, amounts.maker) if action is Action.BUY else (amounts.maker, amounts.taker)
    assert decimals(shares) <= TICK_RULES[tick].size_decimals
    assert decimals(money) <= TICK_RULES[tick].amount_decimals


@given(legal(), st.integers(0, 10**10), ACTIONS)
def test_field_11_a_market_order_implies_exactly_its_limit_with_the_venues_precision(
    given: tuple[int, int], wanted: int, action: Action
) -> None:
    _, price = given
    size = market_size(action, price, wanted)
    assert 0 <= wanted - size < market_step(action, price), "the largest legal size, never more than wanted"
    assume(size > 0)
    maker, taker = limit_amounts(action, price, size)
    if action is Action.BUY:
        assert maker % CENT == 0, "a market BUY spends whole cents"
        assert taker % MARKET_FINE == 0
        assert maker * ONE == taker * price
    else:
        assert maker % LOT == 0
        assert taker % MARKET_FINE == 0
        assert taker * ONE == maker * price


@given(st.sampled_from(TICKS), st.integers(0, ONE), ACTIONS)
def test_t2_a_price_is_quantised_in_the_safe_direction(tick: int, price: int, action: Action) -> None:
    value = safe_price(action, price, tick)
    assert legal_price(value, tick)
    if tick <= price <= ONE - tick:
        assert value <= price if action is Action.BUY else value >= price
        assert abs(value - price) < tick


def test_the_worked_examples_of_the_venue() -> None:
    """BUY 10 at 0.52 and SELL 33.33 at 0.37 (polymarket-client 0.14.0)."""
    assert limit_amounts(Action.BUY, ticks("0.52"), micros("10")) == Amounts(5_200_000, 10_000_000)
    assert limit_amounts(Action.SELL, ticks("0.37"), micros("33.33")) == Amounts(33_330_000, 12_332_100)


@pytest.mark.parametrize(
    ("price", "step"),
    [("0.53", "1"), ("0.5", "0.02"), ("0.42", "0.5"), ("0.25", "0.04"), ("0.535", "2"), ("0.97", "1")],
)
def test_a_market_buy_comes_in_steps_of_whole_cents(price: str, step: str) -> None:
    assert market_step(Action.BUY, ticks(price)) == micros(step)

