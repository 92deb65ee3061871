"""The user's own configuration in the crash matrix: its plugins, on the simulated world instead of a story.

The world is brought to just before a window opens; every run starts from there. Which seed is taken is found by trying:
the one in which the plugins post most, for a window without orders shows little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from polyhost.configuration import Loaded
from polyhost.exchange.api import MarketOpened, Output
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.world import World, WorldSettings
from polyhost.lab.backtest import Answerer
from polyhost.lab.builders import builders_of
from polyhost.lab.crash import posts_of
from polyhost.lab.crash_stage import Stage
from polyhost.lab.plugins import running
from polyhost.model.market import Market
from polyhost.model.series import DURATIONS
from polyhost.model.times import MarketMs

RUNS_MAX: Final = 180
"""Runs of a matrix on a configuration, if nobody says otherwise: each costs about a second."""
SEEDS_TRIED: Final = 6
START: Final = MarketMs(1_800_000_000_000)
"""When the window opens: a multiple of every duration."""
BEFORE_MS: Final = 6_000
"""Runs begin so long before the window opens."""
WARM_MS: Final = 60_000
"""The world lives so long before a run begins: its books are full then."""
SYMBOLS_MAX: Final = 2
DENSITY_MAX: Final = 4.0
"""Population events a second and symbol: runs are many, so the market is thin."""


class WorldVenue:
    """One window of each of the first configured symbols, in the shortest configured duration."""

    def __init__(self, loaded: Loaded, seed: int) -> None:
        settings = loaded.configuration
        duration_s = min(DURATIONS[each] for each in settings.markets.durations)
        rules = settings.exchange
        began = MarketMs(START - BEFORE_MS)
        self._world = World(
            WorldSettings(
                symbols=settings.markets.symbols[:SYMBOLS_MAX], durations_s=(duration_s,), windows_ahead=1,
                resolve_delay_ms=rules.resolve_delay_ms, density=min(rules.density, DENSITY_MAX), plain_market=False,
                rules=ExchangeRules(
                    taker_delay_ms=rules.taker_delay_ms, mined_ms=rules.mined_ms, confirmed_ms=rules.confirmed_ms,
                    snapshots=False, builders=builders_of(loaded.configuration),
                ),
            ),
            seed, MarketMs(began - WARM_MS),
        )  # fmt: skip
        self._world.advance(began)
        self.exchange = self._world.exchange
        self.began = began
        self.ends = START + duration_s * 1_000 + rules.resolve_delay_ms
        self.words: tuple[tuple[str, int], ...] = ()
        self.markets: list[Market] = [market for market in self._world.listing() if market.start == START]

    @property
    def next_due(self) -> int:
        return self._world.next_due

    def advance(self, now: MarketMs) -> list[Output]:
        """All that happens, without the windows after this one."""
        return [output for output in self._world.advance(now) if not isinstance(output, MarketOpened)]


def world_stage(loaded: Loaded, seed: int) -> Stage:
    """A stage for a configuration. Raises ConfigError or PluginError, in the host's process, for wrong plugins."""

    @contextmanager
    def plugins() -> Iterator[Answerer]:
        with running(loaded) as found:
            yield found

    return Stage(WorldVenue(loaded, seed), loaded.configuration, plugins)


def busy_stage(loaded: Loaded) -> Stage:
    """The stage of the seed, of a few, in which the undisturbed host posts most."""
    seeds = range(loaded.configuration.exchange.seed, loaded.configuration.exchange.seed + SEEDS_TRIED)
    return max((world_stage(loaded, seed) for seed in seeds), key=posts_of)
