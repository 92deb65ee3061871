"""The life of an order: taken or refused, held for the taker delay, matched, resting, cancelled, expired.

Everything that happens is appended to ``out``, in the order in which the venue tells it: the answer to a post before
the stream events of what it did.
"""

from __future__ import annotations

from typing import Final

from polyhost.exchange import api, refusals
from polyhost.exchange.accounts import Account, Bank
from polyhost.exchange.agenda import Agenda
from polyhost.exchange.behind import ahead_of, unripe
from polyhost.exchange.market import MarketState
from polyhost.exchange.matching import (
    Fill,
    can_fill_whole,
    maker_can_pay,
    own_price,
    payable,
    reachable,
    settle,
)
from polyhost.exchange.mood import Mood, Stages
from polyhost.exchange.orders import DELAYED, LIVE, MATCHED, NO_REQUEST, Order
from polyhost.exchange.refusals import Refusal
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.shown import show_level, snapshot_of
from polyhost.exchange.trades import TradeBook, owners_of
from polyhost.exchange.undoing import can_undo, undo
from polyhost.exchange.validation import Terms, check_form, check_funds, check_value, fee_at_limit, terms_of
from polyhost.model.builder import Builder
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.words import Action, OrderType, TradeStatus

VENUE = "venue"
"""The house account behind a mirrored book's orders."""
ON_CHAIN: Final = (TradeStatus.MINED, TradeStatus.CONFIRMED)
UNSETTLED: Final = (TradeStatus.MATCHED, TradeStatus.RETRYING)


