"""The published formula of liquidity rewards, on the venue's own worked example and at each of its edges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import polyhost
from polyhost.exchange import scoring
from polyhost.model.money import ONE, micros, ticks
from polyhost.model.rewards import maker_score, reward_midpoint, reward_score, two_sided_only

V = 300
MID = 2 * 5_000


def test_rew_01_the_worked_example_of_the_documentation() -> None:
    """v = 3, bids 100 at 0.49 and 200 at 0.48, an ask of 100 of the other token at 0.51, midpoint 0.50: 111.1."""
    shares = micros("100")
    one = reward_score(ticks("0.49"), shares, MID, V) + reward_score(ticks("0.48"), 2 * shares, MID, V)
    # An ask of the other token at 0.51 is a bid for this one at 0.49.
    other = reward_score(ONE - ticks("0.51"), shares, MID, V)
    assert one + other == pytest.approx(1_000 / 9)
    assert polyhost.reward_score is reward_score


def test_rew_01_an_order_at_the_largest_distance_scores_nothing_and_one_tick_nearer_something() -> None:
    size = micros("100")
    assert reward_score(ticks("0.47"), size, MID, V) == 0.0
    assert reward_score(ticks("0.4701"), size, MID, V) > 0.0
    assert reward_score(ticks("0.53"), size, MID, V) == 0.0
    assert reward_score(ticks("0.50"), size, MID, V) == 100.0, "at the midpoint its whole size counts"


def test_rew_01_an_order_below_the_minimum_size_scores_nothing() -> None:
    least = micros("50")
    assert reward_score(ticks("0.49"), least, MID, V, least) > 0.0
    assert reward_score(ticks("0.49"), least - 10_000, MID, V, least) == 0.0


def test_rew_01_small_levels_do_not_move_the_midpoint() -> None:
    bids = [(4_000, micros("100")), (4_900, micros("49.99"))]
    asks = [(5_200, micros("50")), (5_100, micros("1"))]
    assert reward_midpoint(bids, asks, micros("50")) == 4_000 + 5_200
    assert reward_midpoint(bids, asks, micros("1")) == 4_900 + 5_100
    assert reward_midpoint(bids, asks[1:], micros("50")) is None


def test_rew_01_one_side_counts_a_third_and_outside_the_middle_nothing() -> None:
    assert maker_score(30.0, 0.0, MID) == 10.0
    assert maker_score(30.0, 20.0, MID) == 20.0
    assert maker_score(30.0, 0.0, 2 * 9_000) == 10.0
    assert maker_score(30.0, 0.0, 2 * 9_000 + 1) == 0.0
    assert maker_score(30.0, 5.0, 2 * 1_000 - 1) == 5.0
    assert not two_sided_only(2 * 1_000)


@given(
    price=st.integers(1, 9_999), size=st.integers(1, 10**9), mid=st.integers(2, 19_998), spread=st.integers(1, 900),
    least=st.integers(0, 10**8),
)
def test_rew_01_the_host_and_the_simulated_exchange_agree(
    price: int, size: int, mid: int, spread: int, least: int
) -> None:
    """Two implementations of one formula: the exchange's in exact integers."""
    exact = scoring.order_score(price, size, mid, spread, least)
    assert reward_score(price, size, mid, spread, least) == pytest.approx(exact / (2 * spread) ** 2 / 1e6)
