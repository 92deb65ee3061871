"""Who may import whom: the direction of the layers, a home for each library, a pure kernel, light commands, no cycles.

The rules are tables; the checker reads imports from the source and runs nothing. Its own tests at the end show that it
can fail.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
BASE: Final = frozenset(
    {"model", "allocator", "errors", "files", "frames", "collecting", "settings", "hooks", "plugin"}
)
"""What any layer above the kernel may know: values, faults, typed settings and the contract with plugins."""
PARTS: Final = frozenset({"kernel", "extension", "journal", "venue", "exchange", "configuration"})
MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"model", "hooks", "plugin", "polling", "secret"}),
    "model": frozenset(),
    "allocator": frozenset(),
    "errors": frozenset(),
    "files": frozenset(),
    "frames": frozenset(),
    "collecting": frozenset(),
    "plugin": frozenset({"meanings"}),
    "meanings": frozenset(),
    "polling": frozenset(),
    "secret": frozenset({"meanings", "model"}),
    "wording": frozenset({"model", "errors", "secret"}),
    "hooks": frozenset({"model"}),
    "settings": frozenset({"model", "meanings"}),
    "kernel": frozenset({"model", "settings"}),
    "extension": BASE | {"secret", "wording"},
    "journal": BASE | {"secret"},
    "venue": BASE | {"secret"},
    "exchange": BASE,
    "configuration": BASE | {"meanings", "secret", "wording"},
    "lab": BASE | PARTS,
    "service": BASE | PARTS | {"lab", "secret", "wording"},
    "web": BASE | PARTS | {"lab", "service", "secret"},
    "testing": BASE | PARTS | {"lab", "service", "secret"},
    "cli": BASE | PARTS | {"lab", "service", "web", "testing"},
    "__main__": frozenset({"cli"}),
}
"""Package → packages of the host that it may import. A package that is not listed is not agreed upon."""
VERSION_ONLY: Final = frozenset({"journal", "lab", "service", "cli", "testing"})
"""May say ``from polyhost import __version__``."""
HOME: Final[Mapping[str, frozenset[str]]] = {
    "pluggy": frozenset({"extension", "hooks"}),
    "peewee": frozenset({"journal"}),
    "psycopg": frozenset({"journal"}),
    "polars": frozenset({"journal"}),
    "polymarket": frozenset({"venue"}),
    "py_clob_client_v2": frozenset({"venue"}),
    "httpx": frozenset({"venue", "polling"}),
    "websockets": frozenset({"venue"}),
    "aiohttp": frozenset({"exchange"}),
    "rich": frozenset({"service"}),
    "plotext": frozenset({"service"}),
    "matplotlib": frozenset({"web"}),
    "typer": frozenset({"cli"}),
    "prometheus_client": frozenset({"service"}),
    "tomli_w": frozenset({"cli", "configuration"}),
}
"""Libraries that only these packages know; replacing one touches nothing else."""
PURE: Final = frozenset(
    {"__future__", "bisect", "collections", "enum", "functools", "heapq", "itertools", "math", "msgspec", "operator",
     "re", "typing"}
)
"""All that a kernel without clock, randomness and input or output needs besides model and settings."""
SEEDED: Final = PURE | {"array", "datetime", "eth_keys", "hashlib", "loguru", "random"}
"""The simulated exchange's core may also draw from its own seed, sign, write dates and log; it has no clock either."""
CLOCKS: Final = frozenset({"now", "utcnow", "today"})
LIGHT: Final = frozenset({"", "cli", "errors"})
"""All of the host that a command may import before it is called; of libraries only typer."""


class Import(NamedTuple):
    """One import statement's target, seen from a file."""

    target: str
    line: int
    top: bool
    """Executed when the module is imported (not inside a function, not only for type checkers)."""
    names: tuple[str, ...]


def imports_of(source: str) -> Iterator[Import]:
    """Every import in a source text; relative ones come with their dots."""
    yield from _walk(ast.parse(source), top=True)


