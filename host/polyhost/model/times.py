"""The two classes of time, both in integer milliseconds; neither is ever mixed with the other.

*Market time* is the venue's clock: windows, cadence, obligations, settlement. It may run faster than the wall.
*Wall time* (transport) is this machine's clock: timeouts, query ladders, ages of answers and caches.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, NewType

MarketMs = NewType("MarketMs", int)
"""Venue time, ms since 1970 UTC."""
WallMs = NewType("WallMs", int)
"""Machine time, ms since 1970 UTC."""

EPOCH: Final = date(1970, 1, 1)
NEVER: Final = 1 << 62
"""A deadline that does not come."""


def day_text(day: int) -> str:
    """A day counted from 1970 as its UTC date."""
    return (EPOCH + timedelta(days=day)).isoformat()


def moment_text(ms: int) -> str:
    """``2026-10-28 13:05:00``, UTC; ms UTC."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
