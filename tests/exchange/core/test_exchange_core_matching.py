"""Priority, complementary matches, prices and money."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.model.money import micros, ticks


def test_the_taker_gets_the_resting_orders_price_and_pays_the_published_fee(bench: Any) -> None:
    """polymarket.md 5: BUY 10 at 0.52 is charged 0.17472 on top."""
    venue = bench()
    venue.house("SELL", "0.52", "30")
    answer = venue.buy("0.55", "10")
    assert (answer.http, answer.status) == (200, "matched")
    assert (answer.making, answer.taking) == (micros("5.20"), micros("10"))
    assert venue.balance() == micros("1000") - micros("5.37472")
    venue.sound()


def test_a_sell_receives_its_money_less_the_fee(bench: Any) -> None:
    venue = bench().holding("20")
    before = venue.balance()
    venue.house("BUY", "0.52", "30")
    answer = venue.sell("0.50", "10")
    assert (answer.making, answer.taking) == (micros("10"), micros("5.20"))
    assert venue.balance() == before + micros("5.20") - micros("0.17472")
    venue.sound()


def test_a_resting_order_pays_no_fee(bench: Any) -> None:
    venue = bench()
    venue.buy("0.50", "10")
    venue.house("SELL", "0.48", "10")
    assert venue.balance() == micros("995")


def test_at_one_price_the_older_order_is_met_first(bench: Any) -> None:
    venue = bench()
    first = venue.buy("0.50", "10", who="a").order_id
    second = venue.buy("0.50", "10", who="b").order_id
    venue.house("SELL", "0.50", "15")
    assert venue.row(first).size_matched == micros("10")
    assert venue.row(second, who="b").size_matched == micros("5")


def test_a_partly_filled_order_keeps_its_place(bench: Any) -> None:
    venue = bench()
    first = venue.buy("0.50", "10", who="a").order_id
    second = venue.buy("0.50", "10", who="b").order_id
    venue.house("SELL", "0.50", "5")
    venue.house("SELL", "0.50", "5")
    assert venue.row(first).status == "MATCHED"
    assert venue.row(second, who="b").size_matched == 0


def test_a_better_price_is_met_before_an_older_order(bench: Any) -> None:
    venue = bench()
    older = venue.buy("0.49", "10", who="a").order_id
    better = venue.buy("0.50", "10", who="b").order_id
    venue.house("SELL", "0.49", "10")
    assert (venue.row(older).size_matched, venue.row(better, who="b").size_matched) == (0, micros("10"))


def test_two_buys_of_opposite_tokens_mint_a_pair(bench: Any) -> None:
    venue = bench()
    venue.buy("0.60", "10", who="b", token_id=venue.down)
    answer = venue.buy("0.45", "10", who="a")
    assert answer.status == "matched"
    assert answer.making == micros("4.00"), "a bid for DOWN at 0.60 is an ask for UP at 0.40"
    trade = venue.heard(api.UserTrade)[0].trade
    assert trade.row.token_id == venue.up
    assert [(m.token_id, m.price, str(m.action)) for m in trade.row.makers] == [(venue.down, ticks("0.60"), "BUY")]
    assert venue.exchange.shares("0xa", venue.up) == venue.exchange.shares("0xb", venue.down) == micros("10")
    venue.sound()


def test_two_sells_of_opposite_tokens_merge_a_pair(bench: Any) -> None:
    venue = bench().holding("10", who="a").holding("10", who="b", token="202")
    venue.sell("0.55", "10", who="b", token_id=venue.down)
    answer = venue.sell("0.40", "10", who="a")
    assert answer.taking == micros("4.50")
    assert venue.exchange.holdings("0xa") == venue.exchange.holdings("0xb") == {}
    venue.sound()


def test_each_price_level_is_one_trade_with_a_slice_for_each_order(bench: Any) -> None:
    venue = bench()
    for price in ("0.50", "0.50", "0.51"):
        venue.house("SELL", price, "10")
    answer = venue.buy("0.51", "30")
    trades = [output.trade.row for output in venue.heard(api.UserTrade)]
    assert [(row.price, row.size, len(row.makers)) for row in trades] == [
        (ticks("0.50"), micros("20"), 2),
        (ticks("0.51"), micros("10"), 1),
    ]
    assert answer.trade_ids == tuple(row.trade_id for row in trades)
    assert answer.making == micros("15.10")


def test_amounts_that_imply_a_tick_exactly_match_at_it(bench: Any) -> None:
    """24.9948 / 47.16 is 0.53, which doubles can't say."""
    venue = bench()
    venue.house("SELL", "0.53", "100")
    answer = venue.post(venue.new("BUY", "24.9948", "47.16"))
    assert (answer.status, answer.taking) == ("matched", micros("47.16"))


@pytest.mark.parametrize(("shares", "fills"), [("19.2307", True), ("19.2308", False)])
def test_a_limit_between_ticks_meets_only_what_is_as_good(bench: Any, shares: str, fills: bool) -> None:
    """10 / 19.2307 is a hair above 0.52, 10 / 19.2308 a hair below (polymarket.md 4.1)."""
    venue = bench()
    venue.house("SELL", "0.52", "100")
    answer = venue.post(venue.new("BUY", "10", shares, kind="FAK"))
    assert (answer.http == 200) is fills


def test_a_taker_rests_what_it_did_not_match(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "4")
    answer = venue.buy("0.50", "10")
    row = venue.row(answer.order_id)
    assert (answer.status, row.status, row.size_matched) == ("matched", "LIVE", micros("4"))
    assert venue.exchange.book(venue.condition).bids == {ticks("0.50"): micros("6")}


def test_an_order_of_ones_own_can_be_met_without_going_short(bench: Any) -> None:
    venue = bench()
    venue.buy("0.60", "800", token_id=venue.down)
    answer = venue.buy("0.45", "1200")
    assert "not enough balance" in answer.error, "both legs come from the same 1,000"
    answer = venue.buy("0.45", "1000")
    assert answer.status == "matched"
    venue.sound()


def test_the_population_mints_what_it_sells_and_folds_what_it_holds_twice(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    venue.buy("0.50", "10")
    assert venue.exchange.holdings("house") == {venue.down: micros("10")}
    venue.wait(5_000)
    venue.house("BUY", "0.50", "10")
    venue.sell("0.50", "10")
    assert venue.exchange.holdings("house") == {}
    venue.sound()
