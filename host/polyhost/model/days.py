"""What a day brought, counted from the records (UTC days, from midnight to midnight of market time)."""

from __future__ import annotations

from msgspec import Struct

from polyhost.model.money import Micros


class DayFigures(Struct, frozen=True):
    """A day of one account. Money in micro-units; fees are in ``pnl`` already, rewards are not."""

    day: int = -1
    """Days since 1970; -1: none yet."""
    windows: int = 0
    """Markets with an entry of ours that were decided."""
    entries: int = 0
    """Buys that were filled, whole or in part, whatever for."""
    exits: int = 0
    """Sells that were."""
    pnl: Micros = 0
    """Of the positions closed that day."""
    fees: Micros = 0
    rewards: Micros = 0
    rejects: int = 0
    """Orders that the venue refused."""
    breakers: tuple[str, ...] = ()
    """What stopped new entries for longer, each once."""
    builder_fees: Micros = 0
    """Of ``fees``, what the builder code cost."""
