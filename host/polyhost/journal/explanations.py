"""Reading what analysis.db says of decisions: what became of entries, what an evaluation saw, the first failed gate.

Readers of ``why``. Nothing there, or a file of an older host that kept less, is an empty answer and no error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from polyhost.journal.migrations import ANALYSIS
from polyhost.journal.opening import inspect, reading
from polyhost.journal.schema import Evaluations, Explanations, table_of

NEWEST: Final = 1_000
"""Explanations of one market that are read; older ones are only counted."""
NEAR_MS: Final = 60_000
"""An evaluation is a decision's when its view is at most this much older, market ms: views are counted by run."""
WITH_EXPLANATIONS: Final = 3
"""The version of analysis data from which on entries are explained."""


def explanations_of(path: Path, condition_id: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The newest explanations of a market in order of time, and all of them counted by ``outcome`` or ``outcome gate``.

    Raises JournalError for a file that is not ours or damaged.
    """
    if inspect(path, ANALYSIS).version < WITH_EXPLANATIONS:
        return [], {}
    table = table_of(Explanations)
    counted = (
        "SELECT json_extract(body, '$.outcome'), json_extract(body, '$.gate'), count(*) "
        f'FROM "{table}" WHERE market = ? GROUP BY 1, 2 ORDER BY min(id)'
    )
    newest = f'SELECT body FROM "{table}" WHERE market = ? ORDER BY id DESC LIMIT ?'
    with reading(path) as connection:
        counts = {
            f"{outcome} {gate}".strip() if outcome != gate else outcome: count
            for outcome, gate, count in connection.execute(counted, (condition_id,))
        }
        rows = [msgspec.json.decode(body) for (body,) in connection.execute(newest, (condition_id, NEWEST))]
    return rows[::-1], counts


def wanted_by(path: Path, since: int, until: int) -> list[tuple[str, str, str, str, int]]:
    """What became of the entries that plugins wanted in [since, until), market ms: (plugin, outcome, gate, who decided,
    how often), by plugin and the most frequent first. Raises JournalError as above."""
    if inspect(path, ANALYSIS).version < WITH_EXPLANATIONS:
        return []
    sql = (
        "SELECT json_extract(body, '$.plugin'), json_extract(body, '$.outcome'), json_extract(body, '$.gate'), "
        f"json_extract(body, '$.by'), count(*) FROM \"{table_of(Explanations)}\" WHERE time >= ? AND time < ? "
        "GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC, 2, 3, 4"
    )
    with reading(path) as connection:
        return [tuple(row) for row in connection.execute(sql, (since, until)).fetchall()]


def evaluation_of(path: Path, condition_id: str, at: int, view_seq: int | None = None) -> dict[str, Any] | None:
    """What was seen and said when something was decided at ``at`` (market ms): the evaluation of that view, or the
    latest one before. None: none is kept from so near. Raises JournalError as above."""
    if inspect(path, ANALYSIS).version < 1:
        return None
    sql = (
        f'SELECT body FROM "{table_of(Evaluations)}" WHERE market = ? AND time BETWEEN ? AND ?'
        + ("" if view_seq is None else " AND json_extract(body, '$.view_seq') = ?") + " ORDER BY id DESC LIMIT 1"
    )
    values = (condition_id, at - NEAR_MS, at, *(() if view_seq is None else (view_seq,)))
    with reading(path) as connection:
        found = connection.execute(sql, values).fetchone()
    return None if found is None else msgspec.json.decode(found[0])


def first_failed(path: Path, condition_id: str) -> dict[str, Any] | None:
    """The gate that failed most often in a market (of equals the one that failed first), as the run's summary names
    it, and the first evaluation that it stopped: ``gate``, ``text`` and ``at``. None: none is kept.

    The very first failure would be that it is too early, in every window. Raises JournalError as above.
    """
    if inspect(path, ANALYSIS).version < 1:
        return None
    # Of a group with min() the bare columns are those of that row.
    sql = (
        "SELECT json_extract(body, '$.gate') AS gate, json_extract(body, '$.gate_text'), time, min(id) "
        f'FROM "{table_of(Evaluations)}" '
        "WHERE market = ? AND gate != '' GROUP BY gate ORDER BY count(*) DESC, min(id) LIMIT 1"
    )
    with reading(path) as connection:
        found = connection.execute(sql, (condition_id,)).fetchone()
    return None if found is None else {"gate": found[0], "text": found[1] or "", "at": found[2]}
