"""SIM-07, W: a worker whose positions expired unmanaged. Its four failures, each made to happen, and survived."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from polyhost.exchange import api
from polyhost.exchange.refusals import FAK_KILLED
from polyhost.model.commands import Post
from polyhost.model.events import LoopChanged, TokenBalanceSeen, TradeSeen
from polyhost.model.records import EntriesBlocked, ObligationMet
from polyhost.model.words import Action, Purpose, Side

from .acceptance_stage import Stage, is_sell

SHORT = "order 0x0 is invalid. not enough balance / allowance: the balance is not enough -> balance: 0"
"""What the venue says to a sell of shares that its cache does not show yet."""
LOT = 10_000
"""A hundredth of a share, micro-shares."""


# --- W1: the exit fails on a lagging balance ------------------------------------------------------------------------


def test_sim_07_w1_an_exit_waits_for_the_lagging_balance_and_then_sells_every_share(tmp_path: Path) -> None:
    """The shares are bought and settled, the venue's balance does not show them: nothing is sold before it does."""
    stage = Stage(tmp_path, ("10..11 buy UP 25", "14.. stop UP"))
    stage.quote("0.40/0.42")
    with stage.striking("balance_lag"):
        stage.to(12)
    bought = stage.held()
    assert bought > 0
    visible = stage.until(lambda: any(isinstance(e, TokenBalanceSeen) and e.balance == bought for e in stage.told), 60)
    assert visible > 17, "the balance did not lag"
    stage.until(lambda: stage.held() == 0, 10)

    first = stage.sells()[0]
    assert (first.placed_at - stage.opens) / 1_000 >= visible - 0.3, "the sell did not wait for the balance"
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    assert stage.at_venue() == 0
    [close] = stage.closes()
    assert (close.exit_reason, close.sell_failed) == ("stop", False)
    stage.agree()


def test_sim_07_w1_a_sell_that_is_refused_for_a_balance_that_lags_is_not_yet_and_never_failed(tmp_path: Path) -> None:
    """The balance shows the shares and the venue refuses the sell all the same, three times: waits of 1, 2 and 3 s."""
    stage = Stage(tmp_path, ("10..11 buy UP 25", "20.. stop UP"))
    stage.quote("0.40/0.42")
    stage.to(19)
    bought = stage.held()
    stage.refuse(is_sell, SHORT, times=3)
    stage.until(lambda: stage.held() == 0, 20)

    times = [(order.placed_at - stage.opens) / 1_000 for order in stage.sells()]
    assert len(times) == 4, "one attempt after each wait, and no storm"
    for waited, least in zip((b - a for a, b in pairwise(times)), (1, 2, 3), strict=True):
        assert least <= waited <= least + 1
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    assert not stage.of(EntriesBlocked), "not yet is no failure: no breaker counts it"
    stage.agree()


# --- W2: what is sold is what was bought ----------------------------------------------------------------------------


def test_sim_07_w2_what_is_sold_is_what_was_bought_truncated_and_never_money_over_price(tmp_path: Path) -> None:
    """12.806 of the wanted shares are there to buy: 12.80 are sold, not 12.81, nor the stake divided by a price."""
    stage = Stage(tmp_path, ("10..11 buy UP 25", "30.. stop UP"))
    stage.quote("0.40/0.42")
    stage.until(stage.buys, 30, 0.01)
    stage.quote("0.40/0.42", ask_size="12.806")  # while the order is on its way
    stage.to(29)
    assert stage.held() == stage.at_venue() == 12_806_000
    stage.quote("0.20/0.22")
    stage.until(lambda: stage.fills(Action.SELL), 5)
    stage.wait(20)

    [sold] = stage.fills(Action.SELL)
    assert sold.size == 12_800_000
    assert all(order.draft.size % LOT == 0 and order.draft.size <= 12_806_000 for order in stage.sells())
    assert stage.held() == stage.at_venue() == 6_000, "the rest is below what the venue takes: held, not lost"
    position = stage.position()
    assert position is not None
    assert position.held == "minimum"
    stage.settle()


