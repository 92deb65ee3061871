"""Whether a pathology strikes, and how hard: one seeded random stream for each name, so that none disturbs another.

A stream is addressed, not consumed: what it says about an order, a trade or a minute depends on the seed, the name and
that subject alone. So the answer does not change with what else is switched on, with how often it is asked, or with an
exchange that was restarted and does everything since its last snapshot again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from polyhost.errors import ConfigError
from polyhost.exchange.pathologies.catalogue import BY_NAME
from polyhost.exchange.seeds import digest
from polyhost.model.times import NEVER

_PRECISION: Final = 1 << 53


def probability(text: str, *, key: str, table: str = "") -> float:
    """A pathology's probability as somebody wrote it. Raises ConfigError, which names the place."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError("is no probability", table=table, key=key, value=text, allowed=("a number from 0 to 1",))
    return value


class Episode(Struct, frozen=True):
    """A stretch of market time in which a pathology holds: from ``start`` up to, not including, ``end`` (market ms)."""

    start: int
    end: int


class Pathologies:
    """The pathologies that are switched on, each with its probability."""

    def __init__(self, seed: int, probabilities: Mapping[str, float]) -> None:
        """Raises ValueError for a name that is not in the catalogue or a probability outside 0 to 1."""
        for name, probability in probabilities.items():
            if name not in BY_NAME:
                raise ValueError(f"there is no pathology {name!r}; known: {', '.join(BY_NAME)}")
            if not 0 <= probability <= 1:
                raise ValueError(f"the probability of {name} is {probability}, not within 0 to 1")
        self.seed = seed
        self.probabilities = {name: float(p) for name, p in probabilities.items() if p > 0}
        self.happened: dict[str, int] = {}
        """How often each has struck so far."""
        self._episodes: dict[tuple[str, int], Episode | None] = {}

    def __bool__(self) -> bool:
        return bool(self.probabilities)

    def on(self, name: str) -> bool:
        """Is it switched on at all?"""
        return name in self.probabilities

    def strikes(self, name: str, *subject: str) -> bool:
        """Does it strike this subject? The same subject is always answered alike (and counted each time)."""
        if not self.would(name, *subject):
            return False
        self.note(name)
        return True

    def would(self, name: str, *subject: str) -> bool:
        """As ``strikes``, not counted: for what is asked again and again."""
        return name in self.probabilities and self._falls(name, *subject)

    def note(self, name: str) -> None:
        """Count one more occurrence."""
        self.happened[name] = self.happened.get(name, 0) + 1

    def between(self, name: str, low: int, high: int, *subject: str) -> int:
        """A whole number from ``low`` to ``high``, both possible: how long, how much."""
        return low + digest(self.seed, "pathology", name, "amount", *subject) % (high - low + 1)

    def episode(self, name: str, now: int) -> Episode | None:
        """The episode in the period that ``now`` lies in; None when there is none. Each period has at most one."""
        if name not in self.probabilities:
            return None
        period = BY_NAME[name].period_ms
        assert period, f"{name} has no episodes"
        number = now // period
        key = (name, number)
        if key not in self._episodes:
            self._episodes[key] = self._plan(name, number, period)
        return self._episodes[key]

    def holds(self, name: str, now: int) -> bool:
        """Is an episode of it going on?"""
        episode = self.episode(name, now)
        return episode is not None and episode.start <= now < episode.end

    def stretch(self, name: str, now: int) -> tuple[bool, int]:
        """``holds``, and the market ms up to which (not included) it goes on saying so; NEVER when switched off."""
        if name not in self.probabilities:
            return False, NEVER
        episode = self.episode(name, now)
        period = BY_NAME[name].period_ms
        ends = now - now % period + period
        if episode is None or now >= episode.end:
            return False, ends
        return (False, episode.start) if now < episode.start else (True, episode.end)

    def _plan(self, name: str, number: int, period: int) -> Episode | None:
        if not self._falls(name, str(number)):
            return None
        self.note(name)
        low, high = BY_NAME[name].lasts_ms
        lasts = self.between(name, low, high, "lasts", str(number))
        start = number * period + self.between(name, 0, period - lasts, "start", str(number))
        return Episode(start, start + lasts)

    def _falls(self, name: str, *subject: str) -> bool:
        drawn = digest(self.seed, "pathology", name, *subject) % _PRECISION
        return drawn < self.probabilities[name] * _PRECISION
