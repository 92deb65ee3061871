"""The venue's notifications beside what we know (NOT-03): one that says something new leads to a question, never to a
booking. What concerns nothing of ours is silent."""

from __future__ import annotations

from polyhost.kernel.core import Core
from polyhost.kernel.orders_flow import LOOK_BACK_S
from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import QueryOrder, QueryResult
from polyhost.model.events import Event, RewardPaid, VenueNoticed
from polyhost.model.words import TradeStatus


class VenueWords:
    """Matches notifications to tracked orders and markets."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def concerns(self, event: Event) -> bool:
        """Is it about something of ours?"""
        state = self.core.state
        if isinstance(event, VenueNoticed):
            if event.kind == "resolved":
                return event.condition_id in state.exposed or event.condition_id in state.unredeemed
            return state.by_order_id(event.order_id) is not None
        return isinstance(event, RewardPaid)

    def heard(self, event: VenueNoticed) -> None:
        """Ask about what we did not know."""
        core = self.core
        order = core.state.by_order_id(event.order_id) if event.order_id else None
        match event.kind:
            case "resolved":
                entry = core.market(event.condition_id)
                if entry is not None and not entry.settled:
                    core.command(QueryResult(event.condition_id, entry.market.slug))
            case "cancelled" if order is not None and order.open:
                core.command(QueryOrder(order.order_id))
            case "filled" | "fill_failed" if order is not None and not self._known(order, event):
                core.sweep(order.slot.condition_id, max(order.placed_at // 1_000 - LOOK_BACK_S, 0))
            case _:
                pass

    def _known(self, order: OrderEntry, event: VenueNoticed) -> bool:
        """Is the fill booked, and taken back if it failed?"""
        if not event.trade_id:
            return event.kind == "filled" and order.done >= order.draft.size
        state, key = self.core.state, f"{event.trade_id}/{order.ref}"
        fill = state.fills.get(key)
        status = state.final.get(key) if fill is None else fill.status
        return status is not None and (event.kind == "filled" or status is TradeStatus.FAILED)
