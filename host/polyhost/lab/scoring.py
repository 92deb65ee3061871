"""Scores of probabilities against what came true, with intervals that take the window as the unit (EVD-05).

Evaluations of one window share its outcome: a hundred of them are not a hundred pieces of evidence. So every window
weighs the same however often it was evaluated: a score is the mean over windows of the mean over a window's
evaluations, and the bootstrap draws whole windows. All arrays have one element an evaluation, in order of time within
their unit; NaN is an abstention. Nothing in here knows where evaluations come from, and nothing is rounded.

numpy comes with the ``analysis`` extra; importing this module without it raises ImportError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

MARKET: Final = "market"
"""The forecaster that everybody is compared with: the market's own price."""
FLOOR: Final = 1e-6
"""Least probability in a log loss: being certain and wrong costs 13.8, not infinity."""
BINS: Final = 10
"""Of a reliability table, of equal width."""
RESAMPLES: Final = 4_000
"""Bootstrap samples: the ends of a 95 % interval then rest on a hundred of them each."""
CHUNK: Final = 500
"""Bootstrap samples at a time, for memory."""
LEVEL: Final = 0.95
COST_MIN: Final = 1e-4
"""Of a share, collateral: the finest price there is; what costs less is no offer."""
WINDOWS_MIN: Final = 20
"""With fewer windows nothing is called better or worse: an interval from so few is too narrow to be believed."""
Z: Final = 1.959964 + 0.841621
"""A two-sided test at 5 % and a power of 80 %: the normal's quantiles at 0.975 and 0.8."""


class Sample(NamedTuple):
    """Settled evaluations. ``unit`` numbers the windows 0 … ``units`` - 1; rows of a window are in order of time."""

    units: int
    unit: Indices
    won: Floats
    """1: the side that probabilities are about came true; 0: it did not."""
    market: Floats
    """The market's own probability."""
    cost: Floats
    """What a share of the side costs now, fee included, collateral; NaN or below ``COST_MIN``: not for sale."""
    cost_other: Floats
    """The same of the opposite side."""
    opinions: Mapping[str, Floats]
    """Probability by forecaster."""


class Bet(NamedTuple):
    """How a forecaster's opinion becomes money: the same for everybody."""

    stake: float
    """Collateral of each bet, fee included."""
    edge_min: float
    """Least probability less cost, collateral a share."""


