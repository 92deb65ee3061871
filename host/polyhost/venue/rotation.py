"""Replaces a stream's connection by another without a gap: the new one is whole before the old one goes.

Connections of hours freeze, get cut by venues at the full day, and hide what they lost. So each is replaced now and
then while it still works, at a time that is jittered so that several do not move together. A planned replacement is no
disconnect: nobody is told that the stream was down, because it was not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from loguru import logger
from msgspec import Struct

from polyhost.venue.link import Link, nobody

LOOK_S: Final = 0.02
"""Wall seconds between two looks at whether the new connection is whole."""
PLANNED: Final = "planned rotation"


class Turnover(Struct, frozen=True):
    """How often, and how long a new connection may take. Wall seconds."""

    every_s: float = 1_800.0
    """A connection is replaced after this long, a quarter more or less; 0: never by plan."""
    whole_s: float = 15.0
    """A new connection that is not whole by then is given up; the old one stays."""


class Rotor:
    """Keeps one link up, and replaces it by plan or by ``want``.

    ``make()`` gives a new link; ``whole(link)`` says that it has everything the old one has; ``swap(old, new)`` is
    called once when it takes over, before the old one closes, without anything in between. What a link raises ends
    ``run``.
    """

    def __init__(
        self,
        make: Callable[[], Link],
        *,
        whole: Callable[[Link], bool],
        swap: Callable[[Link, Link], None],
        turnover: Turnover | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.rotations = 0
        """Replacements that were carried out."""
        self.given_up = 0
        """Replacements whose new connection did not become whole in time."""
        self.spare: Link | None = None
        """The new connection while it is being made whole."""
        self._make = make
        self._whole = whole
        self._swap = swap
        self._turnover = turnover or Turnover()
        self._jitter = jitter
        self._wanted = asyncio.Event()
        self._reason = ""
        self._closed = False
        self._beat: Callable[[], None] = nobody
        self.link = make()
        """The connection that counts."""

    def want(self, reason: str) -> None:
        """Replace the connection now: it is up, but not to be trusted."""
        if not self._wanted.is_set():
            self._reason = reason
            self._wanted.set()

    def close(self) -> None:
        """Let ``run`` return soon."""
        self._closed = True
        self.link.close()
        if self.spare is not None:
            self.spare.close()

    async def run(self, beat: Callable[[], None] = nobody) -> None:
        """Keep a link up until ``close`` or cancellation; ``beat`` as it goes round. Raises what a link raises."""
        self._beat = self.link.beat = beat
        running = asyncio.create_task(self.link.run())
        try:
            while True:
                reason = await self._until_due(running)
                if running.done():
                    return await running
                running = await self._replace(running, reason)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _until_due(self, running: asyncio.Task[None]) -> str:
        """Why the link is to be replaced, or an empty string when it ended first."""
        every = self._turnover.every_s
        wanted = asyncio.create_task(self._wanted.wait())
        try:
            timeout = every * (0.75 + 0.5 * self._jitter()) if every else None
            done, _ = await asyncio.wait({running, wanted}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()
        return "" if running in done else self._reason if self._wanted.is_set() else PLANNED

    async def _replace(self, running: asyncio.Task[None], reason: str) -> asyncio.Task[None]:
        """The task of the link that counts afterwards: the new one's, or the old one's when that was given up."""
        spare = self.spare = self._make()
        spare.beat = self._beat
        making = asyncio.create_task(spare.run())
        try:
            came = await self._becomes_whole(spare, making, running)
        except asyncio.CancelledError:
            await _end(making)
            raise
        self._wanted.clear()
        self.spare = None
        if not came:
            await _end(making)
            self._not_whole(reason)
            return running
        old, self.link = self.link, spare
        self._swap(old, spare)
        self.rotations += 1
        logger.log("INFO" if reason == PLANNED else "WARNING", "{} stream replaced: {}", spare.name, reason)
        old.close()
        try:
            await running
        except BaseException:
            await _end(making)
            raise
        return making

    async def _becomes_whole(
        self, spare: Link, making: asyncio.Task[None], running: asyncio.Task[None]
    ) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._turnover.whole_s
        while loop.time() < deadline and not (making.done() or running.done() or self._closed):
            if spare.up and self._whole(spare):
                return True
            await asyncio.sleep(LOOK_S)
        return False

    def _not_whole(self, reason: str) -> None:
        """A plan waits for its next time; a link that is not trusted is made anew all the same."""
        if self._closed:
            return
        self.given_up += 1
        logger.warning("{} stream not replaced ({}): the new connection was not whole", self.link.name, reason)
        if reason != PLANNED:
            self.link.restart(reason)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel and wait; an error of the task is raised."""
    task.cancel()
    ended = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended[0], Exception):
        raise ended[0]
