"""When nothing of a market may rest that could still buy: one answer for quotes and for entries that are re-priced.

Exits are never asked here: what blocks new exposure never blocks leaving it (ORD-23).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from polyhost.kernel.blocks import book_problem
from polyhost.kernel.core import Core
from polyhost.kernel.state import MarketState
from polyhost.kernel.volatile import MarketData
from polyhost.model.words import Purpose

Blocks: TypeAlias = Callable[[Purpose], Iterable[tuple[str, str]]]
"""What stops orders of a purpose now: (name, reason)."""


def refusal(core: Core, entry: MarketState, data: MarketData, due: int, blocks: Blocks, purpose: Purpose) -> str:
    """Why no order of this purpose may rest in the market now; empty when it may. ``due``: of its obligation."""
    for _, reason in blocks(purpose):
        return reason
    if entry.settled or not entry.accepting or core.now >= entry.market.end:
        return "the market takes no more orders"
    if entry.market.condition_id in core.state.open_pairs:
        return "two legs are under way in this market"
    if core.now < data.reversing_until:
        return "a reversal waits for what rests to be over"
    if core.now >= due:
        return "what it would buy had to be closed at once"
    wrong = book_problem(core, data)
    return "" if wrong is None else wrong[1]
