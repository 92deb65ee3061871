"""divergence: the implied probability under each settlement rule, against the quote, and when it abstains."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_builders import OPEN_MS, abstained, made, market, signalled, view
from pydantic import ValidationError

from polyhost import Candle, SettlementRule, Signal, View
from polyhost.model.reading import Reading
from polyhost_plugins.divergence import CERTAIN, Divergence, outcome, probability

STRIKE = 80_000.0
VOLATILITY = 0.0005
"""Of the candles built here, a square-root minute."""
END_S = 900.0


def candles(at_s: float, *, minutes: int = 31, last_open: float | None = None) -> tuple[Candle, ...]:
    """Closes that go up and down by ``VOLATILITY`` in turn; the last candle is unfinished."""
    begun = int(at_s // 60) * 60
    first = begun - 60 * minutes
    closes = [STRIKE * exp(VOLATILITY * (n % 2)) for n in range(minutes)]
    done = tuple(
        Candle(OPEN_MS + (first + 60 * n) * 1_000, close, close, close, close, 1.0) for n, close in enumerate(closes)
    )
    opened = STRIKE if last_open is None else last_open
    return (*done, Candle(OPEN_MS + begun * 1_000, opened, opened, opened, opened, 1.0))


def seen(
    at_s: float = 450.0, *, spot: float | None = STRIKE, rule: SettlementRule = SettlementRule.TWAP_60, **more: Any
) -> View:
    known: dict[str, Any] = {
        "spot": spot, "strike": STRIKE, "basis": 0.0, "candles": candles(at_s), "market": market(rule=rule),
        "up": "0.495/0.505",
    }
    return view(at_s, **(known | more))


def implied(at: View) -> float:
    return signalled(made(Divergence).signal(at)).features["implied"]


def strength(signal: Signal) -> float:
    return signal.weight if signal.p_up >= 0.5 else -signal.weight


def phi(ahead: float, span_s: float, price: float) -> float:
    return NormalDist().cdf(ahead / (price * VOLATILITY * sqrt(span_s / 60)))


# --- the formula ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "span_s"),
    [
        (SettlementRule.TWAP_60, 450 - 60 + 20), (SettlementRule.SPOT, 450), (SettlementRule.CANDLE, 450),
        (SettlementRule.CANDLE_CLOSES, 510),
    ],
)
def test_sig_05_each_rule_has_its_own_span(rule: SettlementRule, span_s: float) -> None:
    for ahead in (-60.0, 40.0, 100.0):
        price = STRIKE + ahead
        assert implied(seen(spot=price, rule=rule)) == pytest.approx(phi(ahead, span_s, price))


def test_sig_05_a_mean_at_the_end_moves_less_so_the_leader_is_surer_of_it() -> None:
    ahead = STRIKE + 50
    assert implied(seen(840, spot=ahead)) > implied(seen(840, spot=ahead, rule=SettlementRule.SPOT)) > 0.5


def test_sig_05_the_variance_of_the_mean_is_that_of_its_weights() -> None:
    """Each instant's move counts by the share of the mean that lies behind it: integrated by small steps."""
    for left in (450.0, 90.0, 60.0, 45.0, 10.0):
        steps = 20_000
        width = left / steps
        weights = (min(left - (n + 0.5) * width, 60.0) / 60.0 for n in range(steps))
        span = sum(weight * weight for weight in weights) * width
        past = max(60.0 - left, 0.0)
        _, told = outcome(seen(END_S - left), STRIKE)
        assert told == pytest.approx(span + (past / 60) ** 2 * past / 12, rel=1e-6)


def test_sig_05_the_past_part_of_the_mean_has_the_variance_of_a_bridges_mean() -> None:
    """Covariance of a Brownian bridge over T: min(s, t) - s t / T; its mean's variance is T / 12."""
    grid = [(n + 0.5) / 200 for n in range(200)]
    mean = sum(min(s, t) - s * t for s in grid for t in grid) / len(grid) ** 2
    assert mean == pytest.approx(1 / 12, rel=1e-4)


def test_sig_05_in_the_last_minute_what_is_past_is_half_way_from_its_open_to_now() -> None:
    """20 s left: 40 s past, begun at 80,000 and now 80,060, so 80,030 on average so far."""
    now = seen(880, spot=STRIKE + 60, candles=candles(880, last_open=STRIKE))
    mean, span_s = outcome(now, STRIKE + 60)
    assert mean == pytest.approx(STRIKE + (40 * 30 + 20 * 60) / 60)
    assert span_s == pytest.approx((20 / 60) ** 2 * 20 / 3 + (40 / 60) ** 2 * 40 / 12)


