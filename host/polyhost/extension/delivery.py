"""Delivering notices through plugins of this process: in threads, off the trading path, one at a time a channel."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

from polyhost.extension.containing import contained
from polyhost.extension.specification import Bound
from polyhost.model.records import NoticeRaised

if TYPE_CHECKING:
    from polyhost.extension.discovery import LoadedPlugin

BUSY: Final = "still delivering an earlier notice"
UNKNOWN: Final = "there is no such channel"


class Deliverer:
    """One channel of one plugin: at most one thread at a time; one that never ends blocks its own channel only."""

    def __init__(self, plugin: str, channel: str, bound: Bound) -> None:
        self._name = channel_name(plugin, channel)
        self._channel = channel
        self._bound = bound
        self._notice_id = ""
        self._latest: Future[str] | None = None

    def begin(self, notice: NoticeRaised) -> Future[str]:
        """A future of the problem, empty when delivered.

        A notice that is still under way, or was delivered after nobody waited any more, is not delivered once more.
        """
        latest = self._latest
        if latest is not None and not latest.done() and self._notice_id != notice.notice_id:
            refused: Future[str] = Future()
            refused.set_result(BUSY)
            return refused
        if latest is not None and self._notice_id == notice.notice_id and not (latest.done() and latest.result()):
            return latest
        self._notice_id = notice.notice_id
        self._latest = Future()
        # A daemon: a delivery that hangs must not keep the host from ending.
        # What it logs is about the same account and market as what asked for it.
        threading.Thread(
            target=copy_context().run, args=(self._deliver, notice, self._latest), name=f"notify-{self._name}",
            daemon=True,
        ).start()
        return self._latest

    def _deliver(self, notice: NoticeRaised, result: Future[str]) -> None:
        problem = ""
        try:
            self._bound.by_name({"notice": notice, "channel": self._channel})
        except BaseException as error:  # a plugin may raise anything: it means "ask me again"
            problem = contained(error)
        result.set_result(problem)


def channel_name(plugin: str, channel: str) -> str:
    """How journal and notices call a channel of a plugin."""
    return f"{plugin}:{channel}" if channel else plugin


def channels_of(plugins: Sequence[LoadedPlugin]) -> tuple[str, ...]:
    """Every channel of the notify plugins that run, in configured order."""
    return tuple(
        channel_name(plugin.name, channel)
        for plugin in plugins
        if plugin.runs and "notify" in plugin.hooks
        for channel in plugin.channels
    )
