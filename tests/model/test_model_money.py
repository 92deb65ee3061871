"""Exact money: parsing, showing, notional and fees; the worked examples of the venue's fee page."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.model.money import (
    ONE,
    fast_micros,
    micros,
    money_text,
    notional,
    parse_fixed,
    price_text,
    show_fixed,
    size_text,
    taker_fee,
    ticks,
)
from polyhost.model.quantities import Money, Price, Shares


@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_a_shown_number_reads_back_as_itself(value: int, decimals: int) -> None:
    assert parse_fixed(show_fixed(value, decimals), decimals) == value
    assert parse_fixed(show_fixed(value, decimals, decimals), decimals) == value


@given(st.integers(0, 2**32 * 10**6 - 1))
def test_the_hot_path_reads_sizes_exactly(value: int) -> None:
    """A double is exact enough for every size with six places below 2**32 shares."""
    assert fast_micros(size_text(value)) == value
    assert fast_micros(money_text(value)) == value


@pytest.mark.parametrize("text", ["", ".", "1,5", "1e3", "0.00001", "abc", "٣", "--1", "1.2.3", "nan"])
def test_what_is_no_exact_price_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="price"):
        ticks(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0.52", 5_200), ("1", 10_000), ("0.5000", 5_000), (".25", 2_500), ("0.0001", 1)]
)
def test_prices_are_ticks_of_a_ten_thousandth(text: str, value: int) -> None:
    assert ticks(text) == value
    assert ticks(price_text(value)) == value


@pytest.mark.parametrize(
    ("shares", "price", "fee"),
    [
        # Crypto rate 0.07: the venue's table for 100 shares, and its single examples.
        ("100", "0.01", "0.0693"), ("100", "0.05", "0.3325"), ("100", "0.10", "0.63"), ("100", "0.20", "1.12"),
        ("100", "0.30", "1.47"), ("100", "0.40", "1.68"), ("100", "0.50", "1.75"), ("10", "0.52", "0.17472"),
        ("20", "0.35", "0.3185"), ("5", "0.97", "0.01019"),
    ],
)
def test_fees_equal_the_venues_worked_examples(shares: str, price: str, fee: str) -> None:
    assert taker_fee(micros(shares), ticks(price), 70_000) == micros(fee)


@given(st.integers(0, 10**12), st.integers(0, ONE), st.integers(0, 100_000), st.integers(1, 2))
def test_fees_are_the_exact_formula_rounded_once(size: int, price: int, rate: int, exponent: int) -> None:
    p = Decimal(price) / ONE
    exact = Decimal(size) / 10**6 * Decimal(rate) / 10**6 * (p * (1 - p)) ** exponent
    rounded = exact.quantize(Decimal("0.00001"), ROUND_HALF_UP)
    assert Decimal(taker_fee(size, price, rate, exponent)) / 10**6 == rounded


@given(st.integers(0, 10**12), st.integers(0, ONE))
def test_both_parties_of_a_mint_pay_no_more_than_the_pair(size: int, price: int) -> None:
    assert 0 <= size - notional(size, price) - notional(size, ONE - price) <= 1


def test_settings_prices_compare_with_ticks_and_refuse_nonsense() -> None:
    assert Price("0.30") == 3_000
    assert Price(0.15) == 1_500
    assert str(Price("0.30")) == "0.3"
    assert Money("25") == 25_000_000
    assert Shares("0.01") == 10_000
    for bad in ("1.01", "-0.1", "0.00005"):
        with pytest.raises(ValueError, match="price"):
            Price(bad)
