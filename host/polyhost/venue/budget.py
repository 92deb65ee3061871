"""How often the venue may be asked: token buckets a class of endpoint, with the most urgent first.

Written here and not taken from a package because it is inside order safety: a cancel must never wait behind a query,
an order that waited too long must not leave late, and tests must be able to turn the clock. All times are wall seconds.
The venue's own limits are per address and per signer; ours stay at half of the least of them or below, because an
operator's browser and a second tool share them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from loguru import logger
from msgspec import Struct

from polyhost.errors import VenueError


class Urgency(IntEnum):
    """Who goes first; equal ones in the order they came."""

    CANCEL = 0
    EXIT = 1
    ENTRY = 2
    QUERY = 3
    BACKGROUND = 4


class Allowance(Struct, frozen=True):
    """``rate`` requests a second on average, ``burst`` at once."""

    rate: float
    burst: float


ALL: Final = "all"
ALLOWANCES: Final[Mapping[str, Allowance]] = {
    # Per signer, lowest tier: orders 40/s, burst 60; cancels 80/s, burst 120 (docs api-reference/trading-rate-limits,
    # read 2026-11). A batch of n costs n.
    "post": Allowance(20, 30),
    "cancel": Allowance(40, 60),
    # Per address and ten seconds (docs api-reference/rate-limits): /data/orders and /data/trades 500, /books and
    # /midpoints 500, GET /balance-allowance 200, Gamma /markets 300, Data 150.
    "query": Allowance(20, 60),
    "books": Allowance(10, 40),
    "balance": Allowance(1, 5),
    "gamma": Allowance(10, 50),
    "data": Allowance(5, 20),
    # The CLOB in general: 9,000 in ten seconds.
    ALL: Allowance(150, 300),
}
"""By class. Balances are ORD-03's own: one a second on average, bursts of five."""
PAUSE_S: Final = 1.0
"""A pause that the venue asks for without saying how long, wall seconds."""
PAUSE_MAX_S: Final = 60.0
"""And no pause is longer than this, wall seconds."""
WAITING_MAX: Final = 1_000
"""Requests that wait; more, and the least urgent newcomer is refused at once."""


class OverBudget(VenueError):  # noqa: N818 it is named for what happened
    """The request was not sent: its turn would not have come in time. Nothing left this machine."""


