"""What is bought too late is refused by name, a sale that is turned away waits as told, a forced close is told."""

from __future__ import annotations

import pytest

from polyhost.kernel.exits import TURNED_AWAY_MS
from polyhost.model.commands import Prepare
from polyhost.model.events import Operator, PostAnswered
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitNow, HoldToSettlement
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Action, Purpose, Side

from .rig import CONDITION, START, Rig, none, only, window

STOP = ExitNow(Side.UP, "stop loss")


def opened(duration_s: int = 900) -> Rig:
    rig = Rig(market=window(duration_s))
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def gates(rig: Rig) -> dict[str, int]:
    data = rig.kernel.data(CONDITION)
    assert data is not None
    return data.gates


def at(rig: Rig, before_end_ms: int) -> None:
    """The next view is seen so long before the end."""
    rig.to(rig.market.end - before_end_ms - 1_000)
    rig.book("0.40/0.42")


WISHES = {
    "entry": Enter(Side.UP, ticks("0.42"), "late"),
    "scale_in": Enter(Side.UP, ticks("0.42"), "late", Purpose.SCALE_IN),
    "grid_level": Enter(Side.UP, ticks("0.42"), "late", Purpose.GRID_LEVEL, key="1"),
}


@pytest.mark.parametrize(("duration_s", "close_s"), [(900, 120), (300, 40)])
@pytest.mark.parametrize("kind", WISHES)
def test_exi_05_what_would_have_to_be_closed_at_once_is_refused_by_name(
    kind: str, duration_s: int, close_s: int
) -> None:
    for late_ms in (0, 1_000):
        rig = opened(duration_s)
        if kind == "scale_in":
            rig.enter()
            rig.answer(HoldToSettlement(Side.UP, "so that its own deadline sells nothing"))
        at(rig, close_s * 1_000 + 1_000 - late_ms)
        bought = [c for c in rig.answer(WISHES[kind]) if isinstance(c, Prepare)]
        assert (len(bought), gates(rig).get("past_deadline", 0)) == ((0, 1) if late_ms else (1, 0))


@pytest.mark.parametrize("wish", [
    Enter(Side.UP, ticks("0.42"), "meant to be held", to_settlement=True),
    Enter(Side.DOWN, ticks("0.60"), "hedge", Purpose.HEDGE),
], ids=["to settlement", "hedge"])
def test_exi_05_what_is_bought_to_be_held_and_a_hedge_may_be_late(wish: Enter) -> None:
    rig = opened()
    if wish.purpose is Purpose.HEDGE:
        rig.enter()
        rig.answer(HoldToSettlement(Side.UP, "x"))
    at(rig, 60_000)
    assert only(rig.answer(wish), Prepare).draft.action is Action.BUY


# --- turned away ------------------------------------------------------------------------------------------------------

REFUSALS = [
    ("restarting", 425, "unknown"), ("post_only_mode", 503, "unknown"), ("cancel_only", 503, "unknown"),
    ("disabled", 503, "unknown"), ("unavailable", 503, "unknown"), ("rate_limit", 429, "refused"),
]


def turned_away(rig: Rig, code: str, http: int, outcome: str, retry_after_ms: int) -> None:
    post = rig.posted(rig.answer(STOP))
    rig.do(PostAnswered(
        post.request.order_id, outcome, code=code, text=code, blocks=code, http=http, retry_after_ms=retry_after_ms
    ))


@pytest.mark.parametrize(("code", "http", "outcome"), REFUSALS)
@pytest.mark.parametrize(
    ("told_ms", "waits_ms"), [(0, TURNED_AWAY_MS), (3_000, 3_000), (60_000, TURNED_AWAY_MS)]
)
def test_t8_a_sale_that_is_turned_away_is_signed_anew_when_the_venue_said_and_after_5_s_at_the_latest(
    code: str, http: int, outcome: str, told_ms: int, waits_ms: int
) -> None:
    rig = opened()
    rig.enter()
    at(rig, 145_000)  # so near its obligation an unknown sale blocks no other
    turned_away(rig, code, http, outcome, told_ms)
    none(rig.wait(waits_ms - 1), Prepare)
    assert only(rig.wait(1), Prepare).draft.action is Action.SELL


def test_t8_in_the_last_seconds_a_sale_does_not_wait_to_be_let_in() -> None:
    rig = opened()
    rig.enter()
    rig.answer(HoldToSettlement(Side.UP, "so that its own deadline sells nothing"))
    at(rig, 9_000)
    turned_away(rig, "restarting", 425, "unknown", 5_000)
    assert [c for c in rig.wait(1_000) if isinstance(c, Prepare)]


# --- told -------------------------------------------------------------------------------------------------------------


def told(rig: Rig) -> list[str]:
    return [r.text for r in rig.records if isinstance(r, NoticeRaised) and "Forced close" in r.text]


def test_exi_05_every_forced_close_is_told_once_whoever_wants_it() -> None:
    rig = opened()
    rig.enter()
    for _ in range(3):
        rig.answer(ExitNow(Side.UP, "40 s left", "forced_close"))
    assert [text.split(": ", 1)[1] for text in told(rig)] == ["Forced close of 57 UP: 40 s left"]
    other = opened()
    other.enter()
    other.do(Operator("close", who="me"))
    assert len(told(other)) == 1
    third = opened()
    third.enter()
    third.answer(STOP)
    assert told(third) == [], "a stop is none"
    third.answer(ExitNow(Side.UP, "40 s left", "forced_close"))
    assert len(told(third)) == 1, "a stop that the deadline overtakes"


def test_exi_05_a_close_that_the_host_forces_is_told() -> None:
    rig = opened()
    rig.enter()
    rig.to(rig.market.end - 110_000)
    assert len(told(rig)) == 1
    assert "no plugin closed it" in told(rig)[0]
