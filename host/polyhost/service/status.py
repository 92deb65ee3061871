"""What stands in a data folder, whether or not a host runs on it: the journal folded, and who holds its lock.

``described`` is the object of ``polyhost status --json`` (docs/status.md); ``lines`` is the same for a person. Books
and prices are not in the journal: what is durably true is told, not what it is worth now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from polyhost.journal import JOURNAL_FILE, read_journal
from polyhost.kernel.blocks import Cell, cause_of
from polyhost.kernel.entries import at_risk
from polyhost.kernel.funds import explained, funds_of
from polyhost.kernel.state import MarketState, OrderEntry, PositionEntry, State, fold
from polyhost.lab.summary import earned_by_day, market_pnl
from polyhost.model.money import money_text, price_text, reference_text, size_text
from polyhost.model.records import CloseRecorded, Record, RunEnded, RunStarted
from polyhost.model.times import moment_text
from polyhost.model.words import Action
from polyhost.service import live_file
from polyhost.service.folder import running_pid
from polyhost.service.live_file import LIVE_OLD_S, Live

SCORES: Final = {True: ", SCORING", False: ", NOT SCORING", None: ""}
"""What is said of an order's rewards (REW-01); nothing while the venue was not asked about it."""


class Found(Struct):
    """A folder's journal, folded, with what the fold does not keep."""

    path: Path
    pid: int | None
    """Of the host that runs on it; 0: somebody holds the lock and does not say who; None: nobody does."""
    state: State = field(default_factory=State)
    last_seq: int = 0
    last_at: int = 0
    """Market ms of the last record."""
    started: RunStarted | None = None
    live: Live | None = None
    """What the running host says of itself; None: no host runs, or it has said nothing yet."""
    ended: RunEnded | None = None
    """None: the last run goes on, or was killed."""


def look(path: Path) -> Found:
    """Read the folder's journal; nothing is written. Raises JournalError for one that cannot be read."""
    found = Found(path, running_pid(path))
    found.state = fold(_noted(found))
    if found.pid is not None and found.started is not None:
        live = live_file.newest(path)
        found.live = live if live is not None and live.run == found.started.run_id else None
    return found


def _noted(found: Found) -> Iterator[Record]:
    """The journal's records; what the fold drops is noted on the way."""
    for seq, record in read_journal(found.path / JOURNAL_FILE):
        found.last_seq, found.last_at = seq, max(found.last_at, record.at)
        match record:
            case RunStarted():
                found.started, found.ended = record, None
            case RunEnded():
                found.ended = record
        yield record


def described(found: Found) -> dict[str, Any]:
    """The whole object: money as decimal strings with six places, sizes and prices as decimals, times ms UTC."""
    state, started = found.state, found.started
    return {
        "data_dir": str(found.path),
        "running": found.pid is not None,
        "ready": found.live is not None and found.live.ready and found.live.age_s <= LIVE_OLD_S,
        "phase": None if found.live is None else found.live.phase or None,
        "sealed": None if found.live is None else found.live.sealed or None,
        "loops": None if found.live is None else found.live.loops,
        "ages": None if found.live is None else found.live.ages,
        "feeds": None if found.live is None else found.live.feeds,
        "loops_age_s": None if found.live is None else found.live.age_s,
        "pid": found.pid or None,
        "run": None if started is None else {
            "id": started.run_id, "version": started.version, "mode": started.mode, "account": started.account,
            "config_hash": started.config_hash, "started_at": started.at,
            "ended": None if found.ended is None else {"at": found.ended.at, "reason": found.ended.reason},
        },
        "runs": state.runs,
        "last_seq": found.last_seq,
        "last_at": found.last_at,
        "cash": {name: money_text(state.balance(name)) for name in ("free", "reserved", "unredeemed")},
        "funds": _funds(state),
        "at_risk": money_text(sum(amount for _, amount in at_risk(state))),
        "pnl": money_text(sum(pnl for entry in _settled(state) if (pnl := market_pnl(state, entry)) is not None)),
        "windows_settled": sum(1 for _ in _settled(state)),
        "blocked": (blocked := {**state.blocked, **state.shut, **_volatile(found)}),
        "blocks": [_block(name, reason) for name, reason in blocked.items()],
        "quarantined": dict(state.quarantined),
        "windows": [_window(state, entry) for entry in state.markets.values() if not entry.settled],
        "positions": [_position(state, position) for position in open_positions(state)],
        "orders": [_order(state, order, _scoring(found)) for order in open_orders(state)],
        "builder_paid": {code: money_text(paid) for code, paid in sorted(state.builder_paid.items())},
        "rewards": {"paid": money_text(-state.balance("rewards")), "earned": earned_by_day(state)},
        "unmanaged": [f"{_slug(state, each.condition_id)} {each.side.value}" for each in unmanaged(state)],
        "last_close": None if not state.closes else _close(state, state.closes[-1]),
    }


