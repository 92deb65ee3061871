"""EXI-07 as a table: every pair of exits that disagree, in both orders; what is held back; who wins a tie.

The kinds stand in their order of urgency. The last part puts the real plugins in front of the same views.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, permutations
from typing import Any

import msgspec
import pytest

from polyhost.extension.chain import run_chain
from polyhost.extension.specification import implementations
from polyhost.extension.table import Table
from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import Ask, Command, Prepare
from polyhost.model.events import Candidate, Evaluated, Operator, Proposed
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import (
    URGENCY,
    Answer,
    Defer,
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Keep,
)
from polyhost.model.records import HeldDeclared, NoticeRaised, PluginStateSet
from polyhost.model.words import Action, Bias, Purpose, Side
from polyhost.plugin import Plugin
from polyhost_plugins.exit_plan import ExitPlan
from polyhost_plugins.expiry_guard import ExpiryGuard
from polyhost_plugins.reversal import Reversal
from polyhost_plugins.scale_in import ScaleIn
from polyhost_plugins.stop_loss import StopLoss
from polyhost_plugins.take_profit import TakeProfit
from polyhost_plugins.trailing_stop import TrailingStop

from .rig import START, Rig, only, window

SALES = {name: ExitNow(Side.UP, name, name) for name in ("forced_close", "floor", "stop", "reversal")}
ADD = Enter(Side.UP, ticks("0.42"), "scale_in", Purpose.SCALE_IN)
PLAN = ExitTarget(Side.UP, ticks("0.99"), "exit_plan")
REQUOTE = ExitTarget(Side.UP, ticks("0.60"), "reward_requote")
PLANNED = ExitNow(Side.UP, "planned", "exit_plan")
KINDS: dict[str, Answer] = {**SALES, "scale_in": ADD, "exit_plan": PLAN, "reward_requote": REQUOTE}
PAIRS = [pair for two in combinations(KINDS, 2) for pair in permutations(two)]


def holding(**options: Any) -> Rig:
    """57 UP, settled and visible, in the window's third minute."""
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    return rig


def said(rig: Rig, *answers: tuple[str, Answer]) -> list[Command]:
    """Plugins answer the next view, in this order of configuration."""
    view = rig.ask().view
    entries = tuple(
        Candidate(Proposed(plugin, answer), micros("10"), plugin) for plugin, answer in answers
        if isinstance(answer, Enter)
    )
    others = tuple(Proposed(plugin, answer) for plugin, answer in answers if not isinstance(answer, Enter))
    return rig.do(Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id, candidates=entries, proposals=others
    ))


def orders(rig: Rig, commands: Iterable[Command]) -> list[OrderEntry]:
    """What is placed by these commands, in order."""
    return [rig.kernel.state.orders[c.draft.ref] for c in commands if isinstance(c, Prepare)]


def words(rig: Rig, commands: Iterable[Command]) -> list[str]:
    """The same as words: the urgency of a sale at market, the purpose of a buy, the price of a resting sell."""
    told = []
    for order in orders(rig, commands):
        if order.draft.action is Action.BUY:
            told.append(order.slot.purpose.value)
        else:
            told.append(f"rests {order.draft.price}" if order.draft.order_type.rests else order.why["urgency"])
    return told


def test_exi_07_the_table_has_every_kind_in_the_order_of_urgency() -> None:
    assert list(KINDS) == sorted(URGENCY, key=lambda name: URGENCY[name])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_exi_07_of_two_exits_the_more_urgent_wins_whatever_the_order(first: str, second: str) -> None:
    rig = holding()
    commands = said(rig, (first, KINDS[first]), (second, KINDS[second]))
    more, less = sorted((first, second), key=lambda name: URGENCY[name])
    if more in SALES:
        expected = [more]
    elif more == "scale_in":
        expected = ["scale_in", "rests 9900" if less == "exit_plan" else "rests 6000"]
    else:  # two targets of one slot: nobody owns it yet, the order of the configuration decides
        expected = ["rests 9900" if first == "exit_plan" else "rests 6000"]
    assert words(rig, commands) == expected


@pytest.mark.parametrize("urgent", SALES)
def test_exi_07_nothing_is_added_to_what_is_being_sold_and_the_sale_goes_on(urgent: str) -> None:
    rig = holding()
    commands = said(rig, ("a", ADD), ("b", SALES[urgent]))
    ask = next(c for c in commands if isinstance(c, Ask))  # what the wish saw is no longer so: asked again
    assert words(rig, rig.reply(ask, ADD, SALES[urgent])) == []
    refused = rig.kernel.data(rig.market.condition_id)
    assert refused is not None
    assert refused.gates.get("slot") == 1


