"""Where records go when the database can no longer take them: lines appended to a file, each on the disk at once.

The journal is sealed then: nothing that adds exposure leaves any more, but cancels and sells still do, and what they
bring about must not be forgotten. The next start reads the file after the journal and takes it in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from loguru import logger

from polyhost.journal.codec import decode_record, encode_record
from polyhost.journal.errors import JournalError
from polyhost.journal.points import crash_point
from polyhost.model.records import Record

_SUFFIX = ".emergency.jsonl"


class _Line(msgspec.Struct):
    seq: int
    record: msgspec.Raw


def emergency_path(journal: Path) -> Path:
    return journal.with_name(journal.name + _SUFFIX)


def append(journal: Path, first_seq: int, records: Sequence[Record]) -> None:
    """Write the records, numbered from ``first_seq``, and wait for the disk; standard error takes what it does not."""
    data = b"".join(b'{"seq":%d,"record":%b}\n' % (seq, _body(it)) for seq, it in enumerate(records, first_seq))
    crash_point("emergency.begun")
    try:
        with emergency_path(journal).open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            crash_point("emergency.written")
    except OSError as error:
        logger.critical("emergency file of {} failed ({}): the records go to standard error", journal, error)
        sys.stderr.write(data.decode())
        sys.stderr.flush()


def _body(record: Record) -> bytes:
    try:
        return encode_record(record)
    except (TypeError, ValueError, OverflowError) as error:
        # It may be the very reason for the seal; reading stops here with the line's number, and a person can see it.
        return msgspec.json.encode({"unreadable": ascii(record), "error": str(error)})


def read(journal: Path, since_seq: int, body_of: Callable[[int], str | None]) -> Iterator[tuple[int, Record]]:
    """Records after ``since_seq``, in order; nothing when there is no such file.

    A commit may have reached the disk although it failed: what the journal holds already (``body_of`` a number) must
    be the same, and is passed over. A torn last line is left out. Raises JournalError for a gap, a damaged line, or a
    file of another history.
    """
    path = emergency_path(journal)
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    if lines.pop():
        logger.warning("{}: the last line is torn and left out", path)
    expected = since_seq + 1
    for number, text in enumerate(lines, 1):
        seq, record = _parsed(path, number, text)
        if seq < expected:
            if body_of(seq) not in (None, encode_record(record).decode()):
                found = f"record {seq} (line {number}) is not the one that the journal holds"
                raise JournalError(path, found, "It is another host's: move it away, and run one host only")
            continue
        if seq > expected:
            raise JournalError(path, f"line {number} is record {seq}, expected {expected}", "Restore the journal")
        yield seq, record
        expected += 1


def _parsed(path: Path, number: int, text: bytes) -> tuple[int, Record]:
    try:
        line = msgspec.json.decode(text, type=_Line)
        return line.seq, decode_record(bytes(line.record))
    except msgspec.DecodeError as error:
        raise JournalError(path, f"line {number} is damaged ({error})", "Mend or move the file away") from error


def put_away(journal: Path) -> None:
    """The journal holds it all now: keep the file under another name, out of the way."""
    path = emergency_path(journal)
    if not path.exists():
        return
    count = 1
    while (target := path.with_name(f"{path.name}.taken{count}")).exists():
        count += 1
    path.rename(target)
    logger.warning("{} was taken into the journal; it is kept as {}", path, target.name)
