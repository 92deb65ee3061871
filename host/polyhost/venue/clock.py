"""Market time at this machine: what the venue's clock says now, between the samples that it gives.

A simulated exchange owns market time, may run it faster than the wall, and says ``<ms>;<speed>`` in every answer
(header ``X-Sim-Time``); it also holds it back when somebody lags. The live venue's clock runs at the wall's speed; it
is asked with ``GET /time`` (whole seconds), and the machine's clock is corrected only by what those answers prove.
Between two answers a clock that nobody can set says how much time can have passed: what is set (or woken from sleep)
by an hour moves no window, and market time, which never goes back, does not have to wait for the hour to pass.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import httpx
from loguru import logger

from polyhost.model.times import MarketMs

HEADER: Final = "X-Sim-Time"
SKEW_WARN_MS: Final = 1_000
"""Above this much proved skew the machine's clock is wrong enough to be told (orders carry its stamps)."""
JUMP_MS: Final = SKEW_WARN_MS
"""The machine's clock is followed while it agrees this far with the time that has passed since the last answer."""
POLL_MIN_S: Final = 0.05
POLL_MAX_S: Final = 0.25
POLL_MARKET_S: Final = 3.0
"""A simulated clock is asked about this often in market seconds, within the two bounds above in wall seconds."""
SILENT_POLLS: Final = 5
"""A simulated clock that did not answer so many questions in turn is taken to stand still: its exchange is down."""
LIVE_POLL_S: Final = 30.0
PROOFS: Final = 16
"""Answers of a live venue that bound the skew."""


class VenueClock:
    """``now()`` is the last sample plus the wall time since, at the announced speed; never backwards.

    A simulated exchange that is down has no time: without samples the clock stops. Else windows would end here, and
    deadlines come, that are not there yet.
    """

    def __init__(self, wall_s: Callable[[], float] = time.time, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._wall_s = wall_s
        self._steady_s = steady_s
        self._sample_ms = 0
        self._sample_at = 0.0
        self._speed = 1.0
        self._simulated = False
        self._last = 0
        self._bounds: deque[tuple[float, float]] = deque(maxlen=PROOFS)
        self._skew_ms = 0.0
        self._proved: tuple[float, float] | None = None
        """A live venue's last answer: market ms, and when, steady seconds."""
        self._told = False

    @property
    def simulated(self) -> bool:
        """True once an exchange has said that it owns market time."""
        return self._simulated

    @property
    def speed(self) -> float:
        """Market seconds a wall second, as announced; 1 at the live venue."""
        return self._speed

    @property
    def skew_ms(self) -> float:
        """How far the live venue's clock is proved to be ahead of this machine's; 0 while nothing is proved."""
        return self._skew_ms

    def now(self) -> MarketMs:
        """Market time in ms; never less than any value given before."""
        if self._simulated:
            since = min(self._steady_s() - self._sample_at, SILENT_POLLS * self.poll_s)
            value = self._sample_ms + int(since * 1_000 * self._speed)
        else:
            value = int(self._bounded(self._wall_s() * 1_000 + self._skew_ms))
        self._last = max(self._last, value)
        return MarketMs(self._last)

    def _bounded(self, ms: float) -> float:
        """The machine's word for it, as far as it can be true."""
        if self._proved is None:
            return ms
        at, steady = self._proved
        passed = at + (self._steady_s() - steady) * 1_000
        return min(max(ms, passed - JUMP_MS), passed + JUMP_MS)

    def wall_seconds(self, market_ms: float) -> float:
        """How long a span of market time takes on the wall, at the announced speed."""
        return market_ms / 1_000 / self._speed

    def sample(self, header: str | None) -> None:
        """Take a value of the ``X-Sim-Time`` header; None (another venue) and what is not one change nothing."""
        if not header:
            return
        ms, _, speed = header.partition(";")
        try:
            self._sample_ms, given = int(ms), float(speed or 1)
        except ValueError:
            logger.warning("not a market time in {}: {!r}", HEADER, header)
            return
        self._speed = given if given > 0 else self._speed
        self._sample_at = self._steady_s()
        self._simulated = True

    def seen(self, ms: int) -> None:
        """A message of a simulated exchange bears this market time: it is at least that late."""
        if self._simulated and ms > self.now():
            self._sample_ms, self._sample_at = ms, self._steady_s()

    def prove(self, server_s: int, asked: float, answered: float) -> None:
        """A live venue said ``server_s`` (whole seconds) between two instants of our wall clock (seconds)."""
        self._bounds.append((server_s * 1_000 - answered * 1_000, server_s * 1_000 + 1_000 - asked * 1_000))
        low = max(bound[0] for bound in self._bounds)
        high = min(bound[1] for bound in self._bounds)
        if low > high:  # one of the clocks jumped: only the newest answer counts
            newest = self._bounds[-1]
            self._bounds.clear()
            self._bounds.append(newest)
            low, high = newest
        self._skew_ms = low if low > 0 else high if high < 0 else 0.0
        self._proved = answered * 1_000 + self._skew_ms, self._steady_s()
        self._warn()

    def _warn(self) -> None:
        if abs(self._skew_ms) < SKEW_WARN_MS:
            self._told = False
        elif not self._told:
            self._told = True
            ahead = "behind" if self._skew_ms > 0 else "ahead of"
            logger.warning(
                "this machine's clock is {:.1f} s {} the venue's: set it (NTP); windows and GTD use the venue's",
                abs(self._skew_ms) / 1_000, ahead,
            )

    async def hook(self, response: httpx.Response) -> None:
        """An httpx response hook: ``event_hooks={"response": [clock.hook]}``."""
        self.sample(response.headers.get(HEADER))

    async def ask(self, http: httpx.AsyncClient) -> None:
        """Ask the venue for its time once. Raises httpx.HTTPError."""
        asked = self._wall_s()
        response = await http.get("/time")
        header = response.headers.get(HEADER)
        if header:
            self.sample(header)
        elif response.status_code == 200 and response.text.strip().isdigit():
            self.prove(int(response.text.strip()), asked, self._wall_s())

    async def follow(self, http: httpx.AsyncClient, beat: Callable[[], None] = lambda: None) -> None:
        """Keep asking until cancelled, ``beat`` each time.

        A failed answer is skipped: streams and reads have watches of their own.
        """
        while True:
            try:
                await self.ask(http)
            except httpx.HTTPError as error:
                logger.debug("venue time not read: {}", error)
            beat()
            await asyncio.sleep(self.poll_s)

    @property
    def poll_s(self) -> float:
        """Wall seconds between questions."""
        if self._simulated:
            return min(max(POLL_MARKET_S / self._speed, POLL_MIN_S), POLL_MAX_S)
        return LIVE_POLL_S if len(self._bounds) >= PROOFS else POLL_MAX_S * 3
