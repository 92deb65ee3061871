"""What the two official clients do when the exchange misbehaves: one real run for each pathology and client.

``python tests/wire/seam_clients.py`` prints the table of docs/seam.md. What a caller of the client gets to see is said
in a few words, without ids and times, so that a run can be compared with the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import msgspec
import py_clob_client_v2.http_helpers.helpers as http_helpers
from polymarket.streams import CryptoPriceSpec, MarketSpec, UserSpec
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    AssetType,
    BalanceAllowanceParams,
    MarketOrderArgsV2,
    OrderArgsV2,
    OrderPayload,
    OrderType,
)

from polyhost.exchange.pathologies.catalogue import BY_NAME, WIRE
from polyhost.exchange.pathologies.chance import Episode
from polyhost.model import words
from polyhost.model.money import price_text

UNIFIED = "polymarket-client 0.14.0"
SECOND = "py-clob-client-v2 1.2.1"
CLIENTS = (UNIFIED, SECOND)
PATIENCE_S = 60.0
"""Wall seconds in which an event that is to come has come, on any machine."""
PATIENCE_MARKET_MS = 15_000
"""An event that did not come while market time went on by so much is not to come: the longest delay is ten seconds."""
TURNS = 200
"""Turns of the loop in which a client that has read a frame gives it to its caller."""
NO_STREAMS = "has no streams"


class Result(NamedTuple):
    """What came of a call, in words, and the order's id where there is one."""

    words: str
    order_id: str = ""


def told(error: BaseException) -> str:
    """An exception as its caller sees it: name, status and what else it says about the venue."""
    parts = [type(error).__name__]
    for name in ("status", "status_code", "restriction"):
        value = getattr(error, name, None)
        if value is not None:
            parts.append(str(value))
    return f"`{' '.join(parts)}`"


async def tried(call: Awaitable[Any]) -> Any:
    """The result, or the exception as a result."""
    try:
        return await call
    except Exception as error:
        return error


