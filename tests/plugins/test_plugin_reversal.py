"""The reversal: hedge first, triple check, and the plain stop when there can be no hedge (EXI-03, EXI-09)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from plugin_builders import OPEN_MS, SHARES, made, position, view
from pydantic import ValidationError

from polyhost import (
    ORDER_REF,
    Action,
    Bias,
    Defer,
    Enter,
    Estimate,
    ExitNow,
    OrderView,
    PositionView,
    Purpose,
    RefusedView,
    Side,
    Trigger,
    View,
)
from polyhost_plugins.reversal import Reversal

CONDITION = "0x01"
LOSING = position(Side.UP, opened_s=100)


def reversal(*, losing: str | None = None, hedged_s: float = 300.0, **settings: object) -> Reversal:
    plugin = made(Reversal, **settings)
    if losing is not None:
        plugin.state = {
            f"losing:{CONDITION}": losing, f"hedged_at:{CONDITION}": OPEN_MS + round(hedged_s * 1_000),
            f"order:{CONDITION}": "o000002",
        }
    return plugin


def told(answers: Any) -> list[str]:
    """The answers as words, triggers left out."""
    words = []
    for answer in answers:
        match answer:
            case ExitNow():
                words.append(f"sell {answer.side.value} {answer.urgency}")
            case Defer():
                words.append(f"defer {answer.side.value} {answer.urgency}")
            case Enter():
                words.append(f"{answer.purpose.value} {answer.side.value}")
            case Trigger():
                pass
            case _:
                raise AssertionError(answer)
    return words


HEDGES = ["defer UP stop", "hedge DOWN"]
STOPS = ["sell UP stop"]


def asked(plugin: Reversal, up: str, at_s: float = 300.0, **changes: Any) -> list[str]:
    return told(plugin.exit(view(at_s, up=up, **changes), LOSING))


@pytest.mark.parametrize(
    ("up", "words"),
    [
        ("0.29/0.3102", []), ("0.29/0.31", HEDGES), ("0.1402/0.16", HEDGES), ("0.14/0.16", ["sell UP floor"]),
        ("/0.30", HEDGES), ("0.29/", []),
    ],
)
def test_exi_03_the_other_side_is_bought_at_0_30_and_the_floor_sells_at_0_15(up: str, words: list[str]) -> None:
    if up == "/0.30":  # nobody bids for UP, so that nobody offers DOWN
        words = STOPS
    assert asked(reversal(), up) == words


def test_exi_03_the_hedge_is_as_many_shares_and_its_promises_come_with_it() -> None:
    answers = list(reversal().exit(view(300, up="0.29/0.31"), LOSING))
    defer, hedge = answers[0], answers[1]
    assert isinstance(defer, Defer)
    assert isinstance(hedge, Enter)
    assert defer.until == OPEN_MS + 310_000
    assert (hedge.side, hedge.price_max, hedge.order_type, hedge.purpose) == (Side.DOWN, 7_600, "FAK", Purpose.HEDGE)
    fee = round(10 * 0.07 * 0.76 * 0.24 * SHARES)
    assert hedge.stake == pytest.approx(7_600_000 + fee, abs=100)
    assert hedge.remember == {
        f"losing:{CONDITION}": "UP", f"hedged_at:{CONDITION}": OPEN_MS + 300_000, f"order:{CONDITION}": ORDER_REF,
    }
    half = [a for a in reversal(hedge_part=0.5).exit(view(300, up="0.29/0.31"), LOSING) if isinstance(a, Enter)]
    assert half[0].stake == pytest.approx(hedge.stake / 2, abs=100)


@pytest.mark.parametrize(("minutes", "last_s"), [(15, 240.0), (5, 80.0)])
def test_exi_03_exi_11_a_hedge_needs_the_time_to_stand(minutes: int, last_s: float) -> None:
    end_s = minutes * 60
    assert asked(reversal(), "0.29/0.31", end_s - last_s - 0.001, minutes=minutes) == HEDGES
    assert asked(reversal(), "0.29/0.31", end_s - last_s, minutes=minutes) == STOPS


def refusal(gate: str, since_s: float) -> dict[str, Any]:
    since = OPEN_MS + round(since_s * 1_000)
    return {"refused": (RefusedView("reversal", Purpose.HEDGE, Side.DOWN, "", gate, "why", since, since),)}


@pytest.mark.parametrize("gate", ["low_balance", "minimum", "pause", "slot", "veto", "unfilled", "unknown", "price"])
def test_exi_09_a_hedge_that_cannot_be_bought_falls_back_to_the_stop_at_once(gate: str) -> None:
    assert asked(reversal(), "0.29/0.31", **refusal(gate, 300)) == STOPS


@pytest.mark.parametrize("gate", ["stale_answer", "late_answer", "balance_age", "pending_orders"])
def test_exi_09_a_gate_that_opens_by_itself_is_waited_for_ten_seconds(gate: str) -> None:
    assert asked(reversal(), "0.29/0.31", **refusal(gate, 290.001)) == HEDGES
    assert asked(reversal(), "0.29/0.31", **refusal(gate, 290)) == STOPS


def test_exi_09_no_hedge_where_the_other_side_is_held_already() -> None:
    both = (LOSING, position(Side.DOWN, opened_s=50))
    assert asked(reversal(), "0.29/0.31", positions=both) == STOPS


# --- with the hedge ---------------------------------------------------------------------------------------------------


def hedged(
    at_s: float, *, up: str = "0.25/0.27", p_up: float | None = 0.1, opened_s: float = 300.0, **changes: Any
) -> list[str]:
    """UP was bought at 100 s and hedged at 300 s; the estimate says ``p_up``."""
    hedge = position(Side.DOWN, opened_s=opened_s)
    estimate = None if p_up is None else Estimate(p_up, abs(2 * p_up - 1), Bias.DOWN)
    return told(
        reversal(losing="UP").exit(view(at_s, up=up, positions=(LOSING, hedge), estimate=estimate, **changes), LOSING)
    )


@pytest.mark.parametrize(("minutes", "stand_s", "at_s"), [(15, 120.0, 300.0), (5, 40.0, 100.0)])
def test_exi_03_exi_11_the_losing_side_is_sold_once_the_hedge_has_stood_120_s_40_s_at_5_minutes(
    minutes: int, stand_s: float, at_s: float
) -> None:
    assert hedged(at_s + stand_s - 0.001, opened_s=at_s, minutes=minutes) == ["defer UP stop"]
    assert hedged(at_s + stand_s, opened_s=at_s, minutes=minutes) == ["defer UP stop", "sell UP reversal"]


@pytest.mark.parametrize(("p_up", "turns"), [(0.35, False), (0.349, True), (None, False)])
def test_exi_03_and_the_estimate_favours_the_new_side_by_more_than_0_30(p_up: float | None, turns: bool) -> None:
    assert hedged(500, p_up=p_up) == ["defer UP stop", *(["sell UP reversal"] if turns else [])]


def test_exi_03_the_floor_sells_whatever_the_other_checks_say() -> None:
    assert hedged(301, up="0.14/0.16", p_up=0.9) == ["sell UP floor"]
    assert hedged(301, up="0.1402/0.16", p_up=0.9) == ["defer UP stop"]


def test_exi_03_the_defer_names_the_end_of_the_window_and_the_floor_has_triggers() -> None:
    seen = view(320, up="0.25/0.27", positions=(LOSING, position(Side.DOWN, opened_s=300)))
    answers = list(reversal(losing="UP").exit(seen, LOSING))
    assert isinstance(answers[0], Defer)
    assert answers[0].until == seen.market.end
    assert {a.direction for a in answers[1:] if isinstance(a, Trigger)} == {"below"}


def hedge_order(state: str = "working") -> OrderView:
    return OrderView("o000002", Side.DOWN, Action.BUY, Purpose.HEDGE, 7_300, 10 * SHARES, 0, state, OPEN_MS + 300_000)


def on_its_way(at_s: float, up: str = "0.25/0.27", *, orders: tuple[OrderView, ...]) -> list[str]:
    seen: View = view(at_s, up=up, positions=(LOSING,), orders=orders)
    return told(reversal(losing="UP").exit(seen, LOSING))


def test_exi_09_a_hedge_without_a_fill_is_waited_for_ten_seconds() -> None:
    assert on_its_way(309.999, orders=(hedge_order(),)) == ["defer UP stop"]
    assert on_its_way(310, orders=(hedge_order(),)) == STOPS


def test_exi_09_a_hedge_that_is_gone_holds_no_stop_back() -> None:
    assert on_its_way(301, orders=()) == STOPS
    assert on_its_way(301, "0.29/0.3102", orders=()) == []


def test_exi_03_the_hedge_itself_is_not_turned_again() -> None:
    seen = view(500, up="0.80/0.82", positions=(LOSING, position(Side.DOWN, opened_s=300)))
    assert told(reversal(losing="UP").exit(seen, position(Side.DOWN, opened_s=300))) == []


def test_exi_03_what_is_held_to_settlement_is_left_alone() -> None:
    held: PositionView = position(Side.UP, held="ahead")
    assert told(reversal().exit(view(300, up="0.29/0.31"), held)) == []


@pytest.mark.parametrize("purpose", [Purpose.ENTRY, Purpose.HEDGE, Purpose.GRID_LEVEL, Purpose.SCALE_IN])
def test_exi_03_a_first_entry_on_the_other_side_of_a_position_is_vetoed_and_nothing_else(purpose: Purpose) -> None:
    wish = Enter(Side.DOWN, 5_000, purpose=purpose)
    vetoed = reversal().review(view(positions=(LOSING,)), wish) is not None
    assert vetoed == (purpose is Purpose.ENTRY)
    assert reversal().review(view(positions=(position(Side.DOWN),)), wish) is None
    assert reversal().review(view(), wish) is None
    assert reversal(owns_other_side=False).review(view(positions=(LOSING,)), wish) is None


def test_exi_03_the_other_side_of_shares_that_are_paired_is_free() -> None:
    pair = msgspec.structs.replace(LOSING, paired=LOSING.size)
    assert reversal().review(view(positions=(pair,)), Enter(Side.DOWN, 5_000)) is None


def test_pos_12_what_is_settled_is_forgotten_and_nothing_else() -> None:
    plugin = reversal(losing="UP")
    plugin.state["losing:0x02"] = "DOWN"
    assert list(plugin.on_settlement(view().market, None, ())) == []  # type: ignore[arg-type]
    assert dict(plugin.state) == {"losing:0x02": "DOWN"}


def test_exi_03_a_floor_at_the_threshold_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"below midpoint_max = 0.3"):
        made(Reversal, floor="0.30")
    assert made(Reversal, floor="0.2999")
