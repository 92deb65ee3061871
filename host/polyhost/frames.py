"""Frames on a socket: four bytes of length, then one message. Plugins' processes and the gateway's use them."""

from __future__ import annotations

import socket
from typing import Final

FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest message: a view is some kilobytes, so this is a bound on nonsense."""
RECEIVE_BYTES: Final = 262_144
HEADER: Final = 4


class FrameError(ConnectionError):
    """The other end sent what is no frame."""


def framed(body: bytes, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """The message as a frame. Raises FrameError when it is too large."""
    if len(body) > bytes_max:
        raise FrameError(f"a message of {len(body)} bytes, at most {bytes_max} are allowed")
    return len(body).to_bytes(HEADER, "big") + body


class Frames:
    """Bytes in, whole messages out."""

    __slots__ = ("_buffer", "_bytes_max")

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; the messages that are complete now. Raises FrameError for a length beyond the bound."""
        buffer = self._buffer
        buffer += data
        messages = []
        while len(buffer) >= HEADER:
            length = int.from_bytes(buffer[:HEADER], "big")
            if length > self._bytes_max:
                raise FrameError(f"a message of {length} bytes was announced")
            if len(buffer) < HEADER + length:
                break
            messages.append(bytes(buffer[HEADER : HEADER + length]))
            del buffer[: HEADER + length]
        return messages


def receive(connection: socket.socket) -> bytes | None:
    """What has arrived: b"" for the end of the stream, None for nothing yet (a non-blocking socket)."""
    try:
        return connection.recv(RECEIVE_BYTES)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
