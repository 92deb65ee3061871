"""How a running host shows that it lives: to the service manager's watchdog, and to a health-check's address.

It looks every second and never makes trading wait: a datagram is not awaited, and a ping is a task of its own. The
watchdog is only fed while the host's own safety loops live; what depends on the venue (a stream that is down, a gateway
that is silent) is no reason to be killed: a new process would find the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from loguru import logger
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.service.systemd import PET, READY, STOPPING, ServiceManager
from polyhost.venue.health_ping import ping

LOOK_S: Final = 1.0
"""Between two looks, wall seconds."""
PING_EVERY_S: Final = 60.0
"""At most one ping in so many wall seconds, but for the first one that tells of a change."""
OWN: Final = frozenset({"kernel", "operator", "exits", "supervisor"})
"""Loops that only this process can stop: without one of them it is to be killed and started again."""
PART: Final = 3
"""The watchdog is fed this many times within its limit."""


class Condition(Struct, frozen=True):
    """How one account is."""

    name: str
    begun: bool
    """It trades, or is on its way out."""
    stopping: bool
    ready: bool
    """It may enter: every safety loop lives and the journal takes records."""
    dead: tuple[str, ...]
    """Loops that are not alive."""
    sealed: str = ""
    """Why its journal takes nothing any more; empty: it does."""


class Hosted(Protocol):
    """What is asked of a session."""

    def conditions(self) -> Sequence[Condition]: ...

    def failures(self) -> Mapping[str, str]:
        """Accounts that ended by a failure while others trade on, and why."""
        ...


class Presence:
    """Have ``run`` running beside the session; ``close`` at its end."""

    def __init__(
        self, host: Hosted, ping_url: str = "", manager: ServiceManager | None = None, *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._ping_url = ping_url
        self._manager = manager or ServiceManager()
        self._now = now
        self._said_ready = False
        self._said_stopping = False
        self._pinged_at = float("-inf")
        self._pinged_well: bool | None = None
        self._ping: asyncio.Task[None] | None = None
        self._ping_failed = False

    @property
    def needed(self) -> bool:
        """Somebody wants to hear of us."""
        return self._manager.listens or bool(self._ping_url)

    async def run(self) -> None:
        """Look until cancelled."""
        while self.needed:
            self.look()
            await asyncio.sleep(self._pause_s)

    async def close(self) -> None:
        """The end: the manager hears of it, and a ping that is under way is let go."""
        if not self._said_stopping:
            self._manager.say(STOPPING, status="stopped")
        if self._ping is not None:
            self._ping.cancel()
            await asyncio.gather(self._ping, return_exceptions=True)

    @property
    def _pause_s(self) -> float:
        wanted = self._manager.watchdog_s
        return min(LOOK_S, wanted / PART) if wanted else LOOK_S

    def look(self) -> None:
        """Once round."""
        found, failed = list(self._host.conditions()), self._host.failures()
        line = line_of(found, failed)
        self._tell_manager(found, line)
        if self._ping_url and found and all(each.begun for each in found):
            self._tell_check(found, line, well=not failed)

    def _tell_manager(self, found: list[Condition], line: str) -> None:
        words = []
        if not self._said_ready and found and all(each.begun for each in found):
            self._said_ready = True
            words.append(READY)
        if not self._said_stopping and found and all(each.stopping for each in found):
            self._said_stopping = True
            words.append(STOPPING)
        if self._manager.watchdog_s and not stuck(found):
            words.append(PET)
        if words:
            self._manager.say(*words, status=line)

    def _tell_check(self, found: list[Condition], line: str, *, well: bool) -> None:
        """At most once a minute, and at once when it changes from well to not well. ``well``: no account failed."""
        trading = [each for each in found if not each.stopping]
        if not trading:  # who stops one account of several has the others watched on
            return
        well = well and all(each.ready for each in trading)
        due = self._now() - self._pinged_at >= PING_EVERY_S
        turned = self._pinged_well is True and not well
        if (due or turned) and (self._ping is None or self._ping.done()):
            self._pinged_at, self._pinged_well = self._now(), well
            self._ping = asyncio.get_running_loop().create_task(self._send(well, line), name="health ping")

    async def _send(self, well: bool, text: str) -> None:
        try:
            await ping(self._ping_url, well=well, text=text)
            self._ping_failed = False
        except VenueError as error:
            logger.log("DEBUG" if self._ping_failed else "WARNING", "health check: {}", error)
            self._ping_failed = True


def stuck(found: Sequence[Condition]) -> str:
    """Which loop of the host's own is dead, in words; empty: none."""
    dead = [f"{each.name} {loop}" for each in found for loop in each.dead if loop in OWN]
    return ", ".join(dead)


def line_of(found: Sequence[Condition], failed: Mapping[str, str]) -> str:
    """One line about every account: what failed first, the line may be cut."""
    ended = [f"{name} FAILED: {why}" for name, why in failed.items()]
    return "; ".join([*ended, *(f"{each.name} {_said(each)}" for each in found)])


def _said(condition: Condition) -> str:
    if not condition.begun:
        return "starting"
    if condition.stopping:
        return "stopping"
    if condition.sealed:
        return f"SEALED: {condition.sealed}"
    if condition.dead:
        return f"not alive: {', '.join(condition.dead)}"
    return "trading" if condition.ready else "not ready"
