"""What nobody asks for any more leaves the memory (decision 0020), and nothing is decided otherwise for that."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhost.kernel.state import State, fold
from polyhost.model.events import CancelAnswered, OrderSeen, PostAnswered, SweepDone, TradeSeen, VenueNoticed
from polyhost.model.words import OrderState, Side, TradeStatus

from .rig import CONDITION, START, Rig
from .test_kernel_machine import Trade, World

ORDER_BYTES_MAX: Final = 1_600
"""What an order of a settled market may hold, with its trades and its names; it was 4,300 and more."""


def stormy(seed: int, steps: int, *, keeps_all: bool) -> World:
    """A random venue until its market is decided, and long after that: it repeats itself and tells what it never told.
    """
    world = World(random.Random(seed), forgetful=seed % 2 == 1, whole=keeps_all)
    for _ in range(steps):
        world.act()
    world.calm()
    world.settle_down()
    for event in late(world, random.Random(seed)):
        world.rig.do(event)
        world.rig.wait(1_000)
    return world


def late(world: World, chance: random.Random) -> Iterable[Any]:
    """Trades that nobody heard of, old ones once more, answers to cancels and posts, orders that show up again."""
    for order in list(world.orders.values()):
        if chance.random() < 0.5:
            missed = Trade(
                f"late {order.order_id}", order.order_id, order.token, order.action, order.price, 1_000_000,
                chance.random() < 0.5, at_s=world.rig.now // 1_000,
            )
            yield from (TradeSeen(missed.row(word), "stream") for word in ("MATCHED", "CONFIRMED", "MATCHED"))
        yield CancelAnswered(order.order_id, chance.choice(("canceled", "gone", "unknown", "not_found")))
        yield PostAnswered(order.order_id, chance.choice(("accepted", "unknown", "refused")), "live")
        yield OrderSeen(order.row(status="LIVE"), "query")
        yield VenueNoticed("filled", order.order_id, CONDITION, f"late {order.order_id}")
    for trade in world.trades:
        yield TradeSeen(trade.row(chance.choice(("MATCHED", "CONFIRMED", "FAILED"))), "stream")
        yield VenueNoticed(chance.choice(("filled", "fill_failed")), trade.order_id, CONDITION, trade.trade_id)
    rows = tuple(order.row(status="LIVE") for order in world.orders.values())
    yield SweepDone("", rows, tuple(trade.row("CONFIRMED") for trade in world.trades), True, begun=world.rig.now)


@settings(max_examples=12, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000_000), st.integers(20, 300))
def test_sim_05_a_kernel_that_puts_away_does_what_one_does_that_keeps_everything(seed: int, steps: int) -> None:
    less, more = (stormy(seed, steps, keeps_all=keeps_all) for keeps_all in (False, True))
    assert less.rig.commands == more.rig.commands
    assert less.rig.records == more.rig.records
    state = less.rig.kernel.state
    assert fold(less.rig.records) == state, "live, and folded"
    assert fold(more.rig.records, whole=True) == more.rig.kernel.state
    assert less.rig.kernel.broken_invariants() == more.rig.kernel.broken_invariants()


def test_u2_an_order_that_is_over_stays_ours_and_so_do_its_trades() -> None:
    rig, kept = bought(whole=False), bought(whole=True)
    state = rig.kernel.state
    (order,) = state.orders.values()
    (key,) = state.fills
    assert order.state is OrderState.CLOSED
    assert order.request is None
    assert order.why["plugin"] == "test", "until the result: a rest may be placed again, a hedge is told of"
    for each in (rig, kept):
        each.resolve(Side.UP)
    assert state.by_order_id(order.order_id) is order
    assert (order.why, state.fills, state.slots_used, state.slots_filled) == ({}, {}, {}, {})
    assert state.final == {key: TradeStatus.CONFIRMED}
    everything = fold(rig.records, whole=True)
    assert kept.kernel.state == everything
    assert list(everything.fills) == [key]
    assert everything.orders[order.ref].why["plugin"] == "test", "who reads the past finds it"
    assert rig.kernel.broken_invariants() == [] == kept.kernel.broken_invariants()


def bought(*, whole: bool) -> Rig:
    rig = Rig()
    rig.kernel.state.whole = whole
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    return rig


def test_b8_a_settled_order_holds_little() -> None:
    """Objects, not resident memory: what the allocator makes of them is another matter."""
    orders = counted = 0
    for seed in range(10):
        state = stormy(seed, 300, keeps_all=False).rig.kernel.state
        orders += len(state.orders)
        counted += held(state)
    assert orders > 40, "else it says nothing"
    assert counted / orders <= ORDER_BYTES_MAX, counted / orders


def held(state: State) -> int:
    """Bytes of the objects that orders and trades keep alive."""
    found, seen = 0, set[int]()
    work: list[object] = [state.orders, state.by_id, state.fills, state.final, state.refs, state.slots_used]
    while work:
        each = work.pop()
        if id(each) in seen or isinstance(each, type | ModuleType | FunctionType):
            continue
        seen.add(id(each))
        found += sys.getsizeof(each)
        work += gc.get_referents(each)
    return found
