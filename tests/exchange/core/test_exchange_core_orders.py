"""What is refused and in which words, types of orders, the taker delay, cancels and expiry."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.model.money import micros
from polyhost.model.times import NEVER, MarketMs

FAK_KILLED = "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
FOK_KILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (("BUY", "5.255", "10"), "order 0x1 is invalid. Price (0.5255) breaks minimum tick size rule: 0.01"),
        (("BUY", "10", "10"), "order 0x1 is invalid. Price (1) breaks minimum tick size rule: 0.01"),
        (("SELL", "10", "0.05"), "order 0x1 is invalid. Price (0.005) breaks minimum tick size rule: 0.01"),
        (("BUY", "2.00", "4"), "order 0x1 is invalid. Size (4) lower than the minimum: 5"),
        (("BUY", "0", "10"), "Invalid order payload"),
        (
            ("BUY", "5.0025", "10.005"),
            (
                "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, "
                "taker amount a max of 2 decimals"
            ),
        ),
        (
            ("BUY", "1200", "2400"),
            (
                "not enough balance / allowance: the balance is not enough -> balance: 1000000000, "
                "order amount: 1200000000"
            ),
        ),
        (
            ("SELL", "10", "5"),
            "not enough balance / allowance: the balance is not enough -> balance: 0, order amount: 10000000",
        ),
    ],
)
def test_a_broken_rule_is_refused_in_the_venues_words(bench: Any, order: tuple[str, str, str], text: str) -> None:
    venue = bench()
    answer = venue.post(venue.new(*order))
    assert (answer.http, answer.error) == (400, text)
    assert venue.row("0x1") is None, "a refused order was never there"


def test_limits_just_inside_the_rules_are_taken(bench: Any) -> None:
    venue = bench()
    assert venue.buy("0.01", "5").status == "live"
    assert venue.buy("0.99", "5").status == "live"


def test_market_orders_have_a_precision_of_their_own(bench: Any) -> None:
    venue = bench()
    text = (
        "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals, "
        "taker amount a max of 4 decimals"
    )
    venue.house("SELL", "0.50", "100")
    assert venue.post(venue.new("BUY", "10.001", "20", kind="FAK")).error == text
    assert venue.post(venue.new("BUY", "10", "19.99999", kind="FOK")).error == text
    assert venue.post(venue.new("BUY", "10", "19.9999", kind="FAK")).http == 200


def test_a_marketable_buy_is_worth_a_dollar(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.10", "100")
    refused = venue.buy("0.10", "8.60")
    assert refused.error == "invalid amount for a marketable BUY order ($0.86), min size: $1"
    assert venue.buy("0.10", "10").status == "matched"
    assert venue.buy("0.05", "8.60").status == "live", "one that does not cross may be worth less"


def test_a_marketable_sell_is_worth_a_dollar_at_the_best_bid(bench: Any) -> None:
    venue = bench().holding("20")
    venue.house("BUY", "0.10", "100")
    refused = venue.sell("0.01", "9.99", kind="FAK")
    assert refused.error == "invalid amount for a marketable SELL order ($0.999), min size: $1"
    assert venue.sell("0.01", "10", kind="FAK").status == "matched"


def test_a_market_order_may_be_smaller_than_a_resting_one(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "100")
    assert venue.buy("0.50", "2", kind="FAK").status == "matched"


def test_the_same_bytes_again_are_a_duplicate_whatever_became_of_them(bench: Any) -> None:
    venue = bench()
    order = venue.order("BUY", "0.40", "10")
    assert venue.post(order).status == "live"
    assert venue.post(order).error == f"order {order.order_id} is invalid. Duplicated."
    venue.cancel(order.order_id)
    assert venue.post(order).error == f"order {order.order_id} is invalid. Duplicated."
    killed = venue.order("BUY", "0.40", "10", kind="FAK")
    assert venue.post(killed).error == FAK_KILLED
    assert venue.post(killed).error == f"order {killed.order_id} is invalid. Duplicated."


def test_open_orders_of_a_market_are_counted_against_the_balance(bench: Any) -> None:
    venue = bench()
    assert venue.buy("0.50", "1200").status == "live"
    assert venue.buy("0.50", "801").error == (
        "not enough balance / allowance: the balance is not enough -> balance: 1000000000, "
        "sum of active orders: 600000000, order amount: 400500000"
    )
    assert venue.buy("0.50", "800").status == "live"


def test_resting_sells_lock_their_shares(bench: Any) -> None:
    venue = bench().holding("10")
    resting = venue.sell("0.90", "6")
    assert "sum of active orders: 6000000" in venue.sell("0.80", "5").error
    venue.cancel(resting.order_id)
    assert venue.sell("0.80", "10").status == "live"


def test_a_takers_buy_needs_its_fee_too(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "3000")
    assert "not enough balance" in venue.buy("0.50", "2000").error, "1,000 and a fee of 35"
    assert venue.buy("0.50", "1930").status == "matched"
    venue.sound()


def test_without_allowance_nothing_is_taken(bench: Any) -> None:
    venue = bench()
    venue.exchange.open_account("0xd", micros("100"), approved=False)
    answer = venue.buy("0.50", "10", who="d")
    assert answer.error.startswith("not enough balance / allowance: the allowance is not enough")
    reply = venue.exchange.handle(api.GetBalance(9, "0xd"), MarketMs(0))[0]
    assert (reply.balance, reply.allowance) == (micros("100"), 0)


def test_post_only_never_takes(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    assert venue.buy("0.50", "10", post_only=True).error == "invalid post-only order: order crosses book"
    assert venue.buy("0.49", "10", post_only=True).status == "live"
    assert venue.buy("0.49", "10", post_only=True, kind="FAK").http == 400


def test_a_fok_is_filled_whole_or_killed(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    venue.house("SELL", "0.51", "10")
    killed = venue.buy("0.51", "21", kind="FOK")
    assert (killed.http, killed.error) == (400, FOK_KILLED)
    row = venue.row(killed.order_id)
    assert (row.status, row.size_matched) == ("CANCELED", 0)
    assert [(o.order.row.kind, o.order.row.status) for o in venue.heard(api.UserOrder)] == [
        ("CANCELLATION", "CANCELED")
    ]
    assert venue.buy("0.51", "20", kind="FOK").taking == micros("20")


def test_a_fak_takes_what_is_there_and_tells_how_much(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    answer = venue.buy("0.50", "16", kind="FAK")
    assert (answer.http, answer.status, answer.taking) == (200, "matched", micros("10"))
    told = [output.order.row for output in venue.heard(api.UserOrder)]
    assert [(row.kind, row.status, row.size_matched) for row in told] == [
        ("PLACEMENT", "LIVE", micros("10")),
        ("CANCELLATION", "CANCELED", micros("10")),
    ]
    assert venue.exchange.book(venue.condition).one_sided
    assert venue.buy("0.50", "16", kind="FAK").error == FAK_KILLED


def test_a_marketable_order_waits_for_the_taker_delay_and_meets_the_book_of_then(bench: Any) -> None:
    venue = bench()
    ask = venue.house("SELL", "0.50", "10")
    assert venue.send(venue.order("BUY", "0.52", "10")) == []
    assert venue.exchange.next_due == 150
    venue.now = 100
    venue.exchange.cancel_house(ask, MarketMs(100))
    venue.house("SELL", "0.52", "10")
    venue.now = 149
    assert not [o for o in venue.exchange.advance(MarketMs(149)) if isinstance(o, api.Posted)]
    venue.now, venue.said = 150, venue.exchange.advance(MarketMs(150))
    assert venue.heard(api.Posted)[0].making == micros("5.20"), "the ask at 0.50 was gone by then"


def test_the_answer_comes_before_the_stream_tells_of_it(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    venue.buy("0.50", "10")
    assert isinstance(venue.said[0], api.Posted)
    assert isinstance(venue.said[1], api.UserOrder)


def test_a_delayed_order_cannot_be_cancelled(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    order = venue.order("BUY", "0.50", "10")
    venue.send(order)
    answer = venue.cancel(order.order_id)
    assert answer.canceled == ()
    assert "delayed" in answer.not_canceled[0][1]
    assert venue.row(order.order_id).status == "DELAYED"


def test_without_a_taker_delay_the_answer_is_there_at_once(bench: Any) -> None:
    venue = bench(taker_delay=False)
    venue.house("SELL", "0.50", "10")
    assert isinstance(venue.send(venue.order("BUY", "0.50", "10"))[0], api.Posted)


def test_ord_07_a_cancel_of_what_is_gone_names_the_reason(bench: Any) -> None:
    venue = bench()
    live = venue.buy("0.40", "10").order_id
    assert venue.cancel(live).canceled == (live,)
    assert venue.cancel(live).not_canceled == ((live, "already canceled or matched"),)
    assert venue.cancel("0xfeed").not_canceled == (("0xfeed", "order not found"),)
    assert venue.cancel(live, who="b").not_canceled == ((live, "order not found"),), "not b's order"


def test_orders_are_cancelled_by_market_token_or_key(bench: Any) -> None:
    venue = bench()
    up, down, other = (
        venue.buy("0.40", "10").order_id,
        venue.buy("0.40", "10", token_id=venue.down).order_id,
        venue.buy("0.40", "10", who="b").order_id,
    )
    by_token = venue.exchange.handle(api.CancelOrders(1, "key-a", token_id=venue.down), MarketMs(0))[0]
    assert by_token.canceled == (down,)
    everything = venue.exchange.handle(api.CancelOrders(1, "key-a"), MarketMs(0))[0]
    assert everything.canceled == (up,)
    assert venue.row(other, who="b").status == "LIVE"


def test_gtd_expires_a_minute_early_and_is_refused_when_that_is_past(bench: Any) -> None:
    venue = bench()
    assert venue.buy("0.40", "10", kind="GTD", expiration_s=59).error == "invalid expiration"
    assert venue.buy("0.40", "10", kind="GTC", expiration_s=500).error == "invalid expiration"
    order_id = venue.buy("0.40", "10", kind="GTD", expiration_s=200).order_id
    venue.wait(139_999)
    assert venue.row(order_id).status == "LIVE"
    venue.said = venue.wait(1)
    assert venue.heard(api.UserOrder)[0].order.row.status == "CANCELED_EXPIRED_ORDER"
    assert venue.exchange.book(venue.condition).one_sided
    assert venue.buy("0.50", "2000").status == "live", "its reservation is free again"


def test_an_unknown_token_is_told_apart(bench: Any) -> None:
    venue = bench()
    assert venue.buy("0.40", "10", token_id="999").error == "Invalid token id"


def test_nothing_is_due_when_nothing_happens(bench: Any) -> None:
    venue = bench()
    assert venue.exchange.next_due == 900_000, "the market's end alone"
    venue.wait(900_000)
    assert venue.exchange.next_due == NEVER


def test_an_order_whose_funds_went_elsewhere_is_cancelled(bench: Any) -> None:
    """Each market is checked by itself; a fill in one takes what backs another (polymarket.md 4.1)."""
    from polyhost.model.market import Market

    venue = bench()
    venue.exchange.add_market(Market("other", "0xc1", "301", "302", MarketMs(900_000)), MarketMs(0))
    kept = venue.buy("0.50", "200", token_id="301").order_id
    lost = venue.buy("0.50", "1000", token_id="301").order_id
    filled = venue.buy("0.50", "1700").order_id
    venue.house("SELL", "0.50", "1700")
    assert venue.row(filled).status == "MATCHED"
    assert (venue.row(kept).status, venue.row(lost).status) == ("LIVE", "CANCELED_NOT_ENOUGH_BALANCE")
    venue.sound()


def test_a_request_numbered_zero_is_answered_too(bench: Any) -> None:
    venue = bench()
    answer = venue.exchange.handle(api.PostOrder(0, venue.order("BUY", "0.40", "10")), MarketMs(0))[0]
    assert (answer.request_id, answer.status) == (0, "live")


def test_a_market_closed_before_its_end_is_not_ready(bench: Any) -> None:
    venue = bench()
    venue.exchange.end_market(venue.condition, MarketMs(0))
    assert venue.buy("0.40", "10").error == "the market is not yet ready to process new orders"


def test_a_house_order_must_be_possible(bench: Any) -> None:
    venue = bench()
    for price, size in (("0", "10"), ("1", "10"), ("0.50", "0")):
        with pytest.raises(ValueError, match="cannot be"):
            venue.house("BUY", price, size)


def test_what_a_taker_matched_no_longer_holds_funds(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "400")
    venue.buy("0.50", "1000")
    assert venue.balance() == micros("793"), "200 and a fee of 7"
    assert "sum of active orders: 300000000" in venue.buy("0.40", "1235").error
    assert venue.buy("0.40", "1232.50").status == "live"


def test_a_sells_limit_between_ticks_is_never_undercut(bench: Any) -> None:
    venue = bench().holding("7")
    venue.house("BUY", "0.52", "100")
    assert venue.post(venue.new("SELL", "7", "3.6401", kind="FAK")).error == FAK_KILLED
    assert venue.post(venue.new("SELL", "7", "3.64", kind="FAK")).taking == micros("3.64")


def test_fees_rounded_level_by_level_never_overdraw_an_account(bench: Any) -> None:
    """20.01 at 0.49 with its fee is all the account has; a crumb at 0.48 makes the two fees 7 micro-units dearer."""
    venue = bench()
    venue.exchange.open_account("0xd", micros("9.804900") + micros("0.350030"))
    venue.house("SELL", "0.48", "0.000290")
    venue.house("SELL", "0.49", "100")
    answer = venue.buy("0.49", "20.01", who="d")
    assert answer.taking == micros("20")
    assert venue.row(answer.order_id, who="d").status == "CANCELED_NOT_ENOUGH_BALANCE"
    venue.sound()


def test_a_fok_that_the_account_cannot_pay_to_the_last_micro_unit_is_killed_whole(bench: Any) -> None:
    venue = bench()
    venue.exchange.open_account("0xd", micros("6.86") + micros("0.244900"))
    venue.house("SELL", "0.48", "0.000290")
    venue.house("SELL", "0.49", "100")
    assert venue.buy("0.49", "14", who="d", kind="FOK").error == FOK_KILLED
    assert venue.exchange.holdings("0xd") == {}


def test_funds_that_went_elsewhere_during_the_delay_are_missed(bench: Any) -> None:
    from polyhost.model.market import Market

    venue = bench()
    venue.exchange.add_market(Market("other", "0xc1", "301", "302", MarketMs(900_000)), MarketMs(0))
    venue.buy("0.50", "1600", token_id="301")
    venue.house("SELL", "0.60", "2000")
    order = venue.order("BUY", "0.60", "1000")
    assert venue.send(order) == []
    venue.house("SELL", "0.50", "1600", token="301")
    venue.said = venue.wait(150)
    assert "balance: 200000000" in venue.heard(api.Posted)[0].error
    assert venue.row(order.order_id).status == "CANCELED_NOT_ENOUGH_BALANCE"
    venue.sound()


def test_trades_are_listed_newest_first_within_the_times_asked(bench: Any) -> None:
    venue = bench(taker_delay=False)
    venue.house("SELL", "0.50", "100")
    ids = []
    for _ in range(3):
        ids += venue.buy("0.50", "10", kind="FAK").trade_ids
        venue.wait(1_000)

    def asked(**times: Any) -> list[str]:
        (reply,) = venue.exchange.handle(api.GetTrades(1, "key-a", **times), MarketMs(venue.now))
        return [stored.row.trade_id for stored in reply.trades]

    assert asked() == ids[::-1]
    assert asked(after_s=1) == [ids[2], ids[1]]
    assert asked(before_s=1) == [ids[1], ids[0]]
    assert asked(trade_id=ids[1]) == [ids[1]]
    assert asked(token_id="202") == asked(condition_id="0xc1") == []
