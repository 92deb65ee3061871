"""The reward optimizer: each threshold just inside and just outside, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from plugin_builders import OPEN_MS, SHARES, made, market, position, view

from polyhost import (
    ONE,
    Action,
    ExitTarget,
    Notice,
    OrderView,
    PositionView,
    Purpose,
    QuoteTarget,
    Side,
    View,
    reward_midpoint,
    reward_score,
)
from polyhost.extension.merging import careful
from polyhost_plugins.reward_optimizer import RewardOptimizer

PROGRAM = {"reward_min_size": 20 * SHARES, "reward_max_spread": 450, "reward_rate_day": 1_000_000_000}


def seen(
    up: str = "0.60/0.61", *, average: int = 5_000, shares: int = 20, orders: tuple[OrderView, ...] = (),
    side: Side = Side.UP, program: dict[str, int] | None = None, **changes: Any,
) -> View:
    held = structs.replace(position(side, shares=shares), average_price=average)
    about = market(**{**PROGRAM, **(program or {})})
    return view(400, up=up, positions=(held,), orders=orders, market=about, **changes)


def exit_order(price: int, *, age_s: float = 60.0, shares: float = 20, side: Side = Side.UP, **more: Any) -> OrderView:
    placed = OPEN_MS + 400_000 - round(age_s * 1_000)
    size = round(shares * SHARES)
    return OrderView("o1", side, Action.SELL, Purpose.EXIT, price, size, 0, "WORKING", placed, **more)


def target(price: int = 9_900, *, side: Side = Side.UP, least: int | None = 100) -> ExitTarget:
    return ExitTarget(side, price, "exit plan", least=least)


def optimizer(**settings: Any) -> RewardOptimizer:
    """It moves to half of the rewarded distance, unless told otherwise."""
    return made(RewardOptimizer, **{"distance": 0.5, **settings})


def moved(found: View, wish: ExitTarget | None = None, **settings: Any) -> int | None:
    """The price it asks for; None: it leaves the target alone."""
    answer = optimizer(**settings).quote(found, wish or target())
    assert answer is None or (answer.passive and answer.price < (wish or target()).price)
    return None if answer is None else answer.price


def test_rew_02_an_exit_is_moved_a_part_of_the_rewarded_distance_from_the_midpoint() -> None:
    # Midpoint 0.605; half of 0.045 away is 0.6275, three quarters 0.63875: the next price on the grid.
    assert moved(seen()) == 6_300
    answer = made(RewardOptimizer).quote(seen(), target())
    assert answer is not None
    assert answer.price == 6_400
    assert moved(seen(), distance=0.0) == 6_100
    assert moved(seen(side=Side.DOWN, up="0.39/0.40"), target(side=Side.DOWN)) == 6_300


def test_rew_02_the_profit_stays_above_its_floor() -> None:
    assert moved(seen(average=6_100)) == 6_300, "0.02 a share"
    assert moved(seen(average=6_101)) == 6_400, "a tick more, and it still scores"
    assert moved(seen(average=6_200)) == 6_400
    assert moved(seen(average=6_301)) is None, "0.65 is as far as 0.045 from the midpoint: it scores nothing"
    assert moved(seen(average=6_200), profit_min="0.03") is None
    assert moved(seen(average=6_200), profit_min="0.01") == 6_300


def test_rew_02_it_never_crosses_and_never_goes_below_what_the_owner_allows() -> None:
    wide = seen("0.60/0.61", program={"reward_max_spread": 100})
    assert moved(wide, distance=0.0) == 6_100, "a tick above the bid"
    # A small bid stands far above the large ones that the midpoint is measured between: 0.50 and 0.61.
    small = structs.replace(seen(program={"reward_max_spread": 900}), bids=((6_000, 5 * SHARES), (5_000, 90 * SHARES)))
    assert moved(small, distance=0.0) == 6_100
    assert moved(seen(), target(least=6_400)) == 6_400
    assert moved(seen(), target(least=None)) is None, "its owner allows nothing"
    assert moved(seen(), target(6_300)) is None, "its owner is as near"
    assert moved(seen(), target(6_400)) == 6_300


@pytest.mark.parametrize(("paired", "asked"), [(0, None), (19, None), (20, 6_300)])
def test_exi_03_an_exit_whose_other_side_is_held_stays_where_its_owner_wants_it(
    paired: int, asked: int | None
) -> None:
    """A hedge sold for 0.02 and rewards leaves the losing side alone; what pairs off is nobody's hedge."""
    alone = seen()
    losing = structs.replace(position(Side.DOWN, shares=20), paired=paired * SHARES)
    assert moved(alone) == 6_300
    assert moved(structs.replace(alone, positions=(*alone.positions, losing))) == asked


@pytest.mark.parametrize(("age_s", "rests", "asked"), [
    (4.999, 6_600, 6_600), (5.0, 6_600, 6_300),  # young, old enough
    (60.0, 6_400, 6_400), (60.0, 6_500, 6_300),  # one tick, two ticks
    (60.0, 6_200, 6_200), (60.0, 6_100, 6_300),
])  # fmt: skip
def test_rew_02_at_least_5_s_and_2_ticks_between_moves(age_s: float, rests: int, asked: int) -> None:
    assert moved(seen(average=5_500, orders=(exit_order(rests, age_s=age_s),))) == asked


def test_rew_02_what_rests_below_its_least_profit_is_moved_at_once() -> None:
    young = (exit_order(6_300, age_s=1.0),)
    assert moved(seen(average=6_100, orders=young)) == 6_300
    assert moved(seen(average=6_101, orders=young)) == 6_400


