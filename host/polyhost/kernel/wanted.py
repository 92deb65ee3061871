"""Is an unknown buy still wanted (U5)? Asked before its bytes are posted again: by today's blocks, limits and clock."""

from __future__ import annotations

from polyhost.kernel.blocks import Blocks, cause_of
from polyhost.kernel.core import Core
from polyhost.kernel.entries import exposure
from polyhost.kernel.legality import LAST_ORDER_MS, illegal
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.kernel.quotes import Quotes
from polyhost.kernel.state import MarketState, OrderEntry
from polyhost.kernel.unknown import Wish
from polyhost.model.words import Purpose


class Wanted:
    """Answers for buys; an unknown sell is never wanted: it is cancelled by its id (U8)."""

    def __init__(self, core: Core, flow: OrderFlow, blocks: Blocks, quotes: Quotes) -> None:
        self.core = core
        self.flow = flow
        self.blocks = blocks
        self.quotes = quotes

    def __call__(self, order: OrderEntry) -> Wish:
        """NO is for good: it is cancelled. WAIT: nothing may be posted now, and nothing is cancelled for it."""
        core = self.core
        entry = core.state.markets[order.slot.condition_id]
        against = [name for name, _ in self.blocks.against(order.slot.purpose)]
        if any(name == "ending" or cause_of(name).lasting for name in against):
            return Wish.NO
        if self.flow.unwanted(order) or self._too_late(entry, order) or not self._within_limits(entry):
            return Wish.NO
        if order.slot.purpose is Purpose.QUOTE and not self.quotes.wanted(order):
            return Wish.NO
        if against or not core.balance_fresh() or not self._fits(entry, order):
            return Wish.WAIT
        return Wish.YES

    def _too_late(self, entry: MarketState, order: OrderEntry) -> bool:
        """No time is left for its purpose: an entry needs some before its position must be closed, a hedge less."""
        core = self.core
        last = entry.market.end - LAST_ORDER_MS
        if order.slot.purpose is not Purpose.HEDGE:
            last = min(last, self.flow.due(order.slot.condition_id))
        return entry.settled or not entry.accepting or core.now >= last

    def _within_limits(self, entry: MarketState) -> bool:
        """Its reservation is counted: limits that it just fitted still hold."""
        limits = self.core.settings.limits
        window, symbol, total = exposure(self.core, entry.market)
        return window <= limits.window and symbol <= limits.symbol and total <= limits.total

    def _fits(self, entry: MarketState, order: OrderEntry) -> bool:
        """The book is known and fresh, the order legal in it, and what is reserved is there."""
        core = self.core
        data = core.data.get(order.slot.condition_id)
        if data is None or self.blocks.book(data, order.slot.purpose) is not None:
            return False
        bid, ask = data.book.best(order.slot.side)
        collateral = core.fresh.collateral
        return (
            illegal(order.draft, entry.market, bid, ask, core.now) is None
            and collateral is not None and collateral >= core.state.balance("reserved")
        )
