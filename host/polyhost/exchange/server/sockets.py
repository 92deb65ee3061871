"""One websocket of a client: an ordered queue that never drops, and how far its reader lags.

Lag is measured without the client's help: after frames were written a protocol ping follows, and every websocket
library answers it in order, after it has read what came before. One ping is outstanding at most. A client that answers
nothing for ``STUCK_S`` of wall time is closed with 4002, as the venue does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from aiohttp import WSMsgType, web

QUEUE_HOLD: Final = 256
"""Frames waiting to be written above which market time is held back."""
QUEUE_MAX: Final = 50_000
"""Frames waiting above which the client is closed (4002): more than any instant of the market can produce."""
STUCK_S: Final = 10.0
"""Wall seconds without an answer to our ping, or without a write, after which a socket is closed."""
CLOSING_S: Final = 1.0
"""Wall seconds a client gets to answer our closing."""
CLOSE_SLOW: Final = 4002
CLOSE_AUTH: Final = 4001
_FRAME_BYTES_MAX: Final = 64 * 1024

OnText = Callable[[str], None]


class Socket:
    """A connected websocket with its writer. ``send`` never blocks and never drops."""

    def __init__(self, channel: str = "") -> None:
        """``channel``: market or user, for those that may break by themselves."""
        self.channel = channel
        self.ws = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_FRAME_BYTES_MAX)
        self._queue: deque[bytes] = deque()
        self._work = asyncio.Event()
        self._writing_since: float | None = None
        self._ping_since: float | None = None
        self._unpinged = False
        """Frames were written since the last ping."""
        self._close_code: int | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, frame: bytes) -> None:
        """Queue a text frame."""
        if self._close_code is not None:
            return
        self._queue.append(frame)
        if len(self._queue) > QUEUE_MAX:
            self.close(CLOSE_SLOW)
        self._work.set()

    def close(self, code: int) -> None:
        """Close with this code after what was queued before."""
        if self._close_code is None:
            self._close_code = code
            self._work.set()

    def cut(self) -> None:
        """The connection breaks without a word; what was queued is lost."""
        self._queue.clear()
        self._close_code = self._close_code or CLOSE_SLOW
        if self._transport is not None:
            self._transport.abort()

    def lag_s(self, now: float) -> float:
        """Wall seconds for which the client has not taken what we wrote; ``now`` on the monotonic clock."""
        since = min(
            (moment for moment in (self._ping_since, self._writing_since) if moment is not None), default=None
        )
        return 0.0 if since is None else now - since

    def holds(self, now: float, lag_s_max: float) -> bool:
        """True while market time must wait for this client."""
        return len(self._queue) > QUEUE_HOLD or self.lag_s(now) > lag_s_max

    def check(self, now: float) -> None:
        """Close the socket if it is stuck; end the connection when not even the closing could be written."""
        if self.lag_s(now) <= STUCK_S:
            return
        self._queue.clear()
        self.close(CLOSE_SLOW)
        if self._writing_since is not None and self._transport is not None:
            self._transport.abort()

    async def serve(self, request: web.Request, on_text: OnText) -> web.WebSocketResponse:
        """Run the socket until it ends; ``on_text`` gets every text frame but PING, which is answered here."""
        await self.ws.prepare(request)
        self._transport = request.transport
        writer = asyncio.create_task(self._write())
        try:
            await self._read(on_text)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return self.ws

    async def _read(self, on_text: OnText) -> None:
        while True:
            message = await self.ws.receive()
            match message.type:
                case WSMsgType.TEXT:
                    if message.data == "PING":
                        self.send(b"PONG")
                    else:
                        on_text(message.data)
                case WSMsgType.PING:
                    await self.ws.pong(message.data)
                case WSMsgType.PONG:
                    self._ponged()
                case WSMsgType.BINARY:
                    on_text(message.data.decode("utf-8", "replace"))
                case _:
                    return

    def _ponged(self) -> None:
        self._ping_since = None
        if self._unpinged:
            self._work.set()

    async def _write(self) -> None:
        """Write what is queued; the connection's end shows as an error here and as a closing message to the reader."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                if self._close_code is None or self.lag_s(monotonic()) <= STUCK_S:
                    await self._flush()
                if self._close_code is not None:
                    await asyncio.wait_for(self.ws.close(code=self._close_code), CLOSING_S)
                    return
        except (ConnectionError, RuntimeError, TimeoutError):
            # Nobody takes what we write: end the connection, so that the reader ends too.
            self._queue.clear()
            self._close_code = self._close_code or CLOSE_SLOW
            if self._transport is not None:
                self._transport.abort()
        finally:
            self._writing_since = self._ping_since = None

    async def _flush(self) -> None:
        queue = self._queue
        while queue:
            self._writing_since = monotonic()
            await self.ws.send_frame(queue.popleft(), WSMsgType.TEXT)
            self._unpinged = True
        self._writing_since = None
        if self._unpinged and self._ping_since is None and self._close_code is None:
            self._unpinged = False
            self._ping_since = monotonic()
            await self.ws.ping()


class Crowd:
    """Every open socket of the server."""

    def __init__(self) -> None:
        self.sockets: set[Socket] = set()

    def holds(self, lag_s_max: float) -> bool:
        """True while any client is too far behind."""
        now = monotonic()
        return any(socket.holds(now, lag_s_max) for socket in self.sockets)

    def check(self) -> None:
        """Close sockets that are stuck."""
        now = monotonic()
        for socket in list(self.sockets):
            socket.check(now)

    def cut(self, channel: str) -> None:
        """Break every connection of one channel."""
        for socket in self.sockets:
            if socket.channel == channel:
                socket.cut()

    def close(self) -> None:
        """Close all: the exchange is stopping (1001, going away)."""
        for socket in self.sockets:
            socket.close(1001)
