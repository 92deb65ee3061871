"""What the crash matrix and the host it kills say to each other, over a pair of sockets: length-prefixed msgpack.

The one who kills is the venue and the clock; the host under test only ever answers a frame with frames.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from polyhost.exchange.api import CandleTick, PriceTick
from polyhost.model import commands
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.messages import Message

HOST_SILENT_S: Final = 60.0
"""A host that says nothing for so long, wall time, hangs (a locked database is waited for in real time)."""
_LENGTH: Final = struct.Struct("!I")


class Turn(Struct, tag="turn"):
    """It is ``now`` (market and wall ms alike); this is what arrived. The host does all that is due."""

    now: int
    events: list[Event] = []
    books: list[Message] = []
    prices: list[PriceTick] = []
    candles: list[CandleTick] = []


class Look(Struct, tag="look"):
    """Show your durable state; answered by ``Shown``."""


class End(Struct, tag="end"):
    """The run is over: write the last record, close the journal, answer ``Shown`` and go."""

    now: int


class Sent(Struct, tag="sent"):
    """A command left the host."""

    kind: str
    body: msgspec.Raw


class Done(Struct, tag="done"):
    """A turn is finished. ``due``: when the kernel wants the next one; ``quiet``: everything settled, nothing open."""

    due: int
    quiet: bool
    sealed: str


class Shown(Struct, tag="shown"):
    """The state as JSON, how often each point was passed, and which of them soon after the start."""

    state: bytes
    counts: dict[str, int]
    early: list[str]


ToHost: TypeAlias = Turn | Look | End
FromHost: TypeAlias = Sent | Done | Shown
_ENCODER: Final = msgspec.msgpack.Encoder()
_TO_HOST: Final = msgspec.msgpack.Decoder(ToHost)
_FROM_HOST: Final = msgspec.msgpack.Decoder(FromHost)
_KINDS: Final[dict[str, type[Command]]] = {
    kind.__name__: kind
    for kind in (
        commands.Post, commands.Act, commands.PostMany, commands.Prepare, commands.Cancel, commands.CancelMany,
        commands.CancelMarket, commands.CancelEverything, commands.QueryOrder,
        commands.Sweep, commands.QueryBalance, commands.QueryTokenBalance, commands.QueryPositions,
        commands.FindMarket, commands.Follow, commands.Unfollow, commands.QueryResult, commands.QueryScoring,
        commands.QueryEarnings, commands.Deliver, commands.QueryAudit,
    )
}  # fmt: skip
"""Commands that leave the host; the others stay in it."""


class Ended(Exception):  # noqa: N818 an end, perhaps a wanted one
    """The other end is gone."""


class Line:
    """One end of the pair."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.settimeout(HOST_SILENT_S)

    def send(self, frame: ToHost | FromHost) -> None:
        """Raises Ended when nobody is there any more."""
        body = _ENCODER.encode(frame)
        try:
            self._end.sendall(_LENGTH.pack(len(body)) + body)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended from error

    def send_command(self, command: Command) -> None:
        self.send(Sent(type(command).__name__, msgspec.Raw(_ENCODER.encode(command))))

    def from_host(self) -> FromHost:
        """Raises Ended; TimeoutError for a host that hangs."""
        frame: FromHost = _FROM_HOST.decode(self._body())
        return frame

    def to_host(self) -> ToHost:
        frame: ToHost = _TO_HOST.decode(self._body())
        return frame

    def waiting(self, seconds: float) -> bool:
        """True when a frame, or the end, is there within so long."""
        return bool(select.select([self._end], [], [], seconds)[0])

    def close(self) -> None:
        self._end.close()

    def _body(self) -> bytes:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        return self._take(length)

    def _take(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._end.recv(size - len(parts))
            except ConnectionResetError as error:
                raise Ended from error
            if not part:
                raise Ended
            parts += part
        return bytes(parts)


def command_of(sent: Sent) -> Command:
    """The command that left. Raises KeyError for one that never should have."""
    return msgspec.msgpack.decode(sent.body, type=_KINDS[sent.kind])


def leaves(command: Command) -> bool:
    """True for a command that somebody outside the host carries out."""
    return type(command).__name__ in _KINDS
