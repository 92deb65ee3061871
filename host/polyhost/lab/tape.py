"""Recordings: lines of a tape as typed messages, in order, with everything odd about them counted.

A tape is ``*.jsonl`` or ``*.jsonl.gz``, one object a line: ``{"ts": arrival in unix ms, "source": …, "msg": …}``. This
module knows the format, not what messages mean. Market and price messages are decoded straight from the bytes into
``Message``; lines of ``gamma`` and ``host`` come as plain dicts between them.

Errors: ``NoTapeError`` when there is nothing to read (missing, not gzip, empty, no tape), ``TapeError`` with the line
number for a broken promise (out of order; in strict reading a broken or cut-off line, too).
"""

from __future__ import annotations

import gzip
import heapq
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec
from msgspec import Struct, field

from polyhost.errors import TapeError
from polyhost.model.messages import Message

CHUNK_BYTES: Final = 1 << 16
"""Decoded in one call; large enough to amortise it, small enough that its messages are still in the cache when they
are handled (a backtest is 5 % slower with four times as much)."""
HEAD_LINES: Final = 100
"""A file none of whose first lines is a tape line is no tape."""
LINE_BYTES_MAX: Final = 1 << 26
"""A longer line is no message of any venue."""
GZIP_MAGIC: Final = b"\x1f\x8b"
NOTE: Final = b'"_note":'
APART: Final = frozenset({"gamma", "host"})
"""Sources whose messages are no market or price messages: they come as ``Aside``."""


class NoTapeError(TapeError):
    """There is no tape to read: the file is missing, empty, not gzip, or holds something else."""

    exit_code = 2


class TapeMessage(Message):
    """A message as tapes hold them: the stream's fields, and those of a feed's reading, of whatever type they are."""

    name: Any = ""
    value: Any = None
    at: Any = 0


class Line(Struct):
    """One market or price message, or a feed's reading, and its arrival."""

    ts: int
    source: str
    msg: TapeMessage


class Aside(Struct, frozen=True):
    """A line of the catalogue (``gamma``) or of a recording host (``host``), as it stands."""

    ts: int
    source: str
    msg: dict[str, Any]


Part: TypeAlias = list[Line] | Aside
"""Messages in a row, or the line between them."""


class Counts(Struct):
    """What a reader met, filled while it reads."""

    lines: int = 0
    broken: int = 0
    """Lines that are no JSON object with ``ts``, ``source`` and ``msg``; skipped."""
    first_broken: int = 0
    """Number of the first of them; 0: none."""
    cut_off: bool = False
    """The gzip stream ends in the middle, as of a recorder that was killed."""
    notes: int = 0
    """Lines with a ``_note``: rebuilt from recorded fields, not captured verbatim (counted on request)."""
    sources: Counter[str] = field(default_factory=Counter)


_stamp: Final[Callable[[Line | Aside], int]] = attrgetter("ts")
_source: Final[Callable[[Line], str]] = attrgetter("source")
_line_decoder: Final = msgspec.json.Decoder(Line)
_dict_decoder: Final = msgspec.json.Decoder(Aside)


