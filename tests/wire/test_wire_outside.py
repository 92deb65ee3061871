"""What other services say of the simulated world, over HTTP: shapes, bounds, and how the shipped feeds read it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from polyhost import FeedConfig, Plugin, Reading, polled
from polyhost.configuration.shipped import shipped_class
from polyhost.exchange import outside

HOUR_MS = 3_600_000


def test_con_17_futures_marks_and_funding_have_binances_shape(wire: Any) -> None:
    async def body(up: Any) -> None:
        told = await wire.get(up, "/fapi/v1/premiumIndex", symbol="BTCUSDT")
        assert set(told) == {
            "symbol", "markPrice", "indexPrice", "estimatedSettlePrice", "lastFundingRate", "interestRate",
            "nextFundingTime", "time",
        }
        assert told["symbol"] == "BTCUSDT"
        assert abs(float(told["markPrice"]) / float(told["indexPrice"]) - 1) <= 0.0005
        assert 0 < told["nextFundingTime"] - told["time"] <= 8 * HOUR_MS
        everything = await wire.get(up, "/fapi/v1/premiumIndex")
        assert [row["symbol"] for row in everything] == ["BTCUSDT"]
        status, wrong = await wire.status_of(up, "GET", "/fapi/v1/premiumIndex", params={"symbol": "XUSDT"})
        assert (status, wrong["code"]) == (400, -1121)

        rates = await wire.get(up, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=3)
        times = [row["fundingTime"] for row in rates]
        assert times == [times[0] + n * 8 * HOUR_MS for n in range(3)]
        assert times[-1] + 8 * HOUR_MS == told["nextFundingTime"]
        later = await wire.get(up, "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=times[1])
        assert later == rates[1:]
        early = await wire.get(up, "/fapi/v1/fundingRate", symbol="BTCUSDT", endTime=times[1], limit=1)
        assert early == [rates[1]]
        assert set(rates[0]) == {"symbol", "fundingRate", "fundingTime", "markPrice"}
        status, _ = await wire.status_of(up, "GET", "/fapi/v1/fundingRate")
        assert status == 400

    wire.on_exchange(body)


def test_con_17_the_second_exchange_has_coinbases_shape(wire: Any) -> None:
    async def body(up: Any) -> None:
        told = await wire.get(up, "/products/BTC-USD/ticker")
        assert set(told) == {"ask", "bid", "volume", "trade_id", "price", "size", "time"}
        assert float(told["bid"]) < float(told["price"]) < float(told["ask"])
        quote = await wire.get(up, "/api/v3/ticker/bookTicker", symbol="BTCUSDT")
        assert float(told["price"]) == pytest.approx(float(quote["bidPrice"]), rel=0.002)
        assert told["time"].endswith("Z")
        for product in ("X-USD", "BTC-EUR", "BTC"):
            status, _ = await wire.status_of(up, "GET", f"/products/{product}/ticker")
            assert status == 404

    wire.on_exchange(body)


def test_con_17_the_index_has_its_own_shape_and_a_history(wire: Any) -> None:
    async def body(up: Any) -> None:
        told = await wire.get(up, "/fng/")
        (today,) = told["data"]
        assert told["metadata"] == {"error": None}
        assert 0 <= int(today["value"]) <= 100
        assert int(today["timestamp"]) % 86_400 == 0
        assert 0 < int(today["time_until_update"]) <= 86_400
        days = (await wire.get(up, "/fng/", limit=5))["data"]
        assert [int(days[0]["timestamp"]) - int(row["timestamp"]) for row in days] == [n * 86_400 for n in range(5)]
        assert len((await wire.get(up, "/fng/", limit=0))["data"]) > 1_000

    wire.on_exchange(body)


def first(plugin: str, url: str, wanted: int) -> list[Reading]:
    """The first readings of a shipped feed that asks ``url``."""
    kind = shipped_class(plugin)
    made: Plugin = kind(kind.Settings())
    (feed,) = made.feeds(FeedConfig("sim", url, 60.0, ("BTC",)))  # type: ignore[attr-defined]
    found: list[Reading] = []
    for reading in feed.readings:
        found += [reading] if reading is not None else []
        if len(found) == wanted:
            feed.readings.close()
            break
    return found


def test_con_17_the_shipped_feeds_read_the_simulated_services(wire: Any) -> None:
    async def body(up: Any) -> None:
        now = time.time() * 1_000
        futures = await asyncio.to_thread(first, "binance_futures", up.url, 4)
        assert [reading.name for reading in futures] == ["mark.BTC", "funding.BTC"] * 2
        assert abs(futures[1].value) <= 0.003
        spots = await asyncio.to_thread(first, "second_spot", up.url, 2)
        assert [reading.name for reading in spots] == ["spot2.BTC", "spot2.BTC"]
        assert spots[0].value == pytest.approx(futures[0].value, rel=0.002)
        (mood,) = await asyncio.to_thread(first, "fear_greed", up.url, 1)
        assert mood.name == "fear_greed"
        assert 0 <= mood.value <= 100
        assert all(abs(reading.at - now) < 120_000 for reading in (*futures, *spots))
        assert 0 <= now - mood.at < 86_500_000

    wire.on_exchange(body)


# --- the poller -------------------------------------------------------------------------------------------------------


def some(items: Iterator[Any], count: int) -> list[Any]:
    return [next(items) for _ in range(count)]


def test_con_17_a_poller_asks_round_by_round_and_shows_life_between(wire: Any) -> None:
    async def body(up: Any) -> None:
        urls = {"a": f"{up.url}/api/v3/ping", "b": f"{up.url}/api/v3/ping"}
        items = polled(urls, every_s=60.0, speed=6_000.0)
        told = await asyncio.to_thread(some, items, 6)
        assert told == [("a", {}), ("b", {}), None, ("a", {}), ("b", {}), None]
        items.close()

    wire.on_exchange(body)


def test_con_17_what_a_service_does_not_know_is_told_once_and_not_asked_again(wire: Any) -> None:
    async def body(up: Any) -> None:
        urls = {"x": f"{up.url}/products/X-USD/ticker", "a": f"{up.url}/api/v3/ping"}
        items = polled(urls, every_s=0.01)
        assert await asyncio.to_thread(some, items, 5) == [("x", None), ("a", {}), None, ("a", {}), None]
        items.close()
        alone = polled({"x": urls["x"]}, every_s=0.01)
        assert await asyncio.to_thread(some, alone, 2) == [("x", None), None]
        with pytest.raises(ValueError, match="none of these is known"):
            await asyncio.to_thread(next, alone)

    wire.on_exchange(body)


def test_con_17_one_bad_answer_does_not_keep_the_others_of_its_round_away(wire: Any) -> None:
    async def body(up: Any) -> None:
        urls = {"bad": f"{up.url}/balance-allowance", "good": f"{up.url}/api/v3/ping"}
        items = polled(urls, every_s=0.01)
        assert await asyncio.to_thread(some, items, 2) == [None, ("good", {})]
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await asyncio.to_thread(next, items)
        text = polled({"ok": f"{up.url}/midpoint?token_id=1", "none": "http://127.0.0.1:9/"}, every_s=0.01)
        with pytest.raises(httpx.ConnectError):
            await asyncio.to_thread(some, text, 5)

    wire.on_exchange(body)


def test_con_17_a_long_answer_is_no_ticker(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.polling.BODY_BYTES_MAX", 1_000)

    async def body(up: Any) -> None:
        urls = {"long": f"{up.url}/fng/?limit=0"}
        with pytest.raises(ValueError, match="more than 1000 bytes"):
            await asyncio.to_thread(some, polled(urls, every_s=0.01), 2)

    wire.on_exchange(body)


# --- the figures ------------------------------------------------------------------------------------------------------


def test_con_17_the_services_say_the_same_for_the_same_seed_and_time() -> None:
    def all_of(seed: int) -> list[int]:
        spot, now = 10**13, 1_800_000_000_000
        times = [now + 7 * HOUR_MS * n for n in range(50)]
        return [
            *(outside.mark(seed, "BTC", spot, at) for at in times),
            *(outside.second_spot(seed, "BTC", spot, at) for at in times),
            *(outside.funding_e8(seed, "BTC", at) for at in times), *(outside.fear_greed(seed, at) for at in times),
        ]

    assert all_of(1) == all_of(1)
    assert all_of(1) != all_of(2)


def test_con_17_the_figures_stay_in_their_bounds_and_have_extremes() -> None:
    spot, now = 10**13, 1_800_000_000_000
    marks = [outside.mark(3, "BTC", spot, now + 5_000 * n) for n in range(2_000)]
    assert max(abs(mark / spot - 1) for mark in marks) <= 0.0005
    assert max(abs(a - b) / spot for a, b in pairwise(marks)) < 0.0001, "it moves smoothly"
    seconds = [outside.second_spot(3, "BTC", spot, now + 5_000 * n) for n in range(2_000)]
    assert max(abs(second / spot - 1) for second in seconds) <= 0.0004
    rates = [outside.funding_e8(3, "BTC", now + 8 * HOUR_MS * n) for n in range(500)]
    assert -300_000 <= min(rates) < -50_000 < 50_000 < max(rates) <= 300_000
    moods = [outside.fear_greed(3, now + 24 * HOUR_MS * n) for n in range(500)]
    assert 0 <= min(moods) < 20
    assert 80 < max(moods) <= 100


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "Extreme Fear"), (24, "Extreme Fear"), (25, "Fear"), (46, "Fear"), (47, "Neutral"), (54, "Neutral"),
        (55, "Greed"), (75, "Greed"), (76, "Extreme Greed"), (100, "Extreme Greed"),
    ],
)
def test_con_17_the_index_is_named_as_its_publisher_names_it(index: int, name: str) -> None:
    assert outside.mood(index) == name
