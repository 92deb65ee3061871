"""``polyhost simulate``: many seeds of one plan, on as many processes as wanted, and what they found as one report."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from loguru import logger

from polyhost.configuration import Loaded
from polyhost.errors import ConfigError, nearest_name
from polyhost.exchange.pathologies import BY_NAME, CATALOGUE, probability
from polyhost.exchange.pathologies.catalogue import JOURNAL, SIMULATION
from polyhost.lab import sim_trader
from polyhost.lab.builders import own_builder
from polyhost.lab.sim_run import Outcome, Plan, Simulation
from polyhost.settings import Configuration, MarketsTable

TRADER: Final = sim_trader.RandomTrader.name
EAGERNESS: Final = ((45, 6), (400, 40), (150, 3))
"""Entries and immediate exits of the random trader a thousand evaluations, by seed: patient, hectic, holding."""
TIGHT: Final = "30"
"""Every fifth seed's cash: so little that reservations, and not the limits, are what holds entries back."""
LIFTED: Final[dict[str, Any]] = {
    "daily_loss": "1000000", "drawdown": 1.0, "emergency_stops_hour": 1_000_000, "disconnects_hour": 1_000_000,
    "exit_failures": 1_000_000,
}
"""Breakers would end the random trader's day within minutes: every other seed trades without them."""


def chosen_pathologies(words: Iterable[str]) -> dict[str, float]:
    """``all``, ``none`` or names, each alone or as ``NAME=PROBABILITY``, as name → probability.

    Raises ConfigError for a name that is not in the catalogue or does nothing in a simulation, and for no probability.
    """
    usable = {each.name: each.probability for each in CATALOGUE if SIMULATION in each.layers or JOURNAL in each.layers}
    chosen: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name == "all":
            chosen |= usable
        elif name in usable:
            chosen[name] = probability(text, key=f"--pathologies {name}") if text else usable[name]
        elif name != "none":
            known = "acts on the wire only" if name in BY_NAME else "there is no such pathology"
            raise ConfigError(
                known, key="--pathologies", value=name, allowed=["all", "none", *usable],
                nearest=nearest_name(name, usable),
            )
    return chosen


def with_trader(loaded: Loaded, seed: int) -> Loaded:
    """The configuration with the random trader before its own plugins, for a seed; breakers lifted for every other.

    Some seeds have little cash, the dead-man's switch, or windows of an hour beside those of five minutes.
    """
    configuration = loaded.configuration
    plain = configuration.model_dump()
    plain["plugin_paths"] = (*configuration.plugin_paths, str(Path(sim_trader.__file__).resolve()))
    entries, exits = EAGERNESS[seed % len(EAGERNESS)]
    trader = {"trusted": True, "seed": seed, "entries_per_mille": entries, "exits_per_mille": exits}
    plain["plugins"] = {TRADER: trader, **configuration.plugins}
    if seed % 2:
        plain["breakers"] = LIFTED
    if seed % 5 == 3:
        plain["exchange"] |= {"cash": TIGHT}
    if seed % 4 == 2:
        plain["safety"] |= {"dead_man": True}
    if seed % 7 == 6 and configuration.markets == MarketsTable(symbols=configuration.markets.symbols):
        plain["markets"] |= {"durations": ("5m", "1h")}
    return replace(loaded, configuration=Configuration.model_validate(plain))


def one(seed: int, plan: Plan, loaded: Loaded, trader: bool) -> tuple[Outcome, float]:
    """One seed's outcome, and the CPU seconds it took."""
    began = time.process_time()
    outcome = Simulation(seed, plan, with_trader(loaded, seed) if trader else loaded).run()
    return outcome, time.process_time() - began