@pytest.mark.parametrize("adds", [True, False])
def test_exi_07_a_planned_sale_follows_a_scale_in_that_is_bought_and_none_that_is_refused(adds: bool) -> None:
    rig = holding()
    add = ADD if adds else msgspec.structs.replace(ADD, price_max=ticks("0.30"))  # nobody offers at 0.30
    assert words(rig, said(rig, ("profit", PLANNED), ("add", add))) == (["scale_in"] if adds else ["exit_plan"])


def test_exi_07_a_planned_sale_goes_before_a_target_and_counts_as_no_emergency() -> None:
    rig = holding(settings={"breakers": {"emergency_stops_hour": 0}})
    assert words(rig, said(rig, ("plan", PLAN), ("profit", PLANNED))) == ["exit_plan"]
    assert "emergency_stops" not in rig.kernel.state.blocked
    other = holding(settings={"breakers": {"emergency_stops_hour": 0}})
    said(other, ("stop", SALES["stop"]))
    assert "emergency_stops" in other.kernel.state.blocked


PROFIT = ExitNow(Side.UP, "profit", "exit_plan", ticks("0.40"))
"""A planned sale that is none below 0.40."""


def killed(rig: Rig, commands: Iterable[Command]) -> None:
    """The sale at market found nobody."""
    rig.refuse(rig.posted(list(commands)), "fak_killed", "no orders found to match")


def test_exi_06_a_planned_sale_keeps_to_its_floor_in_every_attempt_and_is_given_up_below_it() -> None:
    rig = holding()
    killed(rig, said(rig, ("plan", PLAN), ("profit", PROFIT)))
    (again,) = orders(rig, rig.wait(1_000))
    assert (again.draft.order_type.rests, again.draft.price) == (False, ticks("0.40")), "widened, but never below"
    rig.book("0.39/0.41")
    rig.refuse(rig.posted([Prepare(again.draft)]), "fak_killed", "no orders found to match")
    assert words(rig, rig.wait(5_000)) == [], "given up"
    assert words(rig, said(rig, ("plan", PLAN))) == ["rests 9900"], "the plan stands again"


def test_exi_07_a_stop_takes_over_a_planned_sale_under_way_and_keeps_to_no_floor() -> None:
    rig = holding()
    killed(rig, said(rig, ("profit", PROFIT)))
    rig.book("0.20/0.22")
    stop = said(rig, ("stop", SALES["stop"]))
    (sale,) = orders(rig, stop)
    assert (sale.why["urgency"], sale.draft.price) == ("stop", ticks("0.19"))


def test_exi_05_the_deadline_takes_over_a_planned_sale_under_way() -> None:
    rig = holding()
    rig.book("/0.42")
    said(rig, ("profit", PLANNED))
    rig.to(rig.market.end - 110_000)
    plan = rig.kernel.data(rig.market.condition_id).exit(Side.UP)  # type: ignore[union-attr]
    assert plan.urgent is not None
    assert (plan.urgent.urgency, plan.forced) == ("forced_close", True)


@pytest.mark.parametrize("sale", [*SALES, "planned"])
def test_exi_07_a_hold_beats_a_planned_sale_and_no_other(sale: str) -> None:
    rig = holding()
    hold = HoldToSettlement(Side.UP, "ahead")
    commands = said(rig, ("guard", hold), ("x", PLANNED if sale == "planned" else SALES[sale]))
    held = any(isinstance(record, HeldDeclared) for record in rig.records)
    assert (held, words(rig, commands)) == ((True, []) if sale == "planned" else (False, [sale]))


# --- what is held back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sale", SALES)
@pytest.mark.parametrize("deferred", [*SALES, "scale_in", "exit_plan", "reward_requote"])
def test_exi_07_a_defer_holds_back_its_own_urgency_alone_and_never_a_floor_or_forced_close(
    sale: str, deferred: str
) -> None:
    rig = holding()
    defer = Defer(Side.UP, deferred, rig.now + 60_000, "waits")
    commands = said(rig, ("x", SALES[sale]), ("y", defer))
    kept_back = sale == deferred and sale in ("stop", "reversal")
    assert words(rig, commands) == ([] if kept_back else [sale])


@pytest.mark.parametrize("more", SALES)
def test_exi_07_the_most_urgent_of_what_is_not_held_back_wins(more: str) -> None:
    rig = holding()
    defer = Defer(Side.UP, "stop", rig.now + 60_000, "waits")
    commands = said(rig, ("y", defer), ("x", SALES["stop"]), ("z", SALES[more]))
    assert words(rig, commands) == ([] if more == "stop" else [more])


