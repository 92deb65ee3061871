"""HTTP to the venue: one client for one service, that keeps to the budget and feeds the clock. No venue SDK in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

import httpx

from polyhost.venue.budget import Budget, Urgency
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.pacing import Paced

if find_spec("sniffio") is None:
    # httpcore asks for it four times a request, to know whether this is asyncio; where it is not installed, all of the
    # search path is looked through each time, 35 microseconds. None says to the interpreter that it cannot be had.
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

TIMEOUT: Final = httpx.Timeout(connect=5.0, read=10.0, write=10.0, pool=2.0)

PATIENCE_S: Final[Mapping[Urgency, float]] = {
    Urgency.CANCEL: 5.0, Urgency.EXIT: 1.0, Urgency.ENTRY: 0.5, Urgency.QUERY: 2.0, Urgency.BACKGROUND: 5.0,
}
"""How long a request waits for its turn, wall seconds. An order that does not get it is refused, and was not sent,
before U1 would make it unknown."""


def http_client(
    base: str, clock: VenueClock | None, *, live: bool, budget: Budget | None = None
) -> httpx.AsyncClient:
    """A client for one service that feeds the clock and keeps to the budget; on loopback never through a proxy.

    A request whose turn does not come raises OverBudget (a VenueError) and is not sent.
    """
    hooks: dict[str, list[Any]] = {"request": [], "response": []}
    if clock is not None:
        hooks["response"].append(clock.hook)
    if budget is not None:
        pace = Paced(budget, PATIENCE_S)
        hooks["request"].append(pace.before)
        hooks["response"].append(pace.after)
    # Certificates take 20 ms to load, and plain HTTP has none.
    secure = base.startswith("https")
    return httpx.AsyncClient(base_url=base, timeout=TIMEOUT, trust_env=live, verify=secure, event_hooks=hooks)


def budget_scale(clock: VenueClock | None) -> float:
    """A simulated exchange that runs faster takes as many more requests in the wall's time; the live one never."""
    return max(clock.speed, 1.0) if clock is not None and clock.simulated else 1.0
