"""How often something may be asked: so many at once, and one in a time on average. Exact integers, no clock."""

from __future__ import annotations


class Allowance:
    """A bucket of asks on the wall clock: ``burst`` at once, one more every ``every_ms``."""

    __slots__ = ("_credit_ms", "_full_ms", "_seen", "every_ms")

    def __init__(self, every_ms: int, burst: int) -> None:
        self.every_ms = every_ms
        self._full_ms = every_ms * burst
        self._credit_ms = self._full_ms
        self._seen = 0

    def take(self, wall: int) -> bool:
        """Use one, if there is one."""
        self._refill(wall)
        if self._credit_ms < self.every_ms:
            return False
        self._credit_ms -= self.every_ms
        return True

    def spend(self, wall: int) -> None:
        """One was used whether or not there was one: later asks wait for it."""
        self._refill(wall)
        self._credit_ms = max(self._credit_ms - self.every_ms, 0)

    def full(self, wall: int) -> bool:
        """The whole burst is there."""
        self._refill(wall)
        return self._credit_ms >= self._full_ms

    def _refill(self, wall: int) -> None:
        if wall > self._seen:
            self._credit_ms = min(self._credit_ms + wall - self._seen, self._full_ms)
            self._seen = wall
