"""CON-18: the exchange knows builder codes, charges them on top, credits them, and money is conserved."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from polyhost.exchange import api, refusals
from polyhost.exchange.core import Exchange
from polyhost.exchange.mood import Stages
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.builder import Builder
from polyhost.model.money import micros
from polyhost.model.words import Side

OURS, THEIRS = Builder("0x" + "ab" * 32, 5_000, 10_000), Builder("0x" + "cd" * 32, 20_000, 0)
RULES = ExchangeRules(builders={each.code: each for each in (OURS, THEIRS)})


class Failing:
    """A venue whose trades fail on the chain after a second."""

    def stages(self, trade_id: str, usual: Stages) -> Stages:
        return Stages(usual.visible_ms, usual.mined_ms, usual.confirmed_ms, 1_000)

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None if name == "closure" else [] if name == "ticks" else 0


def cash(venue: Any, who: str = "a") -> int:
    return int(venue.exchange.collateral(f"0x{who}"))


def test_con_18_a_code_that_nobody_has_is_refused_and_reserves_nothing(bench: Any) -> None:
    venue = bench(RULES)
    answer = venue.buy("0.40", "10", builder="0x" + "ef" * 32)
    assert (answer.http, answer.error) == refusals.INVALID_PAYLOAD
    assert venue.buy("0.40", "10", builder=OURS.code).status == "live"


def test_con_18_taker_and_maker_pay_on_top_each_for_its_own_code(bench: Any) -> None:
    """A buys 10 at 0.50 of B's resting sale: 0.175 for the market, 1 % for its builder, 2 % of B's money for the other.
    """
    venue = bench(RULES)
    venue.holding("10", who="b")
    before = cash(venue), cash(venue, "b")
    assert venue.sell("0.50", "10", who="b", builder=THEIRS.code).status == "live"
    assert venue.buy("0.50", "10", builder=OURS.code).status == "matched"
    assert before[0] - cash(venue) == micros("5") + micros("0.175") + micros("0.05")
    assert cash(venue, "b") - before[1] == micros("5") - micros("0.1")
    assert venue.exchange.earned(OURS.code) == micros("0.05")
    assert venue.exchange.earned(THEIRS.code) == micros("0.1")
    (trade,) = {output.trade.row.trade_id: output.trade for output in venue.heard(api.UserTrade)}.values()
    assert (trade.fee, trade.builder, trade.builder_fee) == (micros("0.225"), OURS.code, micros("0.05"))
    assert trade.maker_charge(0) == (THEIRS.code, micros("0.1"))
    assert [each.row.trade_id for each in venue.exchange.trades_of_builder(THEIRS.code)] == [trade.row.trade_id]
    venue.sound()


def test_con_18_a_sweep_of_several_makers_is_charged_once_for_each_trade(bench: Any) -> None:
    venue = bench(RULES)
    for price in ("0.40", "0.40", "0.41"):
        venue.house("SELL", price, "7")
    before = cash(venue)
    assert venue.buy("0.41", "21", builder=OURS.code).status == "matched"
    money, market = micros("8.47"), micros("0.23520") + micros("0.11853")
    assert before - cash(venue) == money + market + micros("0.056") + micros("0.0287")
    assert venue.exchange.earned(OURS.code) == micros("0.0847")
    venue.sound()


def test_con_18_a_failed_trade_gives_everybody_everything_back(bench: Any) -> None:
    venue = bench(RULES)
    venue.buy("0.50", "10", who="b", token_id=venue.down, builder=THEIRS.code)
    venue.exchange.afflict(Failing())
    before = cash(venue), cash(venue, "b")
    venue.buy("0.50", "10", builder=OURS.code)
    assert (cash(venue), cash(venue, "b")) != before
    venue.wait(1_000)
    assert (cash(venue), cash(venue, "b")) == before
    assert (venue.exchange.earned(OURS.code), venue.exchange.earned(THEIRS.code)) == (0, 0)
    venue.sound()


@pytest.mark.parametrize(("size", "status"), [("1941", "live"), ("1942", "")])
def test_con_18_a_resting_buy_must_be_able_to_pay_its_builder(bench: Any, size: str, status: str) -> None:
    """1,000.00 carries 1,941 shares at 0.505 with 2 %: 999.81 and not 1,000.32."""
    venue = bench(RULES, tick=10)
    assert venue.buy("0.505", size, builder=THEIRS.code).status == status
    venue.house("SELL", "0.505", "3000")
    assert cash(venue) >= 0
    venue.sound()


@pytest.mark.parametrize(("has", "matched"), [("5.099999", "0"), ("5.1", "10")])
def test_con_18_a_maker_that_cannot_pay_its_builder_is_not_met(bench: Any, has: str, matched: str) -> None:
    """10 at 0.50 with 2 %: its money went elsewhere meanwhile."""
    venue = bench(RULES)
    order_id = venue.buy("0.50", "10", builder=THEIRS.code).order_id
    venue.exchange._bank.accounts["0xa"].collateral = micros(has)
    venue.house("SELL", "0.50", "10")
    assert venue.row(order_id).size_matched == micros(matched)


def test_con_18_a_saved_exchange_goes_on_with_codes_orders_and_earnings(bench: Any) -> None:
    venue = bench(RULES)
    venue.buy("0.50", "10", builder=OURS.code)
    venue.house("SELL", "0.50", "4")
    plain = json.loads(msgspec.json.encode(venue.exchange.save()))
    venue.exchange = Exchange.load(plain)
    assert venue.exchange.earned(OURS.code) == micros("0.01")
    venue.house("SELL", "0.50", "6")
    assert venue.exchange.earned(OURS.code) == micros("0.025")
    venue.exchange.know({OURS.code: Builder(OURS.code, 0, 0)})
    assert venue.exchange.builder(OURS.code).rates == (0, 0)
    assert venue.exchange.builder(THEIRS.code) == THEIRS
    venue.sound()


def test_con_18_what_a_wallet_paid_is_in_its_holdings(bench: Any) -> None:
    """The data API counts a builder's fee among the entry's."""
    from polyhost.exchange.portfolio import holdings_of, parts_of

    venue = bench(RULES)
    venue.buy("0.50", "10", builder=OURS.code)
    venue.house("SELL", "0.50", "10")
    (trade,) = venue.exchange.trades_of_builder(OURS.code)
    assert holdings_of(parts_of("0xa", [trade]))[venue.up].fees == micros("0.025")
    assert venue.exchange.market_of_token(venue.up).side_of(venue.up) is Side.UP
