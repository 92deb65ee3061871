"""Every order type and every bulk operation: the same story through both gateways, over the wire and in process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from polyhost.exchange.core import Exchange
from polyhost.exchange.gateway import InProcessGateway
from polyhost.exchange.pathologies import Pathologies
from polyhost.exchange.pathologies.inprocess import FaultyGateway
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.model import commands, events
from polyhost.model.book import Book
from polyhost.model.commands import Command
from polyhost.model.gateway import OrderDraft, OrderRequest
from polyhost.model.market import Market
from polyhost.model.messages import Level
from polyhost.model.money import micros
from polyhost.model.rounding import market_size
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.polymarket.wire_gateway import WireGateway

from ..unhurried import PATIENCE_S
from .both_clients import each_client

KEY = "0x" + "33" * 32
NOBODY = "0x" + "99" * 32
SHARES = micros("10")
E = TypeVar("E")


class Venue(Protocol):
    """A gateway to a market in which somebody offers UP."""

    market: Market

    async def do(self, command: Command) -> list[Any]: ...

    async def ask(self) -> int:
        """Best ask of UP."""
        ...

    def now(self) -> int: ...


class InProcess:
    """An exchange of this process."""

    market = Market("btc-updown-15m-0", "0xc0", "101", "102", MarketMs(900_000), MarketMs(0))

    def __init__(self, faults: dict[str, float] | None = None) -> None:
        self.exchange = Exchange(ExchangeRules(), MarketMs(0))
        self.exchange.add_market(self.market, MarketMs(0))
        self.exchange.open_house("house")
        address = "0x" + "0a" * 20
        self.exchange.open_account(address, micros("1000"))
        self.gateway = (
            InProcessGateway(self.exchange, address, "key-me", 7) if faults is None
            else FaultyGateway(self.exchange, address, "key-me", 7, Pathologies(1, faults))
        )
        for price in (5_000, 5_200):
            self.exchange.place_house("house", "101", Action.SELL, price, micros("1000"), OrderType.GTC, MarketMs(0))

    async def do(self, command: Command) -> list[Any]:
        found = self.gateway.execute(command, MarketMs(0))
        return [*found, *self.gateway.events_of(self.exchange.advance(MarketMs(self.exchange.now + 200)))]

    async def ask(self) -> int:
        return 5_000

    def now(self) -> int:
        return self.exchange.now


class OverTheWire:
    """The official client against the exchange's own server."""

    def __init__(self, gateway: WireGateway, clock: VenueClock, market: Market, http: Any) -> None:
        self.gateway, self.clock, self.market, self._http = gateway, clock, market, http

    async def do(self, command: Command) -> list[Any]:
        return list(await self.gateway.execute(command))

    async def ask(self) -> int:
        body = (await self._http.get("/book", params={"token_id": self.market.up})).json()
        book = Book()
        book.replace(Side.UP, [Level(**one) for one in body["bids"]], [Level(**one) for one in body["asks"]])
        return book.best_ask

    def now(self) -> int:
        return self.clock.now()


def in_process(story: Callable[[Venue], Awaitable[None]], faults: dict[str, float] | None = None) -> None:
    asyncio.run(_started(story, InProcess(faults)))


async def _started(story: Callable[[Venue], Awaitable[None]], venue: Venue) -> None:
    await story(venue)


def over_the_wire(story: Callable[[Venue], Awaitable[None]], client: type[WireGateway]) -> None:
    async def go() -> None:
        world = WorldSettings(symbols=("BTC",), durations_s=(900,), density=10.0)
        async with running(ServerSettings(world=world), speed=2.0, seed=7) as up:
            places, clock = endpoints_at(up.url, up.ws_url), VenueClock()
            gateway = client(places, KEY, clock=clock, selftest=False)
            http = http_client(places.clob, clock, live=False)
            try:
                await gateway.connect()
                await clock.ask(http)
                async with asyncio.timeout(PATIENCE_S):
                    market = await _next(Catalogue(http, http), clock)
                    venue = OverTheWire(gateway, clock, market, http)
                    while await venue.ask() > 9_000:
                        await asyncio.sleep(0.05)
                    await story(venue)
            finally:
                await http.aclose()
                await gateway.close()

    asyncio.run(go())


