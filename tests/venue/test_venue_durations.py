"""Discovery of hourly and daily windows: names in Eastern time, clock changes, strikes from candles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from loguru import logger

from polyhost.model.events import Event, MarketFound, StrikeSeen
from polyhost.model.series import DURATIONS, repeats, window_slug, window_slugs, windows_from
from polyhost.model.view import Candle
from polyhost.model.words import SettlementRule
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.discovery import LIST_EVERY, Discovery

HOUR_MS = 3_600_000
ALL = ("5m", "15m", "1h", "4h", "1d")
DESCRIPTIONS = {
    300: "the TWAP of BTC/USD", 900: "the TWAP of BTC/USD", 14_400: "Chainlink BTC/USD",
    3_600: "the Binance 1 hour candle", 86_400: "the Binance 1 minute candle",
}


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Town:
    """Discovery of some series against a scripted catalogue, with market time set by hand."""

    def __init__(self, fake: Any, http: httpx.AsyncClient, base: dict[str, Any], durations: tuple[str, ...]) -> None:
        self.fake = fake
        self.base = base
        self.clock = VenueClock(steady_s=lambda: 0.0)
        self.events: list[Event] = []
        self.asked: list[tuple[str, int]] = []
        self.has_candles = True
        self.listed: list[dict[str, Any]] = []
        """Objects that only the lists show."""
        fake.answers["GET /markets/keyset"] = self._list
        self.discovery = Discovery(
            Catalogue(http, http), self.clock, symbols=["BTC"], durations=durations, on_event=self.events.append,
            ask_candle=self._ask,
        )

    async def _ask(self, symbol: str, start: int) -> Candle | None:
        self.asked.append((symbol, start))
        return candle(start, 70_001.0, 70_002.5) if self.has_candles else None

    def _list(self, request: Any) -> Any:
        query = request[1]
        first, last = query["end_date_min"], query["end_date_max"]
        return 200, {"markets": [each for each in self.listed if first <= each["endDate"] <= last]}

    def at(self, now: int) -> None:
        self.clock.sample(f"{now};1")

    def object(self, duration_s: int, start: int, end: int, slug: str = "", **changes: Any) -> dict[str, Any]:
        plain = {key: value for key, value in self.base.items() if key != "resolutionSource"}
        return plain | {
            "slug": slug or window_slug("BTC", duration_s, start), "conditionId": f"0x{duration_s}-{start}",
            "eventStartTime": iso(start), "endDate": iso(end), "description": DESCRIPTIONS[duration_s],
            "clobTokenIds": json.dumps([f"{start}{duration_s}1", f"{start}{duration_s}2"]),
        } | changes  # fmt: skip

    def lists(self, duration_s: int, start: int, end: int, **changes: Any) -> None:
        shown = self.object(duration_s, start, end, **changes)
        self.fake.answers[f"GET /markets/slug/{shown['slug']}"] = (200, shown)

    @property
    def found(self) -> list[Any]:
        return [event.market for event in self.events if isinstance(event, MarketFound)]

    @property
    def strikes(self) -> list[tuple[int, str]]:
        return [(event.strike, event.source) for event in self.events if isinstance(event, StrikeSeen)]


def run(
    venue: Any, base: dict[str, Any], durations: tuple[str, ...], job: Callable[[Town], Awaitable[None]]
) -> list[str]:
    """The warnings that were told."""
    told: list[str] = []

    async def go() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            await job(Town(fake, http, base, durations))

    sink = logger.add(told.append, format="{message}", level="WARNING")
    try:
        asyncio.run(go())
    finally:
        logger.remove(sink)
    return told


@pytest.mark.parametrize(
    "begin", ["2026-10-31T22:30Z", "2026-03-07T22:30Z", "2026-12-31T22:30Z"], ids=["autumn", "spring", "new year"]
)
def test_con_08_every_duration_rolls_without_a_gap_over_a_change_of_the_clock(
    venue: Any, gamma_object: dict[str, Any], begin: str
) -> None:
    """Whenever one window of a series ends the next is known already; the second 1 am is found in the lists."""

    async def job(town: Town) -> None:
        for duration in ("1h", "4h", "1d"):
            length = DURATIONS[duration]
            for start, end in windows_from(length, ms(begin), 30 if duration == "1h" else 9):
                if repeats(length, start):
                    town.listed.append(town.object(length, start, end, slug=f"{window_slug('BTC', length, start)}-2"))
                else:
                    town.lists(length, start, end)
        for step in range(24):
            now = ms(begin) + step * HOUR_MS
            town.at(now)
            await town.discovery.round()
            for duration in ("1h", "4h", "1d"):
                series = [market for market in town.found if market.duration_s == DURATIONS[duration]]
                (running,) = [market for market in series if market.start <= now < market.end]
                assert [market for market in series if market.start == running.end], (duration, iso(now))
        assert len({market.condition_id for market in town.found}) == len(town.found)

    told = run(venue, gamma_object, ("1h", "4h", "1d"), job)
    assert not [line for line in told if "never appeared" in line]


def test_con_16_each_window_comes_with_its_own_rule(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        now = ms("2026-11-21T12:00Z")
        for length in DURATIONS.values():
            for start, end in windows_from(length, now, 2):
                town.lists(length, start, end)
        town.at(now)
        await town.discovery.round()
        assert {market.duration_s: market.rule for market in town.found} == {
            300: SettlementRule.TWAP_60, 900: SettlementRule.TWAP_60, 3_600: SettlementRule.CANDLE,
            14_400: SettlementRule.SPOT, 86_400: SettlementRule.CANDLE_CLOSES,
        }  # fmt: skip
        assert len(town.found) == 10

    assert run(venue, gamma_object, ALL, job) == []


def test_con_08_a_name_without_a_year_is_taken_only_for_this_years_window(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    """Last year's window of that name is still listed; this year's has the year in its name, or has not."""

    async def job(town: Town) -> None:
        now = ms("2026-01-05T20:30Z")
        (running, following) = windows_from(3_600, now, 2)
        old = window_slugs("BTC", 3_600, running[0])[1]
        year = 365 * 24 * HOUR_MS
        town.lists(3_600, running[0] - year, running[1] - year, slug=old)
        town.lists(3_600, *following, slug=window_slugs("BTC", 3_600, following[0])[1])
        town.at(now)
        await town.discovery.round()
        assert [market.start for market in town.found] == [following[0]]
        town.lists(3_600, *running)
        await town.discovery.round()
        assert [market.start for market in town.found] == [following[0], running[0]]

    assert run(venue, gamma_object, ("1h",), job) == []


def test_con_08_a_window_under_an_unknown_name_is_found_by_its_end(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        now = ms("2026-01-05T20:30Z")
        (running, following) = windows_from(86_400, now, 2)
        town.lists(86_400, *following)
        town.listed = [
            town.object(3_600, running[1] - HOUR_MS, running[1], slug="bitcoin-up-or-down-january-6-2026-11am-et-7"),
            town.object(86_400, *running, slug="bitcoin-up-or-down-on-january-6-2026-738"),
        ]
        town.at(now)
        for _ in range(LIST_EVERY - 1):
            await town.discovery.round()
        assert [market.start for market in town.found] == [following[0]]
        await town.discovery.round()
        assert [market.slug for market in town.found][1:] == ["bitcoin-up-or-down-on-january-6-2026-738"]

    assert run(venue, gamma_object, ("1d",), job) == []


# --- strikes ----------------------------------------------------------------------------------------------------------


def candle(start: int, opened: float, close: float) -> Candle:
    return Candle(start, opened, max(opened, close), min(opened, close), close, 1.0)


def test_con_16_an_hourly_strike_is_the_open_of_its_candle(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        start, end = windows_from(3_600, ms("2026-11-21T12:00Z"), 1)[0]
        town.lists(3_600, start, end)
        town.at(start - 1_000)
        town.discovery.follow(market_of_object(town.object(3_600, start, end)))
        town.discovery.on_candle("BTC", candle(start - 60_000, 70_000.5, 70_001.0), True)
        town.discovery.on_price("twap_60", "BTC", 1, start)
        town.discovery.on_price("chainlink", "BTC", 2, start)
        town.discovery.on_candle("ETH", candle(start, 2_400.0, 2_401.0), False)
        assert town.strikes == []
        town.discovery.on_candle("BTC", candle(start, 70_001.12, 70_003.0), False)
        town.discovery.on_candle("BTC", candle(start, 70_001.12, 70_009.0), True)
        assert town.strikes == [(7_000_112_000_000, "Binance candle, open")]

    assert run(venue, gamma_object, (), job) == []


def test_con_16_a_daily_strike_is_a_close_and_known_a_minute_later(venue: Any, gamma_object: dict[str, Any]) -> None:
    async def job(town: Town) -> None:
        start, end = windows_from(86_400, ms("2026-11-21T17:00Z"), 1)[0]
        town.at(start)
        town.discovery.follow(market_of_object(town.object(86_400, start, end)))
        town.discovery.on_candle("BTC", candle(start, 70_001.0, 70_003.0), False)
        assert town.strikes == []
        town.discovery.on_candle("BTC", candle(start, 70_001.0, 70_002.5), True)
        assert town.strikes == [(7_000_250_000_000, "Binance 1 minute candle, close")]

    assert run(venue, gamma_object, (), job) == []


def test_con_16_a_missed_candle_is_asked_for_and_the_strike_said_to_be_unknown_meanwhile(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    """Unlike ticks candles can be had later: a host that starts in the middle of a day learns its strike."""

    async def job(town: Town) -> None:
        start, end = windows_from(86_400, ms("2026-11-21T17:00Z"), 1)[0]
        town.has_candles = False
        town.at(start + 65_000)
        town.discovery.follow(market_of_object(town.object(86_400, start, end)))
        await town.discovery.round()
        assert town.asked == []
        for late_s in (66, 67, 75, 76, 182, 195):
            town.at(start + late_s * 1_000)
            await town.discovery.round()
        assert town.asked == [("BTC", start)] * 4
        town.has_candles = True
        town.at(start + 4 * HOUR_MS)
        await town.discovery.round()
        await town.discovery.round()
        assert town.strikes == [(7_000_250_000_000, "Binance 1 minute candle, close")]
        assert len(town.asked) == 5

    (told,) = run(venue, gamma_object, (), job)
    assert "the strike is unknown" in told


def market_of_object(shown: dict[str, Any]) -> Any:
    from polyhost.venue.polymarket.gamma import market_of

    return market_of(shown)