class Simulations:
    """Seeds ``first`` (included) to ``last`` (not), under one plan."""

    def __init__(
        self, seeds: range, plan: Plan, loaded: Loaded, *, trader: bool = True, workers: int | None = None,
        sets: Sequence[str] = (),
    ) -> None:
        """``trader``: add the random trader. ``workers``: processes; None: one a core, at most one a seed. ``sets``:
        the words of ``--set`` that made the configuration, for the command that repeats a seed.

        Raises ConfigError for a builder code that the exchange does not know.
        """
        own_builder(loaded.configuration)  # a builder code that nobody knows is told before anything runs
        self.sets = sets
        self.seeds = seeds
        self.plan = plan
        self.loaded = loaded
        self.trader = trader
        self.workers = max(min(workers or os.cpu_count() or 1, len(seeds)), 1)
        self.command = ""
        """How the first failing seed is replayed; empty: none failed."""

    def run(self, seen: Callable[[Outcome], None] | None = None) -> dict[str, Any]:
        """Every seed; the report. ``seen`` is called with each outcome, in order of the seeds."""
        began = time.perf_counter()
        outcomes: list[Outcome] = []
        core_s = 0.0
        for outcome, used_s in self._outcomes():
            outcomes.append(outcome)
            core_s += used_s
            if seen is not None:
                seen(outcome)
        return self._report(outcomes, time.perf_counter() - began, core_s)

    def _outcomes(self) -> Iterator[tuple[Outcome, float]]:
        if self.workers == 1:
            for seed in self.seeds:
                yield one(seed, self.plan, self.loaded, self.trader)
            return
        with get_context("spawn").Pool(
            self.workers, initializer=_prepare, initargs=(self.plan, self.loaded, self.trader)
        ) as pool:
            yield from pool.imap(_work, self.seeds)

    # --- the report ---------------------------------------------------------------------------------------------------

    def _report(self, outcomes: Sequence[Outcome], duration_s: float, core_s: float) -> dict[str, Any]:
        failed = [outcome for outcome in outcomes if outcome.broken]
        hours = sum(min(outcome.market_ms / 3_600_000, self.plan.hours) for outcome in outcomes)
        if failed:
            self.command = self.replay_command(failed[0].seed)
        return {
            "seeds": len(outcomes),
            "simulated_hours": round(hours, 6),
            "events": sum(outcome.events for outcome in outcomes),
            "records": sum(outcome.records for outcome in outcomes),
            "orders": sum(outcome.orders for outcome in outcomes),
            "fills": sum(outcome.fills for outcome in outcomes),
            "evaluations": sum(outcome.evaluations for outcome in outcomes),
            "restarts": sum(outcome.restarts for outcome in outcomes),
            "records_lost": sum(outcome.records_lost for outcome in outcomes),
            "pathologies": {
                name: sum(outcome.happened.get(name, 0) for outcome in outcomes) for name in self.plan.pathologies
            },
            "t3_exceptions": dict(sorted(_summed(outcome.exceptions for outcome in outcomes).items())),
            "unknown_outcomes": dict(sorted(_summed(outcome.rules for outcome in outcomes).items())),
            "invariants": {
                "checked": sum(outcome.checked for outcome in outcomes),
                "broken": len(failed),
                "broken_names": sorted({outcome.broken for outcome in failed}),
            },
            "first_failing_seed": failed[0].seed if failed else None,
            "failing_seeds": [outcome.seed for outcome in failed],
            "replay": self.command,
            "digest": hashlib.sha256("".join(outcome.digest for outcome in outcomes).encode()).hexdigest(),
            "wall": {
                "duration_s": round(duration_s, 3),
                "core_s": round(core_s, 3),
                "workers": self.workers,
                "hours_per_core_hour": round(hours * 3_600 / core_s) if core_s else 0,
            },
        }

    def replay_command(self, seed: int) -> str:
        """One command that does exactly this seed again."""
        words = ["polyhost", "simulate", "--seeds", f"{seed}:{seed + 1}", "--hours", f"{self.plan.hours:g}"]
        for name, chance in self.plan.pathologies.items():
            words += ["--pathologies", f"{name}={chance:g}"]
        if self.plan.pathologies == chosen_pathologies(["all"]):
            words = [*words[:6], "--pathologies", "all"]
        elif not self.plan.pathologies:
            words += ["--pathologies", "none"]
        words += ["--density", f"{self.plan.density:g}"]
        if not self.plan.rough:
            words.append("--calm")
        if not self.trader and self.loaded.path is not None:
            words += ["-c", str(self.loaded.path)]
        for word in self.sets:
            words += ["--set", word]
        return shlex.join(words)


def finding(outcome: Outcome, command: str) -> list[str]:
    """What a person needs to see a failing seed again: what broke, the command, the last events of what it concerns."""
    return [
        f"seed {outcome.seed} broke {outcome.broken} after {outcome.at_s:.3f} s: {outcome.text}",
        f"again: {command}",
        *outcome.trace,
    ]


def _summed(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


_given: tuple[Plan, Loaded, bool] | None = None
"""What a worker process was started with."""


def _prepare(plan: Plan, loaded: Loaded, trader: bool) -> None:
    global _given
    _given = (plan, loaded, trader)
    logger.remove()
    logger.add(sys.stderr, level="ERROR", diagnose=False)


def _work(seed: int) -> tuple[Outcome, float]:
    assert _given is not None, "the worker was not prepared"
    plan, loaded, trader = _given
    return one(seed, plan, loaded, trader)
