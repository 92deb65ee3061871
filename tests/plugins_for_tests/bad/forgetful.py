"""Bad: what it learns from fills is kept in an attribute, and lost with a restart."""

from __future__ import annotations

from polyhost import Estimate, FillBooked, Market, Plugin, Skip, View, hookimpl


class Forgetful(Plugin):
    name = "forgetful"
    description = "Counts what it has bought."
    bought = 0

    @hookimpl
    def on_fill(self, market: Market, fill: FillBooked, at: int) -> None:
        """Counts fills."""
        self.bought += 1

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Skip:
        """Never, and says how many fills are to blame."""
        return Skip("enough", {"bought": float(self.bought)})
