"""Taking profit: a position whose midpoint is high enough is sold at market (EXI-06); off by default.

A planned exit, no emergency: it waits while a scale-in is bought, and never sells at a loss.
"""

from __future__ import annotations

from collections.abc import Iterator

from polyhost import (
    ExitNow,
    InnerPrice,
    Plugin,
    PositionView,
    Settings,
    Trigger,
    View,
    hookimpl,
    midpoint_triggers,
    price_text,
)


class TakeProfitSettings(Settings):
    midpoint_min: InnerPrice = InnerPrice("0.95")
    """Sells when the token's midpoint is at or above this price (collateral per share, above 0, below 1)."""


class TakeProfit(Plugin):
    name = "take_profit"
    description = "Sells a position at market when its midpoint is at or above 0.95, and only at a profit."
    Settings = TakeProfitSettings
    settings: TakeProfitSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Iterator[ExitNow | Trigger]:
        """The sale, or the triggers of it; nothing for what is held, without a price, or while the bid is a loss."""
        side, quote = position.side, view.side(position.side)
        mid, wanted = quote.mid_at_least, self.settings.midpoint_min
        if position.held or mid is None:
            return
        if mid < wanted:
            yield from midpoint_triggers(side, quote, "above", wanted)
        elif quote.bid > position.average_price:
            reason = f"midpoint {price_text(mid)} has reached {price_text(wanted)}"
            yield ExitNow(side, reason, "exit_plan", floor=position.average_price)
