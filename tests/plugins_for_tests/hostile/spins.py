"""Never comes out of a loop of its own."""

from __future__ import annotations

from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Spins(Plugin):
    name = "spins"
    description = "Never comes out of a loop of its own."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        while True:
            pass
