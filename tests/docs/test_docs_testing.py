"""docs/testing.md names everything that the test kit has, and its promises are the suite's."""

from __future__ import annotations

import re
from pathlib import Path

import polyhost.testing
from polyhost import Side
from polyhost.configuration.shipped import shipped_class
from polyhost.testing import Bench, assert_exits, assert_quiet, book, pytest_plugin, up
from polyhost.testing.report import RULES

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


def test_the_page_names_everything_that_the_kit_has() -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", TEXT)) + " ".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    words = set(re.findall(r"\w+", code))
    assert set(polyhost.testing.__all__) - words == set()
    fixtures = {name for name, value in vars(pytest_plugin).items() if "Fixture" in type(value).__name__}
    assert set(re.findall(r"^\| `(\w+)` \| `", TEXT, re.MULTILINE)) == fixtures
    assert len(fixtures) == 7


def test_the_promises_of_the_page_are_those_of_the_suite() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([B-F]) \| (.+) \|$", TEXT, re.MULTILINE)
    assert rows == [(rule.name, rule.grade, rule.promise) for rule in RULES]


def test_the_example_of_the_page_holds() -> None:
    """With the shipped stop loss: 0.30 is its threshold, and the page feeds both of its sides."""
    example = re.findall(r"```python\n(def .*?)```", TEXT, re.DOTALL)[0]
    space = {
        "StopLoss": shipped_class("stop_loss"), "up": up, "book": book, "Side": Side, "assert_quiet": assert_quiet,
        "assert_exits": assert_exits,
    }
    exec(example, space)
    space["test_it_sells_at_the_threshold"](lambda plugin, **more: Bench(plugin, **more))  # type: ignore[operator]