async def _next(catalogue: Catalogue, clock: VenueClock) -> Market:
    """The window that is still to open: whatever the time of day, its price is near one half."""
    start = (clock.now() // 900_000 + 1) * 900
    while (found := await catalogue.market(f"btc-updown-15m-{start}")) is None:
        await asyncio.sleep(0.1)
    return found


async def prepared(
    venue: Venue, kind: str, price: int, size: int = SHARES, *, side: Side = Side.UP, lives_s: int = 0,
    post_only: bool = False,
) -> OrderRequest:
    market = venue.market
    expiration = venue.now() // 1_000 + lives_s if lives_s else 0
    draft = OrderDraft(
        "ref", market.token(side), Action.BUY, OrderType(kind), price, size, market.tick, market.neg_risk, post_only,
        expiration,
    )
    (event,) = [e for e in await venue.do(commands.Prepare(draft)) if not isinstance(e, events.OrderSeen)]
    assert isinstance(event, events.Prepared), event
    return event.request


def of(found: list[Any], kind: type[E]) -> list[E]:
    return [event for event in found if isinstance(event, kind)]


async def posted(venue: Venue, requests: list[OrderRequest]) -> list[tuple[str, str]]:
    """One batch; (outcome, code) of each order, in the order asked."""
    answers = of(await venue.do(commands.PostMany(tuple(requests))), events.PostAnswered)
    by_id = {answer.order_id: answer for answer in answers}
    assert len(answers) == len(requests) == len(by_id)
    return [(by_id[request.order_id].outcome, by_id[request.order_id].code) for request in requests]


async def listed(venue: Venue) -> list[str]:
    (done,) = of(await venue.do(commands.Sweep(venue.market.condition_id, 0)), events.SweepDone)
    assert done.complete
    return sorted(row.order_id for row in done.orders)


async def every_type(venue: Venue) -> None:
    """CON-11: GTC, GTD, FAK, FOK and post-only in one batch, each answered by itself; one leg is refused."""
    tick, far = venue.market.tick, 9_900  # it meets the best ask wherever that goes meanwhile
    least = market_size(Action.BUY, far, SHARES)
    requests = [
        await prepared(venue, "GTC", tick),
        await prepared(venue, "GTD", tick, lives_s=400),
        await prepared(venue, "GTC", tick, micros("1")),
        await prepared(venue, "GTC", 2 * tick, post_only=True),
        await prepared(venue, "FOK", tick, micros("200")),
        await prepared(venue, "FAK", far, least),
        await prepared(venue, "GTC", far, post_only=True),
    ]
    found = await posted(venue, requests)
    assert [outcome for outcome, _ in found] == [
        "accepted", "accepted", "refused", "accepted", "refused", "accepted", "refused",
    ]
    assert [found[n][1] for n in (2, 4, 6)] == ["min_size", "fok_killed", "post_only_cross"]
    assert await listed(venue) == sorted(requests[n].order_id for n in (0, 1, 3))


async def every_cancel(venue: Venue) -> None:
    """CON-11: one, many, a market, everything; each id is answered by itself."""
    tick = venue.market.tick
    requests = [await prepared(venue, "GTC", tick) for _ in range(6)]
    assert await posted(venue, requests) == [("accepted", "live")] * 6
    ids = [request.order_id for request in requests]

    async def outcomes(command: Command) -> dict[str, str]:
        return {e.order_id: e.outcome for e in of(await venue.do(command), events.CancelAnswered)}

    assert await outcomes(commands.Cancel(ids[0])) == {ids[0]: "canceled"}
    many = await outcomes(commands.CancelMany((ids[0], ids[1], NOBODY, ids[2])))
    assert many == {ids[0]: "gone", ids[1]: "canceled", NOBODY: "not_found", ids[2]: "canceled"}
    assert await listed(venue) == sorted(ids[3:])
    assert await outcomes(commands.CancelMarket("0x" + "dd" * 32)) == {}
    assert await outcomes(commands.CancelMarket(venue.market.condition_id)) == dict.fromkeys(ids[3:], "canceled")
    last = await prepared(venue, "GTC", tick)
    assert await posted(venue, [last, await prepared(venue, "GTC", tick, side=Side.DOWN)]) == [("accepted", "live")] * 2
    everything = await outcomes(commands.CancelEverything())
    assert last.order_id in everything
    assert set(everything.values()) == {"canceled"}
    assert await listed(venue) == []


def test_con_10_con_11_every_type_in_one_batch_in_process() -> None:
    in_process(every_type)


def test_con_11_every_way_to_cancel_in_process() -> None:
    in_process(every_cancel)


@each_client
def test_con_10_con_11_every_type_and_every_cancel_over_the_wire(client: type[WireGateway]) -> None:
    async def both(venue: Venue) -> None:
        await every_type(venue)
        await venue.do(commands.CancelEverything())
        await every_cancel(venue)

    over_the_wire(both, client)


def test_con_10_what_refuses_or_loses_a_batch_does_so_for_every_order_in_it() -> None:
    """Too many requests, an error page, a lost connection: none of the legs is answered otherwise than the others."""

    async def refused(venue: Venue) -> None:
        requests = [await prepared(venue, "GTC", 100) for _ in range(4)]
        assert await posted(venue, requests) == [("refused", "rate_limit")] * 4

    async def broken(venue: Venue) -> None:
        requests = [await prepared(venue, "GTC", 100) for _ in range(4)]
        assert await posted(venue, requests) == [("unknown", "server_error")] * 4
        assert await listed(venue) == sorted(request.order_id for request in requests), "and yet they rest"

    in_process(refused, {"rate_limit": 1.0})
    in_process(broken, {"error_but_filled": 1.0})


def test_con_10_one_lost_answer_is_the_answer_of_all() -> None:
    """A chance of a third for each order, drawn for the batch: never some lost and some not."""
    seen: set[tuple[str, ...]] = set()

    async def half(venue: Venue) -> None:
        for _ in range(12):
            requests = [await prepared(venue, "GTC", 100) for _ in range(3)]
            seen.add(tuple(outcome for outcome, _ in await posted(venue, requests)))
            await venue.do(commands.CancelEverything())

    in_process(half, {"error_but_filled": 0.2})
    assert seen == {("accepted",) * 3, ("unknown",) * 3}


