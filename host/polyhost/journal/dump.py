"""A journal as one portable file: gzip, one line a row, restored into either kind of database.

The first line says whose it is, the last how many rows there are and their checksum: a file that was cut off or changed
is told. Projections are not in it, they are folded again from the rows.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from polyhost import __version__
from polyhost.files import sync_folder
from polyhost.journal.errors import JournalError

FORMAT: Final = 1
SUFFIX: Final = ".dump.jsonl.gz"
MAGIC: Final = b"\x1f\x8b"
Row: TypeAlias = tuple[int, int, str, str, str, str]
"""seq, time, account, market, kind, body: a row of the journal."""


class Head(Struct, frozen=True):
    polyhost: str
    """Always "journal"."""
    format: int
    schema_version: int
    host: str
    """Version of the host that wrote it."""
    made_at: int
    """Wall ms."""


class Foot(Struct, frozen=True):
    rows: int
    sha256: str
    """Of the lines between."""


def write_dump(rows: Iterable[Row], schema_version: int, target: Path) -> int:
    """Write the rows; how many there were. The file has its name when it is whole and on the disk.

    Raises JournalError when it cannot be written, and what reading the rows raises.
    """
    part = target.with_name(target.name + ".part")
    count, digest = 0, hashlib.sha256()
    try:
        with part.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as file:
            head = Head("journal", FORMAT, schema_version, __version__, time.time_ns() // 1_000_000)
            file.write(msgspec.json.encode(head) + b"\n")
            for row in rows:
                line = msgspec.json.encode(row) + b"\n"
                digest.update(line)
                file.write(line)
                count += 1
            file.write(msgspec.json.encode(Foot(count, digest.hexdigest())) + b"\n")
            file.close()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(part, target)
        sync_folder(target.parent)
    except OSError as error:
        raise JournalError(target, f"it cannot be written ({error.strerror})", "Free space, or name another") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def head_of(path: Path) -> Head:
    """What a dump says of itself. Raises JournalError for a file that is none."""
    with _opened(path) as file:
        return _head(path, file)


def read_dump(path: Path) -> Iterator[Row]:
    """Its rows in order. Raises JournalError for a file that is no dump, is damaged or cut off: with the last row,
    so take nothing for granted before the end."""
    digest, count = hashlib.sha256(), 0
    with _opened(path) as file:
        _head(path, file)
        for line in _lines(path, file):
            if line.startswith(b"{"):
                foot = _decoded(path, line, Foot)
                if (foot.rows, foot.sha256) != (count, digest.hexdigest()):
                    raise _damaged(path, "its rows are not those that were written")
                return
            digest.update(line)
            count += 1
            yield _decoded(path, line, Row)
    raise _damaged(path, f"it is cut off after {count} rows")


def _opened(path: Path) -> gzip.GzipFile:
    try:
        return gzip.open(path, "rb")
    except OSError as error:
        raise JournalError(path, f"it cannot be read ({error.strerror})", "Name a file that exists") from error


def _head(path: Path, file: gzip.GzipFile) -> Head:
    head: Head = _decoded(path, next(_lines(path, file), b""), Head)
    if head.polyhost != "journal" or head.format > FORMAT:
        raise JournalError(
            path, f"it is a {head.polyhost} of format {head.format}, this host reads {FORMAT}",
            f"Use polyhost {head.host}",
        )
    return head


def _lines(path: Path, file: gzip.GzipFile) -> Iterator[bytes]:
    try:
        # Not "yield from": who takes one line only must not close the file.
        for line in file:  # noqa: UP028
            yield line
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"it is no whole gzip file ({error})") from error


def _decoded(path: Path, line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise _damaged(path, f"a line is no part of a journal's dump ({error})") from error


def _damaged(path: Path, found: str) -> JournalError:
    return JournalError(path, found, "Name a whole file that `polyhost db backup` wrote")