@pytest.mark.parametrize("spelling", ["hex", "decimal"])
def test_sim_07_w2_the_token_sold_is_the_token_bought_however_the_venue_spells_it(
    tmp_path: Path, spelling: str
) -> None:
    """Trades name the token in hex: it is the same token, and the sell names the one that was bought."""
    stage = Stage(tmp_path, ("10..11 buy DOWN 25", "30.. stop DOWN"))
    handle = stage.gateway.events_of

    def respelt(outputs: list[api.Output]) -> list[object]:
        return [
            structs.replace(event, row=structs.replace(event.row, token_id=hex(int(event.row.token_id))))
            if isinstance(event, TradeSeen) and spelling == "hex" else event
            for event in handle(outputs)
        ]

    stage.gateway.events_of = respelt  # type: ignore[method-assign,assignment]
    stage.quote("0.58/0.60")
    stage.to(29)
    token = stage.market.down
    bought = stage.held(Side.DOWN)
    assert bought == stage.at_venue(Side.DOWN) > 0
    stage.until(lambda: stage.held(Side.DOWN) == 0, 10)

    posts = stage.sent(Post)
    assert {post.request.fields.token_id for post in posts} == {token}
    assert {order.draft.token_id for order in stage.orders()} == {token}
    assert [fill.token_id for fill in stage.fills(Action.BUY) + stage.fills(Action.SELL)] == [token] * 2
    assert stage.at_venue(Side.DOWN) == 0
    stage.agree()


# --- W3: the safety loop does not run -------------------------------------------------------------------------------


def test_sim_07_w3_a_dead_safety_loop_stops_entries_and_the_obligation_closes_before_the_end(tmp_path: Path) -> None:
    """Nobody serves the deadlines and no plugin answers: the supervisor's word alone has the position sold."""
    stage = Stage(tmp_path, ("10..11 buy UP 20", "300.. buy DOWN 20"), guard=False)
    stage.quote("0.40/0.42")
    stage.to(290)
    bought = stage.held()
    assert bought > 0
    stage.deaf = True
    stage.serve_deadlines(False)
    stage.to(300)
    stage.loop("exits", alive=False)
    stage.to(785)
    assert stage.held() == bought
    assert not stage.fills(Action.SELL), "nobody saw to it"
    stage.loop("exits", alive=False)
    stage.to(790)

    assert stage.held() == stage.at_venue() == 0, "closed 110 s before the end, by nobody's deadline"
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    [close] = stage.closes()
    assert close.forced
    assert [met.how for met in stage.of(ObligationMet)] == ["forced"]
    assert len(stage.buys()) == 1, "no entry while the loop was dead"
    assert any(notice.level == "critical" and "Loop exits" in notice.text for notice in stage.notices())
    stage.settle()


def test_sim_07_w3_entries_stop_while_the_loop_is_dead_and_go_on_when_it_lives(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ("10.. buy UP 20",))
    stage.loop("exits", alive=False)
    stage.quote("0.40/0.42")
    stage.to(40)
    assert not stage.orders(), "an entry while a safety loop is not alive"
    stage.loop("exits", alive=True)
    stage.to(45)
    assert len(stage.orders()) == 1
    assert [e.alive for e in stage.told if isinstance(e, LoopChanged)] == [False, True]
    stage.agree()


def test_sim_07_w3_plugins_that_never_answer_leave_no_position_to_expire(tmp_path: Path) -> None:
    """The same without a supervisor's word: the deadline of the entry is the kernel's own."""
    stage = Stage(tmp_path, ("10..11 buy UP 20",), guard=False)
    stage.quote("0.40/0.42")
    stage.to(30)
    bought = stage.held()
    stage.deaf = True
    stage.to(779)
    assert stage.held() == bought > 0
    stage.until(lambda: stage.held() == 0, 10)
    assert stage.orders(purpose=Purpose.EMERGENCY)
    assert stage.closes()[0].forced
    stage.settle()


# --- W4: the sell fails for good ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SHORT, FAK_KILLED.text], ids=["balance", "no_bid"])
def test_sim_07_w4_a_sell_that_fails_for_good_leaves_the_row_tracked_until_settlement_is_booked(
    tmp_path: Path, text: str
) -> None:
    """The venue takes no sell at all: the close attempt is on record, the row stays open, and the result ends it."""
    stage = Stage(tmp_path, ("10..11 buy UP 20", "600.. stop UP"))
    stage.quote("0.40/0.42")
    stage.to(599)
    bought = stage.held()
    stage.refuse(is_sell, text)
    stage.to(899)

    assert bought == stage.held() == stage.at_venue() > 0, "the row is still there"
    attempts = stage.sells()
    assert len(attempts) > 10, "tried again and again"
    assert max(order.placed_at for order in attempts) > stage.market.end - 10_000, "up to the end"
    assert max(order.placed_at for order in attempts) <= stage.market.end - 2_000, "and nothing in the last two seconds"
    assert not stage.closes(), "nothing says that it was closed"
    market, cash = stage.market, stage.state.balance("free")
    stage.settle()

    position = stage.state.positions[f"{market.condition_id}:UP"]
    assert position.closed
    [close] = stage.closes()
    assert (close.sell_failed, close.forced, close.size) == (True, True, bought)
    entry = stage.state.markets[market.condition_id]
    payout = bought if entry.winner is Side.UP else 0
    assert stage.state.balance("unredeemed") == payout
    assert close.pnl == payout - position.paid - position.fees
    assert stage.state.balance("free") == cash
