"""The dead-man's switch at the venue: while it is fed nothing happens, when it is not every order of the key goes.

The first accepted heartbeat arms it for the API key; 10 to 15 s without another one and the venue cancels all open
orders of the key, a person's too. There is no way to disarm it. Each heartbeat shows the id that the last answer gave;
a wrong one is refused with the right one. So they are sent one at a time, and the one refusal mends the chain.
Source: polymarket-client 0.14.0 and the venue's documentation (read 2026-11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger
from msgspec import Struct

EVERY_S: Final = 5.0
"""A heartbeat this often, wall seconds (venue rule: one within ten)."""
ANSWER_S: Final = 3.0
"""An answer later than this, wall seconds, is not waited for: the next one must not be late because of it."""
RETRY_S: Final = 0.5
"""After one that was not taken the next one goes this soon, wall seconds."""


class Beaten(Struct, frozen=True):
    """The venue's answer to a heartbeat."""

    accepted: bool
    next_id: str
    """The id that the next one must show."""
    problem: str = ""


class Heartbeats:
    """Feeds the switch. ``send(id)`` says one heartbeat to the venue; what it raises counts as not taken."""

    def __init__(self, send: Callable[[str], Awaitable[Beaten]]) -> None:
        self.sent = 0
        self.accepted = 0
        self._send = send
        self._id = ""
        self._lock = asyncio.Lock()
        self._failing = False

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Feed it until cancelled; ``beat`` after each heartbeat that the venue took, and only then."""
        while True:
            took = await self.once()
            if took:
                beat()
            await asyncio.sleep(EVERY_S if took else RETRY_S)

    async def once(self) -> bool:
        """One heartbeat, a second one at once if the first showed a wrong id; True: the venue took it."""
        async with self._lock:
            said = await self._say()
            if not said.accepted and said.next_id != self._id:
                self._id = said.next_id
                said = await self._say()
            if said.accepted:
                self._id = said.next_id
                self.accepted += 1
            self._told(said)
            return said.accepted

    async def _say(self) -> Beaten:
        self.sent += 1
        try:
            return await asyncio.wait_for(self._send(self._id), ANSWER_S)
        except Exception as error:  # whatever it is: the venue may not have heard, and will cancel everything then
            return Beaten(False, self._id, f"{type(error).__name__}: {error}".rstrip(": "))

    def _told(self, said: Beaten) -> None:
        if not said.accepted and not self._failing:
            logger.warning("the venue did not take a heartbeat ({}): it cancels all orders soon", said.problem)
        self._failing = not said.accepted
