"""The grid: where levels rest, one take-profit a side, a clean re-open, references that survive and are forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from plugin_builders import OPEN_MS, SHARES, made, market, position, view
from pydantic import ValidationError

from polyhost import (
    Action,
    CancelOrders,
    Enter,
    ExitTarget,
    FillBooked,
    Keep,
    OrderView,
    Purpose,
    RefusedView,
    Side,
    View,
)
from polyhost.model.records import Slot
from polyhost.model.words import TradeStatus
from polyhost_plugins.grid import Grid

SLUG = market().slug


def level(number: int, side: Side = Side.UP, price: int = 4_800) -> OrderView:
    return OrderView(
        f"o{number}", side, Action.BUY, Purpose.GRID_LEVEL, price, 10 * SHARES, 0, "WORKING", OPEN_MS, "grid",
        str(number),
    )


def started(anchor: int = 5_050, deepest: int = 0, side: Side = Side.UP, **settings: Any) -> Grid:
    grid = made(Grid, **{"sides": "up", **settings})
    grid.state = {f"{SLUG}:{side.value}:anchor": anchor, f"{SLUG}:{side.value}:deepest": deepest}
    return grid


def wish(grid: Grid, found: View) -> Enter | CancelOrders | None:
    answers = list(grid.propose(found))
    assert len(answers) <= 1, "one at a time: what the next one needs the host must have placed"
    return answers[0] if answers else None


def key(grid: Grid, found: View) -> str | None:
    answer = wish(grid, found)
    return answer.key if isinstance(answer, Enter) else None


def fill(grid: Grid, action: Action, shares: int, *, side: Side = Side.UP, number: int = 1, **changes: Any) -> None:
    purpose = Purpose.GRID_LEVEL if action is Action.BUY else Purpose.EXIT
    slot = Slot(market().condition_id, side, purpose, str(number) if action is Action.BUY else "")
    plain = FillBooked(
        0, "t", "o", slot, "11", action, 5_000, shares * SHARES, 0, 0, TradeStatus.MATCHED, False
    )
    grid.on_fill(market(), structs.replace(plain, **changes), 0)


# --- levels -----------------------------------------------------------------------------------------------------------


def test_grd_01_the_first_level_rests_below_the_midpoint_and_remembers_it() -> None:
    asked = wish(made(Grid, sides="up"), view(up="0.50/0.51"))
    assert isinstance(asked, Enter)
    assert (asked.side, asked.price_max, asked.purpose, asked.order_type) == (Side.UP, 4_800, Purpose.GRID_LEVEL, "GTC")
    assert (asked.key, asked.stake) == ("1", 5 * SHARES)
    assert asked.remember == {f"{SLUG}:UP:anchor": 5_050, f"{SLUG}:UP:deepest": 0}


def test_grd_01_further_levels_rest_a_step_apart_so_many_at_once() -> None:
    grid = started()
    second = wish(grid, view(up="0.50/0.51", orders=(level(1),)))
    assert isinstance(second, Enter)
    assert (second.key, second.price_max, second.remember) == ("2", 4_500, {}), "the reference stands"
    assert wish(grid, view(up="0.50/0.51", orders=(level(1), level(2)))) is None
    assert key(started(resting=3), view(up="0.50/0.51", orders=(level(1), level(2)))) == "3"


def test_grd_01_the_next_level_follows_when_one_is_bought_until_there_are_no_more() -> None:
    held = (position(),)
    assert key(started(deepest=1), view(up="0.47/0.48", positions=held, orders=(level(2),))) == "3"
    assert key(started(deepest=3), view(up="0.41/0.42", positions=held)) == "4"
    assert key(started(deepest=4), view(up="0.38/0.39", positions=held)) is None


def test_grd_01_each_further_level_may_spend_more() -> None:
    third = wish(started(deepest=2, growth=2.0), view(up="0.44/0.45", positions=(position(),)))
    assert isinstance(third, Enter)
    assert third.stake == 20 * SHARES


def test_grd_01_no_level_rests_where_it_would_take_or_below_the_lowest_price() -> None:
    held = (position(),)
    assert key(started(), view(up="0.47/0.49", positions=held)) == "1"
    assert key(started(), view(up="0.47/0.48", positions=held)) is None, "it would take"
    assert key(started(anchor=1_200, price_min="0.10"), view(up="0.12/0.13", positions=held)) == "1"
    assert key(started(anchor=1_190, price_min="0.10"), view(up="0.12/0.13", positions=held)) is None


@pytest.mark.parametrize(("up", "starts"), [
    ("0.39/0.41", True), ("0.39/0.40", False), ("0.69/0.71", True), ("0.70/0.71", False),
])  # fmt: skip
def test_grd_01_a_grid_starts_between_its_prices_only(up: str, starts: bool) -> None:
    assert (key(made(Grid, sides="up"), view(up=up)) == "1") is starts


def test_grd_01_both_sides_have_a_grid_of_their_own() -> None:
    grid = started(sides="both")
    asked = wish(grid, view(up="0.50/0.51", orders=(level(1), level(2))))
    assert isinstance(asked, Enter)
    assert (asked.side, asked.price_max, asked.key) == (Side.DOWN, 4_700, "1")
    assert key(made(Grid, sides="down"), view(up="0.50/0.51")) == "1"


@pytest.mark.parametrize(("minutes", "last_s"), [(15, 240.0), (5, 80.0)])
def test_grd_01_near_the_end_no_level_rests(minutes: int, last_s: float) -> None:
    end_s = minutes * 60
    grid = started()
    assert key(made(Grid, sides="up"), view(end_s - last_s - 0.001, minutes=minutes)) == "1"
    assert wish(made(Grid, sides="up"), view(end_s - last_s, minutes=minutes)) is None
    assert isinstance(wish(grid, view(end_s - last_s, minutes=minutes, orders=(level(1),))), CancelOrders)


def test_grd_01_a_level_that_was_refused_waits_and_one_that_came_too_late_does_not() -> None:
    def refused(gate: str, ago_s: float) -> View:
        found = view(up="0.50/0.51")
        at = found.now - round(ago_s * 1_000)
        told = RefusedView("grid", Purpose.GRID_LEVEL, Side.UP, "1", gate, "", at, at)
        return structs.replace(found, refused=(told,))

    assert key(started(), refused("window", 9.999)) is None
    assert key(started(), refused("window", 10.0)) == "1"
    assert key(started(), refused("stale_answer", 1.0)) == "1"


def test_grd_01_without_a_complete_quote_nothing_is_placed() -> None:
    assert wish(made(Grid, sides="up"), view(up="0.50/")) is None


# --- take-profit ------------------------------------------------------------------------------------------------------


def test_grd_01_one_take_profit_a_side_over_the_average_of_its_total() -> None:
    found = started().exit(view(), position())
    assert isinstance(found, ExitTarget)
    assert (found.side, found.price) == (Side.UP, 5_300)
    averaged = structs.replace(position(shares=30), average_price=4_712)
    lower = started().exit(view(), averaged)
    assert isinstance(lower, ExitTarget)
    assert lower.price == 5_100, "0.4712 and 0.03, on the grid"


def test_grd_01_a_position_of_somebody_else_is_left_to_him() -> None:
    assert made(Grid).exit(view(), position()) is None
    assert started().exit(view(), position(Side.DOWN)) is None
    assert started().exit(view(), position(held="ahead")) is None


# --- the end of a grid, and the next one ------------------------------------------------------------------------------


def test_grd_01_references_are_forgotten_when_both_sides_are_flat_and_not_before() -> None:
    grid = started(sides="both")
    fill(grid, Action.BUY, 10)
    fill(grid, Action.BUY, 10, number=2)
    fill(grid, Action.BUY, 5, side=Side.DOWN)
    assert grid.state[f"{SLUG}:UP:deepest"] == 2
    fill(grid, Action.SELL, 20)
    assert f"{SLUG}:UP:anchor" in grid.state, "the other side still holds some"
    fill(grid, Action.SELL, 4, side=Side.DOWN)
    assert grid.state
    fill(grid, Action.SELL, 1, side=Side.DOWN)
    assert grid.state == {}


def test_grd_01_references_are_forgotten_too_when_what_was_bought_is_gone_without_a_sale() -> None:
    """Pairs that were merged, a trade that failed on chain, a sale by hand: no fill tells the grid of any of them."""
    grid = started(sides="both")
    fill(grid, Action.BUY, 10)
    fill(grid, Action.BUY, 10, side=Side.DOWN)
    assert not isinstance(next(grid.propose(view(positions=(position(),)))), Keep), "one side is held"
    (forgets,) = grid.propose(view())
    assert isinstance(forgets, Keep)
    assert set(forgets.values) > set(grid.state)
    assert set(forgets.values.values()) == {None}
    paired = tuple(structs.replace(position(side), paired=position(side).size) for side in Side)
    assert isinstance(next(grid.propose(view(positions=paired))), Keep)
    grid.state = {}
    assert isinstance(wish(grid, view(orders=(level(2),))), CancelOrders), "then the next grid starts anew"


def test_grd_01_both_sides_pending_orders_go_before_a_re_open() -> None:
    grid = started(sides="both")
    fill(grid, Action.BUY, 10)
    fill(grid, Action.SELL, 10)
    left = (level(2), level(1, Side.DOWN))
    assert isinstance(answer := wish(grid, view(orders=left)), CancelOrders)
    assert answer.side is None, "of both sides"
    assert isinstance(wish(grid, view(orders=left[1:])), CancelOrders)
    anew = wish(grid, view(up="0.60/0.61"))
    assert isinstance(anew, Enter)
    assert anew.remember == {f"{SLUG}:UP:anchor": 6_050, f"{SLUG}:UP:deepest": 0}


def test_grd_01_while_something_is_held_nothing_is_opened_anew() -> None:
    grid = made(Grid, sides="up")
    assert wish(grid, view(positions=(position(),))) is None, "it is not flat, whatever is remembered"
    assert wish(grid, view(positions=(position(),), orders=(level(2),))) is None


def test_grd_01_only_the_grids_own_buys_count() -> None:
    grid = started()
    fill(grid, Action.BUY, 10, slot=Slot("0x01", Side.UP, Purpose.ENTRY))
    fill(grid, Action.SELL, 10)
    assert f"{SLUG}:UP:anchor" in grid.state, "that was somebody else's position"


def test_grd_01_a_settled_window_is_forgotten() -> None:
    grid = started()
    grid.state["other:UP:anchor"] = 1
    grid.on_settlement(market(), OPEN_MS)
    assert grid.state == {"other:UP:anchor": 1}


@pytest.mark.parametrize("wrong", [{"step": "0"}, {"profit": "0"}, {"stake": "0"}])
def test_grd_01_settings_without_sense_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        made(Grid, **wrong)