def _funds(state: State) -> dict[str, Any]:
    """Where the collateral is, why little of it is free, and what gives some back (SET-04)."""
    funds = funds_of(state)
    return {
        "free": money_text(funds.free), "in_orders": money_text(funds.in_orders),
        "in_positions": money_text(funds.in_positions), "unredeemed": money_text(funds.unredeemed), "low": funds.low,
        "explanation": explained(funds) or None,
        "releases": [
            {"what": each.what, "amount": money_text(each.amount), "command": each.command or None}
            for each in funds.releases
        ],
    }


def _volatile(found: Found) -> dict[str, str]:
    """Blocks that no journal holds, as the running host says them."""
    return {} if found.live is None else dict(found.live.blocks)


def _scoring(found: Found) -> Mapping[str, bool]:
    """Which orders score, as the venue told the running host."""
    return {} if found.live is None else found.live.scoring


def open_positions(state: State) -> list[PositionEntry]:
    """Positions with shares of an undecided market."""
    return [
        position for position in state.positions.values()
        if position.size > 0 and not state.markets[position.condition_id].settled
    ]


def open_orders(state: State) -> list[OrderEntry]:
    return [state.orders[ref] for refs in state.open_refs.values() for ref in refs]


def unmanaged(state: State) -> list[PositionEntry]:
    """Positions that nothing will end before their window does: no exit rests, no obligation, not held."""
    return [
        position for position in open_positions(state)
        if not position.held and f"{position.condition_id}:{position.side.value}" not in state.obligations
        and not _exits(state, position)
    ]


def _settled(state: State) -> Iterator[MarketState]:
    return (entry for entry in state.markets.values() if entry.settled)


def _slug(state: State, condition_id: str) -> str:
    return state.markets[condition_id].market.slug


def _exits(state: State, position: PositionEntry) -> list[OrderEntry]:
    return [
        order for order in state.open_orders(position.condition_id)
        if order.slot.side is position.side and order.draft.action is Action.SELL
    ]


def _window(state: State, entry: MarketState) -> dict[str, Any]:
    market = entry.market
    return {
        "slug": market.slug, "condition_id": market.condition_id, "start": market.start, "end": market.end,
        "accepting": entry.accepting, "strike": entry.strike, "entries": entry.entries, "exits": entry.exits,
    }


def _position(state: State, position: PositionEntry) -> dict[str, Any]:
    exits = _exits(state, position)
    return {
        "slug": _slug(state, position.condition_id), "condition_id": position.condition_id,
        "side": position.side.value, "size": size_text(position.size), "settled": size_text(position.settled),
        "average": price_text(position.average), "cost": money_text(position.cost), "opened_at": position.opened_at,
        "held": position.held or None,
        "obligation_due": state.obligations.get(f"{position.condition_id}:{position.side.value}"),
        "exits": [{"order": order.ref, "price": price_text(order.draft.price),
                   "size": size_text(order.open_upper), "state": order.state.value} for order in exits],
    }


def _order(state: State, order: OrderEntry, scoring: Mapping[str, bool]) -> dict[str, Any]:
    draft, slot = order.draft, order.slot
    return {
        "order": order.ref, "order_id": order.order_id or None, "slug": _slug(state, slot.condition_id),
        "side": slot.side.value, "purpose": slot.purpose.value, "action": draft.action.value,
        "type": draft.order_type.value, "price": price_text(draft.price), "size": size_text(draft.size),
        "matched": size_text(order.done), "state": order.state.value, "reserved": money_text(order.reserve),
        "placed_at": order.placed_at, "scoring": scoring.get(order.ref),
    }


def _block(name: str, reason: str) -> dict[str, Any]:
    """A cause of docs/blocks.md, what it stops and how it clears."""
    cause = cause_of(name)
    return {
        "name": name, "reason": reason, "lasting": cause.lasting, "clears": cause.clears.replace("NAME", name),
        "stops": [purpose.value for purpose, cell in cause.cells.items() if cell is not Cell.FREE],
        "by_setting": [purpose.value for purpose, cell in cause.cells.items() if cell is Cell.SETTING],
    }


def _close(state: State, close: CloseRecorded) -> dict[str, Any]:
    return {
        "slug": _slug(state, close.condition_id), "side": close.side.value, "at": close.at,
        "reason": close.exit_reason, "forced": close.forced, "size": size_text(close.size),
        "entry_price": price_text(close.entry_price), "exit_price": price_text(close.exit_price),
        "pnl": money_text(close.pnl), "fees": money_text(close.fees),
    }


# --- for a person -----------------------------------------------------------------------------------------------------


