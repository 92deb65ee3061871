"""What of a running host no journal holds: which loops are alive, what blocks entries. ``polyhost status`` reads it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from polyhost.journal import write_atomically

LIVE_FILE: Final = "live.json"
Named: TypeAlias = list[tuple[str, str]]
"""(cause, reason)."""


def write(data_dir: Path, run_id: str, loops: dict[str, dict[str, Any]], blocks: Named) -> None:
    """Put them into the data folder, whole. Raises OSError."""
    figures = {"run": run_id, "wall": time.time_ns() // 1_000_000, "loops": loops, "blocks": blocks}
    write_atomically(data_dir / LIVE_FILE, msgspec.json.encode(figures))


def read(data_dir: Path) -> dict[str, Any] | None:
    """The last figures written, with ``age_s`` (wall seconds since); None: there are none that can be read."""
    try:
        found = msgspec.json.decode((data_dir / LIVE_FILE).read_bytes(), type=dict[str, Any])
        return {**found, "age_s": round(time.time() - found["wall"] / 1_000, 3)}
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
