"""The two momentum signals: figures, directions, and when they abstain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import OPEN_MS, abstained, made, signalled, steady_candles, steady_mids, view
from pydantic import ValidationError

from polyhost import Candle, Signal, View
from polyhost_plugins.binance_momentum import BinanceMomentum, price_at
from polyhost_plugins.polymarket_momentum import PolymarketMomentum, mid_at

SPOT = 80_000.0


def with_spot(at_s: float, move: float, *, minutes: int = 15, **changes: object) -> View:
    """Spot moved by ``move`` since the open, evenly."""
    candles = steady_candles(at_s, start=SPOT, move=move, over_s=at_s)
    known: dict[str, Any] = {"spot": SPOT * (1 + move), "spot_open": SPOT, "candles": candles}
    return view(at_s, minutes=minutes, **(known | changes))


def strength(signal: Signal) -> float:
    """Signed, as given to of_direction."""
    return signal.weight if signal.p_up >= 0.5 else -signal.weight


@pytest.mark.parametrize("minutes", [5, 15])
@pytest.mark.parametrize("direction", [1, -1])
def test_sig_01_a_move_of_the_threshold_within_a_minute_has_full_strength(minutes: int, direction: int) -> None:
    seen = with_spot(60, direction * 0.002, minutes=minutes)
    signal = signalled(made(BinanceMomentum).signal(seen))
    assert strength(signal) == pytest.approx(direction)
    assert signal.p_up == pytest.approx(0.5 + 0.49 * direction)


def test_sig_01_a_move_just_below_the_threshold_is_not_full_strength_and_beyond_it_is_no_more() -> None:
    momentum = made(BinanceMomentum, weight_60s=0, weight_180s=0, weight_300s=0)
    assert strength(signalled(momentum.signal(with_spot(60, 0.0019)))) == pytest.approx(0.95)
    assert strength(signalled(momentum.signal(with_spot(60, 0.0020)))) == pytest.approx(1.0)
    assert strength(signalled(momentum.signal(with_spot(60, 0.0100)))) == pytest.approx(1.0)


def test_sig_01_horizons_are_weighted_0_4_0_2_0_2_0_2() -> None:
    """0.2 % evenly over 600 s: 0.02 % a minute, so the horizons see 1, 0.1, 0.3 and 0.5 of the threshold."""
    signal = signalled(made(BinanceMomentum).signal(with_spot(600, 0.002)))
    assert strength(signal) == pytest.approx(0.4 + 0.2 * (0.1 + 0.3 + 0.5), abs=0.002)
    assert signal.features["move_open"] == pytest.approx(0.002)
    assert signal.features["move_60s"] == pytest.approx(0.0002, rel=0.01)
    assert "open +0.200%" in signal.reason


def test_sig_01_horizons_that_are_not_known_leave_their_weight_to_the_others() -> None:
    only_open = signalled(made(BinanceMomentum).signal(with_spot(600, 0.001, candles=())))
    assert strength(only_open) == pytest.approx(0.5)
    assert set(only_open.features) == {"move_open"}
    no_open = signalled(made(BinanceMomentum).signal(with_spot(600, 0.002, spot_open=None)))
    assert strength(no_open) == pytest.approx((0.1 + 0.3 + 0.5) / 3, abs=0.002)


def test_sig_01_abstains_without_spot_without_history_and_when_the_spot_is_old() -> None:
    momentum = made(BinanceMomentum)
    assert abstained(momentum.signal(with_spot(60, 0.002, spot=None)))
    assert abstained(momentum.signal(with_spot(60, 0.002, spot_open=None, candles=())))
    assert signalled(momentum.signal(with_spot(60, 0.002, spot_age_ms=5_000)))
    assert abstained(momentum.signal(with_spot(60, 0.002, spot_age_ms=5_001)))


def test_sig_01_no_move_is_an_answer_without_direction() -> None:
    assert signalled(made(BinanceMomentum).signal(with_spot(60, 0.0))).p_up == 0.5


def test_sig_01_acceleration_is_the_last_minute_against_the_mean_of_three() -> None:
    """Flat for two minutes, then 0.3 % in the third: 0.3 % - 0.3 % / 3 = 0.2 % a minute."""
    candles = (
        Candle(OPEN_MS, SPOT, SPOT, SPOT, SPOT, 1.0),
        Candle(OPEN_MS + 60_000, SPOT, SPOT, SPOT, SPOT, 1.0),
        Candle(OPEN_MS + 120_000, SPOT, SPOT * 1.003, SPOT, SPOT * 1.003, 1.0),
    )
    signal = signalled(made(BinanceMomentum).signal(with_spot(180, 0.003, candles=candles)))
    assert signal.features["acceleration"] == pytest.approx(0.002)


def test_sig_01_volume_weighted_momentum_listens_to_the_traded_minutes() -> None:
    """+0.1 % on three coins and -0.1 % on one: (3 - 1) / 4 of 0.1 %."""
    candles = (
        Candle(OPEN_MS, 100.0, 100.1, 100.0, 100.1, 3.0),
        Candle(OPEN_MS + 60_000, 100.0, 100.0, 99.9, 99.9, 1.0),
    )
    signal = signalled(made(BinanceMomentum).signal(with_spot(120, 0.0, candles=candles)))
    assert signal.features["volume_weighted"] == pytest.approx(0.0005)
    untraded = tuple(Candle(c.start, c.open, c.high, c.low, c.close, 0.0) for c in candles)
    signal = signalled(made(BinanceMomentum).signal(with_spot(120, 0.0, candles=untraded)))
    assert "volume_weighted" not in signal.features


def test_sig_01_a_price_in_the_past_lies_on_the_line_of_its_candle() -> None:
    candles = (Candle(OPEN_MS, 100.0, 106.0, 100.0, 106.0, 1.0),)
    assert price_at(candles, OPEN_MS) == 100.0
    assert price_at(candles, OPEN_MS + 30_000) == pytest.approx(103.0)
    assert price_at(candles, OPEN_MS + 59_999) == pytest.approx(106.0, abs=0.001)
    assert price_at(candles, OPEN_MS - 1) is None
    assert price_at(candles, OPEN_MS + 60_000) is None


@given(move=st.floats(-0.5, 0.5), at_s=st.integers(1, 899))
def test_sig_01_the_answer_is_always_a_probability_and_points_where_spot_went(move: float, at_s: int) -> None:
    signal = signalled(made(BinanceMomentum).signal(with_spot(at_s, move)))
    assert 0 < signal.p_up < 1
    assert 0 <= signal.weight <= 1
    assert (signal.p_up - 0.5) * move >= -1e-12


def test_sig_01_all_weights_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="never answer"):
        made(BinanceMomentum, weight_open=0, weight_60s=0, weight_180s=0, weight_300s=0)


@pytest.mark.parametrize("minutes", [5, 15])
@pytest.mark.parametrize("direction", [1, -1])
def test_sig_02_a_change_of_the_threshold_has_full_strength(minutes: int, direction: int) -> None:
    mids = ((OPEN_MS + 60_000, 5_050),)
    up = "0.60/0.61" if direction > 0 else "0.40/0.41"
    signal = signalled(made(PolymarketMomentum).signal(view(120, up=up, minutes=minutes, mids=mids)))
    assert strength(signal) == pytest.approx(direction)


def test_sig_02_a_smaller_change_counts_in_proportion() -> None:
    mids = ((OPEN_MS + 60_000, 5_050),)
    signal = signalled(made(PolymarketMomentum).signal(view(120, up="0.59/0.60", mids=mids)))
    assert strength(signal) == pytest.approx(0.9)
    assert signal.features == {"change_60s": pytest.approx(0.09)}


def test_sig_02_horizons_are_weighted_and_the_unreached_leave_their_weight() -> None:
    """+0.01 over one minute, +0.03 over three, +0.05 over five."""
    mids = tuple((OPEN_MS + minute * 60_000, 5_000 + 100 * minute) for minute in range(5))
    seen = view(300, up="0.54/0.56", mids=mids)
    signal = signalled(made(PolymarketMomentum).signal(seen))
    assert strength(signal) == pytest.approx(0.4 * 0.1 + 0.3 * 0.3 + 0.3 * 0.5)
    short = signalled(made(PolymarketMomentum).signal(view(300, up="0.54/0.56", mids=mids[2:])))
    assert strength(short) == pytest.approx((0.4 * 0.1 + 0.3 * 0.3) / 0.7)


def test_sig_02_abstains_with_too_little_history_and_a_one_sided_book() -> None:
    momentum = made(PolymarketMomentum)
    enough = ((OPEN_MS + 60_000, 5_000),)
    assert abstained(momentum.signal(view(120, mids=())))
    assert abstained(momentum.signal(view(119.999, mids=enough)))
    assert signalled(momentum.signal(view(120, mids=enough)))
    assert abstained(momentum.signal(view(120, mids=enough, up="0.50/")))
    assert abstained(momentum.signal(view(120, mids=enough, up="/0.50")))


def test_sig_02_a_hole_in_the_history_is_no_midpoint() -> None:
    mids = ((OPEN_MS + 60_000, 5_000),)
    assert mid_at(view(239.999, mids=mids), 60) == 5_000
    assert mid_at(view(240, mids=mids), 60) is None


def test_sig_02_all_weights_or_the_threshold_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="never answer"):
        made(PolymarketMomentum, weight_60s=0, weight_180s=0, weight_300s=0)
    with pytest.raises(ValidationError, match="above 0"):
        made(PolymarketMomentum, full_strength_change="0")


def test_sig_02_the_steady_history_of_the_builders_is_what_it_says() -> None:
    mids = steady_mids(300, change=0.2, over_s=300)
    assert mids[0][1] == 5_000
    assert mids[-1][1] == pytest.approx(5_000 + 2_000 * 299 / 300, abs=1)


def test_sig_01_each_abstention_says_what_is_missing() -> None:
    momentum = made(BinanceMomentum)
    assert abstained(momentum.signal(with_spot(60, 0.002, spot=None))) == "no spot price"
    assert abstained(momentum.signal(with_spot(60, 0.002, spot_age_ms=5_001))) == "the spot price is too old"
    nothing = with_spot(60, 0.002, spot_open=None, candles=())
    assert abstained(momentum.signal(nothing)) == "no earlier spot price that counts"
    assert abstained(made(PolymarketMomentum).signal(view(up="0.50/"))) == "no complete quote"


def test_sig_01_acceleration_and_volume_count_when_they_are_given_a_weight() -> None:
    """0.1 % of acceleration is half of the threshold; 0.02 % a minute by volume is 0.1 % in five."""
    alone = {"weight_open": 0, "weight_60s": 0, "weight_180s": 0, "weight_300s": 0}
    candles = (
        Candle(OPEN_MS, SPOT, SPOT, SPOT, SPOT, 1.0),
        Candle(OPEN_MS + 60_000, SPOT, SPOT, SPOT, SPOT, 1.0),
        Candle(OPEN_MS + 120_000, SPOT, SPOT * 1.0015, SPOT, SPOT * 1.0015, 1.0),
    )
    seen = with_spot(180, 0.0015, candles=candles)
    assert strength(signalled(made(BinanceMomentum, **alone, weight_acceleration=1).signal(seen))) == pytest.approx(0.5)
    steady = tuple(Candle(OPEN_MS + m * 60_000, SPOT, SPOT, SPOT, SPOT * 1.0002, 2.0) for m in range(3))
    seen = with_spot(180, 0.0, candles=steady)
    assert strength(signalled(made(BinanceMomentum, **alone, weight_volume=1).signal(seen))) == pytest.approx(0.5)
    untraded = tuple(Candle(c.start, c.open, c.high, c.low, c.close, 0.0) for c in steady)
    seen = with_spot(180, 0.0, candles=untraded)
    assert abstained(made(BinanceMomentum, **alone, weight_volume=1).signal(seen))
