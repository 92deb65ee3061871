"""What records say of an account's work, counted as they come: for metrics, off the trading path (LOG-05).

The engine notes what it kept and sent (``Noted``) and goes on; this reads it once a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct, field

from polyhost.kernel.state import State
from polyhost.model.commands import Command, Post
from polyhost.model.records import (
    CloseRecorded,
    FillBooked,
    LedgerPosted,
    MarketAdded,
    MarketSettled,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    Record,
)
from polyhost.model.words import OrderState
from polyhost.service.health import Watch
from polyhost.service.metric_table import LATENCY_BOUNDS, SETTLEMENT_BOUNDS

Noted: TypeAlias = tuple[float, "list[Record] | list[Command]"]
"""When (monotonic seconds), and the records of one step or the commands that left together."""
Value = TypeVar("Value")
UNDER_WAY_MAX: Final = 10_000
"""Decisions and results whose next step is waited for; the oldest is given up beyond it."""


class Buckets:
    """A histogram: how many were at most each bound, all of them, their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def see(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def copy(self) -> Buckets:
        found = Buckets(self.bounds)
        found.counts, found.sum = list(self.counts), self.sum
        return found


def _latency() -> Buckets:
    return Buckets(LATENCY_BOUNDS)


def _settlement() -> Buckets:
    return Buckets(SETTLEMENT_BOUNDS)


class Tally(Struct):
    """The counts of one account in this process."""

    watch: Watch = field(default_factory=lambda: Watch(0))
    """What ``polyhost health`` counts, by the same rules."""
    tick_to_order: Buckets = field(default_factory=_latency)
    decision_to_order: Buckets = field(default_factory=_latency)
    exit_latency: Buckets = field(default_factory=_latency)
    end_to_resolved: Buckets = field(default_factory=_settlement)
    resolved_to_released: Buckets = field(default_factory=_settlement)
    pnl: Counter[str] = field(default_factory=Counter)
    """Micro-units realised, by symbol."""
    fees: int = 0
    symbols: set[str] = field(default_factory=set)
    """Of every market so far: what had something keeps its row."""
    _decided: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Ref of an order that is to leave → when it was decided, and when its book changed last (monotonic seconds)."""
    _refs: dict[str, str] = field(default_factory=dict)
    """Venue id → ref of orders that are to leave."""
    _resolved: dict[str, int] = field(default_factory=dict)
    """Condition id → when its result was known (market ms), until what it pays is there."""
    _exits_seen: int = 0

    def see(self, noted: Iterable[Noted], state: State, wall_seconds: Callable[[float], float]) -> None:
        """Count what was noted since the last time. ``wall_seconds``: how long so many market ms are."""
        for at, items in noted:
            for item in items:
                if isinstance(item, Post):
                    self._left(item, at)
                else:
                    self._kept(item, at, state, wall_seconds)  # type: ignore[arg-type]
        new = self.watch.latencies_s[self._exits_seen:]
        self._exits_seen += len(new)
        for seconds in new:
            self.exit_latency.see(seconds)

    def _kept(self, record: Record, at: float, state: State, wall_seconds: Callable[[float], float]) -> None:
        self.watch.see(record)
        match record:
            case MarketAdded():
                self.symbols.add(symbol_of(state, record.market.condition_id))
            case OrderIntended():
                book_s = wall_seconds(_ms(record.why.get("book_age_ms", "")))
                _bounded(self._decided)[record.draft.ref] = (at, at - book_s)
            case OrderPrepared():
                _bounded(self._refs)[record.request.order_id] = record.ref
            case OrderMoved() if record.state is OrderState.CLOSED:
                self._decided.pop(record.ref, None)
            case FillBooked():
                self.fees += record.fee
            case CloseRecorded():
                self.pnl[symbol_of(state, record.condition_id)] += record.pnl
            case MarketSettled():
                self._settled(record, state)
            case LedgerPosted() if record.cause == "redeem":
                if (resolved := self._resolved.pop(record.ref, None)) is not None:
                    self.resolved_to_released.see((record.at - resolved) / 1_000)
            case _:
                return

    def _left(self, post: Post, at: float) -> None:
        ref = self._refs.pop(post.request.order_id, "")
        decided, book = self._decided.pop(ref, (None, None))
        if decided is not None and book is not None:  # else it is the same order, posted again
            self.decision_to_order.see(at - decided)
            self.tick_to_order.see(at - book)

    def _settled(self, record: MarketSettled, state: State) -> None:
        entry = state.markets.get(record.condition_id)
        if entry is not None:
            self.end_to_resolved.see(max(record.at - entry.market.end, 0) / 1_000)
            _bounded(self._resolved)[record.condition_id] = record.at


def symbol_of(state: State, condition_id: str) -> str:
    """The market's symbol; ``other`` for one that follows none."""
    entry = state.markets.get(condition_id)
    return "other" if entry is None else entry.market.symbol or "other"


def _ms(text: str) -> float:
    """Of a decision's own words; 0 where it has none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _bounded(found: dict[str, Value]) -> dict[str, Value]:
    if len(found) >= UNDER_WAY_MAX:
        del found[next(iter(found))]
    return found
