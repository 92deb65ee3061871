"""The stop: a position whose midpoint has fallen too far is sold at market (EXI-02).

It looks at the price of the token, never at a percentage of what was paid. At or below ``midpoint_max`` it wants a
stop, which another plugin may hold back for a while (``reversal`` does while its hedge stands); at or below ``floor``
nobody can. Triggers on the book make it act at once, not only at the next second.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationInfo, field_validator

from polyhost import (
    ExitNow,
    InnerPrice,
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


class StopLossSettings(Settings):
    midpoint_max: InnerPrice = InnerPrice("0.30")
    """Sells when the token's midpoint is at or below this price (collateral per share, above 0, below 1)."""
    floor: Price = Price("0.15")
    """Sells at once at or below this midpoint, whatever else says wait; below ``midpoint_max``, 0: no floor."""

    @field_validator("floor")
    @classmethod
    def _below_the_stop(cls, value: Price, info: ValidationInfo) -> Price:
        stop = info.data.get("midpoint_max")
        if stop is not None and value >= stop:
            raise ValueError(f"must be below midpoint_max = {stop}: the stop would never come before the floor")
        return value


class StopLoss(Plugin):
    name = "stop_loss"
    description = "Sells a position at market when its midpoint is at or below 0.30; at 0.15 whatever else says wait."
    Settings = StopLossSettings
    settings: StopLossSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Iterator[ExitNow | Trigger]:
        """The sale that is due, and the triggers of the next one; nothing for what is held, nor without a price."""
        side, quote = position.side, view.side(position.side)
        mid = quote.mid_at_most
        if position.held or mid is None:
            return
        stop, floor = self.settings.midpoint_max, self.settings.floor
        if floor and mid <= floor:
            yield ExitNow(side, f"midpoint {price_text(mid)} is at the floor of {price_text(floor)}", "floor")
        elif mid <= stop:
            yield ExitNow(side, f"midpoint {price_text(mid)} is at the stop of {price_text(stop)}", "stop")
            yield from midpoint_triggers(side, quote, "below", floor) if floor else ()
        else:
            yield from midpoint_triggers(side, quote, "below", stop)
