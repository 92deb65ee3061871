"""Recording of everything the kernel is fed, in the order it was handled, so that a run can be replayed.

Files ``<data_dir>/recordings/<run_id>/NNNN.jsonl.gz`` hold tape lines: ``{"ts": market ms, "wall": transport ms,
"source": …, "msg": …}``. Feed messages stand verbatim (an array is split into its messages); what is no feed message is
a ``host`` line: an event, a turn of the timer, a price or a candle.

Credentials in feed messages are blanked, and the secrets named to the recorder everywhere. The ``owner`` of a prepared
order (the API key's public id, which opens nothing without its secret) stays in events: the journal holds it too, and
a replay must give the same records.
"""

from __future__ import annotations

import base64
import re
import threading
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from loguru import logger

from polyhost.files import write_atomically
from polyhost.journal.errors import RecordingError
from polyhost.journal.retention import prune_recordings
from polyhost.model.events import Event
from polyhost.model.reading import Reading, Told
from polyhost.model.view import Candle

FILE_BYTES_MAX: Final = 64_000_000
"""Compressed size at which the next file begins."""
FILE_S: Final = 3_600.0
"""Or after so much wall time: deletion by age goes by whole files."""
FLUSH_S: Final = 0.5
"""At most this long, wall time, until a line can be read from the file after a kill."""
QUEUE_BYTES_MAX: Final = 64_000_000
"""Waiting lines; past it the feed waits for the disk: nothing is dropped."""
LEVEL: Final = 3
"""Compression: above it size gains little and time doubles."""
HOST: Final = "host"
TURN: Final = "turn"
PRICE: Final = "price"
CANDLE: Final = "candle"

_HINTS: Final = (b"ecret", b"assphrase", b"pi_key", b"piKey", b"wner", b"rivate", b"POLY_")
_CREDENTIAL: Final = re.compile(
    rb'("(?:secret|passphrase|api_?[kK]ey|apiSecret|apiPassphrase|owner|order_owner|trade_owner|private_?[kK]ey'
    rb'|POLY_[A-Z_]+)"\s*:\s*)"(?:[^"\\]|\\.)*"'
)
_BLANKED: Final = rb'\1""'
_ENCODER: Final = msgspec.json.Encoder()
_Raws: Final = msgspec.json.Decoder(list[msgspec.Raw])
_Raw: Final = msgspec.json.Decoder(msgspec.Raw)

Input: TypeAlias = tuple[str, bytes, int, int]


class PriceInput(msgspec.Struct, frozen=True, tag=PRICE, tag_field="event"):
    """A reference price that reached the kernel: ``price`` in 1e-8, ``stamp`` the second (ms) it is for."""

    feed: str
    symbol: str
    price: int
    stamp: int


class CandleInput(msgspec.Struct, frozen=True, tag=CANDLE, tag_field="event"):
    """A spot candle given to the kernel."""

    symbol: str
    candle: Candle
    closed: bool


