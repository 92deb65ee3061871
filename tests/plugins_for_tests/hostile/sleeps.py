"""Sleeps when it is asked."""

from __future__ import annotations

import time
from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Sleeps(Plugin):
    name = "sleeps"
    description = "Sleeps when it is asked."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        time.sleep(60)
        return None
