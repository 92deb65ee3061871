"""A venue that misbehaves, to test with: one window, a house, one account of 1,000.00 behind a faulty gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.pathologies import Pathologies
from polyhost.exchange.pathologies.inprocess import FaultyGateway
from polyhost.exchange.rules import ExchangeRules
from polyhost.model import commands, events
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Fees, Market
from polyhost.model.money import micros, ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType

UP, DOWN, CONDITION = "101", "202", "0xc0"
ADDRESS = "0x" + "ab" * 20
KEY = "key-me"
END = 900_000
Heard = TypeVar("Heard")


class Venue:
    """Everything said is kept in ``heard`` with its market ms."""

    def __init__(self, probabilities: Mapping[str, float], seed: int = 7, **options: Any) -> None:
        self.exchange = Exchange(ExchangeRules(), MarketMs(0))
        self.exchange.open_house("house")
        self.exchange.open_account(ADDRESS, micros("1000"))
        self.pathologies = Pathologies(seed, probabilities)
        self.certain = Pathologies(seed, dict.fromkeys(probabilities, 1.0))
        """The same streams, if everything strikes: where the episodes would be."""
        self.gateway = FaultyGateway(self.exchange, ADDRESS, KEY, 3, self.pathologies, **options)
        self.now = 0
        self.heard: list[tuple[int, Any]] = []
        self.public: list[api.Output] = []
        market = Market(
            slug="btc-updown-15m-0", condition_id=CONDITION, up=UP, down=DOWN, start=0, end=END,
            fees=Fees(70_000),
        )  # fmt: skip
        self.open(market)

    # --- doing ----

    def open(self, market: Market) -> None:
        self.hear(self.gateway.events_of(self.exchange.add_market(market, MarketMs(self.now))))

    def hear(self, found: list[events.Event]) -> list[events.Event]:
        self.heard += [(self.now, event) for event in found]
        self.public += self.gateway.take_public()
        return found

    def house(self, action: str, price: str, size: str, token: str = UP, kind: str = "GTC") -> None:
        _, outputs = self.exchange.place_house(
            "house", token, Action(action), ticks(price), micros(size), OrderType(kind), MarketMs(self.now)
        )
        self.hear(self.gateway.events_of(outputs))

    def do(self, command: commands.Command) -> list[events.Event]:
        return self.hear(self.gateway.execute(command, MarketMs(self.now)))

    def post(
        self, action: str, price: str, size: str, kind: str = "GTC", token: str = UP, post_only: bool = False
    ) -> str:
        draft = OrderDraft(
            "ref", token, Action(action), OrderType(kind), ticks(price), micros(size), ticks("0.01"), False, post_only
        )
        (made,) = self.gateway.execute(commands.Prepare(draft), MarketMs(self.now))
        assert isinstance(made, events.Prepared)
        self.do(commands.Post(made.request))
        return made.request.order_id

    def buy(self, size: str = "10", price: str = "0.50") -> str:
        """A taker's buy that the house fills."""
        self.house("SELL", price, size)
        order_id = self.post("BUY", price, size, "FAK")
        self.run(200)
        return order_id

    def run(self, ms: int) -> None:
        """Let everything happen, each at its time."""
        until = self.now + ms
        while self.now < until:
            self.now = max(self.now, min(self.exchange.next_due, self.gateway.next_due, until))
            self.hear(self.gateway.events_of(self.exchange.advance(MarketMs(self.now))))
            self.hear(self.gateway.advance(MarketMs(self.now)))

    def into(self, name: str) -> int:
        """Run into the episode that there is if it is certain; what is left of it."""
        episode = self.certain.episode(name, self.now)
        assert episode is not None
        self.run(episode.start + 1 - self.now)
        return episode.end - self.now

    # --- seeing ----

    def events(self, kind: type[Heard]) -> list[Heard]:
        return [event for _, event in self.heard if isinstance(event, kind)]

    def answer(self, order_id: str) -> events.PostAnswered | None:
        found = [event for event in self.events(events.PostAnswered) if event.order_id == order_id]
        return found[-1] if found else None

    def code(self, order_id: str) -> str:
        answered = self.answer(order_id)
        return "" if answered is None else answered.code

    def statuses(self) -> list[str]:
        """Of the trades told on the stream, in order."""
        return [event.row.status for event in self.events(events.TradeSeen)]

    def cancelled_events(self) -> list[events.OrderSeen]:
        return [event for event in self.events(events.OrderSeen) if event.row.kind == "CANCELLATION"]

    def open_orders(self) -> list[str]:
        """The truth, asked of the exchange itself."""
        (reply,) = self.exchange.handle(api.GetOpenOrders(-1, KEY), MarketMs(self.now))
        assert isinstance(reply, api.OrdersReply)
        return [order.row.order_id for order in reply.orders]

    def shown(self, kind: type[Heard]) -> list[Heard]:
        return [output for output in self.public if isinstance(output, kind)]

    def token_balance(self, token: str = UP) -> int:
        (event,) = self.do(commands.QueryTokenBalance(token))
        assert isinstance(event, events.TokenBalanceSeen)
        return event.balance

    @property
    def money(self) -> int:
        return self.exchange.collateral(ADDRESS)

    @property
    def shares(self) -> int:
        return self.exchange.shares(ADDRESS, UP)

    def sound(self) -> None:
        assert self.exchange.audit() == []


@pytest.fixture
def venue() -> Callable[..., Venue]:
    """``venue(ghost_fill=1)``."""

    def make(seed: int = 7, **probabilities: float) -> Venue:
        return Venue(probabilities, seed)

    return make