class Tape:
    """One recording. ``counts`` is complete when ``parts`` has run to its end.

    Raises NoTapeError at once when the file cannot be a tape.
    """

    def __init__(self, path: Path | str, strict: bool = False, count_notes: bool = False) -> None:
        """``strict``: a broken or cut-off line is an error. ``count_notes``: look for lines that were rebuilt, too."""
        self.path = Path(path)
        self.strict = strict
        self.count_notes = count_notes
        self._offset = 0
        self.counts = Counts()
        self._last_ts = -1
        self._check_file()

    def parts(self) -> Iterator[Part]:
        """Every line in file order. Raises TapeError for a line out of order; strictly, for any broken one."""
        self.counts = Counts()
        self._last_ts = -1
        understood = False
        self._offset = 0
        for chunk in self._whole_lines():
            understood = self._understood(chunk, understood)
            yield from self._decoded(chunk)
            self._offset += len(chunk)
        if self.counts.lines == 0:
            raise NoTapeError("empty: not one line", path=str(self.path))
        if self.counts.broken == self.counts.lines:
            raise self._no_tape()

    # --- the file -----------------------------------------------------------------------------------------------------

    def _check_file(self) -> None:
        path = self.path
        if not path.exists():
            raise NoTapeError("no such file", path=str(path))
        if not path.is_file():
            raise NoTapeError("not a file", path=str(path))
        with path.open("rb") as file:
            head = file.read(2)
        if not head:
            raise NoTapeError("empty: not one byte", path=str(path))
        if path.suffix == ".gz" and head != GZIP_MAGIC:
            raise NoTapeError("named .gz, but not gzip data", path=str(path))
        self._packed = head == GZIP_MAGIC

    def _open(self) -> BinaryIO:
        if self._packed:
            return gzip.open(self.path, "rb")  # type: ignore[return-value]  # GzipFile reads as any binary file
        return self.path.open("rb")

    def _blocks(self) -> Iterator[bytes]:
        """The file's bytes, unpacked. A stream that ends in the middle gives what it has."""
        with self._open() as file:
            read = file.read1 if self._packed else file.read  # type: ignore[attr-defined]  # GzipFile has read1
            while True:
                try:
                    block: bytes = read(CHUNK_BYTES)
                except EOFError as error:
                    self._cut_off(error)
                    return
                except (zlib.error, gzip.BadGzipFile) as error:
                    raise TapeError(
                        f"gzip data is damaged ({error})", path=str(self.path), line=self.counts.lines + 1
                    ) from error
                if not block:
                    return
                yield block

    def _cut_off(self, error: Exception) -> None:
        if self.strict:
            raise TapeError("the gzip stream is cut off", path=str(self.path), line=self.counts.lines + 1) from error
        self.counts.cut_off = True

    def _whole_lines(self) -> Iterator[bytes]:
        """The file in pieces that end with a line."""
        rest: list[bytes] = []
        waiting = 0
        for block in self._blocks():
            end = block.rfind(b"\n") + 1
            if not end:
                rest.append(block)
                waiting += len(block)
                if waiting > LINE_BYTES_MAX:
                    raise NoTapeError("not a tape: a line does not end", path=str(self.path))
                continue
            rest.append(block[:end])
            yield b"".join(rest)
            rest = [block[end:]]
            waiting = len(block) - end
        last = b"".join(rest)
        if last.strip():
            yield last

    # --- lines --------------------------------------------------------------------------------------------------------

    def _understood(self, chunk: bytes, already: bool) -> bool:
        """True once a line was a tape line. Raises NoTapeError when none of the first lines is."""
        if already:
            return True
        head = [line for line in chunk.split(b"\n", HEAD_LINES)[:HEAD_LINES] if line.strip()]
        if any(_is_tape_line(line) for line in head):
            return True
        if len(head) >= HEAD_LINES:
            raise self._no_tape()
        return False

    def _no_tape(self) -> NoTapeError:
        return NoTapeError('not a tape: no line is an object with "ts", "source" and "msg"', path=str(self.path))

    def _decoded(self, chunk: bytes) -> Iterator[Part]:
        """A piece in one call when nothing in it is special, else line by line."""
        counts = self.counts
        try:
            lines = _line_decoder.decode_lines(chunk)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield from self._one_by_one(chunk)
            return
        stamps = list(map(_stamp, lines))
        sources = Counter(map(_source, lines))
        in_order = not stamps or (stamps[0] >= self._last_ts and sorted(stamps) == stamps)
        if not in_order or not APART.isdisjoint(sources):
            yield from self._one_by_one(chunk)
            return
        counts.lines += len(lines)
        if self.count_notes:
            counts.notes += chunk.count(NOTE)
        counts.sources.update(sources)
        if lines:
            self._last_ts = stamps[-1]
            yield lines

    def _one_by_one(self, chunk: bytes) -> Iterator[Part]:
        counts = self.counts
        plain: list[Line] = []
        for index, raw in enumerate(chunk.split(b"\n")):
            if not raw.strip():
                continue
            counts.lines += 1
            line = self._decode_one(raw, index)
            if line is None:
                continue
            if line.ts < self._last_ts:
                problem = f"out of order: ts {line.ts} after {self._last_ts}"
                raise TapeError(problem, path=str(self.path), line=self._number(index))
            self._last_ts = line.ts
            counts.sources[line.source] += 1
            counts.notes += NOTE in raw
            if isinstance(line, Line):
                plain.append(line)
                continue
            if plain:
                yield plain
                plain = []
            yield line
        if plain:
            yield plain

    def _number(self, index: int) -> int:
        """Number of a line of the present piece; counts the lines above it, so only for messages about it."""
        above, left = 0, self._offset
        for block in self._blocks():
            above += block.count(b"\n", 0, left)
            left -= len(block)
            if left <= 0:
                break
        return above + index + 1

    def _decode_one(self, raw: bytes, index: int) -> Line | Aside | None:
        """One line, or None for a broken one (counted). Raises TapeError instead when reading strictly."""
        try:
            aside = _dict_decoder.decode(raw)
            return aside if aside.source in APART else _line_decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if self.strict:
                raise TapeError(f"broken line ({error})", path=str(self.path), line=self._number(index)) from error
            self.counts.broken += 1
            self.counts.first_broken = self.counts.first_broken or self._number(index)
            return None


def merged(tapes: Sequence[Tape]) -> Iterator[Part]:
    """Several tapes as one, by arrival; at equal times the order of the tapes, within one its own order."""
    if len(tapes) == 1:
        yield from tapes[0].parts()
        return
    plain: list[Line] = []
    for item in heapq.merge(*(_items(tape) for tape in tapes), key=_stamp):
        if isinstance(item, Line):
            plain.append(item)
            if len(plain) < 1_024:
                continue
            yield plain
            plain = []
        else:
            if plain:
                yield plain
                plain = []
            yield item
    if plain:
        yield plain


def _items(tape: Tape) -> Iterator[Line | Aside]:
    for part in tape.parts():
        if isinstance(part, Aside):
            yield part
        else:
            yield from part


def _is_tape_line(raw: bytes) -> bool:
    try:
        _dict_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