def test_sig_05_in_the_last_minute_without_its_candle_less_is_known() -> None:
    """The candle before is not the one in which the mean began."""
    now = seen(880, spot=STRIKE + 60, candles=candles(830))
    mean, span_s = outcome(now, STRIKE + 60)
    assert mean == pytest.approx(STRIKE + 60)
    assert span_s == pytest.approx((20 / 60) ** 2 * 20 / 3 + (40 / 60) ** 2 * 40 / 3)


@pytest.mark.parametrize("last_open", [STRIKE, None])
def test_sig_05_the_last_minute_goes_on_where_the_minute_before_ended(last_open: float | None) -> None:
    """Just before and just after the mean begins the answer is the same."""
    before = outcome(seen(839.999), STRIKE + 60)
    after = outcome(seen(840.001, spot=STRIKE + 60, candles=candles(840.001, last_open=STRIKE + 60)), STRIKE + 60)
    assert after == pytest.approx(before, rel=1e-3)


def test_sig_05_the_basis_is_taken_off_before_the_strike_is_compared() -> None:
    assert implied(seen(spot=STRIKE + 100, basis=100.0)) == pytest.approx(0.5)
    assert implied(seen(spot=STRIKE, basis=100.0)) == pytest.approx(phi(-100, 410, STRIKE - 100))
    late = seen(880, spot=STRIKE + 160, basis=100.0, candles=candles(880, last_open=STRIKE + 100))
    assert outcome(late, STRIKE + 60)[0] == pytest.approx(STRIKE + 40), "the open has the basis, too"


@pytest.mark.parametrize("rule", list(SettlementRule))
def test_sig_05_a_tie_is_ups_but_of_a_daily_window_half(rule: SettlementRule) -> None:
    assert probability(0.0, 0.0, rule) == (0.5 if rule is SettlementRule.CANDLE_CLOSES else 1 - CERTAIN)
    assert probability(-1e-9, 0.0, rule) == CERTAIN
    assert probability(1e-9, 0.0, rule) == 1 - CERTAIN


def test_sig_05_the_volatility_is_the_root_of_the_mean_square_return() -> None:
    done = candles(450)
    moved = (*done[:20], Candle(done[20].start, *(STRIKE * 1.003,) * 4, 1.0), *done[21:])
    closes = [candle.close for candle in moved[:-1]][-31:]
    squares = [log(b / a) ** 2 for a, b in pairwise(closes)]
    signal = signalled(made(Divergence).signal(seen(candles=moved)))
    assert signal.features["volatility"] == pytest.approx(sqrt(sum(squares) / len(squares)))


def test_sig_05_returns_across_a_gap_are_none_and_the_unfinished_candle_is_not_one() -> None:
    done = candles(450, minutes=31)
    jump = tuple(
        Candle(c.start - (120_000 if n < 15 else 0), *(c.close * (2 if n < 15 else 1),) * 4, 1.0)
        for n, c in enumerate(done)
    )
    assert implied(seen(spot=STRIKE + 40, candles=jump)) == pytest.approx(phi(40, 410, STRIKE + 40))
    wild = (*done[:-1], Candle(done[-1].start, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert implied(seen(spot=STRIKE + 40, candles=wild)) == pytest.approx(phi(40, 410, STRIKE + 40))


@pytest.mark.parametrize(("returns", "known"), [(10, True), (9, False)])
def test_sig_05_ten_returns_make_a_volatility(returns: int, known: bool) -> None:
    answer = made(Divergence).signal(seen(candles=candles(450, minutes=returns + 1)))
    assert isinstance(answer, Signal) is known
    if not known:
        assert abstained(answer) == "too few candles for a volatility"


def test_sig_05_a_spot_price_that_never_moved_gives_no_volatility_and_a_still_one_the_least() -> None:
    flat = tuple(Candle(c.start, *(STRIKE,) * 4, 1.0) for c in candles(450))
    assert abstained(made(Divergence).signal(seen(candles=flat))) == "too few candles for a volatility"
    still = tuple(Candle(c.start, *(STRIKE + n % 2,) * 4, 1.0) for n, c in enumerate(candles(450)))
    signal = signalled(made(Divergence).signal(seen(candles=still)))
    assert signal.features["volatility"] == 0.00005
    assert signalled(made(Divergence, volatility_min=0).signal(seen(candles=still))).features["volatility"] < 0.00005


# --- against the price ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("up", "gap"),
    [("0.495/0.505", 0.0), ("0.40/0.45", 0.05), ("0.60/0.65", -0.10), ("0.50/0.51", 0.0), ("0.49/0.50", 0.0)],
)
def test_sig_05_the_gap_is_how_far_the_implied_probability_lies_outside_the_quote(up: str, gap: float) -> None:
    signal = signalled(made(Divergence).signal(seen(up=up)))
    assert signal.features["implied"] == pytest.approx(0.5)
    assert signal.features["gap"] == pytest.approx(gap)
    assert strength(signal) == pytest.approx(gap / 0.15)


@pytest.mark.parametrize(("up", "share"), [("0.30/0.36", 0.14 / 0.15), ("0.30/0.35", 1.0), ("0.20/0.30", 1.0)])
def test_sig_05_a_gap_of_0_15_has_full_strength(up: str, share: float) -> None:
    assert strength(signalled(made(Divergence).signal(seen(up=up)))) == pytest.approx(share)


def test_sig_05_it_says_what_it_found() -> None:
    signal = signalled(made(Divergence).signal(seen(up="0.40/0.45")))
    assert signal.reason == "gap +0.0500, implied 0.500"
    assert signal.features["market"] == 0.425


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spot": None}, "no spot price"),
        ({"spot_age_ms": 5_001}, "the spot price is too old"),
        ({"up": "0.50/"}, "no complete quote"),
        ({"rule": SettlementRule.ORACLE}, "no price decides this market"),
        ({"strike": None}, "the strike is not known"),
        ({"basis": None}, "the settlement feed's distance from spot is not known"),
        ({"candles": ()}, "too few candles for a volatility"),
        ({"basis": 2 * STRIKE}, "spot less its distance from the settlement feed is no price"),
    ],
)
def test_sig_05_each_abstention_says_what_is_missing(changes: dict[str, Any], reason: str) -> None:
    assert abstained(made(Divergence).signal(seen(**changes))) == reason
    assert signalled(made(Divergence).signal(seen(spot_age_ms=5_000)))


