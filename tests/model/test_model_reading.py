"""What a reading is, and what is none."""

from __future__ import annotations

import pytest

from polyhost.model.reading import AT_MAX, source_of, wrong


@pytest.mark.parametrize(
    ("name", "value", "at"),
    [("funding.BTC", 0.0001, 1), ("a", -1, 0), ("x" * 64, 1e308, AT_MAX), ("A:b-c_d.9", 0.0, 5)],
)
def test_con_17_a_bounded_name_a_finite_number_and_a_time_are_a_reading(name: str, value: float, at: int) -> None:
    assert wrong(name, value, at) == ""


@pytest.mark.parametrize(
    ("name", "value", "at", "why"),
    [
        ("", 1.0, 0, "no name"), ("x" * 65, 1.0, 0, "no name"), (".x", 1.0, 0, "no name"), ("a b", 1.0, 0, "no name"),
        ("a\n", 1.0, 0, "no name"), (7, 1.0, 0, "no name"), (None, 1.0, 0, "no name"), ("ä", 1.0, 0, "no name"),
        ("a", float("nan"), 0, "not finite"), ("a", float("inf"), 0, "not finite"), ("a", -float("inf"), 0, "finite"),
        ("a", 10**400, 0, "not finite"), ("a", "1", 0, "no number"), ("a", True, 0, "no number"),
        ("a", None, 0, "no number"), ("a", [1], 0, "no number"),
        ("a", 1.0, -1, "no market ms"), ("a", 1.0, AT_MAX + 1, "no market ms"), ("a", 1.0, 1.5, "no market ms"),
        ("a", 1.0, None, "no market ms"), ("a", 1.0, True, "no market ms"),
    ],
)
def test_con_17_anything_else_is_refused_with_the_reason(name: object, value: object, at: object, why: str) -> None:
    assert why in wrong(name, value, at)


def test_con_17_a_feed_is_called_by_its_plugin_and_its_own_name() -> None:
    assert source_of("fear_greed", "") == "fear_greed"
    assert source_of("prices", "kraken") == "prices.kraken"
