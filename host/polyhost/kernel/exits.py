"""Leaving positions: standing targets become resting orders, urgent exits become sales at market (rules T).

A plugin says what should be; this part compares it with what is and takes one step at a time. Sizes always come from
the ledger at the moment of the command, truncated, never from money.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from polyhost.kernel.arbitration import is_planned
from polyhost.kernel.breakers import Breakers
from polyhost.kernel.core import Core
from polyhost.kernel.legality import LAST_ORDER_MS
from polyhost.kernel.orders_flow import OrderFlow, describe
from polyhost.kernel.shortage import CODES as SHORTAGES
from polyhost.kernel.shortage import Known, Shortage, shortage
from polyhost.kernel.state import MarketState, OrderEntry, PositionEntry
from polyhost.kernel.volatile import Exit, MarketData
from polyhost.model.gateway import OrderDraft
from polyhost.model.money import ONE, Micros, Ticks, price_text, size_text
from polyhost.model.proposals import ExitNow, ExitTarget
from polyhost.model.records import CloseRecorded, HeldDeclared, ObligationMet, Slot
from polyhost.model.rounding import floor_lot, market_size, safe_price
from polyhost.model.times import NEVER
from polyhost.model.unanswered import AWAY
from polyhost.model.words import Action, OrderState, OrderType, Purpose, Side

CANCEL_PROOF_MS: Final = 500
"""T8: how long a market sale waits for the proof that a resting exit is gone, wall ms."""
RETRY_MS: Final = 250
"""T8: a market sale that matched partly or not at all is tried again after this, wall ms."""
REFUSAL_WAITS_MS: Final = (1_000, 2_000, 3_000, 5_000, 5_000, 5_000)
"""ORD-19: waits after a refusal for balance ("not visible yet"), wall ms; then the last one for good."""
LATER_MS: Final = 30_000
"""ORD-19: after all those waits a sale is tried this often, wall ms, until the balance changes or it is forced."""
TURNED_AWAY_MS: Final = 5_000
"""A sale that the venue turned away (engine restart, closed, too many requests) is signed anew after the time that the
venue named, and after this at the latest, wall ms."""
NO_BID_MS: Final = 1_000
"""A market sale that nobody took while the book shows no bid is tried again after this, wall ms."""
NO_BID_CODES: Final = frozenset({"fak_killed", "fok_killed"})
"""Refusals that say nobody bids at the price: tried again, no failure of ours."""
PACE_CODES: Final = frozenset({"budget", "rate_limit", AWAY})
"""Refusals that only say "later": the venue's pace, or ours, or nobody is there who signs and sends. No failure of the
exit."""
EMERGENCIES: Final = frozenset({"stop", "floor"})
"""Urgencies that count as emergency stops; planned closes do not."""
TOO_SMALL: Final = "minimum"
"""Kind of a position that is held because the venue takes no order so small."""
KILL: Final = "kill"
HOST: Final = "host"
"""Who wants a sale that no plugin wanted."""
TAKEN: Final = "taken by hand"
"""Reason of a close whose last shares left without a sale of ours."""
OBLIGATION: Final = "obligation"
"""Reason of a close that the host had to force because no plugin acted in time."""
NOT_CANCELLED: Final = frozenset({OrderState.INTENDED, OrderState.PREPARED, OrderState.WORKING})
"""States of a resting exit that a sale at market cancels; one that is not sent yet never will be."""
UNSETTLED: Final = "not settled, or not yet visible in the venue's balance"
"""Why a position waits: the venue does not let its shares be sold yet."""
EXIT_LATE_MS: Final = 5_000
"""OPS-07: a sale at market that has not left so long after it was wanted is told, wall ms."""
ASIDE_MS: Final = 3_000
"""Exits stand aside this long for a merge of what rests in them, wall ms; then they cover again what is left."""
OUTDATED_MS: Final = 3_000
"""CON-14: a resting sell waits this long for a newer balance, wall ms; then it is placed on the one known, for a
query that fails must not leave a position uncovered."""
REPLACE_EVERY_MS: Final = 1_000
"""T7: at most one replacement a slot in this time, wall ms."""
RESTING_MAX: Final = 2
"""T5: at most two live sells an exit slot."""
FLOOR_AT_END_MS: Final = 10_000
"""EXI-08: in the last ten seconds a forced close takes any price, market ms."""
OBLIGATION_NEAR_MS: Final = 30_000
"""U8: within this of the obligation an unknown sell is no longer counted against the next one, market ms."""


class Exits:
    """Drives every position towards what its plugins, or its obligation, want."""

    def __init__(self, core: Core, breakers: Breakers) -> None:
        self.core = core
        self.breakers = breakers
        self.flow: OrderFlow

    # --- wishes -------------------------------------------------------------------------------------------------------

    def want(self, condition_id: str, target: ExitTarget, owner: str) -> None:
        """A standing target; an equal one is no change (T1)."""
        plan = self.core.data[condition_id].exit(target.side)
        plan.spoken = True
        if plan.target != target or plan.target_owner != owner:
            plan.target, plan.target_owner = target, owner
            plan.settled_at = None
            if target.valid_until:
                self.core.at_market(target.valid_until, "exit_until", f"{condition_id}:{target.side.value}")
        if plan.settled_at is None or plan.settled_at != self._stamp(condition_id, target.side):
            self.drive(condition_id, target.side)

    def _stamp(self, condition_id: str, side: Side) -> tuple[int, Micros | None]:
        """What a step of a position depends on beside time and its wish: durable facts and the balance seen (T10)."""
        entry = self.core.state.markets[condition_id]
        seen = self.core.fresh.tokens.get(entry.market.token(side))
        return entry.rev, None if seen is None else seen[0]

    def until(self, key: str) -> None:
        """A target's own end came: unless it was proposed anew, it no longer stands."""
        condition_id, _, side = key.rpartition(":")
        data = self.core.data.get(condition_id)
        target = None if data is None else data.exit(Side(side)).target
        if target is not None and target.valid_until and target.valid_until <= self.core.now:
            self.drop_target(condition_id, Side(side))

    def drop_target(self, condition_id: str, side: Side) -> None:
        """No plugin wants a target any more: what rests is cancelled, unless something else stands for it."""
        plan = self.core.data[condition_id].exit(side)
        if plan.target is not None or not plan.spoken:
            plan.target, plan.spoken = None, True
            self.drive(condition_id, side)

    def pend(self, condition_id: str, target: ExitTarget) -> None:
        """A target whose time has not come (EXI-01): nothing rests, and why is shown."""
        self.drop_target(condition_id, target.side)
        plan = self.core.data[condition_id].exit(target.side)
        if plan.urgent is None:
            plan.waiting = f"pending: {target.reason}"

    def now(self, condition_id: str, wish: ExitNow, by: str = HOST, *, forced: bool = False) -> None:
        """Sell the whole position at market, from now on until it is gone (a planned sale: until its floor is not bid);
        ``by`` the plugin that wants it. A planned sale under way gives way to one that is not."""
        plan = self.core.data[condition_id].exit(wish.side)
        if plan.urgent is None or (is_planned(plan.urgent) and not is_planned(wish)):
            self._begin(condition_id, plan, wish, by)
            plan.cancel_sent_wall = -1  # what an earlier sale waited for proves nothing now
            plan.next_wall = self.core.wall
            position = self.core.state.position(condition_id, wish.side)
            again = position is not None and position.held == TOO_SMALL  # stopped once already, and still too small
            if wish.urgency in EMERGENCIES and not again and position is not None:
                self.core.notice(
                    "emergency_stop", f"{condition_id}:{wish.side.value}",
                    f"Emergency stop: {size_text(position.loose)} {wish.side.value} is sold at market: {wish.reason}",
                    condition_id,
                )
            if (wish.urgency in EMERGENCIES or wish.reason == OBLIGATION) and not again:
                self.breakers.emergency_stop()
        if forced or wish.urgency == "forced_close":
            self._force(condition_id, wish.side, plan, wish.reason)
        self.drive(condition_id, wish.side)

    def _begin(self, condition_id: str, plan: Exit, wish: ExitNow, by: str) -> None:
        """From now on it is to be sold at market; that it is late is told."""
        plan.urgent, plan.urgent_by = wish, by
        plan.attempts = 0
        plan.urgent_wall = self.core.wall
        self.core.at_wall(plan.urgent_wall + EXIT_LATE_MS, "exit_late", f"{condition_id}:{wish.side.value}")

    def late(self, key: str) -> None:
        """A sale at market was wanted some time ago: it should have left by now."""
        condition_id, _, text = key.rpartition(":")
        core, side = self.core, Side(text)
        data, position = core.data.get(condition_id), core.state.position(condition_id, side)
        plan = None if data is None else data.exits.get(side)
        if plan is None or plan.urgent is None or plan.attempts or position is None or position.loose <= 0:
            return
        if plan.waiting == UNSETTLED:
            core.at_wall(core.wall + EXIT_LATE_MS, "exit_late", key)
        elif core.wall - plan.urgent_wall >= EXIT_LATE_MS:
            core.notice(
                "exit_late", key, f"The sale of {size_text(position.loose)} {text} at market, wanted "
                f"{(core.wall - plan.urgent_wall) / 1_000:.1f} s ago, has not left: "
                f"{plan.waiting or 'no reason known'}", condition_id,
            )

    def _force(self, condition_id: str, side: Side, plan: Exit, reason: str) -> None:
        """From now on it is a forced close, and someone is told (EXI-05)."""
        position = self.core.state.position(condition_id, side)
        if not plan.forced and position is not None:
            why = "its deadline passed and no plugin closed it" if reason == OBLIGATION else reason
            self.core.notice(
                "forced_by_host" if reason == OBLIGATION else "forced", f"{condition_id}:{side.value}",
                f"Forced close of {size_text(position.loose)} {side.value}: {why}", condition_id,
            )
        plan.forced = True

    def hold(self, condition_id: str, side: Side, kind: str, reason: str) -> None:
        """Declare the position held to settlement; it meets the obligation."""
        core = self.core
        position = core.state.position(condition_id, side)
        if position is None or position.loose <= 0 or position.held:
            return  # what pairs off is held as that: a word about it must not stand for what is bought beside it later
        core.record(HeldDeclared(core.now, condition_id, side, kind, reason))
        self._met(condition_id, side, "held")
        plan = core.data[condition_id].exit(side)
        plan.urgent, plan.waiting = None, f"held: {reason}"

    # --- driving ------------------------------------------------------------------------------------------------------

    def drive(self, condition_id: str, side: Side) -> None:
        """Take the next step for one position, if one is due."""
        core = self.core
        entry = core.market(condition_id)
        data = core.data.get(condition_id)
        position = core.state.position(condition_id, side)
        if entry is None or data is None or position is None or entry.settled:
            return
        if position.size <= 0:
            self._gone(position, data)
            return
        if position.loose <= 0:
            self._paired(position, data)
            return
        if core.now > entry.market.end - LAST_ORDER_MS:
            return
        plan = data.exit(side)
        if plan.urgent is None and position.closing:
            self._begin(condition_id, plan, ExitNow(side, position.closing, "forced_close"), HOST)
            plan.forced = True
        if plan.urgent is not None:
            self._sell_now(entry, data, position, plan)
        elif core.ending == KILL:
            return  # the operator wants nothing to rest; obligations still sell
        elif plan.target is not None and not position.held:
            before = self._stamp(condition_id, side)
            self._rest(entry, position, plan, plan.target)
            # T10: nothing to do, nothing waited for and no timer set: visited again only when something differs.
            still = plan.waiting == "" and plan.timer_wall == NEVER and before == self._stamp(condition_id, side)
            plan.settled_at = before if still else None
        elif plan.spoken and not position.held:
            self._clear(condition_id, side)

    def retry(self, key: str) -> None:
        """A wall deadline of a position came."""
        condition_id, _, side = key.rpartition(":")
        data = self.core.data.get(condition_id)
        if data is None:
            return
        plan = data.exit(Side(side))
        if plan.timer_wall > self.core.wall:
            return  # an earlier deadline was set after this one and has been served; each would set another for good
        plan.timer_wall = NEVER
        self.drive(condition_id, Side(side))

    def obligation(self, key: str) -> None:
        """The deadline written at entry: closed or held, whatever plugins do. Enforced here when they did not act."""
        condition_id, _, side_text = key.rpartition(":")
        side = Side(side_text)
        core = self.core
        position = core.state.position(condition_id, side)
        data = core.data.get(condition_id)
        if position is None or position.loose <= 0 or position.held or data is None:
            return
        plan = data.exit(side)
        if plan.urgent is not None and key in core.state.obligations and plan.refusals > len(REFUSAL_WAITS_MS):
            self._force(condition_id, side, plan, OBLIGATION)
            self.hopeful(condition_id, side)  # ORD-19: the attempt was given up, the obligation takes over
            self.drive(condition_id, side)
        if key not in core.state.obligations or (plan.urgent is not None and not is_planned(plan.urgent)):
            return
        book = data.book
        bid, ask = book.best(side)
        worth = (bid + ask) // 2 if ask < ONE else bid  # an empty side is no price
        if book.priced and worth >= core.settings.safety.hold_above:
            self.hold(condition_id, side, "ahead", f"worth {price_text(worth)} at the deadline")
            return
        self.now(condition_id, ExitNow(side, OBLIGATION, "forced_close"), forced=True)

    def stand_aside(self, condition_id: str, side: Side) -> None:
        """A merge wants shares that rest in its sells: they are cancelled, and for a moment nothing is placed."""
        core = self.core
        data, position = core.data.get(condition_id), core.state.position(condition_id, side)
        if data is None or position is None or position.size <= 0 or (plan := data.exit(side)).urgent is not None:
            return
        plan.aside_wall = core.wall + ASIDE_MS
        plan.settled_at = None
        self._clear(condition_id, side)
        self._again(plan, position, ASIDE_MS)

    # --- a standing target --------------------------------------------------------------------------------------------

    def _rest(self, entry: MarketState, position: PositionEntry, plan: Exit, target: ExitTarget) -> None:
        core = self.core
        market = entry.market
        side = position.side
        if core.wall < plan.aside_wall:
            plan.waiting = "a merge of its shares is wanted"
            self._again(plan, position, plan.aside_wall - core.wall)
            return
        every = core.open_sells(market.condition_id, side)
        if any(order.slot.purpose is Purpose.QUOTE and order.state is not OrderState.UNKNOWN for order in every):
            plan.waiting = "a quote of its shares is being cancelled"
            return
        # U8: an unknown sell never blocks a sell; what it may still sell is not sold twice.
        sells = [order for order in every if order.state is not OrderState.UNKNOWN]
        if any(order.state is not OrderState.WORKING for order in sells):
            plan.waiting = "a change is in flight"  # T4
            return
        fresh = [o for o in every if o.state is OrderState.UNKNOWN and self.flow.cancel_age(o) < CANCEL_PROOF_MS]
        if fresh:
            plan.waiting = "a sell became unknown just now"
            self._again(plan, position, CANCEL_PROOF_MS)
            return
        self._await_balance(position, plan)
        price = safe_price(Action.SELL, target.price, market.tick)
        resting = sum(order.open_upper for order in sells)
        room = floor_lot(self.cover(position, every) - sum(order.open_upper for order in every))
        if not sells:
            self._first(entry, position, plan, price, room)
            return
        off_price = [o for o in sells if abs(o.draft.price - price) >= max(market.tick, target.tolerance, 1)]
        if off_price:
            self._replace(entry, position, plan, off_price, room)
        elif room >= market.min_size and len(sells) < RESTING_MAX:
            self._place(entry, position, plan, price, room)  # T5: grow by a second order
        elif room > 0 and resting + room >= market.min_size:
            self._replace(entry, position, plan, sells, room)  # T5: the increment alone is no legal order
        else:
            plan.waiting = "" if room <= 0 else f"{size_text(room)} more is below the minimum of a resting order"

    def _await_balance(self, position: PositionEntry, plan: Exit) -> None:
        """Settled shares that the venue's balance does not show yet: it is read again every second until it does."""
        core = self.core
        if core.sellable(position) >= floor_lot(position.inventory):
            return
        self._read_balance(position, plan)
        self._again(plan, position, REFUSAL_WAITS_MS[0])

    def _read_balance(self, position: PositionEntry, plan: Exit) -> None:
        if self.core.wall - plan.balance_wall >= REFUSAL_WAITS_MS[0]:
            plan.balance_wall = self.core.wall
            self.core.ask_balance(position.token_id)

    def _outdated(self, position: PositionEntry, plan: Exit) -> bool:
        """CON-14: the balance that would size a resting sell is too old: it is read first, and decided after.

        Sales at market never wait for it: the ledger caps their size, and what the venue lacks it refuses.
        """
        core = self.core
        age = core.shares_age(position)
        if age is None or age <= core.settings.safety.balance_age_ms_max:
            plan.outdated_wall = -1
            return False
        if plan.outdated_wall < 0:
            plan.outdated_wall = core.wall
        if core.wall - plan.outdated_wall >= OUTDATED_MS:
            return False
        plan.waiting = "the balance of its shares is too old and is read again"
        self._read_balance(position, plan)
        self._again(plan, position, RETRY_MS)
        return True

    def cover(self, position: PositionEntry, sells: list[OrderEntry]) -> Micros:
        """T3: ``min(position_min, sellable)``. What a sell is known to have matched is gone, its trade seen or not.

        What pairs off with the other side is not for sale.
        """
        unseen = sum(order.done - order.traded for order in sells)
        return min(position.size, self.core.sellable(position)) - position.paired - unseen

    def _first(self, entry: MarketState, position: PositionEntry, plan: Exit, price: Ticks, room: Micros) -> None:
        core = self.core
        if room >= entry.market.min_size:
            self._place(entry, position, plan, price, room)
        elif core.sellable(position) < floor_lot(position.size):
            plan.waiting = UNSETTLED
        else:
            plan.waiting = f"{size_text(room)} is below the minimum of a resting order"

    def _place(self, entry: MarketState, position: PositionEntry, plan: Exit, price: Ticks, size: Micros) -> None:
        core = self.core
        if plan.next_wall > core.wall:
            plan.waiting = "the venue refused lately"
            return
        if self._outdated(position, plan):
            return
        plan.waiting = ""
        plan.moved_wall = core.wall
        reason = "exit plan"
        if plan.target is not None and plan.target.passive:
            price, reason = self._beside(entry, position.side, price), plan.target.reason or reason
        self._send(entry, position, price, size, OrderType.GTC, Purpose.EXIT, plan.target_owner or HOST, reason)

    def _beside(self, entry: MarketState, side: Side, price: Ticks) -> Ticks:
        """The price, or a tick above a bid that came nearer meanwhile: such an exit never takes (REW-02)."""
        market = entry.market
        bid, _ = self.core.data[market.condition_id].book.best(side)
        return min(max(price, safe_price(Action.SELL, bid + market.tick, market.tick)), ONE - market.tick)

    def _replace(
        self, entry: MarketState, position: PositionEntry, plan: Exit, orders: list[OrderEntry], room: Micros
    ) -> None:
        """T4, T6, T7: cancel first; the new one follows when the end of the old one is proved.

        ``room``: shares that nothing covers. They are placed together with what is cancelled, so that a rest below the
        minimum goes with them, and keeps nothing else from being covered.
        """
        core = self.core
        if core.wall - plan.moved_wall < REPLACE_EVERY_MS:
            self._again(plan, position, REPLACE_EVERY_MS - (core.wall - plan.moved_wall))
            return
        if floor_lot(max(room, 0) + sum(order.open_upper for order in orders)) < entry.market.min_size:
            plan.waiting = "what rests could not be placed again (minimum size)"
            return
        if self._outdated(position, plan):
            return
        plan.moved_wall = core.wall
        for order in orders:
            self.flow.cancel(order)

    def _clear(self, condition_id: str, side: Side) -> None:
        """No target: nothing of ours should rest. T6 holds here too: a rest below the minimum stays."""
        entry = self.core.state.markets[condition_id]
        for order in self.core.open_sells(condition_id, side):
            resting = order.draft.order_type.rests and order.state is OrderState.WORKING
            ours = order.slot.purpose is not Purpose.QUOTE  # a quote has a target of its own
            if ours and resting and order.open_upper >= entry.market.min_size:
                self.flow.cancel(order)

    # --- an urgent sale -----------------------------------------------------------------------------------------------

    def _sell_now(self, entry: MarketState, data: MarketData, position: PositionEntry, plan: Exit) -> None:
        """T8: freeze, cancel, wait for proof (at most 500 ms), sell what is left; again until it is gone."""
        core = self.core
        condition_id, side = position.condition_id, position.side
        sells = core.open_sells(condition_id, side)
        for order in sells:
            if not order.draft.order_type.rests or not order.open_upper:
                continue
            # Its cancel was under way before this sale began: it is waited for no longer than one of the sale's own.
            leaving = order.state is OrderState.CANCELLING and plan.attempts == 0
            if order.state in NOT_CANCELLED:
                leaving = self.flow.cancel(order)
            if leaving and plan.cancel_sent_wall < 0:
                plan.cancel_sent_wall = core.wall  # of several cancels the first counts: a venue may refuse them all
        if core.wall < plan.next_wall:
            self._again(plan, position, plan.next_wall - core.wall)
            return
        waited = plan.cancel_sent_wall >= 0 and core.wall - plan.cancel_sent_wall >= CANCEL_PROOF_MS
        due = core.state.obligations.get(f"{condition_id}:{side.value}", entry.market.end)
        near = due - core.now <= OBLIGATION_NEAR_MS
        # U8: an unknown sell never blocks a sell; it counts against its size until 30 s before the obligation.
        blocking = [
            o for o in sells
            if o.state is not OrderState.UNKNOWN and o.open_upper and not (o.draft.order_type.rests and (
                o.state is OrderState.INTENDED
                or (waited and self.flow.cancelled(o) and self.flow.cancel_age(o) >= CANCEL_PROOF_MS)
            ))
        ]
        unknown = [o for o in sells if o.state is OrderState.UNKNOWN]
        counted = 0 if near else sum(o.open_upper for o in unknown)
        if position.paired:  # it is at the venue too, which would not refuse what oversells the rest: no exception
            counted = sum(o.open_upper for o in sells)
        blocking += [o for o in unknown if self.flow.cancel_age(o) < CANCEL_PROOF_MS]
        if blocking:
            plan.waiting = "proof of the end of an earlier sell is awaited"
            left = max(CANCEL_PROOF_MS - self.flow.cancel_age(order) for order in blocking)
            if plan.cancel_sent_wall >= 0:
                left = max(left, CANCEL_PROOF_MS - (core.wall - plan.cancel_sent_wall))
            self._again(plan, position, left if left > 0 else RETRY_MS)
            return
        if self._below_its_floor(data, side, plan):
            plan.urgent, plan.settled_at, plan.waiting = None, None, ""
            self.drive(condition_id, side)
            return
        room = self.cover(position, sells) - counted
        price = self._worst(entry, data, side, plan)
        if price is None:
            plan.waiting = "nobody bids"
            self._again(plan, position, 4 * RETRY_MS)
            return
        price = self._worth_enough(entry, data, side, price, floor_lot(max(room, 0)))
        size = market_size(Action.SELL, price, max(room, 0))
        if size * price // 10_000 < entry.market.min_value or size == 0:
            if self.cover(position, []) > room:
                plan.waiting = "the end of an earlier sell is awaited: it may have sold the rest"
                self._again(plan, position, 4 * RETRY_MS)
                return
            self._too_small(entry, data, position, plan)
            return
        plan.attempts += 1
        plan.cancel_sent_wall = -1
        plan.next_wall = core.wall + RETRY_MS
        plan.waiting = ""
        urgent = plan.urgent
        assert urgent is not None
        purpose = Purpose.EMERGENCY if plan.forced else Purpose.EXIT
        beside = frozenset(o.ref for o in sells if near or o.state is not OrderState.UNKNOWN)
        more = {"urgency": urgent.urgency}
        if plan.attempts == 1:
            more["exit_latency_ms"] = str(core.wall - plan.urgent_wall)
        self._send(entry, position, price, size, OrderType.FAK, purpose, plan.urgent_by, urgent.reason, beside, more)
        self._again(plan, position, RETRY_MS)

    def _too_small(self, entry: MarketState, data: MarketData, position: PositionEntry, plan: Exit) -> None:
        """What can be sold now is less than the venue takes: wait for settlement, or declare the rest held."""
        core = self.core
        settled_all = position.inventory >= position.size
        visible = core.sellable(position) >= floor_lot(position.size)
        if not settled_all or not visible:
            plan.waiting = UNSETTLED
            plan.urgent_wall = core.wall  # before it settles nobody could sell it: latency counts from then on
            self._await_balance(position, plan)
            self._again(plan, position, 4 * RETRY_MS)
            return
        bid, _ = data.book.best(position.side)
        if position.loose * bid // 10_000 >= 2 * entry.market.min_value:
            self._again(plan, position, 4 * RETRY_MS)  # the price fell for a moment, the size is fine
            return
        if position.held:
            self._again(plan, position, 4 * RETRY_MS)  # someone wants it sold all the same: when the price allows
            return
        self.hold(
            position.condition_id, position.side, TOO_SMALL,
            f"{size_text(position.loose)} at {price_text(bid)} is below what the venue takes",
        )

    def _worst(self, entry: MarketState, data: MarketData, side: Side, plan: Exit) -> Ticks | None:
        """EXI-08: the worst price widens with each attempt, to one tick at the end; None when nobody bids."""
        tick = entry.market.tick
        bid, _ = data.book.best(side)
        if not data.book.priced or bid <= 0:
            return tick if entry.market.end - self.core.now <= FLOOR_AT_END_MS else None
        if entry.market.end - self.core.now <= FLOOR_AT_END_MS:
            return tick
        wish = plan.urgent
        slack = tick * self.core.settings.safety.slippage_ticks * (1 << min(plan.attempts, 10))
        price = max(bid - slack, tick)
        if wish is not None and wish.floor is not None and (plan.attempts == 0 or is_planned(wish)):
            price = max(price, wish.floor)
        return safe_price(Action.SELL, price, tick)

    def _below_its_floor(self, data: MarketData, side: Side, plan: Exit) -> bool:
        """A planned sale never sells below its floor: it is given up where nobody bids that, and may be wanted anew."""
        wish, book = plan.urgent, data.book
        if wish is None or wish.floor is None or plan.forced or not is_planned(wish):
            return False
        return book.priced and book.best(side)[0] < wish.floor

    def _worth_enough(self, entry: MarketState, data: MarketData, side: Side, price: Ticks, size: Micros) -> Ticks:
        """A widened price must not make the order worth less than the venue takes: raised, but never above the bid."""
        market = entry.market
        if size <= 0 or market_size(Action.SELL, price, size) * price // 10_000 >= market.min_value:
            return price
        bid, _ = data.book.best(side)
        least = safe_price(Action.SELL, -(-market.min_value * 10_000 // size), market.tick)
        while market_size(Action.SELL, least, size) * least // 10_000 < market.min_value and least < bid:
            least += market.tick
        return least if least <= bid or bid <= 0 or not data.book.priced else price

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(
        self, entry: MarketState, position: PositionEntry, price: Ticks, size: Micros, order_type: OrderType,
        purpose: Purpose, owner: str, reason: str, beside: frozenset[str] = frozenset(),
        more: Mapping[str, str] | None = None,
    ) -> None:
        """``more`` of a sale at market: its urgency, and of its first attempt the wall ms since it was wanted."""
        market = entry.market
        slot = Slot(market.condition_id, position.side, purpose)
        draft = OrderDraft(
            self.flow.next_ref(), position.token_id, Action.SELL, order_type, price, size, market.tick, market.neg_risk
        )
        book = self.core.data[market.condition_id].book
        age = self.core.shares_age(position)
        why = {
            "plugin": owner, "reason": reason, "position": size_text(position.size),
            "sellable": size_text(self.core.sellable(position)), "book_epoch": str(book.epoch),
            "book_age_ms": str(self.core.now - book.changed_at), "price_source": book.source,
            "bid": price_text(book.best(position.side)[0]), "balance_age_ms": "" if age is None else str(age),
            **(more or {}),
        }
        illegal = self.flow.place(slot, draft, 0, why, beside)
        if illegal is not None:
            self.core.data[market.condition_id].exit(position.side).waiting = illegal.text

    def refused(self, order: OrderEntry, code: str, text: str) -> None:
        """A sell was refused or not signed: for balance by its cause (ORD-19), for a FAK without match simply again.

        Called before the position is driven again, so that the wait holds for the very next attempt too.
        """
        data = self.core.data.get(order.slot.condition_id)
        if data is None:
            return
        plan = data.exit(order.slot.side)
        plan.sell_failed = True
        if code in SHORTAGES:
            wait = self._lacks(order, code, text, plan)
        else:
            wait = RETRY_MS if plan.urgent is not None and code not in PACE_CODES else REFUSAL_WAITS_MS[0]
            if code in NO_BID_CODES and data.book.best(order.slot.side)[0] <= 0:
                wait = max(wait, NO_BID_MS)
            if code not in NO_BID_CODES | PACE_CODES:
                self.breakers.exit_failed(f"{describe(order)}: {code}")
        plan.next_wall = max(plan.next_wall, self.core.wall + wait)
        position = self.core.state.position(order.slot.condition_id, order.slot.side)
        if position is not None:
            self._again(plan, position, wait)

    def _lacks(self, order: OrderEntry, code: str, text: str, plan: Exit) -> int:
        """ORD-19: why the shares are not enough, what is done about it, and when it is tried again (wall ms)."""
        core = self.core
        condition_id, side = order.slot.condition_id, order.slot.side
        others = [each for each in core.open_sells(condition_id, side) if each.ref != order.ref]
        patient = plan.refusals < len(REFUSAL_WAITS_MS)
        known = Known(
            sum(each.open_upper for each in others), self._unsettled_sales(condition_id, side),
            self.flow.touched_lately(order.draft.token_id), patient,
        )
        why = shortage(code, text, known)
        wait = REFUSAL_WAITS_MS[plan.refusals] if patient else LATER_MS
        plan.refusals += 1
        plan.waiting = why.value
        core.ask_balance(order.draft.token_id)
        if why in (Shortage.FOREIGN, Shortage.SHORT):
            core.notice(
                "short", f"{why.name}:{condition_id}:{side.value}",
                f"{describe(order)} was refused: {why.value} ({text})", condition_id,
            )
        if why is Shortage.SHORT:
            self.breakers.exit_failed(f"{describe(order)}: {why.value}")
        return wait

    def _unsettled_sales(self, condition_id: str, side: Side) -> Micros:
        state = self.core.state
        fills = (state.fills[key].fill for key, where in state.unsettled.items() if where == condition_id)
        return sum(fill.size for fill in fills if fill.slot.side is side and fill.action is Action.SELL)

    def turned_away(self, order: OrderEntry, retry_after_ms: int) -> None:
        """The venue takes no orders just now (425, 429, 503) and said until when (0: it did not): a sale waits for it.

        At most ``TURNED_AWAY_MS``, and not in the last seconds, when only another try can help.
        """
        data, core = self.core.data.get(order.slot.condition_id), self.core
        if data is None or core.state.markets[order.slot.condition_id].market.end - core.now <= FLOOR_AT_END_MS:
            return
        plan = data.exit(order.slot.side)
        plan.next_wall = max(plan.next_wall, core.wall + min(retry_after_ms or TURNED_AWAY_MS, TURNED_AWAY_MS))

    def taken(self, order: OrderEntry) -> None:
        """The venue took a sell: refusals are counted anew."""
        data = self.core.data.get(order.slot.condition_id)
        if data is not None and (plan := data.exits.get(order.slot.side)) is not None:
            plan.refusals = 0

    def hopeful(self, condition_id: str, side: Side) -> None:
        """The venue's balance changed, or the obligation is due: what was refused before says nothing any more."""
        data = self.core.data.get(condition_id)
        if data is not None and (plan := data.exits.get(side)) is not None and plan.refusals:
            plan.refusals = 0
            plan.next_wall = min(plan.next_wall, self.core.wall)

    def _again(self, plan: Exit, position: PositionEntry, after_ms: int) -> None:
        """Look again later; one timer a position, the earliest wins."""
        due = self.core.wall + max(after_ms, 1)
        if due < plan.timer_wall:
            plan.timer_wall = due
            self.core.at_wall(due, "exit", f"{position.condition_id}:{position.side.value}")

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _gone(self, position: PositionEntry, data: MarketData, taken: str = "") -> None:
        """The position is sold: record how it was closed, and that its obligation is met."""
        core = self.core
        for order in core.open_sells(position.condition_id, position.side):
            if order.draft.order_type.rests and order.state is OrderState.WORKING:
                self.flow.cancel(order)
        plan = data.exit(position.side)
        if position.bought == 0:
            # Its fills failed on chain: there is nothing to close, and no wish may outlive it.
            data.exits.pop(position.side)
            self._met(position.condition_id, position.side, "voided")
            return
        if position.closed:
            return
        wish = plan.urgent
        if taken:
            reason = taken
        elif wish is not None:
            reason = wish.reason
        else:
            reason = plan.target.reason if plan.target is not None and plan.target.reason else "target"
        core.record(close_record(core, position, reason, forced=plan.forced, sell_failed=plan.sell_failed))
        self._met(position.condition_id, position.side, "forced" if plan.forced else "closed")
        data.exits.pop(position.side)  # a position bought later in this market starts with a plan of its own

    def left_by_hand(self, condition_id: str, side: Side) -> None:
        """Shares of it are gone without a sale of ours: exits are for what is left, or it is over."""
        data, position = self.core.data.get(condition_id), self.core.state.position(condition_id, side)
        if data is None or position is None:
            return
        if position.size <= 0:
            self._gone(position, data, TAKEN)
        else:
            self._trim(position, data)
            self.drive(condition_id, side)

    def _trim(self, position: PositionEntry, data: MarketData) -> None:
        """T5: it shrank by proof; sells that rest for more than is held are cancelled, and placed again for less."""
        sells = self.core.open_sells(position.condition_id, position.side)
        if sum(order.open_upper for order in sells) > position.loose:
            for order in sells:
                if order.draft.order_type.rests and order.state is OrderState.WORKING:
                    self.flow.cancel(order)

    def _paired(self, position: PositionEntry, data: MarketData) -> None:
        """All that is left pairs off with the other side: nothing of it is sold, and its obligation is met."""
        for order in self.core.open_sells(position.condition_id, position.side):
            if order.draft.order_type.rests and order.state is OrderState.WORKING:
                self.flow.cancel(order)
        data.exits.pop(position.side, None)
        self._met(position.condition_id, position.side, "paired")

    def _met(self, condition_id: str, side: Side, how: str) -> None:
        if f"{condition_id}:{side.value}" in self.core.state.obligations:
            self.core.record(ObligationMet(self.core.now, condition_id, side, how))


def close_record(
    core: Core, position: PositionEntry, reason: str, *, forced: bool, sell_failed: bool, payout: Micros = 0,
    shares: Micros = 0,
) -> CloseRecorded:
    """What a close brought: proceeds and payout less cost and fees; the exit price averages over both.

    Of a position that was closed before (a sale failed on chain, a fill came late, it was bought again) the P&L is what
    this close adds: the closes of a position sum to what it brought.
    """
    out = position.sold + position.merged + shares
    got = position.received + payout
    return CloseRecorded(
        core.now, position.condition_id, position.side, reason, forced, sell_failed, position.average,
        got * 10_000 // out if out else 0, position.bought, got - position.paid - position.fees - position.pnl,
        position.fees, position.opened_at, position.spot_entry, core.spot_price(position.condition_id),
    )
