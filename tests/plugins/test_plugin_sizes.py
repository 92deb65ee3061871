"""Stakes: a share of the balance, and Kelly's with its properties (ENT-04)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import made, market, view

from polyhost import Bias, Enter, Estimate, Funds, Purpose, Side, Stake, View, taker_fee
from polyhost.model.market import Fees
from polyhost_plugins.balance_share import BalanceShare
from polyhost_plugins.kelly import Kelly, cost_of_share, kelly_fraction

UNIT = 1_000_000
PROBABILITY = st.floats(0.001, 0.999)
PRICE = st.integers(1, 99).map(lambda cents: cents * 100)


def estimate(p_up: float) -> Estimate:
    return Estimate(p_up, abs(2 * p_up - 1), Bias.UP if p_up > 0.5 else Bias.DOWN)


def rich(free: int = 1_000 * UNIT, rest: int = 0) -> View:
    return view(up="0.50/0.51", market=market(fees=Fees(0)), funds=Funds(free, rest, rest, rest))


def staked(p_up: float, price: int = 5_000, seen: View | None = None, **settings: Any) -> int:
    """Kelly's stake for UP at this price; 0 for none."""
    answer = made(Kelly, **settings).size(seen or rich(), Enter(Side.UP, price), estimate(p_up))
    return 0 if answer is None else answer.amount


# --- balance_share ----------------------------------------------------------------------------------------------------


def test_ent_04_a_share_of_what_is_free_rounded_down() -> None:
    assert made(BalanceShare).size(rich(), Enter(Side.UP, 5_000)) == Stake(25 * UNIT, "2.5 % of what is free")
    assert made(BalanceShare, percent=10).size(rich(99_999_999), Enter(Side.UP, 5_000)).amount == 9_999_999
    assert made(BalanceShare, percent=100).size(rich(7), Enter(Side.UP, 5_000)).amount == 7


def test_ent_04_of_nothing_free_there_is_no_share() -> None:
    assert made(BalanceShare).size(rich(0), Enter(Side.UP, 5_000)) is None
    assert made(BalanceShare, percent=1).size(rich(99), Enter(Side.UP, 5_000)) is None
    assert made(BalanceShare, percent=1).size(rich(100), Enter(Side.UP, 5_000)).amount == 1


# --- kelly ------------------------------------------------------------------------------------------------------------


def test_ent_04_kellys_formula_on_a_worked_example() -> None:
    """0.60 for a share that costs 0.50: odds are even, so Kelly stakes 0.60 - 0.40 = 0.20 of wealth."""
    assert kelly_fraction(0.60, 0.50) == pytest.approx(0.20)
    assert kelly_fraction(0.60, 0.25) == pytest.approx((3 * 0.60 - 0.40) / 3)
    assert staked(0.60) == pytest.approx(50 * UNIT, abs=1), "a quarter of 0.20 is 5 % of 1,000"
    assert staked(0.58) == pytest.approx(40 * UNIT, abs=1)


def test_ent_04_kelly_stakes_at_most_5_percent_of_equity() -> None:
    assert staked(0.9999) == 50 * UNIT
    assert staked(0.9999, seen=rich(1_000 * UNIT, 100 * UNIT)) == 65 * UNIT, "all of the account counts"
    assert staked(0.70, equity_max=0.02) == 20 * UNIT


def test_ent_04_kellys_edge_is_after_fees() -> None:
    """At 0.50 the fee is 0.0175 a share: 0.5175 is even, and only a taker pays it."""
    seen = view(up="0.49/0.50")
    fak, rests = Enter(Side.UP, 5_000), Enter(Side.UP, 4_900, order_type="GTC")
    crossing, careful = Enter(Side.UP, 5_000, order_type="GTC"), Enter(Side.UP, 5_000, order_type="GTC", post_only=True)
    fee = taker_fee(UNIT, 5_000, 70_000) / UNIT
    assert [cost_of_share(seen, entry) for entry in (fak, rests, crossing, careful)] == pytest.approx(
        [0.50 + fee, 0.49, 0.50 + fee, 0.50]
    )
    kelly = made(Kelly)
    assert kelly.size(seen, fak, estimate(0.5174)) is None
    assert kelly.size(seen, fak, estimate(0.5177)) is not None


def test_ent_04_without_an_edge_kelly_refuses_the_entry_whoever_sizes_it() -> None:
    kelly, entry = made(Kelly), Enter(Side.UP, 5_000, stake=UNIT)
    veto = kelly.review(rich(), entry, estimate(0.50))
    assert veto is not None
    assert "no edge" in veto.reason
    assert kelly.review(rich(), entry, estimate(0.5001)) is None
    assert kelly.review(rich(), entry, None) is None


@pytest.mark.parametrize("purpose", list(Purpose))
def test_ent_04_kelly_sizes_bets_on_the_estimate_alone(purpose: Purpose) -> None:
    kelly, entry = made(Kelly), Enter(Side.UP, 5_000, purpose=purpose)
    bet = purpose in (Purpose.ENTRY, Purpose.SCALE_IN)
    assert (kelly.size(rich(), entry, estimate(0.60)) is not None) is bet
    assert (kelly.review(rich(), entry, estimate(0.40)) is not None) is bet
    assert kelly.size(rich(), entry, None) is None


@given(p=PROBABILITY, price=PRICE, equity=st.integers(0, 10**13))
def test_ent_04_kelly_is_never_negative_zero_without_edge_and_never_above_the_cap(
    p: float, price: int, equity: int
) -> None:
    seen = view(up="0.50/0.51", funds=Funds(equity, 0, 0, 0))
    answer = made(Kelly).size(seen, Enter(Side.UP, price), estimate(p))
    amount = 0 if answer is None else answer.amount
    assert 0 <= amount <= equity // 20
    if p <= cost_of_share(seen, Enter(Side.UP, price)):
        assert amount == 0


@given(low=PROBABILITY, high=PROBABILITY, price=PRICE)
def test_ent_04_kelly_grows_with_the_edge(low: float, high: float, price: int) -> None:
    low, high = sorted((low, high))
    assert staked(low, price) <= staked(high, price)


@given(p=PROBABILITY, cheap=PRICE, dear=PRICE)
def test_ent_04_kelly_shrinks_with_the_price(p: float, cheap: int, dear: int) -> None:
    cheap, dear = sorted((cheap, dear))
    assert staked(p, cheap) >= staked(p, dear)
