"""Orders on their way: signing, posting, answers, fills, the ends, and what to do while nobody knows (rules U).

Nothing here decides whether an order is wanted; it only carries the wish out and never loses sight of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.legality import Illegal, illegal
from polyhost.kernel.orders import is_terminal, moved
from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import Cancel, Post, Prepare, QueryOrder, QueryTokenBalance, Sweep
from polyhost.model.events import (
    CancelAnswered,
    OrderNotFound,
    OrderSeen,
    PostAnswered,
    Prepared,
    PrepareFailed,
    SweepDone,
    TradeSeen,
)
from polyhost.model.gateway import OrderDraft, OrderRow, TradeRow
from polyhost.model.money import Micros, Ticks, money_text, price_text, size_text, taker_fee
from polyhost.model.records import (
    EntriesBlocked,
    FillBooked,
    FillMoved,
    ObligationSet,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    Slot,
)
from polyhost.model.times import NEVER
from polyhost.model.words import Action, OrderState, Side, TradeStatus

LADDER_MS: Final = (0, 250, 500, 1_000, 2_000, 4_000)
"""U4: when an unknown order is asked for, wall ms after it became unknown; then every LADDER_EVERY_MS."""
LADDER_EVERY_MS: Final = 5_000
CANCEL_EVERY_MS: Final = 250
"""A cancel that the venue did not take is not sent again before this, wall ms (ORD-07)."""
SIGN_WAIT_MS: Final = 5_000
"""An order that is not signed after this is given up, wall ms; nothing of it was sent."""
FAK_CHECK_MS: Final = 250
"""A FAK that was accepted and not closed by the stream is asked for by id after this, wall ms."""
FAK_CHECKS: Final = 3
"""So often it is asked for (over 10 s) before a complete sweep that does not show it proves its end."""
PENDING_EVERY_MS: Final = 1_000
"""A resting entry's distance from the market is judged this often, market ms (ORD-14)."""
SETTLE_CHECK_MS: Final = 5_000
"""Unsettled trades are looked up this often, wall ms."""
LOOK_BACK_S: Final = 60
"""Sweeps ask for trades since this long before the post (U4) or the last match seen."""
ABSENT_AFTER_MS: Final = 60_000
"""U6, second way: a market that takes no orders, and one complete sweep this long (market ms) after its end."""


