"""A slow machine, or one that stands still for some seconds, changes nothing of what a test sees.

Where exchange and client live in the test's own process, a pause of that process is nobody's fault: here the exchange
does not make up for it with a leap of market time, drops nobody who could not read meanwhile, and no client gives up a
request that the same process had no time to answer. What a test says about such limits, it sets itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import pytest

PATIENCE_S: Final = 150.0
"""Wall seconds that anything may take which is sure to come: half the limit for a whole test."""
WALL_S: Final = 1_795_300_000.0
"""The wall clock of tests in which it stands still."""
STEP_MS: Final = 20
"""The exchange's clock is asked every few ms: its wall goes on by no more between two questions."""


class CalmWall:
    """The wall clock of a machine without pauses: it goes with the real one, and never leaps."""

    def __init__(self, real: object) -> None:
        assert callable(real)
        self._real = real
        self._last: int = real()
        self._calm = self._last

    def __call__(self) -> int:
        now: int = self._real()
        self._calm += min(max(now - self._last, 0), STEP_MS)
        self._last = now
        return self._calm


@contextmanager
def unhurried() -> Iterator[None]:
    """For the length of the block; what is not imported yet is not touched."""
    with pytest.MonkeyPatch.context() as patch:
        engine = sys.modules.get("polyhost.exchange.server.engine")
        if engine is not None:
            calm = CalmWall(engine.wall_ms)
            # Heartbeats are stamped and looked at on one clock.
            patch.setattr(engine, "wall_ms", calm)
            patch.setattr("polyhost.exchange.server.clob_private.wall_ms", calm)
            patch.setattr("polyhost.exchange.server.sockets.STUCK_S", PATIENCE_S)
        for name, attribute in (
            ("polymarket.clients._transport", "_DEFAULT_TIMEOUT"), ("polyhost.venue.polymarket.http", "TIMEOUT"),
            ("polyhost.venue.second.gateway", "TIMEOUT"),
        ):
            if name in sys.modules:
                patch.setattr(sys.modules[name], attribute, httpx.Timeout(PATIENCE_S))
        yield


@pytest.fixture(autouse=True, scope="module")
def unhurried_module() -> Iterator[None]:
    """For every test of a folder whose conftest imports it."""
    with unhurried():
        yield


@pytest.fixture(autouse=True)
def standing_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every test of a file that imports it: nothing that a host said grows old while one runs."""
    monkeypatch.setattr(time, "time", lambda: WALL_S)
    monkeypatch.setattr(time, "time_ns", lambda: int(WALL_S) * 1_000_000_000)
