"""hypothesis strategies for views: whatever a view may hold, and what is legal to be missing in one.

Needs hypothesis (``pip install polyhost[testing]``).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from polyhost.model.money import ONE
from polyhost.model.proposals import Estimate
from polyhost.model.reading import Reading
from polyhost.model.view import Candle, Flow, Funds, PositionView, Quote, View
from polyhost.model.words import SettlementRule, Side
from polyhost.testing.builders import OPENS, SHARE, market, mirrored, view

PRICES: Final = st.floats(1e-8, 1e8)
"""Spot prices of anything."""
SIZES: Final = st.one_of(st.just(-1), st.integers(0, 10_000_000 * SHARE))
"""Micro-shares; -1: the venue did not tell."""
EVEN_TICKS: Final = st.integers(1, ONE // 2 - 1).map(lambda half: 2 * half)


@st.composite
def candles(draw: st.DrawFn, now: int) -> tuple[Candle, ...]:
    """Of any shape, with gaps, some of them ahead of the clock."""
    first = now - now % 60_000 - 60_000 * draw(st.integers(0, 65))
    made_of = draw(st.lists(st.tuples(st.integers(1, 3), PRICES, PRICES, st.floats(0, 1e9)), max_size=60))
    found = []
    for step, opened, closed, volume in made_of:
        first += 60_000 * (1 if step < 3 else 2)
        found.append(Candle(first, opened, max(opened, closed), min(opened, closed), closed, volume))
    return tuple(found)


@st.composite
def positions(draw: st.DrawFn, now: int) -> tuple[PositionView, ...]:
    """None, one side or both, of any size, partly sellable, held or not."""
    held = []
    for side in draw(st.lists(st.sampled_from(Side), unique=True, max_size=2)):
        size = draw(st.integers(1, 10_000 * SHARE))
        average = draw(st.integers(1, ONE))
        opened = now - draw(st.integers(0, 900_000))
        sellable = draw(st.integers(0, size))
        kept = draw(st.sampled_from(["", "held to the result"]))
        held.append(PositionView(side, size, sellable, average, size * average // ONE, opened, kept))
    return tuple(held)


@st.composite
def views(draw: st.DrawFn, /, *, minutes: int = 15, **fixed: Any) -> View:
    """Any view of a window: books crossed, one-sided or empty, every optional thing there or not.

    ``fixed``: fields of ``View`` that are not drawn.
    """
    at_s = draw(st.floats(0, minutes * 60 - 0.001))
    now = OPENS + round(at_s * 1_000)
    up = Quote(draw(st.integers(0, ONE)), draw(st.integers(0, ONE)), draw(SIZES), draw(SIZES))
    levels = st.lists(st.tuples(st.integers(1, ONE - 1), SIZES), max_size=10).map(tuple)
    buckets = st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 9**15), st.integers(0, 9**15), st.integers(1, 99)),
        unique_by=lambda bucket: bucket[0],
    )
    maybe = st.one_of(st.none(), PRICES)
    spot = draw(maybe)
    drawn = view(
        at_s, market=market(minutes, rule=draw(st.sampled_from(list(SettlementRule)))),
        spot=spot, spot_age_ms=draw(st.integers(0, 9_999)), spot_open=draw(maybe),
        strike=draw(maybe), reference=draw(maybe), basis=draw(st.one_of(st.none(), st.floats(-1e8, 1e8))),
        candles=draw(candles(now)), bids=draw(levels), asks=draw(levels),
        mids=tuple(sorted(draw(st.lists(st.tuples(st.integers(OPENS - 600_000, now), EVEN_TICKS), max_size=20)))),
        flow=tuple(
            Flow(now - now % 10_000 - 10_000 * n, bought, sold, trades)
            for n, bought, sold, trades in sorted(draw(buckets), reverse=True)
        ),
        positions=draw(positions(now)),
        funds=Funds(*(draw(st.integers(0, 10**12)) for _ in range(4))),
        estimate=draw(st.one_of(st.none(), estimates())),
        feeds=draw(st.lists(readings(now), max_size=4).map(tuple)),
    )
    return msgspec.structs.replace(drawn, up=up, down=mirrored(up), **fixed)


def estimates() -> st.SearchStrategy[Estimate]:
    """What a combiner may think."""
    return st.floats(0.001, 0.999).map(Estimate.of_probability)


def readings(now: int) -> st.SearchStrategy[Reading]:
    """What a feed may have said until now."""
    return st.builds(
        Reading, st.sampled_from(["funding.BTC", "spot2.BTC", "mood"]), st.floats(-1e9, 1e9),
        st.integers(0, now), st.sampled_from(["one_feed", "other_feed"]),
    )
