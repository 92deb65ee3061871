"""The supervisor's words: a safety loop that is not alive stops new exposure, by name, and only while it is not."""

from __future__ import annotations

from polyhost.kernel.kernel import ENFORCE_WITHIN_MS
from polyhost.model.commands import Cancel, Prepare
from polyhost.model.events import LoopChanged
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitNow
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Action, Side

from .rig import CONDITION, START, Rig, none, only

BUY = Enter(Side.UP, ticks("0.42"), "test")


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def names(rig: Rig) -> list[str]:
    return [name for name, _ in rig.kernel.blocks()]


def test_ord_15_nothing_is_entered_while_a_safety_loop_is_not_alive_and_something_is_after() -> None:
    rig = opened()
    rig.do(LoopChanged("user stream", False, "ValueError: a bug"))
    assert names(rig) == ["loop:user stream"]
    none(rig.answer(BUY), Prepare)
    data = rig.kernel.data(CONDITION)
    assert data is not None
    assert data.gates["loop:user stream"] == 1
    rig.do(LoopChanged("user stream", True, "ValueError: a bug"))
    assert names(rig) == []
    assert only(rig.answer(BUY), Prepare).draft.action is Action.BUY


def test_ord_15_two_dead_loops_block_until_both_live() -> None:
    rig = opened()
    rig.do(LoopChanged("journal", False, "a"))
    rig.do(LoopChanged("clock", False, "b"))
    rig.do(LoopChanged("journal", True, "a"))
    assert names(rig) == ["loop:clock"]


def test_ord_15_a_loop_that_is_no_safety_loop_is_told_and_blocks_nothing() -> None:
    rig = opened()
    rig.do(LoopChanged("spot prices", False, "a bug", safety=False))
    assert names(rig) == []
    told = [record for record in rig.records if isinstance(record, NoticeRaised)]
    assert told[-1].text == "Loop spot prices is not alive and is started again: a bug"


def test_ord_23_exits_go_on_while_loops_are_dead() -> None:
    rig = opened()
    rig.enter()
    rig.do(LoopChanged("journal", False, "a"))
    draft = only(rig.answer(ExitNow(Side.UP, "test")), Prepare).draft
    assert draft.action is Action.SELL


def test_ord_15_a_block_by_a_loop_is_volatile_and_leaves_no_record_but_its_notice() -> None:
    rig = opened()
    before = dict(rig.kernel.state.blocked)
    step = rig.kernel.handle(LoopChanged("clock", False, "a"), rig.now, rig.now)
    assert [type(record) for record in step.records] == [NoticeRaised]
    assert rig.kernel.state.blocked == before


def test_ord_15_an_obligation_that_nobody_saw_to_is_overdue_and_a_word_of_the_exits_loop_enforces_it() -> None:
    """Whatever lost the deadline: the watch compares the obligation with the clock, not with the heap of deadlines."""
    rig = opened()
    rig.enter()
    (due,) = rig.kernel.state.obligations.values()
    rig.now = due + ENFORCE_WITHIN_MS  # no turn: the kernel's own deadline never came
    assert rig.kernel.overdue_ms(rig.now) == 0
    rig.now += 3_000
    assert rig.kernel.overdue_ms(rig.now) == 3_000
    caused = rig.do(LoopChanged("exits", False, "late"))
    assert only(caused, Prepare).draft.action is Action.SELL
    assert rig.kernel.overdue_ms(rig.now) == 0, "it is being sold"
    none(caused, Cancel)
