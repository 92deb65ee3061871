"""PER-05, ORD-01: killed anywhere, the host loses nothing, doubles nothing, leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import JournalStore, emergency
from polyhost.kernel import adoption, core, orders_flow, outbox
from polyhost.kernel.kernel import Kernel
from polyhost.lab import crash
from polyhost.lab.crash import CrashMatrix, commit_kills, emergencies, first_kills, full_disks, later_kills, stuck_sends
from polyhost.lab.crash_frames import Line, Sent
from polyhost.lab.crash_host import Host
from polyhost.lab.crash_points import Target
from polyhost.lab.crash_run import Outcome, Plan
from polyhost.lab.crash_stage import story_stage
from polyhost.model.commands import Post

STAY_MS = 400
LATE_S = 3.0
"""Wall seconds that a host may take for a turn, on a machine that is busy elsewhere."""


@pytest.fixture(scope="module")
def matrix() -> CrashMatrix:
    return CrashMatrix(story_stage())


@pytest.fixture(scope="module")
def base(matrix: CrashMatrix) -> Outcome:
    return matrix.undisturbed()


def _survives(matrix: CrashMatrix, plans: list[Plan]) -> dict[str, Any]:
    report = matrix.run(plans)
    assert report["failures"] == []
    assert report["not_reached"] == []
    assert report["survived"] == report["runs"] == len(plans) + 1
    return report


def _problems(plans: list[Plan]) -> str:
    """What a matrix says about a host that was broken on purpose."""
    report = CrashMatrix(story_stage()).run(plans)
    return " ".join(problem for failure in report["failures"] for problem in failure["problems"])


def test_the_story_passes_every_kind_of_order_and_record(base: Outcome) -> None:
    """A matrix of a story in which nothing happens would survive everything."""
    assert base.problems == []
    for point in (
        "send.post.BUY.FAK.after", "send.post.BUY.GTC.after", "send.post.SELL.FAK.after", "send.post.SELL.GTC.after",
        "send.cancel.after", "record.obligation_met.forced.committed", "record.obligation_met.held.committed",
        "record.obligation_met.closed.committed", "record.order_intended.emergency.made",
        "record.order_intended.scale_in.made", "record.ledger_posted.payout.committed", "journal.written",
        "event.order_seen.stream.UPDATE", "event.cancel_answered.canceled", "record.run_ended.committed",
    ):
        assert base.counts.get(point, 0) >= 1, point


@pytest.mark.parametrize("part", range(2))
def test_per_05_killed_at_a_point_of_every_kind_nothing_is_lost(
    matrix: CrashMatrix, base: Outcome, part: int
) -> None:
    """Every 24th point's first, every 36th's middle and last passing; all of them are the release check."""
    plans = first_kills(base)[part * 7 :: 24] + later_kills(base)[part * 11 :: 36]
    report = _survives(matrix, plans)
    assert report["kills"] == len(plans)


def test_ord_01_killed_before_and_after_every_kind_of_post(matrix: CrashMatrix, base: Outcome) -> None:
    points = [point for point in base.counts if point.startswith("send.post.")]
    plans = [Plan((Target(point, n),), 200, 7_000) for point in points for n in range(1, base.counts[point] + 1, 2)]
    assert len(plans) >= 16
    _survives(matrix, plans)


def test_ord_01_what_a_killed_host_had_sent_may_arrive_late(matrix: CrashMatrix, base: Outcome) -> None:
    """U4 to U8: asked for and not found is not absent."""
    _survives(matrix, stuck_sends(base)[::16])


def test_per_05_killed_inside_a_commit_the_journal_is_whole(matrix: CrashMatrix, base: Outcome) -> None:
    _survives(matrix, commit_kills(base)[::4])


def test_per_05_killed_again_while_it_recovers(matrix: CrashMatrix) -> None:
    first = Target("send.post.SELL.FAK.after", 1)
    again = ("record.run_started.made", "record.order_moved.unknown.committed", "send.sweep.after", "journal.written")
    report = _survives(matrix, [Plan((first, Target(point, 1, 1)), 0, STAY_MS) for point in again])
    assert report["kills"] == 2 * len(again)


def test_a_full_disk_seals_the_host_and_the_next_one_takes_in_what_was_put_aside(
    matrix: CrashMatrix, base: Outcome
) -> None:
    plans = full_disks(base)[::34]
    report = _survives(matrix, plans)
    assert report["sealed"] >= len(plans) - 1  # at the run's last record there is nothing to seal
    assert report["sealed_sells"] > 0, "what is held is sold although the journal takes nothing any more"


def test_a_host_that_dies_while_it_puts_records_aside_or_takes_them_in_loses_nothing(
    matrix: CrashMatrix, base: Outcome
) -> None:
    _survives(matrix, emergencies(base)[2::10])


def test_per_01_a_locked_database_is_waited_for_and_nothing_is_posted_meanwhile(base: Outcome) -> None:
    report = CrashMatrix(story_stage()).run([Plan(locked=True)])
    assert report["failures"] == []
    assert report["locks"] == base.posts


def test_per_01_a_post_that_does_not_wait_for_the_lock_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    _posts_at_once(monkeypatch)
    # A slow machine has more time to say it; once it was said nobody waits for more.
    waiting, said = Line.waiting, list[Sent]()
    from_host = Line.from_host

    def heard(self: Line) -> Any:
        found = from_host(self)
        if isinstance(found, Sent) and found.kind == Post.__name__:
            said.append(found)
        return found

    monkeypatch.setattr(Line, "from_host", heard)
    monkeypatch.setattr(Line, "waiting", lambda self, seconds: waiting(self, seconds if said else LATE_S))
    assert "a post left before its record was on the disk" in _problems([Plan(locked=True)])


def test_a_failed_run_is_told_with_the_command_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _recovers_nothing(monkeypatch)
    plan = Plan((Target("send.post.BUY.FAK.after", 2),), 200, 7_000)
    report = CrashMatrix(story_stage()).run([plan])
    assert report["survived"] == 1
    (failure,) = report["failures"]
    assert failure["replay"] == (
        "polyhost selftest crash --point send.post.BUY.FAK.after:2 --group-ms 200 --down-ms 7000"
    )
    assert crash.plan_of(failure["points"], 200, 7_000) == plan


# --- the matrix can fail: hosts that are broken on purpose ------------------------------------------------------------


def _posts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = Host._carry_out

    def carry_out(self: Host, step: Any) -> None:
        for command in [each for each in step.commands if isinstance(each, Post)]:
            self._send(command)
            step.commands.remove(command)
        carried(self, step)

    monkeypatch.setattr(Host, "_carry_out", carry_out)


def test_ord_01_a_host_that_posts_before_it_commits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    _posts_at_once(monkeypatch)
    plans = [Plan((Target(f"send.post.{kind}.after", 1),), 0, STAY_MS) for kind in ("BUY.FAK", "BUY.GTC", "SELL.GTC")]
    assert "was posted and is not in the journal" in _problems(plans)


def test_a_sell_that_leaves_a_sealed_host_without_its_emergency_line_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emergency, "append", lambda journal, first_seq, records: None)
    plans = [Plan((), 0, STAY_MS, disk_full=("journal.begun", number), flatten=True) for number in (10, 16)]
    assert "was posted and is not in the journal" in _problems(plans)


def test_a_journal_that_splits_a_step_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = JournalStore.commit

    def one_by_one(self: JournalStore, records: Any, *waiting: Any) -> int:
        return max(whole(self, [record], *waiting) for record in records) if records else self.last_seq

    monkeypatch.setattr(JournalStore, "commit", one_by_one)
    base = CrashMatrix(story_stage()).undisturbed()
    # Of the first writes every fourth, then the ones after those, until a kill falls into a step that was split.
    early = min(base.counts["journal.written"], 60)
    writes = [n for begin in range(1, 5) for n in range(begin, early, 4)]
    plans = [Plan((Target("journal.written", n),), 0, STAY_MS) for n in writes]
    assert any("invariant" in _problems(plans[some : some + 3]) for some in range(0, len(plans), 3))


def test_a_recovery_without_obligations_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    began = Kernel._began

    def forgetful(self: Kernel, event: Any) -> None:
        kept, self.state.obligations = self.state.obligations, {}
        began(self, event)
        self.state.obligations = kept

    monkeypatch.setattr(Kernel, "_began", forgetful)
    assert "unmanaged" in _problems([Plan((Target("record.plugin_state_set.committed", 8),), 0, STAY_MS)])


def test_a_recovery_that_asks_for_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either the ladder of what was prepared or the sweep of the streams' return finds a fill; without both it is lost.
    """
    _recovers_nothing(monkeypatch)
    found = _problems([Plan((Target("send.post.BUY.FAK.after", 1),), 0, 7_000)])
    assert "is not in the journal" in found
    assert "collateral" in found