class Unified:
    """polymarket-client behind the few calls that the scenarios make."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def limit(self, token: str, side: str, price: str, size: str) -> Result:
        return self._posted(await tried(self._limit(token, side, price, size)))

    async def _limit(self, token: str, side: str, price: str, size: str) -> Any:
        signed = await self.client.create_limit_order(asset_id=token, price=price, size=size, side=side)
        return await self.client.post_order(signed)

    async def buy(self, token: str, amount: str, price: str) -> Result:
        async def both() -> Any:
            return await self.client.post_order(
                await self.client.create_market_order(asset_id=token, side="BUY", amount=amount, max_price=price)
            )

        return self._posted(await tried(both()))

    def _posted(self, answer: Any) -> Result:
        return Result(told(answer)) if isinstance(answer, Exception) else Result(answer.status, answer.order_id)

    async def cancel(self, order_id: str) -> str:
        answer = await tried(self.client.cancel_order(order_id=order_id))
        if isinstance(answer, Exception):
            return told(answer)
        return "canceled" if answer.canceled else f"not_canceled: {next(iter(answer.not_canceled.values()))}"

    async def order(self, order_id: str) -> str:
        answer = await tried(self.client.get_order(order_id=order_id))
        return told(answer) if isinstance(answer, Exception) else f"{answer.status} {answer.size_matched:f}"

    async def open(self) -> int:
        return len((await self.client.list_open_orders().first_page()).items)

    async def trades(self) -> list[str]:
        return [trade.status for trade in (await self.client.list_account_trades().first_page()).items]

    async def maker_tokens(self) -> list[str]:
        (trade,) = (await self.client.list_account_trades().first_page()).items
        return [part.asset_id for part in trade.maker_orders]

    async def shares(self, token: str) -> int:
        held = await self.client.get_balance_allowance(asset_type="CONDITIONAL", asset_id=token)
        return int(held.balance)

    async def beat(self, ident: str) -> Result:
        answer = await tried(self.client.send_order_heartbeat(heartbeat_id=ident))
        return Result(told(answer)) if isinstance(answer, Exception) else Result("accepted", answer.heartbeat_id)

    async def listed(self, market: Any) -> str:
        answer = await tried(self.client.get_market(slug=market.slug))
        return told(answer) if isinstance(answer, Exception) else "found"


class Second:
    """py-clob-client-v2, each call in a thread."""

    def __init__(self, client: ClobClient) -> None:
        self.client = client

    async def limit(self, token: str, side: str, price: str, size: str) -> Result:
        args = OrderArgsV2(token_id=token, price=float(price), size=float(size), side=side)
        return await self._post(lambda: self.client.post_order(self.client.create_order(args)))

    async def buy(self, token: str, amount: str, price: str) -> Result:
        args = MarketOrderArgsV2(token_id=token, amount=float(amount), side="BUY", price=float(price))
        return await self._post(
            lambda: self.client.post_order(self.client.create_market_order(args), OrderType.FAK)
        )

    async def _post(self, call: Callable[[], Any]) -> Result:
        answer = await tried(asyncio.to_thread(call))
        return Result(told(answer)) if isinstance(answer, Exception) else Result(answer["status"], answer["orderID"])

    async def cancel(self, order_id: str) -> str:
        answer = await tried(asyncio.to_thread(self.client.cancel_order, OrderPayload(orderID=order_id)))
        if isinstance(answer, Exception):
            return told(answer)
        return "canceled" if answer["canceled"] else f"not_canceled: {next(iter(answer['not_canceled'].values()))}"

    async def order(self, order_id: str) -> str:
        answer = await tried(asyncio.to_thread(self.client.get_order, order_id))
        return told(answer) if isinstance(answer, Exception) else f"{answer['status']} {answer['size_matched']}"

    async def open(self) -> int:
        return len(await asyncio.to_thread(self.client.get_open_orders))

    async def trades(self) -> list[str]:
        rows = await asyncio.to_thread(self.client.get_trades)
        return [row["status"].removeprefix("TRADE_STATUS_") for row in rows]

    async def maker_tokens(self) -> list[str]:
        (trade,) = await asyncio.to_thread(self.client.get_trades)
        return [part["asset_id"] for part in trade["maker_orders"]]

    async def shares(self, token: str) -> int:
        params = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=token)
        return int((await asyncio.to_thread(self.client.get_balance_allowance, params))["balance"])

    async def beat(self, ident: str) -> Result:
        answer = await tried(asyncio.to_thread(self.client.post_heartbeat, ident))
        return Result(told(answer)) if isinstance(answer, Exception) else Result("accepted", answer["heartbeat_id"])

    async def listed(self, market: Any) -> str:
        return "it reads no catalogue"


@contextmanager
def _own_http() -> Iterator[None]:
    """The second client keeps one module-wide connection pool: here each run has its own, and closes it."""
    kept = http_helpers._http_client
    with httpx.Client(http2=True, timeout=PATIENCE_S) as http:
        http_helpers._http_client = http
        try:
            yield
        finally:
            http_helpers._http_client = kept


@asynccontextmanager
async def opened(wire: Any, up: Any, name: str, **options: Any) -> AsyncIterator[Any]:
    """The client by its name; ``options`` are the second client's own."""
    if name == UNIFIED:
        async with wire.official(up) as client:
            yield Unified(client)
        return

    def connected() -> ClobClient:
        client = ClobClient(host=up.url, chain_id=137, key=wire.KEY, **options)
        client.set_api_creds(client.create_or_derive_api_key())
        return client

    with _own_http():
        yield Second(await asyncio.to_thread(connected))


