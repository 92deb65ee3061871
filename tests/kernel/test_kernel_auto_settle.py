"""SET-03: redeemed and merged by itself, only when a setting says so, with pauses, and never while a trade may fail."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.kernel.auto_settle import AGAIN_FIRST_MS, AGAIN_MAX_MS, LOOK_EVERY_MS, PENDING_TOLD_MS
from polyhost.model.commands import Act, Command
from polyhost.model.events import ActionAnswered, RunEnding, TokenBalanceSeen
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter
from polyhost.model.records import NoticeRaised
from polyhost.model.words import ActionKind, Side

from .rig import DOWN, START, UP, Rig


def opened(**settlement: Any) -> Rig:
    rig = Rig(settings={"settlement": settlement})
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def acts(commands: list[Command]) -> list[Act]:
    return [command for command in commands if isinstance(command, Act)]


def won(**settlement: Any) -> Rig:
    """57 UP, confirmed, and UP won."""
    rig = opened(**settlement)
    rig.enter()
    rig.resolve(Side.UP)
    return rig


def test_set_03_nothing_is_redeemed_by_default() -> None:
    rig = won()
    assert acts(rig.wait(3_600_000)) == []


def test_set_03_a_decided_market_is_redeemed_within_a_look() -> None:
    rig = won(auto_redeem=True)
    (act,) = acts(rig.wait(LOOK_EVERY_MS))
    assert (act.request.kind, act.request.size) == (ActionKind.REDEEM, 0)
    rig.do(ActionAnswered(act.request.ref, "done"))
    assert rig.kernel.state.balance("unredeemed") == 0
    assert acts(rig.wait(3_600_000)) == [], "once"


def test_set_03_what_lost_is_not_redeemed() -> None:
    rig = opened(auto_redeem=True)
    rig.enter()
    rig.resolve(Side.DOWN)
    assert acts(rig.wait(600_000)) == []


def test_set_03_a_refused_redeem_is_tried_again_with_growing_pauses() -> None:
    rig = won(auto_redeem=True)
    pauses, began = [], 0
    for _ in range(9):
        tried: list[Act] = []
        while not tried:
            tried = acts(rig.wait(LOOK_EVERY_MS))
        pauses.append(rig.now - began)
        began = rig.now
        rig.do(ActionAnswered(tried[0].request.ref, "refused", "no gas"))
    wanted = [min(AGAIN_FIRST_MS * 2**n, AGAIN_MAX_MS) for n in range(8)]
    assert pauses[1:] == wanted
    assert rig.kernel.broken_invariants() == []


def test_set_03_a_market_with_a_trade_that_may_still_fail_waits_and_is_told_after_half_an_hour() -> None:
    rig = opened(auto_redeem=True)
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test")))
    rig.accept(post, "matched")
    rig.trade(rig.order(post), "57", "0.42", "MATCHED")
    rig.resolve(Side.UP)
    assert rig.kernel.state.unsettled
    assert rig.kernel.state.balance("unredeemed") > 0
    rig.to(rig.market.end + PENDING_TOLD_MS - LOOK_EVERY_MS)
    told = [r for r in rig.records if isinstance(r, NoticeRaised) and "Not redeemed" in r.text]
    assert told == [] == acts(rig.commands)
    rig.wait(2 * LOOK_EVERY_MS)
    (told,) = [r for r in rig.records if isinstance(r, NoticeRaised) and "Not redeemed" in r.text]
    assert "`polyhost redeem`" in told.text
    assert acts(rig.commands) == []


@pytest.mark.parametrize(("merge_min", "merges"), [("57", 1), ("57.000001", 0)])
def test_set_03_pairs_are_merged_from_the_least_on(merge_min: str, merges: int) -> None:
    rig = opened(auto_merge=True, merge_min=merge_min)
    rig.enter()
    rig.book("0.58/0.60")
    rig.enter(Side.DOWN)
    for token in (UP, DOWN):
        rig.do(TokenBalanceSeen(token, 57_000_000))
    found = acts(rig.wait(LOOK_EVERY_MS))
    assert [act.request.kind for act in found] == [ActionKind.MERGE] * merges


def test_set_03_nothing_is_begun_while_the_host_ends() -> None:
    rig = won(auto_redeem=True)
    rig.do(RunEnding("test"))
    assert acts(rig.wait(60_000)) == []
