"""Plugins that do everything to keep the host from closing a position in time, and one that buys it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any, Literal

from polyhost import ONE, Enter, Estimate, Plugin, PositionView, Settings, Side, View, hookimpl


class HostileSettings(Settings):
    how: Literal["block", "spin", "sort", "match"] = "block"
    """What it does as soon as there is a position."""


class Hostile(Plugin):
    name = "hostile"
    description = "Never answers while there is a position."
    Settings = HostileSettings

    def __init__(self, settings: HostileSettings) -> None:
        super().__init__(settings)
        self.how = settings.how
        self.numbers = [(number * 7_919) % 1_000_003 for number in range(3_000_000)] if self.how == "sort" else []

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Any:
        """Blocks, spins, sorts in C without letting go of the interpreter, or matches a catastrophic expression."""
        match self.how:
            case "block":
                time.sleep(60)
            case "spin":
                while True:
                    pass
            case "sort":
                sorted(self.numbers * 2)
            case "match":
                re.match(r"(a+)+$", "a" * 40 + "b")


class Buyer(Plugin):
    name = "buyer"
    description = "Buys UP early in every window and never thinks of it again."

    @hookimpl
    def propose(self, view: View, estimates: tuple[tuple[str, Estimate], ...]) -> Iterable[Enter] | None:
        ask = view.side(Side.UP).ask
        if view.orders or view.positions or Side.UP in view.taken or view.time_left_s < 150 or ask >= ONE:
            return None
        return [Enter(Side.UP, min(ask + 500, ONE - view.market.tick), "bait")]
