"""A plugin for whole runs: buys UP soon after the open, sells it at market halfway, buys DOWN later and keeps it."""

from __future__ import annotations

from collections.abc import Iterable

from polyhost import ONE, Enter, Estimate, ExitNow, Plugin, Side, View, hookimpl

THROUGH = 500
"""Ticks of 1e-4 that the worst price lies above the ask: enough to be filled although the market moves."""


class Eager(Plugin):
    name = "eager"
    description = "Trades both sides of every window, whatever it thinks."

    @hookimpl
    def propose(self, view: View, estimates: tuple[tuple[str, Estimate], ...]) -> Iterable[Enter | ExitNow] | None:
        """UP from 285 to 200 s before the end of a 5-minute window, sold at 150 s; DOWN from 140 to 60 s."""
        left = view.time_left_s
        held = {position.side for position in view.positions}
        if Side.UP in held and left <= 150:
            return [ExitNow(Side.UP, "halfway", "stop")]
        if view.orders:
            return None
        if 200 <= left <= 285 and not held:
            return self._buy(view, Side.UP)
        if 60 <= left <= 140 and not held:
            return self._buy(view, Side.DOWN)
        return None

    def _buy(self, view: View, side: Side) -> list[Enter] | None:
        ask = view.side(side).ask
        if side in view.taken or ask >= ONE:
            return None
        return [Enter(side, min(ask + THROUGH, ONE - view.market.tick), "eager")]
