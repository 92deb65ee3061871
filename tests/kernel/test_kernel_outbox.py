"""NOT-02, NOT-04: every notice reaches every channel, in its own time, and no order knows of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhost.kernel import outbox
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.outbox import DELIVERY_MS, REST_MAX_MS, TRIES_MAX, rest_ms
from polyhost.kernel.state import fold
from polyhost.model.commands import Command, Deliver
from polyhost.model.events import NoticeTold, RunBegan
from polyhost.model.records import DeliveryNoted, NoticeRaised
from polyhost.settings import Configuration

from .rig import START, Rig

LOG, PHONE = "console_notify", "apprise_notify:phone"


def raised(rig: Rig, text: str, level: str = "info") -> list[Command]:
    """Somebody raises a notice; what leaves because of it."""
    core = rig.kernel._core
    core.now, core.wall = rig.now, rig.now
    core._notice(f"test:{text}", level, "test", text, "")
    step = core.take()
    rig.records += step.records
    rig.commands += step.commands
    return step.commands


def delivered(commands: list[Command]) -> list[tuple[str, str]]:
    return [(each.channel, each.notice.text) for each in commands if isinstance(each, Deliver)]


def answer(rig: Rig, command: Deliver, problem: str = "") -> list[Command]:
    return rig.do(NoticeTold(command.notice.notice_id, command.channel, problem))


def only(commands: list[Command]) -> Deliver:
    (found,) = [each for each in commands if isinstance(each, Deliver)]
    return found


def noted(rig: Rig) -> list[tuple[str, str, int]]:
    return [(each.channel, each.how, each.tries) for each in rig.records if isinstance(each, DeliveryNoted)]


def test_not_02_a_notice_is_owed_to_every_channel_until_each_has_taken_it() -> None:
    rig = Rig(channels=(LOG, PHONE))
    first, second = [c for c in raised(rig, "rain") if isinstance(c, Deliver)]
    assert (first.channel, second.channel) == (LOG, PHONE)
    answer(rig, first)
    assert [outgoing.owed for outgoing in rig.kernel.state.outbox.values()] == [[PHONE]]
    answer(rig, second)
    assert rig.kernel.state.outbox == {}
    assert noted(rig) == [(LOG, "told", 1), (PHONE, "told", 1)]
    assert fold(rig.records) == rig.kernel.state


def test_not_02_the_text_that_is_told_has_the_events_id() -> None:
    rig = Rig(channels=(LOG,))
    notice = only(raised(rig, "rain")).notice
    assert notice.told_text == f"rain [{notice.notice_id}]"
    assert notice.notice_id == "run-1-n1"


def test_not_02_a_channel_that_fails_rests_longer_each_time_and_holds_no_other_up() -> None:
    rig = Rig(channels=(LOG, PHONE))
    log, phone = [c for c in raised(rig, "rain") if isinstance(c, Deliver)]
    answer(rig, log)
    answer(rig, phone, "503")
    assert delivered(raised(rig, "sun")) == [(LOG, "sun")], "the phone rests"
    rests = []
    for failure in range(1, 5):
        began, rest = rig.now, rest_ms(failure, f"{phone.notice.notice_id} {PHONE}")
        assert delivered(rig.wait(rest - 1)) == []
        phone = only([c for c in rig.wait(1) if isinstance(c, Deliver)])
        rests.append(rig.now - began)
        answer(rig, phone, "503")
    assert all(later > earlier for earlier, later in pairwise(rests)), rests


@given(failures=st.integers(1, 100), name=st.text(max_size=8))
def test_not_02_a_rest_doubles_with_a_quarter_of_jitter_to_a_limit(failures: int, name: str) -> None:
    whole = min(1_000 * 2 ** (failures - 1), REST_MAX_MS)
    assert whole * 3 // 4 <= rest_ms(failures, name) <= min(whole * 5 // 4, REST_MAX_MS)


def test_not_02_two_channels_that_fail_together_do_not_come_back_together() -> None:
    assert rest_ms(6, f"n1 {LOG}") != rest_ms(6, f"n1 {PHONE}")


def test_not_02_a_notice_that_a_channel_never_takes_holds_no_other_back_and_is_told_to_the_others() -> None:
    rig = Rig(channels=(LOG, PHONE))
    pending = [c for c in raised(rig, "poison") if isinstance(c, Deliver)]
    pending += [c for c in raised(rig, "news") if isinstance(c, Deliver)]
    told: list[tuple[str, str]] = []
    tries = 0
    while pending or any(PHONE in outgoing.owed for outgoing in rig.kernel.state.outbox.values()):
        if not pending:
            pending = [c for c in rig.wait(1_000) if isinstance(c, Deliver)]
            continue
        command = pending.pop(0)
        poison = command.channel == PHONE and command.notice.text == "poison"
        tries += poison
        if not poison:
            told.append((command.channel, command.notice.text))
        pending += [c for c in answer(rig, command, "too long" if poison else "") if isinstance(c, Deliver)]
    assert told[:3] == [(LOG, "poison"), (LOG, "news"), (PHONE, "news")]
    assert tries == TRIES_MAX
    assert (PHONE, "given_up", TRIES_MAX) in noted(rig)
    (channel, text), = told[3:]
    assert channel == LOG
    assert text == f"{PHONE} did not take a notice in 12 tries (too long): poison [run-1-n1]"


def test_not_02_a_delivery_without_an_answer_failed_and_a_late_success_counts_all_the_same() -> None:
    rig = Rig(channels=(PHONE,))
    first = only(raised(rig, "rain"))
    assert delivered(rig.wait(DELIVERY_MS - 1)) == []
    assert noted(rig) == []
    assert delivered(rig.wait(3_000)) == [(PHONE, "rain")], "asked again after its rest"
    answer(rig, first)
    assert noted(rig) == [(PHONE, "told", 2)]
    answer(rig, first)
    assert noted(rig) == [(PHONE, "told", 2)], "said twice, noted once"


def test_not_02_after_a_restart_what_is_owed_is_told_and_what_was_told_is_not() -> None:
    rig = Rig(channels=(LOG, PHONE, "gone"))
    for command in [c for c in raised(rig, "rain") if isinstance(c, Deliver)]:
        if command.channel == LOG:
            answer(rig, command)
    kernel = Kernel(Configuration(), "main", (), (LOG, PHONE))
    kernel.restore(rig.records)
    step = kernel.handle(RunBegan("run-2", "0.1.0", "sim", "hash", "main"), rig.now, rig.now)
    assert delivered(step.commands) == [(PHONE, "rain")]
    assert [r.how for r in step.records if isinstance(r, DeliveryNoted)] == ["gone"], "a channel that is no more"


def test_not_02_too_many_waiting_drop_the_oldest_of_the_least_important_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "WAITING_MAX", 3)
    rig = Rig(channels=(PHONE,))
    for number, level in enumerate(("warning", "info", "critical", "info", "info")):
        raised(rig, f"n{number}", level)
    waiting = [outgoing.notice.text for outgoing in rig.kernel.state.outbox.values()]
    assert waiting == ["n0", "n2", "n4"], "n0 is under way"
    assert [how for _, how, _ in noted(rig)] == ["dropped", "dropped"]
    told = [r.text for r in rig.records if isinstance(r, NoticeRaised) and "not told there" in r.text]
    assert told == [f"3 notices wait for {PHONE}: the oldest of the least important ones are not told there"]


def test_not_04_a_condition_is_told_once_a_minute_with_a_count() -> None:
    rig = Rig(channels=())
    for _ in range(5):
        raised(rig, "it rains")
    rig.now += 59_999
    raised(rig, "it rains")
    texts = [r.text for r in rig.records if isinstance(r, NoticeRaised)]
    assert texts == ["it rains"]
    rig.wait(1)
    texts = [r.text for r in rig.records if isinstance(r, NoticeRaised)]
    assert texts == ["it rains", "it rains (5 times more in the last minute)"]
    rig.wait(120_000)
    assert len([r for r in rig.records if isinstance(r, NoticeRaised)]) == 2, "nothing came since"
    raised(rig, "it rains")
    assert [r.text for r in rig.records if isinstance(r, NoticeRaised)][2:] == ["it rains"]


def test_not_04_conditions_are_counted_apart() -> None:
    rig = Rig(channels=())
    for text in ("rain", "sun", "rain"):
        raised(rig, text)
    assert [r.text for r in rig.records if isinstance(r, NoticeRaised)] == ["rain", "sun"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["raise", "ok", "fail", "wait", "restart"]), st.integers(0, 9)), max_size=40))
def test_not_02_whatever_happens_no_notice_is_lost_and_none_told_twice_without_a_restart(
    moves: list[tuple[str, int]],
) -> None:
    rig = Rig(channels=(LOG, PHONE))
    open_: list[Deliver] = []
    told: dict[tuple[str, str], int] = {}
    restarts, count = 0, 0

    def take(commands: list[Command]) -> None:
        open_.extend(each for each in commands if isinstance(each, Deliver))

    for what, number in [*moves, *[("ok", 0), ("wait", 9)] * 60]:
        if what == "raise":
            count += 1
            take(raised(rig, f"notice {count}"))
        elif what in ("ok", "fail") and open_:
            command = open_.pop(number % len(open_))
            if what == "ok":
                key = (command.channel, command.notice.notice_id)
                told[key] = told.get(key, 0) + 1
            take(answer(rig, command, "" if what == "ok" else "no"))
        elif what == "wait":
            take(rig.wait(number * 1_000))
        elif what == "restart":
            restarts += 1
            rig.kernel = Kernel(Configuration(), "main", (), (LOG, PHONE))
            rig.kernel.restore(rig.records)
            for command in open_:  # it was delivered, and nobody lived to note it
                key = (command.channel, command.notice.notice_id)
                told[key] = told.get(key, 0) + 1
            open_.clear()
            rig.now += 1
            take(rig.do(RunBegan(f"run-{restarts + 1}", "0.1.0", "sim", "hash", "main")))
    notices = [r.notice_id for r in rig.records if isinstance(r, NoticeRaised)]
    assert rig.kernel.state.outbox == {}
    for notice_id in notices:
        for channel in (LOG, PHONE):
            assert 1 <= told[(channel, notice_id)] <= 1 + restarts
    assert rig.now >= START - 5_000
