"""Structures of several orders under every pathology: pairs, reversals and grids of plugins that use the surface."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from msgspec import UNSET

from polyhost.configuration import load_configuration
from polyhost.journal.codec import decode_record
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import chosen_pathologies, with_trader
from polyhost.model.records import ActionMoved, FillBooked, OrderIntended, PairMoved, PluginStateSet
from polyhost.model.words import ActionState, PairState, Purpose

PLUGINS = Path(__file__).parents[1] / "plugins_for_tests"
QUARTER = 0.25
DENSITY = 6.0


def simulated(tmp_path: Path, plugin: str, seeds: range, settings: str = "") -> Counter[str]:
    """Run a quarter of an hour a seed with one of our plugins; what was recorded, counted."""
    file = tmp_path / "polyhost.toml"
    file.write_text(
        f'plugin_paths = ["{PLUGINS / _FILES[plugin]}"]\n[markets]\nsymbols = ["BTC"]\n'
        f"[plugins.{plugin}]\ntrusted = true\n{settings}\n[plugins.entry_policy]\nenabled = false\n"
    )
    loaded = load_configuration(file, env={})
    counts: Counter[str] = Counter()
    for seed in seeds:
        simulation = Simulation(seed, Plan(QUARTER, chosen_pathologies(["all"]), DENSITY), loaded)
        outcome = simulation.run()
        assert not outcome.broken, (seed, outcome.broken, outcome.trace[-20:])
        counts["restarts"] += outcome.restarts
        for body in simulation.journal.bodies:
            counts.update(_named(decode_record(body)))
    return counts


_FILES = {"cheap_pair": "pair.py", "turner": "reversal.py", "ladder": "grid.py"}


def _named(record: object) -> list[str]:
    match record:
        case OrderIntended():
            return [record.slot.purpose.value, f"{record.slot.purpose.value} {record.slot.side.value}"]
        case PairMoved() if record.state is PairState.DONE:
            return [f"pair {record.cause}"]
        case ActionMoved() if record.state is ActionState.DONE:
            return ["merged"]
        case PluginStateSet():
            return ["promise"]
        case _:
            return []


def test_ord_13_pairs_of_a_plugin_end_paired_flat_or_told_and_are_merged(tmp_path: Path) -> None:
    counts = simulated(tmp_path, "cheap_pair", range(4), "sum_max = 10300")
    assert counts["pair paired"] >= 5
    assert counts["merged"] >= 3
    assert counts["restarts"] >= 5
    assert counts["promise"] >= counts["pair paired"]


def test_exi_03_reversals_hedge_before_they_sell(tmp_path: Path) -> None:
    counts = simulated(tmp_path, "turner", range(4))
    assert counts[Purpose.ENTRY] >= 5
    assert counts[Purpose.HEDGE] >= 2
    assert counts["promise"] >= counts[Purpose.HEDGE]


def test_grd_01_a_grid_fills_takes_profit_and_begins_anew(tmp_path: Path) -> None:
    counts = simulated(tmp_path, "ladder", range(2))
    assert counts[Purpose.GRID_LEVEL] >= 12
    assert counts[Purpose.EXIT] >= 3


def test_con_18_with_a_builder_code_the_books_are_the_venues_whatever_goes_wrong(tmp_path: Path) -> None:
    """Every pathology, restarts, and fees on top of makers' and takers' trades; host and exchange compare their money.
    """
    file = tmp_path / "polyhost.toml"
    code = "0x" + "ab" * 32
    file.write_text(
        f'[markets]\nsymbols = ["BTC"]\n[venue]\nbuilder_code = "{code}"\n'
        f"[exchange.builders]\n{code} = {{ maker_bps = 50, taker_bps = 100 }}\n"
    )
    loaded = with_trader(load_configuration(file, env={}), 1)
    simulation = Simulation(1, Plan(QUARTER, chosen_pathologies(["all"]), DENSITY), loaded)
    outcome = simulation.run()
    assert not outcome.broken, (outcome.broken, outcome.text)
    fills = [record for body in simulation.journal.bodies if isinstance(record := decode_record(body), FillBooked)]
    assert {fill.maker for fill in fills} == {True, False}
    assert all(fill.builder_fee is not UNSET for fill in fills)
    assert simulation.exchange.earned(code) > 0
