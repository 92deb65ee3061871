"""Reading a recording back: the kernel's inputs, typed, in the order they were handled."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from polyhost.journal.errors import RecordingError
from polyhost.journal.recording import CANDLE, HOST, PRICE, TURN, CandleInput, PriceInput, recordings
from polyhost.model.events import Event

_CHUNK: Final = 1 << 20


class FeedInput(msgspec.Struct, frozen=True):
    """A feed's message, as it came off the wire."""

    source: str
    raw: bytes


class _Line(msgspec.Struct):
    ts: int
    source: str
    msg: msgspec.Raw = msgspec.Raw(b"")
    wall: int = 0
    bytes: str | None = None


class _Tag(msgspec.Struct):
    event: str = ""


_LINE: Final = msgspec.json.Decoder(_Line)
_TAG: Final = msgspec.json.Decoder(_Tag)
_EVENT: Final = msgspec.json.Decoder(Event)
_PRICE: Final = msgspec.json.Decoder(PriceInput)
_CANDLE: Final = msgspec.json.Decoder(CandleInput)

Kind: TypeAlias = Literal["feed", "event", "turn", "price", "candle"]
Payload: TypeAlias = FeedInput | Event | PriceInput | CandleInput | None


class RecordingReader:
    """Iterates ``(kind, payload, now, wall)``: kind feed (FeedInput), event (Event), price (PriceInput), candle
    (CandleInput), turn (None).

    ``path`` is one run's folder or a single file. A torn tail (the process was killed) ends the iteration quietly and
    is named in ``problems``, as is a beginning that was deleted. Raises RecordingError for what is no recording.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.problems: list[str] = []
        self.files = sorted(self.path.glob("*.jsonl.gz")) if self.path.is_dir() else [self.path]
        if not self.files or not self.files[0].exists():
            raise RecordingError(self.path, "there is no recording", "`polyhost run` makes one unless `record = false`")
        if self.path.is_dir():
            self._look_at_numbers()

    def _look_at_numbers(self) -> None:
        numbers = [int(path.name.split(".")[0]) for path in self.files]
        if numbers[0] != 1:
            self.problems.append(f"the beginning is deleted (first file {numbers[0]:04d})")
        missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
        if missing:
            raise RecordingError(self.path, f"file {missing[0]:04d} is missing", "Replay another run")

    def __iter__(self) -> Iterator[tuple[Kind, Payload, int, int]]:
        for file in self.files:
            for number, text in enumerate(self._texts(file), 1):
                try:
                    yield _input(text)
                except (msgspec.DecodeError, binascii.Error) as error:
                    found = f"line {number} cannot be read ({error})"
                    raise RecordingError(file, found, "Replay with the version that recorded it") from error

    def _texts(self, file: Path) -> Iterator[bytes]:
        rest = b""
        for data in self._unpacked(file):
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
        if rest:
            self.problems.append(f"{file.name}: the last line is torn and left out")

    def _unpacked(self, file: Path) -> Iterator[bytes]:
        gzip = zlib.decompressobj(31)
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                try:
                    yield gzip.decompress(chunk)
                except zlib.error as error:
                    found = f"it is damaged or no gzip file ({error})"
                    raise RecordingError(file, found, "Replay another run") from error
        if not gzip.eof:
            self.problems.append(f"{file.name}: not ended properly (the process was killed)")


def _input(text: bytes) -> tuple[Kind, Payload, int, int]:
    line = _LINE.decode(text)
    if line.source != HOST:
        raw = base64.b64decode(line.bytes, validate=True) if line.bytes is not None else bytes(line.msg)
        return "feed", FeedInput(line.source, raw), line.ts, line.wall
    tag = _TAG.decode(line.msg).event
    if tag == TURN:
        return "turn", None, line.ts, line.wall
    if tag == PRICE:
        return "price", _PRICE.decode(line.msg), line.ts, line.wall
    if tag == CANDLE:
        return "candle", _CANDLE.decode(line.msg), line.ts, line.wall
    return "event", _EVENT.decode(line.msg), line.ts, line.wall


def runs(data_dir: Path | str) -> list[Path]:
    """The recorded runs of a data directory, the oldest first (by the time of their first file that still stands)."""
    folders = [path for path in recordings(data_dir).glob("*") if any(path.glob("*.jsonl.gz"))]
    return sorted(folders, key=lambda path: min(file.stat().st_mtime for file in path.glob("*.jsonl.gz")))
