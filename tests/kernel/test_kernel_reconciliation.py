"""Reconciliation: host and venue are compared all the time, nothing is lost by it and nothing grows by it."""

from __future__ import annotations

from polyhost.model.commands import Prepare, Sweep
from polyhost.model.events import StreamChanged, SweepDone
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter
from polyhost.model.words import Side

from .rig import START, Rig, none, only

BUY_UP = Enter(Side.UP, ticks("0.42"), "test")


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


# --- the comparison after a (re)connect -------------------------------------------------------------------------------


def test_ord_10_a_sweep_begun_before_a_second_reconnect_does_not_end_the_comparison() -> None:
    """It may have been answered before what was missed while the stream was down a second time."""
    rig = opened()
    first = only(rig.do(StreamChanged("user", True, 2, "reconnected")), Sweep)
    rig.wait(300)
    rig.do(StreamChanged("user", False, 3, "gone again"))
    rig.wait(300)
    second = only(rig.do(StreamChanged("user", True, 4, "reconnected")), Sweep)
    assert first.begun < second.begun == rig.now
    rig.do(SweepDone("", (), (), True, begun=first.begun))
    none(rig.answer(BUY_UP), Prepare)
    rig.do(SweepDone("", (), (), True, begun=second.begun))
    only(rig.answer(BUY_UP), Prepare)
