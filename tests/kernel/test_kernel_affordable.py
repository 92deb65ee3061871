"""How much a stake buys: the largest size, whatever rounding does, and found in few steps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType, structs

from polyhost.kernel import entries
from polyhost.kernel.entries import affordable, worst_cost
from polyhost.model.builder import Builder
from polyhost.model.market import Fees
from polyhost.model.money import LOT, MICRO

from .rig import window

CODE = "0x" + "ab" * 32


@given(
    stake=st.integers(0, 500_000_000), price=st.integers(1, 9_999), step=st.sampled_from([LOT, MICRO]),
    rate=st.sampled_from([0, 40_000, 70_000, 1_000_000]), exponent=st.integers(0, 2),
    builder=st.sampled_from([UNSET, Builder(CODE, 0, 10_000), Builder(CODE, 5_000, 0), Builder(CODE, 1_000_000, 3)]),
)
def test_ord_03_con_18_the_largest_size_that_a_stake_pays(
    stake: int, price: int, step: int, rate: int, exponent: int, builder: Builder | UnsetType
) -> None:
    """It costs no more than the stake, and one step more does; with a builder code as without."""
    market = structs.replace(window(), fees=Fees(rate, exponent, builder))
    size = affordable(stake, price, step, market)
    assert size % step == 0
    assert size == 0 or worst_cost(size, price, market) <= stake
    assert worst_cost(size + step, price, market) > stake


@dataclass
class Count:
    calls: int = 0


@pytest.mark.parametrize(("price", "steps"), [(1, 40), (100, 3), (5_000, 3), (9_999, 3)])
def test_the_largest_size_is_found_in_few_steps(monkeypatch: pytest.MonkeyPatch, price: int, steps: int) -> None:
    """A search over every hundredth of a share took most of a quote's time."""
    seen = Count()

    def counted(*arguments: object) -> int:
        seen.calls += 1
        return worst_cost(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(entries, "worst_cost", counted)
    affordable(300 * MICRO, price, LOT, window())
    assert seen.calls <= steps
