"""Another venue's displayed book as liquidity: what is taken, what fills, when the driver must call."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.model.book import UNKNOWN_SIZE, Book
from polyhost.model.messages import Level
from polyhost.model.money import micros, ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Side


@pytest.fixture
def mirrored(bench: Any) -> Any:
    """A venue that mirrors 0.50 x 10, 0.51 x 20 asked and 0.48 x 30 bid."""
    venue = bench()
    venue.shown = Book()
    venue.shown.replace(Side.UP, [Level("0.48", "30")], [Level("0.50", "10"), Level("0.51", "20")])
    venue.exchange.mirror(venue.condition, venue.shown)
    return venue


def touch(venue: Any) -> list[api.Output]:
    venue.said = venue.exchange.touched(venue.condition, MarketMs(venue.now))
    return venue.said


def show_print(venue: Any, price: str, size: str) -> None:
    venue.said = venue.exchange.printed(venue.condition, venue.up, ticks(price), micros(size), MarketMs(venue.now))


def test_a_taker_walks_the_displayed_size_after_its_delay(mirrored: Any) -> None:
    answer = mirrored.buy("0.51", "25")
    assert (answer.taking, answer.making) == (micros("25"), micros("12.65"))
    assert mirrored.now == 150
    assert len(answer.trade_ids) == 2
    mirrored.sound()


def test_it_meets_the_book_as_it_is_when_the_delay_is_over(mirrored: Any) -> None:
    mirrored.send(mirrored.order("BUY", "0.50", "10", kind="FAK"))
    mirrored.shown.set_ask(ticks("0.50"), 0)
    mirrored.said = mirrored.wait(150)
    assert "no orders found to match" in mirrored.heard(api.Posted)[0].error


def test_taken_size_stays_taken_until_the_venue_changes_the_level(mirrored: Any) -> None:
    assert mirrored.buy("0.50", "8", kind="FAK").taking == micros("8")
    assert mirrored.buy("0.50", "8", kind="FAK").taking == micros("2")
    assert mirrored.buy("0.50", "8", kind="FAK").http == 400
    mirrored.shown.set_ask(ticks("0.50"), micros("10"))
    assert mirrored.buy("0.50", "8", kind="FAK").http == 400, "the same size again is no change"
    mirrored.shown.set_ask(ticks("0.50"), micros("9"))
    assert mirrored.buy("0.50", "8", kind="FAK").taking == micros("8")


def test_a_new_epoch_forgets_what_was_taken(mirrored: Any) -> None:
    mirrored.buy("0.50", "10", kind="FAK")
    mirrored.shown.spoil()
    assert mirrored.buy("0.50", "10", kind="FAK").http == 400, "a spoiled book offers nothing"
    mirrored.shown.replace(Side.UP, [], [Level("0.50", "10")])
    assert mirrored.buy("0.50", "10", kind="FAK").taking == micros("10")


def test_a_level_of_unknown_size_holds_what_the_order_wants(mirrored: Any) -> None:
    mirrored.shown.quote(Side.UP, "0.48", "0.50")
    assert mirrored.shown.asks == {ticks("0.50"): UNKNOWN_SIZE}
    assert mirrored.buy("0.50", "100", kind="FOK").taking == micros("100")
    assert mirrored.buy("0.50", "100", kind="FAK").taking == micros("100")


def test_nothing_rests_nothing_is_watched(mirrored: Any) -> None:
    assert mirrored.exchange.watch(mirrored.condition) == (10_001, -1)
    buy = mirrored.buy("0.45", "10").order_id
    mirrored.buy("0.30", "10", token_id=mirrored.down)
    assert mirrored.exchange.watch(mirrored.condition) == (ticks("0.70"), ticks("0.45"))
    mirrored.cancel(buy)
    assert mirrored.exchange.watch(mirrored.condition) == (ticks("0.70"), -1)


def test_a_resting_order_fills_at_its_own_price_when_the_book_crosses_it(mirrored: Any) -> None:
    order_id = mirrored.buy("0.47", "50").order_id
    assert touch(mirrored) == [], "nothing crosses yet"
    mirrored.shown.set_ask(ticks("0.46"), micros("15"))
    mirrored.shown.set_ask(ticks("0.47"), micros("5"))
    touch(mirrored)
    assert mirrored.row(order_id).size_matched == micros("20"), "up to the displayed crossing size"
    trade = mirrored.heard(api.UserTrade)[0].trade
    assert [(m.order_id, m.price) for m in trade.row.makers] == [(order_id, ticks("0.47"))]
    assert mirrored.balance() == micros("1000") - micros("9.40"), "its own price, and no fee"
    assert touch(mirrored) == [], "what was displayed is used up"
    mirrored.shown.set_ask(ticks("0.47"), micros("100"))
    touch(mirrored)
    assert mirrored.row(order_id).status == "MATCHED"
    mirrored.sound()


def test_older_orders_are_filled_first(mirrored: Any) -> None:
    first, second = mirrored.buy("0.47", "10", who="a"), mirrored.buy("0.47", "10", who="b")
    mirrored.shown.set_ask(ticks("0.47"), micros("15"))
    touch(mirrored)
    assert mirrored.row(first.order_id).status == "MATCHED"
    assert mirrored.row(second.order_id, who="b").size_matched == micros("5")


def test_only_a_print_through_its_price_fills_a_resting_order(mirrored: Any) -> None:
    order_id = mirrored.buy("0.47", "50").order_id
    show_print(mirrored, "0.47", "100")
    assert mirrored.said == [], "at its price others were ahead"
    show_print(mirrored, "0.46", "12")
    assert mirrored.row(order_id).size_matched == micros("12")
    mirrored.said = mirrored.exchange.printed(
        mirrored.condition, mirrored.down, ticks("0.55"), UNKNOWN_SIZE, MarketMs(mirrored.now)
    )
    assert mirrored.row(order_id).status == "MATCHED", "DOWN at 0.55 is UP at 0.45"
    mirrored.sound()


def test_a_sell_fills_when_the_bid_reaches_it(mirrored: Any) -> None:
    mirrored.shown.quote(Side.UP, "0.48", "0.50")
    mirrored.buy("0.50", "20")
    mirrored.wait(2_000)
    order_id = mirrored.sell("0.55", "20").order_id
    before = mirrored.balance()
    mirrored.shown.quote(Side.UP, "0.56", "0.58")
    assert mirrored.shown.best_bid >= mirrored.exchange.watch(mirrored.condition)[0]
    touch(mirrored)
    assert mirrored.row(order_id).status == "MATCHED"
    assert mirrored.balance() == before + micros("11")
    mirrored.sound()


def test_post_only_is_judged_by_the_displayed_book(mirrored: Any) -> None:
    assert mirrored.buy("0.50", "10", post_only=True).http == 400
    assert mirrored.buy("0.49", "10", post_only=True).status == "live"


def test_a_mirrored_market_says_nothing_on_the_market_channel(mirrored: Any) -> None:
    mirrored.buy("0.51", "25")
    assert not [o for o in mirrored.said if isinstance(o, api.BookChanged | api.Printed | api.BookSnapshot)]


def test_what_was_taken_survives_a_save(mirrored: Any) -> None:
    from polyhost.exchange.core import Exchange

    mirrored.buy("0.50", "8", kind="FAK")
    mirrored.exchange = Exchange.load(Exchange.load(mirrored.exchange.save()).save())
    mirrored.exchange.mirror(mirrored.condition, mirrored.shown)
    assert mirrored.buy("0.50", "8", kind="FAK").taking == micros("2")
