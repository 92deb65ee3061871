"""How well a host did its work lately, from its journal (OPS-07): each figure with its limit and where it comes from.

``Watch`` folds records into figures, one after the other; nothing else is read, so a host may run meanwhile or not.
A figure without anything to measure says so and is not called good.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET, Struct, field

from polyhost.journal import JournalError, read_journal
from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE, journal_status
from polyhost.model.records import (
    CloseRecorded,
    FillBooked,
    FillMoved,
    MarketSettled,
    ObligationMet,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    PairMoved,
    PairOpened,
    Record,
    RunEnded,
    RunStarted,
)
from polyhost.model.times import moment_text
from polyhost.model.words import Action, OrderState, PairState, Purpose, TradeStatus
from polyhost.service.db_check import checked

HOUR_MS: Final = 3_600_000
"""Market ms."""
LATENCY_MEAN_S: Final = 1.0
"""From the decision to sell at market to its first fill, wall seconds: the mean is below this."""
LATENCY_WARN_S: Final = 5.0
"""And a single one longer than this is a warning."""
ROLLBACKS: Final = 0.05
"""Of the pairs that ended fewer than this share were rolled back."""
BALANCE_REJECTS_HOUR: Final = 1.0
"""The venue refused fewer orders than this an hour for want of balance."""
TRADES: Final = 0.95
"""Of the trades whose fate is known more than this share was confirmed on the chain."""
SIZE_CODES: Final = frozenset({"min_size", "min_value", "precision", "symbol_min_size"})
BALANCE_CODES: Final = frozenset({"funds_matched", "funds_active", "balance", "funds", "symbol_funds"})
"""Rows of the outcome table (docs/order-outcomes.md)."""
SELLING: Final = (Purpose.EXIT, Purpose.EMERGENCY)


class Line(Struct, frozen=True):
    """One figure."""

    name: str
    verdict: str
    """ok, warning, failed, or "no data"."""
    figure: str
    limit: str
    source: str
    """Which records it was counted from."""


class _Pace(Struct):
    """How fast market time ran in one run: what a simulated run lays between two signatures of ours."""

    first: tuple[int, int] | None = None
    """(market ms, wall ms) of the first signature."""
    last: tuple[int, int] | None = None

    def seen(self, market: int, wall: int) -> None:
        self.first = self.first or (market, wall)
        self.last = (market, wall)

    @property
    def speed(self) -> float:
        """Market seconds a wall second; 1 where nothing tells (and at the live venue)."""
        if self.first is None or self.last is None or self.last[1] - self.first[1] < 1_000:
            return 1.0
        return max((self.last[0] - self.first[0]) / (self.last[1] - self.first[1]), 1.0)


class Watch(Struct):
    """The figures of what happened at or after ``since`` (market ms)."""

    since: int
    first_at: int | None = None
    last_at: int = 0
    """Market ms of the first and the last record within the time."""
    running_ms: int = 0
    """Of it, while a host ran."""
    orphans: int = 0
    unmanaged: int = 0
    pairs: int = 0
    rolled_back: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """By row of the outcome table."""
    sent: int = 0
    """Orders that were signed to be sent."""
    closes: int = 0
    never_filled: int = 0
    """Sales at market that ended with their window, without one fill."""
    _waiting: dict[tuple[str, Any], int] = field(default_factory=dict)
    """Positions whose sale at market was decided and has no fill yet: since when, market ms."""
    _latencies: list[tuple[int, int]] = field(default_factory=list)
    """(run, market ms) of each sale at market."""
    _selling: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Ref of an order that sells at market → its position."""
    _trades: dict[tuple[str, str], TradeStatus] = field(default_factory=dict)
    _rolling: set[str] = field(default_factory=set)
    _paces: list[_Pace] = field(default_factory=lambda: [_Pace()])
    _alive_from: int | None = None

    def see(self, record: Record) -> None:
        """Fold one record; what is older than ``since`` counts only as the beginning of something younger."""
        at, counts = record.at, record.at >= self.since
        if counts:
            self.first_at = at if self.first_at is None else self.first_at
            self._live(at)
            self.last_at = max(self.last_at, at)
        match record:
            case RunStarted():
                self._paces.append(_Pace())
                self._alive_from = at
            case RunEnded():
                self._alive_from = None
            case OrderIntended():
                self._intended(record)
            case OrderPrepared():
                self._paces[-1].seen(at, record.request.fields.timestamp_ms)
                self.sent += counts
            case OrderMoved():
                self._moved(record, counts)
            case FillBooked():
                self._filled(record, counts)
            case FillMoved():
                if (record.trade_id, record.ref) in self._trades:
                    self._trades[record.trade_id, record.ref] = record.status
            case ObligationMet() if counts:
                self.unmanaged += record.how == "settled"
            case CloseRecorded():
                self.closes += counts
                self._waiting.pop((record.condition_id, record.side), None)
            case MarketSettled():
                self._settled(record.condition_id, counts)
            case PairOpened() | PairMoved():
                self._pair(record, counts)
            case _:
                return

    def _live(self, at: int) -> None:
        if self._alive_from is not None:
            self.running_ms += max(at - max(self._alive_from, self.since), 0)
            self._alive_from = at

    def _intended(self, record: OrderIntended) -> None:
        draft, slot = record.draft, record.slot
        if draft.action is Action.SELL and slot.purpose in SELLING and not draft.order_type.rests:
            key = (slot.condition_id, slot.side)
            self._selling[draft.ref] = key
            self._waiting.setdefault(key, record.at)

    def _moved(self, record: OrderMoved, counts: bool) -> None:
        if not counts:
            return
        self.orphans += record.cause == "reappeared"
        if record.code is not UNSET:
            self.refused[record.code] = self.refused.get(record.code, 0) + 1
        if record.state is OrderState.CLOSED:
            self._selling.pop(record.ref, None)

    def _filled(self, record: FillBooked, counts: bool) -> None:
        if counts:
            self._trades[record.trade_id, record.ref] = record.status
        key = self._selling.get(record.ref)
        began = None if key is None else self._waiting.pop(key, None)
        if began is not None and counts:
            self._latencies.append((len(self._paces) - 1, record.at - began))

    def _settled(self, condition_id: str, counts: bool) -> None:
        for key in [key for key in self._waiting if key[0] == condition_id]:
            del self._waiting[key]
            self.never_filled += counts

    def _pair(self, record: PairOpened | PairMoved, counts: bool) -> None:
        if isinstance(record, PairOpened):
            return
        if record.state is PairState.ROLLBACK:
            self._rolling.add(record.ref)
        elif record.state is PairState.DONE and counts and record.cause != "nothing":
            self.pairs += 1
            self.rolled_back += record.ref in self._rolling

    @property
    def latencies_s(self) -> list[float]:
        """Of each sale at market, wall seconds."""
        return [ms / 1_000 / self._paces[run].speed for run, ms in self._latencies]

    def rejects(self, codes: Iterable[str]) -> int:
        return sum(self.refused.get(code, 0) for code in codes)

    def trades(self) -> tuple[int, int]:
        """(confirmed, failed) trades."""
        ends = list(self._trades.values())
        return ends.count(TradeStatus.CONFIRMED), ends.count(TradeStatus.FAILED)


