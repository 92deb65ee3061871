"""The plugins of a backtest: the runner of a real run, asked at once and without an event loop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from loguru import logger

from polyhost.configuration import Loaded
from polyhost.configuration.recorded import unhidden
from polyhost.errors import ConfigError, PluginError
from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import LoadedPlugin, discover, discover_one, placed, tell_of
from polyhost.extension.runner import Runner, facts_of
from polyhost.hooks import TELLING
from polyhost.model.commands import Remember, Tell
from polyhost.model.events import Evaluated, PluginStruck, PluginTold
from polyhost.model.records import PluginMoved
from polyhost.model.view import View


class InlinePlugins:
    """All plugins of a configuration; see ``running``."""

    def __init__(self, runner: Runner, told_hooks: frozenset[str], channels: tuple[str, ...] = ()) -> None:
        self.told_hooks = told_hooks
        self.channels = channels
        self._runner = runner

    def evaluate(self, view: View) -> Evaluated:
        return self._runner.evaluate_inline(view)

    def tell(self, command: Tell) -> list[PluginTold]:
        return self._runner.tell(command.hook, **facts_of(command))

    def remember(self, command: Remember) -> None:
        self.keep(command.plugin, command.changes)

    def keep(self, plugin: str, changes: Mapping[str, str | None]) -> None:
        """A plugin's durable state is changed from outside: JSON texts by key, None deletes."""
        self._runner.remember(plugin, changes)

    def struck(self) -> list[PluginStruck]:
        return self._runner.take_struck()


class RunningPlugins(InlinePlugins):
    """The plugins of a configuration, which may change as a recorded run's did."""

    def __init__(self, loaded: Loaded, found: tuple[LoadedPlugin, ...]) -> None:
        self._loaded = loaded
        self._found = found
        self._all = Runner(found, loaded.configuration.evaluation.combiner)
        told = frozenset(hook for plugin in found if plugin.runs for hook in plugin.hooks if hook in TELLING)
        super().__init__(self._all, told, channels_of(found))

    def start(self) -> None:
        self._all.start()

    def stop(self) -> None:
        self._all.stop()

    def moved(self, record: PluginMoved, state: Mapping[str, str]) -> None:
        """A plugin comes, goes or is out of service, as a journal says.

        One that cannot be set up as it was then is told and left as it is: that its answers differ is told, too.
        """
        name = record.plugin
        match record.change:
            case "quarantined":
                self._all.quarantine(name, record.why)
            case "released":
                if any(plugin.name == name and plugin.runs for plugin in self._found):
                    self._all.release(name)
            case _:
                try:
                    self._set_up(name, record.table, state)
                except (ConfigError, PluginError) as error:
                    logger.warning("plugin {} cannot be set up as it was: {}", name, error)

    def _set_up(self, name: str, table: str, state: Mapping[str, str]) -> None:
        self._loaded = with_table(self._loaded, name, table)
        configuration = self._loaded.configuration
        plugin = discover_one(name, configuration, self._loaded.base)
        self._found = placed(self._found, plugin, tuple(configuration.plugins))
        for process in self._all.seat(self._found):
            process.close()
        self._all.begin(name)
        self._all.load_state(name, state)


@contextmanager
def running(loaded: Loaded) -> Iterator[RunningPlugins]:
    """The configured plugins, started; stopped at the end. Raises ConfigError or PluginError."""
    found = discover(
        loaded.configuration, loaded.base, str(loaded.path or ""), places=loaded.place, excused=loaded.chosen
    )
    tell_of(found)
    plugins = RunningPlugins(loaded, found)
    plugins.start()
    try:
        yield plugins
    finally:
        plugins.stop()


def with_table(loaded: Loaded, name: str, table: str) -> Loaded:
    """The configuration with this table (JSON; empty: none) for a plugin; what was hidden in it is as it is now."""
    plugins = dict(loaded.configuration.plugins)
    if table:
        plugins[name] = unhidden(json.loads(table), plugins.get(name, {}))
    else:
        plugins.pop(name, None)
    return replace(loaded, configuration=loaded.configuration.model_copy(update={"plugins": plugins}))


def as_begun(loaded: Loaded, moves: Iterable[PluginMoved]) -> Loaded:
    """The configuration as it was when a run began: what its operators changed since is taken back."""
    seen: set[str] = set()
    for move in moves:
        if move.change in ("enabled", "disabled", "set", "accepted") and move.plugin not in seen:
            seen.add(move.plugin)
            loaded = with_table(loaded, move.plugin, move.was)
    return loaded
