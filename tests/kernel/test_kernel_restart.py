"""A restart is no reason to move anything: what rests stays until the plugins have said what they want (T1, PER-05)."""

from __future__ import annotations

from polyhost.model.commands import Cancel, Prepare
from polyhost.model.events import BalanceSeen, RunBegan, StreamChanged, SweepDone
from polyhost.model.money import ticks
from polyhost.model.proposals import ExitTarget
from polyhost.model.words import Side

from .rig import START, Rig, cancels, none

AT_99 = ExitTarget(Side.UP, ticks("0.99"))


def restarted() -> tuple[Rig, str]:
    """57 UP with an exit at 0.99 resting; the host was killed and has reconciled with the venue; the exit's id."""
    before = Rig()
    before.to(START + 60_000)
    before.book("0.40/0.42")
    before.enter()
    post = before.posted(before.answer(AT_99))
    before.accept(post)
    rig = Rig(follow=False)
    rig.kernel.restore(before.records)
    rig.now = before.now + 3_000
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 1))
    rig.do(SweepDone("", (rig.row(rig.order(post), "LIVE", "0"),), (), True, begun=rig.now))
    rig.balances()
    return rig, post.request.order_id


def test_per_05_a_resting_exit_is_left_alone_by_a_restart() -> None:
    rig, _ = restarted()
    none(rig.commands, Cancel, Prepare)
    rig.book("0.40/0.42")
    none(rig.answer(AT_99), Cancel, Prepare)
    none(rig.commands, Cancel, Prepare)


def test_t1_once_the_plugins_have_spoken_and_want_no_exit_it_goes() -> None:
    rig, order_id = restarted()
    rig.book("0.40/0.42")
    assert cancels(rig.answer()) == [order_id]
