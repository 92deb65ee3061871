"""The judge itself: each check is shown to fail on the fault it is for, and to pass beside it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from msgspec import structs

from polyhost.exchange.core import Exchange
from polyhost.exchange.rules import ExchangeRules
from polyhost.journal.codec import encode_record
from polyhost.lab.sim_checks import Checks, different
from polyhost.lab.sim_finding import Broken
from polyhost.lab.sim_trace import SHOWN, Trace
from polyhost.model.commands import Cancel, Post
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.records import HeldDeclared, LedgerPosted, OrderMoved, OrderReposted
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderState, Side


def _rig_module() -> ModuleType:
    path = Path(__file__).parents[1] / "kernel" / "rig.py"
    spec = importlib.util.spec_from_file_location("simulation_rig", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulation_rig"] = module
    spec.loader.exec_module(module)
    return module


rigs = _rig_module()


def judge() -> Checks:
    return Checks(Exchange(ExchangeRules(), MarketMs(0)), "0x" + "0a" * 20, "main")


def posted(order_type: str = "GTC") -> tuple[Checks, object, Post]:
    """A rig with one buy under way, judged from its first record on."""
    rig = rigs.Rig()
    rig.to(rigs.START + 60_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test", order_type=order_type)))
    checks = judge()
    checks.after_records(rig.records, [encode_record(record) for record in rig.records], rig.kernel, rig.now)
    return checks, rig, post


def recorded(rig: object, post: Post, times: int) -> None:
    """So many posts of it are recorded."""
    rig.order(post).posts = times  # type: ignore[attr-defined]


def test_a_second_post_of_the_same_bytes_needs_two_seconds_and_no_cancel() -> None:
    checks, rig, post = posted()
    recorded(rig, post, 9)
    state = rig.kernel.state  # type: ignore[attr-defined]
    checks.command(post, state, 10_000)
    with pytest.raises(Broken, match="order_posted_twice"):
        checks.command(post, state, 11_999)
    checks.command(post, state, 12_000)
    checks.command(Cancel(post.request.order_id), state, 12_001)
    with pytest.raises(Broken, match="cancelled_order_posted"):
        checks.command(post, state, 20_000)


def test_the_same_bytes_leave_four_times_at_most() -> None:
    checks, rig, post = posted()
    recorded(rig, post, 9)
    for at in (0, 2_000, 4_000, 6_000):
        checks.command(post, rig.kernel.state, at)  # type: ignore[attr-defined]
    with pytest.raises(Broken, match="order_posted_twice"):
        checks.command(post, rig.kernel.state, 8_000)  # type: ignore[attr-defined]


def test_a_post_that_no_record_counts_is_found() -> None:
    checks, rig, post = posted()
    recorded(rig, post, 1)
    checks.command(post, rig.kernel.state, 0)  # type: ignore[attr-defined]
    with pytest.raises(Broken, match=r"order_posted_twice: .* 1 recorded"):
        checks.command(post, rig.kernel.state, 60_000)  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["nothing", "known", "seen", "sell", "fak", "cancelled", "closed", "over"])
def test_the_decision_for_a_second_post_is_judged_too(what: str) -> None:
    checks, rig, post = posted("FAK" if what == "fak" else "GTC")
    order = rig.order(post)  # type: ignore[attr-defined]
    order.state = OrderState.WORKING if what == "known" else OrderState.UNKNOWN
    order.present = what == "seen"
    order.posts = 2
    if what == "sell":
        order.draft = structs.replace(order.draft, action=Action.SELL)
    if what == "cancelled":
        checks.command(Cancel(order.order_id), rig.kernel.state, 0)  # type: ignore[attr-defined]
    market = rig.kernel.state.markets[rigs.CONDITION]  # type: ignore[attr-defined]
    market.accepting = what != "closed"
    checks.shadow.orders[order.ref] = order
    record = OrderReposted(0, order.ref, 2)
    now = market.market.end if what == "over" else rig.now  # type: ignore[attr-defined]
    if what == "nothing":
        checks.after_records([record], [], rig.kernel, now)  # type: ignore[attr-defined]
        return
    with pytest.raises(Broken, match="cancelled_order_posted" if what == "cancelled" else "order_posted_twice"):
        checks.after_records([record], [], rig.kernel, now)  # type: ignore[attr-defined]


def test_an_absence_that_the_venue_contradicts_is_found() -> None:
    checks, rig, post = posted()
    order = rig.order(post)  # type: ignore[attr-defined]
    checks.shadow.orders[order.ref] = order
    record = OrderMoved(0, order.ref, OrderState.CLOSED, "absent", 0, 0, False)
    checks.after_records([record], [], rig.kernel, rig.now)  # type: ignore[attr-defined]
    checks.exchange.order = lambda order_id: rig.row(order, "LIVE", "0")  # type: ignore[attr-defined,method-assign]
    with pytest.raises(Broken, match="absent_is_absent"):
        checks.after_records([record], [], rig.kernel, rig.now)  # type: ignore[attr-defined]


def test_what_never_rests_is_never_posted_again() -> None:
    checks, rig, post = posted("FAK")
    recorded(rig, post, 9)
    checks.command(post, rig.kernel.state, 0)  # type: ignore[attr-defined]
    with pytest.raises(Broken, match="order_posted_twice"):
        checks.command(post, rig.kernel.state, 60_000)  # type: ignore[attr-defined]


def test_a_sell_beyond_what_is_held_is_found() -> None:
    """A target's sell is judged once as it is, and once as if a share were missing."""
    for missing in (0, 1_000_000):
        rig = rigs.Rig()
        rig.to(rigs.START + 60_000)
        rig.book("0.40/0.42")
        rig.enter()
        before = len(rig.records)
        rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
        checks = judge()
        first, rest = rig.records[:before], rig.records[before:]
        checks.after_records(first, [encode_record(record) for record in first], _Still(rig.kernel, checks), rig.now)
        position = rig.kernel.state.position(rigs.CONDITION, Side.UP)
        position.settled -= missing
        judged = [encode_record(record) for record in rest]
        if missing:
            with pytest.raises(Broken, match="sell_beyond_t3"):
                checks.after_records(rest, judged, rig.kernel, rig.now)
        else:
            checks.after_records(rest, judged, rig.kernel, rig.now)


