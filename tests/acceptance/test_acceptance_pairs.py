"""SIM-07, H: a hedge bot whose two legs failed by balance, rollback, delay and cache. Each happens, and is survived."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polyhost.exchange import api
from polyhost.exchange.refusals import FAK_KILLED
from polyhost.kernel.state import OrderEntry, PairEntry
from polyhost.model.events import QueryFailed
from polyhost.model.records import OrderIntended, PairMoved
from polyhost.model.words import Action, PairState, Purpose, Side

from .acceptance_stage import Stage, is_balance

OTHER = '[plugins.other]\nuse = "playbook"\ntrusted = true\nsymbol = "ETH"\nplays = ["11.. buy UP 25"]\n'
"""A second strategy that wants to buy in another market, a second after the pair began."""


def legs(stage: Stage) -> list[OrderEntry]:
    return stage.orders(Action.BUY, purpose=Purpose.LEG)


def the_pair(stage: Stage) -> PairEntry:
    [pair] = stage.state.pairs.values()
    return pair


def legs_sent(stage: Stage, count: int) -> Callable[[], bool]:
    """For ``until``."""
    return lambda: len(legs(stage)) == count


def second(stage: Stage, at: int) -> float:
    return (at - stage.opens) / 1_000


# --- balance: two legs compete for the same funds -------------------------------------------------------------------


def test_sim_07_h_balance_the_funds_of_both_legs_are_reserved_before_the_first_leaves(tmp_path: Path) -> None:
    """45.00 in all; the pair needs 40, another strategy wants 25 before the second leg: it gets what is left."""
    stage = Stage(tmp_path, ("10..10.5 pair 40",), cash="45", symbols=("BTC", "ETH"), plugins=OTHER)
    stage.quote("0.50/0.51")
    stage.quote("0.40/0.42", symbol="ETH")
    stage.until(legs_sent(stage, 1), 30, 0.01)
    reserved = stage.state.balance("reserved")
    assert reserved > 38_000_000, "both legs are paid for before the first is sent"
    stage.to(60)

    first, then = legs(stage)
    assert (first.traded, then.traded) == (first.draft.size, first.draft.size), "the second leg had its money"
    assert the_pair(stage).cause == "paired"
    [other] = stage.orders(symbol="ETH")
    assert second(stage, other.placed_at) < second(stage, then.placed_at), "the other came between the legs"
    assert other.why["limited"] == "funds"
    assert float(other.why["stake"]) < 7
    assert stage.state.balance("free") >= 0
    assert stage.exchange.collateral(stage.gateway.address) >= 0
    stage.agree()


# --- rollback: the second leg fails ---------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["dearer", "refused", "gone"])
def test_sim_07_h_rollback_sells_the_first_leg_by_its_actual_shares(tmp_path: Path, failure: str) -> None:
    """12.806 of the wanted shares were bought when the second leg fails: they are sold, and what is left is told."""
    stage = Stage(tmp_path, ("10..10.5 pair 40",))
    stage.quote("0.50/0.51", ask_size="900")
    stage.until(legs_sent(stage, 1), 30, 0.01)
    stage.quote("0.50/0.51", ask_size="12.806")  # while the first leg is on its way
    stage.to(13)
    [first] = legs(stage)
    assert (first.slot.side, first.traded, first.draft.size > 30_000_000) == (Side.UP, 12_806_000, True)
    if failure == "dearer":
        stage.quote("0.45/0.47")
    elif failure == "refused":
        stage.refuse(lambda r: isinstance(r, api.PostOrder) and r.order.action is Action.BUY, FAK_KILLED.text)
    else:
        stage.until(legs_sent(stage, 2), 20, 0.01)
        stage.quote("0.44/0.46")  # what it wants to buy goes while it is on its way
    stage.to(50)

    assert len(legs(stage)) == (1 if failure == "dearer" else 2)
    assert stage.held(Side.DOWN) == 0
    [sold] = stage.fills(Action.SELL)
    assert (sold.slot.side, sold.size) == (Side.UP, 12_800_000), "by its shares, truncated: no notional, no rounding up"
    assert stage.held() == stage.at_venue() == 6_000
    pair = the_pair(stage)
    assert (pair.state, pair.cause, pair.left, pair.paired) == (PairState.DONE, "left", 6_000, 0)
    assert any("Pair p00001 ended (left): 0" in notice.text for notice in stage.notices("warning"))
    assert stage.state.balance("reserved") == 0
    stage.settle()


def test_sim_07_h_rollback_of_whole_shares_ends_flat(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ("10..10.5 pair 40",))
    stage.quote("0.50/0.51")
    stage.to(13)
    bought = stage.held(legs(stage)[0].slot.side)
    assert bought > 0
    stage.quote("0.40/0.60")
    stage.to(50)
    assert [stage.held(side) for side in Side] == [stage.at_venue(side) for side in Side] == [0, 0]
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    pair = the_pair(stage)
    assert (pair.cause, pair.left) == ("flat", 0)
    stage.settle()


# --- delay: the first leg settles slowly ----------------------------------------------------------------------------


def test_sim_07_h_delay_the_second_leg_leaves_only_when_the_first_is_settled(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ("10..10.5 pair 40",))
    stage.quote("0.50/0.51")
    stage.to(40)
    first, then = legs(stage)
    moves = {record.cause: record.at for record in stage.of(PairMoved)}
    assert first.placed_at < moves["bought"] < moves["settled"] <= then.placed_at - 2_000
    confirmed = [r.at for r in stage.records if getattr(r, "status", "") == "CONFIRMED" and r.ref == first.ref]
    assert confirmed
    assert max(confirmed) <= moves["settled"]
    assert the_pair(stage).cause == "paired"
    stage.agree()


def test_sim_07_h_delay_a_first_leg_that_does_not_settle_is_rolled_back_and_never_answered_by_the_second(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, ("10..10.5 pair 40",), seed=4)
    stage.quote("0.50/0.51")
    with stage.striking("settlement_late"):
        stage.to(13)
    [first] = legs(stage)
    side, bought = first.slot.side, first.traded
    assert bought > 0
    stage.to(69)
    assert the_pair(stage).state is PairState.SETTLING
    assert not stage.sells()
    stage.until(lambda: not the_pair(stage).open, 700)
    assert len(legs(stage)) == 1, "no second leg beside a first that is not settled"
    assert "not_settled" in {record.cause for record in stage.of(PairMoved)}
    assert (the_pair(stage).cause, stage.held(side), stage.at_venue(side)) == ("flat", 0, 0)
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    stage.settle()


# --- cache: a decision on stale figures -----------------------------------------------------------------------------


def test_sim_07_h_cache_a_balance_past_its_age_is_fetched_before_anything_is_decided_on_it(tmp_path: Path) -> None:
    """The venue answers no question for the balance for half a minute: nobody buys on the figure of before."""
    stage = Stage(tmp_path, ("30.. buy UP 25",))
    stage.quote("0.40/0.42")
    stage.to(20)
    stage.refuse(is_balance, "Internal server error", http=500)
    stage.to(50)
    assert any(isinstance(event, QueryFailed) and event.what == "balance" for event in stage.told)
    assert not stage.orders(), "an entry on a balance of twenty seconds ago"
    assert stage.kernel.gates(stage.market.condition_id).get("balance_age", 0) > 10
    stage.accept_again()
    stage.to(56)

    [order] = stage.buys()
    assert order.traded > 0
    stage.agree()
    ages = [int(r.why["balance_age_ms"]) for r in stage.of(OrderIntended) if "balance_age_ms" in r.why]
    assert ages
    assert max(ages) <= 5_000


def test_sim_07_h_cache_money_that_left_the_wallet_meanwhile_is_not_spent_again(tmp_path: Path) -> None:
    """The ledger knows 100.00, the wallet has 8.00: the entry is sized by what the venue really shows."""
    stage = Stage(tmp_path, ("30.. buy UP 25",), cash="100")
    stage.quote("0.40/0.42")
    stage.to(5)
    account = stage.exchange._bank.accounts[stage.gateway.address]
    account.collateral -= 92_000_000
    stage.to(40)
    [order] = stage.buys()
    assert order.why["limited"] == "funds"
    assert order.draft.size * order.draft.price // 10_000 <= 8_000_000
    assert order.cause == "filled"
    assert order.traded == stage.at_venue()


def test_sim_07_h_cache_a_position_that_reads_zero_after_the_fill_is_neither_rebought_nor_written_off(
    tmp_path: Path,
) -> None:
    """The token's balance is 0 for seconds after the buy: the position stays, nothing is bought again or corrected."""
    stage = Stage(tmp_path, ("10.. buy UP 25", "30.. target UP 0.99"))
    stage.quote("0.40/0.42")
    with stage.striking("balance_zero_after_fill"):
        stage.to(25)
    bought = stage.held()
    assert bought == stage.at_venue() > 0
    assert len(stage.buys()) == 1
    stage.to(60)
    assert stage.held() == bought
    resting = [order for order in stage.sells() if order.open]
    assert sum(order.draft.size for order in resting) == bought, "covered as a whole"
    stage.agree()
