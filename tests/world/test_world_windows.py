"""Windows: created ahead, rolled without a gap, decided by the TWAP with ties to Up."""

from __future__ import annotations

from polyhost.exchange.api import MarketDecided, MarketEnded, MarketOpened
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.settlement import winner_of
from polyhost.exchange.windows import PLAIN_SLUG, plain_market, window_market
from polyhost.exchange.world import World, WorldSettings
from polyhost.model.series import window_of
from polyhost.model.times import MarketMs
from polyhost.model.words import SettlementRule, Side

START = MarketMs(1_795_219_200_000)
QUIET = WorldSettings(symbols=("BTC", "XRP"), density=0.0, rules=ExchangeRules(market_channel=False))


def test_a_tie_goes_to_up() -> None:
    assert winner_of(100, 100) is Side.UP
    assert winner_of(100, 99) is Side.DOWN
    assert winner_of(100, 101) is Side.UP


def test_con_08_windows_roll_without_a_gap() -> None:
    world = World(QUIET, 1, START)
    for at, _ in world.instants(MarketMs(START + 3_600_000)):
        if at % 60_000:
            continue
        for symbol in QUIET.symbols:
            for duration_s in QUIET.durations_s:
                windows = [
                    market
                    for market in world.listing(closed=False)
                    if market.symbol == symbol and market.duration_s == duration_s and market.end > at
                ]
                starts = [market.start for market in windows]
                step = duration_s * 1_000
                running = at - at % step
                assert starts == [running + count * step for count in range(QUIET.windows_ahead + 1)]
                assert all(market.accepting for market in windows)


def test_con_16_a_window_is_decided_by_the_twap_at_its_start_and_end() -> None:
    """Strike and final are the published TWAP ticks of the two seconds; the result comes eight seconds later."""
    world = World(QUIET, 2, START)
    twap: dict[tuple[str, int], int] = {}
    decided: dict[str, tuple[int, MarketDecided]] = {}
    for at, outputs in world.instants(MarketMs(START + 1_900_000)):
        for output in outputs:
            if isinstance(output, MarketDecided):
                decided[output.condition_id] = (at, output)
    for tick in (tick for symbol in QUIET.symbols for tick in world.recent_prices("twap_60", symbol, 890)):
        twap[tick.symbol, tick.stamp] = tick.price
    compared = 0
    for condition_id, (at, result) in decided.items():
        market = world.market_by_condition(condition_id)
        assert market is not None
        assert market.start is not None
        assert at == market.end + QUIET.resolve_delay_ms
        assert world.resolution(condition_id) == (result, at)
        assert result.strike is not None
        assert result.final is not None
        assert result.winner is (Side.UP if result.final >= result.strike else Side.DOWN)
        for stamp, value in ((market.start, result.strike), (market.end, result.final)):
            if (market.symbol, stamp) in twap:
                assert twap[market.symbol, stamp] == value
                compared += 1
    assert len(decided) == 2 * (6 + 2)
    assert compared >= 10


def test_the_strike_of_a_window_is_the_final_of_the_one_before() -> None:
    world = World(QUIET, 3, START)
    world.advance(MarketMs(START + 1_300_000))
    results = {}
    for market in world.listing(closed=True):
        resolution = world.resolution(market.condition_id)
        assert resolution is not None
        results[market.slug] = resolution[0]
    first, second = results["btc-updown-5m-1795219200"], results["btc-updown-5m-1795219500"]
    assert second.strike == first.final


def test_each_market_is_opened_ended_and_decided_once_in_this_order() -> None:
    world = World(QUIET, 1, START)
    told: dict[str, list[str]] = {}
    for _, outputs in world.instants(MarketMs(START + 1_000_000)):
        for output in outputs:
            if isinstance(output, MarketOpened):
                told.setdefault(output.market.condition_id, []).append("opened")
            elif isinstance(output, MarketEnded | MarketDecided):
                told[output.condition_id].append(type(output).__name__)
    ended = {key for key, words in told.items() if len(words) > 1}
    assert all(told[key] == ["opened", "MarketEnded", "MarketDecided"] for key in ended)
    assert len(ended) == 2 * (3 + 1)


def test_a_world_that_begins_inside_a_window_knows_its_strike() -> None:
    world = World(QUIET, 1, MarketMs(START + 123_456))
    world.advance(MarketMs(START + 310_000))
    market = world.market_by_slug("btc-updown-5m-1795219200")
    assert market is not None
    resolution = world.resolution(market.condition_id)
    assert resolution is not None
    assert resolution[0].strike is not None


def test_con_15_the_plain_market_has_no_window() -> None:
    world = World(QUIET, 1, START)
    market = world.market_by_slug(PLAIN_SLUG)
    assert market is not None
    assert market.start is None
    assert market.rule is SettlementRule.ORACLE
    assert market.end - START >= 29 * 86_400_000
    assert world.market_by_token(market.down) == market


def test_ids_follow_from_slug_and_seed() -> None:
    one, same, other = (window_market("BTC", 300, START, seed) for seed in (1, 1, 2))
    assert one == same
    assert one.condition_id != other.condition_id
    assert len(one.condition_id) == 66
    assert one.condition_id.startswith("0x")
    assert one.up.isdigit()
    assert int(one.up) < 1 << 256
    assert len({one.up, one.down, other.up, other.down, plain_market(1, START).up}) == 5
    named = window_of(one.slug)
    assert named is not None
    assert (named.symbol, named.duration_s, named.start) == ("BTC", 300, START)


def test_resolved_markets_are_forgotten_after_a_day() -> None:
    settings = WorldSettings(symbols=("XRP",), durations_s=(900,), density=0.0, plain_market=False)
    world = World(settings, 1, START)
    first = world.listing()[0]
    world.advance(MarketMs(START + 86_400_000 + 900_000))
    assert world.market_by_slug(first.slug) == world.market_by_condition(first.condition_id)
    assert world.market_by_slug(first.slug) is not None
    world.advance(MarketMs(START + 86_400_000 + 910_000))
    assert world.market_by_slug(first.slug) is None
    assert len(world.listing(closed=True)) <= 97
