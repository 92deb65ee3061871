"""docs/time-classes.md names every duration in the code, its value and which clock it is measured on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "time-classes.md"
SOURCES: Final = (ROOT / "host" / "polyhost", ROOT / "plugins" / "polyhost_plugins")
DURATION: Final = re.compile(r"(?:^|_)(?:ms|s|hours)(?:_max|_min)?$|^timeout$", re.IGNORECASE)
ROW: Final = re.compile(r"\| `([^`]+)` \| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
CLASSES: Final = ("market", "transport")
HEAPS: Final = {"at_market": "market", "at_wall": "transport"}
"""The kernel's two heaps of deadlines and the clock of each."""


class Duration(NamedTuple):
    """One number of milliseconds, seconds or hours in the code."""

    file: str
    name: str
    value: str
    said: str
    """The docstring under it; empty when there is none."""


def durations(file: str, source: str) -> Iterator[Duration]:
    """Constants and defaults whose name says ms, s or hours; zero and None are no durations."""
    yield from _in_body(file, "", ast.parse(source).body)


def _in_body(file: str, prefix: str, body: list[ast.stmt]) -> Iterator[Duration]:
    for statement, after in zip_longest(body, body[1:]):
        if isinstance(statement, ast.ClassDef):
            yield from _in_body(file, f"{prefix}{statement.name}.", statement.body)
            continue
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        if not isinstance(target, ast.Name) or not DURATION.search(target.id):
            continue
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        value = statement.value
        if value is not None and (text := shown(value)):
            yield Duration(file, prefix + target.id, text, _docstring(after))


def _docstring(after: ast.stmt | None) -> str:
    told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    return str(after.value.value) if told else ""  # type: ignore[union-attr]


def shown(value: ast.expr) -> str:
    """The numbers of a value as the page writes them; empty for zero, None and what is no number."""
    if isinstance(value, ast.Call):
        named = {keyword.arg: keyword.value for keyword in value.keywords}
        if "default" in named:
            return shown(named["default"])
        return ", ".join(f"{name} {shown(given)}" for name, given in named.items())
    if isinstance(value, ast.Dict):
        return ", ".join(dict.fromkeys(shown(each) for each in value.values))
    if isinstance(value, ast.Tuple):
        return ", ".join(_number(each) or "0" for each in value.elts)
    try:
        return _number(value)
    except ValueError:
        return ""


def _number(value: ast.expr) -> str:
    number: Any = eval(compile(ast.Expression(value), "", "eval"), {"__builtins__": {}}) if _plain(value) else None
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise ValueError
    return f"{number:,.10g}" if number else ""


def _plain(value: ast.expr) -> bool:
    """Only numbers and what joins them: evaluating it can do nothing else."""
    allowed = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
    return all(isinstance(node, allowed) for node in ast.walk(value))


def in_code() -> dict[tuple[str, str], Duration]:
    found = {}
    for root in SOURCES:
        for file in sorted(root.rglob("*.py")):
            path = file.relative_to(root.parent).as_posix().removeprefix("polyhost/")
            for one in durations(path, file.read_text(encoding="utf-8")):
                found[(one.file, one.name)] = one
    return found


def on_page(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(file, name) → (value, class)."""
    rows = {}
    for line in text.splitlines():
        if (match := ROW.fullmatch(line)) is not None:
            file, name, value, kind, meaning = (part.strip() for part in match.groups())
            assert (file, name) not in rows, f"twice: {file} {name}"
            assert meaning
            rows[(file, name)] = (value, kind)
    return rows


CODE: Final = in_code()
TOLD: Final = on_page(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}


def test_every_duration_of_the_code_is_on_the_page_and_no_other() -> None:
    missing = [
        f"| `{one.file}` | `{one.name}` | {one.value} | market or transport | {' '.join(one.said.split())} |"
        for key, one in CODE.items() if key not in TOLD
    ]
    assert missing == [], "rows for docs/time-classes.md, each with its clock:\n" + "\n".join(missing)
    assert set(TOLD) - set(CODE) == set(), "rows of durations that are gone"


def test_every_value_on_the_page_is_the_codes() -> None:
    assert {key: value for key, (value, _) in TOLD.items()} == {key: one.value for key, one in CODE.items()}


def test_every_duration_is_of_one_class_and_the_code_does_not_say_the_other() -> None:
    for key, (_, kind) in TOLD.items():
        assert kind in CLASSES, key
        said = CODE[key].said.lower()
        wall = "wall" in said or "transport" in said
        market = any(word in said for word in ("market ms", "market time", "market seconds"))
        assert not (wall and not market and kind == "market"), (key, said)
        assert not (market and not wall and kind == "transport"), (key, said)


def deadlines() -> Iterator[tuple[str, ast.Call]]:
    """(file, call) of every deadline that the kernel sets."""
    for file in sorted((SOURCES[0] / "kernel").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in HEAPS:
                yield f"kernel/{file.name}", node


def heap(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def test_the_kernel_has_no_deadline_without_a_name() -> None:
    """Every number that is added to now has a name, a reason and a row on the page."""
    nameless = [
        (file, call.lineno) for file, call in deadlines() for part in ast.walk(call.args[0])
        if isinstance(part, ast.Constant) and part.value not in (0, 1, 2)
    ]
    assert nameless == []


def test_the_kernel_sets_each_deadline_on_the_clock_of_its_class() -> None:
    checked = 0
    for file, call in deadlines():
        for part in ast.walk(call.args[0]):
            name = part.id if isinstance(part, ast.Name) else getattr(part, "attr", "")
            argument = isinstance(part, ast.Name) and name.islower()
            if DURATION.search(name) and not argument:
                assert {kind for key, (_, kind) in TOLD.items() if known(key, file, name)} == {HEAPS[heap(call)]}, name
                checked += 1
    assert checked >= 10


def known(key: tuple[str, str], file: str, name: str) -> bool:
    """The row of a constant of this file, or of a setting."""
    return key[1].split(".")[-1] == name and key[0] in (file, "settings.py", "kernel/volatile.py", "kernel/breakers.py")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("WAIT_MS: Final = 1_500\n", [("WAIT_MS", "1,500")]),
        ('STEPS_MS = (0, 250)\n"""Wall ms."""\n', [("STEPS_MS", "0, 250")]),
        ("LONG_S = 15 * 86_400\n", [("LONG_S", "1,296,000")]),
        ("class Pace(Struct):\n    ping_s: float = 10.0\n    at_ms: int = 0\n", [("Pace.ping_s", "10")]),
        ("class T(Table):\n    age_ms_max: int = Field(default=9, gt=0)\n", [("T.age_ms_max", "9")]),
        ("TIMEOUT = Timeout(connect=5.0, read=10.0)\n", [("TIMEOUT", "connect 5, read 10")]),
        ("COUNT = 5\nNAMES_S: Final = names()\ndef f():\n    LOCAL_S = 4\n", []),
    ],
)
def test_a_duration_is_found_wherever_it_stands(source: str, found: list[tuple[str, str]]) -> None:
    assert [(one.name, one.value) for one in durations("a.py", source)] == found
