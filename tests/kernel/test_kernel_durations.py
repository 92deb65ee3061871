"""Windows of every length: obligations and scaled times (EXI-11), and what a view tells of settlement (CON-16)."""

from __future__ import annotations

import pytest

from polyhost.model.commands import Prepare
from polyhost.model.events import MarketResolved
from polyhost.model.market import PRICE_E8, Market
from polyhost.model.records import MarketSettled
from polyhost.model.series import DURATIONS, window_at, window_slug
from polyhost.model.view import Candle, View
from polyhost.model.words import Action, SettlementRule, Side

from .rig import CONDITION, DOWN, START, UP, Rig

RULES = {
    300: SettlementRule.TWAP_60, 900: SettlementRule.TWAP_60, 3_600: SettlementRule.CANDLE,
    14_400: SettlementRule.SPOT, 86_400: SettlementRule.CANDLE_CLOSES,
}  # fmt: skip


def market_of(duration_s: int) -> Market:
    start, end = window_at(duration_s, START)
    return Market(
        slug=window_slug("BTC", duration_s, start), condition_id=CONDITION, up=UP, down=DOWN, start=start, end=end,
        symbol="BTC", duration_s=duration_s, rule=RULES[duration_s],
    )


def sells(rig: Rig) -> list[Prepare]:
    return [each for each in rig.commands if isinstance(each, Prepare) and each.draft.action is Action.SELL]


@pytest.mark.parametrize(
    ("duration_s", "close_s"), [(300, 40), (900, 120), (3_600, 120), (14_400, 120), (86_400, 120)]
)
def test_exi_11_a_position_is_closed_by_its_deadline_in_windows_of_every_length(duration_s: int, close_s: int) -> None:
    """The 120 seconds of a quarter of an hour are 40 at five minutes, and stay 120 in longer windows."""
    market = market_of(duration_s)
    rig = Rig(market=market, start_at=market.end - close_s * 1_000 - 100_000)
    rig.book("0.40/0.42")
    rig.enter()
    (due,) = rig.kernel.state.obligations.values()
    assert due == market.end - close_s * 1_000
    rig.book("0.40/0.42")
    rig.to(due - 1)
    assert sells(rig) == []
    rig.book("0.40/0.42")
    rig.to(due + 1_999)
    assert sells(rig) == [], "the plugins have two seconds"
    rig.to(due + 2_000)
    assert len(sells(rig)) == 1, "nobody wanted an exit: the host sells by itself"


@pytest.mark.parametrize("duration_s", sorted(DURATIONS.values()))
def test_exi_11_scaled_times(duration_s: int) -> None:
    market = market_of(duration_s)
    rig = Rig(market=market, start_at=market.end - 200_000)
    rig.book("0.40/0.42")
    view = rig.ask().view
    assert view.scaled_s(120.0) == (40.0 if duration_s == 300 else 120.0)
    assert view.time_left_s < 200


def seen(duration_s: int, *ticks: tuple[str, int, int]) -> View:
    """The next view after reference ticks (feed, whole price, seconds after the beginning)."""
    market = market_of(duration_s)
    rig = Rig(market=market, start_at=market.end - 200_000)
    for feed, price, at_s in ticks:
        rig.now += 1_000
        rig.kernel.price(feed, "BTC", price * 100_000_000, market.end - 200_000 + at_s * 1_000, rig.now)
    rig.book("0.40/0.42")
    return rig.ask().view


TICKS = (("binance", 70_030, 0), ("chainlink", 70_000, 1), ("twap_60", 69_990, 1), ("binance", 70_040, 1))


@pytest.mark.parametrize(
    ("duration_s", "reference"),
    [(300, 69_990.0), (900, 69_990.0), (3_600, 70_040.0), (14_400, 70_000.0), (86_400, 70_040.0)],
)
def test_con_16_the_reference_is_the_feed_that_settles_the_market(duration_s: int, reference: float) -> None:
    assert seen(duration_s, *TICKS).reference == reference
    none = seen(duration_s)
    assert none.reference is None
    assert none.strike is None


def test_con_16_a_twap_market_without_its_feed_has_no_reference() -> None:
    """The feed's spot value is no stand-in for its mean."""
    assert seen(300, ("chainlink", 70_000, 0)).reference is None


def test_con_16_the_basis_between_spot_and_the_settlement_feed_is_tracked() -> None:
    assert seen(300).basis is None, "unknown, not zero"
    assert seen(300, ("chainlink", 70_000, 0)).basis is None
    assert seen(300, *TICKS).basis == 30.0
    both = (("binance", 70_030, 0), ("chainlink", 70_000, 0), ("binance", 70_050, 1), ("chainlink", 70_010, 1))
    assert seen(14_400, *both).basis == 35.0, "the mean of what was seen"
    assert seen(3_600, *both).basis == 0.0, "spot itself settles the hour"


def test_con_16_an_old_spot_price_says_nothing_of_the_basis() -> None:
    assert seen(300, ("binance", 70_030, 0), ("chainlink", 70_000, 11)).basis is None
    assert seen(300, ("binance", 70_030, 0), ("chainlink", 70_000, 10)).basis == 30.0


SECONDS_BEFORE = {300: 0, 900: 0, 3_600: 60, 14_400: 0, 86_400: 0}
SOURCES = {300: "twap_60", 900: "twap_60", 3_600: "candle_close", 14_400: "chainlink", 86_400: "candle_close"}
"""Whose price ends a window, and how long before its end the tick is stamped (or the candle begins)."""


def settled(
    duration_s: int, price: int, *, late_ms: int = 0, symbol: str = "BTC", told: int | None = None
) -> MarketSettled:
    """A window that ends, and what every source says of its end, ``late_ms`` away from what counts."""
    market = market_of(duration_s)
    rig = Rig(market=market, start_at=market.end - 200_000)
    stamp = market.end - SECONDS_BEFORE[duration_s] * 1_000 + late_ms
    for source in ("twap_60", "chainlink", "candle_close"):
        value = price if source == SOURCES[duration_s] else price + 1
        for said in (value, value + 7):  # what comes once more changes nothing
            if source == "candle_close":
                candle = Candle(stamp, said - 2, said + 5, said - 5, said, 1)
                rig.kernel.candle(symbol, candle, closed=False)
                rig.kernel.candle(symbol, candle, closed=True)
            else:
                rig.kernel.price(source, symbol, said * PRICE_E8, stamp, rig.now)
    rig.to(market.end + 90_000)
    rig.do(MarketResolved(CONDITION, Side.UP, "stream", told))
    (record,) = (each for each in rig.records if isinstance(each, MarketSettled))
    assert rig.kernel.state.markets[CONDITION].final == record.final
    return record


@pytest.mark.parametrize("duration_s", sorted(DURATIONS.values()))
def test_con_16_a_result_without_a_price_gets_the_settlement_sources_own_of_the_end(duration_s: int) -> None:
    """By the market's own rule; neither a second late, nor of another coin, nor against what the venue tells."""
    assert settled(duration_s, 70_000).final == 70_000 * PRICE_E8
    assert settled(duration_s, 70_000, told=1).final == 1
    assert settled(duration_s, 70_000, late_ms=1_000).final is None
    assert settled(duration_s, 70_000, late_ms=-60_000).final is None
    assert settled(duration_s, 70_000, symbol="ETH").final is None
