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


class _Json(Struct, frozen=True):
    """A line of a log that is kept as JSON."""

    at: str
    level: str
    text: str
    traceback: str = ""


_JSON: Final = msgspec.json.Decoder(_Json)


def _parsed(text: str) -> LogLine | None:
    if text.startswith("{"):
        try:
            line = _JSON.decode(text)
        except msgspec.DecodeError:
            return None
        said = f"{line.text}\n{line.traceback}" if line.traceback else line.text
        return LogLine(line.at[11:19], line.level, said)
    found = _LINE.match(text)
    return None if found is None else LogLine(*found.groups())
