"""Returns garbage, another kind each time."""

from __future__ import annotations

from typing import Any

from polyhost import Plugin, Settings, Skip, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Garbles(Plugin):
    name = "garbles"
    description = "Returns garbage, another kind each time."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        kinds = (7, "buy", {"side": "UP"}, object(), [Skip("fine"), None], float("nan"), b"\xff", self)
        return kinds[view.view_seq % len(kinds)]
