"""Properties that hold whatever happens: conservation, limits, priority, determinism, saving at any instant."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.market import Market
from polyhost.model.money import ONE, micros
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side

MARKETS = (("0xc0", "101", "102"), ("0xc1", "201", "202"))
TOKENS = tuple(token for _, *pair in MARKETS for token in pair)
END = 40_000
CENT = 10_000


def fresh(end: int = END) -> Exchange:
    exchange = Exchange(ExchangeRules(), MarketMs(0))
    for condition_id, up, down in MARKETS:
        exchange.add_market(Market(f"w-{condition_id}", condition_id, up, down, MarketMs(end)), MarketMs(0))
    exchange.open_house("house")
    for who in "abc":
        exchange.open_account(f"0x{who}", micros("100"))
    return exchange


def endow(exchange: Exchange) -> None:
    """Everybody owns 20 shares of every token, bought at 0.50."""
    for token in TOKENS:
        for who in "abc":
            order = api.NewOrder(
                f"0xe{who}{token}", f"0x{who}", f"key-{who}", token, Action.BUY, micros("10"), micros("20"),
                OrderType.GTC,
            )  # fmt: skip
            exchange.handle(api.PostOrder(0, order), MarketMs(0))
            exchange.place_house("house", token, Action.SELL, ONE // 2, micros("20"), OrderType.FAK, MarketMs(0))


class ExchangeMachine(RuleBasedStateMachine):
    """Three poor accounts and the house do anything at all in two markets."""

    @initialize()
    def open(self) -> None:
        self.exchange = fresh()
        endow(self.exchange)
        self.now = 10_000
        self.exchange.advance(MarketMs(self.now))
        self.numbers = 0
        self.orders: dict[str, api.NewOrder] = {}
        self.house_orders: list[str] = []
        self.told: list[api.Output] = []

    def _heard(self, outputs: list[api.Output]) -> None:
        for output in outputs:
            if isinstance(output, api.UserTrade) and output.trade.row.status == "MATCHED":
                self._within_limits(output.trade)

    def _within_limits(self, trade: api.StoredTrade) -> None:
        row = trade.row
        fills = [(row.taker_order_id, row.price), *((slice.order_id, slice.price) for slice in row.makers)]
        assert sum(slice.size for slice in row.makers) == row.size
        for order_id, price in fills:
            order = self.orders.get(order_id)
            if order is not None and order.action is Action.BUY:
                assert price * order.taker_amount <= order.maker_amount * ONE
            elif order is not None:
                assert price * order.maker_amount >= order.taker_amount * ONE

    @rule(
        who=st.sampled_from("abc"),
        token=st.sampled_from(TOKENS),
        action=st.sampled_from(Action),
        kind=st.sampled_from(OrderType),
        cents=st.integers(46, 54),
        shares=st.integers(500, 2_500),
        post_only=st.sampled_from([False, False, False, True]),
    )
    def post(
        self, who: str, token: str, action: Action, kind: OrderType, cents: int, shares: int, post_only: bool
    ) -> None:
        self.numbers += 1
        size = shares * CENT if kind.rests else shares * CENT // 1_000_000 * 1_000_000 + 5_000_000
        money = size * cents // 100
        amounts = (money, size) if action is Action.BUY else (size, money)
        order = api.NewOrder(
            f"0x{self.numbers:x}", f"0x{who}", f"key-{who}", token, action, *amounts, kind,
            post_only and kind.rests, self.now // 1_000 + 65 if kind is OrderType.GTD else 0,
        )  # fmt: skip
        self.orders[order.order_id] = order
        self._heard(self.exchange.handle(api.PostOrder(self.numbers, order), MarketMs(self.now)))

    @rule(
        token=st.sampled_from(TOKENS),
        action=st.sampled_from(Action),
        kind=st.sampled_from([OrderType.GTC, OrderType.FAK, OrderType.FOK]),
        price=st.integers(460, 540).map(lambda thousandths: thousandths * 10),
        size=st.integers(1, 40_000_000),
    )
    def house(self, token: str, action: Action, kind: OrderType, price: int, size: int) -> None:
        order_id, outputs = self.exchange.place_house("house", token, action, price, size, kind, MarketMs(self.now))
        self.house_orders.append(order_id)
        self._heard(outputs)

    @rule(pick=st.integers(0, 1_000))
    def cancel_house(self, pick: int) -> None:
        if self.house_orders:
            self.exchange.cancel_house(self.house_orders[pick % len(self.house_orders)], MarketMs(self.now))

    @rule(pick=st.integers(0, 1_000))
    def cancel(self, pick: int) -> None:
        if self.orders:
            order = list(self.orders.values())[pick % len(self.orders)]
            request = api.CancelOrders(0, order.owner, (order.order_id,))
            self._heard(self.exchange.handle(request, MarketMs(self.now)))

    @rule(ms=st.sampled_from([1, 150, 700, 2_500, 9_000]))
    def wait(self, ms: int) -> None:
        self.now += ms
        self._heard(self.exchange.advance(MarketMs(self.now)))

    @rule(who=st.sampled_from("abc"), market=st.sampled_from(MARKETS), shares=st.integers(1, 20))
    def merge(self, who: str, market: tuple[str, str, str], shares: int) -> None:
        self.exchange.handle(api.Merge(0, f"0x{who}", market[0], shares * 1_000_000), MarketMs(self.now))

    @rule(
        who=st.sampled_from("abc"), market=st.sampled_from(MARKETS), shares=st.integers(1, 2_000),
        kinds=st.lists(st.sampled_from(["split", "merge", "redeem", "approve"]), min_size=1, max_size=3),
    )
    def transact(self, who: str, market: tuple[str, str, str], shares: int, kinds: list[str]) -> None:
        self.numbers += 1
        calls = tuple(api.ChainCall(kind, market[0], shares * 1_000_000) for kind in kinds)
        self.exchange.handle(api.Transact(0, f"t{self.numbers}", f"0x{who}", calls), MarketMs(self.now))

    @rule(who=st.sampled_from("abc"), market=st.sampled_from(MARKETS), shares=st.integers(1, 20))
    def split(self, who: str, market: tuple[str, str, str], shares: int) -> None:
        self.exchange.handle(api.Split(0, f"0x{who}", market[0], shares * 1_000_000), MarketMs(self.now))

    @rule(who=st.sampled_from("abc"))
    def refresh(self, who: str) -> None:
        self._heard(self.exchange.handle(api.RefreshBalance(0, f"0x{who}"), MarketMs(self.now)))

    @rule(market=st.sampled_from(MARKETS), winner=st.sampled_from([Side.UP, Side.DOWN, None]))
    def decide(self, market: tuple[str, str, str], winner: Side | None) -> None:
        if self.now > END and self.exchange.decision(market[0]) is None:
            self.exchange.decide(market[0], winner, None, None, MarketMs(self.now))
            assert self.exchange.book(market[0]).bids == self.exchange.book(market[0]).asks == {}

    @rule(who=st.sampled_from("abc"), market=st.sampled_from(MARKETS))
    def redeem(self, who: str, market: tuple[str, str, str]) -> None:
        self.exchange.handle(api.Redeem(0, f"0x{who}", market[0]), MarketMs(self.now))

    @rule()
    def save_and_load(self) -> None:
        state = json.dumps(self.exchange.save())
        self.exchange = Exchange.load(json.loads(state))
        assert json.dumps(self.exchange.save()) == state

    @invariant()
    def nothing_is_created_or_lost(self) -> None:
        assert self.exchange.audit() == []

    @invariant()
    def a_balance_shows_no_more_than_is_owned_and_never_less_than_nothing(self) -> None:
        for account in self.exchange._bank.accounts.values():
            for token, size in account.pending.items():
                assert 0 <= size <= account.shares.get(token, 0), (account.address, token)

    @invariant()
    def books_never_cross_and_reservations_hold(self) -> None:
        for condition_id, *tokens in MARKETS:
            book = self.exchange.book(condition_id)
            assert book.best_bid < book.best_ask
            for who in "abc":
                self._reserved(who, condition_id, tokens)

    def _reserved(self, who: str, condition_id: str, tokens: list[str]) -> None:
        reply = self.exchange.handle(api.GetOpenOrders(0, f"key-{who}", condition_id), MarketMs(self.now))[-1]
        assert isinstance(reply, api.OrdersReply)
        rests = [(stored.row, stored.row.original_size - (stored.row.size_matched or 0)) for stored in reply.orders]
        spent = sum(left * row.price // ONE for row, left in rests if row.action is Action.BUY)
        assert spent <= self.exchange.collateral(f"0x{who}")
        for token in tokens:
            sold = sum(left for row, left in rests if row.action is Action.SELL and row.token_id == token)
            assert sold <= self.exchange.shares(f"0x{who}", token)


TestExchange = ExchangeMachine.TestCase
TestExchange.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip


def script(seed: int, length: int) -> list[tuple[Any, ...]]:
    """A random day: (what, arguments)."""
    dice = Random(seed)
    steps: list[tuple[Any, ...]] = []
    for number in range(length):
        token, action = dice.choice(TOKENS), dice.choice(list(Action))
        price = dice.randint(40, 60) * 100
        match dice.randint(0, 3):
            case 0 | 1:
                steps.append(("house", token, action, price, dice.randint(1, 30) * 1_000_000))
            case 2:
                size = dice.randint(5, 20) * 1_000_000
                money = size * price // ONE
                amounts = (money, size) if action is Action.BUY else (size, money)
                who = dice.choice("abc")
                kind = dice.choice([OrderType.GTC, OrderType.FAK, OrderType.FOK])
                steps.append(
                    ("post", api.NewOrder(f"0x{number:x}", f"0x{who}", f"key-{who}", token, action, *amounts, kind))
                )
            case _:
                steps.append(("wait", dice.choice([10, 150, 2_000])))
    return steps


def play(exchange: Exchange, steps: list[tuple[Any, ...]], now: int) -> tuple[bytes, int]:
    """Everything said, as bytes, and the time after it."""
    said: list[Any] = []
    for step in steps:
        match step:
            case ("house", token, action, price, size):
                said += exchange.place_house("house", token, action, price, size, OrderType.GTC, MarketMs(now))[1]
            case ("post", order):
                said += exchange.handle(api.PostOrder(1, order), MarketMs(now))
            case ("wait", ms):
                now += ms
                said += exchange.advance(MarketMs(now))
    return msgspec.json.encode(said), now


def test_sim_04_the_same_calls_give_the_same_bytes() -> None:
    steps = script(3, 300)
    assert play(fresh(), steps, 0) == play(fresh(), steps, 0)


def test_sim_06_a_saved_exchange_goes_on_as_if_nothing_had_been() -> None:
    steps = script(4, 300)
    whole, _ = play(fresh(), steps, 0)
    assert b"MINED" in whole
    for cut in (1, 57, 150, 299):
        first = fresh()
        before, now = play(first, steps[:cut], 0)
        second = Exchange.load(json.loads(json.dumps(first.save())))
        after, _ = play(second, steps[cut:], now)
        assert [*msgspec.json.decode(before), *msgspec.json.decode(after)] == msgspec.json.decode(whole)


def test_one_long_wait_tells_the_same_as_many_short_ones() -> None:
    steps = [step for step in script(5, 120) if step[0] != "wait"]
    long, short = fresh(), fresh()
    assert play(long, steps, 0) == play(short, steps, 0)
    once = long.advance(MarketMs(20_000))
    often = [output for ms in range(0, 20_001, 50) for output in short.advance(MarketMs(ms))]
    assert once == often
    assert once


def test_another_versions_state_is_refused() -> None:
    state = {**fresh().save(), "version": 99}
    with pytest.raises(ValueError, match="99"):
        Exchange.load(state)


@pytest.mark.parametrize("seed", range(4))
def test_sim_05_a_busy_day_keeps_every_invariant(seed: int) -> None:
    exchange = fresh(end=10_000_000)
    endow(exchange)
    now = 10_000
    steps = script(seed, 1_500)
    for start in range(0, len(steps), 50):
        _, now = play(exchange, steps[start : start + 50], now)
        assert exchange.audit() == []
    trades = exchange.handle(api.GetTrades(1, "key-a"), MarketMs(now))[-1]
    assert isinstance(trades, api.TradesReply)
    assert len(trades.trades) > 24, "more than the endowment"
