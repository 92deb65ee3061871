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
        feeding = [plugin for plugin in plugins if plugin.runs and "feeds" in plugin.hooks]
        self._processes = [FeedProcess(plugin, config, hear) for plugin in feeding]

    def supervise(self, supervisor: Supervisor) -> None:
        """Start them and keep them going."""
        for process in self._processes:
            supervisor.task(f"feeds of {process.plugin.name}", process.run, FEEDS_SILENT_S)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of each plugin's feeds: running, age_s, readings, dropped, refused, restarts, problem."""
        return {process.plugin.name: process.figures() for process in self._processes}
