"""The shipped feeds: what they ask, what they make of the answers. Over a wire: tests/wire/test_wire_outside.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from loguru import logger
from plugin_builders import made
from pydantic import ValidationError

from polyhost import Feed, FeedConfig, Plugin, Reading
from polyhost.model.reading import wrong
from polyhost_plugins import binance_futures, fear_greed, second_spot
from polyhost_plugins.binance_futures import BinanceFutures
from polyhost_plugins.fear_greed import FearGreed
from polyhost_plugins.second_spot import SecondSpot, unix_ms

LIVE = FeedConfig("live", "", 1.0, ("BTC", "ETH"))
SIM = FeedConfig("sim", "http://127.0.0.1:7/", 60.0, ("BTC",))
PREMIUM = {"symbol": "BTCUSDT", "markPrice": "100010.5", "lastFundingRate": "-0.00025000", "time": 1_800_000_000_123}
TICKER = {"price": "100001.25", "time": "2027-01-15T08:00:00.123456Z", "trade_id": 1}
MOOD = {"name": "Fear and Greed Index", "data": [{"value": "23", "timestamp": "1799971200"}], "metadata": {}}


class Asked:
    """Stands in for ``polled``: notes what was asked for, answers from a script."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.urls: dict[str, str] = {}
        self.every_s = self.speed = 0.0

    def __call__(self, urls: Mapping[str, str], *, every_s: float, speed: float) -> Iterator[Any]:
        self.urls, self.every_s, self.speed = dict(urls), every_s, speed
        yield from self.answers


def read(plugin: Plugin, config: FeedConfig) -> list[Reading | None]:
    plugin.log = logger
    (feed,) = plugin.feeds(config)  # type: ignore[attr-defined]
    assert isinstance(feed, Feed)
    readings = list(feed.readings)
    assert all(one is None or wrong(one.name, one.value, one.at) == "" for one in readings)
    return readings


def test_con_17_futures_give_mark_and_funding_of_each_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(("BTC", PREMIUM), None, ("ETH", None))
    monkeypatch.setattr(binance_futures, "polled", asked)
    assert read(made(BinanceFutures), LIVE) == [
        Reading("mark.BTC", 100_010.5, 1_800_000_000_123), Reading("funding.BTC", -0.00025, 1_800_000_000_123), None,
    ]
    assert asked.urls == {
        "BTC": "https://fapi.binance.com/fapi/v1/premiumIndex?symbol=BTCUSDT",
        "ETH": "https://fapi.binance.com/fapi/v1/premiumIndex?symbol=ETHUSDT",
    }
    assert (asked.every_s, asked.speed) == (10.0, 1.0)


def test_con_17_the_second_exchange_gives_its_last_trade_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(("BTC", TICKER), None, ("ETH", None))
    monkeypatch.setattr(second_spot, "polled", asked)
    assert read(made(SecondSpot), LIVE) == [Reading("spot2.BTC", 100_001.25, 1_800_000_000_123), None]
    assert asked.urls["ETH"] == "https://api.exchange.coinbase.com/products/ETH-USD/ticker"


def test_con_17_the_index_is_dated_at_the_beginning_of_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(None, ("index", MOOD))
    monkeypatch.setattr(fear_greed, "polled", asked)
    assert read(made(FearGreed), LIVE) == [None, Reading("fear_greed", 23.0, 1_799_971_200_000)]
    assert list(asked.urls.values()) == ["https://api.alternative.me/fng/?limit=1"]


@pytest.mark.parametrize(
    ("kind", "module"), [(BinanceFutures, binance_futures), (SecondSpot, second_spot), (FearGreed, fear_greed)]
)
def test_con_17_in_simulations_the_simulated_exchange_is_asked_at_its_speed(
    kind: type[Plugin], module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked()
    monkeypatch.setattr(module, "polled", asked)
    assert read(made(kind), SIM) == []
    assert all(url.startswith("http://127.0.0.1:7/") and "7//" not in url for url in asked.urls.values())
    assert asked.speed == 60.0


@pytest.mark.parametrize(
    ("kind", "module", "answer"),
    [
        (BinanceFutures, binance_futures, {"markPrice": "1"}), (BinanceFutures, binance_futures, []),
        (SecondSpot, second_spot, {"price": "x", "time": "2027-01-15T08:00:00Z"}),
        (SecondSpot, second_spot, {"price": "1", "time": "yesterday"}), (FearGreed, fear_greed, {"data": []}),
    ],
)
def test_con_17_an_answer_of_another_shape_ends_the_feed_which_the_host_starts_again(
    kind: type[Plugin], module: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "polled", Asked(("BTC", answer)))
    with pytest.raises((KeyError, ValueError, TypeError, IndexError)):
        read(made(kind), LIVE)


@pytest.mark.parametrize(
    ("text", "ms"), [("1970-01-01T00:00:01Z", 1_000), ("2027-01-15T08:00:00.123456Z", 1_800_000_000_123)]
)
def test_con_17_times_are_read_to_the_millisecond(text: str, ms: int) -> None:
    assert unix_ms(text) == ms


@pytest.mark.parametrize(
    ("kind", "settings", "fits"),
    [
        (BinanceFutures, {"every_s": 1.0}, True), (BinanceFutures, {"every_s": 0.99}, False),
        (BinanceFutures, {"every_s": 600.0}, True), (BinanceFutures, {"every_s": 600.1}, False),
        (SecondSpot, {"every_s": 1.0}, True), (SecondSpot, {"every_s": 0.99}, False),
        (SecondSpot, {"quote": "USDT"}, True), (SecondSpot, {"quote": "usd/x"}, False),
        (SecondSpot, {"url": "ftp://x"}, False), (FearGreed, {"every_s": 60.0}, True),
        (FearGreed, {"every_s": 59.9}, False), (FearGreed, {"url": "https://mirror.example"}, True),
    ],
)
def test_con_17_how_often_and_where_is_bounded(kind: type[Plugin], settings: dict[str, Any], fits: bool) -> None:
    if fits:
        made(kind, **settings)
        return
    with pytest.raises(ValidationError):
        made(kind, **settings)
