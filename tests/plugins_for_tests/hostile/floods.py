"""Proposes without end."""

from __future__ import annotations

import itertools
from typing import Any

from polyhost import Plugin, Settings, Skip, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Floods(Plugin):
    name = "floods"
    description = "Proposes without end."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        return itertools.repeat(Skip("again"))
