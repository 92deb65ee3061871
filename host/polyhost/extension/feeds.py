"""A plugin's feeds seen from the host: their process is started, listened to, checked, and started again.

Built in or not, feeds run in a process apart from the one that answers: whatever they do costs no answer. A failure is
no strike (it stays open: who needs a reading abstains without it). All durations here are transport time.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from loguru import logger

from polyhost.extension.answers import PROBLEM_MAX
from polyhost.extension.discovery import LoadedPlugin
from polyhost.extension.feeding import tell_every_s
from polyhost.extension.handing import handed_over
from polyhost.extension.process import CHANGED, MEMORY_BYTES_MAX, launched, relayed
from polyhost.extension.protocol import (
    ENCODE,
    FROM_FEEDS,
    Build,
    FeedsBegan,
    FeedTold,
    Hello,
    RunFeeds,
    ToChild,
)
from polyhost.frames import HEADER, framed
from polyhost.model.reading import NAMES_MAX, FeedConfig, Reading, wrong

START_S: Final = 20.0
"""From the start of the process to its feeds running, wall seconds."""
LIFE_S: Final = 10.0
"""The process says something every second; silent for longer than this (wall seconds) it is stuck as a whole."""
RETRY_S: Final = 1.0
"""The first pause before it is started again, wall seconds; doubled each time, and jittered by half."""
RETRY_S_MAX: Final = 60.0
"""The longest such pause, wall seconds, before jitter."""
STEADY_S: Final = 60.0
"""A process that lived this long, wall seconds, is started again after the shortest pause."""
FRAME_BYTES_MAX: Final = 262_144
"""The largest message of a feed process."""
Heard = TypeVar("Heard", Hello, FeedsBegan, FeedTold)


class FeedFailedError(Exception):
    """A life of the process is over; the text says why."""


class FeedProcess:
    """The feeds of one plugin. ``run`` keeps them going until it is cancelled.

    ``hear`` is called with each reading that passed the checks, in the event loop. ``jitter`` gives numbers in [0, 1).
    """

    def __init__(
        self, plugin: LoadedPlugin, config: FeedConfig, hear: Callable[[Reading], None], *,
        jitter: Callable[[], float] = random.random, retry_s: float = RETRY_S, life_s: float = LIFE_S,
    ) -> None:
        self.plugin = plugin
        self.pid: int | None = None
        """The process, while it lives."""
        self.restarts = 0
        self.readings = 0
        """Readings given to ``hear``."""
        self.dropped = 0
        """Readings overtaken by a newer one of the same name before they left the process."""
        self.refused = 0
        """What was no reading."""
        self.problem = ""
        """Why it was started again the last time, or what was refused last; empty: nothing."""
        self._config = config
        self._hear = hear
        self._jitter = jitter
        self._retry_s = retry_s
        self._life_s = life_s
        self._pause_s = retry_s
        self._not_before = 0.0
        self._heard_at: float | None = None
        self._log = logger.bind(plugin=plugin.name)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Start the process, listen, start it again; ``beat`` is called at each sign of life of all its feeds."""
        while True:
            await asyncio.sleep(self._not_before - time.monotonic())
            began = time.monotonic()
            try:
                await self._live(beat)
            except FeedFailedError as failed:
                self._failed(str(failed)[:PROBLEM_MAX], time.monotonic() - began)

    def _failed(self, problem: str, lived_s: float) -> None:
        if lived_s >= STEADY_S:
            self._pause_s = self._retry_s
        pause = self._pause_s * (0.5 + self._jitter())
        self._pause_s = min(self._pause_s * 2, RETRY_S_MAX)
        self._not_before = time.monotonic() + pause
        self.restarts += 1
        self.problem = problem
        self._log.warning("feeds of {}: {}; started again in {:.1f} s", self.plugin.name, problem, pause)

    async def _live(self, beat: Callable[[], None]) -> None:
        """One life of the process; ends by FeedFailedError, or by being cancelled."""
        if self.plugin.fingerprint and self.plugin.source.fingerprint() != self.plugin.fingerprint:
            raise FeedFailedError(CHANGED.format(self.plugin.name))
        try:
            process, connection, lifeline = launched()
        except OSError as error:
            raise FeedFailedError(f"its process cannot be started: {error}") from error
        self.pid = process.pid
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(sock=connection)
            await self._listen(reader, writer, beat)
        finally:
            self.pid = None
            if writer is None:
                connection.close()
            else:
                writer.close()
            os.close(lifeline)
            process.kill()
            process.wait()

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, beat: Callable[[], None]
    ) -> None:
        plugin = self.plugin
        secrets = handed_over(plugin.table)
        self._send(writer, Build(1, plugin.name, plugin.source, dict(plugin.table), {}, MEMORY_BYTES_MAX, secrets))
        hello = await self._receive(reader, Hello, START_S)
        if hello.refusal is not None:
            raise FeedFailedError(f"it was refused: {hello.refusal.problem}")
        self._send(writer, RunFeeds(2, self._config))
        began = await self._receive(reader, FeedsBegan, START_S)
        if began.problem:
            raise FeedFailedError(f"feeds: {began.problem}")
        life = _Life(began.sources)
        while True:
            self._take(await self._receive(reader, FeedTold, self._life_s), life)
            beat()
            # Whatever it sends: no more than this is taken, and what waits, waits in its own process.
            await asyncio.sleep(tell_every_s(self._config) / 2)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _send(self, writer: asyncio.StreamWriter, message: ToChild) -> None:
        writer.write(framed(ENCODE(message)))

    async def _receive(self, reader: asyncio.StreamReader, kind: type[Heard], within_s: float) -> Heard:
        try:
            async with asyncio.timeout(within_s):
                size = int.from_bytes(await reader.readexactly(HEADER), "big")
                if size > FRAME_BYTES_MAX:
                    raise FeedFailedError(f"its process announced a message of {size} bytes")
                message = FROM_FEEDS(await reader.readexactly(size))
        except TimeoutError:
            raise FeedFailedError(f"its process gave no sign of life within {within_s:g} s") from None
        except (OSError, EOFError):
            raise FeedFailedError("its process ended") from None
        except msgspec.MsgspecError as error:
            raise FeedFailedError(f"its process sent what is no message: {error}") from None
        if not isinstance(message, kind):
            raise FeedFailedError(f"its process sent {type(message).__name__} instead of {kind.__name__}")
        return message

    def _take(self, told: FeedTold, life: _Life) -> None:
        for line in told.log:
            relayed(self._log, line)
        self.dropped += max(told.dropped, 0)
        self._refuse(told.problem, max(told.refused, 0))
        for reading in told.readings[:NAMES_MAX * len(life.limits)]:
            if reading.source in life.limits and not wrong(reading.name, reading.value, reading.at):
                self.readings += 1
                self._heard_at = time.monotonic()
                self._hear(reading)
            else:
                self._refuse(f"{reading.source[:PROBLEM_MAX]}: it said what is no reading", 1)
        if told.ended:
            raise FeedFailedError(told.ended)
        if silent := life.silent(told.items, time.monotonic()):
            raise FeedFailedError(silent)

    def _refuse(self, problem: str, count: int) -> None:
        if not count:
            return
        if not self.refused:
            self._log.warning("feeds of {}: {}; from here on such readings are only counted", self.plugin.name, problem)
        self.refused += count
        self.problem = problem[:PROBLEM_MAX]

    # --- figures ------------------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """For status; ``age_s``: wall seconds since the last reading, None: there was none."""
        age = None if self._heard_at is None else round(time.monotonic() - self._heard_at, 3)
        return {
            "running": self.pid is not None, "age_s": age, "readings": self.readings, "dropped": self.dropped,
            "refused": self.refused, "restarts": self.restarts, "problem": self.problem,
        }


class _Life:
    """When each feed of a process last yielded anything, by the host's clock."""

    def __init__(self, limits: dict[str, float]) -> None:
        self.limits = limits
        """Source → the longest silence that it says is its way, wall seconds."""
        self._items = dict.fromkeys(limits, -1)
        self._since = dict.fromkeys(limits, time.monotonic())

    def silent(self, items: dict[str, int], now: float) -> str:
        """Which feed hangs; empty: none."""
        for source, limit in self.limits.items():
            count = items.get(source, 0)
            if count != self._items[source]:
                self._items[source], self._since[source] = count, now
            elif now - self._since[source] > limit:
                return f"{source}: no sign of life for {now - self._since[source]:.1f} s"
        return ""
