"""indicators: ADX, RSI and volume-weighted momentum, computed here by their definitions, and when they abstain."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import OPEN_MS, abstained, made, market, signalled, view
from pydantic import ValidationError

from polyhost import Abstain, Candle, Signal, View
from polyhost_plugins.indicators import Indicators

NOW_S = 600.0


def candles(
    closes: Sequence[float], *, volume: float = 1.0, end_s: float = NOW_S, wick: float = 0.0
) -> tuple[Candle, ...]:
    """Finished candles, the last of which ends at ``end_s``; each opens where the one before closed."""
    first = OPEN_MS + round(end_s * 1_000) - 60_000 * len(closes)
    opens = [closes[0], *closes[:-1]]
    return tuple(
        Candle(first + 60_000 * n, o, max(o, c) + wick, min(o, c) - wick, c, volume)
        for n, (o, c) in enumerate(zip(opens, closes, strict=True))
    )


def seen(*done: Candle, at_s: float = NOW_S + 5, symbol: str = "BTC") -> View:
    """With one candle begun."""
    begun = Candle(OPEN_MS + round(at_s * 1_000) // 60_000 * 60_000, 1.0, 9e9, 1.0, 9e9, 9e9)
    return view(at_s, candles=(*done, begun), market=market(symbol=symbol))


def walk(length: int, seed: int = 1, start: float = 80_000.0) -> list[float]:
    chance = random.Random(seed)
    closes = [start]
    for _ in range(length - 1):
        closes.append(closes[-1] * (1 + chance.gauss(0, 0.0005)))
    return closes


def steady(length: int, step: float) -> list[float]:
    return [80_000 * (1 + step * n) for n in range(length)]


def strength(signal: Signal) -> float:
    return signal.weight if signal.p_up >= 0.5 else -signal.weight


ONLY = {
    "adx": {"weight_adx": 1, "weight_rsi": 0, "weight_vwm": 0},
    "rsi": {"weight_adx": 0, "weight_rsi": 1, "weight_vwm": 0},
    "vwm": {"weight_adx": 0, "weight_rsi": 0, "weight_vwm": 1},
}


@pytest.mark.parametrize(("name", "needed"), [("adx", 28), ("rsi", 15), ("vwm", 20)])
def test_sig_03_each_answers_from_its_number_of_candles_on(name: str, needed: int) -> None:
    plugin = made(Indicators, **ONLY[name])
    assert isinstance(plugin.signal(seen(*candles(walk(needed)))), Signal)
    assert abstained(plugin.signal(seen(*candles(walk(needed - 1))))) == "too few candles without a gap"


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("name", ["adx", "rsi", "vwm"])
def test_sig_03_a_steady_trend_has_full_strength_in_its_direction(name: str, direction: int) -> None:
    """0.02 % a minute: ADX and RSI at their extremes, and 9.5 minutes' way from a mean of twenty."""
    signal = signalled(made(Indicators, **ONLY[name]).signal(seen(*candles(steady(40, direction * 0.0002)))))
    assert strength(signal) == pytest.approx(direction, abs=1e-6)


def test_sig_03_the_rsi_is_wilders() -> None:
    closes = walk(40)
    changes = [b - a for a, b in pairwise(closes)]
    gain = sum(max(c, 0) for c in changes[:13]) / 13
    loss = sum(max(-c, 0) for c in changes[:13]) / 13
    for change in changes[13:]:
        gain, loss = (gain * 13 + max(change, 0)) / 14, (loss * 13 + max(-change, 0)) / 14
    rsi = 100 - 100 / (1 + gain / loss)
    signal = signalled(made(Indicators, **ONLY["rsi"]).signal(seen(*candles(closes))))
    assert signal.features["rsi"] == pytest.approx(rsi)
    assert strength(signal) == pytest.approx((rsi - 50) / 20)


