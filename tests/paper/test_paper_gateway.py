"""The gateway of a paper account: answers and events in order, on the clock, and never before they are on the disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.errors import ConfigError
from polyhost.model import commands, events
from polyhost.model.events import Event
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import micros, ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side
from polyhost.service.paper import PaperGateway
from polyhost.service.paper_file import PaperFile
from polyhost.settings import Configuration
from polyhost.venue.contract import Gateway

from .paper_bench import START, UP, book_message, market, settings

FAST = 1_000.0
"""Market ms a wall ms: what is waited for is a matter of some loops."""


class QuickClock:
    """Market time that the loop's own time drives, very fast; ``jump`` moves it."""

    def __init__(self) -> None:
        self.base = 0

    def now(self) -> MarketMs:
        return MarketMs(START + self.base + int(asyncio.get_running_loop().time() * 1_000 * FAST))

    def wall_seconds(self, market_ms: float) -> float:
        return market_ms / 1_000 / FAST


class Life:
    """One life of a host with a paper account."""

    def __init__(self, folder: Path, given: Configuration) -> None:
        self.path = folder / "paper.state"
        self.told: list[Event] = []
        self.clock = QuickClock()
        self.file = PaperFile(self.path, given.host.account)
        self.gateway = PaperGateway(given, self.file, self.clock, self.told.append)
        self.market = market(start=self.clock_start, end=MarketMs(self.clock_start + 10**12))
        self.loop_task: asyncio.Task[None] | None = None

    @property
    def clock_start(self) -> MarketMs:
        return self.clock.now()

    async def begin(self) -> None:
        await self.gateway.connect()
        self.loop_task = asyncio.create_task(self.gateway.run())
        self.gateway.follow(self.market)
        self.gateway.frame([book_message({"0.48": "30"}, {"0.52": "20"})])
        await asyncio.sleep(0)

    async def die(self) -> None:
        """Killed: nothing is written any more."""
        assert self.loop_task is not None
        self.loop_task.cancel()
        await asyncio.gather(self.loop_task, return_exceptions=True)

    async def order(self, action: str, price: str, size: str, kind: str = "GTC") -> events.PostAnswered:
        draft = OrderDraft("r", UP, Action(action), OrderType(kind), ticks(price), micros(size), 100, False)
        (prepared,) = await self.gateway.execute(commands.Prepare(draft))
        assert isinstance(prepared, events.Prepared)
        (answer,) = await self.gateway.execute(commands.Post(prepared.request))
        assert isinstance(answer, events.PostAnswered)
        return answer

    async def sweep(self) -> events.SweepDone:
        (swept,) = await self.gateway.execute(commands.Sweep("", 0))
        assert isinstance(swept, events.SweepDone)
        return swept


def lives(folder: Path, *scenes: Callable[[Life], Awaitable[None]], given: Configuration | None = None) -> None:
    """Each scene is a life of its own over the same file, killed at its end."""

    async def one(scene: Callable[[Life], Awaitable[None]]) -> None:
        life = Life(folder, given or settings())
        await life.begin()
        await scene(life)
        await life.die()

    for scene in scenes:
        asyncio.run(one(scene))


