"""The last events, records and commands of a simulated run, and what of them concerns one entity."""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final

import msgspec

from polyhost.model.commands import QueryBalance, QueryEarnings, QueryPositions, QueryScoring, QueryTokenBalance
from polyhost.model.events import (
    BalanceSeen,
    EarningsSeen,
    Evaluated,
    PositionsSeen,
    ScoringSeen,
    TokenBalanceSeen,
)

KEPT: Final = 20_000
SHOWN: Final = 40
NOISE: Final = (
    Evaluated, BalanceSeen, TokenBalanceSeen, PositionsSeen, QueryBalance, QueryTokenBalance, QueryPositions,
    QueryScoring, ScoringSeen, QueryEarnings, EarningsSeen,
)
"""Not shown when the finding concerns nothing in particular."""
LONG: Final = re.compile(r"0x[0-9a-f]{40,}|[0-9]{40,}|[0-9a-f]{8}-[0-9a-f-]{27}")
STAMP: Final = re.compile(r'"begun":[1-9][0-9]*')
"""When a sweep began: the same question again is the same line."""
WIDTH: Final = 420
"""Characters of a line that are shown."""


class Trace:
    """A ring of what happened; nothing is formatted until somebody asks."""

    def __init__(self) -> None:
        self._ring: deque[tuple[int, str, Any]] = deque(maxlen=KEPT)
        self.add = self._ring.append
        """Takes (market ms, event | record | command | host, what)."""

    def lines(self, began: int, needles: tuple[str, ...], shown: int = SHOWN) -> list[str]:
        """The last lines that mention one of the needles, and the host's own fate; times are seconds of the run.

        What came several times stands once, where it first came.
        """
        found: dict[str, tuple[int, int]] = {}
        for at, kind, what in self._ring:
            if not needles and kind != "host" and isinstance(what, NOISE):
                continue
            text = what if isinstance(what, str) else f"{type(what).__name__} {msgspec.json.encode(what).decode()}"
            if kind == "host" or not needles or any(needle in text for needle in needles):
                text = STAMP.sub('"begun":…', LONG.sub(_short, text))
                line = f"{kind:7} {text[:WIDTH]}"
                first, times = found.get(line, (at, 0))
                found[line] = (first, times + 1)
        return [
            f"{(at - began) / 1_000:10.3f} {line}" + (f" ({times} times)" if times > 1 else "")
            for line, (at, times) in list(found.items())[-shown:]
        ]


def _short(found: re.Match[str]) -> str:
    """The beginning of an id is enough to tell it from others."""
    return f"{found.group()[:10]}…"
