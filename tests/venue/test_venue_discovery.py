from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from loguru import logger

from polyhost.model.events import Event, MarketClosed, MarketFound, MarketResolved, StrikeSeen
from polyhost.model.messages import Message
from polyhost.model.words import Side
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.discovery import Discovery, wanted_windows
from polyhost.venue.polymarket.gamma import market_of

from ..unhurried import PATIENCE_S

START = 1_795_225_800
T0 = START * 1_000
"""The opening instant of a 5-minute window, in market ms."""


class Town:
    """Discovery against a scripted catalogue, with market time set by hand."""

    def __init__(self, fake: Any, http: httpx.AsyncClient, **options: Any) -> None:
        self.fake = fake
        self.now_ms = T0 + 1_000
        self.steady = 0.0
        self.clock = VenueClock(steady_s=lambda: self.steady)
        self.events: list[Event] = []
        self.backlogs = 0
        settings: dict[str, Any] = {"symbols": ["BTC"], "durations": ["5m"], "ask_backlog": self._backlog} | options
        self.discovery = Discovery(Catalogue(http, http), self.clock, on_event=self.events.append, **settings)
        self.at(self.now_ms)

    def _backlog(self) -> bool:
        self.backlogs += 1
        return True

    def at(self, ms: int) -> None:
        self.clock.sample(f"{ms};60")

    def lists(self, window: dict[str, Any], start: int, **changes: Any) -> str:
        """Have the catalogue show a window; its condition id ends in its start."""
        name = changes.pop("series", "btc-updown-5m")
        slug = f"{name}-{start}"
        from datetime import UTC, datetime

        moment = lambda second: datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: E731
        length = 900 if "15m" in name else 300
        self.fake.answers[f"GET /markets/slug/{slug}"] = (200, window | {
            "slug": slug, "conditionId": f"0x{name}{start}", "eventStartTime": moment(start),
            "endDate": moment(start + length), "clobTokenIds": json.dumps([f"{start}1", f"{start}2"]),
        } | changes)  # fmt: skip
        return slug

    def kinds(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


def _run(venue: Any, job: Callable[[Town], Awaitable[None]], **options: Any) -> list[str]:
    told: list[str] = []

    async def go() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            await job(Town(fake, http, **options))

    sink = logger.add(told.append, format="{message}", level="WARNING")
    try:
        asyncio.run(go())
    finally:
        logger.remove(sink)
    return told


def test_con_08_the_running_and_the_next_windows_of_every_series_are_wanted() -> None:
    found = wanted_windows(["BTC", "ETH"], ["5m", "15m"], T0 + 299_999, 1)
    assert [wanted.slugs[0] for wanted in found] == [
        f"btc-updown-5m-{START}", f"btc-updown-5m-{START + 300}",
        f"btc-updown-15m-{START - 300}", f"btc-updown-15m-{START + 600}",
        f"eth-updown-5m-{START}", f"eth-updown-5m-{START + 300}",
        f"eth-updown-15m-{START - 300}", f"eth-updown-15m-{START + 600}",
    ]  # fmt: skip
    assert wanted_windows(["BTC"], ["5m"], T0 + 300_000, 2)[0].name == f"btc-updown-5m-{START + 300}"


def test_con_08_windows_are_found_before_they_open_and_roll_without_a_gap(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    async def job(town: Town) -> None:
        for n in range(4):
            town.lists(gamma_object, START + 300 * n)
        for minute in range(13):
            now = T0 + 1_000 + minute * 60_000
            town.at(now)
            await town.discovery.round()
            known = [event.market for event in town.kinds(MarketFound)]
            assert any(market.start <= now < market.end for market in known)
            assert any(now < market.start <= now + 300_000 for market in known)
        found = [event.market.start for event in town.kinds(MarketFound)]
        assert found == [T0 + 300_000 * n for n in range(4)], "each once, in order"

    _run(venue, job)


def test_con_05_a_window_that_is_not_there_yet_is_asked_again_in_silence(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        for _ in range(5):
            await town.discovery.round()
        assert town.discovery.missing == {f"btc-updown-5m-{START + 300}": 5}
        slug = town.lists(gamma_object, START + 300)
        await town.discovery.round()
        assert town.discovery.missing == {}
        assert slug in town.discovery.windows

    assert _run(venue, job) == []


def test_a_catalogue_that_fails_is_told_once_and_asked_again(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        slug = town.lists(gamma_object, START)
        good = town.fake.answers[f"GET /markets/slug/{slug}"]
        town.fake.answers[f"GET /markets/slug/{slug}"] = [(500, {"error": "boom"})] * 3 + [good]
        for _ in range(4):
            await town.discovery.round()
        assert len(town.kinds(MarketFound)) == 1

    (told,) = _run(venue, job)
    assert "boom" in told


def test_a_market_object_that_cannot_be_understood_is_named(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START, orderPriceMinTickSize=0.3)
        await town.discovery.round()
        assert town.events == []

    (told,) = _run(venue, job)
    assert "orderPriceMinTickSize" in told
    assert "0.3" in told


def test_con_15_markets_named_by_slug_are_found_too(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        plain = gamma_object | {"slug": "will-it-rain", "outcomes": '["Yes", "No"]', "endDate": "2026-12-01T00:00:00Z"}
        del plain["eventStartTime"]
        town.fake.answers["GET /markets/slug/will-it-rain"] = (200, plain)
        await town.discovery.round()
        (found,) = town.kinds(MarketFound)
        assert (found.market.slug, found.market.start) == ("will-it-rain", None)

    assert _run(venue, job, symbols=[], slugs=["will-it-rain"]) == []


@pytest.mark.parametrize("closed", [False, True])
def test_con_15_a_market_named_by_its_condition_id_is_found_once(
    venue: Any, gamma_object: dict[str, Any], closed: bool
) -> None:
    plain = gamma_object | {"slug": "will-it-rain", "outcomes": '["Yes", "No"]', "endDate": "2026-12-01T00:00:00Z"}
    del plain["eventStartTime"]
    name = plain["conditionId"].upper().replace("0X", "0x")

    async def job(town: Town) -> None:
        shown = lambda request: (200, {"markets": [plain] if (request[1]["closed"] == "true") is closed else []})  # noqa: E731
        town.fake.answers["GET /markets/keyset"] = shown
        for _ in range(3):
            await town.discovery.round()
        (found,) = town.kinds(MarketFound)
        assert (found.market.slug, found.market.condition_id) == ("will-it-rain", plain["conditionId"])
        assert {query["condition_ids"] for query, _ in town.fake.asked("GET /markets/keyset")} == {name}

    assert _run(venue, job, symbols=[], slugs=[name]) == []


def test_con_08_the_roll_has_no_gap_at_any_ms_around_a_boundary_however_late_the_catalogue_is(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    """The next window is listed a minute late and the order book of it later still: it is found in the first look
    after it was listed, and the running one is followed until its result."""

    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        for offset in (-1_000, -1, 0, 1, 1_000, 59_000):
            town.at(T0 + 300_000 + offset)
            await town.discovery.round()
            assert [event.market.start for event in town.kinds(MarketFound)] == [T0]
        town.lists(gamma_object, START + 300)
        town.at(T0 + 360_000)
        await town.discovery.round()
        assert [event.market.start for event in town.kinds(MarketFound)] == [T0, T0 + 300_000]
        assert town.discovery.windows.keys() >= {f"btc-updown-5m-{START}", f"btc-updown-5m-{START + 300}"}

    _run(venue, job)


# --- strikes ----------------------------------------------------------------------------------------------------------


def test_con_16_the_strike_is_the_twap_tick_of_the_opening_second(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        town.lists(gamma_object, START + 300)
        await town.discovery.round()
        town.discovery.on_price("chainlink", "BTC", 1, T0 + 300_000)
        town.discovery.on_price("twap_60", "ETH", 2, T0 + 300_000)
        town.discovery.on_price("twap_60", "BTC", 3, T0 + 299_000)
        assert town.kinds(StrikeSeen) == []
        town.discovery.on_price("twap_60", "BTC", 7_148_523_965_784, T0 + 300_000)
        town.discovery.on_price("twap_60", "BTC", 7_148_523_965_784, T0 + 300_000)
        town.discovery.on_price("twap_60", "BTC", 4, T0 + 301_000)
        condition = f"0xbtc-updown-5m{START + 300}"
        assert town.kinds(StrikeSeen) == [StrikeSeen(condition, 7_148_523_965_784, "price.crypto.twap 60 s")]

    _run(venue, job)


def test_a_spot_window_takes_its_strike_from_spot(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START, cryptoMarketConfig={"twapEnabled": False})
        await town.discovery.round()
        town.discovery.on_price("twap_60", "BTC", 1, T0)
        town.discovery.on_price("chainlink", "BTC", 2, T0)
        assert [event.strike for event in town.kinds(StrikeSeen)] == [2]

    _run(venue, job)


def test_a_window_found_after_its_tick_still_gets_its_strike(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.discovery.on_price("twap_60", "BTC", 5, T0)
        town.lists(gamma_object, START)
        await town.discovery.round()
        assert [event.strike for event in town.kinds(StrikeSeen)] == [5]

    _run(venue, job)


def test_con_16_a_missed_tick_is_asked_from_the_backlog_once(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        town.lists(gamma_object, START + 300)
        for late, asked in ((5_000, 0), (5_001, 1), (60_000, 1)):
            town.at(T0 + late)
            await town.discovery.round()
            assert town.backlogs == asked
        town.discovery.on_price("twap_60", "BTC", 9, T0)
        assert [event.strike for event in town.kinds(StrikeSeen)] == [9]

    assert _run(venue, job) == []


def test_con_16_a_strike_that_cannot_be_learnt_is_said_to_be_unknown(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        for late in (120_000, 120_001, 121_000):
            town.at(T0 + late)
            await town.discovery.round()
        assert town.kinds(StrikeSeen) == []

    (told,) = _run(venue, job)
    assert "the strike is unknown" in told


def test_a_strike_that_nobody_could_have_learnt_is_no_warning(venue: Any, gamma_object: dict[str, Any]) -> None:
    """The host joined a running window: the venue's backlog no longer held its first second."""

    async def job(town: Town) -> None:
        town.at(T0 + 120_001)
        town.lists(gamma_object, START)
        await town.discovery.round()
        await town.discovery.round()
        assert town.kinds(StrikeSeen) == []
        assert all(window.strike_given_up for window in town.discovery.windows.values())

    assert _run(venue, job) == []


def test_a_catalogue_that_does_not_answer_is_one_trouble_however_many_windows_are_wanted(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    async def job(town: Town) -> None:
        series = [town.lists(gamma_object, START, series=name) for name in ("btc-updown-5m", "eth-updown-5m")]
        good = dict(town.fake.answers)
        for slug in series:
            town.fake.answers[f"GET /markets/slug/{slug}"] = (503, {})
        for _ in range(3):
            await town.discovery.round()
        town.fake.answers.update(good)
        await town.discovery.round()
        assert len(town.kinds(MarketFound)) == 2

    (told,) = _run(venue, job, symbols=["BTC", "ETH"])
    assert "503" in told


# --- results ----------------------------------------------------------------------------------------------------------


def test_set_01_the_result_is_polled_after_the_end_and_told_once(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        slug = town.lists(gamma_object, START)
        town.lists(gamma_object, START + 300)
        await town.discovery.round()
        town.discovery.on_price("twap_60", "BTC", 1, T0)
        town.at(T0 + 299_999)
        await town.discovery.round()
        assert town.kinds(MarketClosed, MarketResolved) == []
        town.at(T0 + 301_000)
        await town.discovery.round()
        condition = f"0xbtc-updown-5m{START}"
        assert town.kinds(MarketClosed, MarketResolved) == [MarketClosed(condition)]
        town.lists(gamma_object, START, closed=True, outcomePrices='["1", "0"]')
        await town.discovery.round()
        await town.discovery.round()
        assert town.kinds(MarketClosed, MarketResolved) == [
            MarketClosed(condition), MarketResolved(condition, Side.UP, "gamma")
        ]  # fmt: skip
        assert slug not in town.discovery.windows

    assert _run(venue, job) == []


@pytest.mark.parametrize("words", [("{start}1", "Up"), ("", "Up"), ("{start}1", "")])
def test_a_resolution_on_the_stream_is_faster_and_not_repeated(
    venue: Any, gamma_object: dict[str, Any], words: tuple[str, str]
) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        await town.discovery.round()
        condition = f"0xbtc-updown-5m{START}"
        message = Message(
            event_type="market_resolved", market=condition, winning_asset_id=words[0].format(start=START),
            winning_outcome=words[1],
        )  # fmt: skip
        town.discovery.on_message(message)
        town.discovery.on_message(message)
        assert town.kinds(MarketResolved) == [MarketResolved(condition, Side.UP, "stream")]

    _run(venue, job)


def test_a_resolution_that_names_no_outcome_is_left_to_the_poll(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        await town.discovery.round()
        town.discovery.on_message(Message(event_type="market_resolved", market=f"0xbtc-updown-5m{START}"))
        assert town.kinds(MarketResolved) == []

    _run(venue, job)


def test_a_result_that_is_missing_for_long_is_told_once(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.discovery.follow(market_of(gamma_object), strike_known=True)
        for late in (300_001, 900_000, 900_001, 960_000):
            town.at(T0 + late)
            await town.discovery.round()

    told = _run(venue, job, symbols=[])
    assert len(told) == 1
    assert "no result" in told[0]


def test_the_loop_runs_until_it_is_closed(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        town.lists(gamma_object, START)
        town.lists(gamma_object, START + 300)
        task = asyncio.create_task(town.discovery.run())
        await town.fake.until(lambda: len(town.kinds(MarketFound)) == 2)
        town.discovery.close()
        await asyncio.wait_for(task, PATIENCE_S)

    _run(venue, job)
