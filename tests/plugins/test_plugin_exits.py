"""The exit plan, the expiry guard and the demonstration plugin."""

from __future__ import annotations

import pytest
from favourite import Favourite
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import made, market, position, view
from pydantic import ValidationError

from polyhost import Enter, ExitNow, ExitTarget, HoldToSettlement, Side, View
from polyhost.model.rounding import TICK_RULES, legal_price
from polyhost_plugins.exit_plan import ExitPlan, legal_sell
from polyhost_plugins.expiry_guard import ExpiryGuard


@pytest.mark.parametrize(("minutes", "age_s"), [(15, 60.0), (5, 20.0)])
def test_exi_01_exi_11_the_sell_rests_from_an_age_of_60_s_20_s_at_5_minutes(minutes: int, age_s: float) -> None:
    held = position(opened_s=100)
    plan = made(ExitPlan)
    pending = plan.exit(view(100 + age_s - 0.001, minutes=minutes), held)
    assert isinstance(pending, ExitTarget)
    assert pending.not_before == held.opened_at + age_s * 1_000, "nothing rests before"
    assert f"from {age_s:g} s" in pending.reason
    assert plan.metrics["last_age_min_s"] == age_s
    assert plan.metrics["last_age_s"] == pytest.approx(age_s, abs=0.01)
    target = plan.exit(view(100 + age_s, minutes=minutes), held)
    assert isinstance(target, ExitTarget)
    assert (target.side, target.price, target.not_before) == (Side.UP, 9_900, 0)


def test_exi_01_each_side_has_its_own_target_and_the_same_view_the_same_answer() -> None:
    plan, seen = made(ExitPlan), view(400)
    down = plan.exit(seen, position(Side.DOWN))
    assert isinstance(down, ExitTarget)
    assert down.side is Side.DOWN
    assert plan.exit(seen, position(Side.DOWN)) == down


def test_exi_01_what_is_held_to_settlement_rests_no_sell() -> None:
    assert made(ExitPlan).exit(view(400), position(held="0.90 rule")) is None


@pytest.mark.parametrize(
    ("tick", "price", "rests"),
    [(100, "0.99", 9_900), (1_000, "0.99", 9_000), (10, "0.999", 9_990), (100, "0.951", 9_600)],
)
def test_exi_01_the_price_is_legal_for_the_markets_tick(tick: int, price: str, rests: int) -> None:
    target = made(ExitPlan, price=price).exit(view(400, market=market(tick=tick)), position())
    assert isinstance(target, ExitTarget)
    assert target.price == rests


@given(price=st.integers(1, 9_999), tick=st.sampled_from(sorted(TICK_RULES)))
def test_exi_01_a_legal_sell_is_legal_and_cheaper_only_at_the_top(price: int, tick: int) -> None:
    rests = legal_sell(price, tick)
    assert legal_price(rests, tick)
    assert rests >= price or rests == 10_000 - tick


@pytest.mark.parametrize("wrong", ["0", "1"])
def test_exi_01_a_target_outside_the_book_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="below 1"):
        made(ExitPlan, price=wrong)


def guarded(left_s: float, up: str, *, minutes: int = 15, side: Side = Side.UP, held: str = "") -> object:
    seen: View = view(minutes * 60 - left_s, up=up, minutes=minutes)
    return made(ExpiryGuard).exit(seen, position(side, held=held))


@pytest.mark.parametrize(("minutes", "guard_s"), [(15, 120.0), (5, 40.0)])
def test_exi_05_exi_11_a_loser_is_closed_from_120_s_before_the_end_40_s_at_5_minutes(
    minutes: int, guard_s: float
) -> None:
    assert guarded(guard_s + 0.001, "0.30/0.31", minutes=minutes) is None
    answer = guarded(guard_s, "0.30/0.31", minutes=minutes)
    assert isinstance(answer, ExitNow)
    assert (answer.side, answer.urgency) == (Side.UP, "forced_close")
    assert f"{guard_s:.0f} s left" in answer.reason
    assert "0.305" in answer.reason


@pytest.mark.parametrize("minutes", [5, 15])
def test_exi_05_a_midpoint_of_0_90_is_held_and_below_it_closed(minutes: int) -> None:
    held = guarded(30, "0.89/0.91", minutes=minutes)
    assert isinstance(held, HoldToSettlement)
    assert held.side is Side.UP
    assert isinstance(guarded(30, "0.89/0.9099", minutes=minutes), ExitNow)


def test_exi_05_the_down_token_has_its_own_midpoint() -> None:
    assert isinstance(guarded(30, "0.08/0.10", side=Side.DOWN), HoldToSettlement)
    assert isinstance(guarded(30, "0.10/0.12", side=Side.DOWN), ExitNow)


@pytest.mark.parametrize(
    ("up", "held"),
    [("0.99/", True), ("0.90/", True), ("0.89/", False), ("/0.99", False), ("/0.01", False), ("/", False)],
)
def test_exi_05_of_a_one_sided_book_only_the_bid_counts(up: str, held: bool) -> None:
    assert isinstance(guarded(30, up), HoldToSettlement if held else ExitNow)


def test_exi_05_the_answer_is_repeated_until_the_end_and_not_after_it() -> None:
    for left_s in (119.0, 60.0, 2.0, 0.001):
        assert isinstance(guarded(left_s, "0.30/0.31"), ExitNow)
    assert guarded(0, "0.30/0.31") is None
    assert guarded(-5, "0.30/0.31") is None


def test_exi_05_what_is_already_held_is_left_alone() -> None:
    assert guarded(30, "0.30/0.31", held="below the minimum") is None


def test_exi_05_a_threshold_of_1_holds_nothing_and_of_0_is_refused() -> None:
    answer = made(ExpiryGuard, hold_above="1").exit(view(890, up="0.9989/0.9999"), position())
    assert isinstance(answer, ExitNow)
    with pytest.raises(ValidationError, match="above 0"):
        made(ExpiryGuard, hold_above="0")


def proposed(seen: View) -> list[object]:
    return list(made(Favourite).propose(seen, ()) or ())


@pytest.mark.parametrize(
    ("up", "side", "price_max"),
    [("0.70/0.71", Side.UP, 7_300), ("0.29/0.30", Side.DOWN, 7_300), ("0.97/0.99", Side.UP, 9_900)],
)
def test_the_favourite_is_bought_two_ticks_through_its_ask_from_120_s_before_the_end(
    up: str, side: Side, price_max: int
) -> None:
    assert proposed(view(779.9, up=up)) == []
    (entry,) = proposed(view(780, up=up))
    assert isinstance(entry, Enter)
    assert (entry.side, entry.price_max, entry.stake, entry.order_type) == (side, price_max, 10_000_000, "FAK")
    assert proposed(view(900, up=up)) == []


def test_the_favourite_is_bought_once_and_held_to_settlement() -> None:
    assert proposed(view(800, up="0.70/0.71", taken=(Side.UP,))) == []
    (hold,) = proposed(view(800, up="0.70/0.71", positions=(position(),)))
    assert isinstance(hold, HoldToSettlement)
    assert proposed(view(800, up="0.70/0.71", positions=(position(held="so be it"),))) == []
    assert proposed(view(800, up="0.99/")) == []
