"""Governed market time: how far the exchange's clock may go at each step of the wall clock.

Market time runs at up to ``speed`` market seconds a wall second, is held back while anyone lags, and never stays behind
the wall clock for longer than the holding lasts. Pure: the caller says what the wall clock reads.
"""

from __future__ import annotations

from typing import Final

from polyhost.model.times import MarketMs, WallMs

ELAPSED_US_MAX: Final = 20_000
"""Most wall time that is credited and not used yet: more is forgotten by a busy process, not made up for in a leap."""
CATCH_UP_MS: Final = 5_000
"""Most market time granted in one step when market time lies behind the wall clock (after a pause or a restart)."""


class MarketClock:
    """The market's clock: ``now`` in market ms, and the speed it may run and did run at."""

    def __init__(self, start: MarketMs, speed: float) -> None:
        """Raises ValueError for a speed below 1: market time would fall behind the wall clock."""
        if not speed >= 1:
            raise ValueError(f"speed {speed:g} is below 1: market time would fall behind the wall clock")
        self.now = start
        self.speed = speed
        self._granted_us = start * 1_000
        """The limit granted so far, in market microseconds."""
        self._ran_market_ms = 0
        self._ran_wall_us = 0

    def grant(self, elapsed_us: int, wall: WallMs, held: bool) -> MarketMs:
        """How far market time may go now, ``elapsed_us`` of wall time after the last step; ``now`` when it is held."""
        self._ran_wall_us += elapsed_us
        if held:
            self._granted_us = self.now * 1_000
            return self.now
        most_us = int(ELAPSED_US_MAX * self.speed)
        self._granted_us += min(int(elapsed_us * self.speed), most_us)
        self._granted_us = min(self._granted_us, self.now * 1_000 + most_us)
        limit = self._granted_us // 1_000
        if limit < wall:
            limit = min(wall, max(limit, self.now + CATCH_UP_MS))
            self._granted_us = limit * 1_000
        return MarketMs(max(limit, self.now))

    def reached(self, now: MarketMs) -> None:
        """Market time is ``now``; what was granted beyond it can still be used."""
        assert now >= self.now, (now, self.now)
        self._ran_market_ms += now - self.now
        self.now = now

    def stopped_at(self, now: MarketMs) -> None:
        """Market time is held at ``now``: what was granted beyond it does not count."""
        self.reached(now)
        self._granted_us = now * 1_000

    def paused(self) -> None:
        """Nobody is there: this time counts neither for the grant nor for the effective speed."""
        self._granted_us = self.now * 1_000

    @property
    def effective(self) -> float:
        """Market seconds a wall second, over all the time that was not paused; 0.0 before there was any."""
        return self._ran_market_ms * 1_000 / self._ran_wall_us if self._ran_wall_us else 0.0

    @property
    def header(self) -> str:
        """The value of ``X-Sim-Time``: market ms and the speed limit."""
        return f"{self.now};{self.speed:g}"
