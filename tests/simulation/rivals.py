"""Plugins that want the same and the opposite of each other at once, for the explanations of what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from polyhost import ONE, Enter, Estimate, Plugin, Side, Veto, View, hookimpl


class Rivals(Plugin):
    name = "rivals"
    description = "Wants UP twice and DOWN once, in turns with more edge; vetoes some; for tests."

    @hookimpl
    def propose(self, view: View) -> Iterator[Enter]:
        """Every fourth second three entries, of which one goes on."""
        if view.now // 1_000 % 4 or not view.up.complete or view.time_left_s < 30:
            return
        edge = 0.01 if view.now // 4_000 % 2 else 0.03
        tick = view.market.tick
        yield Enter(Side.UP, min(view.up.ask + 2 * tick, ONE - tick), "bold", edge=edge)
        yield Enter(Side.UP, min(view.up.ask + tick, ONE - tick), "careful", edge=edge)
        yield Enter(Side.DOWN, min(view.down.ask + tick, ONE - tick), "against", edge=0.02)

    @hookimpl
    def review(self, view: View, entry: Enter, estimate: Estimate | None) -> Veto | None:
        return Veto("every third period") if view.now // 12_000 % 3 == 0 else None
