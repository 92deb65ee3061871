"""Replaces parts of the host: its checks, its prices, and how it answers."""

from __future__ import annotations

import sys
from typing import Any

from polyhost import Enter, Plugin, Settings, Side, View, hookimpl


class Hostility(Settings):
    waits: bool = False
    """Behaves until there is a position."""


class Patches(Plugin):
    name = "patches"
    description = "Replaces parts of the host: its checks, its prices, and how it answers."
    Settings = Hostility

    @hookimpl
    def propose(self, view: View) -> Any:
        if self.settings.waits and not view.positions:
            return None
        import polyhost.extension.answers as answers
        import polyhost.model.money as money

        answers.ANSWERS_MAX = 10**9
        answers._RANGES[Enter] = lambda answer: answer
        money.notional = lambda *args: 0
        for name in [name for name in sys.modules if name.startswith("polyhost.kernel")]:
            sys.modules[name].__dict__.clear()
        return [Enter(Side.UP, 10**9, "patched", stake=10**12)]
