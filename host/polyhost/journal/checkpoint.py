"""Moves the write-ahead log into the database from a connection of its own, so that commits never wait for it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

from loguru import logger

CHECKPOINT_S: Final = 10.0
"""At most this long after a commit, wall time."""
CHECKPOINT_RECORDS: Final = 5_000
"""Or after so many records, whichever is first."""
WAL_FRAMES_MAX: Final = 25_000
"""A longer log (100 MB) is worth a moment's wait of the writer."""


class Checkpointer:
    """A thread that checkpoints ``path`` when told that there is something; ``close`` joins it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._records = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-checkpoint", daemon=True)
        self._thread.start()

    def committed(self, records: int) -> None:
        """So many more records are in the log."""
        with self._changed:
            first = not self._records
            self._records += records
            # In between there is nothing to wake for: the interpreter is wanted for the orders of this commit.
            if first or self._records >= CHECKPOINT_RECORDS:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._due():
            try:
                self._checkpoint()
            except sqlite3.Error as error:
                # The writer meets the same disk and decides; a log that stays long harms nobody.
                logger.warning("journal: checkpoint put off ({})", error)

    def _due(self) -> bool:
        """Wait until a checkpoint is due (True) or the journal closes (False: closing the database checkpoints)."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._closing)
            self._changed.wait_for(lambda: self._records >= CHECKPOINT_RECORDS or self._closing, CHECKPOINT_S)
            self._records = 0
            return not self._closing

    def _checkpoint(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=0.1, isolation_level=None)) as connection:
            _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames > WAL_FRAMES_MAX:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
