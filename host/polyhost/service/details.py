"""What the host looks at, a line a market: written once a minute, so that a quiet log can still be read (LOG-03).

State changes are told when they happen; this is what stays the same meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from loguru import logger

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import MarketState, State
from polyhost.model.book import Book
from polyhost.model.money import price_text, size_text
from polyhost.model.words import Side
from polyhost.service.coverage import coverage

GATES_MAX: Final = 3
"""Reasons against an entry that are named, the most frequent first."""


def tell_details(kernel: Kernel, now: int) -> None:
    """One line about every market that is followed, into its own log and the master log. ``now``: market ms."""
    covered = coverage(kernel)
    for condition_id in kernel.followed():
        entry = kernel.state.markets[condition_id]
        text = "; ".join(details(kernel, entry, covered, now))
        logger.bind(market=entry.market.slug).debug("{}: {}", entry.market.slug, text)


def details(kernel: Kernel, entry: MarketState, covered: Mapping[str, tuple[str, str]], now: int) -> Iterator[str]:
    """What there is to say about one market. ``covered``: of each position (``service/coverage.py``)."""
    condition_id, state = entry.market.condition_id, kernel.state
    yield _time(entry, now)
    if (book := kernel.book(condition_id)) is not None:
        yield _prices(book, now)
    yield from _positions(state, condition_id, covered)
    if orders := state.open_orders(condition_id):
        yield "open: " + ", ".join(f"{order.slot.purpose.value} {order.ref}" for order in orders)
    if gates := kernel.gates(condition_id):
        often = sorted(gates.items(), key=lambda each: -each[1])[:GATES_MAX]
        yield "no entry because of " + ", ".join(f"{gate} ({count})" for gate, count in often)


def _time(entry: MarketState, now: int) -> str:
    if entry.settled:
        return "settled"
    market = entry.market
    if market.start is not None and now < market.start:
        return f"begins in {_span(market.start - now)}"
    return f"{_span(market.end - now)} left" if now < market.end else "waits for its result"


def _prices(book: Book, now: int) -> str:
    if not book.ready and not book.fetched:
        return "no book"
    age = max(now - book.changed_at, 0) / 1_000
    return f"UP {price_text(book.best_bid)}/{price_text(book.best_ask)}, {age:.1f} s old"


def _positions(state: State, condition_id: str, covered: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for side in Side:
        position = state.position(condition_id, side)
        if position is not None and position.size > 0:
            word, reason = covered.get(f"{condition_id}:{side.value}", ("settled", ""))
            yield f"{size_text(position.size)} {side.value} {word}" + (f" ({reason})" if reason else "")


def _span(ms: int) -> str:
    """``3:07`` of 187 s; ``1:02:03`` of more than an hour."""
    minutes, seconds = divmod(ms // 1_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