def wilders(done: Sequence[Candle], period: int = 14) -> tuple[float, float, float]:
    """ADX, DI+ and DI- as the book works them out: sums of the first ``period``, then a fourteenth out and one in."""
    pairs = list(pairwise(done))
    ranges = [max(b.high, a.close) - min(b.low, a.close) for a, b in pairs]
    moves = [(b.high - a.high, a.low - b.low) for a, b in pairs]
    ups = [up if up > max(down, 0) else 0.0 for up, down in moves]
    downs = [down if down > max(up, 0) else 0.0 for up, down in moves]

    def smoothed(values: list[float]) -> list[float]:
        found = [sum(values[:period])]
        for value in values[period:]:
            found.append(found[-1] - found[-1] / period + value)
        return found

    both = [
        (100 * up / move, 100 * down / move)
        for move, up, down in zip(smoothed(ranges), smoothed(ups), smoothed(downs), strict=True)
    ]
    apart = [100 * abs(up - down) / (up + down) for up, down in both]
    adx = sum(apart[:period]) / period
    for value in apart[period:]:
        adx = (adx * (period - 1) + value) / period
    return adx, *both[-1]


@pytest.mark.parametrize(("length", "seed"), [(28, 1), (29, 2), (40, 3), (59, 4)])
def test_sig_03_the_adx_is_wilders_and_the_direction_that_of_his_two_indicators(length: int, seed: int) -> None:
    done = candles(walk(length, seed=seed), wick=15)
    adx, up, down = wilders(done)
    signal = signalled(made(Indicators, **ONLY["adx"], adx_min=0, adx_full=100).signal(seen(*done)))
    assert signal.features["adx"] == pytest.approx(adx)
    assert signal.features["adx_strength"] == pytest.approx(adx / 100 * (up - down) / (up + down))


def test_sig_03_the_volume_weighted_momentum_is_the_last_close_against_its_mean() -> None:
    closes = walk(20)
    done = tuple(
        Candle(c.start, c.open, c.high, c.low, c.close, float(n % 5)) for n, c in enumerate(candles(closes))
    )
    mean = sum(c.close * c.volume for c in done) / sum(c.volume for c in done)
    signal = signalled(made(Indicators, **ONLY["vwm"]).signal(seen(*done)))
    assert signal.features["vwm"] == pytest.approx(closes[-1] / mean - 1)


@pytest.mark.parametrize("full", [0.0018, 0.0020])
def test_sig_03_the_volume_weighted_momentum_is_measured_by_its_full_strength(full: float) -> None:
    """0.02 % a minute is 0.19 % from the mean of twenty: just beyond the one, not quite the other."""
    signal = signalled(made(Indicators, **ONLY["vwm"], vwm_full=full).signal(seen(*candles(steady(20, 0.0002)))))
    assert signal.features["vwm"] == pytest.approx(0.0019, rel=0.01)
    assert strength(signal) == pytest.approx(min(signal.features["vwm"] / full, 1.0))
    assert (strength(signal) == pytest.approx(1.0)) is (full == 0.0018)


@pytest.mark.parametrize(("least", "full", "share"), [(20, 40, 1.0), (99, 100, 1.0), (0, 100, 1.0)])
def test_sig_03_an_unbroken_trend_has_an_adx_of_100(least: float, full: float, share: float) -> None:
    plugin = made(Indicators, **ONLY["adx"], adx_min=least, adx_full=full)
    signal = signalled(plugin.signal(seen(*candles(steady(40, 0.0002)))))
    assert signal.features["adx"] == pytest.approx(100)
    assert strength(signal) == pytest.approx(share)


def test_sig_03_below_the_least_adx_there_is_no_trend_and_between_it_grows() -> None:
    closes = walk(45, seed=3)
    plain = signalled(made(Indicators, **ONLY["adx"]).signal(seen(*candles(closes, wick=20))))
    adx = plain.features["adx"]
    assert 0 < adx < 99
    none = made(Indicators, **ONLY["adx"], adx_min=adx, adx_full=100).signal(seen(*candles(closes, wick=20)))
    assert signalled(none).p_up == 0.5
    whole = signalled(made(Indicators, **ONLY["adx"], adx_min=0, adx_full=adx).signal(seen(*candles(closes, wick=20))))
    half = signalled(made(Indicators, **ONLY["adx"], adx_min=0, adx_full=min(2 * adx, 100)).signal(
        seen(*candles(closes, wick=20))
    ))
    assert strength(half) == pytest.approx(strength(whole) * adx / min(2 * adx, 100))


