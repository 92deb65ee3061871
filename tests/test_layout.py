"""What stands at the top of the tree, and what no file may mention: paths of a machine, hosts of package indexes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
AGREED: Final = re.compile(
    r"pyproject\.toml|host|plugins|config|tests|docs|README\.md|Makefile|CHANGELOG\.md|LICENSE|\.ci|\.gitignore"
    r"|\.gitattributes|\.editorconfig|\.pre-commit-config\.yaml|requirements.*\.txt|\.python-version|\.dockerignore"
    r"|Dockerfile"
)
PARTS: Final = (
    ("/wo" + "rk/",), ("/fa" + "rm/",), ("/ro" + "ot/",), ("/ho" + "me/", r"\w"), ("pythonho" + "sted",),
    ("py" + "pi", r"\.org"), ("regis" + "try", r"\.npm"), ("deb", r"\.debi" + "an"), ("[Cc]lau" + "de",),
    ("[Aa]nthro" + "pic",), (r"\bL" + "LM", " wrote", r"\b"), ("AI", "[- ]assi" + "st"),
)
"""In pieces, so that this file does not mention them either."""
FORBIDDEN: Final = re.compile("|".join("".join(pieces) for pieces in PARTS))


def tracked() -> list[Path]:
    """Every file under version control that is there; skips where the tree is no checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nothing says which files belong to the project")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def mentions(text: str) -> list[str]:
    """The lines that mention what they must not, with their numbers."""
    return [f"{number}: {line[:160]}" for number, line in enumerate(text.splitlines(), 1) if FORBIDDEN.search(line)]


def strangers(names: set[str]) -> set[str]:
    """Names at the top that are not agreed upon."""
    return {name for name in names if not AGREED.fullmatch(name)}


def test_nothing_but_the_agreed_names_stands_at_the_top() -> None:
    assert strangers({path.relative_to(ROOT).parts[0] for path in tracked()}) == set()


def test_no_file_mentions_a_machine_or_a_package_index() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in tracked() if (lines := mentions(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert found == {}


def test_every_test_file_has_a_name_of_its_own() -> None:
    """They are imported by name: two of one name would hide each other."""
    names = [path.name for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] == "tests"]
    assert sorted(name for name in set(names) if names.count(name) > 1) in ([], ["conftest.py"])


@pytest.mark.parametrize("pieces", PARTS, ids=range(len(PARTS)))
def test_each_forbidden_mention_is_found(pieces: tuple[str, ...]) -> None:
    text = re.sub(r"\\b|\\(?=\.)", "", "".join(pieces)).replace(r"\w", "x")
    text = re.sub(r"\[(.)[^\]]*\]", r"\1", text)
    assert mentions(f"fine\nsee {text} here") == [f"2: see {text} here"]


def test_a_stranger_at_the_top_is_found() -> None:
    assert strangers({"host", "scratch.py", "README.md", "requirements-dev.txt", "node_modules"}) == {
        "scratch.py", "node_modules",
    }
