"""Scaling in: both sides of every gate, and what it remembers (EXI-04, POS-12)."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_builders import OPEN_MS, SHARES, made, position, view
from pydantic import ValidationError

from polyhost import ORDER_REF, Action, Bias, Enter, Estimate, OrderMoved, OrderView, PositionView, Purpose, Side
from polyhost.model.words import OrderState
from polyhost_plugins.scale_in import ScaleIn

CONDITION = "0x01"
HELD = position(Side.UP, opened_s=100)


def scale_in(*, done: int | None = None, attempts: int = 1, of: int = HELD.opened_at, **settings: object) -> ScaleIn:
    plugin = made(ScaleIn, **settings)
    if done is not None:
        known = {"of": of, "first": 4_000_000, "done": done, "attempts": attempts, "order": "o000003"}
        plugin.state = {f"{what}:{CONDITION}:UP": value for what, value in known.items()}
    return plugin


def added(
    plugin: ScaleIn, up: str = "0.69/0.70", at_s: float = 300.0, *, p_up: float = 0.75, confidence: float = 0.5,
    holding: PositionView = HELD, **changes: Any,
) -> Enter | None:
    estimate = Estimate(p_up, confidence, Bias.UP)
    positions = changes.pop("positions", (holding,))
    return plugin.exit(view(at_s, up=up, estimate=estimate, positions=positions, **changes), holding)


def test_exi_04_half_of_the_first_entry_is_added_by_fak_and_remembered() -> None:
    wish = added(scale_in())
    assert wish is not None
    assert (wish.side, wish.price_max, wish.order_type, wish.purpose) == (Side.UP, 7_100, "FAK", Purpose.SCALE_IN)
    assert wish.stake == HELD.cost // 2
    assert wish.remember == {
        f"of:{CONDITION}:UP": HELD.opened_at, f"first:{CONDITION}:UP": HELD.cost, f"done:{CONDITION}:UP": 1,
        f"attempts:{CONDITION}:UP": 1, f"order:{CONDITION}:UP": ORDER_REF,
    }


@pytest.mark.parametrize(
    ("up", "adds"), [("0.58/0.5999", False), ("0.58/0.60", True), ("0.84/0.85", True), ("0.84/0.8501", False)]
)
def test_exi_04_least_and_most_price(up: str, adds: bool) -> None:
    wish = added(scale_in(), up)
    assert (wish is not None) == adds
    assert wish is None or wish.price_max <= 8_500


@pytest.mark.parametrize(("confidence", "adds"), [(0.399, False), (0.40, True)])
def test_exi_04_confidence(confidence: float, adds: bool) -> None:
    assert (added(scale_in(), confidence=confidence) is not None) == adds


def test_exi_04_the_estimate_must_favour_the_side_that_is_held() -> None:
    assert added(scale_in(), p_up=0.5) is None
    assert added(scale_in(), p_up=0.501) is not None
    assert scale_in().exit(view(300, up="0.69/0.70", positions=(HELD,)), HELD) is None, "no estimate yet"


@pytest.mark.parametrize(("minutes", "left_s"), [(15, 240.0), (5, 80.0)])
def test_exi_04_exi_11_time_left(minutes: int, left_s: float) -> None:
    end_s = minutes * 60
    assert added(scale_in(), at_s=end_s - left_s, minutes=minutes) is not None
    assert added(scale_in(), at_s=end_s - left_s + 0.001, minutes=minutes) is None


def test_exi_04_at_most_so_many_times_sized_by_the_first_entry() -> None:
    assert added(scale_in(done=1)) is None
    again = added(scale_in(done=1, times_max=2))
    assert again is not None
    assert again.stake == 2_000_000, "of what the first entry cost, not of what is held by now"
    assert added(scale_in(done=2, attempts=2, times_max=2)) is None


def test_exi_04_attempts_without_a_fill_end() -> None:
    assert added(scale_in(done=0, attempts=4)) is not None
    assert added(scale_in(done=0, attempts=5)) is None


def test_exi_04_a_position_of_its_own_begins_to_count_anew() -> None:
    assert added(scale_in(done=1, of=OPEN_MS)) is not None


def test_exi_04_none_while_one_is_under_way_the_other_side_is_held_or_it_is_held_to_settlement() -> None:
    order = OrderView("o3", Side.UP, Action.BUY, Purpose.SCALE_IN, 7_100, SHARES, 0, "working", OPEN_MS)
    assert added(scale_in(), orders=(order,)) is None
    assert added(scale_in(), positions=(HELD, position(Side.DOWN))) is None
    assert added(scale_in(), holding=position(Side.UP, held="ahead")) is None


def moved(plugin: ScaleIn, ref: str, state: OrderState, matched: int = 0) -> None:
    assert list(plugin.on_order(view().market, OrderMoved(0, ref, state, "x", matched))) == []


def test_pos_12_an_addition_that_ended_without_a_fill_was_none() -> None:
    plugin = scale_in(done=1)
    moved(plugin, "o000003", OrderState.WORKING)
    moved(plugin, "o000004", OrderState.CLOSED)
    assert added(plugin) is None
    moved(plugin, "o000003", OrderState.CLOSED)
    assert added(plugin) is not None
    moved(plugin, "o000003", OrderState.CLOSED)
    assert plugin.state[f"done:{CONDITION}:UP"] == 0, "once"


def test_pos_12_a_partial_or_matched_fill_counts() -> None:
    plugin = scale_in(done=1)
    moved(plugin, "o000003", OrderState.CLOSED, matched=1)
    assert added(plugin) is None


def test_what_is_settled_is_forgotten() -> None:
    plugin = scale_in(done=1)
    assert list(plugin.on_settlement(view().market, None, ())) == []  # type: ignore[arg-type]
    assert dict(plugin.state) == {}


def test_exi_04_prices_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"at least price_min = 0.6"):
        made(ScaleIn, price_max="0.59")
    assert made(ScaleIn, price_max="0.60")
