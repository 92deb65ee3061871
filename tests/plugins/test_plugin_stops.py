"""Stop, take-profit and trailing stop at both sides of each threshold, and the triggers that make them act at once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from plugin_builders import made, position, view
from pydantic import ValidationError

from polyhost import ExitNow, Keep, PositionView, Quote, Side, Trigger, View, midpoint_triggers
from polyhost_plugins.stop_loss import StopLoss
from polyhost_plugins.take_profit import TakeProfit
from polyhost_plugins.trailing_stop import TrailingStop

CONDITION = "0x01"


def sold(answers: Iterable[object]) -> list[str]:
    """Urgencies of the sales among the answers."""
    return [answer.urgency for answer in answers if isinstance(answer, ExitNow)]


def reached(answers: Iterable[object], quote: Quote) -> bool:
    """Is one of the triggers reached on this quote?"""
    found = False
    for trigger in answers:
        if isinstance(trigger, Trigger):
            value = quote.bid if trigger.quote == "bid" else quote.ask
            found = found or (value <= trigger.price if trigger.direction == "below" else value >= trigger.price)
    return found


# --- stop_loss --------------------------------------------------------------------------------------------------------


def stopped(up: str, side: Side = Side.UP, *, held: str = "", **settings: object) -> list[str]:
    return sold(made(StopLoss, **settings).exit(view(up=up), position(side, held=held)))


@pytest.mark.parametrize(
    ("up", "urgencies"),
    [
        ("0.30/0.3102", []), ("0.2901/0.31", ["stop"]), ("0.29/0.31", ["stop"]), ("0.10/0.2002", ["stop"]),
        ("0.10/0.20", ["floor"]), ("0.05/0.06", ["floor"]),
    ],
)
def test_exi_02_the_stop_is_at_a_midpoint_of_0_30_and_the_floor_at_0_15(up: str, urgencies: list[str]) -> None:
    assert stopped(up) == urgencies


def test_exi_02_the_down_token_has_its_own_midpoint() -> None:
    assert stopped("0.69/0.71", Side.DOWN) == ["stop"]
    assert stopped("0.6898/0.70", Side.DOWN) == []


@pytest.mark.parametrize(
    ("up", "urgencies"),
    [("/0.30", ["stop"]), ("/0.15", ["floor"]), ("/0.3001", []), ("0.10/", []), ("/", []), ("0.20/0.10", [])],
)
def test_exi_02_without_a_midpoint_only_an_ask_bounds_it_from_above(up: str, urgencies: list[str]) -> None:
    """A book that is empty for a moment must sell nothing; nobody pays more than an ask where there is no bid."""
    assert stopped(up) == urgencies


def test_exi_02_what_is_held_to_settlement_is_left_alone() -> None:
    assert stopped("0.05/0.06", held="ahead") == []


def test_exi_02_a_floor_of_0_leaves_the_stop_alone_and_one_above_the_stop_is_refused() -> None:
    assert stopped("0.01/0.02", floor="0") == ["stop"]
    with pytest.raises(ValidationError, match=r"below midpoint_max = 0.3"):
        made(StopLoss, floor="0.30")
    with pytest.raises(ValidationError, match="below 1"):
        made(StopLoss, midpoint_max="1")


def test_exi_02_the_floor_has_a_trigger_while_the_stop_is_wanted() -> None:
    seen = view(up="0.20/0.22")
    answers = list(made(StopLoss).exit(seen, position()))
    assert not reached(answers, seen.up)
    assert reached(answers, Quote(1_400, 1_600, 0, 0))


# --- triggers of midpoints --------------------------------------------------------------------------------------------

PRICES = st.integers(1, 9_999)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    bid = draw(st.integers(1, 9_998))
    return Quote(bid, draw(st.integers(bid + 1, 9_999)), 0, 0)


@given(before=quotes(), after=quotes(), price=PRICES, below=st.booleans())
def test_no_midpoint_is_missed_by_its_triggers_and_none_is_reached_already(
    before: Quote, after: Quote, price: int, below: bool
) -> None:
    direction = "below" if below else "above"
    triggers = midpoint_triggers(Side.UP, before, direction, price)

    def there(quote: Quote) -> bool:
        return quote.mid <= price if below else quote.mid >= price

    assert (triggers == ()) == there(before)
    assert not reached(triggers, before)
    if triggers and there(after):
        assert reached(triggers, after)


# --- take_profit ------------------------------------------------------------------------------------------------------


def taken(up: str, *, average: int = 5_000, held: str = "", side: Side = Side.UP) -> list[str]:
    holding = PositionView(side, 10_000_000, 10_000_000, average, 5_000_000, view().now - 100_000, held)
    return sold(made(TakeProfit).exit(view(up=up), holding))


@pytest.mark.parametrize(
    ("up", "urgencies"),
    [("0.94/0.9598", []), ("0.94/0.96", ["exit_plan"]), ("0.95/", ["exit_plan"]), ("0.9499/", []), ("/0.99", [])],
)
def test_exi_06_profit_is_taken_at_a_midpoint_of_0_95(up: str, urgencies: list[str]) -> None:
    assert taken(up) == urgencies


def test_exi_06_profit_is_never_taken_at_a_loss_nor_of_what_is_held() -> None:
    # 0.07 * 0.94 * 0.06 = 0.00395 of fee a share.
    assert taken("0.94/0.96", average=9_361) == []
    assert taken("0.94/0.96", average=9_360) == ["exit_plan"]
    (sale,) = made(TakeProfit).exit(view(up="0.96/0.98"), structs.replace(position(), average_price=9_365))
    assert isinstance(sale, ExitNow)
    assert sale.floor == 9_500, "0.94 would be 0.93605 after its fee"
    dear = structs.replace(position(), average_price=9_899)
    assert not list(made(TakeProfit).exit(view(up="0.99/"), dear)), "no price is a profit any more"
    assert taken("0.94/0.96", held="ahead") == []
    assert taken("0.04/0.06", side=Side.DOWN) == ["exit_plan"]


def test_exi_06_a_profit_is_taken_at_once_when_the_book_reaches_it() -> None:
    seen = view(up="0.80/0.82")
    answers = list(made(TakeProfit).exit(seen, position()))
    assert not reached(answers, seen.up)
    assert reached(answers, Quote(9_400, 9_600, 0, 0))


# --- trailing_stop ----------------------------------------------------------------------------------------------------


def trailing(**state: object) -> TrailingStop:
    plugin = made(TrailingStop)
    plugin.state = {f"{key}:{CONDITION}:UP": value for key, value in state.items()}
    return plugin


def remembered(high: int, holding: PositionView) -> TrailingStop:
    return trailing(high=high, of=holding.opened_at)


def at(up: str) -> View:
    return view(up=up)


def test_exi_06_the_trailing_stop_is_armed_0_10_above_the_entry() -> None:
    holding = position()
    assert list(trailing().exit(at("0.5898/0.61"), holding)) == []
    armed = list(trailing().exit(at("0.59/0.61"), holding))
    assert armed[0] == Keep({f"high:{CONDITION}:UP": 6_000, f"of:{CONDITION}:UP": holding.opened_at})
    assert reached(armed, Quote(4_900, 5_100, 0, 0))


def test_exi_06_it_sells_0_10_below_the_highest_that_it_remembers() -> None:
    holding = position()
    assert sold(remembered(8_000, holding).exit(at("0.69/0.7102"), holding)) == []
    assert sold(remembered(8_000, holding).exit(at("0.69/0.71"), holding)) == ["stop"]


def test_exi_06_a_new_highest_is_kept_in_steps_of_0_01() -> None:
    holding = position()
    kept = [a for a in remembered(7_000, holding).exit(at("0.70/0.7198"), holding) if isinstance(a, Keep)]
    assert kept == []
    kept = [a for a in remembered(7_000, holding).exit(at("0.70/0.72"), holding) if isinstance(a, Keep)]
    assert kept == [Keep({f"high:{CONDITION}:UP": 7_100, f"of:{CONDITION}:UP": holding.opened_at})]


def test_exi_06_the_highest_of_an_earlier_position_says_nothing_of_this_one() -> None:
    old, new = position(opened_s=100), position(opened_s=200)
    assert sold(remembered(8_000, old).exit(at("0.69/0.71"), new)) == []


def test_exi_06_it_leaves_alone_what_is_held_and_what_has_no_midpoint() -> None:
    holding = position()
    assert list(remembered(8_000, holding).exit(at("0.20/"), holding)) == []
    held = position(held="ahead")
    assert list(remembered(8_000, held).exit(at("0.20/0.22"), held)) == []


def test_exi_06_what_is_settled_is_forgotten() -> None:
    plugin = trailing(high=8_000, of=1)
    plugin.state["high:0x02:UP"] = 7_000
    assert list(plugin.on_settlement(at("0.50/0.51").market, None, ())) == []  # type: ignore[arg-type]
    assert dict(plugin.state) == {"high:0x02:UP": 7_000}


@pytest.mark.parametrize("key", ["distance", "step"])
def test_exi_06_a_distance_of_nothing_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="above 0"):
        made(TrailingStop, **{key: "0"})