def _walk(node: ast.AST, *, top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, top, ())
        elif isinstance(child, ast.ImportFrom):
            target = "." * child.level + (child.module or "")
            yield Import(target, child.lineno, top, tuple(alias.name for alias in child.names))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for part in child.body:
                yield from _walk(ast.Module([part], []), top=False)
            for part in child.orelse:
                yield from _walk(ast.Module([part], []), top=top)
        else:
            yield from _walk(child, top=top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def package_of(module: str) -> str:
    """``polyhost.kernel.core`` → ``kernel``; the package itself → an empty text."""
    return module.split(".")[1] if "." in module else ""


def wrong_imports(module: str, source: str) -> list[str]:
    """What this module may not import, and why; empty when all is well. ``module``: its dotted name."""
    if module.partition(".")[0] == "polyhost_plugins":
        return [f"{module}:{one.line} imports {one.target}; plugins import `from polyhost import …` only"
                for one in imports_of(source) if not _plugin_may(one)]
    package = package_of(module)
    problems = []
    for one in imports_of(source):
        root = one.target.partition(".")[0]
        if root == "polyhost":
            problem = _inside(package, one)
        elif root in ("polyhost_plugins", "") or one.target.startswith("."):
            problem = "the host names plugins by entry points and modules in full"
        else:
            problem = _outside(module, package, root)
        if not problem and package == "cli" and one.top and not _light(one.target):
            problem = "a command imports what does its work inside its function"
        if problem:
            problems.append(f"{module}:{one.line} imports {one.target}: {problem}")
    return problems


PLUGIN_LIBRARIES = frozenset({"pydantic", "talipp"})
"""Beside the standard library: settings, and indicators."""


def _plugin_may(one: Import) -> bool:
    root = one.target.partition(".")[0]
    return one.target == "polyhost" or root in PLUGIN_LIBRARIES or root in sys.stdlib_module_names


def _inside(package: str, one: Import) -> str:
    if package not in MAY_IMPORT:
        return f"{package} is no agreed package of the host"
    targets = {package_of(one.target)} if one.target != "polyhost" else set(one.names)
    if package in VERSION_ONLY:
        targets.discard("__version__")
    if not targets <= set(MAY_IMPORT):
        return "the host's parts import each other by their full names"
    unknown = targets - MAY_IMPORT[package] - {package}
    return f"{package or 'polyhost/__init__'} may not know {', '.join(sorted(unknown))}" if unknown else ""


def _outside(module: str, package: str, root: str) -> str:
    if root in HOME and package not in HOME[root]:
        return f"only {' and '.join(sorted(HOME[root]))} may know {root}"
    if package == "kernel" and root not in PURE:
        return "the kernel has no clock, no randomness and no input or output"
    if package == "exchange" and not module.startswith("polyhost.exchange.server") and root not in SEEDED:
        return "the exchange's core has no clock and no input or output"
    if root == "logging" and module != "polyhost.service.logs":
        return "loguru is the only logger"
    return ""


def _light(target: str) -> bool:
    root = target.partition(".")[0]
    return package_of(target) in LIGHT if root == "polyhost" else root == "typer" or root in sys.stdlib_module_names


def reads_a_clock(source: str) -> list[int]:
    """Lines that ask ``datetime`` or ``date`` for the present moment."""
    return [
        node.lineno for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS
        and isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date")
    ]


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a ring (strongly connected, more than one member)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(graph.get(node, ())):
            if after not in index:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in stack:
                low[node] = min(low[node], index[after])
        if low[node] == index[node]:
            group = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def modules() -> dict[str, str]:
    """Dotted name → source of everything that is shipped."""
    found = {}
    for root in (ROOT / "host", ROOT / "plugins"):
        for file in root.rglob("*.py"):
            name = ".".join(file.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file.read_text(encoding="utf-8")
    return found


MODULES: Final = modules()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_its_layer_may_know(module: str) -> None:
    assert wrong_imports(module, MODULES[module]) == []


def test_no_modules_import_each_other_in_a_ring() -> None:
    graph = {
        name: {target for one in imports_of(source) if one.top for target in _targets(one)} & set(MODULES)
        for name, source in MODULES.items()
    }
    assert cycles(graph) == []


def test_no_packages_import_each_other_in_a_ring_not_even_inside_functions() -> None:
    graph: dict[str, set[str]] = {}
    for name, source in MODULES.items():
        for one in imports_of(source):
            ours = one.target.startswith("polyhost.")
            if ours and package_of(name) and package_of(one.target) != package_of(name):
                graph.setdefault(package_of(name), set()).add(package_of(one.target))
    assert cycles(graph) == []


def _targets(one: Import) -> set[str]:
    """``from a import b`` needs the module ``a.b`` when there is one, else what ``a`` itself defines."""
    return {path if (path := f"{one.target}.{name}") in MODULES else one.target for name in one.names} or {one.target}


def test_no_module_of_a_deterministic_part_reads_a_clock() -> None:
    asked = {
        name: lines for name, source in MODULES.items()
        if package_of(name) in ("model", "kernel", "exchange") and not name.startswith("polyhost.exchange.server")
        and (lines := reads_a_clock(source))
    }
    assert asked == {}


def test_durable_state_has_one_mutator() -> None:
    """``apply`` is called by the turn that records, by recovery, and by the judge of simulations on a fold of its own;
    nothing else takes it in its hands."""
    users = {
        name for name, source in MODULES.items()
        for one in imports_of(source) if one.target == "polyhost.kernel.state" and "apply" in one.names
    }
    assert users == {"polyhost.kernel.core", "polyhost.kernel.kernel", "polyhost.lab.sim_checks"}


def test_the_packages_of_the_host_are_the_agreed_ones() -> None:
    folder = ROOT / "host" / "polyhost"
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert packages | files <= set(MAY_IMPORT)


# --- the checker can fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("polyhost.model.money", "from polyhost.settings import Table", "model may not know settings"),
        ("polyhost.kernel.core", "from polyhost.journal import Recorder", "kernel may not know journal"),
        ("polyhost.kernel.core", "import time", "no clock"),
        ("polyhost.kernel.core", "def now():\n    from random import random", "no clock"),
        ("polyhost.kernel.core", "import asyncio", "no clock"),
        ("polyhost.kernel.core", "import pluggy", "only extension and hooks may know pluggy"),
        ("polyhost.extension.runner", "from polyhost.kernel.state import State", "extension may not know kernel"),
        ("polyhost.extension.runner", "from polyhost.journal import port", "extension may not know journal"),
        ("polyhost.journal.writer", "if True:\n    from polyhost.venue.clock import VenueClock", "may not know venue"),
        ("polyhost.exchange.core", "from polyhost.kernel import ledger", "exchange may not know kernel"),
        ("polyhost.exchange.core", "import time", "no clock"),
        ("polyhost.venue.clock", "from polyhost.exchange.api import PostOrder", "venue may not know exchange"),
        ("polyhost.venue.clock", "import peewee", "only journal may know peewee"),
        ("polyhost.lab.backtest", "from polyhost.service import engine", "lab may not know service"),
        ("polyhost.service.run", "from polyhost.cli.run import run", "service may not know cli"),
        ("polyhost.service.run", "import logging", "loguru is the only logger"),
        ("polyhost.lab.replay", "from polyhost import Signal", "by their full names"),
        ("polyhost.lab.replay", "from . import tape", "in full"),
        ("polyhost.extension.table", "from polyhost_plugins.additive import Additive", "entry points"),
        ("polyhost.newpart.thing", "from polyhost.model import money", "no agreed package"),
        ("polyhost.cli.run", "from polyhost.service.run import run_host", "inside its function"),
        ("polyhost.cli.run", "import rich", "only service may know rich"),
        ("polyhost_plugins.mine", "from polyhost.model.view import View", "from polyhost import"),
        ("polyhost_plugins.mine", "from polyhost_plugins.additive import Additive", "from polyhost import"),
        ("polyhost_plugins.mine", "import requests", "from polyhost import"),
    ],
)
def test_a_wrong_import_is_named_with_its_line_and_reason(module: str, source: str, said: str) -> None:
    (problem,) = wrong_imports(module, source)
    assert said in problem
    assert problem.startswith(f"{module}:{len(source.splitlines())} ")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("polyhost.kernel.core", "from heapq import heappop\nfrom polyhost.model.money import Micros"),
        ("polyhost.cli.run", "def run():\n    from polyhost.service.run import run_host"),
        ("polyhost.cli.tape", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import polyhost.lab.tape"),
        ("polyhost.service.run", "from polyhost import __version__"),
        ("polyhost_plugins.mine", "from polyhost import Signal, hookimpl\nfrom pydantic import Field\nimport math"),
    ],
)
def test_a_right_import_is_none_of_its_business(module: str, source: str) -> None:
    assert wrong_imports(module, source) == []


def test_a_look_at_the_clock_is_found() -> None:
    assert reads_a_clock("a = 1\nb = datetime.now(UTC)") == [2]
    assert reads_a_clock("at = datetime.fromtimestamp(0, UTC)\nthis = exchange.now") == []


def test_a_ring_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
