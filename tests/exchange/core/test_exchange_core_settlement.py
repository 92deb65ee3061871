"""Stages of a trade, the lagging balance, ends, results, redeeming, merging, tick changes, the market channel."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.market import Market
from polyhost.model.money import micros, ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side


def test_a_trade_is_told_to_both_sides_at_every_stage(bench: Any) -> None:
    venue = bench()
    venue.sell_id = venue.buy("0.50", "10", who="b", token_id=venue.down).order_id
    venue.buy("0.50", "10")
    venue.said += venue.wait(1_999)
    statuses = [(o.owner, o.trade.row.status) for o in venue.heard(api.UserTrade)]
    assert statuses == [("key-a", "MATCHED"), ("key-b", "MATCHED")]
    venue.said = venue.wait(1)
    assert [o.trade.row.status for o in venue.heard(api.UserTrade)] == ["MINED", "MINED"]
    venue.said = venue.wait(3_000)
    assert [o.trade.row.status for o in venue.heard(api.UserTrade)] == ["CONFIRMED", "CONFIRMED"]
    assert venue.heard(api.UserTrade)[0].trade.updated_ms == 150 + 5_000


def test_a_maker_is_told_what_was_matched(bench: Any) -> None:
    venue = bench()
    order_id = venue.buy("0.50", "10").order_id
    venue.house("SELL", "0.50", "4")
    update = venue.heard(api.UserOrder)[0].order.row
    assert (update.order_id, update.kind, update.status, update.size_matched) == (
        order_id, "UPDATE", "LIVE", micros("4"),
    )  # fmt: skip
    venue.house("SELL", "0.50", "6")
    assert venue.heard(api.UserOrder)[0].order.row.status == "MATCHED"


def test_shares_just_bought_are_not_visible_and_cannot_be_sold_yet(bench: Any) -> None:
    """py-clob-client#287: a SELL right after a BUY is refused, the balance cache lags."""
    venue = bench()
    venue.house("SELL", "0.50", "10")
    venue.buy("0.50", "10")
    assert venue.exchange.shares("0xa", venue.up) == micros("10")
    assert venue.balance(venue.up) == 0
    assert venue.sell("0.60", "10").error.endswith("balance: 0, order amount: 10000000")
    venue.wait(1_999)
    assert venue.balance(venue.up) == 0
    venue.wait(1)
    assert venue.balance(venue.up) == micros("10")
    assert venue.sell("0.60", "10").status == "live"


def test_how_long_the_balance_lags_is_a_setting(bench: Any) -> None:
    venue = bench(rules=ExchangeRules(settle_visible_ms=7_000))
    venue.house("SELL", "0.50", "10")
    venue.buy("0.50", "10")
    venue.wait(6_999)
    assert venue.balance(venue.up) == 0
    venue.wait(1)
    assert venue.balance(venue.up) == micros("10")


def test_after_the_end_no_order_is_taken(bench: Any) -> None:
    venue = bench()
    order_id = venue.buy("0.40", "10").order_id
    venue.wait(899_999)
    assert venue.buy("0.41", "10").status == "live"
    venue.said = venue.wait(1)
    assert venue.heard(api.MarketEnded)
    answer = venue.buy("0.40", "10")
    assert (answer.http, answer.error) == (404, "market not found")
    assert venue.house("BUY", "0.40", "10") == ""
    assert venue.row(order_id).status == "LIVE", "until the market is decided"