class OrderFlow:
    """Carries orders out and books what becomes of them."""

    def __init__(
        self, core: Core, on_change: Callable[[str, Side], None], settle_late: Callable[[str, Side], None],
        late_fill: Callable[[str], None], sell_refused: Callable[[OrderEntry, str], None],
    ) -> None:
        self.core = core
        self.sell_refused = sell_refused
        """Called with a sell that was refused or not signed and the code why, before its exit is looked at again."""
        self.late_fill = late_fill
        """Called when an order that was proved absent shows a fill (U7)."""
        self.settle_late = settle_late
        """Called when a fill arrives for a market that is settled already: its shares are paid at once."""
        self.on_change = on_change
        """Called with the market and side whose orders or position changed: exits are looked at again."""
        self._ladders: dict[str, int] = {}
        """Condition id → step of its ladder."""
        self._settle_watch: set[str] = set()
        self._foreign: set[str] = set()
        self._posts: dict[str, int] = {}
        """Order ref → posts made of its bytes, in this run or perhaps before it."""
        self._unwanted: set[str] = set()
        """Orders that were to be cancelled while they were on their way to the venue."""
        self._cancelled: dict[str, int] = {}
        """Order ref → when its last cancel left, wall ms."""
        self._over: set[str] = set()
        """Orders whose end is proved with its size, and some of whose fills are not here yet."""
        self._checks: dict[str, int] = {}
        """Order ref → how often its end was asked for."""
        self._checking: set[str] = set()
        """Orders with a check of their end under way."""

    # --- out ----------------------------------------------------------------------------------------------------------

    def place(self, slot: Slot, draft: OrderDraft, reserve: Micros, why: dict[str, str]) -> Illegal | None:
        """Take the slot, reserve the funds and have the order signed.

        The caller has checked that it is wanted and can be paid for. An order that breaks a rule of ORD-06 leaves no
        trace but a notice; the answer is the rule.
        """
        core = self.core
        refused = self._illegal(slot, draft)
        if refused is not None:
            return refused
        core.record(OrderIntended(core.now, slot, draft, reserve, why))
        if reserve:
            core.record(ledger.reserve(core.now, draft.ref, reserve))
        core.command(Prepare(draft))
        core.at_wall(core.wall + SIGN_WAIT_MS, "sign_wait", draft.ref)
        if draft.action is Action.BUY and draft.order_type.rests:
            self.look_later(draft.ref)
        return None

    def look_later(self, ref: str, latest: int = NEVER) -> None:
        """A resting entry's distance from the market is judged again in a second, or at ``latest`` (market ms)."""
        self.core.at_market(min(self.core.now + PENDING_EVERY_MS, latest), "pending", ref)

    def _illegal(self, slot: Slot, draft: OrderDraft) -> Illegal | None:
        core = self.core
        condition_id = slot.condition_id
        bid, ask = core.data[condition_id].book.best(slot.side)
        refused = illegal(draft, core.state.markets[condition_id].market, bid, ask, core.now)
        if refused is not None:
            core.notice(
                f"illegal:{refused.rule}:{slot.purpose.value}:{condition_id}", "warning", "orders",
                f"{slot.purpose.value} {slot.side.value} was not sent: {refused.text}", condition_id,
            )
        return refused

    def next_ref(self) -> str:
        return f"o{self.core.state.order_count + 1:06d}"

    def cancel(self, order: OrderEntry, *, for_good: bool = False) -> bool:
        """Ask the venue to cancel; one cancel an order in flight (ORD-07). True when one was sent.

        ``for_good``: again whenever it is seen live, until its end is proved; nobody will ask a second time.
        """
        core = self.core
        if for_good or order.state in (OrderState.INTENDED, OrderState.PREPARED):
            self._unwanted.add(order.ref)  # on its way: cancelled as soon as it is at the venue, or never sent
        if order.state in (OrderState.INTENDED, OrderState.PREPARED):
            return False
        if order.state not in (OrderState.WORKING, OrderState.UNKNOWN):
            return False
        if self.cancel_age(order) < CANCEL_EVERY_MS:
            return False
        self._cancelled[order.ref] = core.wall
        if order.state is OrderState.WORKING:
            self._move(order, "cancel_sent")
        self.core.command(Cancel(order.order_id))
        self.core.at_wall(self.core.wall + self.core.settings.safety.unknown_after_ms, "cancel_wait", order.ref)
        return True

    def cancelled(self, order: OrderEntry) -> bool:
        """Has a cancel of it left in this run?"""
        return order.ref in self._cancelled

    def cancel_age(self, order: OrderEntry) -> int:
        """Wall ms since its last cancel left; very long ago when none did in this run."""
        return self.core.wall - self._cancelled.get(order.ref, -(1 << 40))

    # --- answers ------------------------------------------------------------------------------------------------------

    def sign_wait(self, ref: str) -> None:
        """Nothing came back from signing: given up. A signature that comes later is never posted."""
        if self.core.state.orders[ref].state is OrderState.INTENDED:
            self.prepare_failed(PrepareFailed(ref, "no signature in time"))

    def prepared(self, event: Prepared) -> None:
        order = self.core.state.orders.get(event.ref)
        if order is None or order.state is not OrderState.INTENDED:
            return
        core = self.core
        if event.ref in self._unwanted or not self._still_held(order):
            self._close(order, "never_sent")
            self._changed(order)
            return
        core.record(OrderPrepared(core.now, event.ref, event.request))
        core.command(Post(event.request))
        self._posts[event.ref] = self._posts.get(event.ref, 0) + 1
        core.at_wall(core.wall + core.settings.safety.unknown_after_ms, "post_wait", event.ref)

    def _still_held(self, order: OrderEntry) -> bool:
        """A sell is for what is held when it leaves: a fill, or one that failed, may have come while it was signed."""
        if order.draft.action is Action.BUY:
            return True
        position = self.core.state.position(order.slot.condition_id, order.slot.side)
        return position is not None and order.draft.size <= (
            min(position.size, position.settled - position.sold) - position.paired
        )

    def prepare_failed(self, event: PrepareFailed) -> None:
        order = self.core.state.orders.get(event.ref)
        if order is None or order.state is not OrderState.INTENDED:
            return
        core = self.core
        self._close(order, "not_signed")
        if order.draft.action is Action.SELL:
            self.sell_refused(order, "not_signed")
        if event.configuration:
            core.record(EntriesBlocked(core.now, "signing", True, event.reason))
            core.notice("signing", "critical", "orders", f"Orders cannot be signed: {event.reason}")
        else:
            core.notice(
                "prepare", "warning", "orders", f"Order {event.ref} was not signed: {event.reason}",
                order.slot.condition_id,
            )
        self._changed(order)

    def post_answered(self, event: PostAnswered) -> None:
        order = self.core.state.by_order_id(event.order_id)
        if order is None:
            return
        core = self.core
        if event.blocks:
            core.record(EntriesBlocked(core.now, event.blocks, True, event.text))
            core.notice(f"block:{event.blocks}", "critical", "orders", f"New entries are off: {event.text}")
        if event.outcome == "accepted":
            if order.state in (OrderState.PREPARED, OrderState.UNKNOWN, OrderState.WORKING):
                self._move(order, "accepted", present=True)
                self._cancel_unwanted(order)
            if not order.draft.order_type.rests and order.open:
                self._recheck(order, FAK_CHECK_MS)
        elif event.outcome == "refused":
            self._refused(order, event)
        else:
            self._unknown(order, event.text or "no usable answer")
        self._changed(order)

    def _cancel_unwanted(self, order: OrderEntry) -> None:
        """It was to be cancelled (kill, stop, a plugin's wish) and is live all the same."""
        if order.ref in self._unwanted and order.draft.order_type.rests and order.state is OrderState.WORKING:
            self.cancel(order)

    def _refused(self, order: OrderEntry, event: PostAnswered) -> None:
        """U3: a refusal proves absence only if it answers the only post ever made of these bytes."""
        if moved(order.state, "refused") is not None and not order.present and self._posts.get(order.ref, 1) == 1:
            self._close(order, "refused")
            core = self.core
            if order.draft.action is Action.SELL:
                self.sell_refused(order, event.code)
            core.notice(
                f"refused:{event.code}:{order.slot.condition_id}", "info", "orders",
                f"The venue refused {describe(order)}: {event.text}", order.slot.condition_id,
            )

    def post_wait(self, ref: str) -> None:
        """U1: no answer for so long; a late one still counts."""
        order = self.core.state.orders[ref]
        if order.state is OrderState.PREPARED:
            self._unknown(order, "no answer in time")
            self._changed(order)

    def _unknown(self, order: OrderEntry, reason: str) -> None:
        if moved(order.state, "unknown") is None:
            return
        core = self.core
        condition_id = order.slot.condition_id
        self._move(order, "unknown")
        core.notice(
            f"unknown:{order.ref}", "warning", "orders",
            f"The outcome of {describe(order)} is unknown ({reason}); its slot and reservation stay", condition_id,
        )
        if order.draft.action is Action.SELL or order.ref in self._unwanted:
            self._cancelled[order.ref] = core.wall
            core.command(Cancel(order.order_id))  # U8: an unknown sell is cancelled by id
        if condition_id not in self._ladders:
            self._ladders[condition_id] = 0
            self.ladder(condition_id)
        else:
            core.command(QueryOrder(order.order_id))  # the ladder under way may be at its long steps

    def cancel_answered(self, event: CancelAnswered) -> None:
        """A bare ``canceled`` is not the final matched size (T4), "not found" is no end (ORD-07): both re-read it."""
        order = self.core.state.by_order_id(event.order_id)
        if order is None or not order.open:
            return
        if event.outcome in ("canceled", "gone"):
            cause = "seen" if moved(order.state, "seen") is not None else ""
            if cause and not order.present:
                self._move(order, cause, present=True)
        elif event.outcome in ("unknown", "delayed") and order.state is OrderState.CANCELLING:
            self._move(order, "cancel_lost")
        self.core.command(QueryOrder(event.order_id))
        self._changed(order)

    def cancel_wait(self, ref: str) -> None:
        """No end was proved since the cancel left: read the order's status before anything else (ORD-07)."""
        order = self.core.state.orders[ref]
        if order.open:
            if order.state is OrderState.CANCELLING:
                self._move(order, "cancel_lost")
            self.core.command(QueryOrder(order.order_id))
            if ref in self._unwanted:
                self._recheck(order, LADDER_EVERY_MS)
            self._changed(order)

    def order_check(self, ref: str) -> None:
        """Its end should be known by now: ask by id and for its trades, and again until it is closed."""
        self._checking.discard(ref)
        order = self.core.state.orders[ref]
        if order.open and order.order_id:
            self._checks[ref] = self._checks.get(ref, 0) + 1
            self.core.command(QueryOrder(order.order_id))
            self.core.command(Sweep(order.slot.condition_id, self._since(order), self.core.wall))
            self._recheck(order, LADDER_EVERY_MS)

    def _recheck(self, order: OrderEntry, after_ms: int) -> None:
        if order.ref not in self._checking:
            self._checking.add(order.ref)
            self.core.at_wall(self.core.wall + after_ms, "order_check", order.ref)

    # --- facts --------------------------------------------------------------------------------------------------------

    def order_seen(self, event: OrderSeen) -> None:
        order = self.core.state.by_order_id(event.row.order_id)
        if order is None:
            self._foreign_order(event.row)
            return
        self._row(order, event.row)
        self._changed(order)

    def order_not_found(self, event: OrderNotFound) -> None:
        """404 or empty: proves nothing (U4). Trades and the open list are asked for beside it."""
        order = self.core.state.by_order_id(event.order_id)
        if order is not None and order.open and order.slot.condition_id not in self._ladders:
            self.core.command(Sweep(order.slot.condition_id, self._since(order), self.core.wall))

    def _row(self, order: OrderEntry, row: OrderRow) -> None:
        """The venue showed the order: presence for ever (U2), perhaps its end."""
        told = order.told if row.size_matched is None else max(row.size_matched, order.told)
        if not order.open:
            if told > order.told and order.done < told:
                self._late(order, told)
            return
        if moved(order.state, "seen") is not None and (not order.present or told > order.told):
            self._move(order, "seen", matched=told, present=True)
        ended = is_terminal(row.status, row.size_matched, order.draft.size, order.draft.order_type.rests)
        if not ended and row.kind != "CANCELLATION":
            self._cancel_unwanted(order)
            return
        if row.size_matched is None or order.missing:
            # The end is proved, the fills are not all here: they are fetched before the order is closed.
            if row.size_matched is not None:
                self._over.add(order.ref)
            self._recheck(order, FAK_CHECK_MS)
            return
        self._close(order, "filled" if order.done >= order.draft.size else "ended")

    def _late(self, order: OrderEntry, told: Micros) -> None:
        core = self.core
        if order.cause == "absent":
            self.late_fill(f"{describe(order)} was absent and now shows {size_text(told)} matched")
        core.notice(
            f"late:{order.ref}", "critical", "orders",
            f"{describe(order)} was closed ({order.cause}) and now shows {size_text(told)} matched",
            order.slot.condition_id,
        )
        core.command(Sweep(order.slot.condition_id, self._since(order), self.core.wall))

    def trade_seen(self, event: TradeSeen) -> None:
        self._trade(event.row)

    def _trade(self, row: TradeRow) -> None:
        """Book our own orders' slices of a trade, and nothing else of it (field.md 8)."""
        state = self.core.state
        taker = state.by_order_id(row.taker_order_id)
        if taker is not None:
            self._slice(taker, row, row.price, row.size, maker=False)
        for part in row.makers:
            order = state.by_order_id(part.order_id)
            if order is not None:
                self._slice(order, row, part.price, part.size, maker=True)

    def _slice(self, order: OrderEntry, row: TradeRow, price: Ticks, size: Micros, *, maker: bool) -> None:
        key = f"{row.trade_id}/{order.ref}"
        core = self.core
        known = core.state.fills.get(key)
        status = _status(row.status)
        if status is None:
            core.notice(
                f"status:{row.status}", "warning", "orders",
                f"Trade {row.trade_id} has the unknown status {row.status!r}; it counts as matched until that is clear",
                order.slot.condition_id,
            )
            status = TradeStatus.MATCHED
        if known is None:
            if status is not TradeStatus.FAILED:
                self._book(order, row, price, size, status, maker=maker)
            elif order.open:
                self._book_failed(order, row, price, size, maker=maker)
        elif known.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED) and _later(known.status, status):
            self._advance(order, row, known.fill, status)
        self._changed(order)

    def _book(
        self, order: OrderEntry, row: TradeRow, price: Ticks, size: Micros, status: TradeStatus, *, maker: bool
    ) -> None:
        core = self.core
        slot = order.slot
        entry = core.state.markets[slot.condition_id]
        fees = entry.market.fees
        fee = 0 if maker else taker_fee(size, price, fees.rate, fees.exponent)
        money = size * price // 10_000
        buy = order.draft.action is Action.BUY
        release = min(money + fee, order.reserve) if buy else 0
        fill = FillBooked(
            core.now, row.trade_id, order.ref, slot, order.draft.token_id, order.draft.action, price, size, money, fee,
            status, maker, release,
        )
        if not order.open:
            self._late(order, order.traded + size)
        elif moved(order.state, "seen") is not None and not order.present:
            self._move(order, "seen", present=True)
        core.record(fill)
        core.record(ledger.fill(fill))
        if buy and not entry.settled:
            self._oblige(slot)
        if status is TradeStatus.CONFIRMED:
            core.command(QueryTokenBalance(order.draft.token_id))
        else:
            self._watch_settlement(slot.condition_id)
        core.tell("on_fill", slot.condition_id, fill)
        if entry.settled:
            self.settle_late(slot.condition_id, slot.side)
        if order.open and order.traded >= order.draft.size:
            self._close(order, "filled")
        elif order.open and order.ref in self._over and not order.missing:
            self._close(order, "ended")

    def _book_failed(self, order: OrderEntry, row: TradeRow, price: Ticks, size: Micros, *, maker: bool) -> None:
        """A trade that had failed before we heard of it: booked and taken back at once.

        The venue counts it as matched; without a trace of it the order would wait for a missing fill for ever.
        """
        core = self.core
        draft = order.draft
        fill = FillBooked(
            core.now, row.trade_id, order.ref, order.slot, draft.token_id, draft.action, price, size,
            size * price // 10_000, 0, TradeStatus.MATCHED, maker, 0,
        )
        if moved(order.state, "seen") is not None and not order.present:
            self._move(order, "seen", present=True)
        core.record(fill)
        core.record(ledger.fill(fill))
        core.record(FillMoved(core.now, row.trade_id, order.ref, TradeStatus.FAILED))
        core.record(ledger.void(core.now, fill))
        if order.ref in self._over and not order.missing:
            self._close(order, "ended")

    def _oblige(self, slot: Slot) -> None:
        self.oblige(slot.condition_id, slot.side)

    def oblige(self, condition_id: str, side: Side) -> None:
        """From now on the position must be closed or held by a deadline (one a position)."""
        core = self.core
        key = f"{condition_id}:{side.value}"
        if key not in core.state.obligations:
            due = self.due(condition_id)
            core.record(ObligationSet(core.now, condition_id, side, due))
            core.at_market(due, "obligation", key)

    def due(self, condition_id: str) -> int:
        """When the position must be closed or held: 120 s before the end of a 15-minute window, scaled (EXI-11)."""
        market = self.core.state.markets[condition_id].market
        seconds = self.core.settings.safety.close_before_expiry_s
        if market.duration_s and market.duration_s < 900:
            seconds = seconds * market.duration_s / 900
        return market.end - round(seconds * 1_000)

    def _advance(self, order: OrderEntry, row: TradeRow, fill: FillBooked, status: TradeStatus) -> None:
        core = self.core
        core.record(FillMoved(core.now, row.trade_id, order.ref, status))
        if status is TradeStatus.FAILED:
            core.record(ledger.void(core.now, fill))
            self._voided(fill.slot)
            core.notice(
                f"failed:{row.trade_id}", "critical", "orders",
                f"Trade {row.trade_id} of {describe(order)} failed on chain; its fill was taken back",
                order.slot.condition_id,
            )
            core.command(QueryTokenBalance(order.draft.token_id))
        elif status is TradeStatus.CONFIRMED:
            if fill.action is Action.BUY and not core.state.markets[fill.slot.condition_id].settled:
                core.record(ledger.settle(core.now, fill))
            core.command(QueryTokenBalance(order.draft.token_id))

    def _voided(self, slot: Slot) -> None:
        """A fill was taken back: a decided market pays for what is left, else what we hold again has its deadline."""
        state = self.core.state
        position = state.position(slot.condition_id, slot.side)
        if state.markets[slot.condition_id].settled:
            self.settle_late(slot.condition_id, slot.side)
        elif position is not None and position.size > 0 and not position.held:
            self._oblige(slot)

    def _foreign_order(self, row: OrderRow) -> None:
        """An order of this key that we never signed: told once, never touched (OPS-06)."""
        if row.order_id not in self._foreign:
            self._foreign.add(row.order_id)
            self.core.notice(
                f"foreign:{row.order_id}", "warning", "orders",
                f"Order {row.order_id[:12]}… ({row.action.value} {size_text(row.original_size)} at "
                f"{price_text(row.price)}) is not ours: reported, not managed", row.condition_id,
            )

    # --- asking -------------------------------------------------------------------------------------------------------

    def ladder(self, condition_id: str) -> None:
        """U4: one ladder a market, shared by its unknown orders."""
        unknown = [o for o in self.core.state.open_orders(condition_id) if o.state is OrderState.UNKNOWN]
        if not unknown:
            self._ladders.pop(condition_id, None)
            return
        core = self.core
        step = self._ladders.get(condition_id, 0)
        for order in unknown:
            core.command(QueryOrder(order.order_id))
        core.command(Sweep(condition_id, min(self._since(order) for order in unknown), core.wall))
        self._ladders[condition_id] = step + 1
        following = step + 1
        wait = LADDER_MS[following] - LADDER_MS[step] if following < len(LADDER_MS) else LADDER_EVERY_MS
        core.at_wall(core.wall + wait, "ladder", condition_id)

    def sweep_done(self, event: SweepDone) -> None:
        for trade in event.trades:
            self._trade(trade)
        listed = set()
        for row in event.orders:
            listed.add(row.order_id)
            order = self.core.state.by_order_id(row.order_id)
            if order is None:
                self._foreign_order(row)
            else:
                self._row(order, row)
                self._changed(order)
        if not event.complete:
            return
        for condition_id in [event.condition_id] if event.condition_id else list(self.core.state.open_refs):
            for order in self.core.state.open_orders(condition_id):
                if order.order_id and order.order_id not in listed:
                    self._not_listed(order, from_start=not event.condition_id)

    def _not_listed(self, order: OrderEntry, *, from_start: bool) -> None:
        """Not among the open orders: that is no proof of its end. It is asked by id, or, after the market, given up."""
        core = self.core
        entry = core.state.markets[order.slot.condition_id]
        if order.state is OrderState.UNKNOWN:
            if not order.present and core.now >= entry.market.end + ABSENT_AFTER_MS:
                self._close(order, "absent")
                self._changed(order)
        elif (
            order.state in (OrderState.WORKING, OrderState.CANCELLING) and not order.draft.order_type.rests
            and self._checks.get(order.ref, 0) >= FAK_CHECKS and not order.missing
        ):
            # It cannot rest, it was accepted seconds ago, every trade is here and it is not open: it is over, whatever
            # its id says.
            self._close(order, "ended")
            self._changed(order)
        elif from_start and order.state in (OrderState.WORKING, OrderState.CANCELLING):
            core.command(QueryOrder(order.order_id))

    def settle_check(self, condition_id: str) -> None:
        """Trades that are neither CONFIRMED nor FAILED are looked up until they are."""
        if any(where == condition_id for where in self.core.state.unsettled.values()):
            core = self.core
            # Since its order was placed: the venue's match time is earlier than our booking, perhaps by a downtime.
            since = min(
                self._since(core.state.orders[key.rpartition("/")[2]])
                for key, where in core.state.unsettled.items() if where == condition_id
            )
            core.command(Sweep(condition_id, since, core.wall))
            core.at_wall(core.wall + SETTLE_CHECK_MS, "settle_check", condition_id)
        else:
            self._settle_watch.discard(condition_id)

    def _watch_settlement(self, condition_id: str) -> None:
        if condition_id not in self._settle_watch:
            self._settle_watch.add(condition_id)
            self.core.at_wall(self.core.wall + SETTLE_CHECK_MS, "settle_check", condition_id)

    def recover(self) -> None:
        """After a restart: what was only intended was never sent; what was prepared may be anywhere (U1)."""
        for order in list(self.core.state.orders.values()):
            if order.state is OrderState.INTENDED:
                self._close(order, "never_sent")
            elif order.state is OrderState.PREPARED:
                self._posts[order.ref] = 2  # it may have been posted before: no refusal proves absence any more (U3)
                self._unknown(order, "the host restarted before its answer")
            elif order.state is OrderState.UNKNOWN:
                self._posts[order.ref] = 2
                if order.slot.condition_id not in self._ladders:
                    self._ladders[order.slot.condition_id] = 0
                    self.ladder(order.slot.condition_id)
            elif order.state is OrderState.CANCELLING:
                self._move(order, "cancel_lost")
            if order.open and not order.draft.order_type.rests and order.order_id:
                self._recheck(order, FAK_CHECK_MS)  # its end should be known: asked until it is
        for condition_id in dict.fromkeys(self.core.state.unsettled.values()):
            self._watch_settlement(condition_id)

    def market_settled(self, condition_id: str) -> None:
        """The venue has decided the market: nothing rests there any more."""
        for order in list(self.core.state.open_orders(condition_id)):
            if order.state is OrderState.INTENDED:
                self._close(order, "never_sent")
            elif moved(order.state, "market_resolved") is not None:
                self._close(order, "market_resolved")
            else:
                self._unknown(order, "the market was resolved before its answer")
                if order.state is OrderState.UNKNOWN:
                    self._close(order, "market_resolved")

    # --- moves --------------------------------------------------------------------------------------------------------

    def _move(self, order: OrderEntry, cause: str, *, matched: Micros = 0, present: bool = False) -> None:
        state = moved(order.state, cause)
        assert state is not None, (order.ref, order.state, cause)
        core = self.core
        record = OrderMoved(core.now, order.ref, state, cause, max(matched, order.told), 0, present)
        core.record(record)
        core.tell("on_order", order.slot.condition_id, record)

    def _close(self, order: OrderEntry, cause: str) -> None:
        """The end, proved: what is still reserved is free again."""
        core = self.core
        left = order.reserve
        record = OrderMoved(core.now, order.ref, OrderState.CLOSED, cause, order.told, left, False)
        core.record(record)
        self._unwanted.discard(order.ref)
        self._over.discard(order.ref)
        self._checks.pop(order.ref, None)
        self._cancelled.pop(order.ref, None)
        self._posts.pop(order.ref, None)
        if left:
            core.record(ledger.release(core.now, order.ref, left))
        core.tell("on_order", order.slot.condition_id, record)

    def _changed(self, order: OrderEntry) -> None:
        self.on_change(order.slot.condition_id, order.slot.side)

    def _since(self, order: OrderEntry) -> int:
        return max(order.placed_at // 1_000 - LOOK_BACK_S, 0)


def describe(order: OrderEntry) -> str:
    """An order in a trader's words."""
    draft = order.draft
    return (
        f"{order.slot.purpose.value} {order.ref}: {draft.action.value} {size_text(draft.size)} "
        f"{order.slot.side.value} at {price_text(draft.price)} {draft.order_type.value}"
        + (f", {money_text(order.reserve)} reserved" if order.reserve else "")
    )


_RANK: Final = {TradeStatus.MATCHED: 0, TradeStatus.RETRYING: 1, TradeStatus.MINED: 1, TradeStatus.CONFIRMED: 2}


def _status(text: str) -> TradeStatus | None:
    """The trade status the venue's word stands for; None for a word we do not know."""
    word = text.upper().removeprefix("TRADE_STATUS_")
    if word == "MATCHED_NOT_BROADCASTED":
        return TradeStatus.MATCHED
    try:
        return TradeStatus(word)
    except ValueError:
        return None


def _later(known: TradeStatus, seen: TradeStatus) -> bool:
    """True when the news is newer than what is known: streams repeat and reorder statuses."""
    return seen is TradeStatus.FAILED or (seen is not known and _RANK[seen] >= _RANK[known])
