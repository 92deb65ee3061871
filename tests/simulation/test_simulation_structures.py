"""The shipped structures under every pathology: grid, pair, two-sided quotes, each as its example configures it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from polyhost.configuration import load_configuration
from polyhost.journal.codec import decode_record
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import chosen_pathologies
from polyhost.model.records import ActionMoved, EarningsReported, OrderIntended, PairMoved
from polyhost.model.words import Action, ActionState, PairState

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
DENSITY = 6.0


def simulated(file: Path, seeds: range) -> Counter[str]:
    """A few minutes a seed; what was recorded, counted."""
    loaded = load_configuration(file, env={})
    counts: Counter[str] = Counter()
    for seed in seeds:
        simulation = Simulation(seed, Plan(0.2, chosen_pathologies(["all"]), DENSITY), loaded)
        outcome = simulation.run()
        assert not outcome.broken, (seed, outcome.broken, outcome.text, outcome.trace[-20:])
        for body in simulation.journal.bodies:
            counts.update(_named(decode_record(body)))
    return counts


def _named(record: object) -> list[str]:
    match record:
        case OrderIntended():
            plugin, action = record.why.get("plugin", ""), record.draft.action
            return [f"{plugin} {action.value} {record.slot.side.value}" if action is Action.BUY else f"{plugin} SELL"]
        case PairMoved() if record.state is PairState.DONE:
            return [f"pair {record.cause}"]
        case ActionMoved() if record.state is ActionState.DONE:
            return ["merged"]
        case EarningsReported():
            return ["earned"]
        case _:
            return []


def test_grd_01_the_grid_breaks_nothing() -> None:
    counts = simulated(EXAMPLES / "grid.toml", range(1))
    assert counts["grid BUY UP"] >= 5
    assert counts["grid BUY DOWN"] >= 5
    assert counts["grid SELL"] >= 3, "one take-profit a side"


def test_rew_03_two_sided_quotes_break_nothing_and_earn() -> None:
    counts = simulated(EXAMPLES / "two_sided_quotes.toml", range(1))
    assert counts["two_sided_quotes BUY UP"] >= 10
    assert counts["two_sided_quotes BUY DOWN"] >= 10
    assert counts["merged"] >= 1
    assert counts["earned"] >= 1


def test_grd_02_pairs_break_nothing_and_are_merged(tmp_path: Path) -> None:
    """Dear on purpose: the simulated venue, like the real one, hardly ever sells both sides below what they pay."""
    file = tmp_path / "pair.toml"
    file.write_text((EXAMPLES / "pair.toml").read_text().replace("edge_min = 0.005", "edge_min = -0.12"))
    assert "-0.12" in file.read_text()
    counts = simulated(file, range(1))
    assert counts["pair paired"] >= 2
    assert counts["merged"] >= 2