class Recorder:
    """Writes one run's recording in a thread of its own. Call it from one thread, in the order of handling.

    ``now`` is market ms, ``wall`` transport ms. ``secrets`` are texts that must never stand in a file, ``beside`` small
    files by name that tell of the run and go with its recording. When the disk fails, recording ends with a word in the
    log and in ``problem``; trading does not depend on it.
    """

    def __init__(
        self,
        data_dir: Path | str,
        run_id: str,
        *,
        hours: float = 24.0,
        gigabytes: float = 5.0,
        secrets: Iterable[str] = (),
        beside: Mapping[str, bytes] | None = None,
        file_bytes: int = FILE_BYTES_MAX,
        file_s: float = FILE_S,
        queue_bytes: int = QUEUE_BYTES_MAX,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", run_id) or run_id.startswith("."):
            raise ValueError(f"run id {run_id!r} cannot name a folder")
        self.folder = recordings(data_dir) / run_id
        self.problem = ""
        """Why nothing is recorded any more; empty: all is well."""
        self._hours, self._gigabytes = hours, gigabytes
        self._secrets = tuple(secret.encode() for secret in secrets if secret)
        self._file_bytes, self._file_s, self._queue_bytes = file_bytes, file_s, queue_bytes
        self._changed = threading.Condition()
        self._queue: list[Input] = []
        self._bytes = 0
        self._closing = False
        self._asked = self._written = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files = _Files(self.folder)
            for name, content in (beside or {}).items():
                write_atomically(self.folder / name, content)
        except OSError as error:
            raise RecordingError(self.folder, f"it cannot be made ({error})", "Name another data_dir") from error
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def feed(self, source: str, raw: bytes, now: int, wall: int) -> None:
        """A feed's message as it came off the wire. ``source``: polymarket, binance, gamma, or a plugin's feed."""
        self._put((source, raw, now, wall))

    def event(self, event: Event, now: int, wall: int) -> None:
        """An event given to the kernel."""
        self._put((HOST, _ENCODER.encode(event), now, wall))

    def turn(self, now: int, wall: int) -> None:
        """The kernel's timer ran."""
        self._put((HOST, b'{"event":"turn"}', now, wall))

    def price(self, feed: str, symbol: str, price_e8: int, stamp: int, now: int, wall: int) -> None:
        """A reference price given to the kernel."""
        self._put((HOST, _ENCODER.encode(PriceInput(feed, symbol, price_e8, stamp)), now, wall))

    def reading(self, reading: Reading, now: int, wall: int) -> None:
        """A value of an optional feed given to the kernel: a line of its own source, as on a tape."""
        self._put((reading.source, _ENCODER.encode(Told(reading.name, reading.value, reading.at)), now, wall))

    def candle(self, symbol: str, candle: Candle, closed: bool, now: int, wall: int) -> None:
        """A spot candle given to the kernel."""
        self._put((HOST, _ENCODER.encode(CandleInput(symbol, candle, closed)), now, wall))

    def dead_s(self) -> float:
        """Above zero when nothing is recorded any more (``problem`` says why)."""
        return float("inf") if self.problem or not (self._closing or self._thread.is_alive()) else 0.0

    def flush(self) -> None:
        """Wait until everything so far can be read from the file."""
        with self._changed:
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._written >= asked or not self._thread.is_alive())

    def close(self) -> None:
        """Write what waits, end the file properly, join the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _put(self, item: Input) -> None:
        with self._changed:
            if self._bytes > self._queue_bytes:
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._bytes <= self._queue_bytes or not self._thread.is_alive())
                if not self._thread.is_alive():
                    self.problem = self.problem or "the recording thread died"
            if self._closing:
                raise ValueError("the recorder is closed")
            if not self.problem:
                self._queue.append(item)
                self._bytes += len(item[1])

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._prune()
        while True:
            with self._changed:
                # Not woken by each line: one pass writes and flushes what came in half a second.
                self._changed.wait_for(self._hurry, FLUSH_S)
                queue, self._queue, self._bytes = self._queue, [], 0
                asked, closing = self._asked, self._closing
                self._changed.notify_all()
            self._write(queue)
            with self._changed:
                self._written = asked
                self._changed.notify_all()
            if closing:
                break
        self._end()

    def _hurry(self) -> bool:
        return self._closing or self._asked > self._written or self._bytes > self._queue_bytes

    def _write(self, queue: list[Input]) -> None:
        if not queue or self.problem:
            return
        try:
            for start in range(0, len(queue), 1_000):
                self._files.write(b"".join(self._lines(queue[start : start + 1_000])))
                if self._files.size >= self._file_bytes or self._files.age_s >= self._file_s:
                    self._files.next()
                    self._prune()
            self._files.flush()
        except Exception as error:
            # Whatever it is: a recorder that dies without a word would block the feed when its queue is full.
            self.problem = f"{type(error).__name__}: {error}"
            logger.error("recording ends here, the run cannot be replayed past it: {}", self.problem)

    def _lines(self, queue: list[Input]) -> Iterable[bytes]:
        for source, raw, now, wall in queue:
            if source == HOST:
                yield b'{"ts":%d,"wall":%d,"source":"host","msg":%b}\n' % (now, wall, self._without_secrets(raw))
                continue
            name = _ENCODER.encode(source)
            for message in split(raw):
                yield b'{"ts":%d,"wall":%d,"source":%b,%b}\n' % (now, wall, name, self._message(message))

    def _without_secrets(self, message: bytes) -> bytes:
        for secret in self._secrets:
            message = message.replace(secret, b"*")
        return message

    def _message(self, message: bytes) -> bytes:
        """A feed line's ``msg`` without credentials; what is no JSON stands as base64 in ``bytes``."""
        for hint in _HINTS:
            if hint in message:
                message = _CREDENTIAL.sub(_BLANKED, message)
                break
        message = self._without_secrets(message)
        try:
            _Raw.decode(message)
            message.decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return b'"msg":null,"bytes":"%b"' % base64.b64encode(message)
        if b"\n" in message or b"\r" in message:
            # Outside strings JSON allows line breaks as blanks only, inside them none.
            message = message.replace(b"\n", b" ").replace(b"\r", b" ")
        return b'"msg":%b' % message

    def _prune(self) -> None:
        try:
            prune_recordings(self.folder.parent, self._hours, self._gigabytes, self._files.path, time.time())
        except OSError as error:
            logger.warning("old recordings could not be deleted: {}", error)

    def _end(self) -> None:
        try:
            self._files.close()
        except OSError as error:
            self.problem = self.problem or str(error)
            logger.error("the recording's last file was not ended: {}", error)


def recordings(data_dir: Path | str) -> Path:
    """The folder of all recordings of a data directory."""
    return Path(data_dir) / "recordings"


def split(raw: bytes) -> Iterable[bytes]:
    """The messages of a frame: an array's members, or the frame itself (tapes hold no arrays)."""
    if raw.lstrip()[:1] != b"[":
        return (raw,)
    try:
        return [bytes(message) for message in _Raws.decode(raw)]
    except msgspec.DecodeError:
        return (raw,)


class _Files:
    """The numbered gzip files of one run; a new run of the same id goes on behind the last one."""

    def __init__(self, folder: Path) -> None:
        numbers = [int(path.name.split(".")[0]) for path in folder.glob("[0-9]*.jsonl.gz")]
        self._folder, self._number = folder, max(numbers, default=0)
        self._open()

    def _open(self) -> None:
        self._number += 1
        self.path = self._folder / f"{self._number:04d}.jsonl.gz"
        self._file = self.path.open("xb", buffering=0)
        self._gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
        self.size = 0
        self._opened = time.monotonic()

    @property
    def age_s(self) -> float:
        """Seconds since this file began."""
        return time.monotonic() - self._opened

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)

    def write(self, lines: bytes) -> None:
        self._put(self._gzip.compress(lines))

    def flush(self) -> None:
        """What was written so far can be decompressed from the file, whatever happens to the process."""
        self._put(self._gzip.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        try:
            self._put(self._gzip.flush(zlib.Z_FINISH))
        finally:
            self._file.close()

    def next(self) -> None:
        self.close()
        self._open()
