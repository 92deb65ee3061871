"""A journal in memory, for backtests and simulations: the same order and bytes, and crashes on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from polyhost.journal.codec import decode_record, encode_record
from polyhost.model.records import Record


class MemoryJournal:
    """Keeps record bytes in a list.

    ``hold`` False: every append is durable at once. True: only ``commit`` makes it so, and ``crash`` drops the rest, as
    a killed process would. ``on_durable(last_seq)`` is called in the caller's thread.
    """

    def __init__(self, on_durable: Callable[[int], None] | None = None, *, hold: bool = False) -> None:
        self.bodies: list[bytes] = []
        """The records' bytes, number 1 first."""
        self.hold = hold
        self.durable_seq = 0
        self._on_durable = on_durable

    @property
    def last_seq(self) -> int:
        return len(self.bodies)

    def append(self, records: Sequence[Record]) -> int:
        """Take one step's records; the number of the last record so far."""
        self.bodies.extend(map(encode_record, records))
        if not self.hold:
            self.commit()
        return self.last_seq

    def commit(self) -> int:
        """Everything appended is durable now; the number of the last record."""
        if self.durable_seq < self.last_seq:
            self.durable_seq = self.last_seq
            if self._on_durable is not None:
                self._on_durable(self.durable_seq)
        return self.durable_seq

    def crash(self) -> int:
        """The process died: what was not durable is gone. How many records that were."""
        lost = self.last_seq - self.durable_seq
        del self.bodies[self.durable_seq :]
        return lost

    def read(self, since_seq: int = 0) -> Iterator[tuple[int, Record]]:
        """The durable records after ``since_seq``, as ``read_journal`` gives them."""
        for seq in range(since_seq + 1, self.durable_seq + 1):
            yield seq, decode_record(self.bodies[seq - 1])

    def close(self) -> None:
        self.commit()
