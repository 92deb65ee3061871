"""The feeds of this run's plugins: one process for each plugin that has any, under the supervisor's eye (CON-17).

They are no safety loops: whatever becomes of them, entries go on, and who needs a reading abstains without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from polyhost.extension.discovery import LoadedPlugin
from polyhost.extension.feeds import FeedProcess
from polyhost.model.reading import FeedConfig, Reading
from polyhost.service.supervision import Supervisor

FEEDS_SILENT_S: Final = 90.0
"""The feeds of a plugin did not all show life for this long, wall seconds: longer than one lets a feed be silent."""


class ExtraFeeds:
    """All of them; without such plugins there is nothing to it."""

    def __init__(self, plugins: Iterable[LoadedPlugin], config: FeedConfig, hear: Callable[[Reading], None]) -> None:
        self._config = config
        self._hear = hear
        self._processes = [self._process(plugin) for plugin in plugins if _feeds(plugin)]

    def _process(self, plugin: LoadedPlugin) -> FeedProcess:
        return FeedProcess(plugin, self._config, self._hear)

    def supervise(self, supervisor: Supervisor) -> None:
        """Start them and keep them going."""
        for process in self._processes:
            supervisor.task(_loop(process.plugin), process.run, FEEDS_SILENT_S)

    async def change(self, supervisor: Supervisor, old: LoadedPlugin | None, new: LoadedPlugin | None) -> None:
        """A plugin's feeds end, another's (or the same one's, set up anew) begin; None: there is none."""
        if old is not None and _feeds(old):
            await supervisor.drop(_loop(old))
            self._processes = [process for process in self._processes if process.plugin is not old]
        if new is not None and _feeds(new):
            process = self._process(new)
            self._processes.append(process)
            supervisor.task(_loop(new), process.run, FEEDS_SILENT_S)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of each plugin's feeds: running, age_s, readings, dropped, refused, restarts, problem."""
        return {process.plugin.name: process.figures() for process in self._processes}


def _feeds(plugin: LoadedPlugin) -> bool:
    return plugin.runs and "feeds" in plugin.hooks


def _loop(plugin: LoadedPlugin) -> str:
    return f"feeds of {plugin.name}"
