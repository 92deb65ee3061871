"""A demonstration plugin: buys the favourite once, two minutes before the end, and holds it to settlement."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from polyhost import (
    ONE,
    Enter,
    Estimate,
    HoldToSettlement,
    Money,
    Plugin,
    Settings,
    Side,
    View,
    hookimpl,
    price_text,
)


class FavouriteSettings(Settings):
    time_left_s: float = Field(default=120.0, gt=0)
    """Buys from this many seconds before the end, not scaled."""
    through_ticks: int = Field(default=2, ge=0)
    """The worst price is the ask plus this many of the market's own ticks."""
    stake: Money = Money("10")
    """Collateral to spend, fee included."""


class Favourite(Plugin):
    name = "favourite"
    description = "Buys the side with the higher midpoint once, late, and holds it."
    Settings = FavouriteSettings
    settings: FavouriteSettings

    @hookimpl
    def propose(
        self, view: View, estimates: tuple[tuple[str, Estimate], ...]
    ) -> Iterable[Enter | HoldToSettlement] | None:
        """Hold whatever there is; without position, order or used entry, buy when the time has come."""
        if view.positions:
            return [HoldToSettlement(p.side, "held to the result") for p in view.positions if not p.held]
        if view.orders or view.taken or not 0 < view.time_left_s <= self.settings.time_left_s:
            return None
        side = Side.UP if view.up.mid >= view.down.mid else Side.DOWN
        quote, tick = view.side(side), view.market.tick
        if quote.ask >= ONE:
            return None
        price_max = min(-(-quote.ask // tick) * tick + self.settings.through_ticks * tick, ONE - tick)
        reason = f"{side} leads at {price_text(quote.mid)} with {view.time_left_s:.0f} s left"
        return [Enter(side, price_max, reason, stake=int(self.settings.stake), to_settlement=True)]
