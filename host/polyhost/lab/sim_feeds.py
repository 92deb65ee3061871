"""What the shipped feeds would read in a simulation: from the same world, in virtual time, by seed.

A simulation runs no process of feeds; this source stands in for those it knows (by the plugin's class, whatever its
table is called). Other feeds say nothing here, as if their service were away. In rough weather the services are slow,
fall silent for a while or are away for the whole run, and now and then something comes that is no reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Final

from polyhost.exchange import outside
from polyhost.extension.discovery import LoadedPlugin
from polyhost.model.market import PRICE_E8
from polyhost.model.reading import Reading
from polyhost.model.times import NEVER

AWAY: Final = 0.1
"""Chance that a service is away for the whole of a rough run."""
STALL: Final = 0.02
"""Chance that a rough round begins a silence …"""
STALL_MS: Final = (10_000, 300_000)
"""… this long, market ms from and to."""
NONSENSE: Final = 0.01
"""Chance that a rough reading is none."""
LATE_MS_MAX: Final = 3_000
"""A rough answer is up to this old when it comes, market ms; a calm one up to a tenth of it."""


class SimFeeds:
    """The feeds of one seed."""

    def __init__(
        self, seed: int, plugins: Iterable[LoadedPlugin], symbols: tuple[str, ...], now: int, *, rough: bool
    ) -> None:
        self._seed = seed
        self._symbols = symbols
        self._rough = rough
        self._draws = Random(f"{seed} feeds")
        self._every: dict[str, tuple[str, int]] = {}
        """Source → the plugin's class and how often it asks, market ms."""
        self._next: dict[str, int] = {}
        for plugin in plugins:
            if plugin.runs and "feeds" in plugin.hooks and plugin.source.built_in:
                every_ms = round(float(plugin.settings["every_s"]) * 1_000)
                self._every[plugin.name] = (plugin.source.name, every_ms)
                away = rough and self._draws.random() < AWAY
                self._next[plugin.name] = NEVER if away else now + 1 + int(self._draws.random() * min(every_ms, 5_000))
        self.due = min(self._next.values(), default=NEVER)
        """When ``read`` has something to say next, market ms; NEVER without feeds."""

    def calm(self) -> None:
        """No more trouble from here on."""
        self._rough = False

    def read(self, now: int, spot: Callable[[str], int]) -> list[Reading]:
        """Everything that is due. ``spot``: a symbol's price in 1e-8 now."""
        found: list[Reading] = []
        for source, (kind, every_ms) in self._every.items():
            if self._next[source] > now:
                continue
            self._next[source] = now + every_ms
            if self._rough and self._draws.random() < STALL:
                self._next[source] = now + self._draws.randint(*STALL_MS)
                continue
            at = now - self._draws.randrange(LATE_MS_MAX if self._rough else LATE_MS_MAX // 10)
            found += [self._spoiled(reading, source) for reading in self._said(kind, at, spot)]
        self.due = min(self._next.values(), default=NEVER)
        return found

    def _said(self, kind: str, at: int, spot: Callable[[str], int]) -> Iterator[Reading]:
        seed = self._seed
        if kind == "fear_greed":
            yield Reading("fear_greed", float(outside.fear_greed(seed, at)), at - at % outside.DAY_MS)
            return
        for symbol in self._symbols:
            if kind == "second_spot":
                yield Reading(f"spot2.{symbol}", outside.second_spot(seed, symbol, spot(symbol), at) / PRICE_E8, at)
            elif kind == "binance_futures":
                yield Reading(f"mark.{symbol}", outside.mark(seed, symbol, spot(symbol), at) / PRICE_E8, at)
                yield Reading(f"funding.{symbol}", outside.funding_e8(seed, symbol, at) / PRICE_E8, at)

    def _spoiled(self, reading: Reading, source: str) -> Reading:
        name, value, at = reading.name, reading.value, reading.at
        if self._rough and self._draws.random() < NONSENSE:
            name, value, at = self._draws.choice(
                [(name, float("nan"), at), (name, value, at + 86_400_000), ("no name", value, at), (name, value, -1)]
            )
        return Reading(name, value, at, source)
