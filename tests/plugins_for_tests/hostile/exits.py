"""Ends its process without a word."""

from __future__ import annotations

import os
from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Exits(Plugin):
    name = "exits"
    description = "Ends its process without a word."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        os._exit(7)