def test_rew_02_an_exit_that_can_score_no_more_goes_back_in_no_hurry() -> None:
    far = seen("0.40/0.41", orders=(exit_order(6_300, age_s=4.9),))
    assert moved(far) == 6_300, "5 s first"
    assert moved(seen("0.40/0.41", average=5_000, orders=(exit_order(6_300, age_s=5.0),))) is None


def test_rew_02_below_the_rewards_minimum_size_it_does_nothing_and_says_so() -> None:
    assert moved(seen(shares=20)) == 6_300
    assert moved(seen(shares=19)) is None
    plugin = optimizer()
    small = seen(shares=19, orders=(exit_order(9_900, age_s=1.0, shares=19),))
    assert plugin.quote(small, target()) is None
    assert plugin.metrics["below_minimum"] == 1.0
    (said,) = plugin.propose(small)
    assert isinstance(said, Notice)
    assert "19 UP is below the 20 shares" in said.text
    assert list(plugin.propose(seen(shares=20, orders=(exit_order(9_900, age_s=1.0),)))) == []
    assert list(plugin.propose(seen(shares=19, orders=(exit_order(9_900, age_s=5.0, shares=19),)))) == [], "once"


def test_rew_02_it_counts_what_rests_and_not_what_is_sold_already() -> None:
    half = structs.replace(exit_order(9_900, shares=30), matched=11 * SHARES)
    assert moved(seen(shares=30, orders=(half,))) is None
    assert moved(seen(shares=30, orders=(structs.replace(half, matched=10 * SHARES),))) == 6_300


def test_rew_02_without_a_program_it_leaves_everything_alone() -> None:
    assert moved(seen(program={"reward_rate_day": 0})) is None
    assert moved(seen(program={"reward_max_spread": 0})) is None
    assert list(optimizer().propose(seen(shares=1, program={"reward_rate_day": 0}))) == []


@pytest.mark.parametrize(("up", "asked"), [("0.89/0.90", 9_200), ("0.90/0.92", None)])
def test_rew_02_near_the_edges_only_quotes_on_both_sides_score(up: str, asked: int | None) -> None:
    assert moved(seen(up)) == asked


def test_rew_02_near_the_edges_it_moves_when_the_other_side_has_an_order() -> None:
    bid = OrderView("o2", Side.UP, Action.BUY, Purpose.QUOTE, 9_000, 20 * SHARES, 0, "WORKING", 0)
    assert moved(seen("0.90/0.92", orders=(bid,))) == 9_400
    assert moved(seen("0.90/0.92", orders=(structs.replace(bid, size=19 * SHARES),))) is None
    assert moved(seen("0.90/0.92", orders=(structs.replace(bid, side=Side.DOWN),))) is None, "the same side"


def test_rew_02_it_abstains_on_a_one_sided_book_and_on_prices_of_another_source() -> None:
    assert moved(seen("0.60/")) is None
    assert moved(seen(book_source="midpoints")) is None
    assert optimizer().quote(seen(), QuoteTarget(Side.UP, Action.BUY, 6_000, 20 * SHARES)) is None
    assert optimizer().quote(view(400, market=market(**PROGRAM)), target()) is None, "nothing is held"


@given(
    bid=st.integers(1, 97), spread=st.integers(1, 5), average=st.integers(100, 9_900), shares=st.integers(1, 60),
    rests=st.none() | st.integers(1, 99), age_s=st.floats(0, 20), distance=st.floats(0, 0.99),
)
def test_rew_02_whatever_the_market_a_moved_exit_scores_gains_and_does_not_cross(
    bid: int, spread: int, average: int, shares: int, rests: int | None, age_s: float, distance: float
) -> None:
    up = f"{bid / 100:.2f}/{min(bid + spread, 99) / 100:.2f}"
    orders = () if rests is None else (exit_order(rests * 100, age_s=age_s, shares=shares),)
    found = seen(up, average=average, shares=shares, orders=orders)
    answer = optimizer(distance=distance).quote(found, target())
    if answer is None:
        return
    assert answer.price % 100 == 0
    assert answer.price - average >= 200
    if rests is not None and answer.price == rests * 100:
        return  # it stays where it rests
    assert answer.price > bid * 100
    middle = reward_midpoint(found.bids, found.asks, 20 * SHARES)
    assert middle is not None
    assert reward_score(answer.price, shares * SHARES, middle, 450, 20 * SHARES) > 0.0


def test_rew_02_the_host_takes_the_lower_price_and_keeps_it_from_taking() -> None:
    asked = target()
    answer = optimizer().quote(seen(), asked)
    assert answer is not None
    merged = careful(asked, [answer])
    assert isinstance(merged, ExitTarget)
    assert (merged.price, merged.passive, merged.reason) == (6_300, True, "exit plan; moved to 0.63 for rewards")
    bounded = careful(structs.replace(asked, least=6_500), [answer])
    assert (bounded.price, bounded.passive) == (6_500, True)  # type: ignore[union-attr]
    assert careful(structs.replace(asked, least=9_900), [answer]).reason == "exit plan", "nothing was moved"


def test_rew_02_a_paired_position_is_counted_without_its_pairs() -> None:
    held = PositionView(Side.UP, 40 * SHARES, 40 * SHARES, 5_000, 20 * SHARES, OPEN_MS, "", 21 * SHARES)
    found = structs.replace(seen(), positions=(held,))
    assert moved(found) is None
    assert moved(structs.replace(found, positions=(structs.replace(held, paired=20 * SHARES),))) == 6_300
    assert held.size < ONE * SHARES
