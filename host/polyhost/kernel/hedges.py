"""A wish that became no order is told to its plugin at once: a hedge that cannot be bought holds no stop (EXI-09).

What was refused stands in the view (``view.refused``) until an order of that wish is placed. A hedge is watched after
it is placed, too: one that is unknown (U8), ends without a fill, or has none after ten seconds counts as refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.orders_flow import OrderFlow, describe
from polyhost.kernel.state import OrderEntry
from polyhost.model.view import RefusedView
from polyhost.model.words import OrderState, Purpose, Side

TRY_AGAIN: Final = frozenset({"stale_answer", "late_answer", "balance_age", "pending_orders"})
"""Gates that open in a moment: a hedge behind one is on its way, for as long as an unfilled one may be."""


class Hedges:
    """Remembers refusals by plugin, purpose and side, and watches hedges."""

    def __init__(self, core: Core, flow: OrderFlow, evaluate: Callable[[str], None]) -> None:
        """``evaluate``: ask a market's plugins now."""
        self.core = core
        self.flow = flow
        self.evaluate = evaluate
        self._watched: dict[str, list[str]] = {}
        """Condition id → refs of hedges without a fill."""

    # --- wishes -------------------------------------------------------------------------------------------------------

    def refused(
        self, condition_id: str, plugin: str, purpose: Purpose, side: Side, key: str, gate: str, reason: str
    ) -> bool:
        """Note it for the view; True when a hedge's plugin has to hear it at once."""
        data = self.core.data.get(condition_id)
        if data is None:
            return False
        slot = (plugin, purpose, side, key)
        before = data.refused.get(slot)
        if purpose is Purpose.HEDGE and before is not None and gate in TRY_AGAIN and before.gate not in TRY_AGAIN:
            return False  # what passes in a moment hides nothing that does not
        since = self.core.now if before is None else before.since
        data.refused[slot] = RefusedView(plugin, purpose, side, key, gate, reason, since, self.core.now)
        return purpose is Purpose.HEDGE and (before is None or before.gate != gate)

    def placed(self, condition_id: str, plugin: str, purpose: Purpose, side: Side, key: str) -> None:
        """The wish became an order; a hedge's is watched from now on."""
        self.core.data[condition_id].refused.pop((plugin, purpose, side, key), None)
        if purpose is Purpose.HEDGE:
            self._watch(self.core.state.open_orders(condition_id)[-1])

    def failed(self, condition_id: str, side: Side, plugin: str) -> bool:
        """A hedge of this plugin on this side cannot be bought: nothing may wait for it."""
        data = self.core.data[condition_id]
        patience = self._patience()
        return any(
            told.plugin == plugin and told.purpose is Purpose.HEDGE and told.side is side
            and (told.gate not in TRY_AGAIN or self.core.now - told.since >= patience)
            for told in data.refused.values()
        )

    # --- hedges on their way ------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restart hedges without a fill are watched again, from when they were placed."""
        for condition_id in list(self.core.state.open_refs):
            for order in self.core.state.open_orders(condition_id):
                if order.slot.purpose is Purpose.HEDGE and condition_id in self.core.data:
                    self._watch(order)
                    self.drive(condition_id)

    def drive(self, condition_id: str) -> None:
        """Orders of a market changed: did one of its hedges fail, or fill?"""
        told = False
        for ref in list(self._watched.get(condition_id, ())):
            order = self.core.state.orders[ref]
            if order.traded > 0:
                self._unwatch(order)
                data = self.core.data.get(condition_id)
                if data is not None:
                    data.refused.pop(self._slot(order), None)
            elif not order.open:
                self._unwatch(order)
                told = self._told(order, "unfilled", f"{describe(order)} ended without a fill ({order.cause})") or told
            elif order.state is OrderState.UNKNOWN:
                told = self._told(order, "unknown", f"the outcome of {describe(order)} is unknown") or told
        if told:
            self.evaluate(condition_id)

    def due(self, ref: str) -> None:
        """It had its time: without a fill it is cancelled, and the stop does not wait for it any longer."""
        order = self.core.state.orders[ref]
        if order.traded or not order.open:
            return
        self.flow.cancel(order, for_good=True)
        if self._told(order, "unfilled", f"{describe(order)} had no fill in time"):
            self.evaluate(order.slot.condition_id)

    def _watch(self, order: OrderEntry) -> None:
        watched = self._watched.setdefault(order.slot.condition_id, [])
        if order.ref not in watched:
            watched.append(order.ref)
            self.core.at_market(order.placed_at + self._patience(), "hedge", order.ref)

    def _unwatch(self, order: OrderEntry) -> None:
        condition_id = order.slot.condition_id
        self._watched[condition_id].remove(order.ref)
        if not self._watched[condition_id]:
            del self._watched[condition_id]

    def _told(self, order: OrderEntry, gate: str, reason: str) -> bool:
        return self.refused(order.slot.condition_id, *self._slot(order), gate, reason)

    def _slot(self, order: OrderEntry) -> tuple[str, Purpose, Side, str]:
        slot = order.slot
        return order.why.get("plugin", ""), slot.purpose, slot.side, slot.key

    def _patience(self) -> int:
        return round(self.core.settings.safety.hedge_wait_s * 1_000)
