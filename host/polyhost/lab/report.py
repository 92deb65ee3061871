"""``polyhost report``: what a data folder's account made, with what, at what cost, and how right its opinions were.

Read from journal and analysis data alone, which a host may be writing: nothing is changed. P&L is of markets without
open shares, as in a run's summary, so its tables add up to ``pnl.central`` by day, window, plugin, exit reason and run;
what is open stands apart. Money is micro-units here and decimal strings with six places in the object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from polyhost import __version__
from polyhost.journal import ANALYSIS_FILE, JOURNAL_FILE, JournalError, read_journal
from polyhost.journal.explanations import wanted_by
from polyhost.journal.glances import Glance, latest
from polyhost.kernel.breakers import DAY_MS
from polyhost.kernel.funds import funds_of
from polyhost.kernel.state import PositionEntry, State, folding
from polyhost.lab.report_costs import Rewards, costs, fills_of
from polyhost.lab.report_results import HOST, Result, Results
from polyhost.lab.summary import market_pnl
from polyhost.model.money import ONE, Micros, micros, money_text, price_text, size_text
from polyhost.model.records import Record, RunEnded, RunStarted
from polyhost.model.times import NEVER, day_text
from polyhost.model.words import Side

STAKE: Final[Micros] = micros("25")
EDGE_MIN: Final = 0.02
"""Of the bets in the scores of opinions, as `polyhost compare` makes them."""
NUMPY: Final = "opinions are not scored: install polyhost[analysis] (numpy)"

Explain = Callable[[Path, Sequence[str]], Mapping[str, Mapping[str, Any]]]
"""Folder and slugs of windows → why each is as it is (``service.why.windows``)."""


class Run(Struct):
    """One run of the journal; times market ms."""

    started: RunStarted
    ended: RunEnded | None = None


class Told(Struct):
    """The journal, read once."""

    since: int
    until: int
    state: State = field(default_factory=State)
    results: Results = field(default_factory=Results)
    runs: list[Run] = field(default_factory=list)
    first_at: int | None = None
    """Market ms of the first and last record within the time."""
    last_at: int = 0
    records: int = 0

    def inside(self, at: int) -> bool:
        return self.since <= at < self.until


def last_moment(folder: Path, wall_ms: int) -> int:
    """From when "24h ago" counts: now, and for a simulation its last record, because its clock stood still since then.

    Raises JournalError when there is no journal, or none that can be read.
    """
    end, simulated, there = 0, False, False
    for _, record in read_journal(folder / JOURNAL_FILE):
        there, end = True, max(end, record.at)
        if isinstance(record, RunStarted):
            simulated = record.mode == "sim"
    if not there:
        raise JournalError(folder / JOURNAL_FILE, f"nothing was ever run in {folder}", "`polyhost run` makes a journal")
    return end if simulated else max(end, wall_ms)


def reported(
    folder: Path, explain: Explain, since: int | None = None, until: int | None = None, worst: int = 5
) -> dict[str, Any]:
    """The object of ``report --json`` (docs/report.md) of [since, until), market ms; None: without that end.

    ``problems`` says what of the analysis data could not be had. Raises JournalError for a journal that is missing,
    damaged, newer than this host, or cannot be reached.
    """
    rewards = Rewards(since or 0, NEVER if until is None else until)
    told = read(folder, rewards)
    if not told.records:
        raise JournalError(folder / JOURNAL_FILE, f"nothing was ever run in {folder}", "`polyhost run` makes a journal")
    counted, unfinished = told.results.found(told.state)
    counted = [result for result in counted if told.inside(result.at)]
    problems: list[str] = []
    return {
        "data_dir": str(folder), "account": told.state.account, "mode": told.runs[-1].started.mode if told.runs else "",
        "since": since, "until": until, "first_at": told.first_at, "last_at": told.last_at or None,
        "records": told.records, "version": __version__,
        **_pnl(told, counted), "open": _open(folder, told, unfinished, problems),
        "costs": costs(told.state, fills_of(told.state, told.since, told.until)),
        "rewards": rewards.described(told.state), "opinions": _opinions(folder, told, problems),
        "worst": _worst(folder, told, counted, explain, worst, problems), "problems": problems,
    }


def read(folder: Path, rewards: Rewards) -> Told:
    """The whole journal, folded. Raises JournalError."""
    told = Told(rewards.since, rewards.until)
    for record, state in folding(record for _, record in read_journal(folder / JOURNAL_FILE)):
        told.state = state
        told.records += 1
        told.results.see(record)
        rewards.see(record)
        _note(told, record)
    return told


def _note(told: Told, record: Record) -> None:
    match record:
        case RunStarted():
            told.runs.append(Run(record))
        case RunEnded() if told.runs:
            told.runs[-1].ended = record
        case _:
            if not told.inside(record.at):
                return
    if told.inside(record.at):
        told.first_at = record.at if told.first_at is None else told.first_at
        told.last_at = max(told.last_at, record.at)


# --- P&L --------------------------------------------------------------------------------------------------------------


def _pnl(told: Told, counted: Sequence[Result]) -> dict[str, Any]:
    return {
        "pnl": _total(counted), "cash": _cash(told.state),
        "by_day": _by_day(counted), "by_window": _by_window(told.state, counted),
        "by_plugin": _by_plugin(counted),
        "by_exit_reason": _grouped(counted, "reason", lambda result: result.reason),
        "by_ender": _grouped(counted, "ended_by", lambda result: result.ended_by),
        "by_run": _by_run(told, counted), "curve": _curve(counted),
    }


def _total(counted: Sequence[Result]) -> dict[str, Any]:
    pnl = [result.pnl for result in counted]
    windows = _sums(counted, lambda result: result.condition_id)
    return {
        "central": money_text(sum(pnl)), "fees": money_text(sum(result.fees for result in counted)),
        "closes": len(counted), "won": sum(each > 0 for each in pnl), "lost": sum(each < 0 for each in pnl),
        "gained": money_text(sum(each for each in pnl if each > 0)),
        "lost_money": money_text(-sum(each for each in pnl if each < 0)),
        "windows": len(windows), "windows_won": sum(each > 0 for each in windows.values()),
        "windows_lost": sum(each < 0 for each in windows.values()), "drawdown": money_text(_drawdown(pnl)),
    }


def _sums(counted: Iterable[Result], key: Callable[[Result], str]) -> dict[str, Micros]:
    found: dict[str, Micros] = {}
    for result in counted:
        found[key(result)] = found.get(key(result), 0) + result.pnl
    return found


def _drawdown(pnl: Iterable[Micros]) -> Micros:
    """The deepest fall of the sum below its highest point before."""
    total = peak = deepest = 0
    for each in pnl:
        total += each
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest


def _row(results: Sequence[Result]) -> dict[str, Any]:
    """What every table says of its rows."""
    return {
        "pnl": money_text(sum(each.pnl for each in results)), "fees": money_text(sum(each.fees for each in results)),
        "closes": len(results), "won": sum(each.pnl > 0 for each in results),
    }


def _grouped(counted: Iterable[Result], name: str, key: Callable[[Result], str]) -> list[dict[str, Any]]:
    """The worst first."""
    groups: dict[str, list[Result]] = {}
    for result in counted:
        groups.setdefault(key(result), []).append(result)
    rows = sorted(groups.items(), key=lambda group: (sum(each.pnl for each in group[1]), group[0]))
    return [{name: named} | _row(results) for named, results in rows]


def _by_day(counted: Sequence[Result]) -> list[dict[str, Any]]:
    """Days (UTC) with a close, the oldest first."""
    groups: dict[int, list[Result]] = {}
    for result in counted:
        groups.setdefault(result.at // DAY_MS, []).append(result)
    return [
        {"day": day_text(day), **_row(groups[day]), "windows": len({each.condition_id for each in groups[day]})}
        for day in sorted(groups)
    ]


def _by_window(state: State, counted: Sequence[Result]) -> list[dict[str, Any]]:
    """Markets with a close, in the order of their first."""
    groups: dict[str, list[Result]] = {}
    for result in counted:
        groups.setdefault(result.condition_id, []).append(result)
    rows = []
    for condition_id, results in groups.items():
        entry = state.markets[condition_id]
        outcome = None
        if entry.settled:
            outcome = entry.winner.value if entry.winner is not None else "50-50"
        rows.append({
            "slug": entry.market.slug, "condition_id": condition_id, "outcome": outcome, **_row(results),
            "entries": entry.entries, "exits": entry.exits, "last_at": results[-1].at,
            "reasons": list(dict.fromkeys(each.reason for each in results)),
        })
    return rows


def _by_plugin(counted: Iterable[Result]) -> list[dict[str, Any]]:
    """By who bought, the worst first; a close of shares that several bought counts as one of each."""
    pnl: dict[str, list[tuple[Micros, Micros]]] = {}
    for result in counted:
        for share in result.entered:
            pnl.setdefault(share.plugin, []).append((share.pnl, share.fees))
    rows = sorted(pnl.items(), key=lambda each: (sum(part[0] for part in each[1]), each[0]))
    return [
        {
            "plugin": plugin, "pnl": money_text(sum(part[0] for part in parts)),
            "fees": money_text(sum(part[1] for part in parts)), "closes": len(parts),
            "won": sum(part[0] > 0 for part in parts),
        }
        for plugin, parts in rows
    ]


def _by_run(told: Told, counted: Iterable[Result]) -> list[dict[str, Any]]:
    """By the run in which a position was closed, the oldest first; runs of the time without a close too."""
    groups: dict[str, list[Result]] = {}
    for result in counted:
        groups.setdefault(result.run, []).append(result)
    rows = []
    for run in told.runs:
        results = groups.get(run.started.run_id, [])
        if not results and not told.inside(run.started.at):
            continue
        rows.append({
            "run": run.started.run_id, "mode": run.started.mode, "version": run.started.version,
            "config_hash": run.started.config_hash, "started_at": run.started.at,
            "ended_at": None if run.ended is None else run.ended.at,
            "ended": None if run.ended is None else run.ended.reason, **_row(results),
        })
    return rows


def _curve(counted: Iterable[Result]) -> list[tuple[int, str]]:
    """[market ms, P&L so far] after each close."""
    total, points = 0, []
    for result in counted:
        total += result.pnl
        points.append((result.at, money_text(total)))
    return points


# --- what is open, and the money --------------------------------------------------------------------------------------


def _cash(state: State) -> dict[str, Any]:
    """Of the whole journal, whatever the time asked for: ``start + all_pnl + rewards`` is ``end`` when nothing is open
    (``by_hand``: what shares cost that came or went without a trade of ours)."""
    unredeemed = state.balance("unredeemed")
    pnl = [market_pnl(state, entry) for entry in state.markets.values()]
    return {
        "start": money_text(-state.balance("deposit")),
        "end": money_text(state.balance("free") + state.balance("reserved") + unredeemed),
        "all_pnl": money_text(sum(each for each in pnl if each is not None)),
        "rewards": money_text(-state.balance("rewards")), "by_hand": money_text(-state.balance("by_hand")),
    }


def _open(folder: Path, told: Told, unfinished: Sequence[Result], problems: list[str]) -> dict[str, Any]:
    """At the journal's end, whatever the time asked for."""
    state = told.state
    held = [
        position for position in state.positions.values()
        if position.size > 0 and not state.markets[position.condition_id].settled
    ]
    seen = _glances(folder, held, problems)
    funds = funds_of(state)
    owed = {market: amount for market, amount in state.unredeemed.items() if amount}
    return {
        "free": money_text(funds.free), "in_orders": money_text(funds.in_orders),
        "in_positions": money_text(funds.in_positions), "unredeemed": money_text(funds.unredeemed),
        "realised": money_text(sum(result.pnl for result in unfinished)), "closes": len(unfinished),
        "positions": [_position(state, position, seen.get(position.condition_id)) for position in held],
        "unredeemed_windows": [
            {"slug": _slug(state, market), "condition_id": market, "amount": money_text(amount)}
            for market, amount in owed.items()
        ],
        "orders": sum(len(refs) for refs in state.open_refs.values()),
    }


