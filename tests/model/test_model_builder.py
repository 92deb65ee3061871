"""CON-18: what a builder code costs, to the micro-unit, and how a code is written."""

from __future__ import annotations

import pytest

from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError
from polyhost.model.builder import Builder, builder_code, builder_fee
from polyhost.model.market import Fees
from polyhost.model.money import micros, ticks

CODE = "0x" + "ab" * 32


@pytest.mark.parametrize(
    ("money", "rate", "fee"),
    [
        ("5.2", 10_000, "0.052"),
        ("0.000499", 10_000, "0"),  # 0.00000499
        ("0.0005", 10_000, "0.00001"),  # 0.000005: halves up
        ("0.001499", 10_000, "0.00001"),
        ("0.0015", 10_000, "0.00002"),
        ("1000", 0, "0"),
    ],
)
def test_con_18_a_builders_fee_is_a_share_of_the_money_to_five_places_halves_up(
    money: str, rate: int, fee: str
) -> None:
    assert builder_fee(micros(money), rate) == micros(fee)


def test_con_18_it_comes_on_top_of_the_markets_fee_for_takers_and_alone_for_makers() -> None:
    """BUY 10 at 0.52: 0.17472 of the market's, and 1 % or 0.5 % of 5.20."""
    fees = Fees(70_000, builder=Builder(CODE, 5_000, 10_000))
    size, price = micros("10"), ticks("0.52")
    assert fees.taker(size, price) == fees.charged(size, price, maker=False) == micros("0.22672")
    assert fees.maker(size, price) == fees.charged(size, price, maker=True) == micros("0.026")
    assert fees.most(size, price) == micros("0.22672")
    assert Fees(0, builder=Builder(CODE, 5_000, 1)).most(size, price) == micros("0.026")
    plain = Fees(70_000)
    assert (plain.taker(size, price), plain.maker(size, price)) == (micros("0.17472"), 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0x12", "must be 32 bytes in hex"),
        ("ab" * 32, "must be 32 bytes in hex"),
        ("0x" + "xy" * 32, "must be 32 bytes in hex"),
        ("0x" + "ab" * 33, "must be 32 bytes in hex"),
        ("0x" + "00" * 32, "the code of nobody"),
    ],
)
def test_con_18_a_code_that_is_none_is_refused_with_its_key(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[venue\] builder_code: .*{said}"):
        load_configuration(None, env={"POLYHOST__VENUE__BUILDER_CODE": text})
    with pytest.raises(ConfigError, match=said):
        load_configuration(None, env={"POLYHOST__EXCHANGE__BUILDERS": f'{{ "{text}" = {{ taker_bps = 1 }} }}'})


def test_con_18_a_code_has_one_spelling_and_empty_is_none() -> None:
    assert builder_code(" 0x" + "AB" * 32) == CODE
    loaded = load_configuration(None, env={"POLYHOST__VENUE__BUILDER_CODE": "0x" + "AB" * 32})
    assert loaded.configuration.venue.builder_code == CODE
    assert load_configuration(None, env={}).configuration.venue.builder_code == ""