class Interval(NamedTuple):
    """A figure, and where it would lie in ``LEVEL`` of the samples of as many windows; NaN ends: of one window."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


class Bin(NamedTuple):
    """Predictions from ``low`` up to ``high``: how many, what they said on average, how often it came true."""

    low: float
    high: float
    evaluations: int
    said: float
    came_true: float


class Scores(NamedTuple):
    """One forecaster on the evaluations where it had an opinion. Differences are against the market on the same ones:
    below zero is better than the market."""

    name: str
    windows: int
    evaluations: int
    abstained: int
    brier: Interval
    log_loss: Interval
    hit_rate: Interval
    brier_difference: Interval
    log_loss_difference: Interval
    windows_needed: int | None
    """Windows that would tell a Brier difference of this size; None: no number would (there is none)."""
    bets: int
    pnl: float
    """Of all bets together, collateral."""
    pnl_window: Interval
    """Per window, those without a bet included."""
    reliability: tuple[Bin, ...]


class Pairing(NamedTuple):
    """Two forecasters on the evaluations where both had an opinion; below zero the first is better."""

    first: str
    second: str
    windows: int
    evaluations: int
    difference: Interval
    """Of Brier scores."""
    windows_needed: int | None


# --- one evaluation ---------------------------------------------------------------------------------------------------


def brier(p: Floats, won: Floats) -> Floats:
    """(p - outcome) squared: 0 perfect, 0.25 for always saying even, 1 for certain and wrong."""
    loss: Floats = np.square(p - won)
    return loss


def log_loss(p: Floats, won: Floats) -> Floats:
    """-ln of the probability that was given to what came true: ln 2 = 0.693 for even."""
    loss: Floats = -np.log(np.clip(np.where(won > 0.5, p, 1 - p), FLOOR, 1.0))
    return loss


def hits(p: Floats, won: Floats) -> Floats:
    """1 where the favoured side came true, half at even."""
    right = np.where(p == 0.5, 0.5, ((p > 0.5) == (won > 0.5)).astype(np.float64))
    found: Floats = np.where(np.isnan(p), np.nan, right)
    return found


def reliability(p: Floats, won: Floats, weights: Floats) -> tuple[Bin, ...]:
    """What was said against how often it came true, by bins of 0.1; empty bins are left out."""
    said = ~np.isnan(p)
    p, won, weights = p[said], won[said], weights[said]
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    found = []
    for each in np.unique(place):
        inside = place == each
        weight = weights[inside]
        found.append(Bin(
            each / BINS, (each + 1) / BINS, int(inside.sum()), float(np.average(p[inside], weights=weight)),
            float(np.average(won[inside], weights=weight)),
        ))
    return tuple(found)


def bets(p: Floats, sample: Sample, bet: Bet) -> tuple[Floats, int]:
    """Profit a unit of the first evaluation with enough edge in it, held to the result; and how many there were.

    A unit without an opinion is NaN, one with opinions but without a bet is 0.
    """
    costs = np.stack([sample.cost, sample.cost_other])
    edges = np.stack([p, 1 - p]) - costs
    edges = np.where(np.isnan(edges) | ~(costs >= COST_MIN), -np.inf, edges)
    favoured = np.argmax(edges, axis=0)
    rows = np.flatnonzero(np.max(edges, axis=0) >= bet.edge_min)
    unit, first = np.unique(sample.unit[rows], return_index=True)
    rows = rows[first]
    cost = np.where(favoured[rows] == 0, sample.cost[rows], sample.cost_other[rows])
    won = np.where(favoured[rows] == 0, sample.won[rows], 1 - sample.won[rows])
    profit = np.where(np.isnan(unit_means(p, sample.unit, sample.units)), np.nan, 0.0)
    profit[unit] = bet.stake * (won / cost - 1)
    return profit, len(rows)


# --- windows as the unit ----------------------------------------------------------------------------------------------


def unit_means(values: Floats, unit: Indices, units: int) -> Floats:
    """Mean of each unit's values, NaN left out; NaN for a unit without any."""
    there = ~np.isnan(values)
    sums = np.bincount(unit[there], weights=values[there], minlength=units)
    counts = np.bincount(unit[there], minlength=units)
    means: Floats = np.divide(sums, counts, out=np.full(units, np.nan), where=counts > 0)
    return means


def unit_weights(values: Floats, unit: Indices, units: int) -> Floats:
    """Weight of each row so that every unit with a value weighs 1; 0 where there is no value."""
    there = ~np.isnan(values)
    counts = np.bincount(unit[there], minlength=units)
    weights: Floats = np.where(there, 1 / np.maximum(counts, 1)[unit], 0.0)
    return weights


