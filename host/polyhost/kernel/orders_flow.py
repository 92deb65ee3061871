"""Orders on their way: signing, posting, answers, fills, the ends, and what to do while nobody knows (rules U).

Nothing here decides whether an order is wanted; it only carries the wish out and never loses sight of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType, structs

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.legality import LAST_ORDER_MS, Illegal, illegal
from polyhost.kernel.orders import moved
from polyhost.kernel.shortage import CODES as SHORTAGES
from polyhost.kernel.shortage import Known, Shortage, shortage
from polyhost.kernel.state import UNFILLED, OrderEntry
from polyhost.kernel.status_words import ends, order_word, trade_status, unclear
from polyhost.kernel.unknown import LADDER_EVERY_MS, Unknown
from polyhost.model.commands import Cancel, Post, Prepare, QueryOrder
from polyhost.model.events import (
    CancelAnswered,
    OrderNotFound,
    OrderSeen,
    PostAnswered,
    PostLeft,
    Prepared,
    PrepareFailed,
    SweepDone,
    TradeSeen,
)
from polyhost.model.gateway import OrderDraft, OrderRow, TradeRow
from polyhost.model.money import Micros, Ticks, money_text, price_text, size_text
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
from polyhost.model.step import Step
from polyhost.model.times import NEVER
from polyhost.model.unanswered import AWAY
from polyhost.model.words import Action, OrderState, Purpose, Side, TradeStatus

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
TOUCHED_MS: Final = 5_000
"""T8, ORD-19: a refusal for balance this soon after our own cancel or fill is *not yet*, wall ms."""
TOUCHED_MAX: Final = 1_024
"""Tokens of which that is remembered."""
NOWHERE_MS: Final = 60_000
"""An order that rested, whose id the venue no longer knows, is over when complete sweeps begun so far apart (market ms)
do not list it: the venue may answer by id for what lives alone."""
FOREIGN_MAX: Final = 4_096
"""Orders of others that are remembered, so that each is told once; the oldest is forgotten beyond it."""


class Driven:
    """Sides whose orders took their step since a turn last said something."""

    __slots__ = ("said", "sides", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.said = len(step.records) + len(step.commands)
        """Both only grow within a turn."""
        self.sides: set[tuple[str, Side]] = set()


BY_HAND_MS: Final = 5_000
"""What a trade by hand left shows in the venue's count of positions so much later, wall ms."""


class Watched(NamedTuple):
    """An order that a shadow account would have placed."""

    rule: str
    text: str


