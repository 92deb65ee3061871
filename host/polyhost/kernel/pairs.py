"""Two legs bought one after the other, with a way back (ORD-13): UP and DOWN of one market as a pair.

Funds of both legs are reserved before the first leaves. The second is bought when the first is settled, after a pause
and a fresh check, for what the first really got. What stays without a partner is sold by the exits, by its actual
shares; what pairs off is held (kind ``pair``), for it pays 1.00 whatever happens. Every step is a record: a restart
goes on where it was, or rolls back. Exits of plugins wait while a pair is under way; obligations never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm
from typing import assert_never

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.entries import Entries, EntryRefused, exposure_rooms, funded, need_fresh_balance, worst_cost
from polyhost.kernel.exits import KILL, Exits
from polyhost.kernel.legality import illegal
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.kernel.pair_table import pair_moved
from polyhost.kernel.promises import promise
from polyhost.kernel.state import PAIR_KIND, MarketState, OrderEntry, PairEntry, lock_key
from polyhost.kernel.volatile import MarketData
from polyhost.model.events import Candidate, Evaluated
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks, money_text, notional, price_text, size_text
from polyhost.model.proposals import ExitNow, Pair
from polyhost.model.records import HeldDeclared, ObligationMet, PairMoved, PairOpened, Slot
from polyhost.model.rounding import market_step, safe_price
from polyhost.model.words import Action, ActionKind, OrderType, PairState, Purpose, Side

ROLLBACK = "pair rollback"
"""Why the first leg is sold again."""
PASSING = frozenset({"user_stream", "reconciling", "adopting", "balance_age", "book_lost", "book_old", "book_crossed"})
"""Gates that open by themselves in a moment: a second leg waits for them, for ``rollback_wait_s`` at most."""


class Pairs:
    """Carries pairs out, one a market."""

    def __init__(self, core: Core, flow: OrderFlow, entries: Entries, exits: Exits) -> None:
        self.core = core
        self.flow = flow
        self.entries = entries
        self.exits = exits
        self._tried: dict[str, int] = {}
        """Pair ref → when its second leg was first tried in this run, market ms."""

    # --- a wish -------------------------------------------------------------------------------------------------------

    def consider(self, event: Evaluated, candidate: Candidate) -> EntryRefused | None:
        """Open the candidate's pair and place its first leg (None), or return the first gate that refused it."""
        core = self.core
        entry, data = core.state.markets[event.condition_id], core.data[event.condition_id]
        wish = candidate.proposed.answer
        assert isinstance(wish, Pair)
        try:
            self.entries.may_trade(entry, data, Purpose.LEG)
            self.entries.same_view(entry, data, event)
            self._may_open(entry.market, candidate)
            self._open(entry, data, wish, candidate.proposed.plugin)
        except EntryRefused as refusal:
            return refusal
        return None

    def _may_open(self, market: Market, candidate: Candidate) -> None:
        state = self.core.state
        for plugin, reason in candidate.vetoes:
            raise EntryRefused("veto", f"{plugin}: {reason}")
        condition_id = market.condition_id
        if condition_id in state.open_pairs:
            raise EntryRefused("slot", "a pair is under way")
        if condition_id in state.open_actions:
            raise EntryRefused("slot", "a merge or split is under way")
        if self.core.now >= self.flow.due(condition_id):
            raise EntryRefused("too_late", "positions of this market are being closed for its end")
        if state.open_orders(condition_id):
            raise EntryRefused("pending_orders", "orders of this market are not over")
        begun = sum(pair.condition_id == condition_id for pair in state.pairs.values())
        if begun >= self.core.settings.pair.window_max:
            raise EntryRefused("slot", f"{begun} pairs were begun in this market")
        for side in Side:
            locked = state.slots_locked.get(lock_key(Slot(condition_id, side, Purpose.LEG)))
            if locked is not None:
                raise EntryRefused("slot", locked.why)
            position = state.position(condition_id, side)
            if position is not None and position.loose > 0:
                raise EntryRefused("slot", f"{side.value} is held already, and does not pair off")

    def _open(self, entry: MarketState, data: MarketData, wish: Pair, plugin: str) -> None:
        core = self.core
        market = entry.market
        prices = {side: self._price(market, data, side, wish.price_max(side)) for side in Side}
        size = self._size(market, data, wish, prices)
        for side, price in prices.items():
            self._legal(market, data, side, price, size)
        self._watched(market, wish, plugin, prices, size)
        costs = {side: worst_cost(size, price, market) for side, price in prices.items()}
        first = wish.first or min(Side, key=lambda side: data.book.depth(side, Action.BUY, prices[side]))
        ref = f"p{len(core.state.pairs) + 1:05d}"
        total = sum(costs.values())
        core.record(PairOpened(
            core.now, ref, market.condition_id, first, size, prices[Side.UP], prices[Side.DOWN], total, plugin,
            wish.reason,
        ))
        core.record(ledger.reserve(core.now, ref, total))
        promise(core, plugin, wish.remember, ref)
        self._place(core.state.pairs[ref], entry, data, first, prices[first], size, costs[first], "first")

    def _price(self, market: Market, data: MarketData, side: Side, price_max: Ticks) -> Ticks:
        price = safe_price(Action.BUY, price_max, market.tick)
        _, ask = data.book.best(side)
        if ask >= ONE or ask > price:
            raise EntryRefused(
                "price", f"{side.value}'s ask {price_text(ask)} is above the worst price {price_text(price)}"
            )
        return price

    def _size(self, market: Market, data: MarketData, wish: Pair, prices: dict[Side, Ticks]) -> Micros:
        """Shares of each leg: what the stake, the limits and what is offered on both sides allow."""
        stake, _ = funded(self.core, market, wish.stake)
        # A size that both legs can carry exactly, so that they can pair off whole.
        step = lcm(*(market_step(Action.BUY, price) for price in prices.values()))

        def cost(size: Micros) -> Micros:
            return sum(worst_cost(size, price, market) for price in prices.values())

        count = stake // max(cost(step), 1) + 1
        if data.book.sized:
            count = min(count, *(data.book.depth(side, Action.BUY, price) // step for side, price in prices.items()))
        while count > 0 and cost(count * step) > stake:
            count -= 1
        if count == 0:
            raise EntryRefused("minimum", f"{money_text(stake)} does not buy {size_text(step)} of both sides")
        return count * step

    def _legal(self, market: Market, data: MarketData, side: Side, price: Ticks, size: Micros) -> None:
        """The leg as an order the venue would take (ORD-06), and no smaller than what could be sold again."""
        if size < market.min_size:
            raise EntryRefused("minimum", f"{size_text(size)} shares a leg is below the minimum")
        if notional(size, price) < market.min_value:
            raise EntryRefused("minimum_value", f"{side.value} is below the venue's minimum value")
        bid, ask = data.book.best(side)
        broken = illegal(self._draft(market, side, price, size), market, bid, ask, self.core.now)
        if broken is not None:
            raise EntryRefused(broken.rule.replace(" ", "_"), broken.text)

    def _watched(
        self, market: Market, wish: Pair, plugin: str, prices: Mapping[Side, Ticks], size: Micros
    ) -> None:
        """A shadow account opens no pair: both legs are told (EntryRefused)."""
        why = {"plugin": plugin, "reason": wish.reason}
        told = [
            self.flow.watched(
                Slot(market.condition_id, side, Purpose.LEG, ""), self._draft(market, side, price, size), why
            )
            for side, price in prices.items()
        ]
        if (watched := told[0]) is not None:
            raise EntryRefused(watched.rule, watched.text)

    def _draft(self, market: Market, side: Side, price: Ticks, size: Micros) -> OrderDraft:
        return OrderDraft(
            self.flow.next_ref(), market.token(side), Action.BUY, OrderType.FAK, price, size, market.tick,
            market.neg_risk,
        )

    def _place(
        self, pair: PairEntry, entry: MarketState, data: MarketData, side: Side, price: Ticks, size: Micros,
        cost: Micros, which: str,
    ) -> None:
        """The leg's order takes its part of the pair's reservation over; of the second leg's the rest is free."""
        core = self.core
        draft = self._draft(entry.market, side, price, size)
        release = cost if which == "first" else pair.reserve
        state = PairState.FIRST if which == "first" else PairState.SECOND
        core.record(PairMoved(core.now, pair.ref, state, which, draft.ref, release))
        core.record(ledger.release(core.now, pair.ref, release))
        bid, ask = data.book.best(side)
        why = {
            "plugin": pair.plugin, "reason": pair.reason, "pair": pair.ref, "leg": which, "bid": price_text(bid),
            "ask": price_text(ask), "book_epoch": str(data.book.epoch),
            "book_age_ms": str(core.now - data.book.changed_at),
            "balance_age_ms": str(core.wall - core.fresh.collateral_wall),
        }
        broken = self.flow.place(Slot(pair.condition_id, side, Purpose.LEG, pair.ref), draft, cost, why)
        assert broken is None, broken  # it was checked against the same rules in this turn

    # --- going on -----------------------------------------------------------------------------------------------------

    def owns(self, condition_id: str) -> bool:
        """A pair is under way there: plugins' entries and exits wait; obligations do not."""
        return condition_id in self.core.state.open_pairs

    def drive_all(self) -> None:
        """Every pair under way takes its next step: after a restart, and when the operator kills."""
        for condition_id in list(self.core.state.open_pairs):
            self.drive(condition_id)

    def drive(self, condition_id: str) -> None:
        """Orders or positions of a market changed: take the next step of its pair, if one is due."""
        self._keep_obliged(condition_id)
        pair = self.core.state.open_pair(condition_id)
        if pair is None:
            return
        if self.core.ending == KILL:
            self._finish(pair, "killed")
            return
        state = None
        while pair.state is not state:
            state = pair.state
            self._step(pair)

    def due(self, ref: str) -> None:
        """A deadline of a pair came."""
        pair = self.core.state.pairs[ref]
        if pair.open:
            self.drive(pair.condition_id)

    def market_settled(self, condition_id: str) -> None:
        """The market is decided: a pair under way there ends with what it has."""
        pair = self.core.state.open_pair(condition_id)
        if pair is not None:
            self._finish(pair, "market_settled")

    def dissolve(self, condition_id: str) -> None:
        """The operator wants everything sold: nothing is held as a pair any more, but what is being merged."""
        core = self.core
        action = core.state.open_action(condition_id)
        merging = action.size if action is not None and action.kind is ActionKind.MERGE else 0
        for side in Side:
            position = core.state.position(condition_id, side)
            if position is not None and position.paired > merging:
                core.record(
                    HeldDeclared(core.now, condition_id, side, PAIR_KIND, "dissolved by the operator", merging)
                )
        self._keep_obliged(condition_id)

    def close_on(self, condition_id: str) -> None:
        """A merge came to nothing: what the operator closes is sold after all."""
        positions = [self.core.state.position(condition_id, side) for side in Side]
        if any(position is not None and position.closing for position in positions):
            self.dissolve(condition_id)
            for side in Side:
                self.exits.drive(condition_id, side)

    def shrink(self, condition_id: str, most: Micros) -> None:
        """Shares of one side are gone: at most ``most`` still pair off, and the rest has its deadline again."""
        core = self.core
        for side in Side:
            position = core.state.position(condition_id, side)
            if position is not None and position.paired > most:
                core.record(HeldDeclared(core.now, condition_id, side, PAIR_KIND, "shares of the pair are gone", most))
        self._keep_obliged(condition_id)

    def _step(self, pair: PairEntry) -> None:
        match pair.state:
            case PairState.FIRST:
                self._first(pair)
            case PairState.SETTLING:
                self._settling(pair)
            case PairState.PAUSING:
                self._pausing(pair)
            case PairState.SECOND:
                self._over(pair)
            case PairState.PAIRING:
                self._pairing(pair)
            case PairState.ROLLBACK:
                self._rollback(pair)
            case PairState.DONE:
                pass
            case _:
                assert_never(pair.state)

    # --- steps --------------------------------------------------------------------------------------------------------

    def _first(self, pair: PairEntry) -> None:
        order = self.core.state.orders[pair.first_order]
        if not order.open:
            if order.traded:
                self._move(pair, "bought")
            else:
                self._finish(pair, "nothing")

    def _settling(self, pair: PairEntry) -> None:
        order = self.core.state.orders[pair.first_order]
        if not order.traded:
            self._finish(pair, "nothing")
        elif self._settled(order):
            self._move(pair, "settled")
        elif self._late(pair, pair.moved_at, self.core.settings.pair.settle_s_max):
            self._move(pair, "not_settled")

    def _pausing(self, pair: PairEntry) -> None:
        """The second leg, after the pause and a fresh check."""
        core = self.core
        if not self._late(pair, pair.moved_at, core.settings.pair.pause_s):
            return
        position = core.state.position(pair.condition_id, pair.first)
        if position is None or position.loose <= 0:
            self._finish(pair, "sold")
            return
        try:
            self._second(pair, min(core.state.orders[pair.first_order].traded, position.loose))
        except EntryRefused as refusal:
            tried = self._tried.setdefault(pair.ref, core.now)
            if refusal.gate in PASSING and not self._late(pair, tried, core.settings.pair.rollback_wait_s):
                core.at_market(core.now + core.settings.evaluation.cadence_ms, "pair", pair.ref)
                return
            core.notice(
                "pair_refused", pair.ref,
                f"Pair {pair.ref}: its second leg was not sent ({refusal})", pair.condition_id,
            )
            self._move(pair, "refused")

    def _second(self, pair: PairEntry, bought: Micros) -> None:
        core = self.core
        entry, data = core.state.markets[pair.condition_id], core.data[pair.condition_id]
        market, side = entry.market, pair.first.other
        self.entries.may_trade(entry, data, Purpose.LEG, pair.reserve)
        need_fresh_balance(core)
        if data.exit(pair.first).urgent is not None:
            raise EntryRefused("exit", "the first leg is being sold")
        price = self._price(market, data, side, pair.price(side))
        size = bought - bought % market_step(Action.BUY, price)
        self._legal(market, data, side, price, size)
        cost = worst_cost(size, price, market)
        for name, room in exposure_rooms(core, market, pair.reserve):
            if room < cost:
                raise EntryRefused(name, f"{money_text(room)} is left, {money_text(cost)} is needed")
        self._place(pair, entry, data, side, price, size, cost, "second")

    def _over(self, pair: PairEntry) -> None:
        if not self.core.state.orders[pair.second_order].open:
            self._move(pair, "over")

    def _pairing(self, pair: PairEntry) -> None:
        """Both legs are settled: what pairs off is held, the rest goes back."""
        core = self.core
        orders = core.state.orders
        if not self._settled(orders[pair.second_order]):
            return
        positions = [core.state.position(pair.condition_id, side) for side in Side]
        shares = min((0 if position is None else position.size for position in positions), default=0)
        bought = min(orders[pair.first_order].traded, orders[pair.second_order].traded)
        already = max((0 if position is None else position.paired for position in positions), default=0)
        both = already if self._leaving(pair.condition_id) else min(already + bought, shares)
        for side in Side:
            if both > already:
                core.record(HeldDeclared(core.now, pair.condition_id, side, PAIR_KIND, f"pair {pair.ref}", both))
                self.exits.drive(pair.condition_id, side)
        first = core.state.position(pair.condition_id, pair.first)
        if first is not None and first.loose > 0:
            self._move(pair, "unequal")
        else:
            self._finish(pair, "paired" if both > already else "sold", paired=both - already)

    def _rollback(self, pair: PairEntry) -> None:
        """Sold by its actual shares, through the exits: again and again until it is gone or too small."""
        core = self.core
        position = core.state.position(pair.condition_id, pair.first)
        unsold = position is not None and position.loose > 0 and not position.held
        if unsold and self._late(pair, pair.over_at or pair.moved_at, core.settings.pair.rollback_wait_s):
            self.exits.now(pair.condition_id, ExitNow(pair.first, ROLLBACK, "rollback"))
        if position is None or position.loose <= 0:
            self._finish(pair, "paired" if self._pairs_off(pair) else "flat", paired=self._pairs_off(pair))
        elif position.held:
            self._finish(pair, "left", paired=self._pairs_off(pair), left=position.loose)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _settled(self, order: OrderEntry) -> bool:
        """No trade of it is neither CONFIRMED nor FAILED."""
        ending = f"/{order.ref}"
        return not any(key.endswith(ending) for key in self.core.state.unsettled)

    def _leaving(self, condition_id: str) -> bool:
        """Shares of the market are being sold (its deadline, the operator): what is on its way out pairs off no more.
        """
        plans = self.core.data[condition_id].exits.values()
        return any(plan.urgent is not None for plan in plans) or any(
            self.core.open_sells(condition_id, side) for side in Side
        )

    def _pairs_off(self, pair: PairEntry) -> Micros:
        orders = self.core.state.orders
        position = self.core.state.position(pair.condition_id, pair.first)
        if not pair.second_order or position is None:
            return 0
        return min(orders[pair.first_order].traded, orders[pair.second_order].traded, position.paired)

    def _late(self, pair: PairEntry, since: int, seconds: float) -> bool:
        """True when so many seconds of market time have passed since; else the pair is looked at again then."""
        due = since + round(seconds * 1_000)
        if self.core.now >= due:
            return True
        self.core.at_market(due, "pair", pair.ref)
        return False

    def _move(self, pair: PairEntry, cause: str) -> None:
        """The next state; the second leg's reservation is free once there will be none."""
        core = self.core
        state = pair_moved(pair.state, cause)
        assert state is not None, (pair.ref, pair.state, cause)
        release = pair.reserve if state is PairState.ROLLBACK else 0
        core.record(PairMoved(core.now, pair.ref, state, cause, release=release))
        if release:
            core.record(ledger.release(core.now, pair.ref, release))

    def _finish(self, pair: PairEntry, cause: str, *, paired: Micros = 0, left: Micros = 0) -> None:
        """The end, told: nothing bought, paired, flat again, or what is left."""
        core = self.core
        if not left:
            left = sum(
                position.loose for side in Side
                if (position := core.state.position(pair.condition_id, side)) is not None and position.loose > 0
            )
        release = pair.reserve
        core.record(
            PairMoved(core.now, pair.ref, PairState.DONE, cause, release=release, paired=paired, left=left)
        )
        if release:
            core.record(ledger.release(core.now, pair.ref, release))
        self._tried.pop(pair.ref, None)
        whole = cause == "paired" and not left
        core.notice(
            "pair_ended" if whole or cause == "nothing" else "pair_broken", pair.ref,
            f"Pair {pair.ref} ended ({cause}): {size_text(paired)} of both sides, {size_text(left)} left unpaired",
            pair.condition_id,
        )

    def _keep_obliged(self, condition_id: str) -> None:
        """What no longer pairs off has its deadline again; what does pair off needs none."""
        core = self.core
        for side in Side:
            position = core.state.position(condition_id, side)
            if position is None or core.state.markets[condition_id].settled:
                continue
            key = f"{condition_id}:{side.value}"
            if position.loose > 0 and not position.held:
                self.flow.oblige(condition_id, side)
            elif position.paired and position.loose <= 0 and key in core.state.obligations:
                core.record(ObligationMet(core.now, condition_id, side, "paired"))