def test_an_order_delayed_across_the_end_is_not_matched(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    venue.wait(899_900)
    assert venue.buy("0.50", "10").error == "market not found"
    assert venue.balance() == micros("1000")


@pytest.mark.parametrize(("winner", "pays"), [(Side.UP, "30"), (Side.DOWN, "20"), (None, "25")])
def test_set_01_a_result_pays_the_winning_shares(bench: Any, winner: Side | None, pays: str) -> None:
    venue = bench().holding("30").holding("20", token="202")
    resting = venue.buy("0.40", "10").order_id
    before = venue.balance()
    venue.said = venue.exchange.decide(venue.condition, winner, 1, 2, MarketMs(900_000))
    assert venue.heard(api.UserOrder)[0].order.row.status == "CANCELED_MARKET_RESOLVED"
    assert venue.row(resting).status == "CANCELED_MARKET_RESOLVED"
    assert venue.heard(api.MarketDecided) == [api.MarketDecided(venue.condition, winner, 1, 2)]
    assert venue.balance() == before, "tokens stay tokens until they are redeemed"
    assert venue.exchange.redeemable("0xa") == {venue.condition: micros(pays)}
    done = venue.exchange.handle(api.Redeem(5, "0xa", venue.condition), MarketMs(900_000))[0]
    assert done == api.Done(5, True, collateral=micros(pays))
    assert venue.balance() == before + micros(pays)
    assert venue.exchange.holdings("0xa") == {}
    venue.sound()
    venue.exchange.forget_market(venue.condition)
    assert venue.exchange.market(venue.condition) is None
    venue.sound()


def test_a_market_is_decided_once(bench: Any) -> None:
    venue = bench()
    venue.exchange.decide(venue.condition, Side.UP, None, None, MarketMs(900_000))
    with pytest.raises(ValueError, match="decided already"):
        venue.exchange.decide(venue.condition, Side.UP, None, None, MarketMs(900_000))


def test_nothing_is_redeemed_before_the_result(bench: Any) -> None:
    venue = bench().holding("30")
    done = venue.exchange.handle(api.Redeem(5, "0xa", venue.condition), MarketMs(20_000))[0]
    assert not done.ok


def test_pos_07_a_full_pair_is_merged_back_into_collateral(bench: Any) -> None:
    venue = bench().holding("30").holding("20", token="202")
    resting = venue.sell("0.90", "15").order_id
    before = venue.balance()
    refused = venue.exchange.handle(api.Merge(5, "0xa", venue.condition, micros("20.01")), MarketMs(venue.now))[0]
    assert not refused.ok
    done = venue.exchange.handle(api.Merge(5, "0xa", venue.condition, micros("20")), MarketMs(venue.now))[0]
    assert done == api.Done(5, True, collateral=micros("20"))
    assert venue.balance() == before + micros("20")
    assert venue.exchange.holdings("0xa") == {venue.up: micros("10")}
    assert venue.row(resting).status == "CANCELED_NOT_ENOUGH_BALANCE", "it sold shares that were merged"
    venue.sound()


@pytest.mark.parametrize(("bid", "ask", "fine"), [("0.95", "0.97", False), ("0.96", "0.97", True)])
def test_the_tick_becomes_fine_when_the_price_leaves_the_middle(bench: Any, bid: str, ask: str, fine: bool) -> None:
    venue = bench()
    resting = venue.buy("0.50", "10").order_id
    venue.house("BUY", bid, "10")
    venue.house("SELL", ask, "10")
    changed = [(o.token_id, o.old, o.new) for o in venue.heard(api.TickChanged)]
    assert changed == ([(venue.up, 100, 10), (venue.down, 100, 10)] if fine else [])
    assert venue.buy("0.505", "10").http == (200 if fine else 400)
    assert venue.row(resting).status == "LIVE"


def test_the_market_channel_tells_levels_prints_and_full_books(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.52", "30")
    assert venue.heard(api.BookChanged)[0].changes == ((Action.SELL, ticks("0.52"), micros("30")),)
    venue.buy("0.52", "10")
    assert venue.heard(api.Printed) == [
        api.Printed(venue.condition, venue.up, ticks("0.52"), micros("10"), Action.BUY)
    ]
    assert venue.heard(api.BookChanged)[0].changes == ((Action.SELL, ticks("0.52"), micros("20")),)
    up, down = venue.heard(api.BookSnapshot)
    assert (up.asks, up.last_price, up.at) == (((ticks("0.52"), micros("20")),), ticks("0.52"), 150)
    assert (down.bids, down.last_price) == (((ticks("0.48"), micros("20")),), ticks("0.48"))
    last = venue.exchange.last_trade(venue.down)
    assert (last.price, last.action) == (ticks("0.48"), Action.SELL)


def test_a_quiet_exchange_says_nothing_on_the_market_channel(bench: Any) -> None:
    venue = bench(rules=ExchangeRules(market_channel=False))
    venue.house("SELL", "0.52", "30")
    assert venue.said == []
    venue.buy("0.52", "10")
    assert not venue.heard(api.BookSnapshot)
    assert venue.exchange.book(venue.condition).asks == {ticks("0.52"): micros("20")}


def _frames(number: int) -> list[dict[str, Any]]:
    folder = Path(os.environ.get("POLYHOST_TAPES", Path(__file__).resolve().parents[3].parent / "shared" / "tapes"))
    tape = folder / "cronos_btc5m_20260416_a.jsonl.gz"
    if not tape.exists():
        pytest.skip(f"the recording {tape.name} is not on this machine")
    found: list[dict[str, Any]] = []
    with gzip.open(tape, "rt") as lines:
        for line in lines:
            if '"last_trade_price"' in line:
                found.append(json.loads(line)["msg"])
                if len(found) == number:
                    break
    return found


def test_a_book_rebuilt_order_by_order_has_the_hash_the_venue_gave_it() -> None:
    from polyhost.exchange.core import Exchange

    for frame in _frames(5):
        token, at = frame["asset_id"], MarketMs(int(frame["timestamp"]))
        exchange = Exchange(ExchangeRules(), at)
        exchange.add_market(Market("w", frame["market"], token, "2", MarketMs(at + 300_000), at), at)
        exchange.open_house("h")
        last = ticks(frame["last_trade_price"])
        exchange.place_house("h", token, Action.BUY, last, micros("1"), OrderType.GTC, at)
        exchange.place_house("h", token, Action.SELL, last, micros("1"), OrderType.FAK, at)
        for levels, action in ((frame["bids"], Action.BUY), (frame["asks"], Action.SELL)):
            for level in levels:
                price, size = ticks(level["price"]), micros(level["size"])
                exchange.place_house("h", token, action, price, size, OrderType.GTC, at)
        assert exchange.snapshot(token).hash == frame["hash"]


def test_shares_not_yet_visible_cannot_be_merged(bench: Any) -> None:
    venue = bench()
    venue.house("SELL", "0.50", "10")
    venue.house("SELL", "0.50", "10", token="202")
    venue.buy("0.50", "10", token_id="101")
    venue.house("SELL", "0.50", "10", token="202")
    venue.buy("0.50", "10", token_id="202")
    assert set(venue.exchange.holdings("0xa")) == {"101", "202"}
    request = api.Merge(5, "0xa", venue.condition, micros("10"))
    assert not venue.exchange.handle(request, MarketMs(venue.now))[0].ok
    venue.wait(2_000)
    assert venue.exchange.handle(request, MarketMs(venue.now))[-1].ok
