"""Standing quotes: targets of plugins become resting post-only orders, one step at a time (rules T for quotes).

A quote rests only while its owner keeps proposing it and everything is well: a block, a lost stream, a stale book, the
deadline of what it would buy, or the end of the run takes it away. What a quote buys is a position like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from polyhost.kernel.core import Core
from polyhost.kernel.entries import affordable, exposure_rooms, worst_cost
from polyhost.kernel.exits import REFUSAL_WAITS_MS, REPLACE_EVERY_MS, RESTING_MAX, Exits
from polyhost.kernel.legality import LAST_ORDER_MS
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.kernel.standing import Blocks, refusal
from polyhost.kernel.state import MarketState, OrderEntry, PositionEntry, lock_key
from polyhost.kernel.views import SIDES
from polyhost.kernel.volatile import MarketData
from polyhost.model.events import Evaluated, Proposed
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import LOT, ONE, Micros, Ticks, money_text, price_text, size_text
from polyhost.model.proposals import QuoteTarget
from polyhost.model.records import Slot
from polyhost.model.rounding import floor_lot, safe_price
from polyhost.model.times import NEVER
from polyhost.model.words import Action, OrderState, OrderType, Purpose, Side

LOOK_EVERY_MS: Final = 1_000
"""A market with quotes is looked at this often, market ms: blocks, the book's age, expired targets."""
NEVER_MOVED: Final = -(1 << 40)

Key: TypeAlias = tuple[Side, Action, str]
"""Which quote of a market."""
Seen: TypeAlias = tuple[Micros, ...]
"""What was bought and sold of a market at one instant: a quote is placed only when its owner has seen every fill."""


class Plan(Struct):
    """What should rest in one quote slot, and what became of it so far."""

    target: QuoteTarget | None = None
    """None: nothing should rest any more."""
    owner: str = ""
    view_seq: int = 0
    epoch: int = 0
    """Of the book that its owner saw."""
    seen: Seen = ()
    until: int = 0
    """Market ms from which the target no longer stands unless it is renewed."""
    ref: str = ""
    """The order placed last."""
    asked: Micros = 0
    """The size wanted when it was placed."""
    cancelled: bool = False
    """Its end was our own wish."""
    replacing: bool = False
    """What is placed next belongs to a replacement that has begun (T7 counts it once)."""
    moved_wall: int = NEVER_MOVED
    next_wall: int = 0
    """Not before this: the venue refused lately."""
    refusals: int = 0
    waiting: str = ""
    """Why what rests is not what is wanted."""


