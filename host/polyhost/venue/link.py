"""One websocket that stays connected: epochs, text pings, silence watches and reconnection with full jitter.

It knows nothing of what is said on it. All its times are transport time (wall seconds).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from loguru import logger
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from polyhost.errors import VenueError
from polyhost.venue.clock import HEADER, VenueClock

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""Full books of many tokens come in one frame."""
CLOSE_S: Final = 1.0
"""A closing handshake takes no longer; then the connection is cut."""
QUEUE_MAX: Final = 1_000
"""Frames of ours waiting to be written."""
TELL_EVERY_S: Final = 60.0
"""A link that stays down is told again after this."""
CHECKS: Final = 4
"""The watches look this many times within the shortest of their limits."""


def on_loopback(url: str) -> bool:
    """It stays on this machine: never through a proxy."""
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")


def nobody() -> None:
    """The beat of a loop that nobody watches."""


class Pace(Struct, frozen=True):
    """Limits in seconds of transport time."""

    ping_s: float = 10.0
    """A text ping every so often (venue rule)."""
    pong_s: float = 30.0
    """Without an answer to one for this long the connection counts as dead."""
    first_s: float = 15.0
    """A connection that expects data and got none by then is made anew."""
    data_s: float = 60.0
    """Without data for this long it is made anew; 0: never (a stream that may be silent)."""
    open_s: float = 10.0
    backoff_s: float = 0.25
    backoff_max_s: float = 30.0
    steady_s: float = 10.0
    """A connection that lived this long resets the back-off."""


