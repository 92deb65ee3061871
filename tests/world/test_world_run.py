"""The world as a whole: deterministic, sliced at will, saved and loaded, with books that never cross."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhost.exchange.api import (
    BookChanged,
    CancelOrders,
    MarketOpened,
    NewOrder,
    Output,
    Posted,
    PostOrder,
    Printed,
    UserTrade,
)
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.world import World, WorldSettings
from polyhost.model.market import Market
from polyhost.model.money import MICRO, ONE
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType

START = MarketMs(1_795_219_200_000)
SMALL = WorldSettings(symbols=("BTC",), durations_s=(300,), plain_market=False)
CLIENT, KEY = "0x00000000000000000000000000000000000000c1", "client-key"


def buy(market: Market, order_id: str, price: int, size: int, order_type: OrderType = OrderType.GTC) -> NewOrder:
    """A client's BUY of UP; price in ticks, size in whole shares."""
    money = size * MICRO * price // ONE
    return NewOrder(order_id, CLIENT, KEY, market.up, Action.BUY, money, size * MICRO, order_type)


def running(world: World, now: int) -> Market:
    return next(market for market in world.listing(closed=False) if market.start is not None and market.end > now)


def with_client(world: World) -> World:
    world.exchange.open_account(CLIENT, 1_000 * MICRO)
    return world


