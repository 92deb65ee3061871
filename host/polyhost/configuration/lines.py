"""On which line of a TOML file each key stands, for messages: the parser itself keeps no lines.

It reads headers and the beginnings of lines only, so what stands inside a table on one line has the line of that table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_PART: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_NAME: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER: Final = re.compile(rf"\s*\[\s*({_NAME})\s*\]")
_KEY: Final = re.compile(rf"\s*({_NAME})\s*=(.*)")
_PIECE: Final = re.compile(_PART)
_LONG: Final = re.compile(r'"""|\'\'\'')


def lines_of(text: str) -> dict[str, int]:
    """Dotted key (tables too) → its line, counted from 1; the first one where it stands on several."""
    found: dict[str, int] = {}
    table = ""
    for number, line in _outside_long_texts(text):
        if (header := _HEADER.match(line)) is not None:
            table = _dotted(header[1])
            found.setdefault(table, number)
        elif (key := _KEY.match(line)) is not None:
            name = _dotted(key[1])
            found.setdefault(f"{table}.{name}" if table else name, number)
    return found


def _dotted(name: str) -> str:
    return ".".join(part.strip("\"'") for part in _PIECE.findall(name))


def _outside_long_texts(text: str) -> Iterator[tuple[int, str]]:
    """The lines that do not begin inside a text of several lines."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        began_inside = bool(inside)
        for quote in _LONG.findall(line):
            if not inside:
                inside = quote
            elif quote == inside:
                inside = ""
        if not began_inside:
            yield number, line
