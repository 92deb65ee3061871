"""The entry policy's gates, each just inside and just outside, and the stake."""

from __future__ import annotations

import pytest
from plugin_builders import made, market, view
from pydantic import ValidationError

from polyhost import Bias, Enter, Estimate, Side, Skip, Stake, UnfilledView, View, taker_fee
from polyhost.model.market import Fees
from polyhost.model.rounding import legal_price
from polyhost_plugins.entry_policy import EntryPolicy
from polyhost_plugins.fixed_size import FixedSize


def estimate(p_up: float = 0.70, *, bias: Bias | None = None) -> Estimate:
    confidence = abs(2 * p_up - 1)
    return Estimate(p_up, confidence, bias or (Bias.UP if p_up > 0.5 else Bias.DOWN))


def asked(seen: View, opinion: Estimate | None = None, **settings: object) -> Enter | Skip:
    return made(EntryPolicy, **settings).entry(seen, opinion or estimate())


def gate(answer: Enter | Skip) -> str:
    """The gate that failed; empty for an entry."""
    return answer.reason if isinstance(answer, Skip) else ""


def entered(answer: Enter | Skip) -> Enter:
    assert isinstance(answer, Enter), answer
    return answer


@pytest.mark.parametrize(("minutes", "at_s"), [(15, 30.0), (5, 10.0)])
def test_ent_01_not_in_the_first_30_s_of_a_15_minute_window_10_s_of_a_5_minute_one(minutes: int, at_s: float) -> None:
    assert gate(asked(view(at_s - 0.001, minutes=minutes))) == "too_early"
    assert gate(asked(view(at_s, minutes=minutes))) == ""


@pytest.mark.parametrize(("minutes", "left_s"), [(15, 180.0), (5, 60.0)])
def test_ent_01_not_in_the_last_180_s_of_a_15_minute_window_60_s_of_a_5_minute_one(minutes: int, left_s: float) -> None:
    end = minutes * 60
    assert gate(asked(view(end - left_s - 0.001, minutes=minutes))) == ""
    assert gate(asked(view(end - left_s, minutes=minutes))) == "too_late"
    skip = asked(view(end - 1, minutes=minutes))
    assert isinstance(skip, Skip)
    assert skip.values == {"time_left_s": 1.0, "not_last_s": left_s}


def test_ent_01_a_longer_window_keeps_the_15_minute_values() -> None:
    assert gate(asked(view(30, minutes=240))) == ""
    assert gate(asked(view(29.9, minutes=240))) == "too_early"
    assert gate(asked(view(240 * 60 - 180, minutes=240))) == "too_late"


def test_ent_01_a_market_without_a_window_is_never_too_early() -> None:
    assert gate(asked(view(1, market=market(start=None, duration_s=0)))) == ""


@pytest.mark.parametrize("direction", [1, -1])
def test_ent_01_confidence_of_0_30_is_enough_and_less_is_not(direction: int) -> None:
    up = "0.20/0.21" if direction > 0 else "0.79/0.80"
    assert gate(asked(view(up=up), estimate(0.5 + direction * 0.1500001))) == ""
    skip = asked(view(up=up), estimate(0.5 + direction * 0.1499))
    assert isinstance(skip, Skip)
    assert skip.reason == "low_confidence"
    assert skip.values["confidence"] == pytest.approx(0.2998)
    assert skip.values["confidence_min"] == 0.30


def test_ent_01_without_a_bias_there_is_no_entry() -> None:
    assert gate(asked(view(), estimate(bias=Bias.NONE))) == "no_bias"


def test_ent_01_one_entry_per_window_and_side() -> None:
    assert gate(asked(view(taken=(Side.UP,)))) == "side_taken"
    assert gate(asked(view(taken=(Side.DOWN,)))) == ""
    assert gate(asked(view(up="0.49/0.50", taken=(Side.UP,)), estimate(0.30))) == ""


