"""The shipped file, the built-in defaults and the settings reference say the same."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from polyhost.configuration import SHIPPED_PLUGINS, load_configuration
from polyhost.configuration.docs import page
from polyhost.configuration.shipped import OFF_BY_DEFAULT, shipped_class
from polyhost.settings import Configuration

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "config" / "polyhost.toml"
COMMENTED = re.compile(r"^# (?=[a-z0-9_]+ = )", re.MULTILINE)


@pytest.fixture
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.chdir(tmp_path)
    return load_configuration(None, env={}).configuration


def test_the_shipped_file_equals_the_defaults_and_has_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from_nothing, from_file = load_configuration(None, env={}), load_configuration(SHIPPED, env={})
    assert from_file.configuration == from_nothing.configuration
    assert list(from_file.configuration.plugins) == list(from_nothing.configuration.plugins)
    assert from_file.config_hash == from_nothing.config_hash


def test_the_shipped_file_names_every_setting_of_the_host(defaults: Configuration) -> None:
    loaded = load_configuration(SHIPPED, env={})
    unnamed = [key for key, origin in loaded.origin.items() if origin == "default"]
    assert unnamed == []


def test_the_shipped_plugins_are_enabled_in_the_order_of_precedence(defaults: Configuration) -> None:
    assert tuple(defaults.plugins) == SHIPPED_PLUGINS
    off = {name for name, table in defaults.plugins.items() if not table.get("enabled", True)}
    assert off == OFF_BY_DEFAULT


@pytest.mark.parametrize("name", sorted(OFF_BY_DEFAULT))
def test_a_plugin_that_is_off_by_default_runs_where_a_file_names_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"[plugins.{name}]\n")
    assert load_configuration(file, env={}).configuration.plugins[name].get("enabled", True)


def test_the_shipped_plugins_are_the_installed_entry_points_of_this_distribution() -> None:
    mine = {point.name for point in entry_points(group="polyhost") if point.dist and point.dist.name == "polyhost"}
    assert mine == set(SHIPPED_PLUGINS)
    assert {shipped_class(name).name for name in SHIPPED_PLUGINS} == mine


def uncommented(tmp_path: Path) -> dict[str, dict[str, Any]]:
    file = tmp_path / "uncommented.toml"
    file.write_text(COMMENTED.sub("", SHIPPED.read_text()))
    return load_configuration(file, env={}).configuration.plugins


@pytest.mark.parametrize("name", SHIPPED_PLUGINS)
def test_the_commented_values_are_all_the_settings_of_a_plugin_at_their_defaults(name: str, tmp_path: Path) -> None:
    table = {key: value for key, value in uncommented(tmp_path)[name].items() if key != "enabled"}
    settings = shipped_class(name).Settings
    assert set(table) == set(settings.model_fields)
    assert settings.model_validate(table) == settings()


def test_cfg_01_the_defaults_are_those_of_the_requirements(defaults: Configuration) -> None:
    """The table "Defaults"; a change here is a decision, not a refactoring."""
    assert defaults.markets.symbols == ("BTC", "ETH")
    assert defaults.markets.durations == ("5m", "15m")
    assert [str(x) for x in (defaults.limits.window, defaults.limits.symbol, defaults.limits.total)] == [
        "50.000000", "100.000000", "300.000000",
    ]
    assert str(defaults.exchange.cash) == "1000.000000"
    policy = shipped_class("entry_policy").Settings().model_dump()
    assert policy == {
        "confidence_min": 0.30, "edge_min": 0.02, "not_first_s": 30.0, "not_last_s": 180.0, "through_ticks": 1,
        "style": "fak", "rest_s": 0.0, "again_after_s": 60.0,
    }
    assert str(shipped_class("fixed_size").Settings().model_dump()["stake"]) == "25.000000"


def test_the_settings_reference_is_current() -> None:
    """Else: ``python -m polyhost.configuration.docs > docs/settings.md``."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page()


def test_every_setting_has_a_meaning_in_the_reference() -> None:
    empty = [line for line in page().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert empty == []
