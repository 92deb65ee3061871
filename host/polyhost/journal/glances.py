"""What the analysis data says of markets right now, and how opinions went over time: for who looks on.

Rows of an older host that said less are read as far as they go. Every question is bounded: by markets, or by points.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from polyhost.journal.migrations import ANALYSIS
from polyhost.journal.opening import inspect, reading
from polyhost.journal.schema import Evaluations, table_of
from polyhost.journal.status import READ_MS

BY_MARKET: Final = 2
"""The version of analysis data from which on evaluations are found by market."""
POINTS_MAX: Final = 2_000
"""Points of one answer."""


class Opinion(Struct, frozen=True):
    """One combiner's. None: it abstained."""

    p_up: float | None = None
    confidence: float | None = None
    bias: str | None = None


class Glance(Struct, frozen=True):
    """One evaluation, as far as a person is shown it; the fields are those of ``Evaluation``."""

    at: int
    bid: int | None = None
    ask: int | None = None
    prior: float | None = None
    spot: float | None = None
    reference: float | None = None
    book_age_ms: int = 0
    trading: str = ""
    gate: str = ""
    gate_text: str = ""
    estimates: dict[str, Opinion] = {}


_BODY: Final = msgspec.json.Decoder(Glance)
_TABLE: Final = table_of(Evaluations)


def latest(path: Path, markets: Iterable[str]) -> dict[str, Glance]:
    """Condition id → its newest evaluation; markets without one are left out.

    Raises JournalError for a file that is not ours, newer, damaged or locked.
    """
    if inspect(path, ANALYSIS, READ_MS).version < BY_MARKET:
        return {}
    sql = f'SELECT body FROM "{_TABLE}" WHERE market = ? ORDER BY time DESC, id DESC LIMIT 1'
    found = {}
    with reading(path, READ_MS) as connection:
        for market in markets:
            row = connection.execute(sql, (market,)).fetchone()
            if row is not None:
                found[market] = _BODY.decode(row[0])
    return found


def course(path: Path, market: str, since: int, step_ms: int) -> list[Glance]:
    """A market's evaluations after ``since`` (market ms), the newest of each ``step_ms``, oldest first.

    Raises JournalError as above.
    """
    if inspect(path, ANALYSIS, READ_MS).version < BY_MARKET:
        return []
    sql = (
        f'SELECT body FROM "{_TABLE}" WHERE id IN (SELECT max(id) FROM "{_TABLE}" WHERE market = ? AND time > ? '
        "GROUP BY time / ? ORDER BY 1 DESC LIMIT ?) ORDER BY time, id"
    )
    with reading(path, READ_MS) as connection:
        rows = connection.execute(sql, (market, since, max(step_ms, 1), POINTS_MAX)).fetchall()
    return [_BODY.decode(body) for (body,) in rows]
