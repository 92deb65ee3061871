"""SIM-02, SET-03: splits, merges and redemptions as transactions; balances read anew; the operator's redeeming.

Whatever happens, cash is conserved (``venue.sound()``).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.mood import Stages
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.money import micros
from polyhost.model.times import MarketMs
from polyhost.model.words import Side

MINED, CONFIRMED = 2_000, 5_000


def _send(venue: Any, *calls: api.ChainCall, name: str = "t1", who: str = "0xa") -> api.Transaction:
    (reply,) = venue.exchange.handle(api.Transact(7, name, who, calls), MarketMs(venue.now))
    return reply.transaction  # type: ignore[no-any-return]


def _seen(venue: Any, name: str = "t1") -> Any:
    return venue.exchange.handle(api.GetTransaction(8, name), MarketMs(venue.now))[-1].transaction


def _call(venue: Any, kind: str, size: str = "0") -> api.ChainCall:
    return api.ChainCall(kind, venue.condition, micros(size))


def test_set_03_a_split_is_mined_and_confirmed_and_conserves_cash(bench: Any) -> None:
    venue = bench()
    sent = _send(venue, _call(venue, "split", "30"))
    assert (sent.state, venue.balance(), venue.exchange.nonce("0xa")) == ("NEW", micros("1000"), 0)
    assert venue.exchange.nonce("0xa", pending=True) == 1
    venue.wait(MINED - 1)
    assert _seen(venue).state == "NEW"
    venue.wait(1)
    assert (_seen(venue).state, _seen(venue).paid) == ("MINED", (-micros("30"),))
    assert (venue.balance(), venue.balance("101"), venue.balance("202")) == (micros("970"), 30_000_000, 30_000_000)
    venue.wait(CONFIRMED - MINED)
    assert (_seen(venue).state, venue.exchange.nonce("0xa")) == ("CONFIRMED", 1)
    venue.sound()


def test_set_03_a_merge_gives_the_money_back(bench: Any) -> None:
    venue = bench()
    _send(venue, _call(venue, "split", "30"))
    venue.wait(MINED)
    _send(venue, _call(venue, "merge", "10"), name="t2")
    venue.wait(MINED)
    assert (venue.balance(), venue.balance("101")) == (micros("980"), micros("20"))
    venue.sound()


@pytest.mark.parametrize(
    ("kind", "size", "why"),
    [
        ("split", "1000.000001", "not enough balance"), ("split", "0", "not enough balance"),
        ("merge", "31", "not enough balance"), ("redeem", "0", "not resolved"), ("steal", "1", "unknown call"),
    ],
)  # fmt: skip
def test_set_03_a_transaction_that_cannot_be_fails_as_a_whole(bench: Any, kind: str, size: str, why: str) -> None:
    venue = bench()
    _send(venue, _call(venue, "split", "30"), _call(venue, kind, size))
    venue.wait(MINED)
    failed = _seen(venue)
    assert failed.state == "FAILED"
    assert why in failed.error
    assert (venue.balance(), venue.exchange.holdings("0xa")) == (micros("1000"), {})
    assert venue.exchange.nonce("0xa") == 1, "a reverted transaction counts"
    venue.sound()


def test_set_03_a_split_to_the_last_cent_ends_the_buys_it_leaves_without_money(bench: Any) -> None:
    venue = bench()
    resting = venue.buy("0.40", "100").order_id
    _send(venue, _call(venue, "split", "1000"))
    venue.wait(MINED)
    assert (venue.balance(), venue.row(resting).status) == (0, "CANCELED_NOT_ENOUGH_BALANCE")
    venue.sound()


def test_set_03_a_redemption_of_a_decided_market(bench: Any) -> None:
    venue = bench().holding("30")
    before = venue.balance()
    venue.exchange.decide(venue.condition, Side.UP, 1, 2, MarketMs(venue.now))
    _send(venue, _call(venue, "redeem"))
    venue.wait(MINED)
    assert (venue.balance(), venue.exchange.holdings("0xa")) == (before + micros("30"), {})
    refused = venue.exchange.handle(api.Split(5, "0xa", venue.condition, 1), MarketMs(venue.now))[0]
    assert (refused.ok, refused.error) == (False, "the market is resolved")
    venue.sound()


def test_a_wallet_without_approval_splits_once_it_has_approved(bench: Any) -> None:
    venue = bench()
    venue.exchange.open_account("0xc", micros("5"), approved=False)
    _send(venue, _call(venue, "split", "5"), who="0xc")
    venue.wait(MINED)
    assert _seen(venue).error == "not enough allowance"
    _send(venue, api.ChainCall("approve"), _call(venue, "split", "5"), who="0xc", name="t2")
    venue.wait(MINED)
    assert (_seen(venue, "t2").state, venue.balance("101", who="c")) == ("MINED", micros("5"))


def test_a_transaction_sent_twice_happens_once(bench: Any) -> None:
    venue = bench()
    first = _send(venue, _call(venue, "split", "30"))
    assert _send(venue, _call(venue, "split", "30")) == first
    venue.wait(10_000)
    assert venue.balance() == micros("970")


def test_sim_06_a_transaction_on_its_way_survives_saving(bench: Any) -> None:
    venue = bench()
    _send(venue, _call(venue, "split", "30"))
    venue.exchange = Exchange.load(json.loads(json.dumps(venue.exchange.save())))
    venue.wait(MINED)
    assert (_seen(venue).state, venue.balance()) == ("MINED", micros("970"))
    venue.exchange = Exchange.load(json.loads(json.dumps(venue.exchange.save())))
    venue.wait(CONFIRMED)
    assert (_seen(venue).state, venue.exchange.nonce("0xa")) == ("CONFIRMED", 1)


# --- balances read anew -----------------------------------------------------------------------------------------------


class Lagging:
    """A venue whose balance cache lags 30 s behind."""

    def __init__(self) -> None:
        self.lag_ms = 30_000

    def stages(self, trade_id: str, usual: Stages) -> Stages:
        return Stages(self.lag_ms, usual.mined_ms, usual.confirmed_ms)

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: None if name == "closure" else [] if name == "ticks" else 0


def _lagging(bench: Any) -> Any:
    venue = bench()
    venue.exchange.afflict(Lagging())
    venue.buy("0.50", "20")
    venue.house("SELL", "0.50", "20")
    return venue


def _refresh(venue: Any, who: str = "0xa") -> None:
    assert venue.exchange.handle(api.RefreshBalance(9, who), MarketMs(venue.now))[-1] == api.Done(9, True)


def test_pos_02_a_lagging_balance_is_right_once_it_was_read_anew(bench: Any) -> None:
    venue = _lagging(bench)
    venue.wait(MINED)
    assert venue.balance("101") == 0
    _refresh(venue, "0xb")
    assert venue.balance("101") == 0, "another wallet's"
    _refresh(venue)
    _refresh(venue)
    assert venue.balance("101") == micros("20")
    venue.exchange = Exchange.load(json.loads(json.dumps(venue.exchange.save())))
    assert venue.sell("0.60", "20").status == "live"
    venue.wait(60_000)
    assert venue.balance("101") == micros("20"), "catching up later adds nothing"
    venue.sound()


def test_pos_02_a_balance_read_anew_does_not_show_the_next_trade_early(bench: Any) -> None:
    """The cache catches up with the first trade when the second has not been mined: that one stays unseen."""
    venue = _lagging(bench)
    venue.wait(MINED)
    _refresh(venue)
    venue.wait(27_500)
    venue.buy("0.50", "10")
    venue.house("SELL", "0.50", "10")
    venue.wait(1_000)
    assert venue.balance("101") == micros("20")
    venue.wait(60_000)
    assert venue.balance("101") == micros("30")


def test_pos_02_what_the_chain_has_not_taken_yet_cannot_be_read(bench: Any) -> None:
    venue = _lagging(bench)
    venue.wait(MINED - 1)
    _refresh(venue)
    assert venue.balance("101") == 0


# --- the operator -----------------------------------------------------------------------------------------------------


def test_set_03_winners_are_redeemed_by_the_operator_where_that_is_on(bench: Any) -> None:
    venue = bench(rules=ExchangeRules(auto_redeem_ms=60_000)).holding("30").holding("20", who="b", token="202")
    before = venue.balance()
    venue.exchange.decide(venue.condition, Side.UP, 1, 2, MarketMs(venue.now))
    assert [out for out in venue.wait(59_999) if isinstance(out, api.AutoRedeemed)] == []
    (told,) = (out for out in venue.wait(1) if isinstance(out, api.AutoRedeemed))
    assert (told.account, told.condition_id, told.payout) == ("0xa", venue.condition, micros("30"))
    assert venue.balance() == before + micros("30")
    venue.sound()


def test_set_03_the_operator_leaves_what_its_owner_redeemed(bench: Any) -> None:
    venue = bench(rules=ExchangeRules(auto_redeem_ms=60_000)).holding("30")
    venue.exchange.decide(venue.condition, Side.UP, 1, 2, MarketMs(venue.now))
    venue.exchange.handle(api.Redeem(5, "0xa", venue.condition), MarketMs(venue.now))
    assert [out for out in venue.wait(90_000) if isinstance(out, api.AutoRedeemed)] == []
    venue.sound()


def test_nobody_redeems_by_itself_where_that_is_off(bench: Any) -> None:
    venue = bench().holding("30")
    venue.exchange.decide(venue.condition, Side.UP, 1, 2, MarketMs(venue.now))
    venue.wait(600_000)
    assert venue.exchange.redeemable("0xa") == {venue.condition: micros("30")}
