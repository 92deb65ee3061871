"""Matches a catastrophic regular expression, which holds the interpreter for hours."""

from __future__ import annotations

import re
from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Matches(Plugin):
    name = "matches"
    description = "Matches a catastrophic regular expression, which holds the interpreter for hours."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        re.match(r"(a+)+$", "a" * 40 + "b")
        return None
