"""order_flow: who leans on the book, who takes from it, and when neither is known."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_builders import OPEN_MS, SHARES, abstained, made, signalled, view
from pydantic import ValidationError

from polyhost import Flow, Signal, View
from polyhost_plugins.order_flow import OrderFlow

FULL = 0.6


def levels(*prices: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """(price in ticks, shares)."""
    return tuple((price, shares * SHARES if shares > 0 else shares) for price, shares in prices)


def book(bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...], **more: Any) -> View:
    """A market quoted 0.50/0.51."""
    return view(450, up="0.50/0.51", bids=levels(*bids), asks=levels(*asks), **more)


def traded(*buckets: tuple[float, int, int, int]) -> tuple[Flow, ...]:
    """(start in seconds of the window, shares bought, shares sold, prints)."""
    return tuple(Flow(OPEN_MS + round(at * 1_000), b * SHARES, s * SHARES, n) for at, b, s, n in buckets)


NO_SIZES = {"bids": ((5_000, -1),), "asks": ((5_100, -1),)}


def strength(signal: Signal) -> float:
    return signal.weight if signal.p_up >= 0.5 else -signal.weight


def test_sig_04_the_books_imbalance_is_bids_less_asks_over_both() -> None:
    signal = signalled(made(OrderFlow).signal(book(((5_000, 130),), ((5_100, 70),))))
    assert signal.features == {"book": pytest.approx(0.3)}
    assert strength(signal) == pytest.approx(0.3 / FULL)
    signal = signalled(made(OrderFlow).signal(book(((5_000, 70),), ((5_100, 130),))))
    assert strength(signal) == pytest.approx(-0.3 / FULL)


@pytest.mark.parametrize(("bid", "share"), [(158, 58 / 258 / FULL), (399, 299 / 499 / FULL), (400, 1.0), (900, 1.0)])
def test_sig_04_four_to_one_has_full_strength(bid: int, share: float) -> None:
    assert strength(signalled(made(OrderFlow).signal(book(((5_000, bid),), ((5_100, 100),))))) == pytest.approx(share)


def test_sig_04_levels_within_0_03_of_their_best_count_and_further_ones_do_not() -> None:
    seen = book(((5_000, 100), (4_700, 100), (4_699, 900)), ((5_100, 100), (5_400, 100), (5_401, 900)))
    assert signalled(made(OrderFlow).signal(seen)).features["book"] == 0
    near = book(((5_000, 100), (4_700, 100)), ((5_100, 100), (5_401, 100)))
    assert signalled(made(OrderFlow).signal(near)).features["book"] == pytest.approx(1 / 3)
    assert signalled(made(OrderFlow, near="0").signal(near)).features["book"] == 0


def test_sig_04_the_flows_imbalance_is_bought_less_sold_over_both() -> None:
    seen = view(450, **NO_SIZES, flow=traded((430, 60, 20, 3), (440, 5, 15, 2)))
    signal = signalled(made(OrderFlow).signal(seen))
    assert signal.features == {"flow": pytest.approx(0.3)}
    assert strength(signal) == pytest.approx(0.3 / FULL)


@pytest.mark.parametrize(("at_s", "counts"), [(390.0, True), (389.0, False)])
def test_sig_04_buckets_of_the_last_minute_count(at_s: float, counts: bool) -> None:
    answer = made(OrderFlow).signal(view(450, **NO_SIZES, flow=traded((at_s, 60, 20, 5))))
    assert isinstance(answer, Signal) is counts


@pytest.mark.parametrize(("prints", "known"), [(5, True), (4, False)])
def test_sig_04_fewer_than_five_prints_are_no_flow(prints: int, known: bool) -> None:
    answer = made(OrderFlow).signal(view(450, **NO_SIZES, flow=traded((440, 60, 20, prints))))
    assert isinstance(answer, Signal) is known


def test_sig_04_book_and_flow_have_half_the_weight_each_and_the_unknown_leaves_its_own() -> None:
    flow = traded((440, 60, 60, 9))
    both = signalled(made(OrderFlow).signal(book(((5_000, 130),), ((5_100, 70),), flow=flow)))
    assert strength(both) == pytest.approx(0.3 / FULL / 2)
    assert both.features == {"book": pytest.approx(0.3), "flow": 0.0}
    told = signalled(made(OrderFlow).signal(book(((5_000, 130),), ((5_100, 70),)))).reason
    assert told == "book +0.30, too few trades"


def test_sig_04_unknown_sizes_and_no_flow_is_an_abstention_that_names_both() -> None:
    assert abstained(made(OrderFlow).signal(view(450, **NO_SIZES))) == "sizes are not told, too few trades"
    one_known = book(((5_000, 100), (4_900, -1)), ((5_100, 100),))
    assert abstained(made(OrderFlow).signal(one_known)) == "sizes are not told, too few trades"
    one_sided = view(450, up="0.50/")
    assert abstained(made(OrderFlow).signal(one_sided)) == "no complete quote, too few trades"


def test_sig_04_the_mirrored_market_gives_the_mirrored_answer() -> None:
    seen = book(((5_000, 130), (4_800, 20)), ((5_100, 70),), flow=traded((440, 60, 20, 9)))
    mirrored = view(
        450, up="0.49/0.50", bids=levels((4_900, 70)), asks=levels((5_000, 130), (5_200, 20)),
        flow=traded((440, 20, 60, 9)),
    )
    one, other = signalled(made(OrderFlow).signal(seen)), signalled(made(OrderFlow).signal(mirrored))
    assert other.p_up == pytest.approx(1 - one.p_up)
    assert other.weight == pytest.approx(one.weight)


def test_sig_04_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"weight_book": 0, "weight_flow": 0}, {"near": "-0.01"}, {"flow_s": 301}, {"prints_min": 0}):
        with pytest.raises(ValidationError):
            made(OrderFlow, **wrong)
    assert made(OrderFlow, weight_book=0, flow_s=300, prints_min=1)
