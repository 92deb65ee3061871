"""Reading evaluations back from analysis.db: the first of each part of a window, and whether any leaves something out.

Rows that an older host wrote say less; they are counted, never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from polyhost.journal.connection import Connection
from polyhost.journal.migrations import ANALYSIS, JOURNAL
from polyhost.journal.opening import inspect, reading
from polyhost.journal.schema import Evaluations, Settlements, table_of
from polyhost.model.study import Evaluation
from polyhost.model.words import Side

CHECKED_ROWS: Final = 20_000
"""The newest rows that are looked through for omissions."""
OPINIONS: Final = 2
"""The version of analysis data from which on evaluations are found by market."""
_TABLE: Final = table_of(Evaluations)
_BODY: Final = msgspec.json.Decoder(Evaluation, strict=True)


class EvaluationReader:
    """Evaluations of one analysis.db, read-only; a run may be active."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.older = 0
        """Rows met so far that say less than an evaluation does today."""

    def markets(self) -> list[str]:
        """Condition ids that were ever evaluated."""
        return [row[0] for row in self._connection.execute(f'SELECT DISTINCT "market" FROM "{_TABLE}" ORDER BY 1')]

    def count(self, market: str) -> int:
        """How often a market was evaluated."""
        sql = f'SELECT count(*) FROM "{_TABLE}" WHERE "market" = ?'
        return int(self._connection.execute(sql, (market,)).fetchone()[0])

    def rows(self, market: str) -> Iterator[Evaluation]:
        """A market's evaluations in order of time."""
        return self._decoded(f'SELECT "body" FROM "{_TABLE}" WHERE "market" = ? ORDER BY "time", "id"', (market,))

    def first_of_parts(self, market: str, start: int, end: int, parts: int) -> list[Evaluation]:
        """The first evaluation in each of ``parts`` equal parts of [start, end), market ms, in order of time."""
        sql = (
            f'SELECT "body" FROM "{_TABLE}" WHERE "id" IN (SELECT min("id") FROM "{_TABLE}"'
            ' WHERE "market" = ? AND "time" >= ? AND "time" < ? GROUP BY ("time" - ?) * ? / ?) ORDER BY "time"'
        )
        return list(self._decoded(sql, (market, start, end, start, parts, end - start)))

    def omissions(self) -> dict[str, int]:
        """What the newest rows leave out → in how many of them."""
        found: dict[str, int] = {}
        sql = f'SELECT "body" FROM "{_TABLE}" ORDER BY "id" DESC LIMIT ?'
        for row in self._decoded(sql, (CHECKED_ROWS,)):
            for name in row.omissions():
                found[name] = found.get(name, 0) + 1
        return found

    def _decoded(self, sql: str, values: tuple[object, ...]) -> Iterator[Evaluation]:
        for (body,) in self._connection.execute(sql, values):
            try:
                yield _BODY.decode(body)
            except msgspec.ValidationError:
                self.older += 1


@contextmanager
def evaluations(path: Path) -> Iterator[EvaluationReader | None]:
    """A reader of the analysis data at ``path``; None where nothing is kept yet, or only what an older host wrote.

    Raises JournalError for a file that is not ours, newer or damaged.
    """
    if inspect(path, ANALYSIS).version < OPINIONS:
        yield None
        return
    with reading(path) as connection:
        yield EvaluationReader(connection)


def results(journal: Path) -> dict[str, Side | None]:
    """Condition id of every settled market → the side that won; None: a 50-50 result. Empty where there is no journal.

    Raises JournalError for a file that is not ours, newer or damaged.
    """
    if inspect(journal, JOURNAL).version < 1:
        return {}
    with reading(journal) as connection:
        found = connection.execute(f'SELECT "market", "winner" FROM "{table_of(Settlements)}"').fetchall()
    return {market: None if winner is None else Side(winner) for market, winner in found}
