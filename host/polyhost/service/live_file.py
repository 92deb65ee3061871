"""What of a running host no journal holds: which loops are alive, what blocks entries. ``polyhost status`` reads it.

The host writes it to a file, which costs whoever reads it no answer of a busy host. Where the file is old the host is
asked over its control socket: a full disk keeps it from writing, and is no reason to take it for dead.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from polyhost.errors import PolyhostError
from polyhost.journal import write_atomically
from polyhost.service.control_client import ask
from polyhost.service.folder import running_pid

LIVE_FILE: Final = "live.json"
LIVE_OLD_S: Final = 10.0
"""A host whose figures are older than this (wall seconds) is stuck: it writes them every two seconds."""
ASK_S: Final = 2.0
"""A host whose figures are old is asked, and has this long to answer, wall seconds."""
Named: TypeAlias = list[tuple[str, str]]
"""(cause, reason)."""


class Live(msgspec.Struct, frozen=True):
    """What a host says of itself every two seconds."""

    run: str
    wall: int
    """When, ms."""
    ready: bool
    """It may enter: all that guards it works."""
    sealed: str
    """Why its journal takes nothing any more; empty: it does."""
    loops: dict[str, dict[str, Any]]
    blocks: Named
    """What blocks new entries now, what no journal holds included."""

    ages: dict[str, int | None] = {}
    """How old each kind of comparison with the venue is, wall ms; None: not made in this run, or nothing to compare."""

    scoring: dict[str, bool] = {}
    """Ref of a resting order → whether it scores for liquidity rewards, as the venue last said."""

    feeds: dict[str, dict[str, Any]] = {}
    """What the feeds of each plugin that has any said so far (``ExtraFeeds.figures``)."""

    plugins: list[dict[str, Any]] = []
    """Every plugin: name, state, strikes, evaluations it was part of, what they took, its latest problem, metrics."""

    market_ms: int = 0
    """Market time at ``wall``; 0: not said."""

    speed: float = 1.0
    """Market seconds a wall second, at most."""

    coverage: dict[str, tuple[str, str]] = {}
    """``condition_id:SIDE`` of every open position → covered, held, closing or open, and the reason."""

    phase: str = ""
    """How far the run is (``service/phases.py``); empty: not said."""

    @property
    def age_s(self) -> float:
        """Wall seconds since it was said."""
        return round(time.time() - self.wall / 1_000, 3)


def write(data_dir: Path, live: Live) -> None:
    """Put it into the data folder, whole. Raises OSError."""
    write_atomically(data_dir / LIVE_FILE, msgspec.json.encode(live))


def read(data_dir: Path) -> Live | None:
    """What was said last; None: nothing that can be read."""
    try:
        return msgspec.json.decode((data_dir / LIVE_FILE).read_bytes(), type=Live)
    except (OSError, msgspec.DecodeError):
        return None


def newest(data_dir: Path) -> Live | None:
    """What the host that runs there says of itself: what it wrote, else (old, or none) what it answers. None: neither.
    """
    live = read(data_dir)
    if live is not None and live.age_s <= LIVE_OLD_S:
        return live
    try:
        return msgspec.convert(ask(data_dir, "live", within_s=ASK_S), Live)
    except (PolyhostError, msgspec.ValidationError):
        return live  # it is stuck, has no socket, or is about to end


def readiness(data_dir: Path) -> tuple[bool, str]:
    """Whether a host runs on the folder that may enter, and why not, if not."""
    if running_pid(data_dir) is None:
        return False, "no host runs there"
    live = newest(data_dir)
    if live is None or live.age_s > LIVE_OLD_S:
        return False, "the host has not said anything " + ("yet" if live is None else f"for {live.age_s:.0f} s")
    if live.sealed:
        return False, f"sealed: {live.sealed}"
    dead = [name for name, figures in live.loops.items() if not figures["alive"] and figures["safety"]]
    if dead:
        return False, f"not alive: {', '.join(dead)}"
    return live.ready, "" if live.ready else "it is stopping"
