"""How an account's run comes to its end: why it ends, and what must be proved before it does.

What is open stays safe in between: exits rest at the venue, obligations are in the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from loguru import logger

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import PositionEntry
from polyhost.kernel.supervised import SEALED
from polyhost.model.events import RunEnding
from polyhost.model.words import Action, OrderState
from polyhost.service.phases import Phase

if TYPE_CHECKING:
    from polyhost.service.account import AccountRun

STOP_WITHIN_S: Final = 5.0
"""A graceful stop waits this long, wall seconds, for the proof of its cancels."""
SETTLE_WITHIN_S: Final = 120.0
"""After the last window: this long, wall seconds, for what is open to be exited or settled; then it is told."""
KILL: Final = "kill"
KILL_WITHIN_S: Final = 60.0
"""After a kill: this long, wall seconds, for the cancels (and the sales of ``--flatten``) to be proved."""
WINDOWS: Final = "windows"


async def until_the_end(account: AccountRun) -> str:
    """Until a stop is asked for, the windows are done, or the journal failed; returns why. Raises what broke it."""
    engine = account.engine
    stop = asyncio.create_task(account.stopping.wait())
    try:
        while True:
            engine.changed.clear()
            if engine.broken is not None:
                raise engine.broken
            if account.stopping.is_set():
                return account.stop_reason
            if engine.sealed is not None:
                return SEALED
            account.settled_here = _settled(account)
            if account.windows is not None and account.settled_here >= account.windows:
                return WINDOWS
            changed = asyncio.create_task(engine.changed.wait())
            await asyncio.wait({stop, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
    finally:
        stop.cancel()


def _settled(account: AccountRun) -> int:
    """Windows that settled in this run and whose entries were allowed from the open."""
    return sum(
        entry.settled and entry.from_open and (entry.market.start or 0) >= account.began_market
        for entry in account.kernel.state.markets.values()
    )


async def wind_down(account: AccountRun, reason: str) -> None:
    """Entries and quotes go; wait for what this end promises, then take nothing more."""
    engine, kernel = account.engine, account.kernel
    engine.event(RunEnding(reason))
    if reason == SEALED:
        account.enter(Phase.SEALED)
        reason = await _until_safe(account)
    if reason == WINDOWS:
        account.enter(Phase.SETTLING)
        await _until(account, lambda: nothing_open(kernel), SETTLE_WITHIN_S)
    elif reason == KILL:
        account.enter(Phase.KILLING)
        await _until(account, lambda: flat(kernel) if account.flatten else no_orders(kernel), KILL_WITHIN_S)
    else:
        account.enter(Phase.STOPPING)
        await _until(account, lambda: quiet(kernel), STOP_WITHIN_S)
    account.stopping.set()
    account.enter(Phase.CLOSING)
    await engine.deliveries(STOP_WITHIN_S)
    # Streams and timer run on while the end is written: from here on nothing of theirs changes the state.
    engine.halt()
    await engine.drain(STOP_WITHIN_S)


async def _until_safe(account: AccountRun) -> str:
    """The journal failed: go on until nothing is at risk any more, or the operator ends it; returns who did."""
    logger.critical(
        "the journal failed: nothing is entered any more; the host ends when every position is sold, settled or "
        "held, or when you stop it"
    )

    def over() -> bool:
        return account.stopping.is_set() or flat(account.kernel)

    while not over():
        await _until(account, over, SETTLE_WITHIN_S)
    return account.stop_reason if account.stopping.is_set() else SEALED


async def _until(account: AccountRun, done: Callable[[], bool], within_s: float) -> None:
    engine = account.engine
    deadline = time.monotonic() + within_s
    while not done() and time.monotonic() < deadline:
        if engine.broken is not None:
            raise engine.broken
        engine.changed.clear()
        try:
            await asyncio.wait_for(engine.changed.wait(), min(1.0, max(deadline - time.monotonic(), 0.01)))
        except TimeoutError:
            continue


# --- what is open -----------------------------------------------------------------------------------------------------


def no_orders(kernel: Kernel) -> bool:
    """Nothing of ours rests or is on its way."""
    return not any(kernel.state.open_refs.values())


def flat(kernel: Kernel) -> bool:
    """No orders, and no position but what is knowingly held (a rest the venue does not take)."""
    state = kernel.state
    return no_orders(kernel) and all(
        position.size <= 0 or position.held or state.markets[position.condition_id].settled
        for position in state.positions.values()
    )


def quiet(kernel: Kernel) -> bool:
    """Nothing is on its way: no buy, no order whose answer or end is awaited, no sale at market under way."""
    state = kernel.state
    orders = [state.orders[ref] for refs in state.open_refs.values() for ref in refs]
    resting = all(
        order.draft.action is Action.SELL and order.state is OrderState.WORKING and order.draft.order_type.rests
        for order in orders
    )
    return resting and not any(_selling(kernel, position) for position in state.positions.values())


def _selling(kernel: Kernel, position: PositionEntry) -> bool:
    data = kernel.data(position.condition_id)
    plan = None if data is None else data.exits.get(position.side)
    settled = kernel.state.markets[position.condition_id].settled
    return position.size > 0 and not settled and plan is not None and plan.urgent is not None


def nothing_open(kernel: Kernel) -> bool:
    """No order, no trade that is not final, no position in an undecided market."""
    state = kernel.state
    if any(state.open_refs.values()) or state.unsettled:
        return False
    return all(
        position.size <= 0 or state.markets[position.condition_id].settled for position in state.positions.values()
    )
