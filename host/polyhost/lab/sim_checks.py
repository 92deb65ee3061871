"""What must hold in a simulated run: after every turn for what the turn touched, in full at crashes and at the end.

The checks read the kernel's state and the venue's own books, and know the order rules by themselves: none of them asks
the kernel whether it was right.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final

from polyhost.exchange.core import Exchange
from polyhost.journal.codec import decode_record
from polyhost.kernel.invariants import INVARIANTS
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import OrderEntry, PositionEntry, State, apply
from polyhost.kernel.views import SIDES
from polyhost.lab.sim_entries import EntryJudge
from polyhost.lab.sim_finding import Broken, must
from polyhost.lab.sim_heard import Heard
from polyhost.model.batching import single
from polyhost.model.commands import Cancel, CancelEverything, Command, Post
from polyhost.model.gateway import OrderRow
from polyhost.model.money import ONE, Micros
from polyhost.model.records import (
    ActionIntended,
    ActionMoved,
    FillBooked,
    FillMoved,
    ForeignSeen,
    HeldDeclared,
    LedgerPosted,
    ObligationSet,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    OrderReposted,
    PairMoved,
    PairOpened,
    PositionAdopted,
    PositionCorrected,
    Record,
    Slot,
    UnexplainedSeen,
)
from polyhost.model.words import Action, ActionKind, ActionState, OrderState, Purpose, TradeStatus

POSTS_MAX: Final = 4
"""U5: the post and three more of the same bytes …"""
REPOST_MS: Final = 2_000
"""… so far apart."""
PROOF_MS: Final = 500
"""T8: a cancelled exit without proof of its end counts no longer after this."""
REPLACED_MS: Final = 1_000
"""T7: at most one replacement of a quote in this time."""
NEAR_DUE_MS: Final = 30_000
"""U8: an unknown sell counts no longer so close to the obligation."""
DEADLINE_GRACE_MS: Final = 6_000
"""From an obligation's deadline to its enforcement: two cadences, an evaluation, and a busy moment."""
COVER_MS: Final = 120_000
"""A sellable position with a target is covered within this time, whatever the venue does."""
MINUTE_MS: Final = 60_000
"""Posts of a slot are counted over this."""
RESTING_A_MINUTE: Final = 61
"""T7: at most one order a slot and second …"""
MARKET_A_MINUTE: Final = 241
"""… and T8: one every 250 ms while a position is sold at market."""
HELD_KINDS: Final = frozenset({"plugin", "ahead", "minimum", "pair"})
DIFFERENCES: Final = (FillBooked, FillMoved, PositionCorrected, PositionAdopted, UnexplainedSeen, ForeignSeen)
SEEN: Final = frozenset({"seen", "filled", "ended", "cancelled_unfilled", "absent", "reappeared", "unknown"})
"""What a comparison with the venue writes when it finds a difference: these records, and moves for these causes."""
CHECKS: Final = (
    *INVARIANTS, "state_equals_fold", "order_posted_twice", "cancelled_order_posted", "absent_is_absent",
    "sell_beyond_t3", "held_kind", "nothing_made_up",
    "one_live_buy_a_slotat_the_venue", "deadline_kept", "covered", "venue_orders_equal_ours",
    "venue_collateral_equals_ledger", "venue_shares_equal_positions", "venue_redeemable_equals_ledger",
    "nothing_open_at_the_end", "exchange_audit", "kernel_never_fails", "quotes_never_take",
    "quotes_replaced_once_a_second", "nothing_added_while_sealed", "nothing_alarming_when_calm",
    "entries_only_while_allowed", "funds_suffice", "limits_hold", "nothing_placed_at_the_end",
    "position_grows_by_its_cause", "fills_are_the_venues", "held_for_its_reason", "posts_a_minute",
    "two_live_sells_a_slotat_the_venue", "reconciled_twice_is_nothing",
)
"""Every name that can be broken."""


