"""ORD-23: each cause against each purpose, as the table says; how each clears, and what a hedge may by setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from polyhost.kernel import blocks
from polyhost.kernel.blocks import BY_NAME, CAUSES, NEW, Cell, cause_of
from polyhost.kernel.state import fold
from polyhost.model.commands import Cancel, Command, Post, Prepare
from polyhost.model.events import (
    BalanceSeen,
    CancelAnswered,
    LoopChanged,
    Operator,
    OrderNotFound,
    PostAnswered,
    PostLeft,
    RunBegan,
    RunEnding,
    StreamChanged,
)
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, Pair, QuoteTarget
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Action, OrderState, Purpose, Side

from .rig import CONDITION, START, Rig, cancels, none, only

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "blocks.md"
VENUE: Final = (
    "approval", "signing", "credentials", "closed_only", "banned", "geoblock", "restarting", "post_only_mode",
    "cancel_only", "disabled", "unavailable", "rate_limit",
)
BREAKERS: Final = (
    "daily_loss", "drawdown", "emergency_stops", "disconnects", "exit_failures", "late_fill", "journal_damage",
    "breaker",
)
BUY_UP = Enter(Side.UP, ticks("0.42"), "test")
BUY_DOWN = Enter(Side.DOWN, ticks("0.60"), "test")


def opened(*, hedge: bool = False, balance_min: str = "1") -> Rig:
    rig = Rig(settings={"safety": {"hedge_when_blocked": hedge, "balance_min": balance_min}})
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def named(rig: Rig, name: str, *, retry_after_ms: int = 0) -> None:
    """The venue answers some order of ours in a way that names this cause."""
    order_id = next(iter(rig.kernel.state.by_id))
    rig.do(PostAnswered(order_id, "unknown", text=f"{name} it says", blocks=name, retry_after_ms=retry_after_ms))


def happen(rig: Rig, name: str) -> None:
    """The cause begins."""
    match name:
        case _ if name in VENUE:
            named(rig, name)
        case _ if name in BREAKERS:
            rig.kernel.breakers.trip(name, "test")
        case "pause" | "killed":
            rig.do(Operator("kill" if name == "killed" else name, who="test"))
        case "ending":
            rig.do(RunEnding("test"))
        case "shadow":
            rig.kernel.flow.core.shadow = True
        case "loop":
            rig.do(LoopChanged("journal", False, True, "test"))
        case "exits_first":
            rig.kernel.flow.core.exits_first = lambda: "one position waits"
        case "user_stream":
            rig.do(StreamChanged("user", False, 2, "test"))
        case "reconciling":
            rig.do(StreamChanged("user", True, 2, "test"))
        case "adopting":
            rig.held = None
            rig.kernel.adoption.begin()
        case "stale_book":
            rig.kernel.book(CONDITION).changed_at = rig.now - 10_001  # type: ignore[union-attr]
        case "low_balance":
            rig.balance = micros("50")
            rig.do(BalanceSeen(rig.balance, True))
        case _:
            raise AssertionError(name)


def wish(rig: Rig, purpose: Purpose) -> Callable[[], list[Command]]:
    """How an order of the purpose comes to be; the view is taken before the cause begins."""
    if purpose is Purpose.EMERGENCY:
        return lambda: rig.do(Operator("close", "", "test"))
    answers = {
        Purpose.ENTRY: BUY_DOWN,
        Purpose.SCALE_IN: Enter(Side.UP, ticks("0.42"), "more", purpose=Purpose.SCALE_IN),
        Purpose.HEDGE: Enter(Side.DOWN, ticks("0.60"), "hedge", purpose=Purpose.HEDGE),
        Purpose.LEG: Pair(ticks("0.42"), ticks("0.60"), micros("20"), "both", Side.UP),
        Purpose.QUOTE: QuoteTarget(Side.DOWN, Action.BUY, ticks("0.50"), micros("10")),
        Purpose.EXIT: ExitNow(Side.UP, "stop"),
    }
    ask = rig.ask()
    return lambda: rig.reply(ask, answers[purpose], stake="10")


def tried(name: str, purpose: Purpose, *, hedge: bool = False) -> bool:
    """Does an order of the purpose leave while the cause holds? Judged by the whole kernel."""
    rig = opened(hedge=hedge, balance_min="100" if name == "low_balance" else "1")
    if purpose is Purpose.LEG:
        rig.refuse(rig.posted(rig.answer(BUY_DOWN)), "fak_killed")  # an order of ours that answers can be about
    else:
        rig.enter()
    ask = wish(rig, purpose)
    happen(rig, name)
    sent = ask()
    return any(isinstance(c, Prepare) for c in sent) and rig.kernel.broken_invariants() == []


EVERY: Final = [
    (cause, purpose) for cause in CAUSES for purpose in Purpose if purpose is not Purpose.GRID_LEVEL
]


@pytest.mark.parametrize(
    ("cause", "purpose"), EVERY, ids=[f"{cause.name}-{purpose.value}" for cause, purpose in EVERY]
)
def test_ord_23_each_cause_blocks_what_its_row_says(cause: blocks.Cause, purpose: Purpose) -> None:
    free = cause.cells[purpose] is Cell.FREE
    assert tried(cause.name, purpose) is free
    if cause.cells[purpose] is Cell.SETTING:
        assert tried(cause.name, purpose, hedge=True), "by setting"


def test_ord_23_without_any_cause_each_purpose_leaves() -> None:
    for purpose in Purpose:
        if purpose is not Purpose.GRID_LEVEL:
            rig = opened()
            if purpose is not Purpose.LEG:
                rig.enter()
            assert any(isinstance(c, Prepare) for c in wish(rig, purpose)()), purpose


def test_ord_23_exits_and_emergency_sells_are_never_blocked_and_new_exposure_has_no_gap() -> None:
    assert all(cell is Cell.BLOCKED for cell in BY_NAME["shadow"].cells.values()), "it has no positions"
    for cause in [each for each in CAUSES if each.name != "shadow"]:
        assert cause.cells[Purpose.EXIT] is cause.cells[Purpose.EMERGENCY] is Cell.FREE
        assert all(cause.cells[purpose] is Cell.BLOCKED for purpose in NEW if purpose not in (
            Purpose.HEDGE, Purpose.QUOTE
        ))
    assert {cause.name for cause in CAUSES if cause.cells[Purpose.QUOTE] is Cell.FREE} == {"post_only_mode"}


@pytest.mark.parametrize("name", [cause.name for cause in CAUSES])
def test_ord_23_a_cancel_is_never_blocked(name: str) -> None:
    rig = opened(balance_min="100" if name == "low_balance" else "1")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.39"), "rests", order_type="GTC")))
    rig.accept(post)
    rig.commands.clear()
    happen(rig, name)
    rig.kernel.flow.cancel(rig.order(post))
    rig.wait(0)
    assert cancels(rig.commands) == [post.request.order_id]


def test_ord_23_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == blocks.page(), "python -m polyhost.kernel.blocks > docs/blocks.md"


def test_ord_23_a_cause_without_a_row_of_its_own_counts_as_a_breaker() -> None:
    assert cause_of("loop:feeds") is BY_NAME["loop"]
    assert cause_of("damage") is BY_NAME["breaker"]


# --- how it clears ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [cause.name for cause in CAUSES if cause.name in VENUE and not cause.lasting])
def test_con_06_what_the_venue_says_for_now_clears_by_itself_at_its_time(name: str) -> None:
    rig = opened()
    rig.enter()
    named(rig, name)
    held = BY_NAME[name].wait_ms
    if name == "credentials":
        rig.wait(600_000)
        assert list(rig.kernel.state.shut) == [name], "until the next start"
    else:
        rig.wait(held - 1)
        assert list(rig.kernel.state.shut) == [name]
        rig.wait(1)
        assert rig.kernel.state.shut == {}
    assert rig.kernel.state.blocked == {}
    assert fold(rig.records) == rig.kernel.state


def test_con_06_the_venues_own_time_wins_and_a_later_word_prolongs_it() -> None:
    rig = opened()
    rig.enter()
    named(rig, "rate_limit", retry_after_ms=3_000)
    rig.wait(2_000)
    named(rig, "rate_limit", retry_after_ms=3_000)
    rig.wait(2_999)
    assert rig.kernel.blocks() == [("rate_limit", "rate_limit it says")]
    rig.wait(1)
    assert rig.kernel.blocks() == []


@pytest.mark.parametrize("name", [cause.name for cause in CAUSES if cause.lasting and cause.name in VENUE])
def test_con_06_what_a_person_must_look_at_lasts_over_restarts_until_resume(name: str) -> None:
    rig = opened()
    rig.enter()
    named(rig, name)
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    rig.wait(600_000)
    assert list(rig.kernel.state.blocked) == [name]
    rig.do(Operator("resume", name, "test"))
    assert rig.kernel.state.blocked == {}


def test_con_06_what_the_venue_says_for_now_does_not_outlive_the_run() -> None:
    rig = opened()
    rig.enter()
    named(rig, "credentials")
    rig.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    assert rig.kernel.state.shut == {}


def test_con_06_an_order_that_is_taken_opens_the_venue_again_as_far_as_it_proves() -> None:
    for action, post_only, left in (
        (Action.SELL, False, {"approval", "credentials", "closed_only"}),
        (Action.BUY, True, {"post_only_mode", "credentials"}),
        (Action.BUY, False, {"credentials"}),
    ):
        rig = opened()
        order = rig.enter()
        for name in VENUE:
            if not BY_NAME[name].lasting:
                named(rig, name)
        from msgspec import structs

        order.draft = structs.replace(order.draft, action=action, post_only=post_only)
        rig.do(PostAnswered(order.order_id, "accepted", "live"))
        assert set(rig.kernel.state.shut) == left


def test_con_06_a_cancel_that_is_taken_shows_that_trading_is_not_disabled() -> None:
    rig = opened()
    order = rig.enter()
    named(rig, "disabled")
    named(rig, "cancel_only")
    rig.do(CancelAnswered(order.order_id, "not_found"))
    assert set(rig.kernel.state.shut) == {"disabled", "cancel_only"}
    rig.do(CancelAnswered(order.order_id, "gone"))
    assert set(rig.kernel.state.shut) == {"cancel_only"}


def test_ord_22_a_missing_approval_stops_entries_with_its_remedy_and_approves_nothing() -> None:
    rig = opened()
    post = rig.posted(rig.answer(BUY_UP))
    sent = rig.do(PostAnswered(post.request.order_id, "refused", code="allowance", text="no", blocks="approval"))
    none(sent, Post, Prepare)
    told = [r.text for r in rig.records if isinstance(r, NoticeRaised) and r.level == "critical"]
    assert any("polyhost setup approvals" in text and "nothing is approved silently" in text for text in told)
    none(rig.answer(BUY_DOWN), Prepare)
    rig.wait(600_000)
    rig.book("0.40/0.42")
    assert rig.kernel.blocks() == [], "tried again after ten minutes"


def test_ord_22_the_approval_is_watched_with_every_balance_and_entries_resume_with_it() -> None:
    rig = opened()
    rig.enter()
    named(rig, "approval")
    rig.do(BalanceSeen(rig.balance, False))
    assert [name for name, _ in rig.kernel.blocks()] == ["approval"]
    rig.do(BalanceSeen(rig.balance, True))
    assert rig.kernel.blocks() == []


def test_ops_08_a_block_by_a_person_says_the_reason_that_was_given() -> None:
    rig = opened()
    rig.do(Operator("pause", who="ana", why="news at nine"))
    assert dict(rig.kernel.state.blocked) == {"pause": "paused by ana: news at nine"}
    rig.do(Operator("kill"))
    assert rig.kernel.state.blocked["killed"] == "killed by the operator"


# --- unknown orders meanwhile (U5) ------------------------------------------------------------------------------------


def test_u5_a_restart_of_the_engine_delays_the_second_post_and_cancels_nothing() -> None:
    rig = opened()
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.39"), "rests", order_type="GTC")))
    rig.do(PostLeft(post.request.order_id))
    rig.do(PostAnswered(post.request.order_id, "unknown", code="restarting", blocks="restarting", http=425))
    order = rig.order(post)
    rig.do(OrderNotFound(order.order_id))
    rig.wait(100)
    rig.swept()
    waiting = rig.wait(4_800)
    none(waiting, Post, Cancel)
    rig.book("0.40/0.42")
    again = rig.wait(5_000)
    assert only(again, Post).request == order.request
    assert order.state is OrderState.UNKNOWN
