"""What is installed is what pyproject.toml says, every import has a declared origin, and every command helps."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points, packages_distributions
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from typer.testing import CliRunner

from polyhost import __version__
from polyhost.cli import main as front

ROOT: Final = Path(__file__).resolve().parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
BEHIND_THE_SCENES: Final[dict[str, str]] = {}
"""Declared though no module imports them, and why."""
COMES_WITH: Final = {"pydantic_core": "pydantic"}
"""Import name → the declared distribution that pins it exactly."""


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def declared() -> set[str]:
    return named(PROJECT["dependencies"])


def extras() -> set[str]:
    """What comes with an extra of its own; who lacks it is told by the command or plugin that needs it."""
    groups = {name: group for name, group in PROJECT["optional-dependencies"].items() if name != "dev"}
    return named([text for group in groups.values() for text in group])


def named(requirements: list[str]) -> set[str]:
    return {normal(found[0]) for text in requirements if (found := NAME.match(text)) is not None}


def third_party() -> Iterator[str]:
    """Top-level names that shipped modules import from elsewhere."""
    for root in (ROOT / "host", ROOT / "plugins"):
        for file in root.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                yield from (name.partition(".")[0] for name in names)


def imported() -> set[str]:
    ours = {"polyhost", "polyhost_plugins"}
    homes = packages_distributions()
    names = {COMES_WITH.get(name, name) for name in set(third_party()) - ours - set(sys.stdlib_module_names)}
    return {normal(homes.get(name, [name])[0]) for name in names}


@pytest.mark.parametrize("group", ["polyhost", "pytest11", "console_scripts"])
def test_the_installed_entry_points_are_those_of_pyproject(group: str) -> None:
    """A new one needs a new installation: ``make`` does it when pyproject.toml is younger than ``.venv``."""
    wanted = PROJECT["scripts"] if group == "console_scripts" else PROJECT["entry-points"][group]
    points = entry_points(group=group)
    assert {point.name: point.value for point in points if point.dist and point.dist.name == "polyhost"} == wanted


def test_the_version_is_told_once() -> None:
    assert PROJECT["version"] == __version__


def test_every_library_that_is_imported_is_declared_and_the_other_way_round() -> None:
    assert imported() - declared() - extras() == set()
    assert declared() - imported() == set(BEHIND_THE_SCENES)


@pytest.mark.parametrize("value", sorted(PROJECT["entry-points"]["polyhost"].values()))
def test_plg_01_every_plugin_says_what_it_is(value: str) -> None:
    module, _, name = value.partition(":")
    kind = getattr(import_module(module), name)
    assert kind.description.strip()
    assert (import_module(module).__doc__ or "").strip()
    hooks = [hook for hook in vars(kind).values() if hasattr(hook, "polyhost_impl")]
    assert hooks
    assert all((getdoc(hook) or "").strip() for hook in hooks)


def commands() -> list[tuple[str, ...]]:
    """Every command and subcommand whose module is there."""
    root = typer.main.get_group(front.app)
    found: list[tuple[str, ...]] = [()]
    for name in root.commands:
        found.append((name,))
        if front.COMMANDS[name].group:
            found += [(name, inner) for inner in front.load(name).commands]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_helps(path: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(front.app, [*path, "--help"])
    assert answer.exit_code == 0, answer.output
    assert f"Usage: polyhost {' '.join(path)}".strip() in answer.stdout
    assert "--help" in answer.stdout


def test_the_commands_of_this_version_are_all_there() -> None:
    assert {" ".join(path) for path in commands()} >= {
        "run", "backtest", "replay", "tape info", "tape check", "exchange serve", "plugins list", "config check",
        "config show", "config init", "config schema", "config diff", "db status", "db check", "status", "why order",
        "why position", "why window", "pause", "resume", "close", "merge", "redeem", "kill",
        "simulate", "selftest crash", "compare", "plugins check", "plugins new", "doctor",
        "bundle", "report", "health", "setup approvals",
        "dashboard",
    }
