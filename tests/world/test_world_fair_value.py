"""The fair value: bounds, monotony, and certainty at the end under the TWAP rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyhost.exchange.fair_value import outlook, phi, up_chance
from polyhost.exchange.prices import SECOND, TWAP_TICKS, SymbolPrices

START = 1_795_219_200_000
PRICES = SymbolPrices("BTC", 5, START, 900)
LEVEL = PRICES.chainlink[-1]


@given(st.floats(allow_nan=False, width=32))
def test_phi_is_a_chance_and_symmetric(z: float) -> None:
    assert 0.0 <= phi(z) <= 1.0
    assert abs(phi(z) + phi(-z) - 1.0) < 1e-12


def test_phi_has_its_textbook_values() -> None:
    assert phi(0.0) == 0.5
    assert abs(phi(1.0) - 0.841344746) < 1e-9
    assert abs(phi(-1.959963985) - 0.025) < 1e-9


@given(move_bps=st.floats(-100, 100), left_s=st.integers(0, 900))
def test_the_chance_of_up_is_in_bounds_and_falls_with_the_strike(move_bps: float, left_s: int) -> None:
    end = START + left_s * SECOND
    strike = round(LEVEL * (1 + move_bps * 1e-4))
    low = up_chance(PRICES, strike, end - 300_000, end)
    high = up_chance(PRICES, strike + LEVEL // 10_000, end - 300_000, end)
    assert 0.0 <= high <= low <= 1.0


def test_a_window_to_come_is_worth_about_a_half() -> None:
    chance = up_chance(PRICES, None, START + 300_000, START + 600_000)
    assert 0.4 < chance < 0.6


def test_at_the_end_the_outcome_is_certain_whatever_spot_does() -> None:
    """The mean of sixty known seconds decides, not the price of the last one."""
    final = PRICES.twap[-1]
    assert up_chance(PRICES, final - final // 100_000, START - 300_000, START) > 0.999
    assert up_chance(PRICES, final + final // 100_000, START - 300_000, START) < 0.001


def test_a_mean_is_known_by_parts_in_its_last_minute() -> None:
    far, near, last = (outlook(PRICES, START + left * SECOND) for left in (120, 30, 1))
    assert far.variance == 120 - TWAP_TICKS + TWAP_TICKS / 3
    assert far.variance > near.variance > last.variance > 0
    known = PRICES.chainlink_sum(START // SECOND + 30 - TWAP_TICKS + 1)
    assert abs(near.mean - (known + 30 * PRICES.expected()) / TWAP_TICKS) < 1
