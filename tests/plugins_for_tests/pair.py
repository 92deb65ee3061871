"""Buys both sides when they are cheap together, and merges what pairs off (GRD-02, small)."""

from __future__ import annotations

from collections.abc import Iterator

from polyhost import ORDER_REF, Merge, Pair, Plugin, Settings, View, hookimpl


class CheapPairSettings(Settings):
    sum_max: int = 9_900
    """Most that both asks may sum to, ticks; above 10,000 it buys dear on purpose."""
    stake: int = 20_000_000
    """Collateral for both legs, micro-units."""
    slack_ticks: int = 2
    """How far above its ask each leg may be bought, in the market's ticks."""


class CheapPair(Plugin):
    name = "cheap_pair"
    description = "both sides when they are cheap together; for tests"
    Settings = CheapPairSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[Pair | Merge]:
        up, down = view.up, view.down
        paired = min((position.paired for position in view.positions), default=0)
        if len(view.positions) == 2 and paired:
            yield Merge(None, "both sides are held")
        if not up.complete or up.ask + down.ask > self.settings.sum_max or view.orders:
            return
        slack = self.settings.slack_ticks * view.market.tick
        yield Pair(
            min(up.ask + slack, 9_900), min(down.ask + slack, 9_900), self.settings.stake, "cheap together",
            remember={"last_pair": ORDER_REF, "sum": up.ask + down.ask},
        )
