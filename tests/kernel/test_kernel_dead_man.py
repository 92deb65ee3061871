"""The venue's dead-man's switch cancelled everything: exits rest again at once, and before anything is entered."""

from __future__ import annotations

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import OrderEntry
from polyhost.kernel.supervised import EXITS_FIRST_MS
from polyhost.model.commands import Prepare, Sweep
from polyhost.model.events import LoopChanged, RunBegan, StreamChanged, SweepDone
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.words import Action, Side
from polyhost.settings import Configuration

from .rig import START, Rig, none, only

TARGET = ExitTarget(Side.UP, ticks("0.99"))
BUY_DOWN = Enter(Side.DOWN, ticks("0.60"), "test")


def resting() -> tuple[Rig, OrderEntry]:
    """57 UP whose exit rests at 0.99, with the switch armed by setting."""
    rig = Rig(settings={"safety": {"dead_man": True}})
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    post = rig.posted(rig.answer(TARGET))
    rig.accept(post)
    return rig, rig.order(post)


def names(rig: Rig) -> list[str]:
    return [name for name, _ in rig.kernel.blocks()]


def test_ord_15_a_resting_exit_that_the_venue_cancelled_is_placed_again_at_once() -> None:
    rig, exit_ = resting()
    draft = only(rig.see(exit_, "CANCELED", "0", "CANCELLATION"), Prepare).draft
    assert (draft.action, draft.price, draft.size) == (Action.SELL, exit_.draft.price, exit_.draft.size)


def test_ord_15_while_heartbeats_are_lost_nothing_is_entered_and_afterwards_exits_go_first() -> None:
    rig, exit_ = resting()
    rig.do(LoopChanged("heartbeat", False, "no sign of life"))
    assert names(rig) == ["loop:heartbeat"]
    again = rig.do(LoopChanged("heartbeat", True, "no sign of life"))
    assert only(again, Sweep).condition_id == "", "what the venue did meanwhile is looked up"
    assert names(rig) == ["reconciling"], "its exit still rests"
    rig.do(SweepDone("", (rig.row(exit_, "CANCELED", "0"),), (), True, begun=rig.now))
    assert names(rig) == [], "its exit is on its way again before the comparison is over"
    sells = [c.draft for c in rig.commands if isinstance(c, Prepare) and c.draft.action is Action.SELL]
    assert len(sells) == 2


def test_ord_15_after_a_restart_no_entry_leaves_before_the_exits_rest_again() -> None:
    rig, exit_ = resting()
    kernel = Kernel(Configuration.model_validate({"safety": {"dead_man": True}}), "main")
    kernel.restore(rig.records)
    rig.kernel = kernel
    rig.now += 60_000
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    names(rig)  # the resting exit is still believed in: looking at what blocks must not forget what may
    rig.do(StreamChanged("user", True, 1))
    rig.do(SweepDone("", (rig.row(exit_, "CANCELED", "0"),), (), True, begun=rig.now))
    rig.book("0.40/0.42")
    assert "exits_first" in names(rig)
    none(rig.answer(TARGET, BUY_DOWN), Prepare)  # the balance is not known yet: the exit cannot rest
    rig.balances(Side.UP)
    caused = rig.answer(TARGET)
    drafts = [c.draft for c in (*caused, *rig.commands) if isinstance(c, Prepare)]
    assert any(draft.action is Action.SELL and draft.price == TARGET.price for draft in drafts[-2:])
    assert "exits_first" not in names(rig)


def test_ord_15_an_exit_that_never_comes_to_rest_holds_entries_up_for_ten_seconds_at_most() -> None:
    rig, _ = resting()
    kernel = Kernel(Configuration.model_validate({"safety": {"dead_man": True}}), "main")
    kernel.restore(rig.records)
    rig.kernel = kernel
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    for order in kernel.state.open_orders(rig.market.condition_id):
        rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert "exits_first" in names(rig)
    rig.now += EXITS_FIRST_MS - 1
    rig.do(LoopChanged("x", True, ""))
    assert "exits_first" in names(rig)
    rig.now += 1
    rig.do(LoopChanged("x", True, ""))
    assert "exits_first" not in names(rig)


def test_ord_15_without_the_setting_a_restart_holds_nothing_up_for_exits() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    kernel = Kernel(Configuration(), "main")
    kernel.restore(rig.records)
    rig.kernel = kernel
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    assert "exits_first" not in names(rig)
