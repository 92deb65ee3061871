"""EXI-11 for every plugin: times scale with the window's length, and every default has its place in every window."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from plugin_builders import view

from polyhost import Settings, Setup
from polyhost.configuration import load_configuration
from polyhost.configuration.rules import scaled_s
from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
from polyhost.meanings import meaning

TIME = re.compile(r"_s(_min|_max)?$")
SAYS_SCALED = re.compile(r"15-minute windows")
SCALING = ("scaled_s",)
TIMES = [
    (name, key) for name in SHIPPED_PLUGINS for key, field in shipped_class(name).Settings.model_fields.items()
    if TIME.search(key) and field.annotation in (int, float)
]
"""Every setting that is a number of seconds."""


def says(name: str, key: str) -> str:
    return meaning(shipped_class(name).Settings, key)


def uses(name: str, key: str) -> list[bool]:
    """For each place where a plugin's hooks read a time: is it what is scaled there?"""
    kind = shipped_class(name)
    tree = ast.parse(inspect.getsource(inspect.getmodule(kind)))  # type: ignore[arg-type]
    scaled = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in SCALING
        for argument in node.args for part in ast.walk(argument)
    }
    # "0: not at all" is 0 at any length.
    compared = {
        id(node.left) for node in ast.walk(tree) if isinstance(node, ast.Compare)
        and all(isinstance(other, ast.Constant) and other.value == 0 for other in node.comparators)
    }
    return [
        id(node) in scaled for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == key
        and ast.unparse(node.value) in ("self.settings", "settings") and id(node) not in compared
    ]


def test_there_are_times_to_look_at() -> None:
    assert {("reversal", "stand_s"), ("exit_plan", "age_min_s"), ("expiry_guard", "age_max_s")} <= set(TIMES)


@pytest.mark.parametrize(("name", "key"), TIMES)
def test_exi_11_a_time_written_for_15_minute_windows_is_scaled_wherever_it_is_used_and_no_other_is(
    name: str, key: str
) -> None:
    places = uses(name, key)
    if SAYS_SCALED.search(says(name, key)):
        assert places, "nothing uses it"
        assert all(places), f"{name}.{key} is used as it stands somewhere"
    else:
        assert not any(places), f"{name}.{key} is scaled, and its docstring does not say so"


@pytest.mark.parametrize("seconds", [60.0, 120.0, 300.0])
def test_exi_11_the_scale_is_a_third_at_5_minutes_and_1_from_15_minutes_on(seconds: float) -> None:
    assert view(minutes=5).scaled_s(seconds) == scaled_s(seconds, 300) == seconds / 3
    for minutes in (15, 60, 240, 1_440):
        assert view(minutes=minutes).scaled_s(seconds) == scaled_s(seconds, minutes * 60) == seconds
    for duration_s in (300, 900, 14_400):
        setup = Setup("x", duration_s, 0, 0)
        assert setup.scaled_s(seconds) == scaled_s(seconds, duration_s)


@pytest.mark.parametrize("duration", ["5m", "15m", "1h", "4h", "1d"])
def test_exi_11_every_default_of_every_plugin_can_fire_in_windows_of_every_length(
    duration: str, tmp_path: Path
) -> None:
    """Plugins that are off by default included."""
    file = tmp_path / "all.toml"
    tables = "".join(f"[plugins.{name}]\nenabled = true\n" for name in SHIPPED_PLUGINS)
    file.write_text(f"[markets]\ndurations = [{duration!r}]\n{tables}")
    assert load_configuration(file, env={}).configuration.markets.durations == (duration,)


@pytest.mark.parametrize("duration_s", [300, 900])
@pytest.mark.parametrize("name", SHIPPED_PLUGINS)
def test_exi_11_every_default_time_lies_within_the_window(name: str, duration_s: int) -> None:
    settings: Settings = shipped_class(name).Settings()
    for key in (key for of, key in TIMES if of == name and SAYS_SCALED.search(says(name, key))):
        value = getattr(settings, key)
        assert 0 <= scaled_s(value, duration_s) < duration_s
