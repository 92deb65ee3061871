"""An intention alone gates nothing: its commit waits for the signature's record, but only so long."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from polyhost.journal import JournalError, JournalWriter, read_journal
from polyhost.journal import store as store_module
from polyhost.journal import writer as module
from polyhost.journal.schema import LedgerEntries, Orders, table_of
from polyhost.journal.store import JournalStore
from polyhost.kernel import ledger
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.records import EntriesBlocked, MarketAdded, OrderIntended, Record, Slot
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Purpose, Side

MARKET = MarketAdded(1, Market("m", "0xc0", "101", "102", MarketMs(900_000)), True)
INTENT = OrderIntended(
    2, Slot("0xc0", Side.UP, Purpose.ENTRY),
    OrderDraft("o-1", "101", Action.BUY, OrderType.FAK, 5_200, 10_000_000, 100, False), 5_400_000, {},
)  # fmt: skip
RESERVED = ledger.reserve(MarketMs(2), "o-1", 5_400_000)
SIGNED = EntriesBlocked(3, "pause", True, "whatever follows an intention")


def committed(folder: Path, steps: Sequence[Sequence[Record]], intent_wait_s: float) -> list[int]:
    """The last number of each commit, of steps appended one after the other."""
    done: queue.Queue[int] = queue.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "INTENT_WAIT_S", intent_wait_s)
        writer = JournalWriter(folder / "journal.db", "main", done.put, lambda error: None)
        writer.append([MARKET])
        assert done.get(timeout=60) == 1
        for records in steps:
            writer.append(records)
        commits = [done.get(timeout=60)]
        while commits[-1] < writer.last_seq:
            commits.append(done.get(timeout=60))
        writer.close()
    return commits


def test_ord_01_an_intention_and_its_signature_are_one_commit(tmp_path: Path) -> None:
    assert committed(tmp_path, [[INTENT], [SIGNED]], 600.0) == [3]


def test_ord_01_a_step_that_is_more_than_an_intention_does_not_wait(tmp_path: Path) -> None:
    assert committed(tmp_path, [[INTENT, SIGNED]], 60.0) == [3]


def test_ord_01_an_intention_that_nothing_follows_is_durable_all_the_same(tmp_path: Path) -> None:
    assert committed(tmp_path, [[INTENT]], 0.001) == [2]


def test_ord_01_closing_does_not_wait_for_what_follows_an_intention(tmp_path: Path) -> None:
    done: queue.Queue[int] = queue.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "INTENT_WAIT_S", 60.0)
        writer = JournalWriter(tmp_path / "journal.db", "main", done.put, lambda error: None)
        writer.append([MARKET, INTENT])
        writer.close()
    assert done.get(timeout=1) == 2


# --- rows that are made while it is being signed ----------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JournalStore]:
    """A journal that knows the market, and does not wait long for a lock."""
    monkeypatch.setattr(store_module, "LOCK_WAIT_MS", 1)
    opened = JournalStore(tmp_path / "journal.db", "main")
    opened.commit([MARKET])
    yield opened
    opened.close()


def kept(store: JournalStore) -> tuple[list[Record], int, int]:
    """The journal's records, and how many orders and ledger entries there are for people."""
    with closing(sqlite3.connect(store.path)) as other:
        orders, entries = (
            other.execute(f"SELECT count(*) FROM {table_of(model)}").fetchone()[0] for model in (Orders, LedgerEntries)
        )
    return [record for _, record in read_journal(store.path)], orders, entries


def test_per_01_what_was_staged_is_in_no_file_until_it_is_committed_with_the_rest(store: JournalStore) -> None:
    store.stage([INTENT, RESERVED])
    assert kept(store) == ([MARKET], 0, 0)
    assert store.commit([INTENT, RESERVED, SIGNED]) == 4
    assert kept(store) == ([MARKET, INTENT, RESERVED, SIGNED], 1, 2)
    assert store.commit([SIGNED]) == 5, "and nothing of it is left for the next one"
    assert kept(store) == ([MARKET, INTENT, RESERVED, SIGNED, SIGNED], 1, 2)


def test_per_01_a_commit_that_failed_makes_what_was_staged_anew(store: JournalStore) -> None:
    store.stage([INTENT, RESERVED])
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked"):
            store.commit([INTENT, RESERVED], lambda: False)
    assert kept(store) == ([MARKET], 0, 0)
    assert store.commit([INTENT, RESERVED, SIGNED]) == 4
    assert kept(store) == ([MARKET, INTENT, RESERVED, SIGNED], 1, 2)


def test_per_01_rows_that_cannot_be_staged_are_made_when_they_are_committed(
    store: JournalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "encode_record", lambda record: 1 / 0)
        store.stage([INTENT, RESERVED])
    assert store.commit([INTENT, RESERVED, SIGNED]) == 4
    assert kept(store) == ([MARKET, INTENT, RESERVED, SIGNED], 1, 2)
