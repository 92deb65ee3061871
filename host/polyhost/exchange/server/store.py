"""The exchange's durable state: a snapshot file, and beside it a log of everything that changed it since.

What a client is told was logged before: each request (with the market time at which it was handled) is written before
it is handled, each instant of the market before anyone is told of it. The world is deterministic, so snapshot and log
give the same orders, trades and balances again. Writes reach the operating system before the client hears: a kill of
the process loses nothing; a power cut may lose what was logged since the last snapshot (snapshots are fsynced, every
``SAVE_EVERY_S`` and at the end).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import msgspec

from polyhost.exchange import api

VERSION: Final = 1
SAVE_EVERY_S: Final = 5.0
"""Wall seconds between snapshots."""


class StateError(ValueError):
    """The state file cannot be used; the text names the file and why."""


class Began(msgspec.Struct, frozen=True, tag="began"):
    """First line of a log: the snapshot it continues."""

    generation: int


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """A request about to be handled."""

    at: int
    kind: str
    request: dict[str, Any]


class Reached(msgspec.Struct, frozen=True, tag="reached"):
    """Market time went this far before anyone was told."""

    at: int


class KeyMade(msgspec.Struct, frozen=True, tag="key_made"):
    """An API key was created, and the account opened if it was the first."""

    at: int
    address: str
    nonce: int


class KeyGone(msgspec.Struct, frozen=True, tag="key_gone"):
    at: int
    api_key: str


class NoticesDropped(msgspec.Struct, frozen=True, tag="notices_dropped"):
    """A wallet's notifications were dropped."""

    wallet: str
    ids: tuple[int, ...]


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """What a change left: a part of the exchange's state with all rows of these markets (``state.with_part``). Written
    where the log of requests cannot give the same again, because fills depend on a book from elsewhere."""

    markets: tuple[str, ...]
    part: dict[str, Any]


Entry: TypeAlias = Began | Asked | Reached | KeyMade | KeyGone | NoticesDropped | Kept
_DECODER: Final = msgspec.json.Decoder(Entry)
_Changing: TypeAlias = (
    api.PostOrder | api.CancelOrders | api.Split | api.Merge | api.Redeem | api.Transact | api.RefreshBalance
)
_LOGGED: Final[dict[str, type[_Changing]]] = {kind.__name__: kind for kind in get_args(_Changing)}
"""Requests that change anything."""


def asked(request: api.Request, at: int) -> Asked | None:
    """The entry for a request; None for one that changes nothing."""
    kind = type(request).__name__
    return Asked(at, kind, msgspec.to_builtins(request)) if kind in _LOGGED else None


def request_of(entry: Asked) -> api.Request:
    """The request in an entry. Raises StateError for a kind this version does not know."""
    kind = _LOGGED.get(entry.kind)
    if kind is None:
        raise StateError(f"unknown request {entry.kind!r} in the log")
    return msgspec.convert(entry.request, kind)


class Store:
    """A state file with its log; without a path everything here does nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.generation = 0
        self._log: int | None = None

    @property
    def log_path(self) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ".log")

    def load(self) -> tuple[dict[str, Any], list[Entry]] | None:
        """The snapshot and what came after it; None when there is no state yet. Raises StateError."""
        if self.path is None or not self.path.exists():
            return None
        try:
            data = msgspec.json.decode(self.path.read_bytes(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise StateError(f"{self.path} is no state of an exchange: {error}") from error
        if data.get("version") != VERSION:
            raise StateError(f"{self.path} has state version {data.get('version')!r}, this exchange writes {VERSION}")
        self.generation = data["generation"]
        return data, self._read_log()

    def _read_log(self) -> list[Entry]:
        if not self.log_path.exists():
            return []
        first, *lines = self.log_path.read_bytes().split(b"\n")
        if not self._continues(first):
            return []  # the log of an older snapshot: all of it is in this one
        entries: list[Entry] = []
        for number, line in enumerate(lines, 2):
            if not line:
                continue
            try:
                entries.append(_DECODER.decode(line))
            except msgspec.DecodeError as error:
                if number == len(lines) + 1:  # no newline follows: the kill came in the middle of this write
                    break
                raise StateError(f"{self.log_path}: line {number} is broken: {error}") from error
        return entries

    def _continues(self, first: bytes) -> bool:
        """True when a log that begins with this line belongs to the snapshot."""
        try:
            begun: Entry = _DECODER.decode(first)
        except msgspec.DecodeError as error:
            raise StateError(f"{self.log_path}: line 1 is broken: {error}") from error
        return begun == Began(self.generation)

    def append(self, entry: Entry) -> None:
        """Write an entry; it is the operating system's when this returns. Raises OSError."""
        if self._log is None:
            return
        line = msgspec.json.encode(entry) + b"\n"
        if os.write(self._log, line) != len(line):
            raise OSError(errno.ENOSPC, "only part of a line was written", str(self.log_path))

    def mark(self, at: int) -> None:
        """Market time reached ``at``, and someone is about to be told."""
        self.append(Reached(at))

    def save(self, data: dict[str, Any]) -> None:
        """Replace the snapshot atomically and begin a new log."""
        if self.path is None:
            return
        self.generation += 1
        body = msgspec.json.encode({"version": VERSION, "generation": self.generation, **data})
        replace_whole(self.path, body)
        self.close()
        replace_whole(self.log_path, msgspec.json.encode(Began(self.generation)) + b"\n")
        self._log = os.open(self.log_path, os.O_WRONLY | os.O_APPEND)

    def close(self) -> None:
        if self._log is not None:
            os.close(self._log)
            self._log = None


def replace_whole(path: Path, body: bytes) -> None:
    """Write a file so that it is the old one or the new one, whole, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
