"""The loop that collects metrics once a second and looks after their server (LOG-05, ORD-15).

What fails here is told, and costs figures: the loop is started again, trading never hears of it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from loguru import logger

from polyhost.errors import ConfigError, PolyhostError
from polyhost.service.metric_samples import Hosted, Sampler
from polyhost.service.metric_server import LOOPBACK, MetricServer, Page, library
from polyhost.service.supervision import Beat, Supervisor

COLLECT_S: Final = 1.0
"""Figures are taken this often, wall seconds."""
METRICS_SILENT_S: Final = 15.0
"""And a loop that did not for so long, wall seconds, is started again."""


class ServerEnded(PolyhostError):  # noqa: N818 it says what happened
    """The thread that answers requests is gone."""

    exit_code = 1


class Metrics:
    """``begin`` once the accounts are there, before they trade."""

    def __init__(self, host: Hosted, port: int) -> None:
        """Raises ConfigError: the library is not installed."""
        library()
        self.port = port
        """Where it listens; of 0 the free port that was found, once it does (for tests)."""
        self.page = Page()
        self._sampler = Sampler(host)

    def begin(self, supervisor: Supervisor) -> None:
        """Count from here on, and serve."""
        self._sampler.begin()
        supervisor.task("metrics", self.run, METRICS_SILENT_S)

    async def run(self, beat: Beat) -> None:
        """Collect until cancelled. Raises ConfigError when the port is taken: it is tried again as any loop is."""
        try:
            # Names are looked up on the way: not in the event loop.
            server = await asyncio.to_thread(MetricServer, self.page, self.port)
        except OSError as error:
            raise ConfigError(
                f"{LOOPBACK}:{self.port} cannot be served: {error.strerror}", table="metrics", key="port",
                remedy="name one that is free",
            ) from error
        self.port = server.port
        logger.info("metrics on http://{}:{}/metrics, /health and /ready beside them", LOOPBACK, self.port)
        try:
            while server.alive:
                beat()
                self.page.samples, self.page.health = self._sampler.samples(), self._sampler.health()
                await asyncio.sleep(COLLECT_S)
            raise ServerEnded("the server of the metrics ended")
        finally:
            await asyncio.to_thread(server.close)
