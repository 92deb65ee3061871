"""A plugin that buys and then leaves its position to the host."""

from __future__ import annotations

from collections.abc import Iterable

from polyhost import ONE, Enter, Estimate, Plugin, Side, View, hookimpl


class Buyer(Plugin):
    name = "buyer"
    description = "Buys UP early in every window and never thinks of it again."

    @hookimpl
    def propose(self, view: View, estimates: tuple[tuple[str, Estimate], ...]) -> Iterable[Enter] | None:
        ask = view.side(Side.UP).ask
        if view.orders or view.positions or Side.UP in view.taken or view.time_left_s < 150 or ask >= ONE:
            return None
        return [Enter(Side.UP, min(ask + 500, ONE - view.market.tick), "bait")]