@pytest.mark.parametrize(("ahead_ms", "sells"), [(0, True), (1, False)])
def test_exi_07_a_defer_ends_at_its_deadline(ahead_ms: int, sells: bool) -> None:
    rig = holding()
    view = rig.ask().view
    defer = Defer(Side.UP, "stop", rig.now + ahead_ms, "waits")
    commands = rig.do(Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
        proposals=(Proposed("x", SALES["stop"]), Proposed("y", defer)),
    ))
    assert words(rig, commands) == (["stop"] if sells else [])


def test_exi_07_a_defer_of_one_side_holds_nothing_of_the_other_back() -> None:
    rig = holding()
    defer = Defer(Side.DOWN, "stop", rig.now + 60_000, "waits")
    assert words(rig, said(rig, ("x", SALES["stop"]), ("y", defer))) == ["stop"]


# --- ties -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("urgency", [*SALES, "exit_plan"])
def test_exi_07_of_equal_urgency_the_order_of_the_configuration_decides(urgency: str) -> None:
    rig = holding()
    first, second = ExitNow(Side.UP, "first", urgency), ExitNow(Side.UP, "second", urgency)
    (sold,) = orders(rig, said(rig, ("a", first), ("b", second)))
    assert sold.why["reason"] == "first"


def test_exi_07_of_two_targets_the_present_owner_keeps_the_slot() -> None:
    rig = holding()
    assert words(rig, said(rig, ("plan", PLAN))) == ["rests 9900"]
    rig.accept(rig.posted([c for c in rig.commands if isinstance(c, Prepare)][-1:]))
    rig.wait(2_000)
    assert said(rig, ("other", REQUOTE), ("plan", PLAN)) == []


# --- the real plugins -------------------------------------------------------------------------------------------------

ALL = (ExitPlan, Reversal, StopLoss, ScaleIn, TakeProfit, TrailingStop, ExpiryGuard)
SURE = Estimate(0.75, 0.5, Bias.UP)


def built(kinds: Sequence[type[Plugin]], states: dict[str, dict[str, Any]]) -> tuple[Table, list[str]]:
    plugins = [kind(kind.Settings()) for kind in kinds]
    for plugin in plugins:
        plugin.state = states.get(plugin.name, {})
    return Table([implementations(plugin, plugin.name) for plugin in plugins]), [plugin.name for plugin in plugins]


def asked(rig: Rig, kinds: Sequence[type[Plugin]] = ALL, estimate: Estimate = SURE, **states: Any) -> list[Command]:
    """The plugins answer the next view; the trading combiner says ``estimate`` and has said so before."""
    table, names = built(kinds, states)
    view = msgspec.structs.replace(rig.ask().view, estimate=estimate)
    event = run_chain(view, table, names, "c")
    return rig.do(msgspec.structs.replace(event, estimates=(("c", estimate),), trading="c"))


def answered(rig: Rig, ask: Ask, kinds: Sequence[type[Plugin]] = ALL) -> list[Command]:
    """The plugins answer a question that was asked at once."""
    table, names = built(kinds, {})
    return rig.do(run_chain(ask.view, table, names, "c"))


def late(up: str, left_s: float, settings: dict[str, Any] | None = None) -> Rig:
    """A position of the third minute, with so much time left and this book."""
    rig = holding(market=window(), settings=settings or {})
    rig.answer()
    rig.to(rig.market.end - round(left_s * 1_000) - 1_000)
    rig.book(up)
    return rig


def test_exi_07_real_the_guard_goes_before_floor_and_stop() -> None:
    rig = late("0.09/0.11", 120)
    assert words(rig, asked(rig)) == ["forced_close"]
    assert any("Forced close of 57 UP" in r.text for r in rig.records if isinstance(r, NoticeRaised))


def test_exi_07_real_the_floor_goes_before_a_hedge() -> None:
    rig = late("0.13/0.15", 500)
    assert words(rig, asked(rig)) == ["floor"]


def test_exi_07_real_the_reversal_owns_the_stop_between_threshold_and_floor() -> None:
    rig = late("0.24/0.26", 500)
    # The exit rests on, and what rests is no reason to wait; what the hedge saw is no longer so: it is asked again.
    first = asked(rig)
    assert words(rig, first) == ["rests 9900"]
    again = answered(rig, only(first, Ask))
    (hedge,) = orders(rig, again)
    assert (hedge.slot.purpose, hedge.slot.side) == (Purpose.HEDGE, Side.DOWN)
    stopped = late("0.24/0.26", 500)
    assert words(stopped, asked(stopped, [kind for kind in ALL if kind is not Reversal])) == ["stop"]


