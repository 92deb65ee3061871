"""Optional feeds in simulations: seeded, stalling, absent, and unnoticed by the trading path (CON-17, SIG-06)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from polyhost import Abstain, Reading, Signal, View
from polyhost.configuration import Loaded, load_configuration
from polyhost.extension.discovery import LoadedPlugin, discover
from polyhost.lab import sim_run
from polyhost.lab.sim_feeds import LATE_MS_MAX, SimFeeds
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import chosen_pathologies
from polyhost.model.times import NEVER

NOW = 1_800_000_000_000
FEEDS = ("binance_futures", "second_spot", "fear_greed")
SPOT = 10**13


def loaded(tmp_path: Path, *plugins: str, more: str = "") -> Loaded:
    file = tmp_path / "polyhost.toml"
    tables = "".join(f"[plugins.{name}]\n" for name in plugins)
    file.write_text(f'[markets]\nsymbols = ["BTC"]\ndurations = ["5m"]\n{tables}{more}')
    return load_configuration(file, env={})


def found(tmp_path: Path, *plugins: str) -> tuple[LoadedPlugin, ...]:
    of = loaded(tmp_path, *plugins)
    return discover(of.configuration, of.base, str(of.path))


def source(tmp_path: Path, seed: int, *plugins: str, rough: bool = True) -> SimFeeds:
    return SimFeeds(seed, found(tmp_path, *plugins), ("BTC", "ETH"), NOW, rough=rough)


def told(feeds: SimFeeds, ms: int) -> list[tuple[int, Reading]]:
    found = []
    while (due := feeds.due) <= NOW + ms:
        found += [(due, reading) for reading in feeds.read(due, lambda symbol: SPOT)]
    return found


def test_con_17_a_seed_says_the_same_again_and_another_something_else(tmp_path: Path) -> None:
    first, again, other = (repr(told(source(tmp_path, seed, *FEEDS), 300_000)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_con_17_calm_feeds_say_all_there_is_at_the_pace_of_their_settings(tmp_path: Path) -> None:
    said = told(source(tmp_path, 1, *FEEDS, rough=False), 100_000)
    names = {reading.name for _, reading in said}
    symbols = ("BTC", "ETH")
    assert names == {"fear_greed", *(f"{kind}.{symbol}" for kind in ("mark", "funding", "spot2") for symbol in symbols)}
    assert [sum(reading.name == name for _, reading in said) for name in ("spot2.BTC", "mark.BTC")] == [50, 10]
    assert {reading.source for _, reading in said} == set(FEEDS)
    assert all(0 <= due - reading.at <= LATE_MS_MAX // 10 for due, reading in said if reading.name != "fear_greed")


def test_con_17_rough_feeds_stall_are_away_and_talk_nonsense(tmp_path: Path) -> None:
    away, longest, nonsense = set(), 0, 0
    running = found(tmp_path, *FEEDS)
    for seed in range(40):
        feeds = SimFeeds(seed, running, ("BTC",), NOW, rough=True)
        said = told(feeds, 600_000)
        sources = {reading.source for _, reading in said}
        away |= {name for name in FEEDS[:2] if name not in sources}
        dues = [due for due, reading in said if reading.source == "second_spot"]
        longest = max([longest, *(b - a for a, b in pairwise(dues))])
        nonsense += sum(reading.value != reading.value for _, reading in said)
    assert away == set(FEEDS[:2])
    assert longest > 60_000
    assert nonsense > 5


def test_con_17_without_feeds_nothing_is_ever_due(tmp_path: Path) -> None:
    assert source(tmp_path, 1).due == NEVER


class Watched:
    """Notes the views of a simulation and what sentiment answers to them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.views: list[View] = []
        inner = sim_run.Plugins.evaluate

        def evaluate(plugins: Any, view: View) -> Any:
            self.views.append(view)
            return inner(plugins, view)

        monkeypatch.setattr(sim_run.Plugins, "evaluate", evaluate)


def test_con_17_the_trading_path_is_the_same_to_the_byte_beside_feeds_nobody_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    plan = Plan(0.1, chosen_pathologies(["all"]), 6.0)
    off = "[plugins.divergence]\nenabled = false\n[plugins.underdog_guard]\nenabled = false\n"
    plain = Simulation(5, plan, loaded(tmp_path, more=off)).run()
    assert all(view.feeds == () for view in watched.views)
    watched.views.clear()
    beside = Simulation(5, plan, loaded(tmp_path, *FEEDS, more=off)).run()
    assert plain.broken == beside.broken == ""
    assert any(len(view.feeds) >= 3 for view in watched.views)
    assert plain.orders > 0
    assert (beside.digest, beside.evaluations) == (plain.digest, plain.evaluations)


def test_sig_06_sentiment_answers_in_simulations_and_abstains_while_its_feeds_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short ages, so that every silence is one."""
    watched = Watched(monkeypatch)
    more = "[plugins.sentiment]\nfunding_age_s_max = 15\nfunding_off_min = 0\nweight_fear_greed = 0\n"
    simulation = Simulation(3, Plan(0.15, chosen_pathologies(["all"]), 6.0), loaded(tmp_path, *FEEDS, more=more))
    outcome = simulation.run()
    assert outcome.broken == "", outcome.trace[-20:]
    assert outcome.restarts >= 0
    assert simulation._host is not None
    (plugin,) = [each for each in simulation._host.plugins.found if each.name == "sentiment"]
    answers = [plugin.bound["signal"].call(view) for view in watched.views]
    assert {type(answer) for answer in answers} == {Signal, Abstain}