class Bucket:
    """What is left of one allowance at a time (steady seconds)."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        self.allowance = allowance
        self.level = allowance.burst
        self.paused_until = now
        self._at = now

    def refill(self, now: float, scale: float) -> None:
        """Bring the level to this time; ``scale`` multiplies the rate."""
        self.level = min(self.level + (now - self._at) * self.allowance.rate * scale, self.allowance.burst)
        self._at = now

    def wait_s(self, cost: float, now: float, scale: float) -> float:
        """How long until a request of this cost may leave, when nothing else does; 0: now.

        One that costs more than a burst may leave when the bucket is full.
        """
        missing = min(cost, self.allowance.burst) - self.level
        refilled = missing / (self.allowance.rate * scale) if missing > 1e-9 else 0.0
        return max(refilled, self.paused_until - now, 0.0)


class _Waiter:
    """A request before it leaves; ``granted`` is True when it may, False when its time is over."""

    __slots__ = ("bucket", "cost", "deadline", "granted", "order")

    def __init__(self, bucket: str, cost: float, order: tuple[int, int], deadline: float) -> None:
        self.bucket = bucket
        self.cost = cost
        self.order = order
        self.deadline = deadline
        self.granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


def _loop_s() -> float:
    return asyncio.get_running_loop().time()


class Budget:
    """The budget of one account at one address. ``admit`` before each request, ``heard`` after a refusal for pace."""

    def __init__(
        self,
        allowances: Mapping[str, Allowance] = ALLOWANCES,
        *,
        scale: Callable[[], float] = lambda: 1.0,
        steady_s: Callable[[], float] = _loop_s,
    ) -> None:
        """``scale()`` multiplies every rate: a simulated exchange that runs faster gives its speed, others 1."""
        self.calls: dict[tuple[str, str], int] = {}
        """(class, purpose) → requests that left."""
        self.refused: dict[tuple[str, str], int] = {}
        """(class, purpose) → requests that were not sent because their turn did not come in time."""
        self.pauses: dict[str, int] = {}
        """Class → how often the venue asked for a pause."""
        self._allowances = allowances
        self._scale = scale
        self._steady_s = steady_s
        self._buckets: dict[str, Bucket] = {}
        self._waiting: list[_Waiter] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    # --- asking -------------------------------------------------------------------------------------------------------

    async def admit(self, bucket: str, urgency: Urgency, purpose: str, *, cost: float = 1, patience_s: float) -> None:
        """Return when the request may leave. Raises OverBudget when that is not within ``patience_s``."""
        now = self._steady_s()
        self._count += 1
        waiter = _Waiter(bucket, cost, (urgency, self._count), now + patience_s)
        if len(self._waiting) >= WAITING_MAX or self.earliest_s(bucket, cost) > patience_s:
            raise self._over(bucket, purpose, "its class is paused or used up")
        self._waiting.append(waiter)
        self._waiting.sort(key=lambda each: each.order)
        self.pump()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            self._forget(waiter)
            raise
        if not waiter.granted.result():
            raise self._over(bucket, purpose, f"{patience_s:g} s were not enough")
        self.count(bucket, purpose)

    def take(self, bucket: str, purpose: str, cost: float = 1) -> None:
        """A request leaves whatever is left (a kill): later ones pay for it."""
        now = self._steady_s()
        for name in (bucket, ALL):
            found = self._bucket(name, now)
            found.refill(now, self._scale())
            found.level -= cost
        self.count(bucket, purpose)

    def count(self, bucket: str, purpose: str) -> None:
        """Note a request that left."""
        self.calls[bucket, purpose] = self.calls.get((bucket, purpose), 0) + 1

    def earliest_s(self, bucket: str, cost: float = 1) -> float:
        """Seconds until a request of this class could leave if it were the only one."""
        now, scale = self._steady_s(), self._scale()
        longest = 0.0
        for name in (bucket, ALL):
            found = self._bucket(name, now)
            found.refill(now, scale)
            longest = max(longest, found.wait_s(cost, now, scale))
        return longest

    # --- what the venue says ------------------------------------------------------------------------------------------

    def pause(self, bucket: str, seconds: float | None) -> None:
        """The venue wants no request of this class for so long (None: it did not say)."""
        now = self._steady_s()
        wanted = PAUSE_S if seconds is None else min(max(seconds, 0.0), PAUSE_MAX_S)
        found = self._bucket(bucket, now)
        if now + wanted > found.paused_until:
            found.paused_until = now + wanted
            self.pauses[bucket] = self.pauses.get(bucket, 0) + 1
            logger.warning("requests of class {} pause for {:g} s: the venue asks for it", bucket, wanted)

    def heard(self, bucket: str, status: int, retry_after_s: float | None, remaining: float | None = None) -> None:
        """What an answer says of the pace: 425 and 429 pause its class; fewer left than we thought is believed."""
        if status in (425, 429):
            self.pause(bucket, retry_after_s)
        if remaining is not None:
            now = self._steady_s()
            found = self._bucket(bucket, now)
            found.refill(now, self._scale())
            found.level = min(found.level, remaining)

    # --- the queue ----------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Let go who may, the most urgent first; refuse whose time is over; look again when something changes."""
        now, scale = self._steady_s(), self._scale()
        for found in self._buckets.values():
            found.refill(now, scale)
        held: set[str] = set()
        soonest = float("inf")
        for waiter in list(self._waiting):
            # Who comes later in the same class does not overtake; a class that waits does not hold the others. What
            # is left of all classes together goes to the most urgent.
            wait = float("inf")
            if waiter.bucket not in held and ALL not in held:
                every = self._bucket(ALL, now).wait_s(waiter.cost, now, scale)
                wait = max(self._bucket(waiter.bucket, now).wait_s(waiter.cost, now, scale), every)
                if wait == 0.0:
                    self._grant(waiter, now)
                    continue
                held.add(ALL if every > 0.0 else waiter.bucket)
            if now >= waiter.deadline:
                self._end(waiter, granted=False)
            else:
                soonest = min(soonest, now + wait, waiter.deadline)
        self._look_again(soonest, now)

    def _grant(self, waiter: _Waiter, now: float) -> None:
        self._bucket(waiter.bucket, now).level -= waiter.cost
        self._bucket(ALL, now).level -= waiter.cost
        self._end(waiter, granted=True)

    def _end(self, waiter: _Waiter, *, granted: bool) -> None:
        self._waiting.remove(waiter)
        if not waiter.granted.done():
            waiter.granted.set_result(granted)

    def _forget(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def _look_again(self, at: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(at - now, 0.0), self.pump)

    def _bucket(self, name: str, now: float) -> Bucket:
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = Bucket(self._allowances[name], now)
        return found

    def _over(self, bucket: str, purpose: str, why: str) -> OverBudget:
        self.refused[bucket, purpose] = self.refused.get((bucket, purpose), 0) + 1
        return OverBudget(f"not sent: rate budget: {why}", endpoint=f"{bucket} ({purpose})")
