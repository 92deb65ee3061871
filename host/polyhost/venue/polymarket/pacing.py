"""Keeps our own reads within the budget: the class of a request by its path, and what its answer says of the pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import httpx

from polyhost.venue.budget import Budget, Urgency

CLASSES: Final[tuple[tuple[str, str, Urgency], ...]] = (
    ("/balance-allowance", "balance", Urgency.QUERY),
    ("/data/", "query", Urgency.QUERY),
    ("/notifications", "query", Urgency.BACKGROUND),
    ("/book", "books", Urgency.QUERY),
    ("/midpoint", "books", Urgency.QUERY),
    ("/price", "books", Urgency.QUERY),
    ("/markets/slug", "gamma", Urgency.BACKGROUND),
    ("/markets/keyset", "gamma", Urgency.BACKGROUND),
    ("/events", "gamma", Urgency.BACKGROUND),
    ("/markets/", "query", Urgency.BACKGROUND),
    ("/v2/", "data", Urgency.BACKGROUND),
)
"""Beginning of the path, class, urgency; the first that fits. Others (the time, Binance) are not counted."""
EPOCH_FROM: Final = 1_000_000
"""A reset time from here on is a time of day in unix seconds, below it a number of seconds."""


def class_of(path: str) -> tuple[str, str, Urgency] | None:
    """Class, purpose (the path without ids) and urgency of a read; None: it is not counted."""
    for beginning, bucket, urgency in CLASSES:
        if path.startswith(beginning):
            return bucket, "/".join(part for part in path.split("/")[:3] if not part.startswith("0x")), urgency
    return None


class Paced:
    """Hooks of an httpx client: ``before`` a request waits for its turn, ``after`` an answer its pace is learnt."""

    def __init__(
        self, budget: Budget, patience_s: Mapping[Urgency, float], wall_s: Callable[[], float] = time.time
    ) -> None:
        self._budget = budget
        self._patience_s = patience_s
        self._wall_s = wall_s

    async def before(self, request: httpx.Request) -> None:
        """Raises OverBudget when the turn does not come in time; then nothing is sent."""
        found = class_of(request.url.path)
        if found is not None:
            bucket, purpose, urgency = found
            await self._budget.admit(bucket, urgency, purpose, patience_s=self._patience_s[urgency])

    async def after(self, response: httpx.Response) -> None:
        """429 and 425 pause the class; the venue's own count of what is left is believed."""
        found = class_of(response.request.url.path)
        if found is None:
            return
        self._budget.heard(found[0], response.status_code, *pace_of(response, self._wall_s()))


def pace_of(response: httpx.Response, wall_s: float) -> tuple[float | None, float | None]:
    """How many seconds from now the venue may be asked again, and how much it says is left; None: it does not say."""
    remaining = _number(response.headers.get("Poly-RateLimit-Remaining"))
    retry_after = _number(response.headers.get("Retry-After"))
    if retry_after is None and remaining is not None and remaining <= 0:
        reset = _number(response.headers.get("Poly-RateLimit-Reset"))
        retry_after = None if reset is None else reset - wall_s if reset >= EPOCH_FROM else reset
    return retry_after, remaining


def _number(text: str | None) -> float | None:
    """None for no header, and for one that is no number (a date is allowed there, and says no more than a default)."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
