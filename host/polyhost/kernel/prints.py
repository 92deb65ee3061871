"""Trade prints of one market, counted in short buckets; volatile, rebuilt from the stream.

It knows neither tokens nor messages: who feeds it says whether a print was a purchase of UP (or a sale of DOWN).
"""

from __future__ import annotations

from typing import Final

from polyhost.model.money import Micros
from polyhost.model.view import Flow

FLOW_BUCKET_MS: Final = 10_000
"""Length of a bucket, market ms."""
FLOW_BUCKETS: Final = 30
"""Buckets kept: five minutes, the shortest window."""


class Prints:
    """A ring of integers: a print costs an addition, no object; a view of it is made when somebody looks."""

    __slots__ = ("_at", "_bought", "_shown", "_sold", "_stale", "_trades")

    def __init__(self) -> None:
        self._at = [-1] * FLOW_BUCKETS
        """Number of the bucket that each place holds: market ms / ``FLOW_BUCKET_MS``."""
        self._bought: list[Micros] = [0] * FLOW_BUCKETS
        self._sold: list[Micros] = [0] * FLOW_BUCKETS
        self._trades = [0] * FLOW_BUCKETS
        self._shown: tuple[Flow, ...] = ()
        self._stale = False

    def add(self, bought: bool, size: Micros, now: int) -> None:
        """A taker bought UP (or sold DOWN), or the other way round; micro-shares, market ms."""
        bucket = now // FLOW_BUCKET_MS
        place = bucket % FLOW_BUCKETS
        if self._at[place] != bucket:
            self._at[place] = bucket
            self._bought[place] = self._sold[place] = self._trades[place] = 0
        if bought:
            self._bought[place] += size
        else:
            self._sold[place] += size
        self._trades[place] += 1
        self._stale = True

    def shown(self, now: int) -> tuple[Flow, ...]:
        """The buckets with prints, oldest first; one tuple is shared until a print or the time changes it."""
        newest = now // FLOW_BUCKET_MS
        oldest = newest - FLOW_BUCKETS + 1
        shown = self._shown
        if self._stale or (shown and shown[0].start < oldest * FLOW_BUCKET_MS):
            self._stale = False
            self._shown = shown = tuple([
                Flow(bucket * FLOW_BUCKET_MS, self._bought[place], self._sold[place], self._trades[place])
                for bucket in range(max(oldest, 0), newest + 1)
                if self._at[place := bucket % FLOW_BUCKETS] == bucket
            ])
        return shown
