"""The last events, records and commands of a simulated run, and what of them concerns one entity."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec

from polyhost.model.commands import QueryBalance, QueryTokenBalance
from polyhost.model.events import BalanceSeen, Evaluated, TokenBalanceSeen

KEPT: Final = 20_000
SHOWN: Final = 40
NOISE: Final = (Evaluated, BalanceSeen, TokenBalanceSeen, QueryBalance, QueryTokenBalance)
"""Not shown when the finding concerns nothing in particular."""
WIDTH: Final = 420
"""Characters of a line that are shown."""


class Trace:
    """A ring of what happened; nothing is formatted until somebody asks."""

    def __init__(self) -> None:
        self._ring: deque[tuple[int, str, Any]] = deque(maxlen=KEPT)
        self.add = self._ring.append
        """Takes (market ms, event | record | command | host, what)."""

    def lines(self, began: int, needles: tuple[str, ...], shown: int = SHOWN) -> list[str]:
        """The last lines that mention one of the needles, and the host's own fate; times are seconds of the run."""
        found: deque[str] = deque(maxlen=shown)
        for at, kind, what in self._ring:
            if not needles and kind != "host" and isinstance(what, NOISE):
                continue
            text = what if isinstance(what, str) else f"{type(what).__name__} {msgspec.json.encode(what).decode()}"
            if kind == "host" or not needles or any(needle in text for needle in needles):
                found.append(f"{(at - began) / 1_000:10.3f} {kind:7} {text[:WIDTH]}")
        return list(found)
