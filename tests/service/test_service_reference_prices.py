"""Who hears the venue's reference prices for all accounts of a host, and who goes on when that one ends (CON-13)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from polyhost.configuration import load_configuration
from polyhost.service import reference_prices
from polyhost.service.folder import DataFolder
from polyhost.service.reference_prices import ReferencePrices
from polyhost.venue.polymarket.endpoints import LIVE, endpoints_at

PLACES = endpoints_at("http://127.0.0.1:9")


class Process:
    """An account's gateway process."""

    def __init__(self) -> None:
        self.hears: list[tuple[str, ...]] = []
        self.did: list[str] = []
        self.silent = 0.0

    async def hear_prices(self, symbols: tuple[str, ...], on_price: object, on_event: object) -> None:
        self.hears.append(tuple(symbols))

    def at(self, endpoints: object) -> None:
        self.did.append("at")

    def spawn(self) -> None:
        self.did.append("spawn")

    async def connect(self) -> None:
        self.did.append("connect")

    async def close(self) -> None:
        self.did.append("close")

    def refresh(self) -> bool:
        self.did.append("refresh")
        return True

    def restart(self) -> None:
        self.did.append("restart")

    def silent_s(self, stream: str) -> float:
        assert stream == "reference prices"
        return self.silent

    def down_s(self) -> float:
        return 0.0


class Market:
    """The shared feeds, as far as prices need them."""

    def __init__(self, endpoints: object) -> None:
        self.endpoints = endpoints
        self.ask_prices: Any = lambda: False
        self.price = self.event = None
        self.watched: dict[str, tuple[Any, Any]] = {}
        self.supervisor = self

    def watch(self, name: str, age: Any, limit_s: float, restart: Any) -> None:
        self.watched[name] = (age, restart)


def account(process: Process | None) -> Any:
    return SimpleNamespace(process=process)


def prices(folder: Path, market: Market, url: str = "") -> ReferencePrices:
    settings = load_configuration(None, {"venue.url": url, "markets.symbols": ["BTC", "SOL"]}, env={}).configuration
    return ReferencePrices(market, settings, DataFolder(folder))  # type: ignore[arg-type]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Process:
    """What is started where no account has a process."""
    process = Process()
    monkeypatch.setattr(reference_prices, "process_of", lambda told: process)
    return process


def test_con_13_the_first_account_with_a_process_hears_them_and_the_next_one_goes_on(
    tmp_path: Path, own: Process
) -> None:
    first, second, market = Process(), Process(), Market(PLACES)
    paper, one, two = account(None), account(first), account(second)
    told = prices(tmp_path, market)

    async def go() -> None:
        told.prepare([paper, one, two])
        await told.begin([paper, one, two])
        assert (first.hears, second.hears) == ([("BTC", "SOL")], [])
        age, restart = market.watched["reference prices"]
        first.silent = 7.0
        assert age() == 7.0
        restart()
        assert market.ask_prices()
        assert first.did == ["restart", "refresh"]
        await told.ended(paper, [one, two])
        assert second.hears == [], "it was not the one that ended"
        await told.ended(one, [paper, two])
        assert second.hears == [("BTC", "SOL")]
        assert age() == 0.0
        assert market.ask_prices()
        assert second.did == ["refresh"]
        await told.ended(two, [paper])
        assert own.did == ["at", "connect"], "an exchange elsewhere gives them to any key"
        await told.close()
        assert own.did[-1] == "close"

    asyncio.run(go())


def test_con_13_the_last_account_s_end_starts_no_process_that_nobody_needs(tmp_path: Path, own: Process) -> None:
    """It would be waited for: a stop took as long as a start."""
    one, market = account(Process()), Market(PLACES)
    told = prices(tmp_path, market)

    async def go() -> None:
        await told.begin([one])
        await told.ended(one, [])
        assert market.watched["reference prices"][0]() == 0.0
        assert not market.ask_prices()
        await told.close()

    asyncio.run(go())
    assert own.did == []


def test_con_13_paper_accounts_at_an_exchange_elsewhere_have_a_process_of_nobodys(tmp_path: Path, own: Process) -> None:
    market = Market(PLACES)
    told = prices(tmp_path, market, "http://127.0.0.1:9")

    async def go() -> None:
        told.prepare([account(None)])
        assert own.did == ["spawn"], "while the host starts"
        await told.begin([account(None)])
        assert own.hears == [("BTC", "SOL")]
        await told.close()

    asyncio.run(go())
    assert own.did == ["spawn", "at", "connect", "close"]


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", level="WARNING")
    yield lines
    logger.remove(sink)


def test_con_13_the_venue_itself_gives_them_to_nobody_without_a_key_and_that_is_said(
    tmp_path: Path, own: Process, said: list[str]
) -> None:
    market = Market(LIVE)
    told = prices(tmp_path, market)

    async def go() -> None:
        told.prepare([account(None)])
        await told.begin([account(None)])
        assert not market.ask_prices()
        await told.close()

    asyncio.run(go())
    assert own.did == []
    assert any("strikes by its price stream stay unknown" in line for line in said)