def test_sim_04_the_same_seed_gives_the_same_outputs() -> None:
    first, second, other = (World(SMALL, seed, START).advance(MarketMs(START + 60_000)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@given(cuts=st.lists(st.integers(0, 20_000), max_size=15))
@settings(max_examples=15, deadline=None)
def test_sim_04_slicing_does_not_change_the_outputs(cuts: list[int]) -> None:
    """The same client does the same at 5 s and 12 s; in between time advances in one go or in many steps."""

    def story(steps: list[int]) -> list[Output]:
        world = with_client(World(SMALL, 7, START))
        out: list[Output] = []
        for cut in sorted({*steps, 5_000, 12_000, 20_000}):
            now = MarketMs(START + cut)
            if cut == 5_000:
                market = running(world, now)
                out += world.handle(PostOrder(1, buy(market, "0xa1", 9_900, 20, OrderType.FAK)), now)
                out += world.handle(PostOrder(2, buy(market, "0xa2", 4_000, 20)), now)
            elif cut == 12_000:
                out += world.handle(CancelOrders(3, KEY), now)
            else:
                out += world.advance(now)
        return out

    assert story(cuts) == story([])


def test_instants_are_the_outputs_of_advance_with_their_times() -> None:
    whole = World(SMALL, 1, START).advance(MarketMs(START + 5_000))
    parts = list(World(SMALL, 1, START).instants(MarketMs(START + 5_000)))
    assert [output for _, outputs in parts for output in outputs] == whole
    times = [at for at, _ in parts]
    assert times == sorted(set(times))
    assert times[0] == START


def test_sim_06_a_saved_world_goes_on_identically() -> None:
    world = with_client(World(SMALL, 5, START))
    now = MarketMs(START + 281_234)
    world.advance(now)
    world.handle(PostOrder(1, buy(running(world, now), "0xb1", 100, 50)), now)
    again = World.load(SMALL, json.loads(json.dumps(world.save())))
    assert again.save() == world.save()
    later = MarketMs(START + 330_000)
    assert again.advance(later) == world.advance(later)
    assert again.save() == world.save()
    assert again.listing() == world.listing()


def test_a_state_of_other_settings_is_refused_by_name() -> None:
    world = World(SMALL, 5, START)
    world.advance(START)
    state = world.save()
    with pytest.raises(ValueError, match="density was 20"):
        World.load(WorldSettings(symbols=("BTC",), durations_s=(300,), plain_market=False, density=5.0), state)
    with pytest.raises(ValueError, match="version"):
        World.load(SMALL, {**state, "version": 0})


@pytest.mark.parametrize(
    ("settings_", "problem"),
    [
        (WorldSettings(durations_s=(60,)), "durations_s has 60"),
        (WorldSettings(windows_ahead=0), "windows_ahead"),
        (WorldSettings(density=-1.0), "density"),
        (WorldSettings(symbols=()), "symbols"),
    ],
)
def test_settings_that_make_no_world_are_refused(settings_: WorldSettings, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        World(settings_, 1, START)


def test_books_never_cross_and_the_exchange_stays_sound() -> None:
    world = with_client(World(WorldSettings(symbols=("BTC",)), 3, START))
    changed = 0
    sent = 0
    for at, outputs in world.instants(MarketMs(START + 420_000)):
        for output in outputs:
            if isinstance(output, BookChanged):
                changed += 1
                book = world.exchange.book(output.condition_id)
                assert book.best_bid < book.best_ask
                assert all(0 < price < ONE and size > 0 for price, size in book.bids.items())
        if at % 7 == 0 and sent < 40:
            sent += 1
            market = running(world, at)
            price = max(world.exchange.book(market.condition_id).best_bid // 100 * 100, 100)
            world.handle(PostOrder(sent, buy(market, f"0x{sent:x}", price, 5)), at)
    assert changed > 5_000
    assert world.exchange.audit() == []


def test_a_client_can_take_and_be_taken() -> None:
    """A marketable order fills after the taker delay; one that offers more than fair is taken by the population."""
    world = with_client(World(SMALL, 9, START))
    world.advance(MarketMs(START + 10_000))
    market = running(world, START + 10_000)
    out = world.handle(PostOrder(1, buy(market, "0xc1", 9_900, 10, OrderType.FAK)), MarketMs(START + 10_000))
    out += world.advance(MarketMs(START + 10_150))
    posted = next(output for output in out if isinstance(output, Posted))
    assert posted.status == "matched"
    assert posted.taking == 10 * MICRO
    book = world.exchange.book(market.condition_id)
    better = book.best_ask - 100
    out = world.handle(PostOrder(2, buy(market, "0xc2", better, 10)), MarketMs(START + 10_200))
    out += world.advance(MarketMs(START + 60_000))
    assert any(isinstance(output, UserTrade) and output.owner == KEY for output in out)


def test_density_is_events_a_second_and_symbol() -> None:
    for density in (5.0, 40.0):
        world = World(WorldSettings(symbols=("BTC", "ETH"), density=density), 1, START)
        world.advance(MarketMs(START + 120_000))
        expected = 2 * 120 * density
        assert abs(world.population.events - expected) < 5 * expected**0.5


def test_nobody_trades_at_density_zero_and_the_world_can_be_thinned() -> None:
    world = World(WorldSettings(symbols=("BTC",), density=0.0), 1, START)
    assert not [out for out in world.advance(MarketMs(START + 20_000)) if isinstance(out, BookChanged | Printed)]
    world = World(WorldSettings(symbols=("BTC",)), 1, START)
    world.advance(MarketMs(START + 10_000))
    before = world.population.events
    world.thin(2.0)
    world.advance(MarketMs(START + 110_000))
    assert abs(world.population.events - before - 200) < 75


def test_a_population_that_slept_comes_back_to_every_market() -> None:
    """Density 0 for a while: windows roll without books; then new markets get theirs and old quotes move on."""
    world = World(SMALL, 1, START)
    world.advance(MarketMs(START + 10_000))
    world.thin(0.0)
    world.advance(MarketMs(START + 700_000))
    assert any(not world.exchange.book(market.condition_id).bids for market in world.listing(closed=False))
    world.thin(20.0)
    before = world.population.events
    world.advance(MarketMs(START + 760_000))
    assert world.population.events - before > 1_000
    for market in world.listing(closed=False):
        book = world.exchange.book(market.condition_id)
        assert len(book.bids) + len(book.asks) >= 60
        assert not book.crossed


def test_klines_reach_two_hours_back_and_end_unfinished() -> None:
    world = World(SMALL, 1, MarketMs(START + 30_000))
    world.advance(MarketMs(START + 90_500))
    candles = world.klines("BTC", limit=1_000)
    assert len(candles) >= 120
    assert [candle.closed for candle in candles[-2:]] == [True, False]
    assert world.klines("BTC", start_ms=START - 600_000, limit=3) == candles[-12:-9]
    assert [candle.start for candle in world.klines("BTC", end_ms=START - 60_000, limit=2)] == [
        START - 120_000,
        START - 60_000,
    ]
    assert world.spot("BTC") == candles[-1].close


def test_price_history_is_the_midpoint_each_minute_for_both_tokens() -> None:
    world = World(SMALL, 1, START)
    world.advance(MarketMs(START + 250_000))
    market = running(world, START + 250_000)
    first = START // 1_000
    up = world.price_history(market.up, first, first + 300)
    assert [second for second, _ in up] == [first + 60 * count for count in range(5)][-len(up) :]
    assert len(up) >= 4
    assert all(0 < mid < ONE for _, mid in up)
    assert world.price_history(market.down, first, first + 300) == [(second, ONE - mid) for second, mid in up]
    assert [second for second, _ in world.price_history(market.up, first, first + 300, 2)] == [
        second for second, _ in up if second // 60 % 2 == 0
    ]
    assert world.price_history("12345", first, first + 300) == []


def test_a_new_market_has_a_book_at_once() -> None:
    world = World(SMALL, 1, START)
    seen = 0
    for _, outputs in world.instants(MarketMs(START + 301_000)):
        for output in outputs:
            if isinstance(output, MarketOpened):
                book = world.exchange.book(output.market.condition_id)
                assert len(book.bids) >= 20
                assert len(book.asks) >= 20
                seen += 1
    assert seen == 4


def test_a_world_without_a_market_channel_trades_alike() -> None:
    """Simulations switch the stream outputs off; what happens is the same."""
    loud, quiet = (
        World(WorldSettings(symbols=("BTC",), durations_s=(300,), rules=rules), 4, START)
        for rules in (ExchangeRules(), ExchangeRules(market_channel=False))
    )
    for world in (loud, quiet):
        world.advance(MarketMs(START + 60_000))
    for one, other in zip(loud.listing(), quiet.listing(), strict=True):
        assert loud.exchange.book(one.condition_id).bids == quiet.exchange.book(other.condition_id).bids
