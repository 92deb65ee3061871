"""A journal on a disk that fails: full (``disk_full``) or locked by another program (``db_locked``), in virtual time.

It promises what the journal's writer promises: appending never waits and never raises; what is durable survives; a
locked database is waited for; a full disk seals the journal, and what comes then goes to the emergency list, which
``reopen`` takes in as the next start of the host does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from polyhost.exchange.pathologies import Pathologies
from polyhost.journal import JournalError, MemoryJournal
from polyhost.model.records import Record
from polyhost.model.times import NEVER

DISK = "the simulated disk"


class FaultyJournal:
    """A ``MemoryJournal`` whose commits meet the pathologies. Call ``commit(now)`` at ``next_due``.

    ``on_durable(last_seq)`` and ``failed(error)`` are called inside ``commit``, ``failed`` at most once until
    ``reopen``.
    """

    def __init__(
        self,
        pathologies: Pathologies,
        on_durable: Callable[[int], None],
        failed: Callable[[JournalError], None],
    ) -> None:
        self._pathologies = pathologies
        self._failed = failed
        self._journal = MemoryJournal(on_durable, hold=True)
        self._emergency: list[Record] = []
        self._ready_at = 0
        self.sealed: JournalError | None = None
        """Why nothing becomes durable any more; None: all is well."""

    @property
    def last_seq(self) -> int:
        return self._journal.last_seq + len(self._emergency)

    @property
    def durable_seq(self) -> int:
        """Stands still once the journal is sealed: the emergency list releases no command."""
        return self._journal.durable_seq

    @property
    def next_due(self) -> int:
        """Market ms at which a commit can get further; NEVER when nothing waits for one."""
        waits = self.sealed is None and self._journal.durable_seq < self._journal.last_seq
        return self._ready_at if waits else NEVER

    def append(self, records: Sequence[Record]) -> int:
        """Take one step's records; the number of the last record so far."""
        if self.sealed is None:
            self._journal.append(records)
        else:
            self._emergency += records
        return self.last_seq

    def commit(self, now: int) -> int:
        """Make durable what was appended, as far as the disk lets us; the number of the last durable record."""
        if self.sealed is not None or self._journal.durable_seq == self._journal.last_seq:
            return self.durable_seq
        if self._pathologies.holds("disk_full", now):
            self._seal()
            return self.durable_seq
        locked = self._pathologies.episode("db_locked", now)
        if locked is not None and locked.start <= now < locked.end:
            self._ready_at = locked.end
            return self.durable_seq
        return self._journal.commit()

    def _seal(self) -> None:
        self.sealed = JournalError(DISK, "there is no space left", "Make room and start again")
        waiting = [record for _, record in self._waiting()]
        self._journal.crash()
        self._emergency += waiting
        self._failed(self.sealed)

    def _waiting(self) -> Iterator[tuple[int, Record]]:
        """What was appended and is not durable."""
        durable = self._journal.durable_seq
        copy = MemoryJournal()
        copy.bodies = list(self._journal.bodies)
        copy.durable_seq = copy.last_seq
        return copy.read(durable)

    def crash(self) -> int:
        """The process died: what was neither durable nor on the emergency list is gone. How many records that were."""
        return self._journal.crash()

    def reopen(self, now: int) -> bool:
        """The host starts again: the emergency list becomes durable. False while the disk is still full."""
        if self._pathologies.holds("disk_full", now):
            return False
        self.sealed = None
        waiting, self._emergency = self._emergency, []
        self._journal.append(waiting)
        self._journal.commit()
        return True

    def read(self, since_seq: int = 0) -> Iterator[tuple[int, Record]]:
        """The durable records after ``since_seq``."""
        return self._journal.read(since_seq)

    def close(self) -> None:
        self._journal.close()