class OrderFlow:
    """Carries orders out and books what becomes of them."""

    def __init__(
        self, core: Core, on_change: Callable[[str, Side], None], settle_late: Callable[[str, Side], None],
        late_fill: Callable[[str], None], sell_refused: Callable[[OrderEntry, str, str], None],
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
        self.unknown = Unknown(core, self, late_fill)
        """What is done while nobody knows (U4 to U7)."""
        self._settle_watch: set[str] = set()
        self._foreign: dict[str, None] = {}
        self._trades_by_hand: set[str] = set()
        self._over_listed: set[str] = set()
        """Refs of orders that are over and were listed as open once since; a list may be older than their end."""
        self._unwanted: set[str] = set()
        """Orders that were to be cancelled while they were on their way to the venue."""
        self._cancelled: dict[str, int] = {}
        """Order ref → when its first cancel left, wall ms."""
        self._cancel_sent: dict[str, int] = {}
        """Order ref → when its last cancel left, wall ms."""
        self._beside: dict[str, frozenset[str]] = {}
        """Order ref of a sell → sells that do not count against it (U8, T8)."""
        self._touched: dict[str, int] = {}
        """Token id, or ``cash`` → when a cancel or fill of ours last touched it, wall ms."""
        self._over: set[str] = set()
        """Orders whose end is proved with its size, and some of whose fills are not here yet."""
        self._checks: dict[str, int] = {}
        """Order ref → how often its end was asked for."""
        self._checking: set[str] = set()
        """Orders with a check of their end under way."""
        self._unclear: set[str] = set()
        """Orders whose last word left open whether they live."""
        self._nowhere: dict[str, int | None] = {}
        """Order ref that rested and is not found by its id → when the first sweep without it began, market ms."""
        self._explained: set[str] = set()
        """Of these, the ones whose next word was clear: their check ends."""
        self._driven = Driven(core.step)

    # --- out ----------------------------------------------------------------------------------------------------------

    def place(
        self, slot: Slot, draft: OrderDraft, reserve: Micros, why: dict[str, str],
        beside: frozenset[str] = frozenset(), valid_until: int = 0,
    ) -> Illegal | Watched | None:
        """Take the slot, reserve the funds and have the order signed.

        The caller has checked that it is wanted and can be paid for; ``beside`` names the sells that do not count
        against this one (the exceptions of T3: U8 and T8), ``valid_until`` is when a resting buy ends (market ms, 0:
        never by itself). An order that breaks a rule of ORD-06, or that a shadow account would have sent, leaves no
        trace but a notice; the answer is the rule.
        """
        core = self.core
        refused = self._illegal(slot, draft) or self.watched(slot, draft, why)
        if refused is not None:
            return refused
        builder = core.state.markets[slot.condition_id].market.fees.builder
        if draft.builder != builder:
            draft = structs.replace(draft, builder=builder)
        core.record(OrderIntended(core.now, slot, draft, reserve, why, valid_until))
        if reserve:
            core.record(ledger.reserve(core.now, draft.ref, reserve))
        if beside:
            self._beside[draft.ref] = beside
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
                "order_illegal", f"{refused.rule}:{slot.purpose.value}:{condition_id}",
                f"{slot.purpose.value} {slot.side.value} was not sent: {refused.text}", condition_id,
            )
        return refused

    def watched(self, slot: Slot, draft: OrderDraft, why: Mapping[str, str]) -> Watched | None:
        """A shadow account's order: told as what it would have been, once a minute a slot; None: it may leave."""
        if not self.core.shadow:
            return None
        what = (
            f"{draft.action.value} {size_text(draft.size)} {slot.side.value} at {price_text(draft.price)} "
            f"{draft.order_type.value}"
        )
        by = f"[{why.get('plugin', 'the host')}: {why.get('reason', '')}]"
        self.core.notice(
            "would_have", f"{slot.condition_id}:{slot.side.value}:{slot.purpose.value}:{slot.key}",
            f"Would have placed {slot.purpose.value}: {what} {by}", slot.condition_id,
        )
        return Watched("shadow", f"would have been placed: {what}")

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
        if self.unknown.leaving(order):
            self._unwanted.add(order.ref)  # cancelled as soon as the post has left: it would overtake the cancel
            return False
        if core.wall - self._cancel_sent.get(order.ref, -CANCEL_EVERY_MS) < CANCEL_EVERY_MS:
            return False
        self._cancel_sent[order.ref] = core.wall
        self._touch(order)
        self._cancelled.setdefault(order.ref, core.wall)
        if order.state is OrderState.WORKING:
            self._move(order, "cancel_sent")
        self.core.command(Cancel(order.order_id))
        self.core.at_wall(self.core.wall + self.core.settings.safety.unknown_after_ms, "cancel_wait", order.ref)
        return True

    def cancelled(self, order: OrderEntry) -> bool:
        """Has a cancel of it left in this run?"""
        return order.ref in self._cancelled

    def unwanted(self, order: OrderEntry) -> bool:
        """Was it to be cancelled for good?"""
        return order.ref in self._unwanted

    def cancel_age(self, order: OrderEntry) -> int:
        """Wall ms since its first cancel left; very long ago when none did in this run."""
        return self.core.wall - self._cancelled.get(order.ref, -(1 << 40))

    # --- answers ------------------------------------------------------------------------------------------------------

    def sign_wait(self, ref: str) -> None:
        """Nothing came back from signing: given up. A signature that comes later is never posted.

        Who signs is frozen or gone: that says nothing about the order, and is no failed exit.
        """
        if self.core.state.orders[ref].state is OrderState.INTENDED:
            self.prepare_failed(PrepareFailed(ref, "no signature in time", away=True))

    def prepared(self, event: Prepared) -> None:
        order = self.core.state.orders.get(event.ref)
        if order is None or order.state is not OrderState.INTENDED:
            return
        core = self.core
        if event.ref in self._unwanted or self._too_late(order) or not self._still_held(order):
            self._close(order, "never_sent")
            self._changed(order)
            return
        core.record(OrderPrepared(core.now, event.ref, event.request))
        core.command(Post(event.request))
        self.unknown.posting(order)
        core.at_wall(core.wall + core.settings.safety.unknown_after_ms, "post_wait", event.ref)

    def _too_late(self, order: OrderEntry) -> bool:
        """T9 when it leaves: signing took it into the last two seconds."""
        return self.core.now > self.core.state.markets[order.slot.condition_id].market.end - LAST_ORDER_MS

    def _still_held(self, order: OrderEntry) -> bool:
        """T3 when it leaves: a fill, or one that failed, may have come while it was signed."""
        slot = order.slot
        position = self.core.state.position(slot.condition_id, slot.side)
        if order.draft.action is Action.BUY or position is None:
            return order.draft.action is Action.BUY
        beside = self._beside.get(order.ref, frozenset())
        others = [
            other for other in self.core.open_sells(slot.condition_id, slot.side)
            if other.ref != order.ref and other.state is not OrderState.INTENDED
        ]
        taken = sum(other.done - other.traded for other in others)
        taken += sum(other.open_upper for other in others if other.ref not in beside)
        return order.draft.size <= min(position.size, position.inventory) - position.paired - taken

    def prepare_failed(self, event: PrepareFailed) -> None:
        order = self.core.state.orders.get(event.ref)
        if order is None or order.state is not OrderState.INTENDED:
            return
        core = self.core
        self._close(order, "not_signed")
        if order.draft.action is Action.SELL:
            self.sell_refused(order, AWAY if event.away else "not_signed", event.reason)
        if event.configuration:
            core.record(EntriesBlocked(core.now, "signing", True, event.reason))
            core.notice("signing", "", f"Orders cannot be signed: {event.reason}")
        else:
            core.notice(
                "not_signed", "", f"Order {event.ref} was not signed: {event.reason}",
                order.slot.condition_id,
            )
        self._changed(order)

    def post_answered(self, event: PostAnswered) -> None:
        order = self.core.state.by_order_id(event.order_id)
        if order is None:
            return
        self.unknown.answered(order, event)
        if event.outcome == "accepted":
            self.unknown.shows_up(order)
            if order.state in (OrderState.PREPARED, OrderState.UNKNOWN, OrderState.WORKING):
                self._move(order, "accepted", present=True)
                self._cancel_unwanted(order)
            if not order.draft.order_type.rests and order.open:
                self._recheck(order, FAK_CHECK_MS)
        elif event.outcome == "refused":
            self._refused(order, event)
        else:
            self._unknown(order, event.text or "no usable answer")
            self._ask_for_the_end(order)
        self._changed(order)

    def _cancel_unwanted(self, order: OrderEntry) -> None:
        """It was to be cancelled (kill, stop, a plugin's wish) and is live all the same."""
        if order.ref in self._unwanted and order.draft.order_type.rests and order.state is OrderState.WORKING:
            self.cancel(order)

    def _refused(self, order: OrderEntry, event: PostAnswered) -> None:
        """U3: a refusal proves absence only if it answers the only post ever made of these bytes."""
        if moved(order.state, "refused") is not None and not order.present and self.unknown.only_post(order):
            self._close(order, "refused", event.code or UNSET)
            core = self.core
            why = ""
            if order.draft.action is Action.SELL:
                self.sell_refused(order, event.code, event.text)
            elif event.code in SHORTAGES:
                why = f" ({self._short_of_money(event).value})"
            core.notice(
                "order_refused", f"{event.code}:{order.slot.condition_id}",
                f"The venue refused {describe(order)}: {event.text}{why}", order.slot.condition_id,
            )

    def _short_of_money(self, event: PostAnswered) -> Shortage:
        """Why a buy lacks collateral; the attempt is over, whatever it is, and the balance is read again."""
        core = self.core
        core.ask_collateral()
        unsettled = (core.state.fills[key].fill for key in core.state.unsettled)
        matched = sum(fill.money + fill.fee for fill in unsettled if fill.action is Action.BUY)
        known = Known(core.state.balance("reserved"), matched, self.touched_lately("cash"), patient=False)
        return shortage(event.code, event.text, known)

    def touched_lately(self, what: str) -> bool:
        """Did a cancel or fill of ours touch the token (or ``cash``) within the last seconds?"""
        return self.core.wall - self._touched.get(what, -(1 << 40)) < TOUCHED_MS

    def _touch(self, order: OrderEntry) -> None:
        token_id = order.draft.token_id
        for what in ("cash", token_id):
            self._touched.pop(what, None)
            self._touched[what] = self.core.wall
        if len(self._touched) > TOUCHED_MAX:
            del self._touched[next(iter(self._touched))]

    def post_left(self, event: PostLeft) -> None:
        """Its records were durable: it is on its way."""
        order = self.core.state.by_order_id(event.order_id)
        if order is not None:
            self.unknown.left(order)
            if order.ref in self._unwanted and order.state is OrderState.UNKNOWN:
                self.cancel(order)

    def post_wait(self, ref: str) -> None:
        """U1: no answer for so long; a late one still counts."""
        order = self.core.state.orders[ref]
        if order.state is OrderState.PREPARED:
            self._unknown(order, "no answer in time")
            self._changed(order)
        else:
            self._ask_for_the_end(order)

    def _ask_for_the_end(self, order: OrderEntry) -> None:
        """A FAK that was seen before any answer works, and is not unknown: nobody else would ask what became of it."""
        if order.state is OrderState.WORKING and not order.draft.order_type.rests:
            self._recheck(order, FAK_CHECK_MS)

    def _unknown(self, order: OrderEntry, reason: str) -> None:
        if moved(order.state, "unknown") is None:
            return
        core = self.core
        condition_id = order.slot.condition_id
        self._move(order, "unknown")
        core.notice(
            "order_unknown", order.ref,
            f"The outcome of {describe(order)} is unknown ({reason}); its slot and reservation stay", condition_id,
        )
        if order.draft.action is Action.SELL or order.ref in self._unwanted:
            self.cancel(order)  # U8: an unknown sell is cancelled by id
        self.unknown.ask(order)

    def cancel_answered(self, event: CancelAnswered) -> None:
        """A bare ``canceled`` is not the final matched size (T4), "not found" is no end (ORD-07): both re-read it."""
        order = self.core.state.by_order_id(event.order_id)
        self.unknown.heard(event)
        if order is not None and event.outcome in ("canceled", "gone"):
            self.unknown.shows_up(order)
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
        if ref in self._explained:
            self._explained.discard(ref)
            return
        if order.open and order.order_id:
            self._checks[ref] = self._checks.get(ref, 0) + 1
            self.core.command(QueryOrder(order.order_id))
            self._sweep(order)
            self._recheck(order, LADDER_EVERY_MS)

    def _recheck(self, order: OrderEntry, after_ms: int) -> None:
        self._explained.discard(order.ref)
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
        if order is not None and order.open:
            self.unknown.not_found(order)
            self._nowhere.setdefault(order.ref, None)
            if not self.unknown.asking(order.slot.condition_id):
                self._sweep(order)

    def _row(self, order: OrderEntry, row: OrderRow) -> None:
        """The venue showed the order: presence for ever (U2), perhaps its end."""
        told = order.told if row.size_matched is None else max(row.size_matched, order.told)
        self._nowhere.pop(order.ref, None)
        self.unknown.shows_up(order, told)
        if not order.open:
            if told > order.told and order.done < told:
                self._late(order, told)
            return
        if moved(order.state, "seen") is not None and (not order.present or told > order.told):
            self._move(order, "seen", matched=told, present=True)
        rests = order.draft.order_type.rests
        ended = ends(row.status, row.size_matched, order.draft.size, rests)
        if not ended and row.kind != "CANCELLATION":
            if unclear(row.status, rests):
                self._not_clear(order, row)
            elif order.ref in self._unclear:
                self._unclear.discard(order.ref)
                self._explained.add(order.ref)
            self._cancel_unwanted(order)
            return
        if row.size_matched is None or order.missing:
            # The end is proved, the fills are not all here: they are fetched before the order is closed.
            if row.size_matched is not None:
                self._over.add(order.ref)
            self._recheck(order, FAK_CHECK_MS)
            return
        self._close(order, "filled" if order.done >= order.draft.size else "ended")

    def _not_clear(self, order: OrderEntry, row: OrderRow) -> None:
        """A word that leaves open whether it lives (CON-12): nothing is guessed, it is asked for."""
        if order_word(row.status) is None:
            self.core.notice(
                "status_unknown", row.status,
                f"Order {describe(order)} has the unknown status {row.status!r}; it stays open and is asked for",
                order.slot.condition_id,
            )
        self._unclear.add(order.ref)
        self._recheck(order, LADDER_EVERY_MS)

    def _late(self, order: OrderEntry, told: Micros) -> None:
        core = self.core
        if order.cause == "absent":
            self.late_fill(f"{describe(order)} was absent and now shows {size_text(told)} matched")
        core.notice(
            "late_match", order.ref,
            f"{describe(order)} was closed ({order.cause}) and now shows {size_text(told)} matched",
            order.slot.condition_id,
        )
        self._sweep(order)

    def trade_seen(self, event: TradeSeen) -> None:
        self._trade(event.row)

    def _trade(self, row: TradeRow) -> None:
        """Book our own orders' slices of a trade, and nothing else of it (field.md 8)."""
        state = self.core.state
        taker = state.by_order_id(row.taker_order_id)
        ours = taker is not None
        if taker is not None:
            self._slice(taker, row, row.price, row.size, maker=False)
        for part in row.makers:
            order = state.by_order_id(part.order_id)
            if order is not None:
                ours = True
                self._slice(order, row, part.price, part.size, maker=True)
        if not ours:
            self._by_hand(row)

    def _by_hand(self, row: TradeRow) -> None:
        """A trade of this wallet that no order of ours made: told once, and what it left is counted soon (OPS-06)."""
        core = self.core
        if row.trade_id in self._trades_by_hand or len(self._trades_by_hand) >= FOREIGN_MAX:
            return
        self._trades_by_hand.add(row.trade_id)
        orders = (row.taker_order_id, *(part.order_id for part in row.makers))
        if not any(order_id in self._foreign for order_id in orders):  # its order was told, perhaps
            core.notice(
                "foreign_trade", row.trade_id,
                f"Trade {row.trade_id} ({row.action.value} {size_text(row.size)} at {price_text(row.price)}) is not "
                "ours: reported, not managed", row.condition_id,
            )
        core.at_wall(core.wall + BY_HAND_MS, "by_hand", "")

    def _slice(self, order: OrderEntry, row: TradeRow, price: Ticks, size: Micros, *, maker: bool) -> None:
        key = f"{row.trade_id}/{order.ref}"
        core = self.core
        self.unknown.shows_up(order)
        known = core.state.fills.get(key)
        status = trade_status(row.status)
        if status is None:
            core.notice(
                "status_unknown", row.status,
                f"Trade {row.trade_id} has the unknown status {row.status!r}; it counts as matched until that is clear",
                order.slot.condition_id,
            )
            status = TradeStatus.MATCHED
        if key in core.state.final:
            pass  # it is over, whatever is told of it once more
        elif known is None:
            if status is not TradeStatus.FAILED:
                self._book(order, row, price, size, status, maker=maker)
            elif order.open:
                self._book_failed(order, row, price, size, maker=maker)
        elif known.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED) and _later(known.status, status):
            self._advance(order, row, known.fill, status)
        self._looked(order)

    def _book(
        self, order: OrderEntry, row: TradeRow, price: Ticks, size: Micros, status: TradeStatus, *, maker: bool
    ) -> None:
        core = self.core
        slot = order.slot
        entry = core.state.markets[slot.condition_id]
        builder = order.draft.builder
        fee = entry.market.fees.of(builder).charged(size, price, maker=maker)
        money = size * price // 10_000
        buy = order.draft.action is Action.BUY
        release = min(money + fee, order.reserve) if buy else 0
        fill = FillBooked(
            core.now, row.trade_id, order.ref, slot, order.draft.token_id, order.draft.action, price, size, money, fee,
            status, maker, release, core.spot_price(slot.condition_id),
            UNSET if builder is UNSET else builder.fee(money, maker=maker),
        )
        if not order.open:
            self._late(order, order.traded + size)
        elif moved(order.state, "seen") is not None and not order.present:
            self._move(order, "seen", present=True)
        core.record(fill)
        core.record(ledger.fill(fill))
        self._touch(order)
        if buy and not entry.settled:
            self._oblige(slot)
        if status is TradeStatus.CONFIRMED:
            core.ask_balance(order.draft.token_id)
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
                "trade_failed", row.trade_id,
                f"Trade {row.trade_id} of {describe(order)} failed on chain; its fill was taken back",
                order.slot.condition_id,
            )
            core.ask_balance(order.draft.token_id)
        elif status is TradeStatus.CONFIRMED:
            if fill.action is Action.BUY and not core.state.markets[fill.slot.condition_id].settled:
                core.record(ledger.settle(core.now, fill))
            core.ask_balance(order.draft.token_id)

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
            if len(self._foreign) >= FOREIGN_MAX:
                del self._foreign[next(iter(self._foreign))]
            self._foreign[row.order_id] = None
            self.core.notice(
                "foreign_order", row.order_id,
                f"Order {row.order_id[:12]}… ({row.action.value} {size_text(row.original_size)} at "
                f"{price_text(row.price)}) is not ours: reported, not managed", row.condition_id,
            )

    # --- asking -------------------------------------------------------------------------------------------------------

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
                self._not_over(order, row)
                self._changed(order)
        if not event.complete:
            return
        youngest = self.unknown.youngest(event)
        for condition_id in [event.condition_id] if event.condition_id else list(self.core.state.open_refs):
            for order in self.core.state.open_orders(condition_id):
                if order.order_id and order.order_id not in listed:
                    self._not_listed(order, event, youngest)

    def _not_over(self, order: OrderEntry, row: OrderRow) -> None:
        """It is over in our books and rests at the venue all the same: cancelled. A list older than its end costs one
        cancel of nothing.
        """
        core, rests = self.core, order.draft.order_type.rests
        over = order.open or ends(row.status, row.size_matched, order.draft.size, rests)
        if over or core.state.markets[order.slot.condition_id].settled:
            return
        if order.ref in self._over_listed:
            core.notice("orphan", order.ref, f"{describe(order)} is over and rests at the venue: cancelled once more")
        elif len(self._over_listed) < FOREIGN_MAX:
            self._over_listed.add(order.ref)
        core.command(Cancel(order.order_id))

    def _not_listed(self, order: OrderEntry, swept: SweepDone, youngest: int) -> None:
        """Not among the open orders: alone no proof of its end. It is asked by id, or is absent (U6)."""
        core = self.core
        from_start = not swept.condition_id
        if order.state is OrderState.UNKNOWN:
            if self.unknown.not_listed(order, swept, youngest):
                self._close(order, "absent")
                self.unknown.absent(order)
                self._changed(order)
        elif (
            order.state in (OrderState.WORKING, OrderState.CANCELLING) and not order.draft.order_type.rests
            and self._checks.get(order.ref, 0) >= FAK_CHECKS and not order.missing
        ):
            # It cannot rest, it was accepted seconds ago, every trade is here and it is not open: it is over, whatever
            # its id says.
            self._close(order, "ended")
            self._changed(order)
        elif self._over_unseen(order, swept):
            self._close(order, "ended")
            self._changed(order)
        elif from_start and order.state in (OrderState.WORKING, OrderState.CANCELLING):
            core.command(QueryOrder(order.order_id))

    def _over_unseen(self, order: OrderEntry, swept: SweepDone) -> bool:
        """It rested, and the venue neither lists it nor knows its id, a minute apart; every trade told of is here."""
        begun = self.core.begun_at(swept.begun)
        rested = order.state in (OrderState.WORKING, OrderState.CANCELLING) and order.draft.order_type.rests
        if not rested or begun is None or order.missing or order.ref not in self._nowhere:
            return False
        first = self._nowhere[order.ref]
        if first is None or self.unknown.troubled_since(first):
            self._nowhere[order.ref] = begun
            return False
        return begun - first >= NOWHERE_MS

    def settle_check(self, condition_id: str) -> None:
        """Trades that are neither CONFIRMED nor FAILED are looked up until they are."""
        if any(where == condition_id for where in self.core.state.unsettled.values()):
            core = self.core
            # Since its order was placed: the venue's match time is earlier than our booking, perhaps by a downtime.
            since = min(
                self.since(core.state.orders[key.rpartition("/")[2]])
                for key, where in core.state.unsettled.items() if where == condition_id
            )
            core.sweep(condition_id, since)
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
                self.unknown.found(order)
                self._unknown(order, "the host restarted before its answer")
            elif order.state is OrderState.UNKNOWN:
                self.unknown.found(order)
                if not self.unknown.asking(order.slot.condition_id):
                    self.unknown.ask(order)
            elif order.state is OrderState.CANCELLING:
                self._move(order, "cancel_lost")
            if order.cause == "cancel_lost" or "killed" in self.core.state.blocked:
                self._away(order)
            if order.open and not order.draft.order_type.rests and order.order_id:
                self._recheck(order, FAK_CHECK_MS)  # its end should be known: asked until it is
        self.unknown.resume_watching()
        for condition_id in dict.fromkeys(self.core.state.unsettled.values()):
            self._watch_settlement(condition_id)

    def _away(self, order: OrderEntry) -> None:
        """A buy that was to go when the last run ended (a cancel had left, a kill) goes now: nobody says it again."""
        if order.open and order.draft.action is Action.BUY:
            self.cancel(order, for_good=True)

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

    def _close(self, order: OrderEntry, cause: str, code: str | UnsetType = UNSET) -> None:
        """The end, proved: what is still reserved is free again. ``code``: of a refusal."""
        core = self.core
        if cause == "ended" and _unfilled_entry(order):
            cause = UNFILLED
        left = order.reserve
        record = OrderMoved(core.now, order.ref, OrderState.CLOSED, cause, order.told, left, False, code)
        core.record(record)
        self._unwanted.discard(order.ref)
        self._beside.pop(order.ref, None)
        self._over.discard(order.ref)
        self._unclear.discard(order.ref)
        self._nowhere.pop(order.ref, None)
        self._explained.discard(order.ref)
        self._checks.pop(order.ref, None)
        self._cancelled.pop(order.ref, None)
        self._cancel_sent.pop(order.ref, None)
        self.unknown.forget(order)
        if left:
            core.record(ledger.release(core.now, order.ref, left))
        core.tell("on_order", order.slot.condition_id, record)

    def _changed(self, order: OrderEntry) -> None:
        self.on_change(order.slot.condition_id, order.slot.side)

    def _looked(self, order: OrderEntry) -> None:
        """As ``_changed``, but once a side while a turn says nothing new.

        A sweep tells dozens of trades that are known; what stands on their side took its step at the first of them.
        """
        step = self.core.step
        if self._driven.step is not step or self._driven.said != len(step.records) + len(step.commands):
            self._driven = Driven(step)
        side = (order.slot.condition_id, order.slot.side)
        if side not in self._driven.sides:
            self._driven.sides.add(side)
            self._changed(order)

    def _sweep(self, order: OrderEntry) -> None:
        """Ask for its market's open orders, and the trades since it was wanted."""
        self.core.sweep(order.slot.condition_id, self.since(order))

    def since(self, order: OrderEntry) -> int:
        """Unix seconds from which its trades are asked for (U4)."""
        return max(order.placed_at // 1_000 - LOOK_BACK_S, 0)


def _unfilled_entry(order: OrderEntry) -> bool:
    """A first entry that rested and met nobody: its end is a word of its own, for people and for ENT-05."""
    return order.slot.purpose is Purpose.ENTRY and order.draft.order_type.rests and order.done == 0


def describe(order: OrderEntry) -> str:
    """An order in a trader's words."""
    draft = order.draft
    return (
        f"{order.slot.purpose.value} {order.ref}: {draft.action.value} {size_text(draft.size)} "
        f"{order.slot.side.value} at {price_text(draft.price)} {draft.order_type.value}"
        + (f", {money_text(order.reserve)} reserved" if order.reserve else "")
    )


_RANK: Final = {TradeStatus.MATCHED: 0, TradeStatus.RETRYING: 1, TradeStatus.MINED: 1, TradeStatus.CONFIRMED: 2}


def _later(known: TradeStatus, seen: TradeStatus) -> bool:
    """True when the news is newer than what is known: streams repeat and reorder statuses."""
    return seen is TradeStatus.FAILED or (seen is not known and _RANK[seen] >= _RANK[known])
