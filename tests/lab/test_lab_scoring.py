"""EVD-05: scores by hand, their invariants, intervals that cover, and each verdict."""

from __future__ import annotations

from math import isnan, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhost.lab.scoring import (
    MARKET,
    WINDOWS_MIN,
    Bet,
    Bin,
    Floats,
    Interval,
    Sample,
    bets,
    brier,
    hits,
    intervals,
    log_loss,
    paired,
    reliability,
    resampled,
    scored,
    unit_means,
    unit_weights,
    verdict,
    windows_needed,
)

BET = Bet(25.0, 0.02)


def floats(*values: float | None) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def sample(unit: list[int], won: Floats, market: Floats, spread: float = 0.0, **opinions: Floats) -> Sample:
    """Bought at the market's price plus ``spread``, without a fee."""
    return Sample(
        max(unit) + 1, np.array(unit, dtype=np.int64), won, market, market + spread, 1 - market + spread, opinions
    )


# --- one evaluation ---------------------------------------------------------------------------------------------------


def test_evd_05_brier_log_loss_and_hits_by_hand() -> None:
    p, won = floats(0.8, 0.8, 0.5, 0.1, None), floats(1, 0, 1, 0, 1)
    assert brier(p, won)[:4] == pytest.approx([0.04, 0.64, 0.25, 0.01])
    assert log_loss(p, won)[:4] == pytest.approx([-log(0.8), -log(0.2), log(2), -log(0.9)])
    assert list(hits(p, won)[:4]) == [1.0, 0.0, 0.5, 1.0]
    assert all(isnan(each(p, won)[4]) for each in (brier, log_loss, hits))


def test_being_certain_and_wrong_costs_much_and_not_everything() -> None:
    assert log_loss(floats(1.0, 0.0), floats(0, 1)) == pytest.approx([13.815511, 13.815511])


def test_a_reliability_table_says_how_often_each_tenth_came_true() -> None:
    p, won = floats(0.10, 0.19, 0.2, 1.0, None), floats(0, 1, 1, 1, 1)
    assert reliability(p, won, floats(1, 3, 1, 1, 0)) == (
        Bin(0.1, 0.2, 2, pytest.approx(0.1675), 0.75), Bin(0.2, 0.3, 1, 0.2, 1.0), Bin(0.9, 1.0, 1, 1.0, 1.0)
    )


def test_a_bet_is_the_first_with_enough_edge_in_its_window_after_costs() -> None:
    """0.02 of edge is a bet and 0.0199 is none; the second in a window is none; the other side is bought too."""
    p = floats(0.5199, 0.52, 0.90, 0.30, 0.51, None)
    board = Sample(
        4, np.array([0, 0, 0, 1, 2, 3]), floats(1, 1, 1, 1, 1, 1), p, np.full(6, 0.5), np.full(6, 0.5), {}
    )
    profit, count = bets(p, board, BET)
    # Window 0: 50 shares of the winner; window 1: DOWN at 0.50, which lost; 2: no edge; 3: never an opinion.
    assert list(profit[:3]) == [25.0, -25.0, 0.0]
    assert isnan(profit[3])
    assert count == 2


def test_a_side_that_is_not_for_sale_is_not_bought() -> None:
    board = Sample(1, np.array([0]), floats(1), floats(0.5), floats(None), floats(0), {})
    assert list(bets(floats(0.1), board, BET)[0]) == [0.0]
    assert list(bets(floats(0.9), board, BET)[0]) == [0.0]


# --- windows as the unit ----------------------------------------------------------------------------------------------


def test_evd_05_a_window_weighs_the_same_however_often_it_was_evaluated() -> None:
    unit = np.array([0, 0, 0, 1])
    values = floats(1, 1, None, 0)
    assert list(unit_means(values, unit, 2)) == [1.0, 0.0]
    assert list(unit_weights(values, unit, 2)) == [0.5, 0.5, 0.0, 1.0]
    many = sample([0] * 99 + [1], floats(*[1] * 99, 0), floats(*[0.5] * 100), model=floats(*[0.9] * 99, 0.6))
    _, model = scored(many, BET, seed=1, resamples=10)
    assert model.brier.value == pytest.approx((0.01 + 0.36) / 2)


