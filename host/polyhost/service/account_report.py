"""What an account's run comes to: its last comparison with the venue and the summary object."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from loguru import logger
from msgspec import UNSET

from polyhost.errors import VenueError
from polyhost.journal import read_journal
from polyhost.kernel.invariants import INVARIANTS
from polyhost.kernel.state import fold
from polyhost.lab.builders import builder_figures
from polyhost.lab.summary import Extras, gather, summary
from polyhost.model.alerts import BY_HAND
from polyhost.model.commands import Sweep
from polyhost.model.events import BalanceSeen, QueryFailed, SweepDone
from polyhost.model.money import money_text
from polyhost.model.records import ForeignSeen, NoticeRaised, Record
from polyhost.service.account_end import WINDOWS
from polyhost.service.left_open import left_open

if TYPE_CHECKING:
    from polyhost.service.account import AccountRun


async def report(account: AccountRun) -> dict[str, Any]:
    """The last records, the journal closed and folded, and the summary (``run --json``)."""
    engine, kernel = account.engine, account.kernel
    orphans, venue_problem = await _compared(account)
    if account.process is not None:
        await account.process.count()
    engine.carry_out(kernel.ended(account.clock.now(), account.stop_reason or WINDOWS))
    broken = kernel.broken_invariants()
    engine.journal.close()
    by_hand = _by_hand(record for _, record in read_journal(account.folder.journal))
    if venue_problem and by_hand:
        logger.warning("trades were made by hand in this wallet: the difference of its collateral is theirs")
    elif venue_problem:
        broken.append(venue_problem)
    told = fold(record for _, record in read_journal(account.folder.journal))
    if told != kernel.state:
        broken.append("journal_folds_to_state")
    if engine.sealed is not None:
        broken.append("journal_failed")
    extras = gather(kernel, Extras())
    extras.orphans = orphans
    extras.checked = len(INVARIANTS) + 2
    if account.paper is not None:
        extras.checked += 1
        broken += [f"paper exchange: {problem}" for problem in account.paper.venue.audit()]
    extras.broken = broken
    extras.config_hash = account.loaded.config_hash
    extras.gates = {condition_id: kernel.gates(condition_id) for condition_id in kernel.state.markets}
    extras.builder = builder_figures(kernel.state, account.builder, await _credited(account))
    extras.wall = _wall(account)
    return summary(kernel.state, extras)


def _by_hand(records: Iterable[Record]) -> bool:
    """Did anybody but this account ever trade in its wallet? The ledger knows only what is ours (OPS-06)."""
    return any(
        isinstance(record, ForeignSeen) or (isinstance(record, NoticeRaised) and record.topic == BY_HAND)
        for record in records
    )


def _wall(account: AccountRun) -> dict[str, Any]:
    """What may differ between two equal runs."""
    engine, budget, process = account.engine, account.market.budget, account.process
    shared = budget.calls if not account.label else {}
    calls = Counter(shared) + Counter({} if process is None else process.calls)
    duration = time.monotonic() - account.started_at
    market_s = (account.clock.now() - account.began_market) / 1_000
    lateness = sorted(engine.lateness)
    return {
        "run_id": account.run_id,
        "duration_s": round(duration, 3),
        "market_s": round(market_s, 3),
        "speed_wanted": account.settings.exchange.speed,
        "speed_effective": round(market_s / duration, 2) if duration else 0.0,
        "messages": engine.messages,
        "events_per_s": round(engine.messages / duration, 1) if duration else 0.0,
        "lag_ms_p99": round(lateness[int(len(lateness) * 0.99)], 3) if lateness else 0.0,
        "windows_from_open": account.settled_here,
        "venue_calls": {f"{name} {purpose}": count for (name, purpose), count in sorted(calls.items())},
        "venue_calls_refused": sum(budget.refused.values()) + (0 if process is None else process.calls_refused),
        "killed": account.killed,
        "left_open": left_open(account.kernel.state),
    }


async def _credited(account: AccountRun) -> dict[str, Any] | None:
    """What the venue credits the builder code with since this run began, from everybody; None: there is no code."""
    if account.builder is UNSET:
        return None
    try:
        found = await account.gateway.credited(account.builder.code, account.began_market // 1_000)
    except VenueError as error:
        logger.warning("what the builder code was credited with is not known: {}", error)
        return {"problem": str(error)}
    return {
        "since": account.began_market, "trades": found.trades, "ours": found.ours, "volume": money_text(found.volume),
        "fees": money_text(found.fees), "whole": found.whole,
    }


async def _compared(account: AccountRun) -> tuple[int, str]:
    """Live orders at the venue that nobody wants, and whether its collateral is the ledger's (both once quiet)."""
    gateway, state = account.gateway, account.kernel.state
    events = await gateway.execute(Sweep("", max(account.clock.now() // 1_000 - 7_200, 0)))
    balances = await gateway.balance()
    orphans = 0
    for event in (*events, balances):
        match event:
            case SweepDone():
                known = (state.by_order_id(row.order_id) for row in event.orders)
                orphans += sum(order is not None and not order.open for order in known)
            case QueryFailed():
                logger.warning("the end was not compared with the venue ({}): {}", event.what, event.reason)
    quiet = state.opened and not state.unsettled and not any(state.open_refs.values())
    if isinstance(balances, BalanceSeen) and quiet:
        ours = state.balance("free") + state.balance("reserved")
        if balances.collateral != ours:
            theirs = money_text(balances.collateral)
            logger.warning("the venue shows {} of collateral, the ledger {}", theirs, money_text(ours))
            return orphans, "venue_collateral_equals_ledger"
    return orphans, ""
