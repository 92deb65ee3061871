"""How long a resting entry lives: a long life the venue ends (GTD), a short one our own cancel does (ORD-06).

The venue ends a GTD order a minute before its expiration, and its client takes none that expires within three minutes:
lives below two minutes and a few seconds are GTC orders with an end of their own. Either way the host looks itself.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.legality import GTD_AHEAD_MS
from polyhost.model.words import OrderType

VENUE_EARLY_MS: Final = 60_000
"""The venue ends a GTD order this long before its expiration, market ms."""
SIGNED_WITHIN_MS: Final = 5_000
"""A GTD order is still legal when it was signed this late, market ms."""
VENUE_LATE_MS: Final = 3_000
"""A GTD order that the venue has not ended this long after its end is cancelled by us, market ms."""


def resting_type(now: int, until: int) -> tuple[OrderType, int]:
    """Order type and expiration (unix seconds, 0: none) of an order that may rest until a market ms (0: no end)."""
    expiration_s = -(-(until + VENUE_EARLY_MS) // 1_000)
    if until and expiration_s * 1_000 >= now + GTD_AHEAD_MS + SIGNED_WITHIN_MS:
        return OrderType.GTD, expiration_s
    return OrderType.GTC, 0


def ends_at(order_type: OrderType, until: int, never: int) -> int:
    """When our own cancel ends it, market ms; ``never`` for an order without an end."""
    if not until:
        return never
    return until + VENUE_LATE_MS if order_type is OrderType.GTD else until
