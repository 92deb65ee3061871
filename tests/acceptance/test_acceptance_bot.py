"""SIM-07, P: a bot that bought its hedge again every second, and lost count of a scale-in that had filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.model.commands import Post
from polyhost.model.records import OrderIntended
from polyhost.model.words import Action, OrderState, Purpose, Side

from .acceptance_stage import Stage

REVERSAL = ("10..11 buy UP 25", "20.. hedge DOWN 15 when UP<=0.30")
"""The losing side's midpoint reaches 0.30: the other side is bought, every second anew, held or not."""


def hedges(stage: Stage) -> list[Post]:
    """Every post of a hedge that ever reached the venue, those that a crash forgot included."""
    return stage.sent_of(stage.market.down)


def reversed_market(stage: Stage) -> None:
    stage.quote("0.40/0.42")
    stage.to(30)
    assert stage.held() == stage.at_venue() > 0
    stage.quote("0.28/0.30")


# --- the reversal under a locked database ---------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 4, 30])
def test_sim_07_p_a_hedge_triggered_under_a_locked_journal_is_bought_once_and_only_when_it_is_durable(
    tmp_path: Path, seconds: float
) -> None:
    stage = Stage(tmp_path, REVERSAL)
    reversed_market(stage)
    stage.lock_journal(seconds)
    stage.to(30 + seconds - 0.1)
    assert not hedges(stage), "a hedge left before its record was durable"
    assert stage.held(Side.DOWN) == 0
    stage.to(30 + seconds + 30)

    bought = stage.held(Side.DOWN)
    assert bought == stage.at_venue(Side.DOWN) > 0
    [order] = [order for order in stage.orders(purpose=Purpose.HEDGE) if order.traded]
    assert order.traded == bought
    assert len(hedges(stage)) == 1, "once, not every second"
    assert bought * 7_200 // 10_000 < 15_500_000
    stage.settle()


def test_sim_07_p_a_hedge_forgotten_by_a_crash_under_the_lock_is_bought_once_after_it(tmp_path: Path) -> None:
    """The host dies with the hedge wanted and nothing durable: it never left, and is bought once after the start."""
    stage = Stage(tmp_path, REVERSAL)
    reversed_market(stage)
    stage.lock_journal(20)
    stage.until(lambda: stage.orders(purpose=Purpose.HEDGE), 5, 0.01)
    stage.wait(0.1)
    stage.crash(down=3)
    stage.to(90)

    assert stage.outcome.records_lost > 0
    wanted = [r for r in stage.of(OrderIntended) if r.slot.purpose is Purpose.HEDGE]
    assert len(wanted) == 2, "wanted before the crash and again after it"
    assert len(hedges(stage)) == 1
    assert stage.held(Side.DOWN) == stage.at_venue(Side.DOWN) == stage.orders(purpose=Purpose.HEDGE)[0].traded > 0
    stage.agree()


def test_sim_07_p_a_hedge_that_a_crash_under_the_lock_leaves_in_doubt_is_never_bought_a_second_time(
    tmp_path: Path,
) -> None:
    """Its intention survives in the emergency file, whether it left nobody can say: no other is signed beside it."""
    stage = Stage(tmp_path, REVERSAL)
    reversed_market(stage)
    stage.lock_journal(20)
    stage.to(36)
    assert stage.orders(purpose=Purpose.HEDGE), "it was wanted"
    stage.crash(down=3)
    stage.to(600)
    [order] = stage.orders(purpose=Purpose.HEDGE)
    assert order.was_unknown
    assert len(hedges(stage)) <= 1
    assert stage.held(Side.DOWN) == stage.at_venue(Side.DOWN) == order.traded
    stage.agree()


def test_sim_07_p_a_hedge_on_its_way_when_the_host_dies_is_found_and_not_bought_again(tmp_path: Path) -> None:
    """Posted, filled, and the host is killed before it hears of it: the start asks the venue first."""
    stage = Stage(tmp_path, REVERSAL)
    reversed_market(stage)
    stage.until(lambda: stage.sent_of(stage.market.down), 10, 0.01)
    stage.crash(down=5)
    stage.to(90)
    assert len(hedges(stage)) == 1
    [order] = stage.orders(purpose=Purpose.HEDGE)
    assert order.was_unknown, "the start did not know its fate"
    assert stage.held(Side.DOWN) == stage.at_venue(Side.DOWN) == order.traded > 0
    stage.agree()


