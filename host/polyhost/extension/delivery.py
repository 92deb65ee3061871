"""Delivering notices through plugins of this process: in a thread, off the trading path, with a time limit."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Final

from msgspec import Struct

from polyhost.extension.answers import described
from polyhost.extension.specification import Bound
from polyhost.model.records import NoticeRaised

BUSY: Final = "still delivering an earlier notice"


class DeliveryFailed(Struct, frozen=True):
    """A plugin that did not deliver a notice; the outbox asks again."""

    plugin: str
    problem: str


class Deliverer:
    """One plugin's ``notify``: at most one thread at a time; one that never ends blocks its own plugin only."""

    def __init__(self, plugin: str, bound: Bound) -> None:
        self.plugin = plugin
        self._bound = bound
        self._busy: Future[str] | None = None

    def begin(self, notice: NoticeRaised) -> Future[str]:
        """A future of the problem, empty when delivered."""
        if self._busy is not None and not self._busy.done():
            refused: Future[str] = Future()
            refused.set_result(BUSY)
            return refused
        self._busy = Future()
        # A daemon: a delivery that hangs must not keep the host from ending.
        threading.Thread(
            target=self._deliver, args=(notice, self._busy), name=f"notify-{self.plugin}", daemon=True
        ).start()
        return self._busy

    def _deliver(self, notice: NoticeRaised, result: Future[str]) -> None:
        problem = ""
        try:
            self._bound.by_name({"notice": notice})
        except (Exception, SystemExit) as error:  # a plugin may raise anything: it means "ask me again"
            problem = described(error)
        result.set_result(problem)
