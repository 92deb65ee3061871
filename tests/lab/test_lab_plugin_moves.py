"""A replay's plugins come and go as the recorded run's did (EVD-04), whatever the configuration says now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polyhost.configuration import Loaded, load_configuration
from polyhost.lab.plugins import RunningPlugins, as_begun, running, with_table
from polyhost.model.records import PluginMoved

CODE = """
from polyhost import *

class Knobs(Settings):
    weight: float = 0.5
    market: str = ""

class Mine(Plugin):
    name = "mine"
    Settings = Knobs

    @hookimpl
    def on_day(self, day, at):
        self.state["days"] = 1
"""
MARKET = "0x" + "5e" * 32
"""A condition id looks like a key, and is hidden in journals."""
FILE = """\
plugin_paths = ["mine.py"]
[plugins.mine]
trusted = true
weight = 0.25
market = "MARKET"
""".replace("MARKET", MARKET)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "polyhost.toml").write_text(FILE)
    return load_configuration(tmp_path / "polyhost.toml", env={})


@pytest.fixture
def plugins(loaded: Loaded) -> Iterator[RunningPlugins]:
    with running(loaded) as found:
        yield found


def moved(change: str, was: str = "", table: str = "") -> PluginMoved:
    return PluginMoved(1, "mine", change, "ann", "", was, table)


def states(plugins: RunningPlugins) -> dict[str, str]:
    return {status.name: status.state for status in plugins._all.status()}


def test_evd_04_what_operators_changed_since_is_taken_back(loaded: Loaded) -> None:
    moves = [
        moved("quarantined"), moved("set", '{"weight": 0.75}', '{"weight": 0.25}'),
        moved("disabled", '{"weight": 0.25}', '{"enabled": false}'),
    ]
    begun = as_begun(loaded, moves)
    assert begun.configuration.plugins["mine"] == {"weight": 0.75}, "as it was before the first of them"
    assert list(begun.configuration.plugins) == list(loaded.configuration.plugins)
    assert "mine" not in as_begun(loaded, [moved("enabled", "", "{}")]).configuration.plugins
    assert as_begun(loaded, [moved("released")]) is loaded


def test_evd_04_what_was_hidden_is_taken_from_the_configuration_of_now(loaded: Loaded) -> None:
    table = with_table(loaded, "mine", '{"trusted": true, "weight": 0.5, "market": "(hidden)"}')
    assert table.configuration.plugins["mine"] == {"trusted": True, "weight": 0.5, "market": MARKET}


def test_evd_04_plugins_come_go_and_are_out_of_service_as_recorded(plugins: RunningPlugins) -> None:
    assert states(plugins)["mine"] == "inline"
    plugins.moved(moved("quarantined"), {})
    assert states(plugins)["mine"] == "quarantined"
    plugins.moved(moved("released"), {})
    assert states(plugins)["mine"] == "inline"
    plugins.moved(moved("disabled", table='{"enabled": false, "trusted": true}'), {})
    assert states(plugins)["mine"] == "disabled"
    plugins.moved(moved("released"), {})
    plugins.moved(moved("enabled", table='{"trusted": true, "weight": 0.75}'), {"days": "3"})
    assert states(plugins)["mine"] == "inline"
    mine = next(plugin for plugin in plugins._found if plugin.name == "mine")
    assert mine.settings["weight"] == 0.75
    assert mine.durable is not None
    assert mine.durable.texts() == {"days": "3"}


def test_evd_04_a_plugin_that_cannot_be_set_up_as_it_was_is_told_and_the_replay_goes_on(
    plugins: RunningPlugins
) -> None:
    from loguru import logger

    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    try:
        plugins.moved(moved("set", table='{"trusted": true, "wieght": 1}'), {})
    finally:
        logger.remove(sink)
    assert "mine cannot be set up as it was" in said[0]
    assert states(plugins)["mine"] == "inline"