def watched(records: Iterable[Record], since: int) -> Watch:
    """Every record, oldest first."""
    watch = Watch(since)
    for record in records:
        watch.see(record)
    return watch


def lines(watch: Watch, problems: list[str]) -> list[Line]:
    """The report. ``problems``: what is wrong with the journal itself."""
    return [
        _latency(watch), _longest(watch),
        _count("orphans", watch.orphans, watch.sent, "orders sent", "OrderMoved: live again after its end was proved"),
        _count("unmanaged expiries", watch.unmanaged, watch.closes, "closes", "ObligationMet: neither closed nor held"),
        _journal(problems), _rollbacks(watch),
        _count("size rejects", watch.rejects(SIZE_CODES), watch.sent, "orders sent", "OrderMoved: refused by size"),
        _balance_rejects(watch), _trades(watch),
    ]


def _latency(watch: Watch) -> Line:
    name, limit = "exit latency, mean", f"under {LATENCY_MEAN_S:g} s"
    source = "OrderIntended of a sale at market to its first FillBooked"
    found = watch.latencies_s
    if watch.never_filled:
        text = f"{watch.never_filled} sales at market had no fill before their window was settled"
        return Line(name, "failed", text, limit, source)
    if not found:
        return Line(name, "no data", "nothing was sold at market", limit, source)
    mean = sum(found) / len(found)
    return Line(name, "ok" if mean < LATENCY_MEAN_S else "failed", f"{mean:.2f} s of {len(found)}", limit, source)


def _longest(watch: Watch) -> Line:
    name, limit, source = "exit latency, longest", f"at most {LATENCY_WARN_S:g} s", "the same"
    found = watch.latencies_s
    if not found:
        return Line(name, "no data", "nothing was sold at market", limit, source)
    return Line(name, "ok" if max(found) <= LATENCY_WARN_S else "warning", f"{max(found):.2f} s", limit, source)


