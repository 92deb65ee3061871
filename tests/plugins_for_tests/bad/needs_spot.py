"""Bad: it takes the spot price for granted."""

from __future__ import annotations

from polyhost import Plugin, Signal, View, hookimpl


class NeedsSpot(Plugin):
    name = "needs_spot"
    description = "Follows spot."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """UP above the opening price."""
        return Signal(0.6 if view.spot > view.spot_open else 0.4, 0.5, "spot")  # type: ignore[operator]