def test_a_window_without_a_value_is_no_window() -> None:
    assert [isnan(each) for each in unit_means(floats(None, 1), np.array([0, 2]), 3)] == [True, True, False]


def test_the_bootstrap_draws_the_same_windows_for_every_column_and_repeats_itself() -> None:
    columns = np.random.default_rng(5).normal(size=(30, 1)) * np.array([1.0, 2.0])
    drawn = resampled(columns, seed=3, resamples=700)
    assert drawn.shape == (700, 2)
    assert drawn[:, 1] == pytest.approx(2 * drawn[:, 0])
    assert (drawn == resampled(columns, seed=3, resamples=700)).all()
    assert (drawn != resampled(columns, seed=4, resamples=700)).any()


def test_one_window_has_no_interval() -> None:
    (found,) = intervals(floats(0.3, None)[:, None], seed=1, resamples=20)
    assert found.value == 0.3
    assert isnan(found.low)
    assert isnan(found.high)
    assert not found.excludes_zero


def test_evd_05_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Two hundred samples of forty windows with twenty equal rows each: about 95 % of the intervals hold the mean.

    With the row as the unit they would hold it in about a third of the cases.
    """
    rng = np.random.default_rng(11)
    covered = rows_covered = 0
    for trial in range(200):
        truth = rng.normal(size=40)
        (by_window,) = intervals(truth[:, None], trial, 400)
        (by_row,) = intervals(np.repeat(truth, 20)[:, None], trial, 100)
        covered += by_window.low <= 0 <= by_window.high
        rows_covered += by_row.low <= 0 <= by_row.high
    assert 180 <= covered <= 199
    assert rows_covered < 120


def test_windows_needed_by_the_formula() -> None:
    """d = 0.01, s = 0.1: (2.801585 * 10)² = 784.9."""
    differences = np.tile([0.01 - 0.1, 0.01 + 0.1], 50) * np.array(1.0)
    spread = differences.std(ddof=1)
    assert windows_needed(differences) == int(np.ceil((2.801585 * spread / 0.01) ** 2))
    assert 780 < (windows_needed(differences) or 0) < 800
    assert windows_needed(floats(0, 0, 0)) is None
    assert windows_needed(floats(0.1, None)) is None
    assert windows_needed(floats(0.1, 0.1, 0.1001)) == WINDOWS_MIN


# --- everybody --------------------------------------------------------------------------------------------------------


def test_evd_05_every_forecaster_is_set_against_the_market_on_just_its_own_evaluations() -> None:
    """The signal answered in window 1 alone, where the market was wrong."""
    board = sample([0, 1], floats(1, 1), floats(0.9, 0.2), both=floats(0.8, 0.3), signal=floats(None, 0.4))
    market, both, signal = scored(board, BET, seed=1, resamples=50)
    assert market.name == MARKET
    assert market.brier_difference == Interval(0, 0, 0)
    assert not isnan(both.brier.low)
    assert isnan(signal.brier.low)
    assert both.brier_difference.value == pytest.approx((0.04 - 0.01 + 0.49 - 0.64) / 2)
    assert (signal.windows, signal.evaluations, signal.abstained) == (1, 1, 1)
    assert signal.brier_difference.value == pytest.approx(0.36 - 0.64)
    # The market never sees an edge in its own price; both buys 25 / 0.2 shares of the underdog in window 1 …
    assert (market.bets, market.pnl) == (0, 0)
    assert both.pnl == pytest.approx(25 * (0 / 0.1 - 1) + 25 * (1 / 0.2 - 1))


def test_a_forecaster_without_any_opinion_has_no_scores() -> None:
    board = sample([0, 1], floats(1, 0), floats(0.9, 0.2), mute=floats(None, None))
    _, mute = scored(board, BET, seed=1, resamples=20)
    assert (mute.windows, mute.evaluations, mute.bets, mute.windows_needed) == (0, 0, 0, None)
    assert isnan(mute.brier.value)


def test_two_forecasters_are_paired_where_both_spoke() -> None:
    board = sample([0, 0, 1], floats(1, 1, 0), floats(0.5, 0.5, 0.5), a=floats(0.9, None, 0.1), b=floats(0.8, 0.9, 0.3))
    pair = paired(board, "a", "b", seed=1, resamples=50)
    assert (pair.windows, pair.evaluations) == (2, 2)
    assert pair.difference.value == pytest.approx((0.01 - 0.04 + 0.01 - 0.09) / 2)


PROBABILITIES = st.floats(0, 1)
ROWS = st.lists(st.tuples(st.integers(0, 4), st.booleans(), PROBABILITIES, PROBABILITIES), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_scores_stay_in_bounds_and_do_not_depend_on_the_order_of_rows(
    rows: list[tuple[int, bool, float, float]], chance: object
) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    found = []
    for each in (rows, shuffled):
        unit, won, market, model = (list(column) for column in zip(*each, strict=True))
        found.append(scored(
            sample(unit, floats(*won), floats(*market), model=floats(*model)), BET, seed=2, resamples=20  # type: ignore[arg-type]
        ))
    for one, other in zip(*found, strict=True):
        assert 0 <= one.brier.value <= 1
        assert 0 <= one.log_loss.value <= 13.82
        assert 0 <= one.hit_rate.value <= 1
        assert -1 <= one.brier_difference.value <= 1
        assert one.brier == pytest.approx(other.brier, nan_ok=True)
        assert one.log_loss == pytest.approx(other.log_loss, nan_ok=True)
        if one.windows > 1:
            assert one.brier.low <= one.brier.value + 1e-12
            assert one.brier.high >= one.brier.value - 1e-12


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_perfect_forecaster_scores_zero_and_the_opposite_one(outcomes: list[bool]) -> None:
    won = floats(*outcomes)
    board = sample(list(range(len(outcomes))), won, np.full(len(won), 0.5), right=won, wrong=1 - won)
    _, right, wrong = scored(board, BET, seed=1, resamples=10)
    assert (right.brier.value, right.log_loss.value, right.hit_rate.value) == (0, 0, 1)
    assert (wrong.brier.value, wrong.hit_rate.value) == (1, 0)


# --- words ------------------------------------------------------------------------------------------------------------

BETTER, WORSE, UNCLEAR = Interval(-0.02, -0.03, -0.01), Interval(0.02, 0.01, 0.03), Interval(0.02, -0.01, 0.05)


@pytest.mark.parametrize(
    ("windows", "difference", "needed", "begins", "has"),
    [
        (0, Interval(np.nan, np.nan, np.nan), None, "a and b never had an opinion on the same", ""),
        (20, BETTER, 30, "a is better than b on 20 windows", "-0.0200"),
        (20, WORSE, 30, "a is worse than b on 20 windows", "+0.0100 to +0.0300"),
        (19, BETTER, 30, "The data can't tell a from b on 19 windows, and fewer than 20 never can", "about 30 windows"),
        (1, BETTER, None, "The data can't tell a from b on 1 window,", "(Brier difference -0.0200)."),
        (20, UNCLEAR, 1_234, "The data can't tell a from b on 20 windows (", "about 1,234 windows would tell"),
        (20, UNCLEAR, 20, "The data can't tell a from b on 20 windows (", "; a few windows more may."),
        (20, Interval(0, 0, 0), None, "a and b score the same on 20 windows", ""),
    ],
)
def test_evd_05_each_verdict(windows: int, difference: Interval, needed: int | None, begins: str, has: str) -> None:
    text = verdict("a", "b", windows, difference, needed)
    assert text.startswith(begins)
    assert has in text
    assert text.endswith(".")
