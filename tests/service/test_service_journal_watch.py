"""The hourly look at the journal: a whole one brings nothing, damage reaches the kernel (ORD-16)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from polyhost.journal.store import JournalStore
from polyhost.model.events import JournalChecked
from polyhost.model.records import EntriesBlocked
from polyhost.service.journal_watch import JournalWatch


def journal(folder: Path) -> Path:
    path = folder / "journal.db"
    store = JournalStore(path, "main")
    store.commit([EntriesBlocked(number, f"cause {number}", True, "x" * 400) for number in range(200)])
    store.close()
    return path


def looked(path: Path, sealed: bool = False, looks: int = 2) -> list[JournalChecked]:
    told: list[JournalChecked] = []

    async def go() -> None:
        enough = asyncio.Event()

        def tell(event: JournalChecked) -> None:
            told.append(event)
            if len(told) == looks:
                enough.set()

        beats: list[int] = []

        def beat() -> None:
            beats.append(1)
            if sealed and len(beats) > looks:
                enough.set()

        task = asyncio.create_task(JournalWatch(path, tell, lambda: sealed, every_s=0.001).run(beat))
        await asyncio.wait_for(enough.wait(), 100)
        task.cancel()

    asyncio.run(go())
    return told


def test_ord_16_a_whole_journal_is_looked_over_again_and_again_and_nothing_is_wrong(tmp_path: Path) -> None:
    assert looked(journal(tmp_path)) == [JournalChecked(""), JournalChecked("")]


def test_ord_16_damage_in_the_journal_is_told_to_the_kernel(tmp_path: Path) -> None:
    path = journal(tmp_path)
    content = bytearray(path.read_bytes())
    content[4_096 * 5:4_096 * 9] = b"\xa5" * 4_096 * 4
    path.write_bytes(content)
    found, = looked(path, looks=1)
    assert found.problem


def test_ord_16_while_the_journal_is_sealed_nobody_looks(tmp_path: Path) -> None:
    assert looked(journal(tmp_path), sealed=True) == []
