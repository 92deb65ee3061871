"""docs/order-rules.md names code and tests that exist, one row a rule; a rule that is not built yet says so."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from polyhost.kernel.orders import TRANSITIONS

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "order-rules.md").read_text(encoding="utf-8")
RULES: Final = [*(f"U{number}" for number in range(1, 10)), *(f"T{number}" for number in range(1, 11))]
NOT_YET: Final = {"T10"}
CODE: Final = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    rule: str
    promise: str
    where: str
    shown_by: str
    today: str


def rows() -> list[Row]:
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| [UT]\d+ \|", line)]
    return [Row(*(cell.strip() for cell in line)) for line in lines]


def names_of_tests() -> set[str]:
    found = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        found |= set(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def names_in(file: Path) -> set[str]:
    """Functions, classes and methods that a file defines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, kinds)}


TESTS: Final = names_of_tests()


def test_every_rule_has_its_row_in_order() -> None:
    assert [row.rule for row in rows()] == RULES


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.rule)
def test_a_row_names_code_and_tests_that_exist(row: Row) -> None:
    if row.rule in NOT_YET:
        assert (row.where, row.shown_by) == ("none", "none")
        assert row.today.startswith("no: ")
        return
    assert row.today.startswith(("yes", "second way only", "in part"))
    shown = CODE.findall(row.shown_by)
    assert shown
    assert set(shown) <= TESTS
    places = [part.strip() for part in row.where.split(";")]
    for place in places:
        file, *names = CODE.findall(place)
        path = ROOT / "host" / "polyhost" / file
        assert path.is_file(), file
        assert set(names) <= names_in(path), (file, names)


@pytest.mark.parametrize("row", [row for row in rows() if row.rule not in NOT_YET], ids=lambda row: row.rule)
def test_a_rule_has_a_test_of_its_own_name(row: Row) -> None:
    own = f"test_{row.rule.lower()}_"
    assert any(name.startswith(own) for name in CODE.findall(row.shown_by)), own


def test_the_states_on_the_page_are_the_tables() -> None:
    told = re.findall(r"^\| (\w+) \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert told[:1] == ["state"]
    assert told[1:] == [state.value for state in TRANSITIONS]