def _glances(folder: Path, held: Sequence[PositionEntry], problems: list[str]) -> dict[str, Glance]:
    if not held:
        return {}
    try:
        return latest(folder / ANALYSIS_FILE, {position.condition_id for position in held})
    except JournalError as error:
        _add(problems, error)
        return {}


def _position(state: State, position: PositionEntry, seen: Glance | None) -> dict[str, Any]:
    """``worth`` at the best bid of its last evaluation; None: nobody bade, or none is kept."""
    bid = None
    if seen is not None:
        bid = seen.bid if position.side is Side.UP else None if seen.ask is None else ONE - seen.ask
    return {
        "slug": _slug(state, position.condition_id), "condition_id": position.condition_id,
        "side": position.side.value, "size": size_text(position.size), "average": price_text(position.average),
        "cost": money_text(position.cost), "worth": None if bid is None else money_text(position.size * bid // ONE),
        "seen_at": None if seen is None or bid is None else seen.at, "opened_at": position.opened_at,
        "held": position.held or None,
    }


def _slug(state: State, condition_id: str) -> str:
    entry = state.markets.get(condition_id)
    return condition_id if entry is None else entry.market.slug


# --- the analysis data ------------------------------------------------------------------------------------------------


def _add(problems: list[str], error: JournalError) -> None:
    text = f"analysis data: {error}"
    if text not in problems:
        problems.append(text)


def _opinions(folder: Path, told: Told, problems: list[str]) -> dict[str, Any]:
    """What plugins said and what came true (``scores`` as ``compare`` has them; null: not to be had), and what became
    of the entries that they wanted."""
    scores = None
    wanted: list[tuple[str, str, str, str, int]] = []
    try:
        wanted = wanted_by(folder / ANALYSIS_FILE, told.since, told.until)
        scores = _scores(folder, told)
    except JournalError as error:
        _add(problems, error)
    except ImportError as error:
        if error.name != "numpy":
            raise
        problems.append(NUMPY)
    return {"scores": scores, "wanted": _wanted(wanted), "refused_by": _refusals(wanted)}


def _scores(folder: Path, told: Told) -> dict[str, Any]:
    from polyhost.lab.compare import compared
    from polyhost.lab.studied import live

    return compared(live(folder, told.since, told.until), STAKE, EDGE_MIN)


def _wanted(rows: Iterable[tuple[str, str, str, str, int]]) -> list[dict[str, Any]]:
    """By the plugin that wanted it: how many became orders, and what stopped the others."""
    found: dict[str, Counter[str]] = {}
    for plugin, outcome, *_, count in rows:
        found.setdefault(plugin, Counter())[outcome] += count
    return [
        {"plugin": plugin, "wanted": sum(outcomes.values()), "orders": outcomes["order"], "outcomes": dict(outcomes)}
        for plugin, outcomes in found.items()
    ]


def _refusals(rows: Iterable[tuple[str, str, str, str, int]]) -> list[dict[str, Any]]:
    """By who decided against an entry, the most frequent first."""
    found: Counter[tuple[str, str]] = Counter()
    for _, outcome, gate, by, count in rows:
        if outcome != "order":
            found[by or HOST, gate or outcome] += count
    return [{"by": by, "gate": gate, "count": count} for (by, gate), count in found.most_common()]


def _worst(
    folder: Path, told: Told, counted: Sequence[Result], explain: Explain, most: int, problems: list[str]
) -> list[dict[str, Any]]:
    """The windows that lost most, the worst first, each with its ``why`` (null: the analysis data cannot be read)."""
    sums = sorted((pnl, market) for market, pnl in _sums(counted, lambda result: result.condition_id).items())
    losers = [(pnl, market) for pnl, market in sums if pnl < 0][:most]
    why: Mapping[str, Mapping[str, Any]] = {}
    try:
        why = explain(folder, [_slug(told.state, market) for _, market in losers]) if losers else {}
    except JournalError as error:
        _add(problems, error)
    return [
        {
            "slug": (slug := _slug(told.state, market)), "condition_id": market, "pnl": money_text(pnl),
            "closes": [
                {
                    "at": each.at, "side": each.side or None, "pnl": money_text(each.pnl), "reason": each.text,
                    "ended_by": each.ended_by, "forced": each.forced,
                }
                for each in counted if each.condition_id == market
            ],
            "why": why.get(slug),
        }
        for pnl, market in losers
    ]
