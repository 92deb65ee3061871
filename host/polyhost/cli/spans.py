"""Spans of time on the command line: ``30m``, ``24h``, ``7d``."""

from __future__ import annotations

import re
from typing import Final

import typer

UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""A letter → ms."""
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def span_ms(text: str) -> int:
    """The span in ms. Raises BadParameter for anything else, and for none at all."""
    found = _SPAN.fullmatch(text.strip().lower())
    span = round(float(found[1]) * UNITS[found[2]]) if found is not None else 0
    if span <= 0:
        raise typer.BadParameter(f"{text!r} is no span of time; write for example 30m, 24h or 7d")
    return span
