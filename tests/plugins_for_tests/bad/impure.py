"""Bad: it counts how often it is asked, and so answers differently each time."""

from __future__ import annotations

from polyhost import Plugin, Signal, View, hookimpl


class Impure(Plugin):
    name = "impure"
    description = "Gets surer the oftener it is asked."
    asked = 0

    @hookimpl
    def signal(self, view: View) -> Signal:
        """Surer and surer."""
        self.asked += 1
        return Signal(0.6, self.asked % 100 / 100, "asked again")