# --- across exchanges -------------------------------------------------------------------------------------------------


def second(value: float, age_ms: int = 0, name: str = "spot2.BTC") -> dict[str, Any]:
    return {"feeds": (Reading(name, value, OPEN_MS + 450_000 - age_ms, "other"),)}


@pytest.mark.parametrize(("share", "of_full"), [(0.0004, 0.8), (0.0005, 1.0), (0.001, 1.0), (-0.00025, -0.5)])
def test_sig_05_a_second_spot_price_counts_a_fifth_and_0_05_percent_is_full(share: float, of_full: float) -> None:
    signal = signalled(made(Divergence).signal(seen(**second(STRIKE * (1 + share)))))
    assert signal.features["cross"] == pytest.approx(share)
    assert strength(signal) == pytest.approx(0.2 * of_full)


def test_sig_05_the_second_spot_price_answers_alone_when_nothing_else_is_known() -> None:
    signal = signalled(made(Divergence).signal(seen(strike=None, **second(STRIKE * 1.0004))))
    assert strength(signal) == pytest.approx(0.8)
    assert signal.reason == "the strike is not known, cross +0.0004"


@pytest.mark.parametrize(("age_ms", "name", "known"), [
    (5_000, "spot2.BTC", True), (5_001, "spot2.BTC", False), (0, "spot2.ETH", False), (0, "spot3.BTC", False),
])
def test_sig_05_an_old_second_price_or_another_one_is_none(age_ms: int, name: str, known: bool) -> None:
    signal = signalled(made(Divergence).signal(seen(**second(STRIKE * 1.001, age_ms, name))))
    assert ("cross" in signal.features) is known


def test_sig_05_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"weight_implied": 0, "weight_cross": 0}, {"full_strength_gap": 0},
        {"volatility_candles": 10, "volatility_candles_min": 11},
    ):
        with pytest.raises(ValidationError):
            made(Divergence, **wrong)
    assert made(Divergence, volatility_candles=10, volatility_candles_min=10)


@given(
    ahead=st.floats(-2_000, 2_000), at_s=st.floats(1, 899.999), basis=st.floats(-100, 100),
    rule=st.sampled_from([rule for rule in SettlementRule if rule is not SettlementRule.ORACLE]),
)
def test_sig_05_below_the_strike_is_the_mirror_of_above_and_more_is_never_less(
    ahead: float, at_s: float, basis: float, rule: SettlementRule
) -> None:
    def at(distance: float) -> float:
        return implied(seen(at_s, spot=STRIKE + basis + distance, basis=basis, rule=rule, candles=candles(
            at_s, last_open=STRIKE + basis
        )))

    above, below = at(ahead), at(-ahead)
    assert 0 < above < 1
    assert above + below == pytest.approx(1, abs=0.02), "but for the volatility, a share of the price"
    assert at(ahead + 10) >= above