class _Still:
    """A kernel whose state is the judge's own fold: records before the point of interest are not judged."""

    def __init__(self, kernel: object, checks: Checks) -> None:
        self.kernel = kernel
        self.state = checks.shadow


def test_a_state_that_is_not_the_fold_of_its_bytes_is_found() -> None:
    checks, rig, _ = posted()
    checks.in_full(rig.kernel)  # type: ignore[attr-defined]
    checks.shadow.last_match_s += 1
    with pytest.raises(Broken, match="state_equals_fold: last_match_s"):
        checks.in_full(rig.kernel)  # type: ignore[attr-defined]
    assert different(checks.shadow, checks.shadow) == ""


def test_an_amount_that_differs_by_a_micro_unit_is_found_at_once() -> None:
    checks, rig, _ = posted()
    record = next(each for each in rig.records if isinstance(each, LedgerPosted))  # type: ignore[attr-defined]
    checks.shadow.ledger[f"{record.entries[0].account}/{record.entries[0].asset}"] += 1
    with pytest.raises(Broken, match="state_equals_fold"):
        checks.after_records([record], [], rig.kernel, rig.now)  # type: ignore[attr-defined]


def test_held_for_a_reason_of_its_own_is_found() -> None:
    checks, rig, _ = posted()
    record = HeldDeclared(0, rigs.CONDITION, Side.UP, "because", "")
    with pytest.raises(Broken, match="held_kind"):
        checks.after_records([record], [], rig.kernel, rig.now)  # type: ignore[attr-defined]


def test_a_trace_shows_the_last_lines_that_concern_the_entity_and_the_hosts_fate() -> None:
    trace = Trace()
    trace.add((0, "host", "started, run 1"))
    for number in range(100):
        trace.add((number, "command", Cancel(f"0x{number % 2}{number:02}")))
    lines = trace.lines(0, ("0x1",))
    assert len(lines) == SHOWN
    assert all("0x1" in line for line in lines)
    assert lines[-1].startswith("     0.099 command Cancel")
    assert trace.lines(0, ("nothing",)) == ["     0.000 host    started, run 1"]
