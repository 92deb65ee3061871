"""Changes the view that it was given, under its neighbours' feet."""

from __future__ import annotations

from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Mutates(Plugin):
    name = "mutates"
    description = "Changes the view that it was given, under its neighbours' feet."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        view.now = 0
        return None
