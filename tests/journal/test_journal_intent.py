"""An intention alone gates nothing: its commit waits for the signature's record, but only so long."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path

import pytest

from polyhost.journal import JournalWriter
from polyhost.journal import writer as module
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
SIGNED = EntriesBlocked(3, "pause", True, "whatever follows an intention")


def committed(folder: Path, steps: Sequence[Sequence[Record]], intent_wait_s: float) -> list[int]:
    """The last number of each commit, of steps appended one after the other."""
    done: queue.Queue[int] = queue.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "INTENT_WAIT_S", intent_wait_s)
        writer = JournalWriter(folder / "journal.db", "main", done.put, lambda error: None)
        writer.append([MARKET])
        assert done.get(timeout=10) == 1
        for records in steps:
            writer.append(records)
        commits = [done.get(timeout=10)]
        while commits[-1] < writer.last_seq:
            commits.append(done.get(timeout=10))
        writer.close()
    return commits


def test_ord_01_an_intention_and_its_signature_are_one_commit(tmp_path: Path) -> None:
    assert committed(tmp_path, [[INTENT], [SIGNED]], 10.0) == [3]


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
