"""What stands where a database of ours is looked for: its schema version and how it came to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from polyhost.journal.errors import JournalError
from polyhost.journal.migrations import Family

RESTORE: Final = "Put a backup in its place (`polyhost db restore FILE`), or move it away to start with an empty one"


class Found(Struct, frozen=True):
    """``version`` 0: nothing yet."""

    version: int
    history: tuple[tuple[int, str, int, str], ...] = ()
    """(version, name, wall ms, host version) of each migration."""


def understood(where: Path | str, family: Family, history: tuple[tuple[int, str, int, str], ...]) -> Found:
    """A migration history that this host can work with. Raises JournalError: it has gaps, or it is newer."""
    versions = [row[0] for row in history]
    if versions != list(range(1, len(versions) + 1)):
        raise JournalError(where, f"its migration history has gaps (versions {versions})", RESTORE)
    if versions and versions[-1] > family.version:
        raise JournalError(
            where,
            f"its schema version {versions[-1]} is newer than this host's {family.version}"
            f" (written by polyhost {history[-1][3]})",
            "Install that polyhost, or restore the backup made before the migration: `polyhost db restore FILE`",
        )
    return Found(len(versions), history)
