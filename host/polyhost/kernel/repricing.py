"""Resting entries and the market that leaves them: cancelled when it moves against them, re-priced or cancelled when
it goes far away (ORD-14), gone by the deadline of what they would buy.

Each resting buy has a look of its own once a second; nothing here walks over markets. Quotes have their own rules.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, structs

from polyhost.kernel.blocks import book_problem
from polyhost.kernel.core import Core
from polyhost.kernel.entries import affordable, exposure_rooms, worst_cost
from polyhost.kernel.exits import REPLACE_EVERY_MS
from polyhost.kernel.legality import LAST_ORDER_MS
from polyhost.kernel.lifetimes import ends_at, resting_type
from polyhost.kernel.orders_flow import OrderFlow, describe
from polyhost.kernel.quotes import NEVER_MOVED
from polyhost.kernel.standing import Blocks, refusal
from polyhost.kernel.state import UNFILLED, MarketState, OrderEntry
from polyhost.kernel.views import mid_when_placed
from polyhost.kernel.volatile import MarketData
from polyhost.model.book import Book
from polyhost.model.money import LOT, ONE, Micros, Ticks, price_text, size_text
from polyhost.model.proposals import Reprice
from polyhost.model.rounding import floor_lot, safe_price
from polyhost.model.times import NEVER
from polyhost.model.words import Action, OrderState, Purpose, Side

SHARES: Final = 1_000_000
"""Settings are shares of a price; they are compared in millionths, exactly."""


class Wish(Struct, frozen=True):
    """A re-price under way: the order is being cancelled, its rest is placed at ``price`` when the end is proved."""

    price: Ticks
    plugin: str
    reason: str


class Repricing:
    """Watches resting entries."""

    def __init__(self, core: Core, flow: OrderFlow, blocks: Blocks) -> None:
        self.core = core
        self.flow = flow
        self.blocks = blocks
        self._mids: dict[str, Ticks] = {}
        """Order ref → midpoint when it was first looked at, for orders whose record does not tell it."""
        self._far_since: dict[str, int] = {}
        """Order ref → market ms since which it is far."""
        self._wishes: dict[str, dict[str, Wish]] = {}
        """Condition id → order ref → what follows its end."""
        self._moved: dict[str, int] = {}
        """Order ref → when it was placed as the rest of another, wall ms (T7)."""

    # --- looking ------------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restart every resting entry is looked at again."""
        core = self.core
        for condition_id in list(core.state.open_refs):
            for order in core.state.open_orders(condition_id):
                if order.draft.action is Action.BUY and order.draft.order_type.rests:
                    self.flow.look_later(order.ref)

    def check(self, ref: str) -> None:
        """One resting entry's look: its deadline first, then against, then far (cancelling goes before re-pricing)."""
        core = self.core
        order = core.state.orders[ref]
        if not order.open or order.slot.purpose is Purpose.QUOTE:
            self._forget(ref)
            return
        due = self.flow.due(order.slot.condition_id)
        ends = ends_at(order.draft.order_type, order.valid_until, NEVER)
        if core.now >= due:
            self._give_up(order, "what it would buy had to be closed at once")
        elif core.now >= ends:
            self._give_up(order, "its time is over")
        elif reason := self._judge(order):
            self._give_up(order, reason)
        else:
            self.flow.look_later(ref, min(due, ends))

    def _judge(self, order: OrderEntry) -> str:
        """Why this entry must go now; empty when it may rest on."""
        core, settings = self.core, self.core.settings.pending
        data = core.data.get(order.slot.condition_id)
        if data is None or book_problem(core, data) is not None:
            return ""  # a book that is not to be trusted is no reason for anything
        mid = midpoint(data.book, order.slot.side)
        if mid is None:
            return ""
        then = mid_when_placed(order) or self._mids.setdefault(order.ref, mid)
        own = order.draft.price
        if (then - mid) * SHARES >= own * round(settings.against * SHARES):
            return f"the price moved against it, from {price_text(then)} to {price_text(mid)}"
        tick = core.state.markets[order.slot.condition_id].market.tick
        gone = abs(then - mid)
        far = gone >= settings.far_ticks * tick and gone * SHARES >= own * round(settings.far * SHARES)
        if not far or order.ref in self._wishes.get(order.slot.condition_id, {}):
            self._far_since.pop(order.ref, None)
            return ""
        since = self._far_since.setdefault(order.ref, core.now)
        if core.now - since < round(settings.answer_s * 1_000):
            return ""
        return f"the market went from {price_text(then)} to {price_text(mid)} and nobody re-priced it"

    def _give_up(self, order: OrderEntry, reason: str) -> None:
        self._wishes.get(order.slot.condition_id, {}).pop(order.ref, None)
        self._forget(order.ref)
        self.core.notice(
            "pending_cancelled", order.ref, f"{describe(order)} is cancelled: {reason}",
            order.slot.condition_id,
        )
        self.flow.cancel(order, for_good=True)

    def _forget(self, ref: str) -> None:
        self._mids.pop(ref, None)
        self._far_since.pop(ref, None)
        self._moved.pop(ref, None)

    # --- re-pricing ---------------------------------------------------------------------------------------------------

    def want(self, condition_id: str, wish: Reprice, plugin: str) -> None:
        """A plugin wants one of its resting entries at another price. What may not be moved is told, and stays."""
        core = self.core
        order = core.state.orders.get(wish.ref)
        refused = self._refusal(condition_id, order, wish, plugin)
        if refused or order is None:
            core.notice(
                "reprice_refused", f"{wish.ref}:{plugin}",
                f"{plugin} may not re-price {wish.ref or 'an order without ref'}: {refused}", condition_id,
            )
            return
        price = self._price(order, wish.price)
        waits = core.wall - self._moved.get(order.ref, NEVER_MOVED) < REPLACE_EVERY_MS
        if price is None or price == order.draft.price or waits or order.state is not OrderState.WORKING:
            return  # no change, T7, or a change in flight (T4): its owner will say it again if it still wants it
        self._wishes.setdefault(condition_id, {})[order.ref] = Wish(price, plugin, wish.reason)
        self.flow.cancel(order, for_good=True)

    def _refusal(self, condition_id: str, order: OrderEntry | None, wish: Reprice, plugin: str) -> str:
        if order is None or order.slot.condition_id != condition_id:
            return "no such order in this market"
        if order.draft.action is not Action.BUY or not order.draft.order_type.rests or not order.open:
            return "it is no resting entry"
        if order.slot.purpose is Purpose.QUOTE:
            return "a quote is moved by its target"
        owner = order.why.get("plugin", "")
        if owner != plugin:
            return f"it belongs to {owner or 'nobody'}"
        market = self.core.state.markets[condition_id].market
        if order.open_upper < market.min_size:
            return "what is left could not be placed again (minimum size)"  # T6
        return ""

    def _price(self, order: OrderEntry, price: Ticks) -> Ticks | None:
        """On the grid, and a tick away from the ask; None when no such price is left."""
        condition_id = order.slot.condition_id
        market, data = self.core.state.markets[condition_id].market, self.core.data.get(condition_id)
        if data is None:
            return None
        _, ask = data.book.best(order.slot.side)
        if ask - market.tick < market.tick:
            return None
        return safe_price(Action.BUY, min(price, ask - market.tick), market.tick)

    def drive(self, condition_id: str) -> None:
        """Orders that were being moved and are proved over: what is left of them is placed at the new price (T4)."""
        wishes = self._wishes.get(condition_id)
        if not wishes:
            return
        for ref, wish in list(wishes.items()):
            order = self.core.state.orders[ref]
            if order.open:
                continue
            del wishes[ref]
            left = order.draft.size - order.done
            if left > 0:
                said = self._again(order, wish, left)
                if said:
                    self.core.notice(
                        "reprice_rest", ref,
                        f"The rest of {describe(order)} ({size_text(left)}) is not placed at {price_text(wish.price)}:"
                        f" {said}", condition_id,
                    )

    def _again(self, order: OrderEntry, wish: Wish, left: Micros) -> str:
        """Place the rest; the answer says why not."""
        core = self.core
        entry, data = core.market(order.slot.condition_id), core.data.get(order.slot.condition_id)
        if entry is None or data is None:
            return "the market is not followed"
        refused = self._not_now(entry, data, order)
        price = self._price(order, wish.price)
        if refused or price is None:
            return refused or "no price is left that would not take"
        market = entry.market
        limited, room = min(exposure_rooms(core, market), key=lambda named: named[1])
        size = min(floor_lot(left), affordable(max(room, 0), price, LOT, market))
        if size < market.min_size:
            return f"{size_text(size)} is below the minimum ({limited})"
        order_type, expiration_s = resting_type(core.now, order.valid_until)
        draft = structs.replace(
            order.draft, ref=self.flow.next_ref(), price=price, size=size, tick=market.tick, order_type=order_type,
            expiration_s=expiration_s,
        )
        bid, ask = data.book.best(order.slot.side)
        why = {
            **order.why, "reason": wish.reason or order.why.get("reason", ""), "bid": price_text(bid),
            "ask": price_text(ask), "book_epoch": str(data.book.epoch), "moved_from": order.ref,
            "moved_price": price_text(order.draft.price),
        }
        self._moved[draft.ref] = core.wall
        illegal = self.flow.place(
            order.slot, draft, worst_cost(size, price, market), why, valid_until=order.valid_until
        )
        return "" if illegal is None else illegal.text

    def _not_now(self, entry: MarketState, data: MarketData, order: OrderEntry) -> str:
        core, slot = self.core, order.slot
        if order.cause not in ("ended", UNFILLED):
            return f"it ended otherwise ({order.cause})"
        due = self.flow.due(slot.condition_id)
        refused = refusal(core, entry, data, due, self.blocks, slot.purpose)
        if refused:
            return refused
        if core.now > entry.market.end - LAST_ORDER_MS:
            return "too close to the end"
        if 0 < order.valid_until <= core.now:
            return "its time is over"
        if any(other.slot == slot for other in core.state.open_orders(slot.condition_id)):
            return "its slot was taken meanwhile"
        return "" if core.balance_fresh() else "the balance is too old"


def midpoint(book: Book, side: Side) -> Ticks | None:
    """Midpoint of a token, rounded down; None while a side is empty."""
    bid, ask = book.best(side)
    return (bid + ask) // 2 if 0 < bid < ask < ONE else None