def test_ops_06_paper_keeps_the_gateways_contract(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        assert isinstance(life.gateway, Gateway)

    lives(tmp_path, scene)


def test_ops_06_a_post_is_answered_and_then_its_fills_are_told_in_order(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        heard: list[str] = []
        answer = asyncio.ensure_future(life.order("BUY", "0.52", "10", "FAK"))
        answer.add_done_callback(lambda _: heard.append("answer"))
        assert (await answer).status == "matched"
        while sum(isinstance(each, events.TradeSeen) for each in life.told) < 3:
            await asyncio.sleep(0.001)
        assert isinstance(life.told[0], events.StreamChanged)
        kinds = [each.row.status for each in life.told if isinstance(each, events.TradeSeen)]
        assert kinds == ["MATCHED", "MINED", "CONFIRMED"]
        assert life.told.index(next(e for e in life.told if isinstance(e, events.OrderSeen))) == 1

    lives(tmp_path, scene)


def test_ops_06_a_killed_host_finds_its_orders_fills_and_money_again(tmp_path: Path) -> None:
    found: dict[str, Any] = {}

    async def trades(life: Life) -> None:
        await life.order("BUY", "0.52", "10", "FAK")
        found["resting"] = (await life.order("BUY", "0.45", "20")).order_id
        found["cash"] = await life.gateway.balance()

    async def looks(life: Life) -> None:
        swept = await life.sweep()
        assert [row.order_id for row in swept.orders] == [found["resting"]]
        assert [(row.size, row.price) for row in swept.trades] == [(micros("10"), ticks("0.52"))]
        assert await life.gateway.balance() == found["cash"]

    lives(tmp_path, trades, looks, looks)


def test_ops_06_nothing_is_told_that_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the venue does not answer; once there is room it does, and nothing was lost."""

    async def scene(life: Life) -> None:
        full = OSError(28, "No space left on device")

        def refuses(*_: object) -> None:
            raise full

        monkeypatch.setattr(life.file._store, "append", refuses)
        monkeypatch.setattr(life.file._store, "save", refuses)
        posted = asyncio.ensure_future(life.order("BUY", "0.52", "10", "FAK"))
        await asyncio.sleep(0.05)
        assert not posted.done()
        assert not any(isinstance(each, events.TradeSeen) for each in life.told)
        monkeypatch.undo()
        await life.gateway.reconnect()
        assert (await posted).status == "matched"

    async def after(life: Life) -> None:
        assert len((await life.sweep()).trades) == 1

    lives(tmp_path, scene, after)


def test_a_state_of_another_account_or_a_broken_one_is_refused_with_its_file(tmp_path: Path) -> None:
    async def nothing(life: Life) -> None:
        return

    lives(tmp_path, nothing)
    other = Configuration.model_validate({"host": {"account": "other"}})
    with pytest.raises(ConfigError, match=r"belongs to the account 'main', not 'other'"):
        lives(tmp_path, nothing, given=other)
    (tmp_path / "paper.state").write_text(json.dumps({"version": 1, "generation": 1, "account": "main"}))
    with pytest.raises(ConfigError, match="cannot go on"):
        lives(tmp_path, nothing)


def test_a_line_that_the_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    async def trades(life: Life) -> None:
        await life.order("BUY", "0.45", "20")

    async def looks(life: Life) -> None:
        assert len((await life.sweep()).orders) == 1

    lives(tmp_path, trades)
    log = tmp_path / "paper.state.log"
    log.write_bytes(log.read_bytes() + b'{"type":"kept","mark')
    lives(tmp_path, looks)


def test_ops_06_results_and_foreign_markets_are_asked_of_the_venue_s_catalogue(tmp_path: Path) -> None:
    class Catalogue:
        def __init__(self, known: Market) -> None:
            self.known = known

        async def market(self, slug: str) -> Market | None:
            return self.known if slug == self.known.slug else None

        async def result(self, condition_id: str, slug: str) -> events.MarketResolved | None:
            return events.MarketResolved(condition_id, Side.DOWN, "test")

    async def scene(life: Life) -> None:
        known = life.market
        life.gateway._catalogue = Catalogue(known)
        (found,) = await life.gateway.execute(commands.FindMarket(known.condition_id, known.slug))
        assert found == events.MarketFound(known)
        (missed,) = await life.gateway.execute(commands.FindMarket("0xother", known.slug))
        assert isinstance(missed, events.QueryFailed)
        resting = (await life.order("BUY", "0.45", "20")).order_id
        (result,) = await life.gateway.execute(commands.QueryResult(known.condition_id, known.slug))
        assert isinstance(result, events.MarketResolved)
        (seen,) = await life.gateway.execute(commands.QueryOrder(resting))
        assert isinstance(seen, events.OrderSeen)
        assert seen.row.status == "CANCELED_MARKET_RESOLVED", "the exchange heard of it, too, and first"

    lives(tmp_path, scene)


def test_what_has_no_meaning_for_paper_does_nothing(tmp_path: Path) -> None:
    async def scene(life: Life) -> None:
        assert await life.gateway.notifications() == []
        await life.gateway.drop_notifications([1])
        assert (await life.gateway.heartbeat("id")).accepted
        assert await life.gateway.warm(life.market)
        assert (await life.gateway.approve()).done
        seen = await life.gateway.examine(["BTC"])
        assert (seen.collateral, seen.missing, set(seen.problems)) == (
            micros("1000"), (), {"user_stream", "price_stream"}
        )
        with pytest.raises(ConfigError, match=r"exchange\.builders"):
            await life.gateway.builder("0x" + "ab" * 32)
        await life.gateway.close()
        await life.gateway.close()
        (closed,) = await life.gateway.execute(commands.QueryBalance())
        assert isinstance(closed, events.QueryFailed)

    lives(tmp_path, scene)
