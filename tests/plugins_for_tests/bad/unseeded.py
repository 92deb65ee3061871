"""Bad: it throws a coin of the process's own."""

from __future__ import annotations

from random import random

from polyhost import Plugin, Signal, View, hookimpl


class Unseeded(Plugin):
    name = "unseeded"
    description = "Throws a coin."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """Heads is UP."""
        return Signal(0.4 + random() / 5, 0.5, "a coin")
