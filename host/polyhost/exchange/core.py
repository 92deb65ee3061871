"""The simulated exchange: one pure, deterministic state machine. ``handle(request, now) -> outputs``.

No clock, no randomness, no I/O: ids come from counters and sha1, time is an argument (market ms) and never goes back.
The same calls give the same outputs to the byte. Callers: the wire server, the population, the lab's backtests.
Orders live in desk.py, money in accounts.py; this module serves requests and runs markets and time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, assert_never

from polyhost.exchange import api
from polyhost.exchange.accounts import Bank
from polyhost.exchange.agenda import Task
from polyhost.exchange.behind import moved_up, served, to_the_back
from polyhost.exchange.chain import Chain, payout_of
from polyhost.exchange.desk import Desk
from polyhost.exchange.market import MarketState
from polyhost.exchange.mirror import Mirror
from polyhost.exchange.mood import Closure, Mood
from polyhost.exchange.orders import LIVE, Order
from polyhost.exchange.refusals import CANCELED_RESOLVED
from polyhost.exchange.rewards import DAY_MS, Rewards
from polyhost.exchange.rules import ExchangeRules, Queue
from polyhost.exchange.shown import last_print, snapshot_of
from polyhost.exchange.state import broken_invariants, restore, rules_of, state_of
from polyhost.exchange.stood import Stood
from polyhost.model.book import UNKNOWN_SIZE, Book
from polyhost.model.builder import Builder
from polyhost.model.gateway import OrderRow, TradeRow
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side, TradeStatus

UNLIMITED = (1 << 256) - 1
"""The allowance of an approved account."""


class Exchange:
    """The venue. Every public method that takes ``now`` first runs what is due before it, in order of time."""

    def __init__(self, rules: ExchangeRules, now: MarketMs) -> None:
        self.rules = rules
        self._desk = Desk(rules)
        self._desk.now = now
        self._bank: Bank = self._desk.bank
        self._agenda = self.agenda = self._desk.agenda
        """What is due by itself; others read ``next_due``, nobody else adds to it."""
        self._states: dict[str, MarketState] = {}
        self._by_token: dict[str, MarketState] = {}
        self._request_ids = 0
        self._chain = Chain(self._bank, self._states, self._agenda, rules)
        self._rewards = Rewards(self._bank, self._states, self._agenda, rules.reward_seed)

    @property
    def now(self) -> int:
        """Market ms of the latest call."""
        return self._desk.now

    @property
    def next_due(self) -> int:
        """Earliest market ms at which ``advance`` has something to do; NEVER when nothing is pending."""
        return self._agenda.next_due

    def request_id(self) -> int:
        """A number no request has had, for callers in process (the wire server numbers its own)."""
        self._request_ids += 1
        return self._request_ids

    # --- time and requests --------------------------------------------------------------------------------------------

    def handle(self, request: api.Request, now: MarketMs) -> list[api.Output]:
        """Serve one request of one account. The reply repeats its ``request_id``; a post that could match is answered
        later, by ``advance``, when its taker delay is over."""
        self._run_due(now)
        if self._desk.mood is not None and self._refuse_all(request, self._desk.mood):
            return self._flush(now)
        match request:
            case api.PostOrder():
                self._desk.post(request.request_id, request.order, self._by_token.get(request.order.token_id))
            case api.CancelOrders():
                self._cancel(request)
            case api.GetOrder():
                order = self._desk.orders.get(request.order_id)
                mine = order is not None and order.owner == request.owner
                self._say(api.OrderReply(request.request_id, order.stored() if order is not None and mine else None))
            case api.GetOpenOrders():
                found = [order.stored() for order in self._open_orders(request) if order.status == LIVE]
                self._say(api.OrdersReply(request.request_id, tuple(found)))
            case api.GetTrades():
                self._say(api.TradesReply(request.request_id, tuple(self._desk.trades.find(request))))
            case api.GetBalance():
                self._balance(request)
            case api.Split() | api.Merge() | api.Redeem():
                self._act(request)
            case api.Transact():
                self._say(api.TransactionReply(request.request_id, self._chain.send(request, self.now)))
            case api.GetTransaction():
                sent = self._chain.transactions.get(request.transaction_id)
                self._say(api.TransactionReply(request.request_id, sent))
            case api.RefreshBalance():
                self._desk.refresh(request.account)
                self._say(api.Done(request.request_id, True))
            case _:
                assert_never(request)
        return self._flush(now)

    def advance(self, now: MarketMs) -> list[api.Output]:
        """Run everything due up to ``now``, each at its own time: taker delays, GTD expiry, trade stages, market ends.
        """
        return self._flush(now)

    def afflict(self, mood: Mood) -> None:
        """Let the venue misbehave from now on as ``mood`` says. It is no part of ``save``: tell it after ``load``.
        """
        self._desk.mood = mood
        for state in self._states.values():
            self._plan_ticks(state.market)

    def closure(self, now: MarketMs) -> Closure | None:
        """How the venue is closed for orders now; None when it is not."""
        return None if self._desk.mood is None else self._desk.mood.closure(now)

    def cancel_all(self, owner: str, now: MarketMs) -> list[api.Output]:
        """The dead-man's switch of a key went off: all its open orders are cancelled, and nobody is answered."""
        self._run_due(now)
        for order in self._open_orders(api.CancelOrders(0, owner)):
            self._desk.cancel(order.order_id, owner)
        return self._flush(now)

    # --- accounts -----------------------------------------------------------------------------------------------------

    def open_account(self, address: str, collateral: Micros, approved: bool = True) -> None:
        """Open an account. Raises ValueError when it exists already."""
        self._bank.open(address, collateral, approved=approved)

    def has_account(self, address: str) -> bool:
        return address in self._bank.accounts

    def collateral(self, address: str) -> Micros:
        """Collateral of an account; 0 for an unknown one."""
        account = self._bank.accounts.get(address)
        return 0 if account is None else account.collateral

    def shares(self, address: str, token_id: str) -> Micros:
        """Shares owned, settled or not (``GetBalance`` shows only the visible ones)."""
        account = self._bank.accounts.get(address)
        return 0 if account is None else account.shares.get(token_id, 0)

    def holdings(self, address: str) -> dict[str, Micros]:
        """Every token an account owns: token id to micro-shares, none of them 0."""
        account = self._bank.accounts.get(address)
        return {} if account is None else dict(account.shares)

    def stored_order(self, order_id: str) -> api.StoredOrder | None:
        """An order with a key as it stands; None when it is unknown or forgotten."""
        found = self._desk.orders.get(order_id)
        return None if found is None else found.stored()

    def trade(self, trade_id: str) -> TradeRow | None:
        """A trade in which an account with a key took part; None: there is none, or its market was dropped."""
        stored = self._desk.trades.trades.get(trade_id)
        return None if stored is None else stored.row

    def nonce(self, address: str, *, pending: bool = False) -> int:
        """How many transactions of a wallet were mined; with ``pending`` those on their way too."""
        return self._chain.nonce(address, pending=pending)

    def transactions(self, address: str) -> list[api.Transaction]:
        """A wallet's mined transactions in markets that were not forgotten, oldest first."""
        return self._chain.mined(address)

    def order(self, order_id: str) -> OrderRow | None:
        """An order as the API would show it to its owner; None when it never came."""
        order = self._desk.orders.get(order_id)
        return None if order is None else order.stored().row

    def redeemable(self, address: str) -> dict[str, Micros]:
        """What ``Redeem`` would pay in each decided market: condition id to collateral, losing positions left out."""
        account = self._bank.accounts.get(address)
        if account is None:
            return {}
        payouts = {key: payout_of(account, state) for key, state in self._states.items() if state.decision is not None}
        return {key: payout for key, payout in payouts.items() if payout}

    # --- builder codes ------------------------------------------------------------------------------------------------

    def builder(self, code: str) -> Builder | None:
        """A builder code's rates; None: nobody has this code."""
        return self._desk.builders.get(code)

    def know(self, builders: Mapping[str, Builder]) -> None:
        """Builder codes with the rates that hold from now on; those known before stay known."""
        self._desk.builders |= builders

    def earned(self, code: str) -> Micros:
        """What a builder code was credited with so far."""
        return self._bank.builders.get(code, 0)

    def trades_of_builder(self, code: str) -> Iterator[api.StoredTrade]:
        """Trades with an order that carries the code, newest first, as long as their markets are known."""
        for trade in reversed(self._desk.trades.trades.values()):
            if code == trade.builder or code in trade.maker_builders:
                yield trade

    # --- liquidity rewards --------------------------------------------------------------------------------------------

    def scoring(self, order_id: str, owner: str, now: MarketMs) -> bool:
        """Does this order of the key score for rewards at ``now``? False for an unknown one."""
        order = self._desk.orders.get(order_id)
        return order is not None and order.owner == owner and self._rewards.scoring(order, now)

    def rewards_earned(self, address: str, day: int, now: MarketMs) -> dict[str, Micros]:
        """By condition id: of today (days since 1970, UTC) what was earned so far, of another day what was paid."""
        return self._rewards.earned_by(address, day, now // DAY_MS)

    def rewards_paid(self, address: str) -> list[api.RewardPaid]:
        """Every payout of rewards to an account, oldest first."""
        return self._rewards.paid_to(address)

    def reward_parts(self, address: str) -> dict[str, float]:
        """An account's part of all scores at the last sample, in percent by condition id."""
        found = {key: parts.get(address, 0) for key, parts in self._rewards.parts.items()}
        return {key: part / 10_000 for key, part in found.items() if part}

    # --- markets ------------------------------------------------------------------------------------------------------

    def add_market(self, market: Market, now: MarketMs) -> list[api.Output]:
        """Create a market that takes orders from now to ``market.end``: MarketOpened. Raises ValueError if known."""
        if market.condition_id in self._states:
            raise ValueError(f"market {market.condition_id} exists already")
        self._run_due(now)
        state = MarketState(market)
        self._states[market.condition_id] = state
        self._by_token[market.up] = self._by_token[market.down] = state
        self._bank.pots[market.condition_id] = 0
        self._agenda.add(market.end, "end", market.condition_id)
        self._plan_ticks(market)
        if market.reward_rate_day > 0:
            self._rewards.begin(self.now)
        self._say(api.MarketOpened(market))
        return self._flush(now)

    def has_open(self, condition_id: str) -> bool:
        """Does an order with a key rest there, or wait for its taker delay?"""
        return any(order.state.condition_id == condition_id for order in self._desk.open.values())

    def market(self, condition_id: str) -> Market | None:
        """The market as it stands (its present tick, ``accepting``)."""
        state = self._states.get(condition_id)
        return None if state is None else state.market

    def markets(self) -> list[Market]:
        """Every market that was not forgotten, in order of creation."""
        return [state.market for state in self._states.values()]

    def market_of_token(self, token_id: str) -> Market | None:
        state = self._by_token.get(token_id)
        return None if state is None else state.market

    def end_market(self, condition_id: str, now: MarketMs) -> list[api.Output]:
        """Take no more orders: MarketEnded. Happens by itself at ``market.end``; the second time is nothing."""
        self._run_due(now)
        self._end(condition_id)
        return self._flush(now)

    def decide(
        self, condition_id: str, winner: Side | None, strike: int | None, final: int | None, now: MarketMs
    ) -> list[api.Output]:
        """Resolve a market: open orders are cancelled (CANCELED_MARKET_RESOLVED), then MarketDecided.

        Winning shares are worth 1.00 (both sides 0.50 when ``winner`` is None) and stay tokens until ``Redeem``.
        Raises ValueError for a market that is unknown or decided.
        """
        self._run_due(now)
        state = self._states.get(condition_id)
        if state is None or state.decision is not None:
            raise ValueError(f"market {condition_id} is {'unknown' if state is None else 'decided already'}")
        self._end(condition_id)
        self._desk.fail_pending(condition_id)
        for order in state.orders():
            if order.account.house:
                self._desk.cancel_house(order.order_id)
            else:
                self._desk.close_resting(order, CANCELED_RESOLVED)
        state.give_room()
        state.decision = api.MarketDecided(condition_id, winner, strike, final)
        for account in self._bank.accounts.values():
            if account.house:
                self._bank.redeem(account, state, payout_of(account, state))
            elif self.rules.auto_redeem_ms and payout_of(account, state):
                self._agenda.add(self.now + self.rules.auto_redeem_ms, "redeem", f"{account.address}:{condition_id}")
        self._say(state.decision)
        return self._flush(now)

    def decision(self, condition_id: str) -> api.MarketDecided | None:
        """The decision, or None while there is none."""
        state = self._states.get(condition_id)
        return None if state is None else state.decision

    def set_tick(self, condition_id: str, tick: Ticks, now: MarketMs) -> list[api.Output]:
        """Change the tick as a recording says (mirrored markets never change it by themselves)."""
        self._run_due(now)
        self._desk.set_tick(self._states[condition_id], tick)
        return self._flush(now)

    def forget_market(self, condition_id: str) -> None:
        """Drop a decided market with its orders and trades; shares never redeemed stay redeemable no longer.

        Raises ValueError when it is not decided or an account that is not the house still holds winning shares.
        """
        state = self._states.get(condition_id)
        if state is None or state.decision is None:
            raise ValueError(f"market {condition_id} is {'unknown' if state is None else 'not decided'}")
        for account in self._bank.accounts.values():
            if payout_of(account, state):
                raise ValueError(f"account {account.address} has not redeemed market {condition_id}")
        for account in self._bank.accounts.values():
            self._bank.redeem(account, state, 0)
        self._bank.dust += self._bank.pots.pop(condition_id)
        self._desk.forget(condition_id)
        self._chain.forget(condition_id)
        del self._states[condition_id], self._by_token[state.market.up], self._by_token[state.market.down]

    # --- books --------------------------------------------------------------------------------------------------------

    def book(self, condition_id: str) -> Book:
        """The live book with every resting order, in UP ticks; read it, never change it. Raises KeyError."""
        return self._states[condition_id].displayed

    def snapshot(self, token_id: str) -> api.BookSnapshot:
        """The full book of one token, with the venue's hash as of now. Raises KeyError for an unknown token."""
        return snapshot_of(self._by_token[token_id], token_id, self.now)

    def last_trade(self, token_id: str) -> api.Printed | None:
        """The last print of the token's market, as a print of this token; None before the first."""
        state = self._by_token.get(token_id)
        return None if state is None else last_print(state, token_id)

    # --- the house: the population's accounts -------------------------------------------------------------------------

    def open_house(self, name: str) -> None:
        """Open an account without limits for the population: no balance checks; what it sells it mints on the spot."""
        self._bank.open(name, 0, house=True)

    def place_house(
        self,
        name: str,
        token_id: str,
        action: Action,
        price: Ticks,
        size: Micros,
        order_type: OrderType,
        now: MarketMs,
    ) -> tuple[str, list[api.Output]]:
        """Place an order of the population at once (no delay, no grid and balance checks): its id, and the outputs.

        GTC rests what does not match; FAK and FOK drop it. The id of an order that does not rest is worth nothing.
        An ended or unknown market takes nothing: ("", []). Raises ValueError for a price or size that cannot be.
        """
        order_id = self.put_house(name, token_id, action, price, size, order_type, now)
        return order_id, self._flush(now)

    def cancel_house(self, order_id: str, now: MarketMs) -> list[api.Output]:
        """Cancel an order of the population; an order that is gone is nothing."""
        self.drop_house(order_id, now)
        return self._flush(now)

    def put_house(
        self,
        name: str,
        token_id: str,
        action: Action,
        price: Ticks,
        size: Micros,
        order_type: OrderType,
        now: MarketMs,
    ) -> str:
        """As ``place_house`` for a caller with many orders at one instant: ``said`` has the outputs of all of them."""
        if size <= 0 or not 0 < price < ONE:
            raise ValueError(f"a house order for {size} at {price} cannot be")
        if now > self._desk.now:
            self._run_due(now)
        state = self._by_token.get(token_id)
        if state is None or not state.market.accepting:
            return ""
        account = self._bank.accounts[name]
        order_id = self._desk.place_house(account, state, token_id, action, price, size, order_type)
        if self._agenda.next_due <= now:
            self._run_due(now)
        return order_id

    def drop_house(self, order_id: str, now: MarketMs) -> None:
        """As ``cancel_house`` for a caller with many orders at one instant."""
        if now > self._desk.now:
            self._run_due(now)
        self._desk.cancel_house(order_id)
        if self._agenda.next_due <= now:
            self._run_due(now)

    def said(self) -> list[api.Output]:
        """Everything said since the last time: what came of ``put_house`` and ``drop_house``, in order."""
        desk = self._desk
        out, desk.out = desk.out, []
        return out

    # --- mirror mode: another venue's displayed book ------------------------------------------------------------------

    def mirror(self, condition_id: str, book: Book) -> None:
        """Take an external book (shared, changed by the driver, UP ticks) as this market's displayed liquidity.

        Takers walk the displayed size after the taker delay; what was taken stays taken until the venue changes that
        level (its displayed size differs from what it was when it was taken, or the epoch rose). A level of
        UNKNOWN_SIZE holds whatever an order wants, every time. Orders of ours do not meet each other.
        """
        state = self._states[condition_id]
        queue = self.rules.queue
        patient = queue is Queue.BEHIND
        holds = queue in (Queue.CENTRAL, Queue.FIRST)
        state.mirror = Mirror(book, unknown_holds=holds, forgets=not patient, patient=patient)
        state.mirror.restore(state.taken_before)
        state.taken_before = []

    def observe(self, condition_id: str, now: MarketMs) -> None:
        """Remember from now on what the mirrored book shows (``Queue.BEHIND``): before an order leaves for its market.

        Until ``unobserve`` its driver tells of every change of the book: ``level_changed`` and ``book_replaced``.
        """
        self._run_due(now)
        mirror = self._states[condition_id].mirror
        if mirror is not None and mirror.patient and mirror.stood is None:
            mirror.stood = Stood(mirror.book, self.rules.standing_ms, lambda: self._desk.now)

    def unobserve(self, condition_id: str) -> None:
        """Nothing is open there any more."""
        state = self._states.get(condition_id)
        if state is not None and state.mirror is not None:
            state.mirror.stood = None

    def level_changed(self, condition_id: str, is_bid: bool, price: Ticks, now: MarketMs) -> None:
        """One level of an observed book (UP ticks) is not what it was. What was due before the change was run before.
        """
        self._desk.now = max(self._desk.now, now)
        state = self._states[condition_id]
        mirror = state.mirror
        if mirror is None or mirror.stood is None:
            return
        for order in (state.bids if is_bid else state.asks).get(price, {}).values():
            moved_up(mirror, order)
        mirror.stood.changed(is_bid, price)

    def book_replaced(self, condition_id: str, now: MarketMs) -> None:
        """A full book came for an observed market: of a new epoch nothing is known but what it shows."""
        self._desk.now = max(self._desk.now, now)
        state = self._states[condition_id]
        mirror = state.mirror
        if mirror is None or mirror.stood is None or not mirror.book.ready:
            return
        if mirror.stood.lost:
            mirror.stood.begin()
            to_the_back(state, self.rules.queue_ahead)
            return
        for order in state.orders():
            moved_up(mirror, order)
        mirror.stood.replaced()

    def watch(self, condition_id: str) -> tuple[Ticks, Ticks]:
        """When to call ``touched``: (bid_high, ask_low) in UP ticks, ``ONE + 1`` and ``-1`` when nothing rests.

        Due when ``best_bid >= bid_high`` or ``best_ask <= ask_low``; a print matters when its UP price is strictly
        above ``bid_high`` or strictly below ``ask_low`` (at it, too, when our orders are first in the queue). Changes
        only by calls of this exchange.
        """
        resting = self._states[condition_id].resting
        return (
            resting.best_ask if resting.best_ask < ONE else ONE + 1,
            resting.best_bid if resting.best_bid > 0 else -1,
        )

    def touched(self, condition_id: str, now: MarketMs) -> list[api.Output]:
        """The mirrored book reached a watched price: resting orders it crosses fill at their own price."""
        self._run_due(now)
        self._touch_all(self._states[condition_id])
        return self._flush(now)

    def printed(
        self, condition_id: str, token_id: str, price: Ticks, size: Micros, now: MarketMs,
        taker: Action | None = None, made_ms: int | None = None,
    ) -> list[api.Output]:
        """The venue reported a trade: resting orders it went through fill at their own price, together at most its
        ``size`` (UNKNOWN_SIZE: wholly). A trade at their price counts when our orders are first in the queue.

        ``Queue.BEHIND``: what is left of it behind the queue fills (behind.py); it must tell its ``size`` and what its
        ``taker`` did with the token, and orders younger than ``made_ms`` (market ms; None: now) were not there.
        """
        self._run_due(now)
        state = self._states[condition_id]
        if state.market.accepting and state.mirror is not None:
            up = token_id == state.market.up
            up_price = price if up else ONE - price
            if not state.mirror.patient:
                self._print_through(state, up_price, size)
            elif taker is not None and size > 0 and state.mirror.book.ready:
                hits_bids = up == (taker is Action.SELL)
                for order, part in served(state, hits_bids, up_price, size, now if made_ms is None else made_ms):
                    self._desk.fill_resting(order, part)
        return self._flush(now)

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self, only: Collection[str] | None = None) -> dict[str, Any]:
        """Everything, as plain JSON-able data. Mirrored books belong to their driver: it calls ``mirror`` again.

        ``only``: a part for ``state.with_part``, with the rows of these markets alone.
        """
        return state_of(self, only)

    @classmethod
    def load(cls, state: dict[str, Any]) -> Exchange:
        """The exchange that ``save`` described: it answers every later call alike. Raises ValueError for another
        format version."""
        exchange = cls(rules_of(state), MarketMs(0))
        restore(exchange, state)
        return exchange

    def audit(self) -> list[str]:
        """Broken invariants, by name and value; empty when all is well (conservation, pots, no negative account)."""
        return broken_invariants(self._bank, self._states.values())

    # --- inside -------------------------------------------------------------------------------------------------------

    def _say(self, output: api.Output) -> None:
        self._desk.out.append(output)

    def _flush(self, now: MarketMs) -> list[api.Output]:
        """Run what is due by now, and hand over everything said since the last time."""
        desk = self._desk
        if self._agenda.next_due <= now or now > desk.now:
            self._run_due(now)
        return self.said()

    def _run_due(self, now: MarketMs) -> None:
        """Every task up to now, at its own time."""
        desk = self._desk
        while self._agenda.next_due <= now:
            task = self._agenda.pop()
            desk.now = max(desk.now, task.due)
            self._run(task)
        if now > desk.now:
            desk.now = now

    def _run(self, task: Task) -> None:
        match task.kind:
            case "taker":
                self._desk.taker_due(task.ref)
            case "expire":
                self._desk.expire(task.ref)
            case "visible":
                self._desk.make_visible(task.ref)
            case "mined":
                self._desk.move_trade(task.ref, TradeStatus.MINED)
            case "confirmed":
                self._desk.move_trade(task.ref, TradeStatus.CONFIRMED)
            case "end":
                self._end(task.ref)
            case "sample":
                self._rewards.sample(int(task.ref), self.now)
            case "rewards":
                for paid in self._rewards.pay(self.now):
                    self._say(paid)
            case "chain_mined":
                self._mine(task.ref)
            case "chain_confirmed":
                self._chain.confirm(task.ref)
            case "redeem":
                self._auto_redeem(task.ref)
            case "retrying":
                self._desk.retry(task.ref)
            case "failed":
                self._desk.fail_trade(task.ref)
            case "unlock":
                self._desk.unlock(task.ref)
            case "tick":
                self._flip_tick(task.ref)
            case "touch":
                self._touch_again(task.ref)
            case _:
                raise AssertionError(f"unknown task {task.kind}")

    def _plan_ticks(self, market: Market) -> None:
        if self._desk.mood is not None:
            for at, tick in self._desk.mood.ticks(market, self.now):
                self._agenda.add(at, "tick", f"{market.condition_id}:{tick}")

    def _flip_tick(self, ref: str) -> None:
        condition_id, _, tick = ref.rpartition(":")
        state = self._states.get(condition_id)
        if state is not None and state.market.accepting:
            self._desk.set_tick(state, int(tick))

    def _refuse_all(self, request: api.Request, mood: Mood) -> bool:
        """Answer an order or a cancel while the venue takes none; False when it is to be served."""
        if not isinstance(request, api.PostOrder | api.CancelOrders):
            return False
        closed: Closure | None = mood.closure(self.now)
        if closed is None:
            return False
        if isinstance(request, api.CancelOrders):
            if closed.cancels:
                self._say(api.Canceled(request.request_id, (), (), closed.http, closed.text, closed.retry_after_s))
            return closed.cancels
        if closed.post_only and request.order.post_only:
            return False
        self._say(api.Posted(
            request.request_id, request.order.order_id, closed.http, error=closed.text, code=closed.code,
            retry_after_s=closed.retry_after_s,
        ))  # fmt: skip
        return True

    def _end(self, condition_id: str) -> None:
        state = self._states.get(condition_id)
        if state is not None and state.market.accepting:
            state.change(accepting=False)
            self._say(api.MarketEnded(condition_id))

    def _open_orders(self, wanted: api.GetOpenOrders | api.CancelOrders) -> list[Order]:
        """Open orders of a key, oldest first, of one market or token if one is named."""
        return [
            order
            for order in self._desk.open.values()
            if order.owner == wanted.owner
            and wanted.condition_id in ("", order.state.condition_id)
            and wanted.token_id in ("", order.token_id)
        ]

    def _cancel(self, request: api.CancelOrders) -> None:
        ids = request.order_ids
        if ids is None:
            ids = tuple(order.order_id for order in self._open_orders(request))
        start = len(self._desk.out)
        answers = {order_id: self._desk.cancel(order_id, request.owner) for order_id in dict.fromkeys(ids)}
        done = tuple(order_id for order_id, problem in answers.items() if not problem)
        rest = tuple((order_id, problem) for order_id, problem in answers.items() if problem)
        self._desk.out.insert(start, api.Canceled(request.request_id, done, rest))

    def _balance(self, request: api.GetBalance) -> None:
        account = self._bank.accounts.get(request.account)
        balance, approved = 0, False
        if account is not None:
            balance = account.visible(request.token_id) if request.token_id else account.collateral
            approved = account.approved
        self._say(api.BalanceReply(request.request_id, balance, UNLIMITED if approved else 0))

    def _act(self, request: api.Split | api.Merge | api.Redeem) -> None:
        """A split, merge or redemption at once; it stands in the wallet's history like a transaction."""
        size = 0 if isinstance(request, api.Redeem) else request.size
        call = api.ChainCall(type(request).__name__.lower(), request.condition_id, size)
        problem, paid = self._chain.act(request.account, call)
        if not problem:
            name = f"{call.kind} {request.account} {self.now} {request.request_id}"
            self._chain.record(name, request.account, call, paid, self.now)
        self._say(api.Done(request.request_id, not problem, problem, abs(paid)))
        self._revalidate(request.account)

    def _revalidate(self, address: str) -> None:
        account = self._bank.accounts.get(address)
        if account is not None:
            self._desk.revalidate(account)

    def _mine(self, transaction_id: str) -> None:
        """A transaction is mined: all its calls happen, or none."""
        self._revalidate(self._chain.mine(transaction_id, self.now).account)

    def _auto_redeem(self, ref: str) -> None:
        """The operator redeems a wallet's winning shares, unless somebody has done it."""
        address, _, condition_id = ref.rpartition(":")
        if not self.redeemable(address).get(condition_id):
            return
        call = api.ChainCall("redeem", condition_id)
        _, paid = self._chain.act(address, call)
        done = self._chain.record(f"auto-redeem {ref}", address, call, paid, self.now)
        self._say(api.AutoRedeemed(address, condition_id, paid, done.hash))

    def _touch_all(self, state: MarketState) -> None:
        if state.market.accepting and state.mirror is not None and state.mirror.book.ready:
            for bids in (False, True):
                for order in _best_first(state, bids):
                    self._touch(state.mirror, order)
            self._desk.look_again(state)

    def _touch_again(self, condition_id: str) -> None:
        state = self._states.get(condition_id)
        if state is not None:
            state.looks_again = False
            self._touch_all(state)

    def _touch(self, mirror: Mirror, order: Order) -> None:
        """Fill a resting order by what the mirrored book shows across its price, best level first."""
        found: Micros = 0
        for price in mirror.levels(bids=not order.is_bid):
            if price > order.up_price if order.is_bid else price < order.up_price:
                break
            if price == order.up_price and self.rules.queue is Queue.LAST:
                break
            size = mirror.available(not order.is_bid, price, order.left - found)
            if size > 0:
                mirror.take(not order.is_bid, price, size)
                found += size
        if found:
            self._desk.fill_resting(order, found)

    def _print_through(self, state: MarketState, up_price: Ticks, size: Micros) -> None:
        left = size
        for bids in (True, False):
            for order in _best_first(state, bids):
                through = up_price < order.up_price if bids else up_price > order.up_price
                through = through or (up_price == order.up_price and self.rules.queue is Queue.FIRST)
                if not through or left == 0:
                    break
                part = order.left if size == UNKNOWN_SIZE else min(order.left, left)
                self._desk.fill_resting(order, part)
                left -= part if size != UNKNOWN_SIZE else 0


def _best_first(state: MarketState, bids: bool) -> list[Order]:
    """Resting orders of one side in price-time priority."""
    queues = state.bids if bids else state.asks
    return [order for price in sorted(queues, reverse=bids) for order in queues[price].values()]