class Checks:
    """The judge of one run; survives the host's crashes."""

    def __init__(self, exchange: Exchange, address: str, account: str, heard: Heard | None = None) -> None:
        """``heard``: what the host is told; None: nobody says, and what needs it is not judged."""
        self.exchange = exchange
        self.heard = heard
        self._entries = None if heard is None else EntryJudge(heard)
        self.address = address
        self.account = account
        self.checked = 0
        self.exceptions: Counter[str] = Counter()
        """How often the two named exceptions of T3 were used."""
        self.rules: Counter[str] = Counter()
        """How often bytes were posted again (U5), and absences proved (U6)."""
        self.shadow = State(account=account)
        """The fold of the records' bytes, one record at a time."""
        self._posts: dict[str, list[int]] = {}
        self._cancels: dict[str, int] = {}
        self._slots: dict[str, Slot] = {}
        """Order id → slot, of everything ever prepared."""
        self._quoted: dict[tuple[Slot, Action], int] = {}
        """Quote slot → when an order was last wanted in it, in this life of the host."""
        self._obliged: dict[str, int] = {}
        """Position → when its obligation was written, which may be after its deadline."""
        self._paces: dict[tuple[Slot, bool], deque[int]] = {}
        """Slot, and whether its orders rest → when they were posted within the last minute."""
        self._sizes: dict[str, Micros] = {}
        """Position → its size after the last turn."""
        self._uncovered: dict[str, int] = {}
        """Position → since when it could be covered and is not."""

    def crashed(self, durable: Iterable[Record]) -> None:
        """The host died: only these records are left."""
        self.shadow = State(account=self.account)
        self._quoted.clear()
        for record in durable:
            apply(self.shadow, record)
        self._sizes = {key: position.size for key, position in self.shadow.positions.items()}

    # --- every turn ---------------------------------------------------------------------------------------------------

    def after_records(self, records: Iterable[Record], bodies: Iterable[bytes], kernel: Kernel, now: int) -> None:
        """A turn changed durable state: what it touched must be in order, and be the fold of its bytes."""
        state = kernel.state
        shadow = self.shadow
        for body in bodies:
            told = decode_record(body)
            if self._entries is not None:
                self._entries.judge(told, shadow, kernel, now)
            apply(shadow, told)
            if isinstance(told, HeldDeclared):
                self._held(told, kernel)
        refs: set[str] = set()
        assets: set[str] = set()
        grown: set[str] = set()
        """Positions that have a cause to grow."""
        money = False
        for record in records:
            match record:
                case LedgerPosted():
                    money = True
                    for leg in record.entries:
                        self._same(f"{leg.account}/{leg.asset}", state.ledger, shadow.ledger)
                case OrderIntended():
                    refs.add(record.draft.ref)
                    self._quote(record, now)
                    if record.draft.action is Action.SELL:
                        self._sell(state, state.orders[record.draft.ref], now)
                case OrderPrepared():
                    refs.add(record.ref)
                    order = state.orders[record.ref]
                    self._slots[record.request.order_id] = order.slot
                    if order.draft.action is Action.SELL:
                        self._sell(state, order, now)
                case OrderMoved():
                    refs.add(record.ref)
                    if record.cause == "absent":
                        self._absent(state.orders[record.ref])
                case OrderReposted():
                    refs.add(record.ref)
                    self._reposted(state, state.orders[record.ref], now)
                case FillBooked():
                    refs.add(record.ref)
                    took = record.slot.purpose is Purpose.QUOTE and not record.maker
                    must(not took, "quotes_never_take", record, record.ref)
                    self._venues_trade(record, state.orders[record.ref])
                    assets.add(f"{record.slot.condition_id}:{record.slot.side.value}")
                    grown.add(f"{record.slot.condition_id}:{record.slot.side.value}")
                case FillMoved():
                    refs.add(record.ref)
                    slot = state.orders[record.ref].slot
                    assets.add(f"{slot.condition_id}:{slot.side.value}")
                    if record.status is TradeStatus.FAILED:
                        grown.add(f"{slot.condition_id}:{slot.side.value}")
                case PairOpened() | PairMoved():
                    self._same(record.ref, state.pairs, shadow.pairs)
                case ActionIntended() | ActionMoved():
                    self._same(record.ref, state.actions, shadow.actions)
                    action = state.actions[record.ref]
                    both = {key for side in SIDES if (key := f"{action.condition_id}:{side.value}") in state.positions}
                    assets |= both
                    if action.kind is ActionKind.SPLIT and action.state is ActionState.DONE:
                        grown |= both
                case PositionCorrected() | PositionAdopted() | UnexplainedSeen() | ForeignSeen():
                    # Nobody but the host trades in this wallet: whatever differs from it is lag.
                    must(False, "nothing_made_up", record, record.condition_id)
                case ObligationSet():
                    self._obliged[f"{record.condition_id}:{record.side.value}"] = now
                case HeldDeclared():
                    assets.add(f"{record.condition_id}:{record.side.value}")
                    must(record.kind in HELD_KINDS, "held_kind", record, record.condition_id)
                case _:
                    pass
        for ref in refs:
            self._order(state, ref)
        for asset in assets:
            self._position(state, asset)
        self._grown(state, grown)
        if money:
            self._reserved(state)
        self.checked += len(refs) + len(assets) + money

    def _same(self, key: str, ours: dict[str, Any], folded: dict[str, Any]) -> None:
        left, right = ours.get(key), folded.get(key)
        if left != right:  # nothing is put into words while all is well: most of the judge's time went there
            raise Broken("state_equals_fold", f"{key}: {left} != {right}", key)

    def _order(self, state: State, ref: str) -> None:
        order = state.orders[ref]
        self._same(ref, state.orders, self.shadow.orders)
        must(order.open or order.reserve == 0, "closed_orders_reserve_nothing", order, ref)
        if not order.open:
            return
        mates = [other for other in state.open_orders(order.slot.condition_id) if other.slot.side is order.slot.side]
        if order.draft.action is Action.BUY:
            live = [other.ref for other in mates if other.slot == order.slot and other.draft.action is Action.BUY]
            must(len(live) <= 1, "one_live_buy_a_slot", live, *live)
        else:
            rests = order.draft.order_type.rests
            live = [
                other.ref for other in mates
                if other.slot == order.slot and other.draft.action is Action.SELL
                and not other.was_unknown and other.open_upper and other.draft.order_type.rests == rests
            ]
            must(len(live) <= (2 if rests else 1), "two_live_sells_an_exit_slot", live, *live)

    def _position(self, state: State, asset: str) -> None:
        position = state.positions[asset]
        self._same(asset, state.positions, self.shadow.positions)
        if position.size < 0:
            must(position.size + self._unbooked(state, position) >= 0, "never_oversold", position, asset)
        market = state.markets[position.condition_id]
        held = state.balance("settled", asset) + state.balance("in_flight", asset)
        if held != (0 if market.settled else position.size):
            raise Broken("positions_equal_ledger", f"{held} != {position}", asset)
        if position.loose > 0 and not market.settled and not position.held:
            must(asset in state.obligations, "positions_have_obligations", position, asset)

    def _unbooked(self, state: State, position: PositionEntry) -> Micros:
        """Shares that the venue gave us for open buys and whose trades we do not know yet: U8 may sell them too."""
        found = 0
        for order in state.open_orders(position.condition_id):
            if order.draft.action is Action.BUY and order.slot.side is position.side:
                row = self.exchange.order(order.order_id)
                found += 0 if row is None else (row.size_matched or 0) - order.traded
        return found

    def _grown(self, state: State, causes: set[str]) -> None:
        """POS-11: a position grows by a trade, a sale that failed on chain, a split or an adoption, by nothing else."""
        sizes = self._sizes
        for condition_id in state.exposed:
            for side in SIDES:
                asset = f"{condition_id}:{side.value}"
                position = state.positions.get(asset)
                if position is None:
                    continue
                grown = position.size > sizes.get(asset, 0)
                must(not grown or asset in causes, "position_grows_by_its_cause", position, asset)
                sizes[asset] = position.size

    def _venues_trade(self, fill: FillBooked, order: OrderEntry) -> None:
        """POS-01: what is booked is our own slice of a trade that the venue has, at its price."""
        if self.heard is None:
            return
        row = self.exchange.trade(fill.trade_id)
        slices = [(row.price, row.size)] if row is not None and row.taker_order_id == order.order_id else []
        slices += [(m.price, m.size) for m in (() if row is None else row.makers) if m.order_id == order.order_id]
        if (fill.price, fill.size) not in slices:
            raise Broken("fills_are_the_venues", f"{fill} is none of {slices} of {row}", fill.trade_id, fill.ref)

    def _held(self, record: HeldDeclared, kernel: Kernel) -> None:
        """Held for a reason that is so, when it is declared: a trade that follows in the same turn changes that."""
        condition_id, side = record.condition_id, record.side
        if self.heard is None:
            return
        market = self.shadow.markets[condition_id].market
        position, data = self.shadow.position(condition_id, side), kernel.data(condition_id)
        bid, ask = (0, 0) if data is None else data.book.best(side)
        match record.kind:
            case "plugin":
                right = self.heard.holds(condition_id, side)
            case "ahead":
                worth = (bid + ask) // 2 if ask < ONE else bid
                right = worth >= self.heard.settings.safety.hold_above
            case "minimum":
                right = position is not None and position.loose * bid // 10_000 < 2 * market.min_value
            case _:
                right = position is not None and position.paired <= position.size
        must(right, "held_for_its_reason", f"{record} at {bid}/{ask}: {position}", condition_id)

    def _quote(self, wanted: OrderIntended, now: int) -> None:
        """T7 and T9: post-only, and at most one order a slot and second."""
        if wanted.slot.purpose is not Purpose.QUOTE:
            return
        must(wanted.draft.post_only, "quotes_never_take", wanted, wanted.draft.ref)
        slot = (wanted.slot, wanted.draft.action)
        last = self._quoted.get(slot, now - REPLACED_MS)
        if now - last < REPLACED_MS:
            raise Broken("quotes_replaced_once_a_second", f"{wanted} after {last}", wanted.draft.ref)
        self._quoted[slot] = now

    def _reserved(self, state: State) -> None:
        wanted = sum(state.orders[ref].reserve for refs in state.open_refs.values() for ref in refs)
        wanted += sum(state.pairs[ref].reserve for ref in state.open_pairs.values())
        wanted += sum(state.actions[ref].reserve for ref in state.open_actions.values())
        ours = state.balance("reserved")
        must(ours == wanted, "reserved_equals_open_orders", f"{ours} reserved, open orders and pairs reserve {wanted}")

    def _sell(self, state: State, order: OrderEntry, now: int) -> None:
        """T3, and its two exceptions: U8's last 30 s, and T8 after 500 ms without proof.

        Judged when it is wanted and again when it is about to be sent; another that is only wanted does not count: it
        is judged itself before it can be sent.
        """
        slot = order.slot
        position = state.position(slot.condition_id, slot.side)
        must(position is not None, "sell_beyond_t3", "a sell without a position", order.ref)
        assert position is not None
        others = [
            other for other in state.open_orders(slot.condition_id)
            if other.slot.side is slot.side and other.draft.action is Action.SELL and other.ref != order.ref
            and other.state is not OrderState.INTENDED
        ]
        unseen = sum(max(other.done - other.traded, 0) for other in others)
        most = min(position.size, position.inventory) - position.paired - unseen
        room = most - sum(other.open_upper for other in others)
        size = order.draft.size
        if size <= room:
            return
        end = state.markets[slot.condition_id].market.end
        due = state.obligations.get(f"{slot.condition_id}:{slot.side.value}", end)
        for other in others:
            if order.draft.order_type.rests or size <= room or position.paired:
                break  # the venue would not refuse a sale of shares that pair off: no exception then
            if other.state is OrderState.UNKNOWN and due - now <= NEAR_DUE_MS:
                room += other.open_upper
                self.exceptions["u8_obligation_near"] += 1
            elif now - self._cancels.get(other.order_id, now) >= PROOF_MS:
                room += other.open_upper
                self.exceptions["t8_no_proof"] += 1
        must(
            size <= room, "sell_beyond_t3", f"{size} of {position} with {[o.ref for o in others]} open: at most {room}",
            order.ref, f"{slot.condition_id}:{slot.side.value}", position.token_id, *(o.order_id for o in others),
        )

    # --- commands and the venue ---------------------------------------------------------------------------------------

    def while_sealed(self, records: list[Record]) -> None:
        """The journal takes nothing any more: nothing is wanted that adds exposure."""
        for record in records:
            if isinstance(record, OrderIntended):
                self.checked += 1
                sells = record.draft.action is Action.SELL
                must(sells, "nothing_added_while_sealed", f"{record.draft.ref} buys", record.draft.ref)

    def command(self, command: Command, state: State, now: int) -> None:
        """A command leaves the host; a batch is judged order by order."""
        for one in single(command):
            self._command(one, state, now)

    def _command(self, command: Command, state: State, now: int) -> None:
        match command:
            case Post():
                self._post(command, state, now)
            case Cancel():
                self._cancels.setdefault(command.order_id, now)
            case CancelEverything():
                for refs in state.open_refs.values():
                    for ref in refs:
                        self._cancels.setdefault(state.orders[ref].order_id, now)
            case _:
                pass

    def _post(self, post: Post, state: State, now: int) -> None:
        """U5: the same bytes again only for what rests, was never cancelled by us, 2 s apart, at most three times.

        Each time is counted by a record before it leaves: a restart cannot forget one.
        """
        order_id = post.request.order_id
        posts = self._posts.setdefault(order_id, [])
        must(order_id in state.by_id, "order_posted_twice", "a post of an order that no record knows", order_id)
        counted = state.orders[state.by_id[order_id]].posts
        text = f"{order_id} at {posts} and {now}: {counted} recorded"
        must(len(posts) < counted, "order_posted_twice", text, order_id)
        if posts:
            again = post.request.order_type.rests and now - posts[-1] >= REPOST_MS and len(posts) < POSTS_MAX
            must(again, "order_posted_twice", f"{order_id} at {posts} and {now}", order_id)
            must(order_id not in self._cancels, "cancelled_order_posted", order_id, order_id)
            nowhere = self.heard is None or self.heard.nowhere(order_id, self._slots[order_id].condition_id, posts[-1])
            must(nowhere, "order_posted_twice", f"{order_id} at {posts} and {now}: nobody looked for it", order_id)
            self.rules["u5_same_bytes_again"] += 1
        self._pace(self._slots.get(order_id), post.request.order_type.rests, now, order_id)
        posts.append(now)
        self.checked += 1

    def _pace(self, slot: Slot | None, rests: bool, now: int, order_id: str) -> None:
        """At most so many posts a minute a slot: one a second what rests (T7), one every 250 ms at market (T8)."""
        if slot is None:
            return
        times = self._paces.setdefault((slot, rests), deque())
        while times and times[0] <= now - MINUTE_MS:
            times.popleft()
        times.append(now)
        most = RESTING_A_MINUTE if rests else MARKET_A_MINUTE
        if len(times) > most:
            raise Broken("posts_a_minute", f"{len(times)} posts of {slot} within a minute", order_id)

    def _reposted(self, state: State, order: OrderEntry, now: int) -> None:
        """U5, when it is decided: a buy that is nowhere to be found, never cancelled, in a market that is open."""
        market = state.markets[order.slot.condition_id]
        right = (
            order.state is OrderState.UNKNOWN and not order.present and order.draft.action is Action.BUY
            and order.draft.order_type.rests and order.posts <= POSTS_MAX
            and market.accepting and not market.settled and now < market.market.end
        )
        must(right, "order_posted_twice", f"{order} is not for a second post", order.ref)
        if self.heard is not None:
            stops = self.heard.stops(order.slot.purpose, state, now)
            must(not stops, "order_posted_twice", f"{order} again although: {stops}", order.ref)
            dropped = order.slot.purpose is Purpose.QUOTE and not self.heard.quoted(order.slot, order.draft.action)
            must(not dropped, "order_posted_twice", f"{order} again, and nobody quotes it any more", order.ref)
        must(order.order_id not in self._cancels, "cancelled_order_posted", order.order_id, order.order_id)

    def _absent(self, order: OrderEntry) -> None:
        """U6: what is proved absent is not at the venue, and never was filled there."""
        row = self.exchange.order(order.order_id)
        there = row is not None and (bool(row.size_matched) or row.status == "LIVE")
        must(not there, "absent_is_absent", f"{order} is absent here, the venue has {row}", order.ref, order.order_id)
        self.rules["u6_absent"] += 1

    def venue(self, rows: Iterable[OrderRow]) -> None:
        """The venue's open orders right after a post: at most one live buy a slot there too, and two sells."""
        seen: dict[Slot, str] = {}
        sells: Counter[Slot] = Counter()
        for row in rows:
            slot = self._slots.get(row.order_id)
            if slot is None:
                raise Broken("venue_orders_equal_ours", f"{row} was never prepared", row.order_id)
            if row.action is Action.BUY:
                must(slot not in seen, "one_live_buy_a_slotat_the_venue", row, row.order_id, seen.get(slot, ""))
                seen[slot] = row.order_id
            elif row.order_id not in self._cancels and not self._was_unknown(row.order_id):
                sells[slot] += 1
                must(sells[slot] <= 2, "two_live_sells_a_slotat_the_venue", row, row.order_id)
        self.checked += 1

    def _was_unknown(self, order_id: str) -> bool:
        order = self.shadow.by_order_id(order_id)
        return order is None or order.was_unknown

    # --- now and then -------------------------------------------------------------------------------------------------

    def pass_over(self, kernel: Kernel, now: int, up_since: int) -> None:
        """Deadlines are kept, and what can be covered is."""
        state = kernel.state
        for key in list(state.obligations):
            position = state.positions.get(key)
            if position is not None and position.size > 0 and not position.held:
                self._deadline(kernel, key, now, up_since)
                self._covered(kernel, key, now, up_since)
            else:
                self._uncovered.pop(key, None)
        for key in self._uncovered.keys() - state.obligations.keys():
            del self._uncovered[key]  # closed or held meanwhile: what is bought there later has its own time
        self.checked += len(state.obligations)

    def _deadline(self, kernel: Kernel, key: str, now: int, up_since: int) -> None:
        position = kernel.state.positions[key]
        market = kernel.state.markets[position.condition_id]
        written = self._obliged.get(key, position.opened_at)
        due = max(kernel.state.obligations[key], up_since, written) + DEADLINE_GRACE_MS
        if market.settled or now < due or now >= market.market.end:
            return
        data = kernel.data(position.condition_id)
        must(
            data is not None and data.exit(position.side).urgent is not None, "deadline_kept",
            f"{key} was to be closed by {kernel.state.obligations[key]} and nobody sells it at {now}", key,
            position.token_id, position.condition_id,
        )

    def _covered(self, kernel: Kernel, key: str, now: int, up_since: int) -> None:
        """Sellable shares with a target rest in sells, or go on being replaced: never for long neither."""
        state = kernel.state
        position = state.positions[key]
        market = state.markets[position.condition_id]
        data = kernel.data(position.condition_id)
        plan = None if data is None else data.exit(position.side)
        sells = [
            order for order in state.open_orders(position.condition_id)
            if order.slot.side is position.side and order.draft.action is Action.SELL
        ]
        room = min(position.size, position.inventory) - position.paired
        room -= sum(order.open_upper + max(order.done - order.traded, 0) for order in sells)
        idle = plan is not None and plan.target is not None and plan.urgent is None
        if not idle or market.settled or now >= market.market.end - 2_000 or room < market.market.min_size:
            self._uncovered.pop(key, None)
            return
        since = max(self._uncovered.setdefault(key, now), up_since)
        waiting = "" if plan is None else plan.waiting
        must(now - since <= COVER_MS, "covered", f"{room} of {key} since {since} ({waiting})", key, position.token_id)

    def twice(self, records: Iterable[Record]) -> None:
        """ORD-11: what the same comparison with the venue wrote the second time. What waited for the first may go on
        with it; a difference it finds none."""
        found = [
            record for record in records
            if isinstance(record, DIFFERENCES) or (isinstance(record, OrderMoved) and record.cause in SEEN)
        ]
        must(not found, "reconciled_twice_is_nothing", found)
        self.checked += 1

    # --- in full ------------------------------------------------------------------------------------------------------

    def in_full(self, kernel: Kernel) -> None:
        """Every invariant of the kernel, and the whole state as the fold of the bytes."""
        for name in kernel.broken_invariants():
            raise Broken(name, "found by the full check")
        if kernel.state != self.shadow:
            raise Broken("state_equals_fold", different(kernel.state, self.shadow))
        self.checked += len(INVARIANTS) + 1

    def quiet(self, kernel: Kernel, rows: Iterable[OrderRow], *, last: bool) -> None:
        """Nothing has happened for minutes: the venue and the host say the same. ``last``: nothing may be open."""
        state = kernel.state
        ours = {
            state.orders[ref].order_id: state.orders[ref] for refs in state.open_refs.values() for ref in refs
        }
        theirs = {row.order_id for row in rows}
        for order_id in theirs - ours.keys():
            ref = state.by_id.get(order_id, "")
            raise Broken("venue_orders_equal_ours", f"{ref} {order_id} rests there and is closed here", order_id, ref)
        for order_id in ours.keys() - theirs:
            order = ours[order_id]
            gone = order.state is OrderState.UNKNOWN and not last
            must(gone, "venue_orders_equal_ours", f"{order} is open here only", order.ref, order_id)
        self._funds(state)
        self._shares(state)
        if last:
            self._end(state)
        self.in_full(kernel)
        problems = self.exchange.audit()
        must(not problems, "exchange_audit", problems)
        self.checked += 6

    def _funds(self, state: State) -> None:
        refs = tuple(ref for several in state.open_refs.values() for ref in several)
        unsettled = tuple(key.partition("/")[0] for key in state.unsettled)
        ours = state.balance("free") + state.balance("reserved")
        theirs = self.exchange.collateral(self.address)
        text = f"the ledger has {ours}, the venue {theirs}; open {refs}, unsettled {unsettled}"
        must(ours == theirs, "venue_collateral_equals_ledger", text, *refs, *unsettled)
        redeemable = sum(self.exchange.redeemable(self.address).values())
        ours = state.balance("unredeemed")
        must(ours == redeemable, "venue_redeemable_equals_ledger", f"the ledger has {ours}, the venue {redeemable}")

    def _shares(self, state: State) -> None:
        known: dict[str, Micros] = {}
        for position in state.positions.values():
            known[position.token_id] = at_the_venue(state, position)
        for token_id, size in known.items():
            theirs = self.exchange.shares(self.address, token_id)
            must(size == theirs, "venue_shares_equal_positions", f"{token_id}: {size} here, {theirs} there", token_id)
        for token_id, theirs in self.exchange.holdings(self.address).items():
            must(token_id in known, "venue_shares_equal_positions", f"{token_id}: {theirs} there only", token_id)

    def _end(self, state: State) -> None:
        """Every market we were in is settled: no order is open, no trade unsettled, no position undecided."""
        for refs in state.open_refs.values():
            must(not refs, "nothing_open_at_the_end", [state.orders[ref] for ref in refs], *refs)
        must(
            not state.unsettled, "nothing_open_at_the_end", state.unsettled,
            *(key.partition("/")[0] for key in state.unsettled),
        )
        for name, left in (
            ("obligations", state.obligations), ("pairs", state.open_pairs), ("actions", state.open_actions),
        ):
            must(not left, "nothing_open_at_the_end", f"{name}: {left}", *left)
        for key, position in state.positions.items():
            settled = state.markets[position.condition_id].settled
            must(position.size == 0 or settled, "nothing_open_at_the_end", position, key)


def at_the_venue(state: State, position: PositionEntry) -> Micros:
    """The shares that are left of a position on chain. What a decided market paid keeps its size in our books: there a
    redeem took all of it, and a merge that became known late its pairs."""
    if not state.markets[position.condition_id].settled:
        return position.size
    done = [
        action for action in state.actions.values()
        if action.condition_id == position.condition_id and action.state is ActionState.DONE
    ]
    if any(action.kind is ActionKind.REDEEM for action in done):
        return 0
    merged = sum(action.size for action in done if action.kind is ActionKind.MERGE)
    return position.size - (merged - position.merged)


def different(ours: State, folded: State) -> str:
    """Which fields of two states differ, and the first entries that do."""
    found = []
    for name in State.__struct_fields__:
        left, right = getattr(ours, name), getattr(folded, name)
        if left == right:
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            keys = [key for key in {**left, **right} if left.get(key) != right.get(key)][:3]
            found.append(f"{name}: " + "; ".join(f"{key}: {left.get(key)} != {right.get(key)}" for key in keys))
        else:
            found.append(f"{name}: {left!r} != {right!r}"[:400])
    return ", ".join(found)


