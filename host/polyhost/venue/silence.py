"""Names what has gone silent on a connection that still brings other data.

A feed of many symbols freezes for one of them while the others go on; the connection looks healthy. What counts is a
stamp that rises: the same price told again and again is silence, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

SILENT_S: Final = 60.0
"""A symbol that ticked before is silent when nothing new came for so long, wall seconds."""
PAUSE_MAX_S: Final = 900.0
"""What stays silent is named again after a pause that doubles up to this, wall seconds: it may have ended for good."""


def _loop_s() -> float:
    return asyncio.get_running_loop().time()


class _Heard:
    __slots__ = ("at", "pause", "stamp")

    def __init__(self, at: float, stamp: int, pause: float) -> None:
        self.at = at
        self.stamp = stamp
        self.pause = pause


class SilenceWatch:
    """What was heard, by name. A name that never ticked is not expected to. ``limit_s`` 0: nothing is watched."""

    def __init__(self, limit_s: float = SILENT_S, steady_s: Callable[[], float] = _loop_s) -> None:
        self._limit_s = limit_s
        self._steady_s = steady_s
        self._heard: dict[str, _Heard] = {}

    def heard(self, name: str, stamp: int) -> None:
        """Something with this stamp (any rising number) came of it."""
        known = self._heard.get(name)
        if known is None:
            self._heard[name] = _Heard(self._steady_s(), stamp, self._limit_s)
        elif stamp > known.stamp:
            known.at, known.stamp, known.pause = self._steady_s(), stamp, self._limit_s

    def problem(self) -> str:
        """What is silent for too long, or an empty string. Named once; then again after a longer pause."""
        now = self._steady_s()
        for name, known in self._heard.items():
            if known.pause and now - known.at > known.pause:
                silent_s = known.pause
                known.at, known.pause = now, min(known.pause * 2, max(PAUSE_MAX_S, self._limit_s))
                return f"{name} is silent for {silent_s:g} s"
        return ""