def test_sim_07_p_a_disk_without_room_lets_no_hedge_out_and_still_sells_the_loser(tmp_path: Path) -> None:
    """The journal fails for good for a while: no hedge (it adds exposure); the stop that falls back sells."""
    stage = Stage(tmp_path, (*REVERSAL, "34.. stop UP when long UP"))
    stage.quote("0.40/0.42")
    stage.to(30)
    bought = stage.held()
    stage.episode("disk_full", 40)
    stage.quote("0.28/0.30")
    stage.to(68)
    assert not hedges(stage)
    stage.to(120)
    assert len(hedges(stage)) <= 1
    assert stage.held() == stage.at_venue() == 0
    assert sum(fill.size for fill in stage.fills(Action.SELL, Side.UP)) == bought
    assert stage.held(Side.DOWN) == stage.at_venue(Side.DOWN) == sum(o.traded for o in stage.orders(side=Side.DOWN))
    stage.agree()


# --- the scale-in that "failed" but filled --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failures",
    [("error_but_filled",), ("timeout_but_filled",), ("error_but_filled", "late_fill"),
     ("timeout_but_filled", "late_fill", "dup_trade")],
    ids=lambda names: "_".join(names),
)
def test_sim_07_p_a_scale_in_that_failed_but_filled_counts_once_and_the_exit_covers_the_new_total(
    tmp_path: Path, failures: tuple[str, ...]
) -> None:
    """The post is answered by an error or by nothing, the shares are bought: the plugin wants it again every second."""
    stage = Stage(tmp_path, ("10..11 buy UP 20", "15.. target UP 0.99", "40.. add UP 10 when short UP 60"))
    stage.quote("0.40/0.42")
    stage.to(39)
    first = stage.held()
    assert 40_000_000 < first < 60_000_000
    with stage.striking(*failures):
        stage.until(lambda: stage.orders(purpose=Purpose.SCALE_IN), 5, 0.01)
        stage.lose("user", 6)  # nobody tells of the fill either
        stage.to(55)
    stage.to(140)

    adds = stage.orders(purpose=Purpose.SCALE_IN)
    assert len(adds) == 1, "bought again for want of an answer"
    assert adds[0].was_unknown
    assert adds[0].state is OrderState.CLOSED
    total = stage.held()
    assert total == first + adds[0].traded == stage.at_venue() > 60_000_000
    position = stage.position()
    assert position is not None
    assert position.bought == sum(fill.size for fill in stage.fills(Action.BUY)), "each fill once"
    resting = [order for order in stage.sells() if order.open]
    assert sum(order.draft.size for order in resting) == total, "the exit covers the new total"
    assert {order.draft.price for order in resting} == {9_900}
    assert stage.state.balance("reserved") == 0
    stage.agree()
    stage.settle()


def test_sim_07_p_the_position_of_a_lost_scale_in_is_sold_as_a_whole(tmp_path: Path) -> None:
    """The stop comes while nobody knows whether the scale-in filled: what is sold in the end is everything."""
    stage = Stage(
        tmp_path, ("10..11 buy UP 20", "40..44 add UP 10 when short UP 60", "42.. stop UP")
    )
    stage.quote("0.40/0.42")
    stage.to(39)
    with stage.striking("timeout_but_filled", "late_fill"):
        stage.until(lambda: stage.orders(purpose=Purpose.SCALE_IN), 5, 0.01)
        stage.lose("user", 6)
        stage.wait(2)
    stage.to(150)
    assert len(stage.orders(purpose=Purpose.SCALE_IN)) == 1
    bought = sum(fill.size for fill in stage.fills(Action.BUY))
    assert bought > 60_000_000
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    assert stage.held() == stage.at_venue() == 0
    stage.agree()