def lines(report: Mapping[str, Any]) -> list[str]:
    """The report in a dozen lines; times are UTC."""
    run, cash = report["run"], report["cash"]
    if run is None:
        return [f"{report['data_dir']}: nothing was ever run here"]
    who = f"polyhost {run['version']}, {run['mode']}, account {run['account']}"
    journal = f"{report['runs']} runs, record {report['last_seq']} at {moment_text(report['last_at'])}"
    funds = ", ".join(f"{amount} {name}" for name, amount in cash.items())
    tied = report["funds"]
    settled = f"P&L of {report['windows_settled']} settled windows {report['pnl']}"
    told = [
        f"{report['data_dir']}: {_who(report)}",
        f"run {run['id']} ({who}), {_ended(report)}; {journal}",
        f"cash {funds}; at risk {report['at_risk']}; {settled}",
        _funds_line(tied),
    ]
    if tied["explanation"]:
        told.append(f"low balance: {tied['explanation']}")
    told += _loop_lines(report)
    told += [
        f"entries blocked ({block['name']}): {block['reason']}; clears: {block['clears']}" for block in report["blocks"]
    ]
    told += [
        f"plugin {name} is QUARANTINED: {why}; let it in again with `polyhost plugins release {name}`"
        for name, why in report["quarantined"].items()
    ]
    told += [_window_line(window) for window in report["windows"]]
    told += [_position_line(position) for position in report["positions"]] or ["no open position"]
    told += [_order_line(order) for order in report["orders"]] or ["no open order"]
    if (close := report["last_close"]) is not None:
        told.append(
            f"last close {moment_text(close['at'])}: {close['slug']} {close['size']} {close['side']} at "
            f"{close['exit_price']} ({close['reason']}), P&L {close['pnl']}"
        )
    if report["rewards"]["earned"]:
        told.append(_rewards_line(report["rewards"]))
    told += [f"builder code {code}: {paid} paid for it so far" for code, paid in report["builder_paid"].items()]
    told += [f"UNMANAGED: {name} has neither exit nor obligation" for name in report["unmanaged"]]
    return told


def _funds_line(funds: Mapping[str, Any]) -> str:
    return (
        f"funds {funds['free']} free, {funds['in_orders']} in open orders, {funds['in_positions']} in positions, "
        f"{funds['unredeemed']} unredeemed"
    )


def _loop_lines(report: Mapping[str, Any]) -> list[str]:
    loops, age = report["loops"], report["loops_age_s"]
    if loops is None:
        return []
    if age > LIVE_OLD_S:
        return [f"NO SIGN OF LIFE of the host for {age:.0f} s"]
    down = [
        f"loop {name} is NOT ALIVE ({figures['reason']})" + ("; new entries wait" if figures["safety"] else "")
        for name, figures in loops.items() if not figures["alive"]
    ]
    if report["sealed"]:
        down = [*down, f"SEALED, nothing is entered any more: {report['sealed']}"]
    restarts = sum(figures["restarts"] for figures in loops.values())
    alive = sum(figures["alive"] for figures in loops.values())
    return [f"{alive} of {len(loops)} loops alive, {restarts} restarts", *down, *_feed_lines(report["feeds"])]


def _feed_lines(feeds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"feeds of {name}: {told['readings']:,} readings, "
        + ("none yet" if told["age_s"] is None else f"the last {told['age_s']:.1f} s ago")
        + f", {told['dropped']:,} dropped, {told['refused']:,} refused, {told['restarts']} restarts"
        + (f" ({told['problem']})" if told["problem"] else "")
        for name, told in feeds.items()
    ]


def _who(report: Mapping[str, Any]) -> str:
    if not report["running"]:
        return "no host runs; this is what its journal says"
    phase = f", {report['phase']}" if report["phase"] else ""
    return f"a host runs (pid {report['pid']}){phase}" if report["pid"] else f"a host runs{phase}"


def _ended(report: Mapping[str, Any]) -> str:
    ended = report["run"]["ended"]
    if ended is not None:
        return f"ended {moment_text(ended['at'])} by {ended['reason']}"
    return f"since {moment_text(report['run']['started_at'])}" if report["running"] else "did not end properly (killed)"


def _window_line(window: Mapping[str, Any]) -> str:
    begins = "" if window["start"] is None else f"{moment_text(window['start'])} to "
    strike = "" if window["strike"] is None else f", strike {reference_text(window['strike'])}"
    return f"window {window['slug']}: {begins}{moment_text(window['end'])}{strike}, {window['entries']} entries"


def _position_line(position: Mapping[str, Any]) -> str:
    exits = ", ".join(f"{each['order']} sells {each['size']} at {each['price']}" for each in position["exits"])
    if position["held"]:
        duty = f"held to settlement ({position['held']})"
    elif position["obligation_due"] is not None:
        duty = f"closed or held by {moment_text(position['obligation_due'])}"
    else:
        duty = "no obligation"
    return (
        f"position {position['slug']}: {position['size']} {position['side']} at {position['average']} "
        f"(cost {position['cost']}); {exits or 'no exit rests'}; {duty}"
    )


def _order_line(order: Mapping[str, Any]) -> str:
    return (
        f"order {order['order']} {order['slug']} {order['purpose']}: {order['action']} {order['size']} {order['side']} "
        f"at {order['price']} {order['type']}, {order['matched']} matched, {order['state']}{SCORES[order['scoring']]}"
    )


def _rewards_line(rewards: Mapping[str, Any]) -> str:
    """Today, or the last day that brought anything."""
    day, earned = list(rewards["earned"].items())[-1]
    return (
        f"rewards: {earned['rewards']} and rebates {earned['rebates']} earned on {day}; "
        f"{rewards['paid']} paid so far"
    )
