"""Each series settles by its own rule: the price that decides, ties, and what another rule would have said."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from polyhost.exchange.api import CandleTick, MarketDecided, PriceTick
from polyhost.exchange.fair_value import up_chance
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.catalogue import gamma_market
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.settlement import RULES, winner_of
from polyhost.exchange.windows import window_market
from polyhost.exchange.world import World, WorldSettings
from polyhost.model.market import Market
from polyhost.model.openings import Openings
from polyhost.model.series import DURATIONS, window_at, windows_from
from polyhost.model.times import MarketMs
from polyhost.model.view import Candle
from polyhost.model.words import SettlementRule, Side
from polyhost.venue.polymarket.gamma import market_of

NOON = int(datetime.fromisoformat("2026-11-21T17:00Z").timestamp() * 1_000)
"""Noon in New York: windows of every duration end here but the 4 h one."""
MINUTE = 60_000
LENGTHS = sorted(RULES)


def world_before(duration_s: int, lead_s: int, seed: int = 5) -> tuple[World, Market]:
    """A quiet world shortly before the running window of a series ends, and that window."""
    end = window_at(duration_s, NOON - 1)[1]
    settings = WorldSettings(
        symbols=("BTC",), durations_s=(duration_s,), density=0.0, plain_market=False,
        rules=ExchangeRules(market_channel=False),
    )
    world = World(settings, seed, MarketMs(end - lead_s * 1_000))
    world.advance(MarketMs(end - lead_s * 1_000))
    (market,) = [each for each in world.listing() if each.end == end]
    return world, market


def told(world: World, until: int) -> tuple[dict[tuple[str, int], int], dict[int, CandleTick], list[MarketDecided]]:
    """What everybody could hear until then: ticks by feed and stamp, the last word of each candle, results."""
    ticks: dict[tuple[str, int], int] = {}
    candles: dict[int, CandleTick] = {}
    results: list[MarketDecided] = []
    for output in world.advance(MarketMs(until)):
        if isinstance(output, PriceTick):
            ticks[output.feed, output.stamp] = output.price
        elif isinstance(output, CandleTick):
            candles[output.start] = output
        elif isinstance(output, MarketDecided):
            results.append(output)
    return ticks, candles, results


def expected_of(
    world: World, market: Market, ticks: dict[tuple[str, int], int], candles: dict[int, CandleTick]
) -> tuple[int, int]:
    """Strike and final price as a client works them out from public data."""
    assert market.start is not None
    opening = world.klines("BTC", market.start, limit=1)[0]
    assert opening.start == market.start
    match market.duration_s:
        case 300 | 900:
            return ticks["twap_60", market.start], ticks["twap_60", market.end]
        case 14_400:
            # Four hours ago nobody listened: the strike is what the feed said, as the exchange remembers it.
            return world.prices["BTC"].mark(market.start // 1_000).chainlink, ticks["chainlink", market.end]
        case 3_600:
            return opening.open, candles[market.end - MINUTE].close
        case _:
            return opening.close, candles[market.end].close


@pytest.mark.parametrize("duration_s", LENGTHS)
def test_con_16_sim_02_a_window_of_every_duration_settles_by_its_own_rule(duration_s: int) -> None:
    lead_s = duration_s + 120 if duration_s <= 900 else 300
    world, market = world_before(duration_s, lead_s)
    assert market.rule is RULES[duration_s]
    ticks, candles, results = told(world, market.end + 5 * MINUTE)
    (result,) = [each for each in results if each.condition_id == market.condition_id]
    strike, final = expected_of(world, market, ticks, candles)
    assert (result.strike, result.final) == (strike, final)
    assert result.winner is (Side.UP if final >= strike else Side.DOWN)
    resolution = world.resolution(market.condition_id)
    assert resolution is not None
    waits = MINUTE if duration_s == 86_400 else 0
    assert resolution[1] == market.end + waits + world.settings.resolve_delay_ms


@pytest.mark.parametrize("duration_s", LENGTHS)
def test_con_16_a_tie_goes_to_up_and_of_a_daily_window_to_both(duration_s: int) -> None:
    world, market = world_before(duration_s, 30)
    world.exchange.open_account("holder", 0)
    account = world.exchange._bank.accounts["holder"]
    account.shares = {market.up: 10_000_000, market.down: 4_000_000}
    world.exchange._bank.pots[market.condition_id] = 10_000_000
    waits = MINUTE if duration_s == 86_400 else 0
    world.advance(MarketMs(market.end + waits))
    listed = world.windows.listed[market.condition_id]
    assert listed.final is not None
    listed.strike = listed.final
    world.advance(MarketMs(market.end + waits + world.settings.resolve_delay_ms))
    resolution = world.resolution(market.condition_id)
    assert resolution is not None
    assert resolution[0].winner is (None if duration_s == 86_400 else Side.UP)
    worth = 7_000_000 if duration_s == 86_400 else 10_000_000
    assert world.exchange.redeemable("holder") == {market.condition_id: worth}


def test_con_16_a_rule_swap_settles_wrongly_and_is_seen() -> None:
    """The mean of a minute and its last price disagree now and then: the exchange goes by the mean."""
    settings = WorldSettings(
        symbols=("BTC",), durations_s=(300,), density=0.0, plain_market=False,
        rules=ExchangeRules(market_channel=False),
    )
    world = World(settings, 3, MarketMs(NOON))
    apart = 0
    for _ in range(48):
        market = next(each for each in world.listing(closed=False) if each.end > world._now)
        world.advance(MarketMs(market.end + world.settings.resolve_delay_ms))
        resolution = world.resolution(market.condition_id)
        assert resolution is not None
        assert market.start is not None
        first, last = (world.prices["BTC"].mark(at // 1_000) for at in (market.start, market.end))
        by_mean = winner_of(first.twap, last.twap)
        by_spot = winner_of(first.chainlink, last.chainlink)
        assert resolution[0].winner is by_mean
        apart += by_mean is not by_spot
    assert apart >= 2, "of 48 windows some are decided otherwise by spot"


def served(market: Market) -> dict[str, Any]:
    """The catalogue's object of a market as a client receives it."""
    found: dict[str, Any] = json.loads(encode(gamma_market(market, 7, WireBook(market, NOON), None, NOON)))
    return found


