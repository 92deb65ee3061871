"""Prices and money in settings keep their value when settings are copied."""

from __future__ import annotations

import copy
import pickle

import pytest

from polyhost import Money, Price, Shares


@pytest.mark.parametrize(
    "value", [Price("0.9"), Price("1"), Price("0.0001"), Money("25"), Money("0.000001"), Shares("3.5")]
)
def test_a_copy_of_a_quantity_is_the_same_quantity(value: Price | Money | Shares) -> None:
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other == value
        assert type(other) is type(value)