class Quotes:
    """Drives every quote slot towards its target."""

    def __init__(self, core: Core, flow: OrderFlow, exits: Exits, blocks: Blocks) -> None:
        self.core = core
        self.flow = flow
        self.exits = exits
        self.blocks = blocks
        self._plans: dict[str, dict[Key, Plan]] = {}
        """Condition id → its quotes. A market without any is not listed."""
        self._asked: dict[str, Seen] = {}
        """What was bought and sold when the plugins were last asked about a market."""
        self._timers: dict[str, int] = {}
        self._retries: dict[str, int] = {}
        self._blocked = ""

    # --- wishes -------------------------------------------------------------------------------------------------------

    def asked(self, condition_id: str) -> None:
        """The plugins are asked about a market now: what they see of its fills."""
        self._asked[condition_id] = self._fills(condition_id)

    def forget(self, condition_id: str) -> None:
        """The market is decided and no longer followed."""
        self._asked.pop(condition_id, None)

    def want(self, event: Evaluated, proposed: Sequence[Proposed]) -> None:
        """The quotes that should stand from now on; one that its owner no longer names is withdrawn (T1).

        An owner that failed in this evaluation has not spoken: what it wanted stands until its own end.
        """
        plans = self._plans.get(event.condition_id, {})
        if not proposed and not plans:
            return
        named: dict[Key, list[Proposed]] = {}
        for wish in proposed:
            assert isinstance(wish.answer, QuoteTarget)
            named.setdefault((wish.answer.side, wish.answer.action, wish.answer.key), []).append(wish)
        failed = {use.plugin for use in event.used if use.failed}
        for key, plan in plans.items():
            if key not in named and plan.owner not in failed:
                plan.target = None
        for key in self._bounded(event.condition_id, named, plans):
            plan = plans.setdefault(key, Plan())
            # At equal urgency the present owner keeps the slot, then the configured order decides.
            chosen = next((w for w in named[key] if plan.target is not None and w.plugin == plan.owner), named[key][0])
            self._stand(event, plan, chosen)
        self._plans[event.condition_id] = plans
        self.drive(event.condition_id)

    def _bounded(self, condition_id: str, named: dict[Key, list[Proposed]], plans: dict[Key, Plan]) -> list[Key]:
        """The keys that get a slot: those that have one first, at most so many a side and action."""
        most = {Action.BUY: self.core.settings.quotes.slots_max, Action.SELL: RESTING_MAX}
        standing = [key for key, plan in plans.items() if plan.target is not None or self._order(condition_id, key)]
        count: dict[tuple[Side, Action], int] = {}
        taken = []
        for key in sorted(named, key=lambda key: key not in standing):
            slot = (key[0], key[1])
            count[slot] = count.get(slot, sum(k[:2] == slot and k not in named for k in standing)) + 1
            if count[slot] <= most[key[1]]:
                taken.append(key)
                continue
            self.core.notice(
                "quotes_many", f"{condition_id}:{key[0]}:{key[1]}",
                f"More than {most[key[1]]} quotes {key[1].value} {key[0].value}: the further ones are not placed",
                condition_id,
            )
            if key in plans:
                plans[key].target = None
        return taken

    def _stand(self, event: Evaluated, plan: Plan, wish: Proposed) -> None:
        assert isinstance(wish.answer, QuoteTarget)
        core = self.core
        plan.target, plan.owner = wish.answer, wish.plugin
        plan.view_seq, plan.epoch = event.view_seq, event.book_epoch
        plan.seen = self._asked.get(event.condition_id, ())
        settings = core.settings
        lives_ms = max(round(settings.quotes.unrenewed_s * 1_000), 2 * settings.evaluation.cadence_ms)
        plan.until = min(core.now + lives_ms, wish.answer.valid_until or NEVER)

    def drop(self, condition_id: str, side: Side | None) -> None:
        """Withdraw every quote that buys, of one side or of both: before a re-open, or because a plugin says so."""
        plans = self._plans.get(condition_id, {})
        for (of, action, _), plan in plans.items():
            if action is Action.BUY and side in (None, of):
                plan.target = None
        if plans:
            self.drive(condition_id)

    def wanted(self, order: OrderEntry) -> bool:
        """Does a target that still stands want this quote, at the price it has? (U5)"""
        core, slot = self.core, order.slot
        plan = self._plans.get(slot.condition_id, {}).get((slot.side, order.draft.action, slot.key))
        if plan is None or plan.target is None or plan.ref != order.ref or plan.cancelled or core.now >= plan.until:
            return False
        data = core.data.get(slot.condition_id)
        if data is None or not data.book.ready:
            return True  # nobody changed his mind; whether it may be posted now is asked elsewhere
        market = core.state.markets[slot.condition_id].market
        price = careful_price(plan.target, market, *data.book.best(slot.side))
        return price is not None and abs(price - order.draft.price) < max(market.tick, plan.target.tolerance)

    # --- when to look -------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restart nobody stands for what rests: quotes of an earlier life are cancelled."""
        for condition_id in list(self.core.state.open_refs):
            for order in self._orders(condition_id):
                self._cancel(order)

    def react(self) -> None:
        """A block came since the last step: quotes go at once, not at the next look."""
        if not self._plans:
            return
        blocked = next((name for name, _ in self.blocks(Purpose.QUOTE)), "")
        if blocked and blocked != self._blocked:
            for condition_id in list(self._plans):
                self.drive(condition_id)
        self._blocked = blocked

    def timer(self, condition_id: str) -> None:
        """A market's own look came."""
        if self._timers.get(condition_id, NEVER) <= self.core.now:
            del self._timers[condition_id]
            self.drive(condition_id)

    def retry(self, condition_id: str) -> None:
        """A wall deadline of a market's quotes came."""
        if self._retries.get(condition_id, NEVER) <= self.core.wall:
            del self._retries[condition_id]
            self.drive(condition_id)

    def _look_again(self, condition_id: str) -> None:
        core = self.core
        ends = [plan.until for plan in self._plans[condition_id].values() if plan.target is not None]
        ends += [self.flow.due(condition_id)]
        due = min([core.now + LOOK_EVERY_MS, *(end for end in ends if end > core.now)])
        if due < self._timers.get(condition_id, NEVER):
            self._timers[condition_id] = due
            core.at_market(due, "quotes", condition_id)

    def _again(self, condition_id: str, after_ms: int) -> None:
        due = self.core.wall + max(after_ms, 1)
        if due < self._retries.get(condition_id, NEVER):
            self._retries[condition_id] = due
            self.core.at_wall(due, "quote_retry", condition_id)

    # --- driving ------------------------------------------------------------------------------------------------------

    def drive(self, condition_id: str) -> None:
        """Take the next step for every quote of one market."""
        plans = self._plans.get(condition_id)
        if plans is None:
            return
        stop = self._stop(condition_id)
        for key, plan in list(plans.items()):
            if plan.target is not None and self.core.now >= plan.until:
                plan.target = None
            order = self._order(condition_id, key)
            self._ended(condition_id, plan, order)
            if stop or plan.target is None:
                plan.waiting, plan.replacing = stop, False
                if order is not None:
                    plan.cancelled = True
                    self._cancel(order)
                elif plan.target is None and self.core.wall - plan.moved_wall >= REPLACE_EVERY_MS:
                    del plans[key]  # not before: a target that comes and goes must not get around T7
            else:
                self._step(condition_id, key, plan, order)
        if plans:
            self._look_again(condition_id)
        else:
            del self._plans[condition_id]

    def _stop(self, condition_id: str) -> str:
        """Why nothing may rest in this market; empty when it may."""
        entry, data = self.core.market(condition_id), self.core.data.get(condition_id)
        if entry is None or data is None:
            return "the market is not followed"
        return refusal(self.core, entry, data, self.flow.due(condition_id), self.blocks, Purpose.QUOTE)

    def _ended(self, condition_id: str, plan: Plan, order: OrderEntry | None) -> None:
        """The order placed last is over, and not because we or a fill ended it: the venue does not want it now."""
        last = self.core.state.orders.get(plan.ref)
        if order is not None or last is None or last.open:
            return
        plan.ref = ""
        if plan.cancelled or last.cause == "filled" or last.done >= last.draft.size:
            plan.refusals = 0
            return
        wait = REFUSAL_WAITS_MS[min(plan.refusals, len(REFUSAL_WAITS_MS) - 1)]
        plan.refusals += 1
        plan.next_wall = self.core.wall + wait
        self._again(condition_id, wait)

    def _step(self, condition_id: str, key: Key, plan: Plan, order: OrderEntry | None) -> None:
        entry, data = self.core.state.markets[condition_id], self.core.data[condition_id]
        target = plan.target
        assert target is not None
        price = careful_price(target, entry.market, *data.book.best(target.side))
        if order is None:
            self._place(entry, data, plan, key, price)
        elif order.state is not OrderState.WORKING:
            plan.waiting = "a change is in flight"  # T4
        elif self._shares_taken(condition_id, target):
            plan.waiting = "its shares have an exit"
            plan.cancelled = True
            self._cancel(order)
        else:
            self._compare(entry, plan, order, price)

    def _compare(self, entry: MarketState, plan: Plan, order: OrderEntry, price: Ticks | None) -> None:
        """T2, T6, T7: is what rests what is wanted?"""
        target = plan.target
        assert target is not None
        core, tick = self.core, entry.market.tick
        bound = order.draft.price if price is None else price
        moved = abs(order.draft.price - bound) >= max(tick, target.tolerance, 1)
        position = core.state.position(order.slot.condition_id, target.side)
        wanted = wanted_size(target, bound if moved else order.draft.price, entry.market, position)
        lot = max(LOT, target.size_tolerance)
        resized = order.open_upper - wanted >= lot or wanted - plan.asked >= lot
        plan.waiting = ""
        if not moved and not resized:
            return
        bolder = order.draft.price > bound if target.action is Action.BUY else order.draft.price < bound
        if wanted < entry.market.min_size and not (moved and bolder):
            plan.waiting = f"{size_text(wanted)} could not be placed again (minimum size)"  # T6
            return
        since = core.wall - plan.moved_wall
        if since < REPLACE_EVERY_MS:
            plan.waiting = "replaced less than a second ago"  # T7
            self._again(entry.market.condition_id, REPLACE_EVERY_MS - since)
            return
        plan.cancelled = plan.replacing = True
        plan.moved_wall = core.wall
        self._cancel(order)

    # --- placing ------------------------------------------------------------------------------------------------------

    def _place(self, entry: MarketState, data: MarketData, plan: Plan, key: Key, price: Ticks | None) -> None:
        core, market, target = self.core, entry.market, plan.target
        assert target is not None
        slot = Slot(market.condition_id, target.side, Purpose.QUOTE, target.key)
        plan.waiting = self._not_now(market, data, plan, slot)
        if plan.waiting:
            return
        if price is None:
            plan.waiting = "no price is left that would not take"
            return
        size, limited = self._size(market, target, price)
        if size < market.min_size:
            plan.waiting = f"{size_text(size)} is below the minimum{f' ({limited})' if limited else ''}"
            return
        draft = OrderDraft(
            self.flow.next_ref(), market.token(target.side), target.action, OrderType.GTC, price, size, market.tick,
            market.neg_risk, post_only=True,
        )
        reserve = worst_cost(size, price, market) if target.action is Action.BUY else 0
        plan.ref, plan.moved_wall = draft.ref, core.wall
        plan.cancelled = plan.replacing = False
        plan.asked = wanted_size(target, price, market, core.state.position(market.condition_id, target.side))
        illegal = self.flow.place(slot, draft, reserve, self._why(data, plan, target, limited))
        if illegal is not None:
            plan.ref, plan.waiting = "", illegal.text

    def _not_now(self, market: Market, data: MarketData, plan: Plan, slot: Slot) -> str:
        """Why this quote is not placed at this moment; empty when it is."""
        core, target = self.core, plan.target
        assert target is not None
        locked = core.state.slots_locked.get(lock_key(slot))
        if locked is not None and target.action is Action.BUY:
            return locked.why
        if core.now > market.end - LAST_ORDER_MS:
            return "too close to the end"  # T9
        if plan.epoch != data.book.epoch:
            return "its owner has not seen the new book"
        if plan.seen != self._fills(market.condition_id):
            return "its owner has not seen the latest fill"
        if self._shares_taken(market.condition_id, target):
            return "its shares have an exit"
        wait = plan.next_wall - core.wall
        if not plan.replacing:
            wait = max(wait, plan.moved_wall + REPLACE_EVERY_MS - core.wall)
        if wait > 0:
            self._again(market.condition_id, wait)
            return "placed, replaced or refused just now"
        if target.action is Action.BUY and not core.balance_fresh():
            core.ask_collateral()
            return "the balance is too old; it was asked for"
        return ""

    def _shares_taken(self, condition_id: str, target: QuoteTarget) -> bool:
        """A sell is of shares that nothing else stands for: exits come first, and what is held stays."""
        if target.action is Action.BUY:
            return False
        data = self.core.data[condition_id]
        plan = data.exits.get(target.side)
        position = self.core.state.position(condition_id, target.side)
        held = position is not None and bool(position.held)
        return held or (plan is not None and (plan.target is not None or plan.urgent is not None))

    def _size(self, market: Market, target: QuoteTarget, price: Ticks) -> tuple[Micros, str]:
        """Shares to place, and what reduced them (ENT-04): limits and funds for a buy, T3 for a sell."""
        core = self.core
        position = core.state.position(market.condition_id, target.side)
        wanted = wanted_size(target, price, market, position)
        if target.action is Action.BUY:
            limited, room = min(self._rooms(market), key=lambda named: named[1])
            most = affordable(max(room, 0), price, LOT, market)
        else:
            limited, most = "sellable", 0
            sells = core.open_sells(market.condition_id, target.side)
            if position is not None and not any(order.state is OrderState.UNKNOWN for order in sells):
                most = floor_lot(max(self.exits.cover(position, sells) - sum(o.open_upper for o in sells), 0))
        return (wanted, "") if wanted <= most else (most, limited)

    def _rooms(self, market: Market) -> Iterator[tuple[str, Micros]]:
        """Each limit and what is left of it. A quote leaves what must stay free (ENT-03): it would block itself and all
        the others, come and go."""
        for name, room in exposure_rooms(self.core, market):
            yield name, room - int(self.core.settings.safety.balance_min) if name == "funds" else room

    def _why(self, data: MarketData, plan: Plan, target: QuoteTarget, limited: str) -> dict[str, str]:
        core = self.core
        bid, ask = data.book.best(target.side)
        return {
            "plugin": plan.owner, "reason": target.reason, "view_seq": str(plan.view_seq),
            "bid": price_text(bid), "ask": price_text(ask), "book_epoch": str(data.book.epoch),
            "book_age_ms": str(core.now - data.book.changed_at), "target_price": price_text(target.price),
            "target_size": "" if target.size is None else size_text(target.size),
            "stake": "" if target.stake is None else money_text(target.stake), "limited": limited,
            "balance_age_ms": str(core.wall - core.fresh.collateral_wall),
        }

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _orders(self, condition_id: str) -> list[OrderEntry]:
        return [o for o in self.core.state.open_orders(condition_id) if o.slot.purpose is Purpose.QUOTE]

    def _order(self, condition_id: str, key: Key) -> OrderEntry | None:
        """The open order of a quote slot."""
        for order in self._orders(condition_id):
            if (order.slot.side, order.draft.action, order.slot.key) == key:
                return order
        return None

    def _cancel(self, order: OrderEntry) -> None:
        """Nobody wants it any more at this price: cancelled until its end is proved."""
        if order.state is not OrderState.UNKNOWN or not self.flow.cancelled(order):
            self.flow.cancel(order, for_good=True)

    def _fills(self, condition_id: str) -> Seen:
        state = self.core.state
        found: list[Micros] = []
        for side in SIDES:
            position = state.position(condition_id, side)
            found += [0, 0] if position is None else [position.bought, position.sold]
        unseen = sum(order.done - order.traded for order in state.open_orders(condition_id))
        return (*found, unseen)


def careful_price(target: QuoteTarget, market: Market, bid: Ticks, ask: Ticks) -> Ticks | None:
    """The target's price on the grid (T2), and at least a tick away from the other side; None when none is left."""
    tick = market.tick
    if target.action is Action.BUY:
        return None if ask - tick < tick else safe_price(Action.BUY, min(target.price, ask - tick), tick)
    return None if bid + tick > ONE - tick else safe_price(Action.SELL, max(target.price, bid + tick), tick)


def wanted_size(target: QuoteTarget, price: Ticks, market: Market, position: PositionEntry | None) -> Micros:
    """Shares that should rest, floored to 0.01: what the target says, whatever limits and funds say to it."""
    offers = [target.size] if target.size is not None else []
    if target.stake is not None:
        offers.append(affordable(target.stake, price, LOT, market))
    if target.action is Action.SELL:
        offers.append(0 if position is None else position.loose)
    return floor_lot(min(offers))