def test_ent_01_no_ask_is_no_book() -> None:
    assert gate(asked(view(up="0.50/"))) == "no_book"
    assert gate(asked(view(up="/0.50"), estimate(0.30))) == "no_book"


def test_ent_01_an_edge_of_0_02_after_fees_at_the_worst_price_is_enough_and_less_is_not() -> None:
    """Worst price 0.52: the fee is 0.07 * 0.52 * 0.48 = 0.01747 a share, so 0.55747 is needed."""
    settings = {"confidence_min": 0.0}
    answer = entered(asked(view(up="0.50/0.51"), estimate(0.55748), **settings))
    assert answer.edge == pytest.approx(0.02001)
    skip = asked(view(up="0.50/0.51"), estimate(0.55746), **settings)
    assert isinstance(skip, Skip)
    assert skip.reason == "low_edge"
    assert skip.values["edge"] == pytest.approx(0.01999)
    assert skip.values["fee"] == pytest.approx(0.01747)
    assert skip.values["edge_min"] == 0.02


def test_ent_01_the_fee_is_the_markets_own() -> None:
    free = market(fees=Fees(0))
    assert entered(asked(view(market=free))).edge == pytest.approx(0.70 - 0.52)
    dear = market(fees=Fees(100_000))
    assert entered(asked(view(market=dear))).values["fee"] == taker_fee(1_000_000, 5_200, 100_000) / 1_000_000


def test_ent_01_the_favoured_side_is_bought_by_fak_one_tick_through_its_ask() -> None:
    up = entered(asked(view(up="0.50/0.51"), estimate(0.80)))
    assert (up.side, up.price_max, up.order_type, up.stake) == (Side.UP, 5_200, "FAK", None)
    down = entered(asked(view(up="0.50/0.51"), estimate(0.20)))
    assert (down.side, down.price_max) == (Side.DOWN, 5_100)
    assert "0.52" in up.reason
    assert "edge" in up.reason


@pytest.mark.parametrize(
    ("tick", "up", "price_max"),
    [(100, "0.98/0.985", 9_900), (100, "0.98/0.99", 9_900), (10, "0.50/0.501", 5_020), (1_000, "0.30/0.40", 5_000),
     (100, "0.50/0.505", 5_200)],
)
def test_ent_01_the_worst_price_is_legal_for_the_markets_tick(tick: int, up: str, price_max: int) -> None:
    answer = entered(asked(view(up=up, market=market(tick=tick)), estimate(0.999), edge_min=-0.5))
    assert answer.price_max == price_max
    assert legal_price(answer.price_max, tick)


def test_ent_01_a_skipped_window_stays_eligible() -> None:
    plugin = made(EntryPolicy)
    assert gate(plugin.entry(view(20), estimate())) == "too_early"
    assert gate(plugin.entry(view(40), estimate(0.6))) == "low_confidence"
    assert gate(plugin.entry(view(60), estimate())) == ""


@pytest.mark.parametrize(
    ("style", "up", "sent"),
    [
        # style: (price, order type, post-only) of UP at 0.50/0.53 and at 0.52/0.53
        ("fak", "0.50/0.53", (5_400, "FAK", False)),
        ("cross", "0.50/0.53", (5_300, "GTC", False)),
        ("join", "0.50/0.53", (5_000, "GTC", False)),
        ("improve", "0.50/0.53", (5_100, "GTC", False)),
        ("improve", "0.52/0.53", (5_200, "GTC", False)),
        ("improve", "0.51/0.53", (5_200, "GTC", False)),
        ("post_only", "0.50/0.53", (5_000, "GTC", True)),
        # Off the market's grid: bids round down, asks up, and nothing that rests reaches the ask.
        ("join", "0.505/0.53", (5_000, "GTC", False)),
        ("improve", "0.525/0.53", (5_200, "GTC", False)),
        ("cross", "0.50/0.525", (5_300, "GTC", False)),
    ],
)  # fmt: skip
def test_ent_06_each_style_has_its_price_and_order_type(style: str, up: str, sent: tuple[int, str, bool]) -> None:
    answer = entered(asked(view(up=up), estimate(0.90), style=style))
    assert (answer.price_max, answer.order_type, answer.post_only) == sent
    assert answer.valid_s == 0
    assert style in answer.reason