# --- scenarios --------------------------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """Where a scenario plays: the exchange, the client, a maker with another key, and the pathology to begin."""

    wire: Any
    up: Any
    client: Any
    maker: Any
    name: str

    @property
    def market(self) -> Any:
        return next(market for market in self.up.engine.world.listing(False) if market.start is None)

    def begin(self) -> None:
        """From now on it strikes, or its episode goes on."""
        chance = self.up.engine.pathologies
        chance.probabilities[self.name] = 1.0
        period, now = BY_NAME[self.name].period_ms, self.up.engine.clock.now
        for number in (now // period, now // period + 1) if period else ():
            chance._episodes[self.name, number] = Episode(now - 6_000, now + 3_600_000)

    def end(self) -> None:
        self.up.engine.pathologies.probabilities.clear()

    async def passes(self, market_s: float) -> None:
        until = self.up.engine.clock.now + 1_000 * market_s
        while self.up.engine.clock.now < until:
            await asyncio.sleep(0.005)

    async def offer(self, size: str = "20") -> None:
        """Somebody sells UP at 0.55 (by a bid for DOWN)."""
        await Unified(self.maker).limit(self.market.down, "BUY", "0.45", size)


Play = Callable[[Scene], Awaitable[str]]
PLAYS: dict[str, Play] = {}


def play(*names: str) -> Callable[[Play], Play]:
    def known(scene: Play) -> Play:
        PLAYS.update(dict.fromkeys(names, scene))
        return scene

    return known


def rests(count: int) -> str:
    return {0: "no order rests", 1: "the order rests"}.get(count, f"{count} orders rest")


@play("error_but_filled", "timeout_but_filled", "update_before_response")
async def _a_post(scene: Scene) -> str:
    scene.begin()
    posted = await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
    scene.end()
    return f"post: {posted.words}; {rests(await scene.client.open())}"


@play("http_425", "cancel_only", "post_only_restart", "rate_limit")
async def _a_closed_venue(scene: Scene) -> str:
    first = await scene.client.limit(scene.market.up, "BUY", "0.20", "10")
    scene.begin()
    posted = await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
    cancelled = await scene.client.cancel(first.order_id)
    scene.end()
    return f"post: {posted.words}; cancel: {cancelled}; {rests(await scene.client.open())}"


@play("partial_then_reject")
async def _a_part(scene: Scene) -> str:
    await scene.offer("6")
    scene.begin()
    posted = await scene.client.limit(scene.market.up, "BUY", "0.55", "10")
    return f"post: {posted.words}; trades: {len(await scene.client.trades())}; {rests(await scene.client.open())}"


@play("cancel_404", "cancel_race")
async def _a_cancel(scene: Scene) -> str:
    posted = await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
    scene.begin()
    cancelled = await scene.client.cancel(posted.order_id)
    matched = (await scene.client.order(posted.order_id)).split()[1]
    rest = await scene.client.open()
    if scene.name == "cancel_race":  # wholly or by half: the order's own id decides
        return f"cancel: canceled or not_canceled, no exception; {'some' if float(matched) else 'nothing'} matched"
    return f"cancel: {cancelled}; {rests(rest)}, {'some' if float(matched) else 'nothing'} matched"


@play("phantom_lock")
async def _a_lock(scene: Scene) -> str:
    await scene.offer("1000")
    scene.begin()
    await scene.client.buy(scene.market.up, "400", "0.55")
    return f"next post: {(await scene.client.limit(scene.market.up, 'BUY', '0.50', '1000')).words}"


@play("late_fill")
async def _a_late_fill(scene: Scene) -> str:
    await scene.offer()
    scene.begin()
    bought = await scene.client.buy(scene.market.up, "5.5", "0.55")
    order, trades = await scene.client.order(bought.order_id), await scene.client.trades()
    return f"post: {bought.words}; order: {order}; trades: {len(trades)}"


@play("ghost_fill")
async def _a_ghost(scene: Scene) -> str:
    await scene.offer()
    scene.begin()
    bought = await scene.client.buy(scene.market.up, "5.5", "0.55")
    await scene.passes(95)
    (trade,), order = await scene.client.trades(), await scene.client.order(bought.order_id)
    shares = await scene.client.shares(scene.market.up)
    return f"post: {bought.words}; later the trade: {trade}; order: {order}; shares: {shares}"


@play("settlement_late", "balance_lag", "balance_zero_after_fill")
async def _a_balance(scene: Scene) -> str:
    await scene.offer()
    scene.begin()
    await scene.client.buy(scene.market.up, "5.5", "0.55")
    await scene.passes(2.1 if scene.name != "settlement_late" else 10)
    shares = await scene.client.shares(scene.market.up)
    sold = await scene.client.limit(scene.market.up, "SELL", "0.60", "10")
    return f"trade: {(await scene.client.trades())[0]}; shares: {shares // 1_000_000} of 10; sell: {sold.words}"


@play("cross_match")
async def _a_crossing(scene: Scene) -> str:
    engine, market = scene.up.engine, scene.market
    scene.begin()
    engine.world.exchange.open_house("crossing")
    _, said = engine.world.exchange.place_house(
        "crossing", market.up, words.Action.SELL, 5_000, 20_000_000, words.OrderType.GTC, engine.clock.now
    )
    engine._give_out(said, engine.clock.now)
    bought = await scene.client.buy(market.up, "5", "0.50")
    tokens = await scene.client.maker_tokens()
    return f"post: {bought.words}; the maker's part names {'the other token' if tokens == [market.down] else 'ours'}"


@play("heartbeat_lost")
async def _a_heartbeat(scene: Scene) -> str:
    await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
    first = await scene.client.beat("")
    scene.begin()
    lost = await scene.client.beat(first.order_id)
    await asyncio.sleep(0.1)
    scene.end()
    again = await scene.client.beat(first.order_id)
    return f"heartbeat: {lost.words}, then {again.words}; {rests(await scene.client.open())}"


@play("tick_flip")
async def _a_tick(scene: Scene) -> str:
    """Fine while the client knows the coarse tick, then coarse while it knows the fine one."""
    desk = scene.up.engine.world.exchange._desk
    state = scene.up.engine.world.exchange._states[scene.market.condition_id]

    def flip(tick: int) -> None:
        desk.set_tick(state, tick)
        now = scene.up.engine.clock.now
        scene.up.engine._give_out(scene.up.engine.world.exchange.advance(now), now)

    await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
    flip(10)
    fine = await scene.client.limit(scene.market.up, "BUY", "0.305", "10")
    flip(100)
    coarse = await scene.client.limit(scene.market.up, "BUY", "0.307", "10")
    shown = [await _resting(scene, posted) for posted in (fine, coarse)]
    return f"0.305 on the new fine tick: {shown[0]}; 0.307 after it went back: {shown[1]}"


async def _resting(scene: Scene, posted: Result) -> str:
    """At which price an order rests, or why it does not."""
    order = scene.up.engine.world.exchange.stored_order(posted.order_id)
    return posted.words if order is None else f"rests at {price_text(order.row.price)}"


@play("gamma_late")
async def _a_late_listing(scene: Scene) -> str:
    return f"market by slug: {await scene.client.listed(scene.wire.last_market(scene.up))}"


@play("clock_skew")
async def _a_skewed_clock(scene: Scene) -> str:
    return f"post: {(await scene.client.limit(scene.market.up, 'BUY', '0.30', '10')).words}"


# --- streams ----------------------------------------------------------------------------------------------------------


async def _collect(stream: Any, seen: list[Any]) -> None:
    try:
        async for event in stream:
            seen.append(event)
    except Exception as error:
        seen.append(error)


class Stream:
    """A subscription of the unified client and what it has delivered so far."""

    def __init__(self, scene: Scene, *specs: Any) -> None:
        self._client = scene.client
        self._engine = scene.up.engine
        self._specs = list(specs)
        self.seen: list[Any] = []

    async def __aenter__(self) -> Stream:
        heard = self._subscribers()
        self._stream = await self._client.client.subscribe(self._specs)
        self._task = asyncio.create_task(_collect(self._stream, self.seen))
        async with asyncio.timeout(PATIENCE_S):
            while self._subscribers() == heard:
                await asyncio.sleep(0.01)
        await self._read()
        return self

    def _subscribers(self) -> list[int]:
        """How many the exchange tells of something, hub by hub."""
        engine = self._engine
        return [len(each) for each in (engine.market_hub._followers, engine.user_hub._owners, engine.live_hub._wants)]

    async def _read(self) -> None:
        """Everything that the exchange has said so far is with the caller."""
        async with asyncio.timeout(PATIENCE_S):
            while any(each._queue or each.lag_s(monotonic()) for each in self._engine.crowd.sockets):
                await asyncio.sleep(0.005)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._stream.close()

    async def soon(self, true: Callable[[], bool]) -> None:
        """Wait a while of market time for something to become true; it may not."""
        until = self._engine.clock.now + PATIENCE_MARKET_MS
        async with asyncio.timeout(PATIENCE_S):
            while not true() and self._engine.clock.now < until:
                await asyncio.sleep(0.01)
        await self._read()

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.seen if getattr(event, "type", "") == kind]

    def trouble(self) -> str:
        errors = [told(event) for event in self.seen if isinstance(event, Exception)]
        return errors[0] if errors else "nothing is raised"


