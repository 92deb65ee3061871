"""B12: a durable order intent (OrderIntended + OrderPrepared in one commit), one and 15 at once, against bare sqlite3.

The bare side writes the very same rows (the journal's and the projection's, taken from ours) with its own sqlite3
connection, the same pragmas and the same transactions. Rounds are interleaved; figures are medians in microseconds.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import prepare
from polyhost.journal.schema import Journal, Orders, columns_of, insert_sql
from polyhost.journal.store import JournalStore
from polyhost.model.gateway import OrderDraft, OrderRequest, SignedFields
from polyhost.model.records import OrderIntended, OrderPrepared, Record, Slot
from polyhost.model.words import Action, OrderType, Purpose, Side

BUDGET = 1.5
ROUNDS = 400
AT = 1_790_000_000_000
CONDITION = "0x" + "5c" * 32
WHY = {
    "plugin": "entry_policy", "reason": "favoured and cheap", "p_up": "0.6412", "confidence": "0.41",
    "quote": "0.52/0.53", "book_age_ms": "120", "epoch": "3", "stake": "25.000000", "limits": "window 50, total 300",
}


def intent(number: int) -> list[Record]:
    """The two records of one order."""
    ref = f"run1-{number}"
    token = str(10**76 + number)
    draft = OrderDraft(ref, token, Action.BUY, OrderType.FAK, 5_300, 47_000_000, 100, False)
    fields = SignedFields(
        number * 7_919, "0x" + "ab" * 20, "0x" + "ab" * 20, token, 24_910_000, 47_000_000, Action.BUY, 0, AT,
        "0x" + "00" * 32, "0x" + "00" * 32,
    )
    request = OrderRequest(
        f"0x{number:064x}", fields, "0x" + "cd" * 65, OrderType.FAK, False, 0,
        "0190a1b2-0000-7000-8000-000000000000", False,
    )
    slot = Slot(CONDITION, Side.UP, Purpose.ENTRY, str(number))
    return [OrderIntended(AT, slot, draft, 25_000_000, WHY), OrderPrepared(AT, ref, request)]


class Bare:
    """The floor: prepared statements on sqlite3, nothing computed."""

    def __init__(self, path: Path) -> None:
        prepare(path, JOURNAL)
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=wal", "synchronous=2", "wal_autocheckpoint=0"):
            self.connection.execute(f"PRAGMA {pragma}")

    def commit(self, journal: Sequence[Any], orders: Sequence[Any]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(insert_sql(Journal), journal)
        self.connection.executemany(insert_sql(Orders), orders)
        self.connection.execute("COMMIT")


def _rows(path: Path, since: int, size: int) -> tuple[list[Any], list[Any]]:
    """What ours wrote for the orders of one round."""
    with closing(sqlite3.connect(path)) as connection:
        journal = connection.execute("SELECT * FROM journal WHERE seq > ? ORDER BY seq", (since,)).fetchall()
        refs = [f"run1-{number}" for number in range(since // 2, since // 2 + size)]
        marks = ", ".join("?" * size)
        names = ", ".join(f'"{name}"' for name in columns_of(Orders))
        orders = connection.execute(f"SELECT {names} FROM orders WHERE ref IN ({marks})", refs).fetchall()
    assert len(journal) == 2 * size
    assert len(orders) == size
    return journal, orders


def _first(store: JournalStore, size: int) -> tuple[list[Any], list[Any]]:
    store.commit([record for each in range(size) for record in intent(each)])
    return _rows(store.path, 0, size)


def _timed(commit: Callable[[], object]) -> float:
    """Microseconds of one commit."""
    start = time.perf_counter_ns()
    commit()
    return (time.perf_counter_ns() - start) / 1_000


def _compare(folder: Path, size: int) -> dict[str, Any]:
    store = JournalStore(folder / f"ours{size}.db", "main")
    bare = Bare(folder / f"bare{size}.db")
    ours_us: list[float] = []
    bare_us: list[float] = []
    rows = _first(store, size)
    for number in range(1, ROUNDS + 1):
        records = [record for each in range(size) for record in intent(number * size + each)]
        since = store.last_seq
        pair: list[tuple[list[float], Callable[[], object]]] = [
            (ours_us, partial(store.commit, records)),
            (bare_us, partial(bare.commit, *rows)),
        ]
        # Neither side always runs behind the other.
        for figures, commit in pair if number % 2 else reversed(pair):
            figures.append(_timed(commit))
        rows = _rows(store.path, since, size)
    store.close()
    bare.connection.close()
    ours, floor = statistics.median(ours_us), statistics.median(bare_us)
    return {
        "id": "B12", "what": f"durable order intent, {size} in one commit", "ours_us": round(ours, 1),
        "bare_us": round(floor, 1), "ratio": round(ours / floor, 3), "budget": BUDGET, "ok": ours / floor <= BUDGET,
    }


def measure() -> list[dict[str, Any]]:
    """B12 for one order and for 15 in one commit."""
    with tempfile.TemporaryDirectory() as folder:
        return [_compare(Path(folder), size) for size in (1, 15)]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
