"""Bad: it counts to a hundred thousand before it answers."""

from __future__ import annotations

from polyhost import Plugin, Signal, View, hookimpl


class Slow(Plugin):
    name = "slow"
    description = "Thinks long."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """Even, after much thought."""
        total = 0
        for number in range(300_000):
            total += number % 7
        return Signal(0.5, 0.0, f"thought of {total}")
