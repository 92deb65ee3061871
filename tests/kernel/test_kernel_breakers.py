"""Circuit breakers: each just inside and just outside its limit; exits go on, only an operator clears (ORD-16)."""

from __future__ import annotations

import pytest

from polyhost.kernel.orders_flow import SIGN_WAIT_MS
from polyhost.kernel.state import fold
from polyhost.model.commands import Prepare
from polyhost.model.events import Operator, PrepareFailed, RunBegan, StreamChanged, SweepDone
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, HoldToSettlement
from polyhost.model.unanswered import AWAY
from polyhost.model.words import Side

from .rig import CONDITION, START, Rig, none, only

BUY_DOWN = Enter(Side.DOWN, ticks("0.60"), "test")


def opened(**options: object) -> Rig:
    rig = Rig(**options)  # type: ignore[arg-type]
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def blocked(rig: Rig) -> list[str]:
    return list(rig.kernel.state.blocked)


@pytest.mark.parametrize(("limit", "tripped"), [("24.91196", True), ("24.91197", False)])
def test_ord_16_the_daily_loss_trips_at_its_limit(limit: str, tripped: bool) -> None:
    rig = opened(settings={"breakers": {"daily_loss": limit}})
    rig.enter()
    rig.answer(HoldToSettlement(Side.UP, "test"))
    rig.to(rig.market.end + 8_000)
    rig.resolve(Side.DOWN)
    rig.wait(5_000)
    assert (blocked(rig) == ["daily_loss"]) is tripped


@pytest.mark.parametrize(("bid", "tripped"), [("0.10/0.12", True), ("0.30/0.32", False)])
def test_ord_16_drawdown_counts_positions_at_their_midpoint(bid: str, tripped: bool) -> None:
    """57 shares bought for 24.91: at 0.11 the equity of 200 is down 18.64 (9.3 %), at 0.31 by 7.24 (3.6 %)."""
    rig = opened(cash="200")
    rig.enter()
    rig.book(bid)
    rig.wait(5_000)
    assert (blocked(rig) == ["drawdown"]) is tripped


def test_ord_16_more_than_three_emergency_stops_in_an_hour() -> None:
    rig = opened()
    for count in range(1, 5):
        rig.kernel.breakers.emergency_stop()
        assert (blocked(rig) == ["emergency_stops"]) is (count > 3)


def test_ord_16_emergency_stops_of_an_earlier_hour_do_not_count() -> None:
    rig = opened(settings={"breakers": {"drawdown": 1.0}})
    for _ in range(3):
        rig.kernel.breakers.emergency_stop()
    rig.wait(3_600_000)
    rig.kernel.breakers.emergency_stop()
    assert blocked(rig) == []


def test_ord_16_a_stop_is_an_emergency_and_a_planned_close_is_none() -> None:
    rig = opened(settings={"breakers": {"emergency_stops_hour": 0}})
    rig.enter()
    rig.answer(ExitNow(Side.UP, "planned", "forced_close"))
    assert blocked(rig) == []
    other = opened(settings={"breakers": {"emergency_stops_hour": 0}})
    other.enter()
    other.answer(ExitNow(Side.UP, "stop loss", "stop"))
    assert blocked(other) == ["emergency_stops"]


def test_ord_16_more_than_five_unplanned_disconnects_in_an_hour() -> None:
    rig = opened()
    for count in range(1, 7):
        rig.do(StreamChanged("user", False, count, "gone"))
        assert (blocked(rig) == ["disconnects"]) is (count > 5)
        rig.do(StreamChanged("user", True, count))
        rig.do(SweepDone("", (), (), True, begun=rig.now))


def test_ord_16_exits_that_fail_in_a_row_and_not_those_the_venue_only_delays() -> None:
    rig = opened()
    rig.enter()
    commands = rig.answer(ExitNow(Side.UP, "planned", "forced_close"))
    for code in ("balance", "fak_killed", "tick", "tick"):
        rig.refuse(rig.posted(commands), code, code)
        assert blocked(rig) == []
        rig.book("0.40/0.42")
        commands = rig.wait(1_000)
    rig.refuse(rig.posted(commands), "tick", "tick")
    assert blocked(rig) == ["exit_failures"]
    rig.book("0.40/0.42")
    only(rig.wait(1_000), Prepare)  # the exit itself goes on


@pytest.mark.parametrize("signed", [False, True])
def test_sec_01_exits_that_nobody_is_there_to_sign_or_send_fail_nothing_and_go_on(signed: bool) -> None:
    """The gateway process comes back by itself, and nobody has to say `resume` then."""
    rig = opened()
    rig.enter()
    commands = rig.answer(ExitNow(Side.UP, "planned", "forced_close"))
    for _ in range(6):
        if signed:
            rig.refuse(rig.posted(commands), AWAY, "the gateway process is not there")
        else:
            ref = only(commands, Prepare).draft.ref
            rig.do(PrepareFailed(ref, "the gateway process is not there", away=True))
        assert blocked(rig) == []
        rig.book("0.40/0.42")
        commands = rig.wait(1_000)
    only(commands, Prepare)


def test_sec_01_exits_whose_signature_never_comes_fail_nothing_and_go_on() -> None:
    """A frozen worker: it is there, and answers nothing for longer than anybody waits."""
    rig = opened()
    rig.enter()
    commands = rig.answer(ExitNow(Side.UP, "planned", "forced_close"))
    for _ in range(4):
        only(commands, Prepare)
        rig.book("0.40/0.42")
        none(rig.wait(SIGN_WAIT_MS), Prepare)
        assert blocked(rig) == []
        rig.book("0.40/0.42")
        commands = rig.wait(1_000)
    only(commands, Prepare)


def test_ord_19_a_refusal_that_comes_late_is_waited_for_all_the_same() -> None:
    """A balance refusal 900 ms after its post: the next sell leaves a second later, not in the same instant."""
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitNow(Side.UP, "planned", "forced_close")))
    rig.wait(900)
    none(rig.refuse(post, "balance", "not enough balance / allowance"), Prepare)
    none(rig.wait(999), Prepare)
    rig.book("0.40/0.42")
    only(rig.wait(1), Prepare)


def test_ord_16_a_trip_survives_a_restart_and_only_the_operator_clears_it() -> None:
    rig = opened()
    rig.kernel.breakers.late_fill("test")
    rig.wait(1)
    none(rig.answer(BUY_DOWN), Prepare)
    again = Rig(follow=False, start_at=rig.now + 1_000)
    again.kernel.restore(rig.records)
    assert fold(rig.records) == rig.kernel.state
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    again.do(StreamChanged("user", True, 1))
    again.do(SweepDone("", (), (), True, begun=again.now))
    assert again.kernel.blocks() == [("late_fill", "test")]
    again.do(Operator("resume", "late_fill", "me"))
    assert again.kernel.blocks() == []


def test_u7_a_fill_of_an_absent_order_trips_a_breaker() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test"))))
    rig.to(rig.market.end + 61_000)
    rig.swept()
    rig.trade(order, "57", "0.42")
    assert blocked(rig) == ["late_fill"]
    assert rig.kernel.state.position(CONDITION, Side.UP).size == micros("57")  # type: ignore[union-attr]
