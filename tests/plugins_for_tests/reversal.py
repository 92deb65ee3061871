"""Enters, hedges at a falling midpoint before it sells, and sells the losing side later (EXI-03, small)."""

from __future__ import annotations

from collections.abc import Iterator

from polyhost import (
    ORDER_REF,
    Defer,
    Enter,
    ExitNow,
    Plugin,
    PositionView,
    Price,
    Purpose,
    Settings,
    Side,
    View,
    hookimpl,
)


class TurnerSettings(Settings):
    hedge_below: Price = Price("0.45")
    """The other side is bought when the midpoint of what is held is at or below this."""
    floor: Price = Price("0.15")
    """Sold at once at or below this midpoint."""
    stand_s: float = 20.0
    """The hedge stands so long before the losing side is sold, seconds of market time."""
    ahead: Price = Price("0.60")
    """And only when the new side's midpoint is at least this."""
    stake: int = 12_000_000


class Turner(Plugin):
    name = "turner"
    description = "reversal with a hedge; for tests"
    Settings = TurnerSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[Enter]:
        """One first entry a window, on the side that is ahead."""
        side = Side.UP if view.up.mid >= 5_000 else Side.DOWN
        quote = view.side(side)
        if view.positions or view.taken or not quote.complete or view.time_left_s < 240:
            return
        price = min(quote.ask + view.market.tick, 9_900)
        yield Enter(side, price, "ahead", stake=self.settings.stake, remember={f"first:{view.market.slug}": side.value})

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Iterator[Enter | ExitNow | Defer]:
        key, side = view.market.slug, position.side
        if self.state.get(f"first:{key}") != side.value:
            return  # the hedge itself is not turned again
        mid, other = view.side(side).mid, view.side(side.other)
        if mid <= self.settings.floor:
            yield ExitNow(side, "floor", "floor")
        if mid > self.settings.hedge_below:
            return
        hedged_at = self.state.get(f"hedged_at:{key}")
        stands = view.position(side.other) is not None
        yield ExitNow(side, "stop", "stop")
        yield Defer(side, "stop", view.now + 600_000, "the hedge first")
        if not stands and view.time_left_s > 130:
            price = min(other.ask + 2 * view.market.tick, 9_900)
            remember = {f"hedge:{key}": ORDER_REF, f"hedged_at:{key}": view.now}
            yield Enter(side.other, price, "hedge", Purpose.HEDGE, stake=self.settings.stake, remember=remember)
        stood = hedged_at is not None and view.now - hedged_at >= self.settings.stand_s * 1_000
        if stands and stood and other.mid >= self.settings.ahead:
            yield ExitNow(side, "turned", "reversal")
