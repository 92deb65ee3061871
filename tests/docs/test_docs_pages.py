"""docs/dependencies.md names what pyproject.toml declares; docs/decisions are numbered and have their three parts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES: Final = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
DECISIONS: Final = sorted((ROOT / "docs" / "decisions").glob("*.md"))


def names(requirements: list[str]) -> list[str]:
    return sorted(re.split(r"[^A-Za-z0-9._-]", text)[0] for text in requirements)


def rows(heading: str) -> list[list[str]]:
    part = DEPENDENCIES.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:2] == "| "]
    return cells[2:]


@pytest.mark.parametrize(
    ("heading", "declared"),
    [("To run", PROJECT["dependencies"]), ("To develop", PROJECT["optional-dependencies"]["dev"])],
)
def test_every_dependency_has_its_row_with_a_reason(heading: str, declared: list[str]) -> None:
    told = rows(heading)
    assert sorted(row[0] for row in told) == names(declared)
    assert all(len(row) == 3 and all(row) for row in told)


def test_every_dependency_is_pinned_by_hash_and_without_an_address() -> None:
    for file, declared in (
        ("requirements.txt", PROJECT["dependencies"]),
        ("requirements-dev.txt", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
    ):
        text = (ROOT / file).read_text(encoding="utf-8")
        pinned = re.findall(r"^([A-Za-z0-9._-]+)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert set(names(declared)) <= set(pinned)
        assert "://" not in text
        assert len(pinned) == len(re.findall(r"^[A-Za-z0-9._-]+==", text, re.MULTILINE)), "one without a hash"


def test_what_comes_with_an_extra_is_pinned_by_hash_too() -> None:
    """Whoever installs one by the requirements of development gets what the tests ran with."""
    extras = [text for group in PROJECT["optional-dependencies"].values() for text in group]
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    assert {name for name in names(extras) if f"\n{name}==" not in text} == set()


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_context_decision_and_consequence(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]} ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequence"]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_names_files_that_exist(page: Path) -> None:
    for path in re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)+(?:\.py|\.md)?)`", page.read_text(encoding="utf-8")):
        assert any((root / path).exists() for root in (ROOT, ROOT / "host" / "polyhost")), path