def test_exi_09_real_a_hedge_that_is_blocked_falls_back_to_the_stop_in_the_same_turn() -> None:
    rig = late("0.24/0.26", 500)
    rig.do(Operator("pause", who="me"))
    view = only(asked(rig), Ask).view
    told = view.hedge_refused(Side.DOWN)
    assert told is not None
    assert told.gate == "pause"
    assert words(rig, answered(rig, Ask(view))) == ["stop"]


def test_exi_03_real_the_losing_side_goes_by_a_rotation_that_no_breaker_counts() -> None:
    rig = late("0.24/0.26", 500, {"breakers": {"emergency_stops_hour": 0}})
    (hedge,) = orders(rig, answered(rig, only(asked(rig), Ask)))
    rig.accept(rig.posted([c for c in rig.commands if isinstance(c, Prepare)][-1:]), "matched")
    rig.fill(hedge)
    state = {f"losing:{rig.market.condition_id}": "UP", f"hedged_at:{rig.market.condition_id}": rig.now}
    down = Estimate(0.2, 0.6, Bias.DOWN)
    assert "reversal" not in words(rig, asked(rig, ALL, down, reversal=state))
    rig.to(rig.now + 120_000)
    assert words(rig, asked(rig, ALL, down, reversal=state)) == ["reversal", "rests 9900"], "the hedge's own plan"
    assert "emergency_stops" not in rig.kernel.state.blocked


@pytest.mark.parametrize("order", [ALL, ALL[::-1]])
def test_exi_07_real_a_scale_in_and_the_exit_plan_come_in_one_cycle_the_scale_in_first(
    order: Sequence[type[Plugin]],
) -> None:
    rig = late("0.68/0.70", 500)
    assert words(rig, asked(rig, order)) == ["scale_in", "rests 9900"]


def test_exi_07_real_profit_is_taken_before_the_exit_plan_rests() -> None:
    rig = late("0.95/0.97", 500)
    assert words(rig, asked(rig)) == ["exit_plan"]


def test_exi_07_real_what_is_knowingly_held_is_not_taken_as_profit() -> None:
    rig = late("0.95/0.97", 120)
    assert words(rig, asked(rig)) == []
    assert any(isinstance(record, HeldDeclared) for record in rig.records)


def test_exi_06_real_the_highest_midpoint_survives_a_restart() -> None:
    rig = late("0.68/0.70", 500)
    asked(rig, (TrailingStop,))
    (kept,) = [record for record in rig.records if isinstance(record, PluginStateSet)]
    assert kept.plugin == "trailing_stop"
    state = {key: msgspec.json.decode(text) for key, text in rig.kernel.state.plugin_state["trailing_stop"].items()}
    rig.book("0.58/0.60")
    assert words(rig, asked(rig, (TrailingStop,))) == [], "one that forgot its highest sells nothing"
    assert words(rig, asked(rig, (TrailingStop,), trailing_stop=state)) == ["stop"]


def test_exi_06_an_equal_value_to_keep_is_no_record() -> None:
    rig = holding()
    for _ in range(3):
        said(rig, ("x", Keep({"high": 5, "gone": None})))
    found = [record.changes for record in rig.records if isinstance(record, PluginStateSet)]
    assert found == [{"high": "5"}]
    said(rig, ("x", Keep({"high": 6})))
    said(rig, ("y", Keep({"high": 6})))
    assert len([record for record in rig.records if isinstance(record, PluginStateSet)]) == 3


def test_exi_01_a_pending_plan_is_visible_with_its_age_and_threshold() -> None:
    rig = holding()
    assert words(rig, asked(rig, (ExitPlan,))) == []
    data = rig.kernel.data(rig.market.condition_id)
    assert data is not None
    assert data.exit(Side.UP).waiting == "pending: 1 s old, rests at 0.99 from 60 s"
    rig.to(rig.now + 58_000)
    assert words(rig, asked(rig, (ExitPlan,))) == ["rests 9900"]
    assert data.exit(Side.UP).waiting == ""


def test_evd_03_a_sale_at_market_names_the_plugin_that_wanted_it_and_how_urgent_it_was() -> None:
    rig = holding()
    (order,) = orders(rig, said(
        rig, ("early", ExitNow(Side.UP, "turned", "reversal")), ("late", ExitNow(Side.UP, "fell", "stop")),
        ("last", ExitNow(Side.UP, "fell too", "stop")),
    ))
    assert (order.why["plugin"], order.why["urgency"], order.why["reason"]) == ("late", "stop", "fell")
