"""docs/order-rules.md is generated from kernel/rules.py; each rule names functions and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from docs_names import found

from polyhost.kernel.orders import TRANSITIONS
from polyhost.kernel.rules import CAUSES, MEANS, RULES, Rule, page

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "order-rules.md"
NAMES: Final = [*(f"U{number}" for number in range(1, 10)), *(f"T{number}" for number in range(1, 11))]


def names_of_tests() -> set[str]:
    found = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        found |= set(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    return found


TESTS: Final = names_of_tests()


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m polyhost.kernel.rules > docs/order-rules.md"


def test_every_rule_has_its_row_in_order() -> None:
    assert [rule.name for rule in RULES] == NAMES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_names_code_and_tests_that_exist(rule: Rule) -> None:
    assert rule.today.startswith(("yes", "in part: ", "no: "))
    assert bool(rule.where) == bool(rule.tests) == rule.kept
    for place in rule.where:
        assert found(place) is not None
    assert set(rule.tests) <= TESTS, set(rule.tests) - TESTS


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.kept], ids=lambda rule: rule.name)
def test_a_rule_has_a_test_of_its_own_name(rule: Rule) -> None:
    assert any(name.startswith(f"test_{rule.name.lower()}_") for name in rule.tests)


def test_a_place_that_is_nowhere_is_found_out() -> None:
    with pytest.raises(AttributeError):
        found("kernel.unknown.Unknown.guess")
    with pytest.raises(ImportError):
        found("nowhere.at_all")


def test_every_state_and_every_cause_is_explained() -> None:
    assert set(MEANS) == set(TRANSITIONS)
    assert set(CAUSES) == {cause for causes in TRANSITIONS.values() for cause in causes}


def test_the_diagram_has_every_transition() -> None:
    text = page()
    for state, causes in TRANSITIONS.items():
        for cause, after in causes.items():
            (line,) = re.findall(rf"^    {state.value} --> {after.value}: (.*)$", text, re.MULTILINE)
            assert cause in line.split(", ")
