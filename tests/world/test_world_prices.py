"""Reference prices: the TWAP rule, feeds, candles, history, and the same bytes from the same seed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhost.exchange.api import CandleTick, PriceTick
from polyhost.exchange.prices import MINUTE, SECOND, TWAP_TICKS, SymbolPrices

START = 1_795_219_200_000


def prices(seed: int = 1, symbol: str = "BTC", now: int = START, history_s: int = 600) -> SymbolPrices:
    return SymbolPrices(symbol, seed, now, history_s)


def test_a_twap_is_the_mean_of_the_last_sixty_chainlink_values() -> None:
    feed = prices()
    ticks = [tick for tick in feed.advance(START + 300_000) if isinstance(tick, PriceTick)]
    spot = {tick.stamp: tick.price for tick in ticks if tick.feed == "chainlink"}
    twap = {tick.stamp: tick.price for tick in ticks if tick.feed == "twap_60"}
    checked = 0
    for stamp, value in twap.items():
        window = [spot.get(stamp - back * SECOND) for back in range(TWAP_TICKS)]
        known = [price for price in window if price is not None]
        if len(known) == TWAP_TICKS:
            assert value == sum(known) // TWAP_TICKS
            checked += 1
    assert checked >= 230


def test_every_feed_ticks_without_a_gap_and_chainlink_comes_late() -> None:
    feed = prices()
    seen: dict[str, list[PriceTick]] = {"chainlink": [], "twap_60": [], "binance": []}
    while feed.next_due <= START + 120_000:
        at = feed.next_due
        for tick in feed.advance(at):
            if isinstance(tick, PriceTick):
                seen[tick.feed].append(tick)
                assert tick.stamp <= at
                if tick.feed == "chainlink":
                    assert 1_000 <= at - tick.stamp < 2_000
    for name in ("chainlink", "twap_60"):
        stamps = [tick.stamp for tick in seen[name]]
        assert stamps == list(range(stamps[0], stamps[0] + len(stamps) * SECOND, SECOND))
    assert 3 * 119 <= len(seen["binance"]) <= 5 * 121


def test_candles_are_whole_minutes_and_hold_their_ticks() -> None:
    feed = prices(history_s=7_200)
    assert len(feed.candles) >= 119, "two hours of history"
    out = feed.advance(START + 3 * MINUTE)
    closed = [tick for tick in out if isinstance(tick, CandleTick) and tick.closed]
    assert [candle.start for candle in closed] == [START + count * MINUTE for count in range(3)]
    for candle in closed:
        inside = [
            tick.price
            for tick in out
            if isinstance(tick, PriceTick) and tick.feed == "binance" and 0 <= tick.stamp - candle.start < MINUTE
        ]
        assert candle.close == inside[-1]
        assert candle.high >= max(inside)
        assert candle.low <= min(inside)
        assert candle.low <= candle.open <= candle.high
        assert candle.volume > 0
    starts = [candle.start for candle in feed.candles]
    assert starts == list(range(starts[0], starts[0] + len(starts) * MINUTE, MINUTE))


def test_binance_runs_above_chainlink_by_its_basis() -> None:
    feed = prices()
    feed.advance(START + 600_000)
    gap = feed.last_price / feed.chainlink[-1] - 1
    assert 0 < gap * 1e4 < 12


@given(cuts=st.lists(st.integers(0, 30_000), max_size=12))
@settings(max_examples=20, deadline=None)
def test_slicing_does_not_change_the_ticks(cuts: list[int]) -> None:
    whole = prices(history_s=60).advance(START + 30_000)
    sliced = prices(history_s=60)
    out = []
    for cut in sorted(cuts):
        out += sliced.advance(START + cut)
    assert out + sliced.advance(START + 30_000) == whole


def test_same_seed_same_ticks_and_another_seed_others() -> None:
    assert prices(3).advance(START + 20_000) == prices(3).advance(START + 20_000)
    assert prices(3).advance(START + 20_000) != prices(4).advance(START + 20_000)


def test_saved_prices_go_on_identically() -> None:
    feed = prices()
    feed.advance(START + 12_345)
    again = SymbolPrices.load(json.loads(json.dumps(feed.save())))
    assert again.save() == feed.save()
    assert again.advance(START + 90_000) == feed.advance(START + 90_000)
    assert list(again.candles) == list(feed.candles)


def test_recent_ticks_are_those_that_were_published() -> None:
    feed = prices()
    now = START + 200_400
    out = feed.advance(now)
    for name in ("chainlink", "twap_60", "binance"):
        published = [tick for tick in out if isinstance(tick, PriceTick) and tick.feed == name]
        recent = feed.recent(name, now, 60)
        assert recent == published[-len(recent) :]
        assert all(now - tick.stamp < 62_000 for tick in recent), "published within the last minute"
        assert len(recent) >= 58
    with pytest.raises(KeyError):
        feed.recent("kraken", now, 60)


def test_an_unknown_symbol_is_an_error() -> None:
    with pytest.raises(KeyError):
        prices(symbol="DOGE")
