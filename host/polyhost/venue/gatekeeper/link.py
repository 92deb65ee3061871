"""One end of the socket between host and gateway process: frames out at once and in order, frames in, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from loguru import logger

from polyhost.frames import FrameError, Frames, framed
from polyhost.venue.gatekeeper.launch import FRAME_BYTES_MAX

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""What the other end has not read yet. Nothing is dropped: beyond this the connection ends, and both ends know it."""


class Wire(asyncio.Protocol):
    """``on_frame`` gets each message, ``on_end`` is called once when the connection is gone."""

    def __init__(self, on_frame: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._frames = Frames(FRAME_BYTES_MAX)
        self._transport: asyncio.Transport | None = None

    @property
    def up(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._on_frame(body)
        except FrameError as error:
            logger.error("the gateway's socket is closed: {}", error)
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._on_end()

    def send(self, body: bytes) -> None:
        """Send a message; it goes nowhere once the connection is gone."""
        if self._transport is None:
            return
        self._transport.write(framed(body, FRAME_BYTES_MAX))
        if self._transport.get_write_buffer_size() > WAITING_BYTES_MAX:
            logger.error("the gateway's socket is closed: the other end reads nothing any more")
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
