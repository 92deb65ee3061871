"""What the shell needs of a journal, whichever kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from polyhost.model.records import Record


class JournalPort(Protocol):
    """``append`` in the kernel's order; gated commands of a step wait until the number it gave is durable."""

    @property
    def last_seq(self) -> int:
        """Number of the last record appended; 0: none."""

    @property
    def durable_seq(self) -> int:
        """Number of the last record that survives a crash."""

    def append(self, records: Sequence[Record]) -> int:
        """Take one step's records, never split, without waiting; the number of the last record so far."""

    def close(self) -> None:
        """Write what is left and give the files back."""
