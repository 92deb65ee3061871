"""SET-02 and the day's figures: what the host asks, counts and tells plugins."""

from __future__ import annotations

from polyhost.kernel.audit import AUDIT_AFTER_MS, AUDIT_AGAIN_MS, AUDIT_TRIES
from polyhost.kernel.breakers import DAY_MS
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import fold
from polyhost.model.commands import Command, QueryAudit, Tell
from polyhost.model.days import DayFigures
from polyhost.model.events import AuditRow, AuditSeen, RunBegan
from polyhost.model.records import AuditTaken, NoticeRaised
from polyhost.model.words import Side
from polyhost.settings import Configuration

from .rig import CONDITION, DOWN, START, UP, Rig

HOOKS = ("on_audit", "on_day")


def won(hooks: tuple[str, ...] = HOOKS) -> Rig:
    """57 UP bought for 23.94 and a fee; UP won."""
    rig = Rig(told_hooks=hooks)
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.resolve(Side.UP)
    return rig


def asked(commands: list[Command]) -> int:
    return sum(isinstance(command, QueryAudit) for command in commands)


def told(rig: Rig, hook: str) -> list[object]:
    return [command.what for command in rig.commands if isinstance(command, Tell) and command.hook == hook]


def ours(rig: Rig) -> int:
    return rig.kernel.state.closes[-1].pnl


def test_set_02_the_venue_is_asked_a_minute_after_the_result_and_equal_figures_end_it() -> None:
    rig = won()
    assert asked(rig.wait(AUDIT_AFTER_MS - 1)) == 0
    assert asked(rig.wait(1)) == 1
    rig.do(AuditSeen(CONDITION, (AuditRow(UP, ours(rig) + 10_000),)))
    (report,) = told(rig, "on_audit")
    assert report == AuditTaken(rig.now, CONDITION, ours(rig), ours(rig) + 10_000)
    assert asked(rig.wait(3_600_000)) == 0
    assert fold(rig.records) == rig.kernel.state


def test_set_02_the_rows_of_both_tokens_count() -> None:
    rig = won()
    rig.wait(AUDIT_AFTER_MS)
    rig.do(AuditSeen(CONDITION, (AuditRow(UP, ours(rig) + 5_000_000), AuditRow(DOWN, -5_000_000))))
    assert len(told(rig, "on_audit")) == 1


def test_set_02_figures_that_differ_are_asked_for_again_and_told_at_last() -> None:
    rig = won()
    rig.wait(AUDIT_AFTER_MS)
    other = AuditSeen(CONDITION, (AuditRow(UP, ours(rig) - 10_001),))
    for _ in range(AUDIT_TRIES - 1):
        rig.do(other)
        assert told(rig, "on_audit") == [], "its index lags"
        assert asked(rig.wait(AUDIT_AGAIN_MS)) == 1
    rig.do(other)
    assert len(told(rig, "on_audit")) == 1
    rig.do(other)
    assert len(told(rig, "on_audit")) == 1


def test_set_02_a_venue_that_never_shows_it_is_told() -> None:
    rig = won()
    rig.wait(AUDIT_AFTER_MS)
    for _ in range(AUDIT_TRIES):
        rig.do(AuditSeen(CONDITION, ()))
        rig.wait(AUDIT_AGAIN_MS)
    assert told(rig, "on_audit") == []
    assert [r for r in rig.records if isinstance(r, NoticeRaised) and "could not be had in 4 tries" in r.text]


def test_set_02_after_a_restart_what_was_not_compared_is_asked_for_and_the_rest_is_not() -> None:
    rig = won()
    for audited in (False, True):
        if audited:
            rig.wait(AUDIT_AFTER_MS)
            rig.do(AuditSeen(CONDITION, (AuditRow(UP, ours(rig)),)))
        kernel = Kernel(Configuration(), "main", HOOKS)
        kernel.restore(rig.records)
        kernel.handle(RunBegan("run-2", "0.1.0", "sim", "hash", "main"), rig.now, rig.now)
        later = rig.now + AUDIT_AFTER_MS
        assert asked(kernel.turn(later, later).commands) == (0 if audited else 1)


def test_set_02_nobody_asks_when_nobody_wants_to_know_or_nothing_was_entered() -> None:
    assert asked(won(()).wait(3_600_000)) == 0
    rig = Rig(told_hooks=HOOKS)
    rig.resolve(Side.UP)
    assert asked(rig.wait(3_600_000)) == 0


def test_not_01_the_days_figures_are_counted_and_told_when_the_next_day_begins() -> None:
    rig = won()
    rig.book("0.58/0.60")
    day, state = START // DAY_MS, rig.kernel.state
    fill = next(iter(fold(rig.records, whole=True).fills.values())).fill
    wanted = DayFigures(day, 1, 1, 0, state.closes[-1].pnl, fill.fee, 0, 0, ())
    assert state.today == wanted
    assert told(rig, "on_day") == []
    rig.to((day + 1) * DAY_MS + 60_000)
    assert told(rig, "on_day") == [wanted]
    assert state.today == DayFigures(day + 1)
    assert fold(rig.records) == state


def test_not_01_a_start_tells_the_last_day_again_for_who_missed_it() -> None:
    rig = won()
    rig.to((START // DAY_MS + 1) * DAY_MS + 60_000)
    kernel = Kernel(Configuration(), "main", HOOKS)
    kernel.restore(rig.records)
    step = kernel.handle(RunBegan("run-2", "0.1.0", "sim", "hash", "main"), rig.now, rig.now)
    assert [c.what for c in step.commands if isinstance(c, Tell) and c.hook == "on_day"] == told(rig, "on_day")
