"""Sentiment: both sides of each threshold, and every way to have nothing to say."""

from __future__ import annotations

import pytest
from plugin_builders import made, market, view
from pydantic import ValidationError

from polyhost import Abstain, Reading, Signal, View
from polyhost_plugins.sentiment import Sentiment, SentimentSettings

ORDINARY = 0.0001


def seen(
    *, funding: float | None = None, index: float | None = None, funding_age_s: float = 1.0,
    index_age_s: float = 40_000.0,
) -> View:
    now = view().now
    readings = []
    if funding is not None:
        readings.append(Reading("funding.BTC", funding, now - round(funding_age_s * 1_000), "binance_futures"))
    if index is not None:
        readings.append(Reading("fear_greed", index, now - round(index_age_s * 1_000), "fear_greed"))
    return view(feeds=tuple(readings))


def strength(answer: object) -> float:
    """Signed, as the plugin meant it."""
    assert isinstance(answer, Signal), answer
    return round(answer.strength / 0.98**0.5, 6)


def ask(**told: float) -> Signal | Abstain:
    return made(Sentiment).signal(seen(**told))


@pytest.mark.parametrize(
    ("funding", "lean"),
    [
        (0.0003, -0.2), (-0.0001, 0.2), (0.0011, -1.0), (0.0012, -1.0), (0.003, -1.0), (-0.0009, 1.0), (-0.003, 1.0),
        (0.0006, -0.5),
    ],
)
def test_sig_06_a_funding_rate_off_the_usual_one_leans_against_the_crowd(funding: float, lean: float) -> None:
    assert strength(ask(funding=funding)) == pytest.approx(lean * 0.3)


@pytest.mark.parametrize("funding", [ORDINARY, 0.00029999, -0.00009999, 0.0])
def test_sig_06_an_ordinary_funding_rate_says_nothing(funding: float) -> None:
    assert ask(funding=funding) == Abstain(f"funding {funding:g}: ordinary")


@pytest.mark.parametrize(
    ("index", "lean"),
    [(25.0, 0.5), (24.0, 0.52), (0.0, 1.0), (75.0, -0.5), (76.0, -0.52), (100.0, -1.0), (140.0, -1.0)],
)
def test_sig_06_fear_leans_up_and_greed_down(index: float, lean: float) -> None:
    assert strength(ask(index=index)) == pytest.approx(lean * 0.3)


@pytest.mark.parametrize("index", [26.0, 50.0, 74.0])
def test_sig_06_a_middling_index_says_nothing(index: float) -> None:
    assert ask(index=index) == Abstain(f"fear_greed {index:g}: ordinary")


def test_sig_06_both_are_weighed_and_an_ordinary_one_counts_as_even() -> None:
    assert strength(ask(funding=0.0011, index=0.0)) == pytest.approx((-0.6 + 0.4) * 0.3)
    assert strength(ask(funding=ORDINARY, index=0.0)) == pytest.approx(0.4 * 0.3)
    assert strength(ask(funding=0.0011, index=50.0)) == pytest.approx(-0.6 * 0.3)


def test_sig_06_leans_that_cancel_out_are_no_signal() -> None:
    even = made(Sentiment, weight_funding=1.0, weight_fear_greed=1.0)
    assert even.signal(seen(funding=0.0011, index=0.0)) == Abstain("funding 0.0011, fear_greed 0: ordinary")


@pytest.mark.parametrize(("age_s", "used"), [(600.0, True), (600.001, False)])
def test_sig_06_a_funding_rate_is_used_up_to_its_age(age_s: float, used: bool) -> None:
    answer = ask(funding=0.0011, funding_age_s=age_s)
    assert isinstance(answer, Signal) is used


@pytest.mark.parametrize(("age_s", "used"), [(172_800.0, True), (172_800.001, False)])
def test_sig_06_an_index_is_used_up_to_its_age(age_s: float, used: bool) -> None:
    assert isinstance(ask(index=0.0, index_age_s=age_s), Signal) is used


def test_sig_06_without_readings_it_abstains_and_says_so() -> None:
    nothing = Abstain("no funding rate and no Fear & Greed Index that is fresh enough")
    assert ask() == nothing
    assert ask(funding=0.0011, funding_age_s=601.0, index=0.0, index_age_s=172_801.0) == nothing
    other = made(Sentiment).signal(view(feeds=seen(funding=0.0011).feeds, market=market(symbol="ETH")))
    assert other == nothing, "another symbol's funding"
    plain = made(Sentiment).signal(view(feeds=seen(funding=0.0011).feeds, market=market(symbol="")))
    assert plain == nothing, "a market without a symbol"


def test_sig_06_what_has_no_weight_is_not_looked_at() -> None:
    deaf = made(Sentiment, weight_funding=0.0)
    assert isinstance(deaf.signal(seen(funding=0.0011)), Abstain)
    assert strength(deaf.signal(seen(funding=0.0011, index=0.0))) == pytest.approx(0.3)


def test_sig_06_the_features_tell_values_and_ages() -> None:
    answer = ask(funding=0.0011, funding_age_s=2.5, index=20.0)
    assert isinstance(answer, Signal)
    assert answer.features == {
        "funding": 0.0011, "funding_age_s": 2.5, "fear_greed": 20.0, "fear_greed_age_s": 40_000.0,
    }
    assert answer.reason == "funding 0.0011, fear_greed 20"


def test_sig_06_the_strongest_sentiment_is_a_small_voice() -> None:
    assert abs(strength(ask(funding=-0.01, index=0.0))) <= 0.3


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight_funding": 0, "weight_fear_greed": 0}, {"strength_max": 0}, {"strength_max": 1.01}, {"fear_max": 51},
        {"greed_min": 49}, {"funding_full": 0}, {"funding_age_s_max": 0},
    ],
)
def test_sig_06_settings_under_which_it_makes_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SentimentSettings.model_validate(wrong)
