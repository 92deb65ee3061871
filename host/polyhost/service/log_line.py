"""One line of the log: what a person reads, and what a program reads (LOG-01, LOG-03).

Times are UTC, as the names of windows are.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from polyhost.model.series import DURATIONS, window_of

if TYPE_CHECKING:
    from loguru import Record

BOUND: Final = ("account", "market", "window", "side", "order", "purpose", "plugin")
"""What a line may be bound to; JSON lines have it as keys of their own."""
ERROR: Final = 40
"""Number of the level ERROR: from there on a line is an error's."""
_LENGTHS: Final = {seconds: name for name, seconds in DURATIONS.items()}


class Line(Struct, frozen=True):
    """A line before it is written: secrets are out of it already."""

    at: float
    """Unix seconds."""
    level: str
    severity: int
    where: str
    """Module and line of the code that said it."""
    text: str
    trace: str = ""
    """Of an exception, with every line of its traceback; no values of variables."""
    bound: dict[str, str] = {}
    """Of ``BOUND``, what it is about."""
    to_errors: bool = False
    """It belongs into the error log, whatever its level."""

    @property
    def is_error(self) -> bool:
        return self.to_errors or self.severity >= ERROR


def line_of(record: Record, trace: str) -> Line:
    """The line of a message of loguru."""
    extra = record["extra"]
    bound = {name: str(extra[name]) for name in BOUND if extra.get(name)}
    if window := window_name(bound.get("market", "")):
        bound["window"] = window
    return Line(
        record["time"].timestamp(), record["level"].name, record["level"].no, f"{record['name']}:{record['line']}",
        record["message"], trace.rstrip("\n"), bound, bool(extra.get("to_errors")),
    )


@lru_cache(maxsize=256)
def window_name(slug: str) -> str:
    """``2026-01-06_15-45_btc-15m`` of the slug of such a window; empty: it is no window's.

    >>> window_name("btc-updown-15m-1767714300")
    '2026-01-06_15-45_btc-15m'
    """
    found = window_of(slug) if slug else None
    if found is None or found.start is None:
        return ""
    begins = time.strftime("%Y-%m-%d_%H-%M", time.gmtime(found.start // 1_000))
    return f"{begins}_{found.symbol.lower()}-{_LENGTHS[found.duration_s]}"


def as_text(line: Line) -> str:
    """For a file that people read."""
    said = f"{_moment(line.at, ' ')} {line.level:<8} {line.where} {line.text}\n"
    return f"{said}{line.trace}\n" if line.trace else said


def as_short_text(line: Line) -> str:
    """For a terminal: it knows the day, and nobody looks for the code."""
    said = f"{_moment(line.at, ' ')[11:]} {line.level:<8} {line.text}\n"
    return f"{said}{line.trace}\n" if line.trace else said


def as_json(line: Line) -> str:
    """One JSON object: ``at``, ``level``, ``from``, ``text``, what it is bound to, and ``traceback``, if any."""
    found: dict[str, Any] = {
        "at": _moment(line.at, "T") + "Z", "level": line.level, "from": line.where, "text": line.text, **line.bound,
    }
    if line.trace:
        found["traceback"] = line.trace
    # Escaped, whatever it is: half a surrogate pair is no UTF-8, and a broken line would break who reads the file.
    return json.dumps(found) + "\n"


def _moment(at: float, between: str) -> str:
    """Rounded down to the millisecond."""
    ms = int(at * 1_000)
    return f"{time.strftime(f'%Y-%m-%d{between}%H:%M:%S', time.gmtime(ms // 1_000))}.{ms % 1_000:03d}"
