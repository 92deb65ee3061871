"""Every row of the requirements that is claimed has at least one test that carries its id.

The names of tests say which row they defend (``test_ord_03_…``); this page lists the rows that are claimed today, and
fails with the ids of those that nothing defends.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parents[1]
CLAIMED: Final[dict[str, tuple[int, ...]]] = {
    "CON": tuple(range(1, 17)),
    "ORD": (*range(1, 20), 21, 22, 23),
    "POS": tuple(range(1, 14)),
    "PER": (1, 4, 5, 7),
    "SIM": tuple(range(1, 8)),
}
"""Connectivity, order safety, positions, persistence and the simulated exchange. There is no ORD-20."""
NAMED: Final = re.compile(r"def test_(?:\w*?_)?(con|ord|pos|per|sim)_(\d\d)_", re.IGNORECASE)


def defended(texts: list[str]) -> dict[str, int]:
    """Row id → how many tests carry it."""
    found: dict[str, int] = {}
    for text in texts:
        for kind, number in NAMED.findall(text):
            row = f"{kind.upper()}-{number}"
            found[row] = found.get(row, 0) + 1
    return found


def claimed() -> list[str]:
    return [f"{kind}-{number:02}" for kind, numbers in CLAIMED.items() for number in numbers]


def test_every_claimed_row_has_a_test_that_carries_its_id() -> None:
    found = defended([path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")])
    assert [row for row in claimed() if row not in found] == []


def test_a_row_is_found_at_the_front_of_a_name_and_within_it() -> None:
    texts = ["def test_ord_03_a() -> None: ...", "    def test_u5_and_ord_03_b() -> None: ...", "def test_order_03()"]
    assert defended(texts) == {"ORD-03": 2}
