"""Takes all the memory it can get."""

from __future__ import annotations

from typing import Any

from polyhost import Plugin, Settings, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Hogs(Plugin):
    name = "hogs"
    description = "Takes all the memory it can get."
    Settings = Hostility

    hoard: list[bytearray]

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        self.hoard = [bytearray(8 << 30) for _ in range(64)]
        return None
