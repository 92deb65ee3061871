"""The last lines of a host's log, as its file has them (secrets were taken out before they were written)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

BYTES: Final = 200_000
"""Of the file's end that is read."""
LINES_MAX: Final = 150
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_LINE: Final = re.compile(r"^(?:\d{4}-\d\d-\d\d[ T])?(\d\d:\d\d:\d\d)\S*\s+([A-Z]+)\s+(?:[\w.]+:\d+ )?(.*)$")
_RANK: Final = {
    "TRACE": 0, "DEBUG": 0, "INFO": 1, "SUCCESS": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 3,
}


class LogLine(Struct, frozen=True):
    time: str
    """Of the wall, as it was logged."""
    level: str
    text: str


def tail(path: Path, level: str = "INFO", lines: int = LINES_MAX) -> list[LogLine]:
    """The last lines of at least this level, oldest first; nothing where there is no log. Raises OSError."""
    least = _RANK.get(level, 0)
    found = [line for line in _lines(_end_of(path)) if _RANK.get(line.level, 1) >= least]
    return found[-lines:]


def _end_of(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - BYTES, 0))
            text = file.read(BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    lines = text.splitlines()
    return lines[1:] if size > BYTES else lines  # the first one was cut


def _lines(texts: list[str]) -> list[LogLine]:
    """Lines of a traceback belong to the line before them."""
    found: list[LogLine] = []
    for text in texts:
        if (line := _parsed(text)) is not None:
            found.append(line)
        elif found and text.strip():
            last = found[-1]
            found[-1] = LogLine(last.time, last.level, f"{last.text}\n{text}")
    return found


class _Level(Struct, frozen=True):
    name: str = "INFO"


class _Time(Struct, frozen=True):
    repr: str = ""


class _Record(Struct, frozen=True):
    level: _Level = _Level()
    time: _Time = _Time()
    message: str = ""


class _Json(Struct, frozen=True):
    """A line of a log that is kept as JSON."""

    record: _Record


_JSON: Final = msgspec.json.Decoder(_Json)


def _parsed(text: str) -> LogLine | None:
    if text.startswith("{"):
        try:
            record = _JSON.decode(text).record
        except msgspec.DecodeError:
            return None
        return LogLine(record.time.repr[11:19], record.level.name, record.message)
    found = _LINE.match(text)
    return None if found is None else LogLine(*found.groups())
