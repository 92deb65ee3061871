"""Bad: a probability of one, as a share of certainty would be."""

from __future__ import annotations

from polyhost import Plugin, Signal, View, hookimpl


class OutOfBounds(Plugin):
    name = "out_of_bounds"
    description = "Is sure of itself."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """UP, beyond doubt."""
        return Signal(1.0, 0.5, "beyond doubt")