def _count(name: str, count: int, of: int, what: str, source: str) -> Line:
    """Something that never happens; without an occasion it could not have happened."""
    if not count and not of:
        return Line(name, "no data", f"no {what}", "0", source)
    return Line(name, "failed" if count else "ok", f"{count} ({of} {what})", "0", source)


def _journal(problems: list[str]) -> Line:
    text = "; ".join(problems[:3]) or "every record read and folded, every invariant holds"
    return Line("journal", "failed" if problems else "ok", text, "valid", "polyhost db check")


def _rollbacks(watch: Watch) -> Line:
    name, limit, source = "pair rollbacks", f"under {ROLLBACKS:.0%}", "PairMoved: pairs that ended and had bought a leg"
    if not watch.pairs:
        return Line(name, "no data", "no pair ended", limit, source)
    share = watch.rolled_back / watch.pairs
    figure = f"{share:.1%} ({watch.rolled_back} of {watch.pairs})"
    return Line(name, "ok" if share < ROLLBACKS else "failed", figure, limit, source)


def _balance_rejects(watch: Watch) -> Line:
    name, limit = "balance rejects", f"under {BALANCE_REJECTS_HOUR:g} an hour"
    source = "OrderMoved: refused for want of balance"
    if not watch.sent:
        return Line(name, "no data", "no orders sent", limit, source)
    count = watch.rejects(BALANCE_CODES)
    # Of less than an hour: one may happen in any.
    hourly = count / max(watch.running_ms / HOUR_MS, 1.0)
    figure = f"{hourly:.2f} an hour ({count} in {watch.running_ms / HOUR_MS:.1f} h)"
    return Line(name, "ok" if hourly < BALANCE_REJECTS_HOUR else "failed", figure, limit, source)


def _trades(watch: Watch) -> Line:
    name, limit, source = "trade success", f"over {TRADES:.0%}", "FillBooked and FillMoved: confirmed against failed"
    confirmed, failed = watch.trades()
    if not confirmed + failed:
        return Line(name, "no data", "no trade is confirmed or failed", limit, source)
    share = confirmed / (confirmed + failed)
    figure = f"{share:.1%} ({failed} of {confirmed + failed} failed)"
    return Line(name, "ok" if share > TRADES else "failed", figure, limit, source)


def examined(folder: Path, since_ms: int, wall_ms: int) -> tuple[Watch, list[Line]]:
    """The figures of the last ``since_ms`` of a data folder; of a simulation back from its last record, because its
    clock stood still since then. Raises JournalError when there is nothing that can be read.
    """
    journal = folder / JOURNAL_FILE
    status = journal_status(journal)
    if not status.exists:
        raise JournalError(journal, "there is no journal", "`polyhost run` makes one")
    _, problems = checked(journal, folder / ANALYSIS_FILE)
    end, simulated = 0, False
    for _, record in read_journal(journal, max(status.last_seq - 1, 0)):
        end = record.at
    for _, record in read_journal(journal):
        if isinstance(record, RunStarted):
            simulated = record.mode == "sim"
    end = end if simulated else max(end, wall_ms)
    watch = watched((record for _, record in read_journal(journal)), end - since_ms)
    return watch, lines(watch, problems)


def described(folder: Path, watch: Watch, found: list[Line]) -> dict[str, Any]:
    """The object of ``health --json``."""
    return {
        "data_dir": str(folder), "since": watch.since, "first_at": watch.first_at, "last_at": watch.last_at,
        "running_s": watch.running_ms / 1_000, "healthy": not failing(found),
        "lines": [
            {"name": line.name, "verdict": line.verdict, "figure": line.figure, "limit": line.limit,
             "source": line.source}
            for line in found
        ],
        "refused": dict(sorted(watch.refused.items())),
    }


def failing(found: list[Line]) -> bool:
    """One at least is beyond its limit."""
    return any(line.verdict == "failed" for line in found)


def told(watch: Watch, found: list[Line]) -> list[str]:
    """The report for a person."""
    if watch.first_at is None:
        period = f"nothing happened since {moment_text(watch.since)}"
    else:
        hours = watch.running_ms / HOUR_MS
        period = f"{moment_text(watch.first_at)} to {moment_text(watch.last_at)}, a host ran {hours:.1f} h of it"
    rows = [f"{line.verdict:8} {line.name}: {line.figure} (limit: {line.limit})" for line in found]
    return [period, *rows]