class Desk:
    """Orders of all markets: ``orders`` every order with a key, ``house`` the population's open ones."""

    def __init__(self, rules: ExchangeRules) -> None:
        self.rules = rules
        self.builders = dict(rules.builders)
        """Builder codes that are known, with what they cost."""
        self.bank = Bank()
        self.agenda = Agenda()
        self.trades = TradeBook()
        self.orders: dict[str, Order] = {}
        self.open: dict[str, Order] = {}
        """Orders with a key that are delayed or resting, oldest first."""
        self.house: dict[str, Order] = {}
        self.out: list[api.Output] = []
        self.now = 0
        self.seq = 0
        self.house_ids = 0
        self.refreshed: set[tuple[str, str]] = set()
        """Trade and wallet whose balance was read anew before the cache would have caught up."""
        self.mood: Mood | None = None
        """How the venue misbehaves; None: it does not."""

    # --- posting ------------------------------------------------------------------------------------------------------

    def post(self, request_id: int, new: api.NewOrder, state: MarketState | None) -> None:
        """Take an order or refuse it. A marketable one waits for the taker delay and is answered then."""
        terms = terms_of(new)
        if state is None or terms is None:
            self._refuse(request_id, new.order_id, refusals.INVALID_TOKEN if terms else refusals.INVALID_PAYLOAD)
            return
        account = self.bank.accounts.get(new.account)
        if account is None:
            account = self.bank.open(new.account, 0)
        marketable = not new.order_type.rests or state.crosses(*_side_and_limit(new, terms, state))
        builder = self.builders.get(new.builder) if new.builder else None
        refusal = self._judge(new, terms, state, account, marketable, builder)
        if refusal is not None:
            self._refuse(request_id, new.order_id, refusal)
            return
        order = self._admit(new, terms, state, account, builder)
        order.request_id = request_id
        if marketable and state.market.taker_delay and self.rules.taker_delay_ms:
            self.agenda.add(self.now + self.rules.taker_delay_ms, "taker", order.order_id)
        else:
            self.execute(order)

    def _judge(
        self, new: api.NewOrder, terms: Terms, state: MarketState, account: Account, marketable: bool,
        builder: Builder | None,
    ) -> Refusal | None:
        if not state.market.accepting:
            return refusals.MARKET_NOT_FOUND if self.now >= state.market.end else refusals.NOT_READY
        unknown = new.builder and builder is None
        refusal = refusals.INVALID_PAYLOAD if unknown else check_form(new, terms, state, self.rules, self.now)
        if refusal is None and new.order_id in self.orders:
            refusal = refusals.duplicated(new.order_id)
        if refusal is None and marketable:
            refusal = refusals.POST_ONLY_CROSSES if new.post_only else check_value(new, terms, state)
        return refusal or check_funds(new, terms, state, account, marketable, builder)

    def _refuse(self, request_id: int, order_id: str, refusal: Refusal) -> None:
        self.out.append(api.Posted(request_id, order_id, refusal.http, error=refusal.text))

    def _admit(
        self, new: api.NewOrder, terms: Terms, state: MarketState, account: Account, builder: Builder | None
    ) -> Order:
        self.seq += 1
        order = Order(
            new.order_id,
            account,
            new.owner,
            state,
            new.token_id,
            new.action,
            terms.price,
            terms.size,
            new.order_type,
            self.now,
            self.seq,
        )
        order.status = DELAYED
        order.maker_amount = new.maker_amount
        order.post_only = new.post_only
        order.expiration_s = new.expiration_s
        order.builder = builder
        self.orders[order.order_id] = self.open[order.order_id] = account.orders[order.seq] = order
        self.reserve(order)
        return order

    def reserve(self, order: Order, need: Micros | None = None) -> None:
        """Hold what the unmatched rest of an order needs (``need`` 0: let go of everything)."""
        account = order.account
        if account.house:
            return
        amount = order.need() if need is None else need
        held, key = (
            (account.buying, order.state.condition_id)
            if order.action is Action.BUY
            else (account.selling, order.token_id)
        )
        total = held.get(key, 0) + amount - order.reserved
        order.reserved = amount
        if total:
            held[key] = total
        else:
            held.pop(key, None)

    def relist(self, order: Order) -> None:
        """Know an order again that was saved."""
        if order.account.house:
            self.house[order.order_id] = order
            return
        self.orders[order.order_id] = order
        if order.status in (LIVE, DELAYED):
            self.open[order.order_id] = order.account.orders[order.seq] = order
            self.reserve(order)

    # --- executing ----------------------------------------------------------------------------------------------------

    def taker_due(self, order_id: str) -> None:
        """The taker delay of an order is over: it meets the book of this moment."""
        order = self.orders.get(order_id)
        if order is not None and order.status == DELAYED:
            self.execute(order)

    def execute(self, order: Order) -> None:
        """Match what can be matched, let rest what may rest, kill the remainder; answer the post."""
        start = len(self.out)
        refusal, status = self._cannot_trade(order)
        if refusal is None and order.order_type is OrderType.FOK and not can_fill_whole(order.state, order):
            refusal, status = refusals.FOK_KILLED, refusals.CANCELED
        if refusal is None:
            status = self._sweep(order)
            if status and not order.matched:
                refusal = refusals.FAK_KILLED if status == refusals.CANCELED else _short_now(order)
            elif order.left and order.matched and self.mood is not None and self.mood.rejects_rest(order.order_id):
                refusal, status = refusals.ROUNDING, refusals.CANCELED_BALANCE
        if order.left == 0:
            self._finish(order, MATCHED)
        elif status:
            self._finish(order, status)
        else:
            self._rest(order)
        self.out[start:start] = self._answer(order, refusal)
        self.revalidate(order.account)

    def _cannot_trade(self, order: Order) -> tuple[Refusal | None, str]:
        """Why a delayed order can't trade any more: its market ended, or its account's funds went elsewhere."""
        if not order.state.market.accepting:
            return refusals.MARKET_NOT_FOUND, refusals.CANCELED_RESOLVED
        if order.account.house:
            return None, ""
        if order.action is Action.BUY:
            has, held = order.account.collateral, order.account.buying[order.state.condition_id]
            if order.state.crosses(order.is_bid, order.up_price):
                terms = Terms(order.left, order.price, order.price, ONE)
                held += fee_at_limit(order.state, terms, order.builder)
        else:
            has, held = order.account.visible(order.token_id), order.account.selling[order.token_id]
        return (None, "") if held <= has else (_short_now(order), refusals.CANCELED_BALANCE)

    def _sweep(self, order: Order) -> str:
        """Match; the status of what cannot rest, empty when the rest may rest (or nothing is left)."""
        before = order.left
        paid = self._sweep_mirror(order) if order.state.mirror is not None else self._sweep_book(order)
        if order.state.mirror is None and order.left != before:
            self._tell_books(order.state)
        if not paid:
            return refusals.CANCELED_BALANCE
        return "" if order.order_type.rests else refusals.CANCELED

    def _sweep_book(self, order: Order) -> bool:
        """Walk the queues; False when the taker ran out of funds."""
        state = order.state
        book = state.resting
        while order.left:
            if order.is_bid:
                price = book.best_ask
                if price > order.up_price or price == ONE:
                    return True
                queue = state.asks[price]
            else:
                price = book.best_bid
                if price < order.up_price or price == 0:
                    return True
                queue = state.bids[price]
            fill = Fill(order, price)
            paid = self._take_level(fill, queue)
            if fill.size:
                self._publish(fill)
            if not paid:
                return False
        return True

    def _take_level(self, fill: Fill, queue: dict[int, Order]) -> bool:
        """Meet the orders of one price, oldest first; False when the taker cannot pay the next one."""
        taker = fill.taker
        while taker.left and queue:
            maker = next(iter(queue.values()))
            size = min(taker.left, maker.left)
            size = payable(fill, maker, size)
            if not size:
                return False
            if maker.account.house:
                self._maybe_cross(maker, taker)
            if not maker_can_pay(maker, fill.up_price, size):
                self.close_resting(maker, refusals.CANCELED_BALANCE)
                continue
            taker.state.reduce(maker, size)
            settle(self.bank, fill, maker, size)
            self.reserve(maker)
            if maker.left == 0:
                self._drop_from_queue(maker)
        self.reserve(taker)
        return True

    def _drop_from_queue(self, order: Order) -> None:
        """A resting order is wholly matched."""
        queues = order.state.bids if order.is_bid else order.state.asks
        queue = queues[order.up_price]
        del queue[order.seq]
        if not queue:
            del queues[order.up_price]
        order.status = MATCHED
        self._unlist(order)

    # --- mirrored books -----------------------------------------------------------------------------------------------

    def _sweep_mirror(self, order: Order) -> bool:
        """Walk the displayed levels; False when the taker ran out of funds."""
        state = order.state
        mirror = state.mirror
        assert mirror is not None
        for price, wanted in reachable(state, order):
            fill = Fill(order, price)
            maker = self._venue_order(order, fill.price, wanted)
            size = payable(fill, maker, wanted)
            if not size:
                return False
            mirror.take(maker.is_bid, price, size)
            settle(self.bank, fill, maker, size)
            self.reserve(order)
            self._publish(fill)
        return True

    def _venue_order(self, ours: Order, price: Ticks, size: Micros) -> Order:
        """The other side of a trade with a mirrored book: the same token, the other action."""
        account = self.bank.accounts.get(VENUE)
        if account is None:
            account = self.bank.open(VENUE, 0, house=True)
        action = Action.SELL if ours.action is Action.BUY else Action.BUY
        self.house_ids += 1
        self.seq += 1
        made = Order(
            _house_id(self.house_ids),
            account,
            "",
            ours.state,
            ours.token_id,
            action,
            price,
            size,
            OrderType.GTC,
            self.now,
            self.seq,
        )
        self._maybe_cross(made, ours)
        return made

    def _maybe_cross(self, house: Order, ours: Order) -> None:
        """Let a house order be the same one in the other token, where the mood says so."""
        if self.mood is None or house.token_id != ours.token_id or ours.account.house:
            return
        if self.mood.crosses(house.order_id):
            house.complement()

    def look_again(self, state: MarketState) -> None:
        """The book crosses what rests with quotes that have not stood yet: look when they have."""
        if not state.looks_again and unripe(state):
            state.looks_again = True
            self.agenda.add(self.now + max(self.rules.standing_ms, 1), "touch", state.condition_id)

    def fill_resting(self, order: Order, size: Micros) -> None:
        """A resting order in a mirrored market trades at its own price with the venue."""
        if not maker_can_pay(order, order.up_price, size):
            self.close_resting(order, refusals.CANCELED_BALANCE)
            return
        fill = Fill(self._venue_order(order, own_price(order, order.up_price), size), order.up_price)
        order.state.reduce(order, size)
        settle(self.bank, fill, order, size)
        self.reserve(order)
        if order.left == 0:
            self._drop_from_queue(order)
        self._publish(fill)

    # --- the end of an order ------------------------------------------------------------------------------------------

    def _rest(self, order: Order) -> None:
        order.status = LIVE
        mirror = order.state.mirror
        if mirror is not None and mirror.patient:
            order.ahead = ahead_of(mirror, order.is_bid, order.up_price, self.rules.queue_ahead)
        order.state.add(order)
        self.look_again(order.state)
        if order.order_type is OrderType.GTD:
            self.agenda.add(order.expiration_s * 1_000 - self.rules.gtd_early_ms, "expire", order.order_id)
        self._show(order.state, order.is_bid, order.up_price)
        self.check_tick(order.state)

    def _finish(self, order: Order, status: str) -> None:
        """An order is over: it holds nothing any more."""
        order.status = status
        self.reserve(order, 0)
        self._unlist(order)

    def _unlist(self, order: Order) -> None:
        if order.account.house:
            self.house.pop(order.order_id, None)
        else:
            self.open.pop(order.order_id, None)
            order.account.orders.pop(order.seq, None)

    def close_resting(self, order: Order, status: str) -> None:
        """Take a resting order off the book, with the reason as its status."""
        order.state.remove(order)
        self._finish(order, status)
        self._tell_order(order, "CANCELLATION")
        self._show(order.state, order.is_bid, order.up_price)
        self.check_tick(order.state)

    def cancel(self, order_id: str, owner: str) -> str:
        """Cancel an order of a key; empty when done, else why not, in the venue's words."""
        order = self.orders.get(order_id)
        if order is None or order.owner != owner:
            return refusals.NOT_FOUND
        if order.status == DELAYED:
            return refusals.DELAYED
        if order.status != LIVE:
            return refusals.GONE
        if self.mood is not None and (size := self.mood.overtaken(order_id, order.left)):
            self.fill_resting(order, size)
        if order.status != LIVE:
            return refusals.GONE
        self.close_resting(order, refusals.CANCELED)
        return ""

    def expire(self, order_id: str) -> None:
        order = self.orders.get(order_id)
        if order is not None and order.status == LIVE:
            self.close_resting(order, refusals.CANCELED_EXPIRED)

    def revalidate(self, account: Account) -> None:
        """Cancel, newest first, resting orders that the account's funds no longer carry.

        Each market is checked by itself, so a fill in one market can end orders in another (polymarket.md 4.1).
        """
        if account.house:
            return
        for condition_id in [key for key, held in account.buying.items() if held > account.collateral]:
            mine = [o for o in account.orders.values() if o.state.condition_id == condition_id]
            self._shed([o for o in mine if o.action is Action.BUY], account.buying, condition_id, account.collateral)
        for token_id in [key for key, held in account.selling.items() if held > account.visible(key)]:
            mine = [o for o in account.orders.values() if o.token_id == token_id and o.action is Action.SELL]
            self._shed(mine, account.selling, token_id, account.visible(token_id))

    def _shed(self, orders: list[Order], held: dict[str, Micros], key: str, has: Micros) -> None:
        for order in reversed(orders):
            if held.get(key, 0) <= has:
                return
            if order.status == LIVE:
                self.close_resting(order, refusals.CANCELED_BALANCE)

    # --- after a trade ------------------------------------------------------------------------------------------------

    def move_trade(self, trade_id: str, status: TradeStatus) -> None:
        """A trade reached its next stage on the chain."""
        trade = self.trades.move(trade_id, status, self.now)
        if trade is not None:
            self.tell_trade(trade)

    def retry(self, trade_id: str) -> None:
        """A trade was reverted on the chain and is sent again."""
        trade = self.trades.trades.get(trade_id)
        if trade is not None and trade.row.status == TradeStatus.MATCHED:
            self.move_trade(trade_id, TradeStatus.RETRYING)

    def fail_trade(self, trade_id: str) -> None:
        """A trade did not happen on the chain: FAILED, and every party has back what it gave, once.

        Where a party has spent what it got meanwhile, the chain took the trade after all: it settles, late.
        """
        trade = self.trades.trades.get(trade_id)
        if trade is None or trade.row.status not in UNSETTLED:
            return
        state = self.orders[_own_order(trade, self.orders)].state
        if not can_undo(self.bank, state, trade):
            self.make_visible(trade_id)
            self.move_trade(trade_id, TradeStatus.MINED)
            self.move_trade(trade_id, TradeStatus.CONFIRMED)
            return
        undo(self.bank, state, trade)
        self.move_trade(trade_id, TradeStatus.FAILED)
        for address in dict.fromkeys((trade.taker_account, *trade.maker_accounts)):
            self.revalidate(self.bank.accounts[address])

    def fail_pending(self, condition_id: str) -> None:
        """A market is about to be resolved: trades that were to fail do so now, while their shares are tokens."""
        for task in sorted(self.agenda.tasks):
            if task.kind == "failed":
                trade = self.trades.trades.get(task.ref)
                if trade is not None and trade.row.condition_id == condition_id:
                    self.fail_trade(task.ref)

    def make_visible(self, trade_id: str) -> None:
        """The balance cache catches up with what a trade bought."""
        trade = self.trades.trades.get(trade_id)
        if trade is None:
            return
        for address in dict.fromkeys((trade.taker_account, *trade.maker_accounts)):
            if (trade_id, address) not in self.refreshed:
                self._show_bought(trade, address)
            self.refreshed.discard((trade_id, address))

    def _show_bought(self, trade: api.StoredTrade, address: str) -> None:
        """One wallet's balance shows what it bought in a trade."""
        row, account = trade.row, self.bank.accounts[address]
        if row.action is Action.BUY and trade.taker_account == address:
            self.bank.settled(account, row.token_id, row.size)
        for maker_address, maker in zip(trade.maker_accounts, row.makers, strict=True):
            if maker.action is Action.BUY and maker_address == address:
                self.bank.settled(account, maker.token_id, maker.size)

    def refresh(self, address: str) -> None:
        """The balance cache reads a wallet anew: what the chain has taken shows at once."""
        for task in sorted(self.agenda.tasks):
            trade = self.trades.trades.get(task.ref) if task.kind == "visible" else None
            if trade is None or trade.row.status not in ON_CHAIN or (task.ref, address) in self.refreshed:
                continue
            if address in (trade.taker_account, *trade.maker_accounts):
                self._show_bought(trade, address)
                self.refreshed.add((task.ref, address))

    def forget(self, condition_id: str) -> None:
        """Drop a decided market's orders and trades (one that waits for its taker delay is over)."""
        for order in [order for order in self.open.values() if order.state.condition_id == condition_id]:
            self._finish(order, refusals.CANCELED_RESOLVED)
        self.trades.forget(condition_id)
        self.orders = {key: order for key, order in self.orders.items() if order.state.condition_id != condition_id}

    # --- the house ----------------------------------------------------------------------------------------------------

    def place_house(
        self,
        account: Account,
        state: MarketState,
        token_id: str,
        action: Action,
        price: Ticks,
        size: Micros,
        order_type: OrderType,
    ) -> str:
        """An order of the population, matched at once."""
        self.house_ids += 1
        self.seq += 1
        order_id = _house_id(self.house_ids)
        order = Order(
            order_id, account, "", state, token_id, action, price, size, order_type, self.now, self.seq
        )
        if state.crosses(order.is_bid, order.up_price):
            if self.mood is not None and (first := state.first(not order.is_bid)) is not None:
                self._maybe_cross(order, first)
            if order_type is OrderType.FOK and not can_fill_whole(state, order):
                return order_id
            self._sweep(order)
        if order.left and order_type.rests:
            self.house[order_id] = order
            state.add(order)
            self._show(state, order.is_bid, order.up_price)
            self.check_tick(state)
        return order_id

    def cancel_house(self, order_id: str) -> None:
        order = self.house.pop(order_id, None)
        if order is not None:
            order.state.remove(order)
            self._show(order.state, order.is_bid, order.up_price)
            self.check_tick(order.state)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _answer(self, order: Order, refusal: Refusal | None) -> list[api.Output]:
        """The answer to a post and the order's own events, in front of what it did to others."""
        rows: list[api.Output] = []
        if order.request_id != NO_REQUEST:
            rows.append(self._posted(order, refusal))
            order.request_id = NO_REQUEST
        if refusal is None:
            rows.append(api.UserOrder(order.owner, _placed(order)))
        if order.status not in (LIVE, MATCHED):
            rows.append(api.UserOrder(order.owner, order.stored("CANCELLATION")))
        return rows

    def _posted(self, order: Order, refusal: Refusal | None) -> api.Posted:
        if refusal is not None:
            return api.Posted(order.request_id, order.order_id, refusal.http, error=refusal.text)
        trades = [self.trades.trades[trade_id] for trade_id in order.trade_ids]
        money = sum(trade.row.size * trade.row.price // ONE for trade in trades)
        buys = order.action is Action.BUY
        return api.Posted(
            order.request_id,
            order.order_id,
            200,
            status="matched" if order.matched else "live",
            making=money if buys else order.matched,
            taking=order.matched if buys else money,
            trade_ids=tuple(order.trade_ids),
        )

    def _publish(self, fill: Fill) -> None:
        """A trade is made: tell the parties, start its stages, print it, show the level."""
        taker, state = fill.taker, fill.taker.state
        if taker.owner or any(maker.owner for maker, _ in fill.slices):
            self._register(fill)
        state.last = (fill.up_price, fill.size, Action.BUY if taker.is_bid else Action.SELL)
        if self.rules.market_channel and state.mirror is None:
            self.out.append(api.Printed(state.condition_id, taker.token_id, fill.price, fill.size, taker.action))
            self._show(state, not taker.is_bid, fill.up_price)

    def _register(self, fill: Fill) -> None:
        trade = self.trades.add(fill, self.now)
        trade_id = trade.row.trade_id
        for order in dict.fromkeys((fill.taker, *(maker for maker, _ in fill.slices))):
            order.trade_ids.append(trade_id)
            if order is not fill.taker:
                self._tell_order(order, "UPDATE")
        self.tell_trade(trade)
        self._plan_stages(trade_id)
        if self.mood is not None and not fill.taker.account.house and fill.taker.action is Action.BUY:
            self._lock(fill.taker.account, fill.money, self.mood.lock_ms(trade_id))
        for account in dict.fromkeys(order.account for order in (fill.taker, *(maker for maker, _ in fill.slices))):
            self.revalidate(account)

    def _plan_stages(self, trade_id: str) -> None:
        rules, now = self.rules, self.now
        stages = Stages(rules.settle_visible_ms, rules.mined_ms, rules.confirmed_ms)
        if self.mood is not None:
            stages = self.mood.stages(trade_id, stages)
        if stages.failed_ms:
            self.agenda.add(now + stages.failed_ms // 2, "retrying", trade_id)
            self.agenda.add(now + stages.failed_ms, "failed", trade_id)
            return
        self.agenda.add(now + stages.visible_ms, "visible", trade_id)
        self.agenda.add(now + stages.mined_ms, "mined", trade_id)
        self.agenda.add(now + stages.confirmed_ms, "confirmed", trade_id)

    def _lock(self, account: Account, amount: Micros, lasts_ms: int) -> None:
        """Count matched money a second time, for a while."""
        if lasts_ms:
            account.locked += amount
            self.agenda.add(self.now + lasts_ms, "unlock", f"{account.address}:{amount}")

    def unlock(self, ref: str) -> None:
        address, _, amount = ref.rpartition(":")
        self.bank.accounts[address].locked -= int(amount)

    def tell_trade(self, trade: api.StoredTrade) -> None:
        """The trade's status to every key that took part."""
        for owner in owners_of(trade):
            self.out.append(api.UserTrade(owner, trade))

    def _tell_order(self, order: Order, kind: str) -> None:
        if order.owner:
            self.out.append(api.UserOrder(order.owner, order.stored(kind)))

    def _show(self, state: MarketState, is_bid: bool, price: Ticks) -> None:
        if state.mirror is None and self.rules.market_channel:
            self.out.append(show_level(state, is_bid, price))

    def _tell_books(self, state: MarketState) -> None:
        """Full books of both tokens, as the venue sends them after trades."""
        if self.rules.market_channel and self.rules.snapshots:
            for token_id in (state.market.up, state.market.down):
                self.out.append(snapshot_of(state, token_id, self.now))
        self.check_tick(state)

    def check_tick(self, state: MarketState) -> None:
        """The tick becomes fine when the price leaves the middle: both sides' midpoint, or the last print."""
        book, rules = state.resting, self.rules
        last = state.last[0] if state.last is not None else ONE // 2
        low, high = rules.tick_low, rules.tick_high
        in_middle = 2 * low <= book.best_bid + book.best_ask <= 2 * high
        if (in_middle and low <= last <= high) or state.market.tick <= rules.tick_fine or state.mirror is not None:
            return
        if not low <= last <= high or not book.one_sided:
            self.set_tick(state, rules.tick_fine)

    def set_tick(self, state: MarketState, tick: Ticks) -> None:
        """Change a market's tick; orders that rest stay."""
        old = state.market.tick
        if tick == old:
            return
        state.change(tick=tick)
        for token_id in (state.market.up, state.market.down):
            self.out.append(api.TickChanged(state.condition_id, token_id, old, tick))


def _own_order(trade: api.StoredTrade, orders: dict[str, Order]) -> str:
    """An order with a key that took part (there always is one)."""
    ids = (trade.row.taker_order_id, *(maker.order_id for maker in trade.row.makers))
    return next(order_id for order_id in ids if order_id in orders)


def _house_id(number: int) -> str:
    return f"0x{number:064x}"


def _side_and_limit(new: api.NewOrder, terms: Terms, state: MarketState) -> tuple[bool, Ticks]:
    up = new.token_id == state.market.up
    return up == (new.action is Action.BUY), terms.price if up else ONE - terms.price


def _short_now(order: Order) -> Refusal:
    account = order.account
    buys = order.action is Action.BUY
    has = account.collateral if buys else account.visible(order.token_id)
    return refusals.short_of_balance(has, 0, order.maker_amount if buys else order.size)


def _placed(order: Order) -> api.StoredOrder:
    """The placement shows an order as it is after its first match: live if anything of it was to rest."""
    status, order.status = order.status, MATCHED if order.left == 0 else LIVE
    shown = order.stored("PLACEMENT")
    order.status = status
    return shown