@pytest.mark.parametrize("style", ["fak", "cross", "join", "improve", "post_only"])
def test_ent_06_takers_pay_their_fee_in_the_edge_and_makers_none(style: str) -> None:
    answer = entered(asked(view(up="0.50/0.53"), estimate(0.80), style=style))
    price = answer.price_max / 10_000
    fee = 0.07 * price * (1 - price) if style in ("fak", "cross") else 0.0
    assert answer.values["fee"] == pytest.approx(fee, abs=1e-5)
    assert answer.edge == pytest.approx(0.80 - price - fee, abs=1e-5)


@pytest.mark.parametrize(
    ("style", "least"),
    [("fak", 0.56744), ("cross", 0.56744), ("join", 0.52), ("improve", 0.53), ("post_only", 0.52)],
)
def test_ent_06_the_least_edge_is_asked_of_every_style_with_its_own_fee(style: str, least: float) -> None:
    """UP at 0.50/0.53: a taker pays 0.07 * 0.53 * 0.47 = 0.01744 a share, a maker nothing."""
    settings = {"style": style, "confidence_min": 0.0, "through_ticks": 0}
    assert gate(asked(view(up="0.50/0.53"), estimate(least + 0.00001), **settings)) == ""
    assert gate(asked(view(up="0.50/0.53"), estimate(least - 0.00001), **settings)) == "low_edge"


@pytest.mark.parametrize(("style", "up"), [("join", "/0.53"), ("join", "0.53/"), ("improve", "/0.53"), ("fak", "0.5/")])
def test_ent_06_without_the_price_that_a_style_needs_there_is_no_entry(style: str, up: str) -> None:
    assert gate(asked(view(up=up), estimate(0.99), style=style)) == "no_book"


def test_ent_06_what_rests_may_have_an_end_and_what_takes_has_none() -> None:
    fifteen = entered(asked(view(up="0.50/0.53"), estimate(0.90), style="join", rest_s=120))
    assert (fifteen.order_type, fifteen.valid_s) == ("GTD", 120.0)
    five = entered(asked(view(200, minutes=5, up="0.50/0.53"), estimate(0.90), style="cross", rest_s=120))
    assert (five.order_type, five.valid_s) == ("GTD", 40.0)
    fak = entered(asked(view(up="0.50/0.53"), estimate(0.90), rest_s=120))
    assert (fak.order_type, fak.valid_s) == ("FAK", 0.0)


@pytest.mark.parametrize(("minutes", "pause_s"), [(15, 60.0), (5, 20.0)])
def test_ent_01_a_side_that_ended_unfilled_is_left_alone_for_a_minute(minutes: int, pause_s: float) -> None:
    def after(seconds: float, side: Side = Side.UP) -> str:
        now = view(150, minutes=minutes).now
        ended = UnfilledView("o1", side, "entry_policy", 5_000, now - 90_000, now - round(seconds * 1_000))
        return gate(asked(view(150, minutes=minutes, unfilled=ended)))

    assert after(pause_s - 0.001) == "just_unfilled"
    assert after(pause_s) == ""
    assert after(1, Side.DOWN) == ""


def test_ent_04_fixed_size_is_25_of_collateral_and_nothing_else() -> None:
    entry = Enter(Side.UP, 5_000)
    assert made(FixedSize).size(view(), entry) == Stake(25_000_000, "fixed stake 25.000000")
    assert made(FixedSize, stake="7.5").size(view(), entry).amount == 7_500_000
    for wrong in ("0", "-1"):
        with pytest.raises(ValidationError, match=r"above 0|below 0"):
            made(FixedSize, stake=wrong)