def test_sig_03_the_unfinished_candle_is_no_candle() -> None:
    closes = walk(40)
    plugin = made(Indicators)
    one = plugin.signal(seen(*candles(closes)))
    finished = view(NOW_S, candles=candles(closes))
    assert plugin.signal(finished) == one
    assert made(Indicators).signal(view(NOW_S - 0.001, candles=candles(closes))) != one


def test_sig_03_without_volume_there_is_no_volume_weighted_mean_and_the_others_answer() -> None:
    signal = signalled(made(Indicators).signal(seen(*candles(walk(40), volume=0.0))))
    assert {"adx", "rsi"} <= set(signal.features)
    assert "vwm" not in signal.features
    assert abstained(made(Indicators, **ONLY["vwm"]).signal(seen(*candles(walk(40), volume=0.0))))


def test_sig_03_a_price_that_does_not_move_is_no_rsi_of_100() -> None:
    assert abstained(made(Indicators).signal(seen(*candles([80_000.0] * 40)))) == "no movement in the candles"


def test_sig_03_candles_after_a_gap_count_alone() -> None:
    old, new = candles(walk(30), end_s=NOW_S - 60 * 16), candles(walk(15, seed=2))
    one = signalled(made(Indicators).signal(seen(*old, *new)))
    assert one == signalled(made(Indicators).signal(seen(*new)))
    assert set(one.features) == {"rsi", "rsi_strength"}


@pytest.mark.parametrize(("at_s", "fresh"), [(NOW_S + 120, True), (NOW_S + 120.001, False)])
def test_sig_03_candles_older_than_two_minutes_are_none(at_s: float, fresh: bool) -> None:
    answer = made(Indicators).signal(view(at_s, candles=candles(walk(40))))
    assert isinstance(answer, Signal) is fresh
    if not fresh:
        assert abstained(answer) == "the candles are too old"


def test_sig_03_no_candles_at_all_is_an_abstention() -> None:
    assert abstained(made(Indicators).signal(view(NOW_S))) == "no finished candles"


def test_sig_03_the_answer_is_kept_for_its_candles_and_never_for_others() -> None:
    """A pure function of the candles: also when a candle in the middle is corrected, or another symbol asks."""
    plugin = made(Indicators)
    done = candles(walk(40))
    corrected = (*done[:20], Candle(done[20].start, *(done[20].open,) * 3, done[20].close * 1.01, 1.0), *done[21:])
    others = candles(walk(40, seed=9))
    for given_candles, symbol in ((done, "BTC"), (corrected, "BTC"), (others, "ETH"), (done, "BTC"), (others, "BTC")):
        now = seen(*given_candles, symbol=symbol)
        assert plugin.signal(now) == made(Indicators).signal(now)


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=59), st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_sig_03_whatever_the_candles_say_the_answer_is_a_probability(
    closes: list[float], volume: float, scale: float
) -> None:
    answer = made(Indicators).signal(seen(*candles([close * scale for close in closes], volume=volume)))
    if not isinstance(answer, Abstain):
        answer = signalled(answer)
        assert 0 < answer.p_up < 1
        assert 0 <= answer.weight <= 1
        assert all(value == value and abs(value) < 1e12 for value in answer.features.values())


def test_sig_03_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"weight_adx": 0, "weight_rsi": 0, "weight_vwm": 0}, {"adx_min": 40}, {"adx_period": 30}):
        with pytest.raises(ValidationError):
            made(Indicators, **wrong)
    assert made(Indicators, adx_min=39.9, adx_period=29)
