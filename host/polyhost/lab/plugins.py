"""The plugins of a backtest: the runner of a real run, asked at once and without an event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from polyhost.configuration import Loaded
from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import discover
from polyhost.extension.runner import Runner, facts_of
from polyhost.hooks import TELLING
from polyhost.model.commands import Remember, Tell
from polyhost.model.events import Evaluated, PluginStruck, PluginTold
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


@contextmanager
def running(loaded: Loaded) -> Iterator[InlinePlugins]:
    """The configured plugins, started; stopped at the end. Raises ConfigError or PluginError."""
    configuration = loaded.configuration
    found = discover(configuration, loaded.base, str(loaded.path or ""), places=loaded.place)
    runner = Runner(found, configuration.evaluation.combiner)
    told = frozenset(hook for plugin in found if plugin.runs for hook in plugin.hooks if hook in TELLING)
    runner.start()
    try:
        yield InlinePlugins(runner, told, channels_of(found))
    finally:
        runner.stop()
