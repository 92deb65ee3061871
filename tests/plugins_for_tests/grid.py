"""Rests buys below the market, takes profit over their total, and begins anew when flat (GRD-01, small)."""

from __future__ import annotations

from collections.abc import Iterator

from polyhost import Enter, ExitTarget, Plugin, PositionView, Purpose, Settings, Side, View, hookimpl


class LadderSettings(Settings):
    levels: int = 3
    step_ticks: int = 2
    """Between levels, in the market's ticks."""
    profit_ticks: int = 2
    """Above the average price, in the market's ticks."""
    stake: int = 5_000_000


class Ladder(Plugin):
    name = "ladder"
    description = "a grid on the UP side; for tests"
    Settings = LadderSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[Enter]:
        quote, tick = view.up, view.market.tick
        if not quote.complete or view.time_left_s < 200:
            return
        resting = {order.key for order in view.orders if order.purpose is Purpose.GRID_LEVEL}
        for number in range(self.settings.levels):
            key = str(number + 1)
            price = quote.bid - number * self.settings.step_ticks * tick
            if key in resting or price < 10 * tick:
                continue
            yield Enter(
                Side.UP, price, f"level {key}", Purpose.GRID_LEVEL, "GTC", self.settings.stake, key=key,
                remember={f"{view.market.slug}:{key}": price},
            )
            return  # one a second: the next evaluation sees this one's order

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitTarget | None:
        if position.side is not Side.UP:
            return None
        price = position.average_price + self.settings.profit_ticks * view.market.tick
        return ExitTarget(Side.UP, min(price, 9_900), "take profit")