@play("dup_trade", "trade_before_order", "missing_cancel_event", "empty_size_matched", "ws_reorder")
async def _user_events(scene: Scene) -> str:
    if isinstance(scene.client, Second):
        return NO_STREAMS
    async with Stream(scene, UserSpec()) as stream:
        scene.begin()
        return await _EVENTS[scene.name](scene, stream)


async def _duplicates(scene: Scene, stream: Stream) -> str:
    await scene.offer()
    await scene.client.buy(scene.market.up, "5.5", "0.55")
    await stream.soon(lambda: len(stream.of("trade")) >= 6)
    count = len(stream.of("trade"))
    return f"trade events of one trade delivered: {count} instead of 3, {stream.trouble()}"


async def _early_trade(scene: Scene, stream: Stream) -> str:
    await scene.offer()
    await scene.client.buy(scene.market.up, "5.5", "0.55")
    await stream.soon(lambda: bool(stream.of("order") and stream.of("trade")))
    kinds = [event.type for event in stream.seen]
    order = "before" if kinds.index("trade") < kinds.index("order") else "after"
    return f"the trade is delivered {order} its order, {stream.trouble()}"


async def _no_cancel(scene: Scene, stream: Stream) -> str:
    posted = await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
    await scene.client.cancel(posted.order_id)
    await stream.soon(lambda: len(stream.of("order")) > 1)
    return f"order events delivered: {len(stream.of('order'))} of 2, {stream.trouble()}"