def _recovers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the ladder, nor the streams' return, the minute's comparison or adoption finds what was under way."""
    monkeypatch.setattr(orders_flow.OrderFlow, "recover", lambda self: None)
    monkeypatch.setattr(Kernel, "_sweep_all", lambda self: setattr(self._core, "reconciling", False))
    monkeypatch.setattr(core.Core, "sweep", lambda self, condition_id, since_s: None)
    monkeypatch.setattr(adoption.Adoption, "begin", lambda self: None)


def test_a_host_that_dies_by_its_own_fault_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(self: Kernel, event: Any) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(Kernel, "_operator", broken)
    report = CrashMatrix(story_stage(), folder=tmp_path / "kept").run([])
    assert report["survived"] == 0
    assert "ZeroDivisionError: a fault of ours" in report["failures"][0]["problems"][0]
    assert (tmp_path / "kept" / "undisturbed" / "0000" / "journal.db").exists()


# --- the outbox -------------------------------------------------------------------------------------------------------


def _outbox_kills(base: Outcome) -> list[Plan]:
    """Around every delivery and every note of one."""
    points = [
        "send.deliver.before", "send.deliver.after", "event.notice_told", "record.notice_raised.appended",
        "record.notice_raised.committed", "record.delivery_noted.made", "record.delivery_noted.committed",
    ]
    return [Plan((Target(point, n),), 0, STAY_MS) for point in points for n in (1, base.counts[point])]


def test_not_02_killed_around_a_delivery_no_notice_is_lost_and_none_told_twice_by_one_life(
    matrix: CrashMatrix, base: Outcome
) -> None:
    plans = _outbox_kills(base)
    assert len(plans) >= 14
    _survives(matrix, plans)


def test_not_02_an_outbox_that_forgets_at_a_restart_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox.Outbox, "recover", lambda self: None)
    assert "is not told at" in _problems([Plan((Target("send.deliver.before", 1),), 0, STAY_MS)])


def test_not_02_a_delivery_noted_before_it_is_made_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note goes first, and the kill falls in between."""
    told = outbox.Outbox._next

    def hasty(self: outbox.Outbox, name: str) -> None:
        before = self._channels[name].busy
        told(self, name)
        if (busy := self._channels[name].busy) and busy != before:
            self._note(name, busy, "told")

    monkeypatch.setattr(outbox.Outbox, "_next", hasty)
    assert "was never told" in _problems([Plan((Target("send.deliver.before", 1),), 0, STAY_MS)])
