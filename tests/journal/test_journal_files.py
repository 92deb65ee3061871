"""Files that are whole or not there (PER-04)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from polyhost.journal import write_atomically


def test_per_04_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, '{"a":"ä"}')
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [other.name for other in tmp_path.iterdir()] == ["state.json"]


def test_per_04_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, "old")

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [other.name for other in tmp_path.iterdir()] == ["state.json"]


def test_per_04_the_content_is_on_the_disk_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replaced(source: str, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_atomically(tmp_path / "state.json", "x")
    assert done == ["file", "rename", "folder"]


def test_a_secret_file_can_be_made_unreadable_for_others(tmp_path: Path) -> None:
    write_atomically(tmp_path / "key", "k", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