async def _killed(scene: Scene, stream: Stream) -> str:
    bought = await scene.client.buy(scene.market.up, "5", "0.50")
    await stream.soon(lambda: bool(stream.seen))
    return f"post: {bought.words}; CANCELLATION events delivered: {len(stream.of('order'))} of 1, {stream.trouble()}"


async def _overtaken(scene: Scene, stream: Stream) -> str:
    posted = [(await scene.client.limit(scene.market.up, "BUY", "0.30", "10")).order_id for _ in range(8)]
    await stream.soon(lambda: len(stream.of("order")) == len(posted))
    seen = [event.payload.id for event in stream.of("order")]
    how = "in the order sent" if seen == posted else "in another order"
    return f"{len(seen)} of {len(posted)} events delivered, {how}, {stream.trouble()}"


_EVENTS: dict[str, Callable[[Scene, Stream], Awaitable[str]]] = {
    "dup_trade": _duplicates, "trade_before_order": _early_trade, "missing_cancel_event": _no_cancel,
    "empty_size_matched": _killed, "ws_reorder": _overtaken,
}


@play("ws_freeze")
async def _a_frozen_stream(scene: Scene) -> str:
    if isinstance(scene.client, Second):
        return NO_STREAMS
    async with Stream(scene, UserSpec()) as stream:
        scene.begin()
        await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
        await stream.soon(lambda: bool(stream.seen))
        return f"events delivered: {len(stream.seen)} of 1, {stream.trouble()}"


