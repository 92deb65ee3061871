"""A journal that is followed while a host writes it, of either kind; a new one in its place is begun anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from polyhost.journal import JournalStore
from polyhost.journal.following import Following
from polyhost.journal.place import elsewhere, pointer_path
from polyhost.service.folder import DataFolder


def test_per_03_a_dashboard_follows_either_kind_of_journal(journal_path: Path, build: Any) -> None:
    life = build.life()
    following = Following(journal_path)
    assert following.look() is False
    store = JournalStore(journal_path, "main")
    for step in life[:7]:
        store.commit(step)
    assert following.look() is True
    assert (following.seq, list(following.orders)) == (store.last_seq, ["o1"])
    assert following.balance("free") == 10**9 - 5_300_000
    assert following.look() is False
    for step in life[7:]:
        store.commit(step)
    assert following.look() is True
    assert following.seq == store.last_seq
    assert {key[0] for key in following.positions} == {"0xadopted"}
    assert following.pnl == 400_000
    assert type(following.pnl) is int
    store.close()
    whole = Following(journal_path)
    assert whole.look() is True
    assert (whole.ledger, whole.brought) == (following.ledger, following.brought)
    assert [each["notice_id"] for each in whole.notices] == [each["notice_id"] for each in following.notices] == ["n1"]


def test_a_new_journal_in_the_place_of_the_old_one_is_read_from_its_first_record(
    journal_path: Path, build: Any, remote: Any
) -> None:
    store = JournalStore(journal_path, "main")
    for step in build.life():
        store.commit(step)
    store.close()
    following = Following(journal_path)
    assert following.look() is True
    place = elsewhere(journal_path)
    with DataFolder(journal_path.parent) as folder:
        folder.set_aside()
    if place is not None:
        remote(journal_path)
    store = JournalStore(journal_path, "main")
    store.commit([build.run("anew")])
    assert following.look() is True
    assert (following.seq, following.pnl, following.positions) == (1, 0, {})
    store.close()


def test_a_journal_whose_address_is_written_anew_in_its_place_is_read_from_its_first_record(
    tmp_path: Path, build: Any, remote: Any
) -> None:
    """As when the file system gives the new file the inode of the old one."""
    path = tmp_path / "journal.db"
    remote(path)
    pointer = pointer_path(path)
    first = JournalStore(path, "main")
    first.commit([build.run("old"), build.run("older")])
    first.close()
    following = Following(path)
    assert (following.look(), following.seq) == (True, 2)
    old = pointer.stat()
    place = remote(tmp_path / "other.db")
    pointer.write_bytes(msgspec.json.encode(place))
    os.utime(pointer, ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    assert pointer.stat().st_ino == old.st_ino
    second = JournalStore(path, "main")
    second.commit([build.run("anew")])
    second.close()
    assert (following.look(), following.seq) == (True, 1)