@pytest.mark.parametrize("duration_s", LENGTHS)
def test_con_16_the_host_reads_each_markets_rule_and_times_from_the_catalogue(duration_s: int) -> None:
    """The catalogue's object, as served, read by the host: its rule, not one derived from the slug alone."""
    for start, end in windows_from(duration_s, NOON - 1, 2):
        market = window_market("ETH", duration_s, start, 1)
        shown = served(market)
        assert shown["events"][0]["eventMetadata"] is None, "no strike in the catalogue during the window"
        read = market_of(shown)
        assert (read.rule, read.start, read.end) == (RULES[duration_s], start, end)
        assert (read.symbol, read.duration_s, read.slug) == ("ETH", duration_s, market.slug)
        assert read.assumed == ()
        config = shown["cryptoMarketConfig"]
        assert config["twapEnabled"] is (duration_s <= 900)
        assert config["twapLookbackSeconds"] == (60 if duration_s <= 900 else 0)
        source = shown["resolutionSource"]
        assert source.startswith("https://data.chain.link/" if duration_s in (300, 900, 14_400) else "https://www.bina")


def test_con_16_a_spot_configuration_does_not_hide_a_candle() -> None:
    """An hourly window says ``twapEnabled: false``, which is no word for spot; a bare one goes by its series."""
    market = window_market("BTC", 3_600, NOON, 1)
    shown = served(market)
    assert market_of(shown).rule is SettlementRule.CANDLE
    bare = {**shown, "description": "", "resolutionSource": ""}
    assert market_of(bare).rule is SettlementRule.CANDLE
    assert "rule" in market_of(bare).assumed


