"""Strikes of plugins: counted, forgiven after a long clean stretch, and at the bound the plugin is out.

Counted by answers, not by the clock, so that two runs over the same inputs strike alike.
"""

from __future__ import annotations

from typing import Final

STRIKES_MAX: Final = 5
"""With this many strikes a plugin is quarantined."""
FORGIVEN_AFTER: Final = 1_000
"""Clean evaluations after which a plugin's strikes are forgotten (a quarter of an hour of one market)."""


class Strikes:
    """The strikes of one plugin."""

    __slots__ = ("clean", "count", "limit", "quarantined", "reason", "total")

    def __init__(self, limit: int = STRIKES_MAX) -> None:
        self.limit = limit
        self.count = 0
        self.clean = 0
        self.total = 0
        """All strikes ever, for people."""
        self.quarantined = False
        self.reason = ""
        """The latest strike's."""

    def strike(self, reason: str) -> bool:
        """Count one; True when the plugin is out by it."""
        self.count += 1
        self.total += 1
        self.clean = 0
        self.reason = reason
        if self.count < self.limit or self.quarantined:
            return False
        self.quarantined = True
        return True

    def banish(self, reason: str) -> None:
        """Out without a strike: it was out already when this run began."""
        self.quarantined = True
        self.reason = reason

    def behaved(self) -> None:
        """One evaluation without a strike."""
        self.clean += 1
        if self.clean >= FORGIVEN_AFTER and not self.quarantined:
            self.count = 0
            self.clean = 0

    def release(self) -> None:
        """The operator lets it in again."""
        self.count = 0
        self.clean = 0
        self.quarantined = False
