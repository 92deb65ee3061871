"""Every pathology: it happens when it is certain, it does not when it is off, and nothing is lost or made by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.exchange.pathologies import CATALOGUE
from polyhost.exchange.pathologies.catalogue import SIMULATION
from polyhost.model import commands, events
from polyhost.model.market import Market
from polyhost.model.money import micros
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, Side

Story = Callable[[Any], bool]
STORIES: dict[str, Story] = {}


def story(play: Story) -> Story:
    """A story is called like its pathology and tells whether it was seen."""
    STORIES[play.__name__] = play
    return play


# --- answers to orders ------------------------------------------------------------------------------------------------


@story
def error_but_filled(venue: Any) -> bool:
    order_id = venue.buy()
    assert venue.shares == micros("10"), "the order stands in both cases"
    assert venue.statuses() == ["MATCHED"]
    return venue.code(order_id) == "server_error" and venue.answer(order_id).outcome == "unknown"


@story
def timeout_but_filled(venue: Any) -> bool:
    order_id = venue.buy()
    venue.run(5_000)
    assert venue.shares == micros("10")
    silent = venue.answer(order_id) is None
    venue.run(10_000)
    return silent and (venue.answer(order_id).outcome, venue.code(order_id)) == ("unknown", "transport")


@story
def late_fill(venue: Any) -> bool:
    venue.buy()
    venue.run(3_000)
    hidden = venue.statuses() == []
    (swept,) = venue.do(commands.Sweep("0xc0", 0))
    assert (swept.trades == ()) == hidden
    venue.run(40_000)
    assert venue.statuses() == ["MATCHED", "MINED", "CONFIRMED"], "it comes, in order"
    return hidden


@story
def update_before_response(venue: Any) -> bool:
    order_id = venue.post("BUY", "0.40", "10")
    early = venue.answer(order_id) is None
    assert len(venue.events(events.OrderSeen)) == 1
    venue.run(2_000)
    assert venue.code(order_id) == "live"
    return early


@story
def partial_then_reject(venue: Any) -> bool:
    venue.house("SELL", "0.50", "6")
    order_id = venue.post("BUY", "0.50", "12")
    venue.run(200)
    assert venue.shares == micros("6")
    rests = venue.open_orders() == [order_id]
    rejected = venue.code(order_id) == "rounding_500"
    assert rests != rejected
    return rejected


# --- trades and money -------------------------------------------------------------------------------------------------


@story
def ghost_fill(venue: Any) -> bool:
    venue.buy()
    assert venue.shares == micros("10")
    assert venue.money < micros("995"), "price and fee are gone first"
    venue.run(100_000)
    failed = venue.statuses() == ["MATCHED", "RETRYING", "FAILED"]
    assert failed == (venue.money == micros("1000") and venue.shares == 0)
    return failed


@story
def settlement_late(venue: Any) -> bool:
    venue.buy()
    venue.run(30_000)
    late = venue.statuses() == ["MATCHED"] and venue.token_balance() == 0
    venue.run(600_000)
    assert venue.statuses() == ["MATCHED", "MINED", "CONFIRMED"]
    assert venue.token_balance() == micros("10")
    return late


@story
def balance_lag(venue: Any) -> bool:
    venue.buy()
    venue.run(4_000)
    assert "MINED" in venue.statuses()
    lags = venue.token_balance() == 0
    assert (venue.code(venue.post("SELL", "0.60", "10")) == "balance") == lags
    venue.run(40_000)
    assert venue.token_balance() == micros("10")
    return lags


@story
def balance_zero_after_fill(venue: Any) -> bool:
    venue.buy()
    venue.run(15_000)
    assert venue.token_balance() == micros("10")
    venue.buy()
    zero = venue.token_balance() == 0
    venue.run(15_000)
    assert venue.token_balance() == micros("20")
    return zero


@story
def phantom_lock(venue: Any) -> bool:
    venue.buy()
    order_id = venue.post("BUY", "0.40", "2480")
    locked = venue.code(order_id) == "funds_matched"
    if locked:
        assert "sum of matched orders: 5000000, " in venue.answer(order_id).text
    venue.run(610_000)
    assert venue.code(venue.post("BUY", "0.41", "6")) == "live", "the lock ends"
    return locked


@story
def cross_match(venue: Any) -> bool:
    venue.buy()
    ((maker,),) = {event.row.makers for event in venue.events(events.TradeSeen)}
    taken = (maker.token_id, maker.action) == ("202", Action.BUY)
    venue.post("BUY", "0.40", "10")
    venue.house("SELL", "0.40", "10", kind="FAK")
    row = venue.events(events.TradeSeen)[-1].row
    made = (row.token_id, row.action) == ("202", Action.BUY)
    assert taken == made
    assert venue.shares == micros("20")
    return made


# --- cancels ----------------------------------------------------------------------------------------------------------


@story
def cancel_404(venue: Any) -> bool:
    order_id = venue.post("BUY", "0.40", "10")
    venue.do(commands.Cancel(order_id))
    assert venue.open_orders() == [], "it is cancelled in both cases"
    (answered,) = venue.events(events.CancelAnswered)
    return (answered.order_id, answered.outcome) == (order_id, "not_found")


@story
def cancel_race(venue: Any) -> bool:
    order_id = venue.post("BUY", "0.40", "10")
    venue.do(commands.Cancel(order_id))
    assert venue.open_orders() == []
    (answered,) = venue.events(events.CancelAnswered)
    assert answered.outcome == ("gone" if venue.shares == micros("10") else "canceled")
    return venue.shares >= micros("5") and venue.statuses() == ["MATCHED"]


@story
def heartbeat_lost(venue: Any) -> bool:
    venue.post("BUY", "0.40", "10")
    venue.into("heartbeat_lost")
    assert venue.events(events.CancelAnswered) == []
    return venue.open_orders() == [] and len(venue.cancelled_events()) == 1


# --- the user stream --------------------------------------------------------------------------------------------------


@story
def dup_trade(venue: Any) -> bool:
    venue.buy()
    venue.run(20_000)
    assert venue.shares == micros("10")
    return sorted(venue.statuses()) == sorted(["MATCHED", "MINED", "CONFIRMED"] * 2)


@story
def trade_before_order(venue: Any) -> bool:
    venue.buy()
    venue.run(1_000)
    kinds = [type(event) for event in venue.events(events.OrderSeen | events.TradeSeen)]
    assert sorted(kinds, key=str) == [events.OrderSeen, events.TradeSeen]
    return kinds == [events.TradeSeen, events.OrderSeen]


@story
def missing_cancel_event(venue: Any) -> bool:
    venue.do(commands.Cancel(venue.post("BUY", "0.40", "10")))
    assert venue.open_orders() == []
    return venue.cancelled_events() == []


@story
def empty_size_matched(venue: Any) -> bool:
    venue.post("BUY", "0.40", "10", "FOK")
    venue.run(200)
    (told,) = venue.cancelled_events()
    return told.row.size_matched is None and told.row.status.startswith("CANCELED_order couldn't be fully filled")


# --- all streams ------------------------------------------------------------------------------------------------------


@story
def ws_freeze(venue: Any) -> bool:
    left = venue.into("ws_freeze")
    order_id = venue.post("BUY", "0.40", "10")
    assert venue.code(order_id) == "live", "answers still come"
    frozen = venue.events(events.OrderSeen) == []
    assert venue.events(events.StreamChanged) == [], "and nobody is told"
    venue.run(left)
    venue.do(commands.Cancel(order_id))
    assert len(venue.cancelled_events()) == 1, "afterwards it goes on"
    return frozen


@story
def ws_gap(venue: Any) -> bool:
    left = venue.into("ws_gap")
    venue.post("BUY", "0.40", "10")
    venue.run(left)
    changes = [(event.stream, event.up, event.epoch) for event in venue.events(events.StreamChanged)]
    assert bool(changes) == (venue.events(events.OrderSeen) == [])
    return changes == [("user", False, 1), ("user", True, 2)]


def _told(venue: Any, *ticks: api.PriceTick | api.CandleTick) -> int:
    """How many of these the public streams tell."""
    venue.gateway.take_public()
    venue.gateway.events_of(list(ticks))
    return len(venue.gateway.take_public())


CHAINLINK = api.PriceTick("chainlink", "BTC", 1, 1)
TWAP = api.PriceTick("twap_60", "BTC", 1, 1)
SPOT = api.PriceTick("binance", "BTC", 1, 1)
CANDLE = api.CandleTick("BTC", 0, 1, 1, 1, 1, 1, False)


@story
def price_freeze(venue: Any) -> bool:
    left = venue.into("price_freeze")
    assert _told(venue, SPOT, CANDLE) == 2, "Binance's own streams go on"
    frozen = _told(venue, CHAINLINK, TWAP) == 0
    venue.run(left)
    assert _told(venue, CHAINLINK, TWAP) == 2, "afterwards it goes on"
    return frozen


@story
def spot_freeze(venue: Any) -> bool:
    left = venue.into("spot_freeze")
    assert _told(venue, CHAINLINK, TWAP) == 2, "the venue's reference prices go on"
    frozen = _told(venue, SPOT, CANDLE) == 0
    venue.run(left)
    assert _told(venue, SPOT, CANDLE) == 2, "afterwards it goes on"
    return frozen


@story
def ws_reorder(venue: Any) -> bool:
    posted = []
    for _ in range(8):
        posted.append(venue.post("BUY", "0.40", "10"))
        venue.run(20)
    venue.run(3_000)
    seen = [event.row.order_id for event in venue.events(events.OrderSeen)]
    assert sorted(seen) == sorted(posted), "nothing is lost"
    return seen != posted


# --- the venue --------------------------------------------------------------------------------------------------------


@story
def tick_flip(venue: Any) -> bool:
    order_id = venue.post("BUY", "0.40", "10")
    venue.run(800_000)
    assert venue.open_orders() == [order_id]
    return [(told.old, told.new) for told in venue.shown(api.TickChanged) if told.token_id == "101"] == [
        (100, 10), (10, 100),
    ]


@story
def http_425(venue: Any) -> bool:
    resting = venue.post("BUY", "0.40", "10")
    left = venue.into("http_425")
    code = venue.code(venue.post("BUY", "0.40", "10"))
    venue.do(commands.Cancel(resting))
    answered = venue.events(events.CancelAnswered)[-1]
    venue.run(left)
    assert venue.code(venue.post("BUY", "0.40", "10")) == "live"
    return (code, answered.outcome, answered.text) == ("restarting", "unknown", "service not ready")


@story
def post_only_restart(venue: Any) -> bool:
    left = venue.into("post_only_restart")
    restarting = venue.code(venue.post("BUY", "0.40", "10"))
    venue.run(6_000)
    plain = venue.post("BUY", "0.40", "10")
    careful = venue.post("BUY", "0.40", "10", post_only=True)
    assert venue.code(careful) == "live"
    venue.do(commands.Cancel(careful))
    assert venue.events(events.CancelAnswered)[-1].outcome == "canceled"
    blocks = venue.answer(plain).blocks
    venue.run(left)
    assert venue.code(venue.post("BUY", "0.40", "10")) == "live"
    return (restarting, venue.code(plain), blocks) == ("restarting", "post_only_mode", "post_only_mode")


@story
def cancel_only(venue: Any) -> bool:
    resting = venue.post("BUY", "0.40", "10")
    venue.into("cancel_only")
    code = venue.code(venue.post("BUY", "0.40", "10", post_only=True))
    venue.do(commands.Cancel(resting))
    assert venue.events(events.CancelAnswered)[-1].outcome == "canceled"
    return code == "cancel_only"


@story
def rate_limit(venue: Any) -> bool:
    order_id = venue.post("BUY", "0.40", "10")
    limited = venue.code(order_id) == "rate_limit"
    assert limited == (venue.open_orders() == []), "refused before the venue saw it"
    for command, what in (
        (commands.QueryOrder(order_id), "order"), (commands.QueryBalance(), "balance"),
        (commands.QueryTokenBalance("101"), "token_balance"), (commands.Sweep("0xc0", 0), "sweep"),
    ):
        (event,) = venue.do(command)
        assert (isinstance(event, events.QueryFailed) and event.what == what) == limited
    venue.do(commands.Cancel(order_id))
    assert (venue.events(events.CancelAnswered)[-1].outcome == "unknown") == limited
    return limited


@story
def clock_skew(venue: Any) -> bool:
    venue.run(100_000)
    venue.buy()
    (told,) = venue.events(events.TradeSeen)
    off_s = told.row.matched_s - 100
    assert off_s == venue.gateway.faults.skew_s
    (swept,) = venue.do(commands.Sweep("0xc0", 100 + off_s))
    assert [row.matched_s for row in swept.trades] == [100 + off_s], "a query speaks of the venue's clock too"
    (swept,) = venue.do(commands.Sweep("0xc0", 101 + off_s))
    assert swept.trades == ()
    return 2 <= abs(off_s) <= 20


# --- markets ----------------------------------------------------------------------------------------------------------


@story
def gamma_late(venue: Any) -> bool:
    venue.run(2_000)
    late = venue.shown(api.MarketOpened) == []
    venue.run(100_000)
    assert [told.market.condition_id for told in venue.shown(api.MarketOpened)] == ["0xc0"]
    return late


@story
def market_resolved_missing(venue: Any) -> bool:
    venue.hear(venue.gateway.events_of(venue.exchange.decide("0xc0", Side.UP, 1, 2, MarketMs(venue.now))))
    assert venue.exchange.decision("0xc0") is not None
    return venue.shown(api.MarketDecided) == []


# --- the tests --------------------------------------------------------------------------------------------------------

IN_PROCESS = [one.name for one in CATALOGUE if SIMULATION in one.layers]


def test_sim_every_pathology_of_the_simulation_has_its_story() -> None:
    assert sorted(STORIES) == sorted(IN_PROCESS)
    assert len(CATALOGUE) >= 31


@pytest.mark.parametrize("seed", [1, 7])
@pytest.mark.parametrize("name", IN_PROCESS)
def test_sim_a_certain_pathology_happens(venue: Any, name: str, seed: int) -> None:
    faulty = venue(seed, **{name: 1.0})
    assert STORIES[name](faulty)
    assert faulty.pathologies.happened[name] > 0
    faulty.sound()


@pytest.mark.parametrize("name", IN_PROCESS)
def test_sim_a_pathology_that_is_off_does_not_happen(venue: Any, name: str) -> None:
    faulty = venue(**{name: 0.0})
    assert not STORIES[name](faulty)
    assert faulty.pathologies.happened == {}
    faulty.sound()


@pytest.mark.parametrize("name", IN_PROCESS)
def test_sim_the_same_seed_does_the_same_again(venue: Any, name: str) -> None:
    first, second = venue(**{name: 1.0}), venue(**{name: 1.0})
    STORIES[name](first)
    STORIES[name](second)
    assert first.heard == second.heard
    assert first.public == second.public


def test_a_market_without_a_window_is_listed_at_once_and_keeps_its_tick(venue: Any) -> None:
    faulty = venue(gamma_late=1.0, tick_flip=1.0)
    faulty.open(Market(slug="plain", condition_id="0xd0", up="303", down="404", end=900_000, start=None))
    assert [told.market.slug for told in faulty.shown(api.MarketOpened)] == ["plain"]
    faulty.run(899_000)
    assert {told.condition_id for told in faulty.shown(api.TickChanged)} == {"0xc0"}