@pytest.mark.parametrize("duration_s", LENGTHS)
def test_con_16_the_strike_comes_from_the_settlement_source_at_the_opening(duration_s: int) -> None:
    """Fed with everything the exchange publishes, the host's reading is the exchange's strike, and only when known."""
    end = window_at(duration_s, NOON - 1)[1]
    settings = WorldSettings(
        symbols=("BTC",), durations_s=(duration_s,), density=0.0, plain_market=False,
        rules=ExchangeRules(market_channel=False),
    )
    world = World(settings, 9, MarketMs(end - 30_000))
    world.advance(MarketMs(end - 30_000))
    market = next(each for each in world.listing() if each.start == end)
    openings = Openings()
    assert openings.ask(market) is None
    seen: list[tuple[int, int]] = []
    for at, outputs in world.instants(MarketMs(end + 3 * MINUTE)):
        for output in outputs:
            found = []
            if isinstance(output, PriceTick):
                found = openings.price(output.feed, output.symbol, output.price, output.stamp)
            elif isinstance(output, CandleTick):
                found = openings.candle(output.symbol, _candle(output), output.closed)
            seen += [(at, strike.price) for strike in found]
    ((at, price),) = seen
    assert price == world.windows.strike(market.condition_id)
    assert at >= end + (MINUTE if duration_s == 86_400 else 0)
    known = openings.ask(market)
    assert known is not None
    assert known.price == price


def _candle(tick: CandleTick) -> Candle:
    return Candle(
        tick.start, tick.open / 1e8, tick.high / 1e8, tick.low / 1e8, tick.close / 1e8, tick.volume / 1e8
    )


def test_con_08_windows_of_every_duration_roll_over_a_change_of_the_clock_without_a_gap() -> None:
    """The Eastern clock goes back on 2026-11-01 at 06:00 UTC: an hour twice, a day of 25 hours."""
    start = int(datetime.fromisoformat("2026-11-01T03:30Z").timestamp() * 1_000)
    settings = WorldSettings(
        symbols=("XRP",), durations_s=(3_600, 14_400, 86_400), density=0.0, plain_market=False,
        rules=ExchangeRules(market_channel=False),
    )
    world = World(settings, 1, MarketMs(start))
    spans: dict[int, set[tuple[int, int]]] = {duration_s: set() for duration_s in settings.durations_s}
    slugs: set[str] = set()
    until = start + 15 * 3_600_000
    for at in range(start, until, 30 * MINUTE):
        world.advance(MarketMs(at))
        for market in world.listing():
            assert market.start is not None
            spans[market.duration_s].add((market.start, market.end))
            slugs.add(market.slug)
        running = [each for each in world.listing(closed=False) if (each.start or 0) <= at < each.end]
        assert sorted(each.duration_s for each in running) == list(settings.durations_s)
    for found in spans.values():
        ordered = sorted(found)
        assert all(before[1] == after[0] for before, after in pairwise(ordered))
    assert {"xrp-up-or-down-november-1-2026-1am-et", "xrp-up-or-down-november-1-2026-1am-et-2"} <= slugs
    assert (end_of("2026-10-31T16:00Z"), end_of("2026-11-01T17:00Z")) in spans[86_400]


def end_of(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


def test_sim_02_the_fair_value_of_an_hourly_window_is_right_about_its_own_certainty() -> None:
    """Over many openings the chance of UP is borne out as often as it says, within sampling error."""
    expected = borne_out = spread = 0.0
    for seed in range(24):
        world, market = world_before(3_600, 1_200, seed)
        assert market.start is not None
        strike = world.windows.strike(market.condition_id)
        chance = up_chance(world.prices["BTC"], strike, market.start, market.end, market.rule)
        world.advance(MarketMs(market.end + 10_000))
        resolution = world.resolution(market.condition_id)
        assert resolution is not None
        expected += chance
        borne_out += resolution[0].winner is Side.UP
        spread += chance * (1 - chance)
    assert 4 < expected < 20
    assert abs(expected - borne_out) < 3 * spread**0.5, (expected, borne_out)


def test_the_durations_offered_are_those_with_a_rule() -> None:
    assert sorted(DURATIONS.values()) == LENGTHS
