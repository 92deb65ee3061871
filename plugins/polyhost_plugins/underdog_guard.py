"""A side that the market thinks will lose needs more confidence (ENT-02)."""

from __future__ import annotations

from pydantic import Field

from polyhost import (
    ONE,
    Enter,
    Estimate,
    Plugin,
    Price,
    Purpose,
    Settings,
    Side,
    Veto,
    View,
    hookimpl,
    price_text,
)

OPINIONS = (Purpose.ENTRY, Purpose.SCALE_IN)
"""Purposes that are bets on the estimate; hedges, grids and pairs are none."""


class UnderdogGuardSettings(Settings):
    price_below: Price = Price("0.50")
    """A side whose midpoint is below this price is an underdog (its ask, where nobody bids)."""
    confidence_min: float = Field(default=0.40, ge=0, le=1)
    """Least confidence for an underdog, 0 to 1; an estimate that favours the other side has none."""


class UnderdogGuard(Plugin):
    name = "underdog_guard"
    description = "Refuses cheap sides that the estimate is not confident of."
    Settings = UnderdogGuardSettings
    settings: UnderdogGuardSettings

    @hookimpl
    def review(self, view: View, entry: Enter, estimate: Estimate | None) -> Veto | None:
        """Veto an underdog without the confidence for it; None for every other entry."""
        price = _priced(view, entry.side)
        if entry.purpose not in OPINIONS or price >= 2 * self.settings.price_below:
            return None
        favoured = estimate is not None and estimate.favoured is entry.side
        confidence = estimate.confidence if estimate is not None and favoured else 0.0
        if confidence >= self.settings.confidence_min:
            return None
        return Veto(
            f"{entry.side} is priced {price_text(price // 2)}, below {price_text(self.settings.price_below)}: "
            f"confidence {confidence:.3f}, needs {self.settings.confidence_min:g}"
        )


def _priced(view: View, side: Side) -> int:
    """Twice the midpoint in ticks, exact; twice the ask where nobody bids, or the limit where nobody offers."""
    quote = view.side(side)
    bid = quote.bid or quote.ask
    ask = quote.ask if quote.ask < ONE else quote.bid
    return bid + ask
