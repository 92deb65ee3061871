"""Strikes: of prices only those are kept at which a window can begin."""

from __future__ import annotations

from polyhost.model.market import Market
from polyhost.model.openings import KEPT, Openings
from polyhost.model.series import DURATIONS
from polyhost.model.times import MarketMs
from polyhost.model.view import Candle
from polyhost.model.words import SettlementRule

DAY_MS = 86_400_000
START = 1_800_000_000_000 - 1_800_000_000_000 % DAY_MS
SYMBOLS = ("BTC", "ETH", "SOL", "XRP")


def test_b8_a_day_of_four_symbols_is_kept_and_no_minute_at_which_nothing_begins() -> None:
    openings = Openings()
    for at in range(START, START + DAY_MS, 60_000):
        for symbol in SYMBOLS:
            for feed in ("chainlink", "twap_60"):
                openings.price(feed, symbol, 100, at)
            openings.candle(symbol, Candle(at, 1.0, 1.0, 1.0, 1.0, 1.0), closed=True)
    assert len(openings._known) == 288 * len(SYMBOLS) * 4 <= KEPT
    assert all(seconds % 300 == 0 for seconds in DURATIONS.values())


def test_con_16_a_window_found_late_has_the_price_at_which_it_began() -> None:
    openings = Openings()
    for minute in range(20):
        openings.price("chainlink", "BTC", 100 + minute, START + minute * 60_000)
        openings.price("twap_60", "BTC", 200 + minute, START + minute * 60_000)
    for minute in (0, 5, 15):
        start = START + minute * 60_000
        times = MarketMs(start + 300_000), MarketMs(start)
        market = Market("btc", "0xc", "1", "2", *times, "BTC", 300, rule=SettlementRule.TWAP_60)
        strike = openings.ask(market)
        assert strike is not None
        assert strike.price == 200 + minute
