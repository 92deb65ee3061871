"""A venue to test with, in a trader's words: decimal strings in, outputs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.market import Market
from polyhost.model.money import micros, ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType

UP, DOWN = "101", "202"
CONDITION = "0xc0"
END = 900_000
T = TypeVar("T")


class Bench:
    """One exchange with one window, a house account, and accounts ``0xa`` and ``0xb`` with 1,000.00 each."""

    up, down, condition = UP, DOWN, CONDITION

    def __init__(self, rules: ExchangeRules, market: dict[str, Any]) -> None:
        self.exchange = Exchange(rules, MarketMs(0))
        self.now = 0
        self.numbers = 0
        fields: dict[str, Any] = {
            "slug": "btc-updown-15m-0", "condition_id": CONDITION, "up": UP, "down": DOWN,
            "start": 0, "end": END, **market,
        }  # fmt: skip
        self.exchange.add_market(Market(**fields), MarketMs(0))
        self.exchange.open_house("house")
        for address in ("0xa", "0xb"):
            self.exchange.open_account(address, micros("1000"))

    # --- doing ----

    def house(self, action: str, price: str, size: str, token: str = UP, kind: str = "GTC") -> str:
        order_id, self.said = self.exchange.place_house(
            "house", token, Action(action), ticks(price), micros(size), OrderType(kind), MarketMs(self.now)
        )
        return order_id

    def new(self, action: str, maker: str, taker: str, **more: Any) -> api.NewOrder:
        """An order by its signed amounts."""
        self.numbers += 1
        who = more.pop("who", "a")
        fields: dict[str, Any] = {
            "order_id": f"0x{self.numbers:x}", "account": f"0x{who}", "owner": f"key-{who}", "token_id": UP,
            "action": Action(action), "maker_amount": micros(maker), "taker_amount": micros(taker),
            "order_type": OrderType(more.pop("kind", "GTC")), **more,
        }  # fmt: skip
        return api.NewOrder(**fields)

    def order(self, action: str, price: str, size: str, **more: Any) -> api.NewOrder:
        """An order by price and size."""
        money = micros(size) * ticks(price) // 10_000
        amounts = (money, micros(size)) if action == "BUY" else (micros(size), money)
        made = self.new(action, "1", "1", **more)
        return api.NewOrder(
            **{f: getattr(made, f) for f in made.__struct_fields__ if f not in ("maker_amount", "taker_amount")},
            maker_amount=amounts[0],
            taker_amount=amounts[1],
        )

    def send(self, new: api.NewOrder) -> list[api.Output]:
        self.numbers += 1
        return self.exchange.handle(api.PostOrder(self.numbers, new), MarketMs(self.now))

    def post(self, new: api.NewOrder) -> api.Posted:
        """Post and wait for the answer, past the taker delay if need be; everything said stays in ``said``."""
        self.said = self.send(new)
        if not self.heard(api.Posted):
            self.said += self.wait(150)
        return self.heard(api.Posted)[0]

    def buy(self, price: str, size: str, **more: Any) -> api.Posted:
        return self.post(self.order("BUY", price, size, **more))

    def sell(self, price: str, size: str, **more: Any) -> api.Posted:
        return self.post(self.order("SELL", price, size, **more))

    def wait(self, ms: int) -> list[api.Output]:
        self.now += ms
        return self.exchange.advance(MarketMs(self.now))

    def cancel(self, order_id: str, who: str = "a") -> api.Canceled:
        self.said = self.exchange.handle(api.CancelOrders(1, f"key-{who}", (order_id,)), MarketMs(self.now))
        return self.heard(api.Canceled)[0]

    def holding(self, size: str, who: str = "a", token: str = UP) -> Bench:
        """Let an account own settled shares, bought from the house at 0.50 by a resting order."""
        answer = self.buy("0.50", size, who=who, token_id=token)
        self.house("SELL", "0.50", size, token=token)
        assert answer.status == "live"
        self.wait(10_000)
        return self

    # --- seeing ----

    def heard(self, kind: type[T]) -> list[T]:
        return [output for output in self.said if isinstance(output, kind)]

    def row(self, order_id: str, who: str = "a") -> Any:
        reply = self.exchange.handle(api.GetOrder(1, f"key-{who}", order_id), MarketMs(self.now))[-1]
        assert isinstance(reply, api.OrderReply)
        return None if reply.order is None else reply.order.row

    def balance(self, token: str = "", who: str = "a") -> int:
        reply = self.exchange.handle(api.GetBalance(1, f"0x{who}", token), MarketMs(self.now))[-1]
        assert isinstance(reply, api.BalanceReply)
        return reply.balance

    def sound(self) -> None:
        assert self.exchange.audit() == []


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """``bench(taker_delay=False, rules=ExchangeRules(...))``: market fields by name."""

    def make(rules: ExchangeRules = ExchangeRules(), **market: Any) -> Bench:  # noqa: B008 frozen
        return Bench(rules, market)

    return make
