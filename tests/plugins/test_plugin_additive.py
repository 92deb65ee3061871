"""The additive combiner: weights, agreement, opposition, and the scale of its confidence."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import abstained, estimated, made, signalled, steady_candles, steady_mids, view
from pydantic import ValidationError

from polyhost import Abstain, Bias, Estimate, Signal, View
from polyhost_plugins.additive import Additive
from polyhost_plugins.binance_momentum import BinanceMomentum
from polyhost_plugins.polymarket_momentum import PolymarketMomentum

SPOT, MARKET, FLOW = "binance_momentum", "polymarket_momentum", "order_flow"


def leaning(direction: int, strength: float) -> Signal:
    return Signal.of_direction(direction, strength)


def combined(*signals: tuple[str, Signal], **settings: object) -> Estimate:
    return estimated(made(Additive, **settings).combine(view(), signals))


def logistic(score: float) -> float:
    return 1 / (1 + exp(-score))


def test_sig_07_one_signal_is_multiplied_by_1_5_and_its_weight_renormalised_away() -> None:
    for name in (SPOT, FLOW):
        assert combined((name, leaning(1, 0.6))).p_up == pytest.approx(logistic(1.5 * 0.6 * 0.98**0.5))


def test_sig_07_the_default_weights_are_those_of_the_requirements() -> None:
    assert made(Additive).settings.weights == {
        "binance_momentum": 0.35, "polymarket_momentum": 0.20, "indicators": 0.15, "order_flow": 0.15,
        "divergence": 0.15, "sentiment": 0.05,
    }


def test_sig_07_weights_are_renormalised_over_those_that_answer() -> None:
    estimate = combined((SPOT, leaning(1, 0.8)), (FLOW, leaning(1, 0.2)))
    mean = (0.35 * 0.8 + 0.15 * 0.2) / 0.50 * 0.98**0.5
    assert estimate.p_up == pytest.approx(logistic(1.5 * mean))
    assert sum(estimate.parts.values()) == pytest.approx(mean)


def test_sig_07_an_opposing_signal_counts_a_tenth() -> None:
    estimate = combined((SPOT, leaning(1, 0.8)), (FLOW, leaning(-1, 0.8)))
    root = 0.98**0.5
    assert estimate.parts[SPOT] == pytest.approx(0.7 * 0.8 * root)
    assert estimate.parts[FLOW] == pytest.approx(-0.3 * 0.8 * root * 0.1)


def test_sig_07_spot_and_market_that_agree_count_1_2_and_that_diverge_0_8() -> None:
    def score(market_direction: int) -> tuple[float, float]:
        estimate = combined((SPOT, leaning(1, 0.5)), (MARKET, leaning(market_direction, 0.5)))
        return sum(estimate.parts.values()), estimate.p_up

    agreed, p_agreed = score(1)
    assert p_agreed == pytest.approx(logistic(agreed * 1.5 * 1.2))
    diverged, p_diverged = score(-1)
    assert p_diverged == pytest.approx(logistic(diverged * 1.5 * 0.8))


@pytest.mark.parametrize(("strength", "factor"), [(0.049, 1.0), (0.051, 1.2)])
def test_sig_07_a_trend_too_weak_neither_agrees_nor_diverges(strength: float, factor: float) -> None:
    estimate = combined((SPOT, leaning(1, 0.5)), (MARKET, leaning(1, strength)))
    assert estimate.p_up == pytest.approx(logistic(sum(estimate.parts.values()) * 1.5 * factor))


def test_sig_07_signals_without_a_weight_are_ignored_and_alone_give_no_estimate() -> None:
    known = combined((SPOT, leaning(1, 0.5)))
    assert combined((SPOT, leaning(1, 0.5)), ("mine", leaning(-1, 1.0))).p_up == known.p_up
    assert abstained(made(Additive).combine(view(), (("mine", leaning(1, 1.0)),)))
    assert abstained(made(Additive).combine(view(), ()))


def test_sig_07_weights_given_are_laid_over_the_shipped_ones() -> None:
    plugin = made(Additive, weights={"mine": 0.2, FLOW: 0.0})
    assert plugin.settings.weights["mine"] == 0.2
    assert plugin.settings.weights[SPOT] == 0.35
    assert abstained(plugin.combine(view(), ((FLOW, leaning(1, 1.0)),)))


def test_sig_07_weights_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="0 or more"):
        made(Additive, weights={SPOT: -0.1})
    nothing = dict.fromkeys(made(Additive).settings.weights, 0.0)
    with pytest.raises(ValidationError, match="never answer"):
        made(Additive, weights=nothing)


def test_a_signal_of_direction_has_the_strength_it_was_given_and_distrust_weakens_any() -> None:
    assert leaning(-1, 0.5).strength == pytest.approx(-0.5 * 0.98**0.5)
    assert Signal(0.9, 1.0).strength == pytest.approx(0.8**0.5)
    assert Signal(0.9, 0.25).strength == pytest.approx(0.8**0.5 / 2)
    assert Signal(0.9, 0.0).strength == 0
    assert Signal(0.5, 1.0).strength == 0


@pytest.mark.parametrize(("direction", "bias"), [(1, Bias.UP), (-1, Bias.DOWN), (0, Bias.NONE)])
def test_sig_10_bias_is_up_down_or_none(direction: int, bias: Bias) -> None:
    assert combined((SPOT, leaning(direction, 0.5))).bias is bias


def test_sig_10_a_confidence_below_the_least_has_no_bias() -> None:
    estimate = combined((SPOT, leaning(1, 0.06)))
    assert 0 < estimate.confidence < 0.05
    assert estimate.bias is Bias.NONE
    estimate = combined((SPOT, leaning(1, 0.08)))
    assert estimate.confidence >= 0.05
    assert estimate.bias is Bias.UP


names = st.sampled_from([SPOT, MARKET, FLOW, "divergence", "sentiment", "indicators", "mine"])
opinions = st.builds(Signal, st.floats(0.001, 0.999), st.floats(0, 1))


@given(signals=st.dictionaries(names, opinions, min_size=1), multiplier=st.floats(0.01, 1e6))
def test_sig_10_confidence_is_abs_2p_minus_1_within_0_and_1_whatever_the_signals_say(
    signals: dict[str, Signal], multiplier: float
) -> None:
    estimate = made(Additive, multiplier=multiplier).combine(view(), tuple(signals.items()))
    if isinstance(estimate, Abstain):
        assert set(signals) == {"mine"}
        return
    assert 0 < estimate.p_up < 1
    assert estimate.confidence == abs(2 * estimate.p_up - 1)
    assert estimate.bias in ((Bias.NONE, Bias.UP) if estimate.p_up >= 0.5 else (Bias.NONE, Bias.DOWN))


@given(signals=st.dictionaries(names, opinions, min_size=1))
def test_sig_10_the_mirrored_market_gives_the_mirrored_estimate(signals: dict[str, Signal]) -> None:
    mirrored = {name: Signal(1 - signal.p_up, signal.weight) for name, signal in signals.items()}
    plugin = made(Additive)
    one, other = plugin.combine(view(), tuple(signals.items())), plugin.combine(view(), tuple(mirrored.items()))
    assert type(one) is type(other)
    if isinstance(one, Estimate) and isinstance(other, Estimate):
        assert other.p_up == pytest.approx(1 - one.p_up, abs=1e-9)


def trending(at_s: float, spot_move: float, mid_change: float, minutes: int) -> View:
    """Spot and midpoint moved evenly since the open."""
    mid = 5_000 + round(10_000 * mid_change)
    return view(
        at_s,
        minutes=minutes,
        up=f"{(mid - 50) / 10_000:.4f}/{(mid + 50) / 10_000:.4f}",
        spot=80_000 * (1 + spot_move),
        spot_open=80_000.0,
        candles=steady_candles(at_s, start=80_000.0, move=spot_move, over_s=at_s),
        mids=steady_mids(at_s, change=mid_change, over_s=at_s),
    )


def of_both(seen: View) -> Estimate:
    spot, market = made(BinanceMomentum).signal(seen), made(PolymarketMomentum).signal(seen)
    return combined((SPOT, signalled(spot)), (MARKET, signalled(market)))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    ("minutes", "at_s"), [(5, 60), (5, 120), (5, 180), (5, 240), (15, 90), (15, 180), (15, 300), (15, 450), (15, 600)]
)
def test_sig_10_a_clear_trend_has_a_confidence_of_0_40_to_0_75(minutes: int, at_s: float, direction: int) -> None:
    """Spot 0.2 % from the open, and the market followed by 0.25: both agree."""
    estimate = of_both(trending(at_s, direction * 0.002, direction * 0.25, minutes))
    assert 0.40 <= estimate.confidence <= 0.75
    assert estimate.bias is (Bias.UP if direction > 0 else Bias.DOWN)
    assert "trends agree" in estimate.reason


@pytest.mark.parametrize(("minutes", "at_s"), [(5, 60), (5, 120), (5, 240), (15, 90), (15, 300), (15, 600)])
@pytest.mark.parametrize("spot_move", [-0.0004, -0.0001, 0.0, 0.0002, 0.0004])
@pytest.mark.parametrize("mid_change", [-0.02, 0.0, 0.02])
def test_sig_10_noise_has_a_confidence_below_0_30(
    minutes: int, at_s: float, spot_move: float, mid_change: float
) -> None:
    """A few hundredths of a percent and two cents, whichever way."""
    assert of_both(trending(at_s, spot_move, mid_change, minutes)).confidence < 0.30
