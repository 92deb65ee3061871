"""docs/life-of-a-tick.md and docs/life-of-an-order.md name modules, classes and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from docs_names import found

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGES: Final = ("life-of-a-tick.md", "life-of-an-order.md")
NAMED: Final = re.compile(r"`((?:venue|service|kernel|model|journal|extension|lab|exchange)(?:\.\w+)+)`")


def rows(page: str) -> list[list[str]]:
    """The cells of every row of a page's tables, headings left out."""
    lines = [line for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[-1] != "where" and not row[-1].startswith("---")]


@pytest.mark.parametrize("page", PAGES)
def test_each_step_names_code_that_exists(page: str) -> None:
    told = rows(page)
    assert len(told) > 15
    for row in told:
        named = NAMED.findall(row[-1])
        assert named, row
        assert NAMED.sub("", row[-1]).strip() == "", f"only names of code stand under `where`: {row}"
        for dotted in named:
            assert found(dotted) is not None


@pytest.mark.parametrize("page", PAGES)
def test_the_steps_are_numbered_without_a_gap_and_pages_that_are_linked_exist(page: str) -> None:
    steps = [int(row[0]) for row in rows(page) if row[0].isdigit()]
    assert steps == list(range(1, len(steps) + 1))
    for link in re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / link).exists(), link
