"""Taking profit: a position whose midpoint is high enough is sold at market (EXI-06); off by default.

A planned exit, no emergency: it waits while a scale-in is bought, and never sells at a loss, its taker fee included.
"""

from __future__ import annotations

from collections.abc import Iterator

from polyhost import (
    ONE,
    ExitNow,
    InnerPrice,
    Market,
    Plugin,
    PositionView,
    Settings,
    Trigger,
    View,
    hookimpl,
    midpoint_triggers,
    price_text,
)

SHARE = 1_000_000


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
        """The sale, or the triggers of it; nothing for what is held, without a price, or while the bid is no profit."""
        side, quote = position.side, view.side(position.side)
        mid, wanted = quote.mid_at_least, self.settings.midpoint_min
        if position.held or mid is None:
            return
        if mid < wanted:
            yield from midpoint_triggers(side, quote, "above", wanted)
        elif (least := least_profit(position.average_price, view.market)) is not None and quote.bid >= least:
            reason = f"midpoint {price_text(mid)} has reached {price_text(wanted)}"
            yield ExitNow(side, reason, "exit_plan", floor=least)


def least_profit(average: int, market: Market) -> int | None:
    """The lowest legal price at which a taker gets more than ``average`` a share after fees; None: no price is that."""
    price = average - average % market.tick + market.tick
    while price < ONE:
        if price * SHARE // ONE - market.fees.taker(SHARE, price) > average * SHARE // ONE:
            return price
        price += market.tick
    return None
