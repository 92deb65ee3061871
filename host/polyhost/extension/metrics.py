"""A plugin's metrics as plain numbers: looked at, never decided by. What is none is left out, and told once."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Final

from polyhost.extension.containing import contained

METRICS_MAX: Final = 100
"""Metrics of a plugin that are kept; the rest is left out."""
NAME_MAX: Final = 80
"""Characters of a metric's name."""


class Metrics:
    """What one plugin's ``metrics`` hold, whatever its author put there. ``tell`` hears of each problem once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def of(self, metrics: object) -> dict[str, float]:
        """The finite numbers by name. Nothing is raised."""
        found: dict[str, float] = {}
        try:
            items = list(metrics.items()) if isinstance(metrics, dict) else []
        except BaseException as error:  # a class of the plugin's own, or a thread of it that writes meanwhile
            self._problem(f"its metrics cannot be read: {contained(error)}")
            return found
        for name, value in items[:METRICS_MAX]:
            if not isinstance(name, str) or not isinstance(value, int | float) or isinstance(value, bool):
                continue
            try:
                number = float(value)
                if not isfinite(number):
                    raise ValueError("no number")
                found[str(name[:NAME_MAX])] = number
            except BaseException as error:  # too large, or a number of the plugin's own kind
                self._problem(f"its metric {name[:NAME_MAX]!s} is left out: {contained(error)}")
        return found

    def _problem(self, text: str) -> None:
        if text not in self._told and len(self._told) < METRICS_MAX:
            self._told.add(text)
            self._tell(text)