def resampled(columns: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of each column (units, k) over ``resamples`` draws of whole units with replacement: (resamples, k).

    Every column sees the same draws, so differences of columns are paired. Seeded: equal input, equal output.
    """
    units = len(columns)
    rng = np.random.default_rng(seed)
    there = ~np.isnan(columns)
    values, has = np.where(there, columns, 0.0), there.astype(np.float64)
    parts = []
    for begin in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - begin)
        drawn = rng.integers(0, units, (size, units)) + np.arange(size)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
        weight = counts @ has
        parts.append(np.divide(counts @ values, weight, out=np.full(weight.shape, np.nan), where=weight > 0))
    return np.concatenate(parts)


def intervals(columns: Floats, seed: int, resamples: int = RESAMPLES) -> list[Interval]:
    """Each column's mean over units with its percentile bootstrap interval; all NaN for a column without values.

    One unit has no spread to draw from: the ends are NaN.
    """
    means = resampled(columns, seed, resamples)
    tail = 100 * (1 - LEVEL) / 2
    found = []
    for column, drawn in zip(columns.T, means.T, strict=True):
        units = np.count_nonzero(~np.isnan(column))
        if units < 2:
            found.append(Interval(float(np.nanmean(column)) if units else np.nan, np.nan, np.nan))
            continue
        low, high = np.nanpercentile(drawn, [tail, 100 - tail])
        found.append(Interval(float(np.nanmean(column)), float(low), float(high)))
    return found


def windows_needed(differences: Floats) -> int | None:
    """Units that would tell a mean difference of this size from none: n = (Z * s / d)².

    s is the standard deviation of the units' differences, d their mean; 5 % two-sided, power 80 %. None where d is 0,
    or where there are fewer than two units to take s from.
    """
    there = differences[~np.isnan(differences)]
    if len(there) < 2 or not abs(mean := float(there.mean())) > 0:
        return None
    return max(ceil((Z * float(there.std(ddof=1)) / mean) ** 2), WINDOWS_MIN)


# --- everybody --------------------------------------------------------------------------------------------------------


def scored(sample: Sample, bet: Bet, seed: int, resamples: int = RESAMPLES) -> list[Scores]:
    """The market first, then every forecaster in its order, all on the same draws of windows."""
    everybody = {MARKET: sample.market, **sample.opinions}
    columns: list[Floats] = []
    profits: list[tuple[Floats, int]] = []
    for p in everybody.values():
        profits.append(bets(p, sample, bet))
        columns += [*_columns(p, sample), profits[-1][0]]
    drawn = intervals(np.stack(columns, axis=1), seed, resamples)
    width = len(drawn) // len(everybody)
    return [
        _scores(name, p, sample, drawn[place * width:(place + 1) * width], profits[place])
        for place, (name, p) in enumerate(everybody.items())
    ]


def _columns(p: Floats, sample: Sample) -> list[Floats]:
    """Per unit: Brier, log loss, hits, and the differences of the first two to the market's on the same rows."""
    losses = [brier(p, sample.won), log_loss(p, sample.won), hits(p, sample.won)]
    market = [brier(sample.market, sample.won), log_loss(sample.market, sample.won)]
    losses += [losses[0] - market[0], losses[1] - market[1]]
    return [unit_means(loss, sample.unit, sample.units) for loss in losses]


def _scores(name: str, p: Floats, sample: Sample, drawn: Sequence[Interval], profit: tuple[Floats, int]) -> Scores:
    said = ~np.isnan(p)
    difference = unit_means(brier(p, sample.won) - brier(sample.market, sample.won), sample.unit, sample.units)
    weights = unit_weights(p, sample.unit, sample.units)
    return Scores(
        name, len(np.unique(sample.unit[said])), int(said.sum()), int((~said).sum()), drawn[0], drawn[1], drawn[2],
        drawn[3], drawn[4], windows_needed(difference), profit[1], float(np.nansum(profit[0])), drawn[5],
        reliability(p, sample.won, weights),
    )


def paired(sample: Sample, first: str, second: str, seed: int, resamples: int = RESAMPLES) -> Pairing:
    """Two forecasters against each other."""
    difference = brier(sample.opinions[first], sample.won) - brier(sample.opinions[second], sample.won)
    per_unit = unit_means(difference, sample.unit, sample.units)
    (drawn,) = intervals(per_unit[:, None], seed, resamples)
    both = ~np.isnan(difference)
    return Pairing(
        first, second, len(np.unique(sample.unit[both])), int(both.sum()), drawn, windows_needed(per_unit)
    )


# --- words ------------------------------------------------------------------------------------------------------------


def verdict(first: str, second: str, windows: int, difference: Interval, needed: int | None) -> str:
    """Which of two is better by Brier score, or that the windows can't tell and how many would."""
    if windows == 0:
        return f"{first} and {second} never had an opinion on the same settled evaluation."
    seen = f"on {windows} window{'' if windows == 1 else 's'}"
    ends = f", {LEVEL:.0%} interval {difference.low:+.4f} to {difference.high:+.4f}" if windows > 1 else ""
    told = f"Brier difference {difference.value:+.4f}{ends}"
    if windows >= WINDOWS_MIN and difference.excludes_zero:
        word = "better" if difference.value < 0 else "worse"
        return f"{first} is {word} than {second} {seen} ({told})."
    if windows >= WINDOWS_MIN and needed is None:
        return f"{first} and {second} score the same {seen} ({told})."
    few = f", and fewer than {WINDOWS_MIN} never can" if windows < WINDOWS_MIN else ""
    return f"The data can't tell {first} from {second} {seen}{few} ({told}){_would(windows, needed)}."


def _would(windows: int, needed: int | None) -> str:
    if needed is None:
        return ""
    if needed <= windows:
        return "; a few windows more may"
    return f"; about {needed:,} windows would tell a difference of this size"
