"""A demonstration plugin: quotes both sides a few ticks away from the market, within an inventory limit."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from polyhost import Action, Plugin, Quote, QuoteTarget, Reprice, Settings, Shares, Side, View, hookimpl


class TwoSidedSettings(Settings):
    away_ticks: int = Field(default=1, ge=0)
    """Quotes rest this many of the market's ticks behind the best bid."""
    size: Shares = Shares("10")
    inventory_max: Shares = Shares("30")
    """A side of which this much is held is bought no more."""
    time_left_s: float = Field(default=180.0, gt=0)
    """No quotes later than this before the end; scaled with the window."""


class TwoSided(Plugin):
    name = "two_sided"
    description = "Rests a buy on each side and offers what it holds."
    Settings = TwoSidedSettings
    settings: TwoSidedSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[QuoteTarget | Reprice]:
        if view.time_left_s < view.scaled_s(self.settings.time_left_s):
            return
        for side in (Side.UP, Side.DOWN):
            quote = view.side(side)
            if quote.complete:
                yield from self._side(view, side, quote)

    def _side(self, view: View, side: Side, quote: Quote) -> Iterator[QuoteTarget]:
        tick, position = view.market.tick, view.position(side)
        held = 0 if position is None else position.size
        price = quote.bid - self.settings.away_ticks * tick
        if held < self.settings.inventory_max and price >= tick:
            yield QuoteTarget(side, Action.BUY, price, self.settings.size, tolerance=tick, reason="two-sided")
        if position is not None and position.sellable >= view.market.min_size:
            yield QuoteTarget(side, Action.SELL, quote.ask, tolerance=tick, reason="two-sided")

    @hookimpl
    def quote(self, view: View, target: QuoteTarget) -> QuoteTarget | None:
        """Half the size in the window's last third: smaller is what counts, whoever asked for more."""
        if not isinstance(target, QuoteTarget) or target.size is None:
            return None
        if view.time_left_s > view.market.duration_s / 3:
            return None
        half = target.size // 2
        return QuoteTarget(target.side, target.action, target.price, max(half, view.market.min_size), key=target.key)
