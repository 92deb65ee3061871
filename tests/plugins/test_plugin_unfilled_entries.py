"""Resting entries that nobody meets: the thresholds of cancel and retry, each on both sides (ENT-05)."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_builders import OPEN_MS, made, market, view

from polyhost import Action, Bias, CancelOrders, Enter, Estimate, OrderView, Purpose, Side, Skip, UnfilledView
from polyhost.model.records import OrderMoved
from polyhost.model.words import OrderState
from polyhost_plugins.unfilled_entries import UnfilledEntries


def resting(placed_s: float = 100.0, *, price: int = 4_000, mid: int = 4_050, **changes: Any) -> OrderView:
    fields: dict[str, Any] = {
        "ref": "o000001", "side": Side.UP, "action": Action.BUY, "purpose": Purpose.ENTRY, "price": price,
        "size": 62_500_000, "matched": 0, "state": "working", "placed_at": OPEN_MS + round(placed_s * 1_000),
        "owner": "entry_policy", "mid_placed": mid, "order_type": "GTC",
    }
    return OrderView(**(fields | changes))


def proposed(seen: Any, **settings: object) -> list[CancelOrders | Enter | Skip]:
    return list(made(UnfilledEntries, **settings).propose(seen))


def ended(at_s: float, rested_s: float, ago_s: float = 1.0, side: Side = Side.UP) -> UnfilledView:
    now = OPEN_MS + round(at_s * 1_000)
    end = now - round(ago_s * 1_000)
    return UnfilledView("o000001", side, "entry_policy", 4_000, end - round(rested_s * 1_000), end)


def retried(up: str, *, rested_s: float = 300.0, ago_s: float = 1.0, **more: Any) -> CancelOrders | Enter | Skip | None:
    settings = more.pop("settings", {})
    found = proposed(view(up=up, unfilled=ended(450, rested_s, ago_s), **more), **settings)
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(("minutes", "unfilled_s"), [(15, 300.0), (5, 100.0), (240, 300.0)])
def test_ent_05_a_resting_entry_is_cancelled_after_300_s_scaled(minutes: int, unfilled_s: float) -> None:
    def at(age_s: float) -> list[CancelOrders | Enter | Skip]:
        return proposed(view(10 + age_s, minutes=minutes, up="0.40/0.41", orders=(resting(10.0),)))

    assert at(unfilled_s - 0.001) == []
    assert at(unfilled_s) == [CancelOrders(Side.UP, f"unfilled for {unfilled_s:g} s", "o000001")]


@pytest.mark.parametrize(("up", "cancelled"), [("0.34/0.35", False), ("0.34/0.349", True), ("0.33/0.35", True)])
def test_ent_05_it_is_cancelled_early_when_the_price_moved_15_percent_against(up: str, cancelled: bool) -> None:
    """15 % of 0.40 is 0.06; the midpoint was 0.405: 0.345 is the last one that counts."""
    found = proposed(view(110, up=up, orders=(resting(mid=4_049 if up == "0.34/0.35" else 4_050),)))
    assert bool(found) is cancelled
    if cancelled:
        assert isinstance(found[0], CancelOrders)
        assert "against" in found[0].reason


@pytest.mark.parametrize(
    "changes",
    [{"purpose": Purpose.QUOTE}, {"purpose": Purpose.GRID_LEVEL}, {"action": Action.SELL, "purpose": Purpose.EXIT},
     {"order_type": "FAK"}],
)
def test_ent_05_only_resting_first_entries_are_cancelled(changes: dict[str, Any]) -> None:
    assert proposed(view(800, up="0.30/0.31", orders=(resting(**changes),))) == []


def test_ent_05_without_a_midpoint_of_its_placing_or_now_nothing_is_against_it() -> None:
    assert proposed(view(110, up="0.10/0.11", orders=(resting(mid=0),))) == []
    assert proposed(view(110, up="/0.11", orders=(resting(),))) == []


# --- the retry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("up", "side", "price"),
    [("0.59/0.61", None, 0), ("0.59/0.6101", Side.UP, 6_300), ("0.60/0.61", Side.UP, 6_200),
     ("0.39/0.41", None, 0), ("0.39/0.40", Side.DOWN, 6_200), ("0.61/", None, 0)],
)
def test_ent_05_the_side_that_is_ahead_by_more_than_0_10_is_bought_at_market(
    up: str, side: Side | None, price: int
) -> None:
    """0.60 is ahead by 0.10 and no more."""
    found = retried(up)
    if side is None:
        assert isinstance(found, Skip)
        assert found.reason == "unfilled_not_ahead"
        return
    assert isinstance(found, Enter)
    assert (found.side, found.price_max, found.order_type, found.purpose) == (side, price, "FAK", Purpose.ENTRY)
    assert found.stake is None, "sized like any entry"


@pytest.mark.parametrize(("rested_s", "again"), [(300.0, True), (299.999, False)])
def test_ent_05_what_was_cancelled_early_is_not_retried(rested_s: float, again: bool) -> None:
    assert (retried("0.70/0.71", rested_s=rested_s) is not None) is again


@pytest.mark.parametrize(("ago_s", "again"), [(0.0, True), (10.0, True), (10.001, False)])
def test_ent_05_the_retry_follows_the_proved_end_within_10_s_or_never(ago_s: float, again: bool) -> None:
    assert (retried("0.70/0.71", ago_s=ago_s) is not None) is again


def test_ent_05_nothing_is_retried_while_an_entry_is_not_over_or_when_switched_off() -> None:
    busy = view(110, up="0.70/0.71", unfilled=ended(110, 300), orders=(resting(),))
    assert proposed(busy) == []
    assert retried("0.70/0.71", settings={"retry": False}) is None
    assert proposed(view(up="0.70/0.71")) == []


def test_ent_05_not_against_the_estimate_unless_that_is_wanted() -> None:
    down = Estimate(0.40, 0.2, Bias.DOWN)
    found = retried("0.70/0.71", estimate=down)
    assert isinstance(found, Skip)
    assert found.reason == "unfilled_against_estimate"
    assert isinstance(retried("0.70/0.71", estimate=down, settings={"against_estimate": True}), Enter)
    agreed = retried("0.70/0.71", estimate=Estimate(0.80, 0.6, Bias.UP))
    assert isinstance(agreed, Enter)
    assert agreed.edge == pytest.approx(0.80 - 0.72 - 0.07 * 0.72 * 0.28, abs=1e-5)


def test_ent_05_a_side_that_is_used_is_not_bought_again() -> None:
    found = retried("0.70/0.71", taken=(Side.UP,))
    assert isinstance(found, Skip)
    assert found.reason == "unfilled_side_taken"


def test_ent_05_the_worst_price_is_on_the_markets_grid() -> None:
    found = retried("0.985/0.9905")
    assert isinstance(found, Enter)
    assert found.price_max == 9_900


def test_ent_05_the_end_is_told_as_cancelled_unfilled() -> None:
    plugin = made(UnfilledEntries)

    def told(cause: str) -> list[str]:
        moved = OrderMoved(OPEN_MS, "o000007", OrderState.CLOSED, cause)
        return [notice.text for notice in plugin.on_order(market(), moved)]

    (text,) = told("cancelled_unfilled")
    assert "o000007 ended as CANCELLED_UNFILLED" in text
    assert told("ended") == []
