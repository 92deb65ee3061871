"""The lines that give the guarantees are where the mutation check looks for them, and all are on its page."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from check import ROOT, TABLE, applied
from guarantees import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_guarantee_can_still_be_broken(mutation: Mutation) -> None:
    """Exactly one place, and what comes out is a program."""
    text = (ROOT / "host" / "polyhost" / mutation.file).read_text(encoding="utf-8")
    broken = applied(mutation, text)
    assert broken != text
    ast.parse(broken)


def test_every_broken_guarantee_was_noticed_by_somebody() -> None:
    rows = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [mutation.name for mutation in MUTATIONS]
    assert [row for row in rows if row.count("nobody") + row.count("not asked") == 2] == []
