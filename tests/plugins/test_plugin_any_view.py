"""Whatever a view holds, the signals and combiners answer what the host accepts, the same twice, and mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_builders import OPEN_MS, SHARES, made, view

from polyhost import ONE, Abstain, Bias, Candle, Estimate, Flow, Quote, Signal, View
from polyhost.configuration.shipped import shipped_class
from polyhost.extension.answers import checked
from polyhost.testing.strategies import EVEN_TICKS, views

SIGNALS = ("binance_momentum", "polymarket_momentum", "indicators", "order_flow", "divergence")
COMBINERS = ("additive", "bayesian")
OF_THE_BOOK = ("polymarket_momentum", "order_flow")
"""Signals that see nothing but this market: its mirror turns them exactly round."""


def thought(seen: View) -> tuple[dict[str, Signal], dict[str, Estimate]]:
    """What everybody says, checked as the host does."""
    signals: dict[str, Signal] = {}
    for name in SIGNALS:
        answer = checked("signal", made(shipped_class(name)).signal(seen))  # type: ignore[attr-defined]
        if isinstance(answer, Signal):
            signals[name] = answer
        else:
            assert isinstance(answer, Abstain)
            assert answer.reason
    estimates: dict[str, Estimate] = {}
    for name in COMBINERS:
        plugin: Any = made(shipped_class(name))
        answer = checked("combine", plugin.combine(seen, tuple(signals.items())))
        if isinstance(answer, Estimate):
            estimates[name] = answer
    return signals, estimates


@settings(max_examples=150, deadline=None)
@given(views())
def test_sig_10_any_view_gives_probabilities_and_confidences_or_a_reason(seen: View) -> None:
    signals, estimates = thought(seen)
    for signal in signals.values():
        assert 0 < signal.p_up < 1
        assert 0 <= signal.weight <= 1
        assert all(map(isfinite, signal.features.values()))
    for estimate in estimates.values():
        assert 0 < estimate.p_up < 1
        assert estimate.confidence == abs(2 * estimate.p_up - 1)
        assert estimate.bias in (Bias.NONE, Bias.UP if estimate.p_up > 0.5 else Bias.DOWN)
    assert ("bayesian" in estimates) is seen.up.complete
    assert ("additive" in estimates) is bool(signals)
    assert thought(seen) == (signals, estimates)


def mirrored(seen: View) -> View:
    """The same market with UP and DOWN exchanged."""
    return msgspec.structs.replace(
        seen, up=seen.down, down=seen.up,
        bids=tuple((ONE - price, size) for price, size in seen.asks),
        asks=tuple((ONE - price, size) for price, size in seen.bids),
        mids=tuple((at, ONE - mid) for at, mid in seen.mids),
        flow=tuple(Flow(each.start, each.sold, each.bought, each.trades) for each in seen.flow),
    )


@settings(max_examples=100, deadline=None)
@given(views(), st.lists(EVEN_TICKS, min_size=2, max_size=2, unique=True))
def test_sig_10_up_and_down_exchanged_turns_signals_of_the_market_round(seen: View, quoted: list[int]) -> None:
    """Midpoints are whole ticks rounded down, so the quotes here are even."""
    bid, ask = sorted(quoted)
    up = Quote(bid, ask, SHARES, SHARES)
    seen = msgspec.structs.replace(seen, up=up, down=Quote(ONE - ask, ONE - bid, SHARES, SHARES))
    for name in OF_THE_BOOK:
        one, other = (made(shipped_class(name)).signal(each) for each in (seen, mirrored(seen)))  # type: ignore[attr-defined]
        assert type(one) is type(other)
        if isinstance(one, Signal):
            assert other.p_up == pytest.approx(1 - one.p_up, abs=1e-9)
            assert other.weight == pytest.approx(one.weight, abs=1e-9)


OPPOSITES: Mapping[str, float] = {"clear trend": 0.002, "noise": 0.0003}


@pytest.mark.parametrize("move", OPPOSITES.values(), ids=OPPOSITES)
def test_sig_10_spot_down_as_far_as_it_was_up_is_the_opposite_opinion(move: float) -> None:
    """A share up and the same share down, seen by every signal that looks at spot."""
    def moved(direction: int) -> View:
        start = OPEN_MS - 40 * 60_000
        gone = [move * max(n - 39, 0) / 5 + 0.0001 * (n % 2) for n in range(46)]
        closes = [80_000 * (1 + direction * each) for each in gone]
        done = tuple(
            Candle(start + 60_000 * n, a, max(a, b), min(a, b), b, 1.0)
            for n, (a, b) in enumerate(pairwise(closes))
        )
        return view(300, spot=closes[-1], spot_open=closes[40], strike=80_000.0, basis=0.0, candles=done)

    (up, _), (down, _) = thought(moved(1)), thought(moved(-1))
    assert set(up) == set(down) >= {"binance_momentum", "indicators", "divergence"}
    for name, signal in up.items():
        assert signal.p_up - 0.5 == pytest.approx(0.5 - down[name].p_up, abs=0.01), name
