"""The venue's clients against the simulated exchange's own wire server: what one says, the other understands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from polyhost.exchange.server import Running, ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.model import events
from polyhost.model.book import Book
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market, normal_token
from polyhost.model.messages import Message
from polyhost.model.rounding import market_size
from polyhost.model.words import Action, OrderType, SettlementRule, Side
from polyhost.venue.binance import BinanceFeed
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.discovery import Discovery
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.polymarket.streams import MarketStream, PriceStream, UserStream
from polyhost.venue.polymarket.wire_gateway import WireGateway

from ..unhurried import PATIENCE_S
from .both_clients import each_client

KEY = "0x" + "22" * 32
SPEED = 60.0
CALM = 4.0
"""Once a market is found: two minutes of it are half a minute of the wall, and more than any order here takes."""
WORLD = WorldSettings(symbols=("BTC",), durations_s=(300,), density=10.0)


class Host:
    """Every client of the venue part, wired as a service would."""

    def __init__(self, up: Running, client: type[WireGateway]) -> None:
        self.up = up
        self.client = client
        self.events: list[Any] = []
        self.candles: list[Any] = []
        self.prices: list[tuple[str, str, int, int]] = []
        self.books: dict[str, Book] = {}
        self.clock = VenueClock()

    async def __aenter__(self) -> Host:
        places = endpoints_at(self.up.url, self.up.ws_url)
        self.stack = AsyncExitStack()
        self.gateway = self.client(places, KEY, clock=self.clock)
        await self.gateway.connect()
        self.stack.push_async_callback(self.gateway.close)
        http = self.http = http_client(places.clob, self.clock, live=False)
        self.stack.push_async_callback(http.aclose)
        await self.clock.ask(http)
        given = self.gateway.credentials
        self.market = MarketStream(
            places.market_ws, on_frame=self._frame, on_event=self._event,
            on_resolved=lambda message: self.discovery.on_message(message), clock=self.clock,
        )  # fmt: skip
        self.user = UserStream(places.user_ws, given, on_event=self._event, clock=self.clock)
        self.reference = PriceStream(
            places.price_ws, given, ["BTC"], on_price=self._price, on_event=self._event, clock=self.clock
        )
        self.spot = BinanceFeed(
            http, places.binance_ws, ["BTC"], on_price=self._price, on_event=self._event,
            on_candle=lambda *candle: self.candles.append(candle), clock=self.clock,
        )  # fmt: skip
        self.discovery = Discovery(
            Catalogue(http, http), self.clock, symbols=["BTC"], durations=["5m"], on_event=self._event,
            ask_backlog=self.reference.refresh,
        )  # fmt: skip
        parts = (self.market, self.user, self.reference, self.spot, self.discovery)
        self.tasks = [asyncio.create_task(part.run()) for part in parts]
        self.tasks.append(asyncio.create_task(self.clock.follow(http)))
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self.tasks:
            task.cancel()
        ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.stack.aclose()
        assert all(isinstance(result, asyncio.CancelledError) for result in ended), ended

    def _price(self, *price: Any) -> None:
        self.prices.append(price)
        self.discovery.on_price(*price)

    def _event(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, events.MarketFound):
            market = event.market
            self.market.subscribe([market.up, market.down])

    def _frame(self, raw: bytes, messages: list[Message]) -> None:
        for message in messages:
            if message.bids is not None and message.asks is not None:
                book = self.books.setdefault(normal_token(message.asset_id), Book())
                book.replace(Side.UP, message.bids, message.asks)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, true: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := true()):
                await asyncio.sleep(0.01)
        return found

    async def market_to_trade(self) -> Market:
        """One that runs and has two minutes left; from then on time goes slowly."""
        market: Market = await self.until(lambda: self._running(120))
        self.up.engine.clock.speed = CALM
        return market

    def _running(self, left_s: int) -> Market | None:
        now = self.up.engine.clock.now
        for event in self.of(events.MarketFound):
            market: Market = event.market
            assert market.start is not None
            if market.start <= now < market.end - left_s * 1_000 and self.books.get(market.up):
                return market
        return None


def _with_host(job: Callable[[Host], Awaitable[None]], client: type[WireGateway] = PolymarketGateway) -> None:
    async def go() -> None:
        settings = ServerSettings(world=WORLD)
        async with running(settings, speed=SPEED, seed=7) as up, Host(up, client) as host:
            await job(host)

    asyncio.run(go())


def test_con_16_whole_windows_are_found_followed_and_resolved_over_the_wire() -> None:
    async def job(host: Host) -> None:
        world = host.up.engine.world
        def settled() -> list[tuple[int, Any]]:
            """Windows whose strike was learnt from the stream and whose result has arrived."""
            resolved = {event.condition_id: event for event in host.of(events.MarketResolved)}
            strikes = host.of(events.StrikeSeen)
            return [(seen.strike, resolved[seen.condition_id]) for seen in strikes if seen.condition_id in resolved]

        for strike, event in await host.until(settled):
            decided, _ = world.resolution(event.condition_id)  # type: ignore[misc]
            assert (strike, event.winner) == (decided.strike, decided.winner)
        found = [event.market for event in host.of(events.MarketFound)]
        assert all(market.rule is SettlementRule.TWAP_60 and market.assumed == () for market in found)
        # The next window is known, or will be in a moment: one may just have begun.
        await host.until(lambda: any(event.market.start > host.clock.now() for event in host.of(events.MarketFound)))
        up = [event for event in host.of(events.StreamChanged) if event.up]
        assert {event.stream for event in up} == {"market", "user", "reference", "spot"}
        assert [event for event in host.of(events.StreamChanged) if not event.up] == []
        await host.until(lambda: len(host.candles) >= 30)
        assert {price[0] for price in host.prices} == {"binance", "chainlink", "twap_60"}
        with host.up.engine.busy():  # it stands still there: here, too, as soon as it is asked
            await host.clock.ask(host.http)
            assert (host.clock._sample_ms, host.clock.speed) == (host.up.engine.clock.now, SPEED)

    _with_host(job)


@each_client
def test_orders_live_through_every_stage_over_the_wire(client: type[WireGateway]) -> None:
    async def job(host: Host) -> None:
        market: Market = await host.market_to_trade()
        gateway = host.gateway
        assert await gateway.balance() == events.BalanceSeen(1_000_000_000, True)
        price = 9_900  # whatever the book does until it arrives: at speed 60 it moves while we sign
        size = market_size(Action.BUY, price, 20_000_000)
        draft = OrderDraft("o1", market.up, Action.BUY, OrderType.FAK, price, size, market.tick, market.neg_risk)
        prepared = await gateway.prepare(draft)
        assert isinstance(prepared, events.Prepared), prepared
        answered = await gateway.post(prepared.request)
        assert answered.outcome == "accepted", answered
        mine = prepared.request.order_id
        filled = await gateway.query_order(mine)
        assert isinstance(filled, events.OrderSeen)

        def confirmed() -> list[Any]:
            """All of its trades; they are confirmed one after the other."""
            rows = [event.row for event in host.of(events.TradeSeen)
                    if event.row.taker_order_id == mine and event.row.status == "CONFIRMED"]  # fmt: skip
            return rows if sum(row.size for row in rows) >= (filled.row.size_matched or 0) > 0 else []

        trades = await host.until(confirmed)
        statuses = [event.row.status for event in host.of(events.TradeSeen) if event.row.trade_id == trades[0].trade_id]
        assert statuses == ["MATCHED", "MINED", "CONFIRMED"]
        bought = sum(row.size for row in {row.trade_id: row for row in trades}.values())
        held = await gateway.token_balance(market.up)
        assert isinstance(held, events.TokenBalanceSeen)
        assert 0 < bought <= size
        assert held.balance == bought
        seen = await gateway.query_order(mine)
        assert isinstance(seen, events.OrderSeen)
        assert seen.row.size_matched == bought
        again = await gateway.post(prepared.request)
        assert (again.outcome, again.code) == ("accepted", "duplicated")
        swept = await gateway.sweep(market.condition_id, 0)
        assert isinstance(swept, events.SweepDone)
        assert swept.complete
        assert {row.trade_id for row in swept.trades} >= {row.trade_id for row in trades}
        counted = await gateway.positions(77)  # POS-04: the data API's own count
        assert isinstance(counted, events.PositionsSeen), counted
        assert (counted.complete, counted.begun) == (True, 77)
        (row,) = counted.rows
        assert (row.token_id, row.condition_id, row.size, row.slug) == (
            market.up, market.condition_id, bought, market.slug
        )
        assert 0 < row.average <= price
        assert row.fees > 0
        found = await gateway.find_market(market.condition_id, market.slug)
        assert isinstance(found, events.MarketFound)
        assert found.market.up == market.up
        other = await gateway.find_market("0x" + "00" * 32, market.slug)
        assert isinstance(other, events.QueryFailed), "another market's slug is not this one"

    _with_host(job, client)


def test_a_resting_order_is_seen_listed_and_cancelled_over_the_wire() -> None:
    async def job(host: Host) -> None:
        market: Market = await host.market_to_trade()
        gateway = host.gateway
        draft = OrderDraft(
            "o1", market.down, Action.BUY, OrderType.GTC, market.tick, 10_000_000, market.tick, market.neg_risk, True
        )
        prepared = await gateway.prepare(draft)
        assert isinstance(prepared, events.Prepared), prepared
        mine = prepared.request.order_id
        answered = await gateway.post(prepared.request)
        assert (answered.outcome, answered.status) == ("accepted", "live")
        await host.until(lambda: [event for event in host.of(events.OrderSeen)
                                  if event.row.order_id == mine and event.row.kind == "PLACEMENT"])  # fmt: skip
        swept = await gateway.sweep(market.condition_id, 0)
        assert isinstance(swept, events.SweepDone)
        assert [row.order_id for row in swept.orders] == [mine]
        assert (await gateway.cancel(mine)).outcome == "canceled"
        assert (await gateway.cancel(mine)).outcome == "gone"
        assert (await gateway.cancel("0x" + "99" * 32)).outcome == "not_found"
        gone = await host.until(lambda: [row for row in (event.row for event in host.of(events.OrderSeen))
                                         if row.order_id == mine and row.kind == "CANCELLATION"])  # fmt: skip
        assert gone[0].size_matched == 0
        assert (await gateway.query_order("0x" + "99" * 32)) == events.OrderNotFound("0x" + "99" * 32)
        assert isinstance(await gateway.query_order(mine), events.OrderSeen | events.OrderNotFound)
        assert await gateway.cancel_all() == []

    _with_host(job)


def test_refusals_of_the_exchange_are_rows_of_the_outcome_table() -> None:
    async def job(host: Host) -> None:
        market: Market = await host.market_to_trade()

        async def code(action: Action, kind: OrderType, price: int, size: int, post_only: bool = False) -> str:
            draft = OrderDraft("o", market.up, action, kind, price, size, market.tick, market.neg_risk, post_only)
            prepared = await host.gateway.prepare(draft)
            assert isinstance(prepared, events.Prepared), prepared
            answered = await host.gateway.post(prepared.request)
            assert answered.outcome == "refused", answered
            return answered.code

        assert await code(Action.BUY, OrderType.GTC, 100, 1_000_000) == "min_size"
        assert await code(Action.BUY, OrderType.GTC, 5_000, 9_000_000_000, True) in ("balance", "post_only_cross")
        assert await code(Action.SELL, OrderType.GTC, 9_900, 10_000_000, True) == "balance"
        assert await code(Action.BUY, OrderType.FAK, 100, 200_000_000) == "fak_killed"
        assert await code(Action.BUY, OrderType.FOK, 100, 200_000_000) == "fok_killed"

    _with_host(job)
