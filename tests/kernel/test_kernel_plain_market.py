"""A market without a window (CON-15): traded, kept to its deadline and ended like any other."""

from __future__ import annotations

from polyhost.model.commands import Follow, Prepare, QueryResult
from polyhost.model.market import Fees, Market
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter
from polyhost.model.times import MarketMs
from polyhost.model.words import Purpose, Side

from .rig import CONDITION, DOWN, START, UP, Rig, only

END = MarketMs(START + 6 * 3_600_000)


def plain() -> Rig:
    rig = Rig(market=Market("will-it-rain", CONDITION, UP, DOWN, END, fees=Fees(0)))
    only(rig.commands, Follow)
    return rig


def test_con_15_a_market_without_start_and_strike_is_evaluated_and_entered_at_once() -> None:
    rig = plain()
    rig.book("0.40/0.42")
    ask = rig.ask()
    assert (ask.view.market.start, ask.view.strike, ask.view.elapsed_s) == (None, None, 0.0)
    assert only(rig.reply(ask, Enter(Side.UP, ticks("0.42"), "test")), Prepare)


def test_con_15_its_position_meets_its_deadline_before_its_end() -> None:
    rig = plain()
    rig.book("0.40/0.42")
    rig.enter()
    (due,) = rig.kernel.state.obligations.values()
    assert due == END - 120_000
    rig.to(END - 121_000)
    rig.book("0.40/0.42")
    draft = only(rig.wait(5_000), Prepare).draft
    assert rig.kernel.state.orders[draft.ref].slot.purpose is Purpose.EMERGENCY


def test_con_15_it_ends_at_its_end_and_settles_by_the_venues_result() -> None:
    rig = plain()
    rig.book("0.95/0.96")
    rig.enter(price="0.96")
    rig.to(END + 40_000)
    assert QueryResult(CONDITION, "will-it-rain") in rig.commands
    assert not rig.kernel.state.markets[CONDITION].accepting
    rig.resolve(Side.UP)
    assert rig.kernel.state.markets[CONDITION].settled
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.pnl > 0
