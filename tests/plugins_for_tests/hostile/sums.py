"""Calls into C for two seconds and more without letting go of the interpreter."""

from __future__ import annotations

from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Sums(Plugin):
    name = "sums"
    description = "Calls into C for two seconds and more without letting go of the interpreter."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        sum(range(300_000_000))
        return None