class Link:
    """A websocket to ``url`` that is made anew whenever it ends, until ``close``.

    ``on_open(epoch)`` gives the frames that greet the server; ``on_data(raw)`` gets every frame but pongs;
    ``on_down(epoch, reason)`` is called once for every connection that had opened. What the callbacks raise ends
    ``run``.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        on_open: Callable[[int], list[str]],
        on_data: Callable[[bytes], None],
        on_down: Callable[[int, str], None],
        clock: VenueClock | None = None,
        pace: Pace | None = None,
        ping: str = "",
        is_pong: Callable[[bytes], bool] | None = None,
        expects_data: Callable[[], bool] | None = None,
        quiet: Callable[[], str] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``ping``: text sent as a ping; empty: only the protocol's own pings.

        ``quiet()`` names what has been silent for too long although other data comes, or is empty; ``jitter()`` is a
        share from 0 to 1 of each pause between two tries. Whoever runs it may set ``beat``: it is called as
        the loop goes round, data or none, at least once in ``backoff_max_s`` (ORD-15).
        """
        self.beat: Callable[[], None] = nobody
        self.name = name
        self.url = url
        self.epoch = 0
        """Rises with every connection, and with every loss of continuity within one."""
        self.reconnects = 0
        self.data_at: float | None = None
        """Loop time of the last frame of this connection; None: none yet."""
        self.pongs = 0
        """Answers to our pings on this connection: the first proves that what we said before it was read."""
        self._on_open = on_open
        self._on_data = on_data
        self._on_down = on_down
        self._clock = clock
        self._pace = pace or Pace()
        self._ping = ping
        self._is_pong = is_pong or (lambda raw: False)
        self._expects_data = expects_data or (lambda: True)
        self._quiet = quiet or (lambda: "")
        self._jitter = jitter
        self._outbox: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)
        self._up = False
        self._stop = asyncio.Event()
        self._restart: asyncio.Event = asyncio.Event()
        self._restart_reason = ""
        self._pong_at = 0.0
        self._opened_at = 0.0
        self._down_at: float | None = None
        """Loop time at which it went down; None: it is up, or was never tried."""
        self._told_at = 0.0
        self._tries = 0

    @property
    def up(self) -> bool:
        return self._up

    def send(self, text: str) -> None:
        """Write a frame soon; when the link is down it is dropped, because ``on_open`` says everything anew."""
        if not self._up:
            return
        if self._outbox.full():
            self.restart("our own frames are not taken")
            return
        self._outbox.put_nowait(text)

    def restart(self, reason: str) -> None:
        """Make the connection anew."""
        self._restart_reason = reason
        self._restart.set()

    def close(self) -> None:
        """Let ``run`` return soon."""
        self._stop.set()

    async def run(self) -> None:
        """Keep the link up until ``close`` or cancellation. VenueError for an address that is none."""
        delay = self._pace.backoff_s
        while not self._stop.is_set():
            self.beat()
            loop = asyncio.get_running_loop()
            began = loop.time()
            reason = await self._once()
            if self._stop.is_set():
                return
            delay = self._pace.backoff_s if loop.time() - began >= self._pace.steady_s else delay
            wait = delay * self._jitter()
            self.beat()
            self._tell_down(reason)
            self.reconnects += 1
            await self._rest(wait)
            delay = min(delay * 2, self._pace.backoff_max_s)

    def _tell_down(self, reason: str) -> None:
        """One line when it goes down, one a minute while it stays so: it is tried every few seconds."""
        now = asyncio.get_running_loop().time()
        self._tries += 1
        if self._down_at is None:
            self._down_at, self._tries = now, 1
            logger.warning("{} stream down: {}", self.name, reason)
        elif now - self._told_at >= TELL_EVERY_S:
            down_s = now - self._down_at
            logger.warning("{} stream still down for {:.0f} s, {} tries: {}", self.name, down_s, self._tries, reason)
        else:
            logger.debug("{} stream down, try {}: {}", self.name, self._tries, reason)
            return
        self._told_at = now

    def _tell_up(self) -> None:
        if self._down_at is not None:
            down_s = asyncio.get_running_loop().time() - self._down_at
            logger.info("{} stream up again after {:.1f} s", self.name, down_s)
            self._down_at = None

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _once(self) -> str:
        """One connection from its opening to its end; why it ended."""
        try:
            socket = await connect(
                self.url,
                open_timeout=self._pace.open_s,
                close_timeout=CLOSE_S,
                max_size=FRAME_BYTES_MAX,
                compression=None,
                proxy=None if on_loopback(self.url) else True,
            )
        except InvalidURI as error:
            raise VenueError(str(error), endpoint=self.url) from error
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            return f"{type(error).__name__}: {error}"
        try:
            return await self._session(socket)
        finally:
            await socket.close()

    async def _session(self, socket: ClientConnection) -> str:
        if self._clock is not None and socket.response is not None:
            self._clock.sample(socket.response.headers.get(HEADER))
        self.epoch += 1
        self._restart.clear()
        self._outbox = asyncio.Queue(QUEUE_MAX)
        self._opened_at = self._pong_at = asyncio.get_running_loop().time()
        self.data_at = None
        self.pongs = 0
        self._up = True
        self._tell_up()
        reason = "closed"
        try:
            for text in self._on_open(self.epoch):
                await socket.send(text)
            reason = await self._work(socket)
        except ConnectionClosed as error:
            reason = f"closed by the venue: {error}"
        finally:
            self._up = False
            self._on_down(self.epoch, reason)
        return reason

    async def _work(self, socket: ClientConnection) -> str:
        """Read, write and watch until the first of them ends; its reason, or what it raised."""
        tasks = [asyncio.create_task(part) for part in (self._read(socket), self._write(socket), self._watch(socket))]
        stop = [asyncio.create_task(self._stop.wait()), asyncio.create_task(self._restart.wait())]
        try:
            await asyncio.wait([*tasks, *stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, *stop):
                task.cancel()
            ended = await asyncio.gather(*tasks, *stop, return_exceptions=True)
        for result in ended[: len(tasks)]:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        if self._stop.is_set():
            return "closed by us"
        if self._restart.is_set():
            return self._restart_reason
        return next((result for result in ended[: len(tasks)] if isinstance(result, str)), "closed")

    async def _read(self, socket: ClientConnection) -> str:
        loop = asyncio.get_running_loop()
        while True:
            raw = await socket.recv(decode=False)
            body = raw if isinstance(raw, bytes) else raw.encode()
            if self._is_pong(body):
                self._pong_at = loop.time()
                self.pongs += 1
                continue
            self.data_at = loop.time()
            self._on_data(body)

    async def _write(self, socket: ClientConnection) -> str:
        while True:
            await socket.send(await self._outbox.get())

    async def _watch(self, socket: ClientConnection) -> str:
        pace, loop = self._pace, asyncio.get_running_loop()
        limits = [limit for limit in (pace.ping_s, pace.pong_s, pace.first_s, pace.data_s) if limit > 0]
        pinged = loop.time()
        while True:
            await asyncio.sleep(min(limits) / CHECKS)
            self.beat()
            problem = self._silent(loop.time())
            if problem:
                return problem
            if self._ping and loop.time() - pinged >= pace.ping_s:
                pinged = loop.time()
                await socket.send(self._ping)

    def _silent(self, now: float) -> str:
        """Which silence is too long, or an empty string."""
        pace = self._pace
        if self._ping and now - self._pong_at > pace.pong_s:
            return f"no PONG for {pace.pong_s:g} s"
        if not self._expects_data():
            return ""
        if self.data_at is None:
            return f"no first event within {pace.first_s:g} s" if now - self._opened_at > pace.first_s else ""
        if pace.data_s and now - self.data_at > pace.data_s:
            return f"no data for {pace.data_s:g} s"
        return self._quiet()