@play("ws_gap")
async def _a_broken_stream(scene: Scene) -> str:
    if isinstance(scene.client, Second):
        return NO_STREAMS
    async with Stream(scene, UserSpec()) as stream:
        scene.begin()
        await asyncio.sleep(0.1)
        await scene.client.limit(scene.market.up, "BUY", "0.30", "10")
        scene.end()
        lost = len(stream.of("order"))
        for number in range(40):
            if stream.of("order"):
                break
            await scene.client.limit(scene.market.up, "BUY", f"0.{20 + number % 10}", "10")
            await asyncio.sleep(0.1)
        after = "delivered again" if stream.of("order") else "not delivered"
        return f"in the gap: {lost} of 1 events; after it: {after}; {stream.trouble()}, no event tells of the gap"


@play("market_resolved_missing")
async def _a_result(scene: Scene) -> str:
    if isinstance(scene.client, Second):
        return NO_STREAMS
    market = scene.market
    async with Stream(scene, MarketSpec(asset_ids=[market.up], custom_feature_enabled=True)) as stream:
        scene.begin()
        scene.wire.decide(scene.up, market, words.Side.UP)
        await stream.soon(lambda: bool(stream.of("market_resolved")))
        return f"market_resolved delivered: {len(stream.of('market_resolved'))} of 1, {stream.trouble()}"


@play("price_freeze", "spot_freeze")
async def _frozen_prices(scene: Scene) -> str:
    if isinstance(scene.client, Second):
        return NO_STREAMS
    if scene.name == "spot_freeze":
        return "has no Binance streams"
    scene.begin()
    async with Stream(scene, CryptoPriceSpec(symbols=["btcusd"])) as stream:
        await stream.soon(lambda: bool(stream.of("update")))
        return f"updates delivered: {len(stream.of('update'))}, {stream.trouble()}"


# --- runs -------------------------------------------------------------------------------------------------------------

SPEEDS = {"late_fill": 1.0, "timeout_but_filled": 50.0, "ghost_fill": 100.0, "settlement_late": 50.0, "dup_trade": 20.0}


def observe(wire: Any, name: str, client: str) -> str:
    """What a caller of this client sees of this pathology, in one run on an exchange of its own."""

    async def body(up: Any) -> str:
        if name not in ("clock_skew", "gamma_late"):
            up.engine.pathologies.probabilities.clear()
        async with opened(wire, up, client) as one, wire.official(up, wire.OTHER_KEY) as maker:
            return await PLAYS[name](Scene(wire, up, one, maker, name))

    settings = msgspec.structs.replace(wire.QUIET, pathologies={name: 1.0})
    found: str = wire.on_exchange(body, settings=settings, speed=SPEEDS.get(name, 10.0))
    return found


def rows(wire: Any) -> Iterator[str]:
    """The lines of the table."""
    yield f"| pathology | {UNIFIED} | {SECOND} |"
    yield "| --- | --- | --- |"
    for name in (name for name, one in BY_NAME.items() if WIRE in one.layers):
        unified, second = (observe(wire, name, client) for client in CLIENTS)
        yield f"| `{name}` | {unified} | {'the same' if second == unified else second} |"


def _conftest() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    return importlib.import_module("tests.wire.conftest")


if __name__ == "__main__":
    from loguru import logger

    logger.remove()
    for line in rows(_conftest()):
        print(line, flush=True)
