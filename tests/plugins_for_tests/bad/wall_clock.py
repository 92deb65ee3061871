"""Bad: it asks the machine what time it is."""

from __future__ import annotations

from datetime import UTC, datetime

from polyhost import Plugin, Signal, View, hookimpl


class WallClock(Plugin):
    name = "wall_clock"
    description = "Trades by the hour."

    @hookimpl
    def signal(self, view: View) -> Signal | None:
        """UP in the mornings."""
        return Signal(0.6, 0.5, "morning") if datetime.now(UTC).hour < 12 else None
