"""The Bayesian combiner: prior, factors, dependence, the scale of its confidence, and what it learns."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import (
    OPEN_MS,
    abstained,
    estimated,
    made,
    market,
    signalled,
    steady_candles,
    steady_mids,
    view,
)
from pydantic import ValidationError

from polyhost import Bias, Estimate, MarketSettled, Side, Signal, View
from polyhost.extension.specification import implementations
from polyhost.extension.state import PluginState
from polyhost.extension.telling import told
from polyhost_plugins.bayesian import SAMPLES_MAX, Bayesian
from polyhost_plugins.binance_momentum import BinanceMomentum
from polyhost_plugins.polymarket_momentum import PolymarketMomentum

SPOT, MARKET, FLOW = "binance_momentum", "polymarket_momentum", "order_flow"
FULL = 0.98**0.5
"""Strength of ``Signal.of_direction`` at full strength."""


def leaning(direction: int, strength: float) -> Signal:
    return Signal.of_direction(direction, strength)


def combined(*signals: tuple[str, Signal], up: str = "0.49/0.51", **settings: object) -> Estimate:
    return estimated(made(Bayesian, **settings).combine(view(up=up), signals))


def odds(p: float) -> float:
    return p / (1 - p)


def test_sig_08_without_signals_the_posterior_is_the_markets_price() -> None:
    estimate = combined(up="0.60/0.63")
    assert estimate.p_up == pytest.approx(0.615)
    assert estimate.parts == {"prior": 0.615, "posterior": estimate.p_up}
    assert estimate.bias is Bias.UP


@pytest.mark.parametrize("up", ["0.50/", "/0.50", "/", "0.51/0.51", "0.52/0.51"])
def test_sig_08_without_a_complete_quote_there_is_no_prior_and_no_estimate(up: str) -> None:
    assert "no prior" in abstained(made(Bayesian).combine(view(up=up), ((SPOT, leaning(1, 1.0)),)))


def test_sig_08_a_full_signal_multiplies_the_odds_by_3_to_the_power_of_its_reliability() -> None:
    estimate = combined((SPOT, leaning(1, 1.0)), up="0.60/0.62")
    assert odds(estimate.p_up) == pytest.approx(odds(0.61) * 3 ** (0.5 * FULL))
    assert estimate.parts[SPOT] == pytest.approx(3 ** (0.5 * FULL))
    estimate = combined((SPOT, leaning(-1, 0.5)), up="0.60/0.62", ratio_max=2)
    assert odds(estimate.p_up) == pytest.approx(odds(0.61) / 2 ** (0.25 * FULL))


def test_sig_08_the_default_reliabilities_are_those_of_the_requirements() -> None:
    settings = made(Bayesian).settings
    assert settings.reliability == {
        "divergence": 0.5, "binance_momentum": 0.5, "polymarket_momentum": 0.3, "order_flow": 0.3, "indicators": 0.2,
        "sentiment": 0.1,
    }
    assert settings.dependence_discount == 0.7
    assert not settings.learning


def test_sig_08_further_signals_of_a_direction_count_0_7_and_the_weightiest_counts_whole() -> None:
    estimate = combined((FLOW, leaning(1, 1.0)), (SPOT, leaning(1, 1.0)), (MARKET, leaning(-1, 1.0)))
    assert estimate.parts[SPOT] == pytest.approx(3 ** (0.5 * FULL))
    assert estimate.parts[FLOW] == pytest.approx(3 ** (0.3 * 0.7 * FULL))
    assert estimate.parts[MARKET] == pytest.approx(3 ** (-0.3 * FULL)), "the only one of its direction"


def test_sig_08_the_weightiest_is_the_one_whose_evidence_times_reliability_is_most() -> None:
    estimate = combined((SPOT, leaning(-1, 0.5)), (FLOW, leaning(-1, 1.0)))
    assert estimate.parts[FLOW] == pytest.approx(3 ** (-0.3 * FULL))
    assert estimate.parts[SPOT] == pytest.approx(3 ** (-0.5 * 0.5 * 0.7 * FULL))


def test_sig_08_the_parts_are_prior_each_factor_and_posterior_and_multiply_up() -> None:
    estimate = combined((SPOT, leaning(1, 0.8)), (MARKET, leaning(1, 0.4)), (FLOW, leaning(-1, 0.3)), up="0.40/0.42")
    assert list(estimate.parts) == ["prior", SPOT, MARKET, FLOW, "posterior"]
    factors = estimate.parts[SPOT] * estimate.parts[MARKET] * estimate.parts[FLOW]
    assert odds(estimate.parts["posterior"]) == pytest.approx(odds(estimate.parts["prior"]) * factors)
    assert estimate.reason == f"prior 0.4100, posterior {estimate.p_up:.4f}"


def test_sig_08_signals_without_a_reliability_are_ignored_and_names_given_are_laid_over_the_shipped() -> None:
    assert combined(("mine", leaning(1, 1.0))).p_up == pytest.approx(0.5)
    mine = combined(("mine", leaning(1, 1.0)), reliability={"mine": 0.4})
    assert mine.parts["mine"] == pytest.approx(3 ** (0.4 * FULL))
    assert SPOT not in combined((SPOT, leaning(1, 1.0)), reliability={SPOT: 0}).parts
    assert combined((SPOT, leaning(1, 1.0)), reliability={"mine": 0.4}).parts[SPOT] > 1


@pytest.mark.parametrize(
    "wrong", [{"reliability": {SPOT: 1.01}}, {"reliability": {SPOT: -0.01}}, {"ratio_max": 1}, {"learning_at": 0.76}]
)
def test_sig_08_settings_that_make_no_sense_are_refused(wrong: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError):
        made(Bayesian, **wrong)
    assert made(Bayesian, reliability={SPOT: 1.0}, ratio_max=1.01, learning_at=0.75)


# --- the scale --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("up", "bias"), [("0.51/0.53", Bias.NONE), ("0.52/0.54", Bias.UP), ("0.46/0.48", Bias.DOWN)])
def test_sig_10_a_confidence_below_the_least_has_no_bias(up: str, bias: Bias) -> None:
    assert combined(up=up).bias is bias


names = st.sampled_from([SPOT, MARKET, FLOW, "divergence", "sentiment", "indicators", "mine"])
opinions = st.builds(Signal, st.floats(0.001, 0.999), st.floats(0, 1))
some = st.dictionaries(names, opinions)


@given(signals=some, bid=st.integers(1, 9_998), spread=st.integers(1, 9_998), ratio=st.floats(1.01, 100))
def test_sig_10_confidence_is_abs_2p_minus_1_within_0_and_1_whatever_is_said(
    signals: dict[str, Signal], bid: int, spread: int, ratio: float
) -> None:
    quoted = f"{bid / 10_000:.4f}/{min(bid + spread, 9_999) / 10_000:.4f}"
    plugin = made(Bayesian, ratio_max=ratio, reliability={"mine": 1.0})
    estimate = estimated(plugin.combine(view(up=quoted), tuple(signals.items())))
    assert 0 < estimate.p_up < 1
    assert 0 <= estimate.confidence <= 1
    assert estimate.confidence == abs(2 * estimate.p_up - 1)
    assert estimate.bias in ((Bias.NONE, Bias.UP) if estimate.p_up >= 0.5 else (Bias.NONE, Bias.DOWN))


@given(signals=some, bid=st.integers(1, 9_900), spread=st.integers(1, 99))
def test_sig_10_the_mirrored_market_gives_the_mirrored_estimate(
    signals: dict[str, Signal], bid: int, spread: int
) -> None:
    mirrored = {name: Signal(1 - signal.p_up, signal.weight) for name, signal in signals.items()}
    low, high = bid / 10_000, (bid + spread) / 10_000
    plugin = made(Bayesian)
    one = estimated(plugin.combine(view(up=f"{low:.4f}/{high:.4f}"), tuple(signals.items())))
    other = estimated(plugin.combine(view(up=f"{1 - high:.4f}/{1 - low:.4f}"), tuple(mirrored.items())))
    assert other.p_up == pytest.approx(1 - one.p_up, abs=1e-9)


@given(signals=some, name=st.sampled_from([SPOT, FLOW]), strength=st.floats(0.05, 1))
def test_sig_08_a_signal_up_never_lowers_the_posterior_below_one_without_discount(
    signals: dict[str, Signal], name: str, strength: float
) -> None:
    """With independent witnesses (no discount) each one moves the posterior its own way."""
    plugin = made(Bayesian, dependence_discount=1.0)
    without = {other: signal for other, signal in signals.items() if other != name}
    one = estimated(plugin.combine(view(), tuple(without.items())))
    more = estimated(plugin.combine(view(), (*without.items(), (name, leaning(1, strength)))))
    assert more.p_up > one.p_up


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
    spot, moved = signalled(made(BinanceMomentum).signal(seen)), signalled(made(PolymarketMomentum).signal(seen))
    return estimated(made(Bayesian).combine(seen, ((SPOT, spot), (MARKET, moved))))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("mid_change", [0.15, 0.25])
@pytest.mark.parametrize(
    ("minutes", "at_s"), [(5, 60), (5, 120), (5, 180), (5, 240), (15, 90), (15, 180), (15, 300), (15, 450), (15, 600)]
)
def test_sig_10_a_clear_trend_has_a_confidence_of_0_40_to_0_75(
    minutes: int, at_s: float, mid_change: float, direction: int
) -> None:
    """Spot 0.2 % from the open, and the market followed: both agree."""
    estimate = of_both(trending(at_s, direction * 0.002, direction * mid_change, minutes))
    assert 0.40 <= estimate.confidence <= 0.75
    assert estimate.bias is (Bias.UP if direction > 0 else Bias.DOWN)


@pytest.mark.parametrize(("minutes", "at_s"), [(5, 60), (5, 120), (5, 240), (15, 90), (15, 300), (15, 600)])
@pytest.mark.parametrize("spot_move", [-0.0004, -0.0001, 0.0, 0.0002, 0.0004])
@pytest.mark.parametrize("mid_change", [-0.02, 0.0, 0.02])
def test_sig_10_noise_has_a_confidence_below_0_30(
    minutes: int, at_s: float, spot_move: float, mid_change: float
) -> None:
    """A few hundredths of a percent and two cents, whichever way."""
    assert of_both(trending(at_s, spot_move, mid_change, minutes)).confidence < 0.30


# --- learning ---------------------------------------------------------------------------------------------------------


class Life:
    """A combiner with durable state; ``reborn`` is the same after a restart, which knows the state alone."""

    def __init__(self, state: PluginState | None = None, **settings: object) -> None:
        self.settings: dict[str, object] = {"learning": True} | settings
        self.plugin = made(Bayesian, **self.settings)
        self.state = state or PluginState("bayesian")
        self.plugin.state = self.state
        self.bound = implementations(self.plugin, "bayesian")
        self.said = [notice.text for notice in self._told("start").notices]

    def reborn(self, **settings: object) -> Life:
        state = PluginState("bayesian", self.state.texts())
        return Life(state, **(self.settings | settings))

    def _told(self, hook: str, **facts: object):  # type: ignore[no-untyped-def]
        telling = told(self.bound[hook], self.state, facts)
        assert telling.problem == ""
        return telling

    def evaluate(self, at_s: float, *signals: tuple[str, Signal], number: int = 1, up: str = "0.49/0.51") -> Estimate:
        seen = view(at_s, up=up, market=market(condition_id=f"0x{number:02}"))
        return estimated(self.plugin.combine(seen, signals))

    def timer(self) -> None:
        self._told("on_timer", at=OPEN_MS)

    def settle(self, winner: Side | None, number: int = 1) -> None:
        about = market(condition_id=f"0x{number:02}")
        result = MarketSettled(OPEN_MS + 900_000, about.condition_id, winner, None, "venue")
        self._told("on_settlement", market=about, result=result, closes=(), at=OPEN_MS + 900_000)

    def window(self, winner: Side | None, *signals: tuple[str, Signal], number: int = 1) -> None:
        """A whole window."""
        self.evaluate(450, *signals, number=number)
        self.timer()
        self.settle(winner, number)

    def learned(self) -> dict[str, dict[str, float]]:
        return self.state.get("learned", {"signals": {}})["signals"]


RIGHT = (SPOT, leaning(1, 1.0))


def test_sig_08_a_signal_that_was_right_gains_one_that_was_wrong_loses_and_the_silent_stays() -> None:
    life = Life()
    life.window(Side.UP, RIGHT, (FLOW, leaning(-1, 1.0)), (MARKET, Signal(0.5, 1.0)))
    learned = life.learned()
    assert learned[SPOT]["reliability"] > 0.5
    assert learned[FLOW]["reliability"] < 0.3
    assert learned[MARKET] == {"start": 0.3, "reliability": 0.3, "precision": 5.0, "windows": 0}
    assert learned[SPOT]["windows"] == 1


def test_sig_08_the_step_is_the_one_that_is_documented() -> None:
    life = Life()
    life.window(Side.UP, RIGHT)
    x = FULL * log(3)
    p = 1 / (1 + exp(-0.5 * x))
    precision = 5 + p * (1 - p) * x * x
    assert life.learned()[SPOT]["precision"] == pytest.approx(precision)
    assert life.learned()[SPOT]["reliability"] == pytest.approx(0.5 + (1 - p) * x / precision)


def test_sig_08_what_was_learned_is_used_shown_and_survives_a_restart() -> None:
    life = Life()
    before = life.evaluate(10, RIGHT, number=9)
    life.window(Side.UP, RIGHT)
    after = life.evaluate(10, RIGHT, number=9)
    assert after.parts[SPOT] > before.parts[SPOT]
    assert life.plugin.metrics["reliability_binance_momentum"] == life.learned()[SPOT]["reliability"]
    assert life.reborn().evaluate(10, RIGHT, number=9) == after


def test_sig_08_learning_is_off_by_default_and_what_was_learned_is_then_kept_and_not_used() -> None:
    life = Life()
    life.window(Side.UP, RIGHT)
    off = life.reborn(learning=False)
    assert off.evaluate(10, RIGHT, number=9).parts[SPOT] == pytest.approx(3 ** (0.5 * FULL))
    kept = off.state.texts()
    off.window(Side.UP, RIGHT, number=2)
    assert off.state.texts() == kept


@pytest.mark.parametrize(("at_s", "sampled"), [(449.9, False), (450.0, True), (675.0, True), (675.1, False)])
def test_sig_08_a_window_is_sampled_at_half_its_length_and_not_after_three_quarters(at_s: float, sampled: bool) -> None:
    life = Life()
    life.evaluate(at_s, RIGHT)
    life.timer()
    assert [key for key in life.state if key.startswith("sample:")] == (["sample:0x01"] if sampled else [])
    life.settle(Side.UP)
    assert bool(life.learned()) is sampled


def test_sig_08_the_first_evaluation_of_its_moment_is_the_sample() -> None:
    life = Life()
    life.evaluate(450, RIGHT)
    life.evaluate(451, (SPOT, leaning(-1, 1.0)))
    life.settle(Side.UP)
    assert life.learned()[SPOT]["reliability"] > 0.5


def test_sig_08_a_sample_survives_a_restart_once_the_timer_made_it_durable() -> None:
    life = Life()
    life.evaluate(450, RIGHT)
    life.timer()
    life = life.reborn()
    life.evaluate(451, (SPOT, leaning(-1, 1.0)))
    life.timer()
    life.settle(Side.UP)
    assert life.learned()[SPOT]["reliability"] > 0.5
    assert not [key for key in life.state if key.startswith("sample:")]


def test_sig_08_a_result_teaches_once_and_a_split_or_unsampled_one_nothing() -> None:
    life = Life()
    life.window(Side.UP, RIGHT)
    learned = life.learned()
    life.settle(Side.UP)
    life.settle(Side.UP, number=7)
    life.window(None, RIGHT, number=2)
    assert life.learned() == learned
    assert not [key for key in life.state if key.startswith("sample:")]


def test_sig_08_a_reliability_stays_within_its_bounds() -> None:
    life = Life(learning_precision=0.01, reliability_max=0.8)
    life.window(Side.UP, RIGHT, (FLOW, leaning(-1, 1.0)))
    assert life.learned()[SPOT]["reliability"] == 0.8
    assert life.learned()[FLOW]["reliability"] == 0.0


@given(results=st.lists(st.tuples(st.booleans(), st.floats(-1, 1)), max_size=40))
def test_sig_08_learning_is_bounded_and_steadier_with_every_window(results: list[tuple[bool, float]]) -> None:
    life = Life()
    precision = 5.0
    for number, (won, said) in enumerate(results):
        life.window(Side.UP if won else Side.DOWN, (SPOT, leaning(1 if said > 0 else -1, abs(said))), number=number)
        known = life.learned()[SPOT]
        assert 0 <= known["reliability"] <= 1
        assert known["precision"] >= precision
        precision = known["precision"]


def test_sig_08_a_setting_that_changed_starts_its_signal_anew_and_leaves_the_others() -> None:
    life = Life()
    life.window(Side.UP, RIGHT, (FLOW, leaning(1, 1.0)))
    life = life.reborn(reliability={SPOT: 0.4})
    life.window(Side.UP, (FLOW, leaning(1, 1.0)), number=2)
    assert life.learned()[SPOT] == {"start": 0.4, "reliability": 0.4, "precision": 5.0, "windows": 0}
    assert life.learned()[FLOW]["windows"] == 2


def test_sig_08_state_of_another_version_is_told_and_left_alone() -> None:
    texts = {"learned": '{"version":2,"signals":"whatever"}'}
    life = Life(PluginState("bayesian", texts))
    assert life.said == [
        "bayesian keeps state of version 2, this one knows 1: it trades by its settings and learns nothing"
    ]
    life.window(Side.UP, RIGHT)
    assert life.state.texts() == texts
    assert life.evaluate(10, RIGHT, number=9).parts[SPOT] == pytest.approx(3 ** (0.5 * FULL))


def test_sig_08_samples_that_are_never_settled_are_bounded() -> None:
    life = Life()
    for number in range(SAMPLES_MAX + 3):
        life.evaluate(450, RIGHT, number=number)
        life.timer()
    kept = [key for key in life.state if key.startswith("sample:")]
    assert len(kept) == SAMPLES_MAX
    assert "sample:0x02" not in kept
    assert "sample:0x03" in kept


def test_sig_08_a_market_without_a_window_is_not_sampled() -> None:
    life = Life()
    life.plugin.combine(view(450, market=market(start=None, duration_s=0)), (RIGHT,))
    life.timer()
    assert not list(life.state)
