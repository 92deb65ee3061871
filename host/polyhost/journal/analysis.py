"""``analysis.db``: what was seen and thought, for studies: evaluations, quotes, marks.

It is no journal: rows are written in batches once a second, the last second may be lost in a crash, old rows are
pruned, and when it cannot be written the rows are dropped with a word, for trading does not depend on it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger
from peewee import Model

from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import ANALYSIS
from polyhost.journal.opening import connected, database, inspect, prepare, reading
from polyhost.journal.schema import Evaluations, Explanations, Marks, Quotes, insert_sql, table_of
from polyhost.journal.sqlite_errors import told
from polyhost.model.commands import Analyse

BATCH_S: Final = 1.0
"""Rows wait at most this long, wall time."""
BATCH_ROWS: Final = 5_000
"""Or until there are so many."""
TOLD_EVERY_S: Final = 60.0
"""Rows that cannot be written are told of this often, wall seconds."""
PRUNE_S: Final = 600.0
"""Between two prunings, wall time."""
PRUNE_ROWS: Final = 20_000
"""Most rows of a table deleted at once; more are deleted with the next batches."""
CHECKPOINT_ROWS: Final = 10_000
"""After so many (some 10 MB) the log beside the file goes into it, else it would grow from pruning to pruning."""
_TABLES: Final[dict[str, type[Model]]] = {
    table_of(model): model for model in (Evaluations, Quotes, Marks, Explanations)
}
_INSERT: Final[dict[str, str]] = {name: insert_sql(model) for name, model in _TABLES.items()}


class AnalysisWriter:
    """Opens (makes, migrates) the database at ``path`` and starts its thread. ``days``: older rows are pruned.

    Raises JournalError for a database that is not ours, newer, damaged or locked.
    """

    def __init__(self, path: Path | str, *, days: float = 14.0) -> None:
        self.path = Path(path)
        self.dropped = 0
        """Rows that could not be written."""
        prepare(self.path, ANALYSIS)
        self._days = days
        self._database = database(self.path, full_sync=False)
        self._changed = threading.Condition()
        self._rows: list[tuple[str, int, int, str, str]] = []
        self._closing = False
        self._pruned_at = -PRUNE_S
        self._told_at = -TOLD_EVERY_S
        self._logged = 0
        """Rows since the last checkpoint."""
        self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="analysis", daemon=True)
        self._thread.start()

    def dead_s(self) -> float:
        """Above zero when the writing thread died."""
        return 0.0 if self._closing or self._thread.is_alive() else float("inf")

    def revive(self) -> None:
        """Start the writing thread again if it died; the rows it had in hand are lost."""
        if not self._closing and not self._thread.is_alive():
            self._database = database(self.path, full_sync=False)
            self._start()

    def add(self, command: Analyse) -> None:
        """Take one row; ``at`` (market ms) and ``condition_id`` of it become columns, the whole row its body.

        Raises ValueError for a table that does not exist. Does not wait.
        """
        if command.table not in _TABLES:
            raise ValueError(f"analysis has no table {command.table!r}, only {', '.join(_TABLES)}")
        row = command.row
        line = (command.table, _time(row), time.time_ns() // 1_000_000, str(row.get("condition_id", "")), _body(row))
        with self._changed:
            self._rows.append(line)
            if len(self._rows) >= BATCH_ROWS:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, join the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or len(self._rows) >= BATCH_ROWS, BATCH_S)
                rows, self._rows, closing = self._rows, [], self._closing
            self._write(rows)
            if closing:
                break
        self._database.close()

    def _write(self, rows: list[tuple[str, int, int, str, str]]) -> None:
        try:
            connection = connected(self._database)
            if rows:
                self._insert(connection, rows)
                self._logged += len(rows)
            self._prune(connection)
            if self._logged >= CHECKPOINT_ROWS:
                self._checkpoint(connection)
        except (sqlite3.Error, JournalError) as error:
            self.dropped += len(rows)
            self._tell(told(self.path, error) if isinstance(error, sqlite3.Error) else error)

    def _tell(self, reason: Exception | str) -> None:
        """A disk that stays full is told of once a minute, with what was lost by then."""
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            logger.warning("analysis: {} rows dropped in all: {}", self.dropped, reason)

    def _insert(self, connection: sqlite3.Connection, rows: list[tuple[str, int, int, str, str]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for table, statement in _INSERT.items():
                chosen = [row[1:] for row in rows if row[0] == table]
                first = connection.execute(f'SELECT coalesce(max(id), 0) + 1 FROM "{table}"').fetchone()[0]
                connection.executemany(statement, [(number, *row) for number, row in enumerate(chosen, first)])
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _prune(self, connection: sqlite3.Connection) -> None:
        now = time.monotonic()
        if now - self._pruned_at < PRUNE_S:
            return
        gone = prune(connection, time.time_ns() // 1_000_000 - round(self._days * 86_400_000), PRUNE_ROWS)
        if gone < PRUNE_ROWS:
            # Else there is more: the next batch goes on with it, so that none waits long.
            self._pruned_at = now
        self._checkpoint(connection)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Waits for no reader, and none for it: what one still reads is left for the next time."""
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._logged = 0


def prune(connection: sqlite3.Connection, before: int, most: int = -1) -> int:
    """Delete rows written before this wall ms, of each table ``most`` at a time (-1: all); how many there were.

    The newest row stays: numbers never repeat.
    """
    gone = 0
    for table in _TABLES:
        last = _last_before(connection, table, before)
        sql = f'DELETE FROM "{table}" WHERE id IN (SELECT id FROM "{table}" WHERE id < ? ORDER BY id LIMIT ?)'
        gone += connection.execute(sql, (last, most)).rowcount
    return gone


def rows_before(connection: sqlite3.Connection, before: int) -> int:
    """How many rows ``prune`` would delete."""
    counts = (
        connection.execute(f'SELECT count(*) FROM "{table}" WHERE id < ?', (_last_before(connection, table, before),))
        for table in _TABLES
    )
    return sum(int(each.fetchone()[0]) for each in counts)


def _last_before(connection: sqlite3.Connection, table: str, before: int) -> int:
    """Rows below this number were written earlier. Asked in the order of numbers, which looks at those rows only."""
    sql = f'SELECT id FROM "{table}" WHERE wall >= ? ORDER BY id LIMIT 1'
    found = connection.execute(sql, (before,)).fetchone()
    if found is None:
        found = connection.execute(f'SELECT coalesce(max(id), 0) FROM "{table}"').fetchone()
    return int(found[0])


def _time(row: Mapping[str, object]) -> int:
    at = row.get("at", 0)
    return at if isinstance(at, int) else 0


def _body(row: Mapping[str, Any]) -> str:
    return msgspec.json.encode(row, enc_hook=str).decode()


def gates_of(path: Path | str, condition_id: str) -> dict[str, int]:
    """The first failed gates of a market's evaluations and how often, the earliest first; empty where nothing is kept.

    Raises JournalError for a file that is not ours or damaged.
    """
    file = Path(path)
    if inspect(file, ANALYSIS).version < 1:
        return {}
    found: dict[str, int] = {}
    with reading(file) as connection:
        sql = f'SELECT body FROM "{table_of(Evaluations)}" WHERE market = ? ORDER BY id'
        for (body,) in connection.execute(sql, (condition_id,)):
            gate = msgspec.json.decode(body).get("gate", "")
            if gate:
                found[gate] = found.get(gate, 0) + 1
    return found
