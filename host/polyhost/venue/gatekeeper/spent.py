"""What was spent lately: the sums that the policy limits, in a small file that outlives the process.

A line is one order: when (market ms), which, how much (micro-units); a later line of the same order replaces it. Lines
are appended, so that counting costs the way of an order some microseconds; the file is written anew, whole or
not at all, at the start and when it has grown. A power failure may lose the last lines, a killed process none.

A disk that takes nothing ends nobody: sells and cancels need no line. What is counted then is counted in this process,
and whoever wants to spend is told that it cannot be written down.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from polyhost.files import write_atomically
from polyhost.model.money import Micros

FILE: Final = "gateway-spent.jsonl"
KEPT_MS: Final = 24 * 3_600_000
"""Lines older than this count for nothing any more, market ms."""
BUCKET_MS: Final = 300_000
"""Sums are kept by spans of so much market time: an hour counts up to five minutes more than an hour."""
LINES_MAX: Final = 20_000
"""With more lines appended than this the file is written anew."""


class Spent:
    """Sums of one account. ``close`` at the end."""

    def __init__(self, path: Path, now: Callable[[], int]) -> None:
        """``now()``: market ms. Raises OSError when the file is there and cannot be read."""
        self._path = path
        self._now = now
        self._entries: dict[str, tuple[int, Micros]] = {}
        self._buckets: dict[int, Micros] = {}
        self._lines = 0
        self._file: int | None = None
        """None: the disk takes nothing, and what stands in the file is not what is counted."""
        self._told = False
        self._read()
        self._append()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def knows(self, ref: str) -> bool:
        """It was counted within the last day."""
        return ref in self._entries

    def money_of(self, ref: str) -> Micros:
        """What counts for it; 0 for one that is not known."""
        return self._entries.get(ref, (0, 0))[1]

    def within(self, span_ms: int) -> Micros:
        """The sum of the last ``span_ms`` (at most a day), never less than that."""
        since = (self._now() - span_ms) // BUCKET_MS
        return sum(money for bucket, money in self._buckets.items() if bucket >= since)

    def put(self, ref: str, money: Micros) -> bool:
        """Count so much for an order; one that counts already keeps its time, and 0 takes it out. False: it could not
        be written down."""
        at, before = self._entries.get(ref, (self._now(), 0))
        if money == before:
            return True
        self._count(ref, at, money)
        return self._append((at, ref, money))

    def rename(self, ref: str, order_id: str) -> None:
        """What counts for a draft counts for the order that was made of it, from the same moment."""
        at, money = self._entries.get(ref, (0, 0))
        if money:
            self._count(order_id, at, money)
            self._count(ref, at, 0)
            # In this order: a process that ends in between has counted twice, not not at all.
            self._append((at, order_id, money), (at, ref, 0))

    def _count(self, ref: str, at: int, money: Micros) -> None:
        bucket = at // BUCKET_MS
        self._buckets[bucket] = self._buckets.get(bucket, 0) + money - self.money_of(ref)
        if money:
            self._entries[ref] = (at, money)
        else:
            self._entries.pop(ref, None)

    # --- the file -----------------------------------------------------------------------------------------------------

    def _append(self, *lines: tuple[int, str, Micros]) -> bool:
        """Write down what was counted; False: the disk does not take it now."""
        try:
            if self._file is None or self._lines > LINES_MAX:
                self.close()
                self._file = self._written_anew()
            else:
                _whole(self._file, _text(lines))
                self._lines += len(lines)
        except OSError as error:
            self.close()  # half a line may stand there: the next one begins a new file
            if not self._told:
                logger.error("{}: {}: nothing is bought while what is spent cannot be written down", self._path, error)
            self._told = True
            return False
        self._told = False
        return True

    def _read(self) -> None:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return
        broken = 0
        for line in text.splitlines():
            try:
                at, ref, money = _LINE.decode(line)
            except msgspec.DecodeError:
                broken += 1
                continue
            self._count(ref, at, money)
        if broken:
            logger.warning("{}: {} lines that cannot be read do not count", self._path, broken)

    def _written_anew(self) -> int:
        """The file with what still counts, opened for more; what is older than a day is forgotten here too."""
        since = self._now() - KEPT_MS
        kept = [(at, ref, money) for ref, (at, money) in self._entries.items() if at > since]
        write_atomically(self._path, _text(kept), mode=0o600)
        self._entries.clear()
        self._buckets.clear()
        for at, ref, money in kept:
            self._count(ref, at, money)
        self._lines = 0
        return os.open(self._path, os.O_WRONLY | os.O_APPEND)


def _whole(file: int, text: bytes) -> None:
    """Raises OSError when not all of it is taken."""
    if os.write(file, text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _text(lines: tuple[tuple[int, str, Micros], ...] | list[tuple[int, str, Micros]]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


_LINE: Final = msgspec.json.Decoder(tuple[int, str, int])
