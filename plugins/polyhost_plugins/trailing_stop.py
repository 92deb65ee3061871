"""The trailing stop: what a position has gained is not given back whole (EXI-06); off by default.

Once the midpoint has been ``armed_above`` over the entry price, the position is sold when the midpoint has fallen
``distance`` below its highest since then. The highest midpoint is durable (``Keep``): it is written when it rose by
``step``, so that after a restart it is known to within that step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from polyhost import (
    CloseRecorded,
    ExitNow,
    InnerPrice,
    Keep,
    Market,
    MarketSettled,
    Plugin,
    PositionView,
    Price,
    Settings,
    Trigger,
    View,
    hookimpl,
    midpoint_triggers,
    price_text,
)


class TrailingStopSettings(Settings):
    distance: InnerPrice = InnerPrice("0.10")
    """Sells when the midpoint is this far below its highest since the entry (collateral per share)."""
    armed_above: Price = Price("0.10")
    """Only once the midpoint has been this far above the average entry price (collateral per share)."""
    step: InnerPrice = InnerPrice("0.01")
    """A new highest midpoint is written down when it is this much above the one that is (collateral per share)."""


class TrailingStop(Plugin):
    name = "trailing_stop"
    description = "Sells a position at market when its midpoint has fallen 0.10 below its highest."
    Settings = TrailingStopSettings
    settings: TrailingStopSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Iterator[ExitNow | Keep | Trigger]:
        """The sale, or the trigger of it and a new highest midpoint; nothing for what is held, nor without a price."""
        side, quote = position.side, view.side(position.side)
        if position.held or not quote.complete:
            return
        key = f"{view.market.condition_id}:{side.value}"
        high = max(self._known(key, position), quote.mid)
        if high < position.average_price + self.settings.armed_above:
            return  # what it was before it is armed does not matter: the highest is above it by then
        stop = high - self.settings.distance
        if quote.mid <= stop:
            told = f"{self.settings.distance} below its highest {price_text(high)}"
            reason = f"midpoint {price_text(quote.mid)} is {told}"
            yield ExitNow(side, reason, "stop")
            return
        if high >= self._known(key, position) + self.settings.step:
            yield Keep({f"high:{key}": high, f"of:{key}": position.opened_at})
        yield from midpoint_triggers(side, quote, "below", stop) if stop > 0 else ()

    def _known(self, key: str, position: PositionView) -> int:
        """The highest midpoint that is written down of just this position, ticks; 0: none."""
        return int(self.state.get(f"high:{key}", 0)) if self.state.get(f"of:{key}") == position.opened_at else 0

    @hookimpl
    def on_settlement(self, market: Market, result: MarketSettled, closes: tuple[CloseRecorded, ...]) -> Iterable[Any]:
        """What is over is forgotten."""
        for key in [key for key in self.state if f":{market.condition_id}:" in key]:
            del self.state[key]
        return ()
