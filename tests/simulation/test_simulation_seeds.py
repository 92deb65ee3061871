"""The whole host against every pathology: fixed seeds, each a quarter of an hour, none may break an invariant."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.configuration import Loaded, load_configuration
from polyhost.lab import sim_run
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import Simulations, chosen_pathologies, finding, with_trader
from polyhost.model.commands import Command
from polyhost.model.times import MarketMs
from polyhost.settings import Configuration

SEEDS = range(12)
"""Enough to find what a change breaks outright; `polyhost simulate` runs as many as there is time for."""
QUARTER = 0.25
DENSITY = 6.0
"""Population events a second: enough for trades at every price, and a third of the default's cost."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The shipped configuration, one symbol; a file of its own, so that no ./polyhost.toml is read."""
    empty = tmp_path_factory.mktemp("simulation") / "polyhost.toml"
    empty.write_text('[markets]\nsymbols = ["BTC"]\n')
    return load_configuration(Path(empty), env={})


@pytest.mark.alone
@pytest.mark.timeout(1_800)
def test_sim_05_twelve_seeds_of_a_quarter_of_an_hour_break_nothing(loaded: Loaded) -> None:
    plan = Plan(QUARTER, chosen_pathologies(["all"]), DENSITY)
    told: list[str] = []
    simulations = Simulations(SEEDS, plan, loaded)
    report = simulations.run(
        lambda outcome: told.extend(finding(outcome, simulations.replay_command(outcome.seed)))
        if outcome.broken and not told
        else None
    )
    assert report["invariants"]["broken"] == 0, "\n".join(told)
    assert report["seeds"] == len(SEEDS)
    assert report["simulated_hours"] == pytest.approx(len(SEEDS) * QUARTER)
    # A run in which nothing happens proves nothing.
    assert report["fills"] > 10 * len(SEEDS)
    assert report["restarts"] > len(SEEDS)
    assert report["records_lost"] > 0
    struck = {name for name, count in report["pathologies"].items() if count}
    assert len(struck) >= 25, sorted(set(report["pathologies"]) - struck)


def test_sim_04_the_same_seed_gives_the_same_bytes(loaded: Loaded) -> None:
    plan = Plan(0.1, chosen_pathologies(["all"]), DENSITY)
    first, second = (Simulation(7, plan, with_trader(loaded, 7)).run() for _ in range(2))
    assert first == second
    assert first.records > 0
    assert len(first.digest) == 64
    assert Simulation(8, plan, with_trader(loaded, 8)).run().digest != first.digest


EVERYTHING = """
[markets]
symbols = ["BTC"]
durations = ["5m", "1h"]
[exchange]
rewards = "2000000"
rewards_min_size = "1"
"""


def test_sim_04_rew_01_every_rule_and_rewards_are_as_deterministic_and_balance(
    tmp_path: Path
) -> None:
    """TWAP and candle windows side by side, over a midnight at which rewards are paid: the ledger equals the venue's
    collateral at the end, or the run is broken."""
    (tmp_path / "polyhost.toml").write_text(EVERYTHING)
    every = load_configuration(tmp_path / "polyhost.toml", env={})
    plan = Plan(0.25, chosen_pathologies(["all"]), 2.0)
    runs = [Simulation(9, plan, with_trader(every, 9)) for _ in range(2)]
    first, second = (run.run() for run in runs)
    assert first == second
    assert first.broken == "", first.text
    shadow = runs[0].checks.shadow
    traded = {shadow.markets[order.slot.condition_id].market.duration_s for order in shadow.orders.values()}
    assert traded == {300, 3_600}
    paid = sum(each.amount for each in runs[0].exchange.rewards_paid(sim_run.ADDRESS))
    assert paid > 0
    assert -shadow.balance("rewards") == paid, "what the venue paid is in the books"


def test_sim_04_the_digest_does_not_depend_on_how_many_processes_work(loaded: Loaded) -> None:
    plan = Plan(0.02, chosen_pathologies(["all"]), DENSITY)
    one, two = (Simulations(range(3, 6), plan, loaded, workers=workers).run() for workers in (1, 2))
    one.pop("wall")
    two.pop("wall")
    assert one == two


def test_sim_05_a_post_before_its_record_is_durable_is_found(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guarantee of write-ahead taken away: a crash then forgets orders that are at the venue."""

    def at_once(self: Simulation, host: sim_run.Host, commands: list[Command], seq: int, now: int) -> None:
        for command in commands:
            self._do(host, command, now)

    monkeypatch.setattr(Simulation, "_do_all", at_once)
    outcome = _first_broken(loaded, range(28, 58))
    assert outcome.broken in (
        "venue_orders_equal_ours", "venue_collateral_equals_ledger", "order_posted_twice", "nothing_made_up",
        "one_live_buy_a_slot_at_the_venue",
    )
    assert outcome.restarts > 0, "a crash is what forgets them"


def test_sim_05_a_stream_of_trades_that_is_dropped_for_good_is_found(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the venue says of trades never arrives, not even when asked: ledger and venue must differ at the end."""
    monkeypatch.setattr("polyhost.kernel.orders_flow.OrderFlow._trade", lambda self, row: None)
    assert _first_broken(loaded, range(4)).broken


def _first_broken(loaded: Loaded, seeds: range) -> sim_run.Outcome:
    plan = Plan(QUARTER, {}, DENSITY)
    for seed in seeds:
        outcome = Simulation(seed, plan, with_trader(loaded, seed)).run()
        if outcome.broken:
            return outcome
    raise AssertionError(f"{len(seeds)} seeds found nothing")


def test_a_failing_seed_says_how_to_see_it_again_and_what_happened(loaded: Loaded) -> None:
    """Nobody may add shares by hand: the final comparison finds it, with the command and a trace."""
    plan = Plan(0.02, {}, DENSITY, rough=False)
    simulation = Simulation(3, plan, with_trader(loaded, 3))
    simulation.exchange._bank.accounts[sim_run.ADDRESS].collateral += 1
    simulation._later(1_000, _take_back, simulation)
    outcome = simulation.run()
    assert outcome.broken == "venue_collateral_equals_ledger"
    simulations = Simulations(range(10), plan, loaded)
    lines = finding(outcome, simulations.replay_command(3))
    assert lines[0].startswith("seed 3 broke venue_collateral_equals_ledger after ")
    assert lines[1] == "again: polyhost simulate --seeds 3:4 --hours 0.02 --pathologies none --density 6 --calm"
    assert any("quiet: compared with the venue" in line for line in lines[2:])
    assert len(lines) <= 42


def _take_back(simulation: Simulation) -> None:
    simulation.exchange._bank.accounts[sim_run.ADDRESS].collateral -= 1


def test_the_trader_does_not_replace_the_plugins_of_the_configuration(loaded: Loaded) -> None:
    configuration = with_trader(loaded, 5).configuration
    names = list(configuration.plugins)
    assert names[0] == "random_trader"
    assert names[1:] == list(loaded.configuration.plugins)
    assert configuration.plugins["random_trader"]["seed"] == 5
    assert isinstance(configuration, Configuration)


def test_the_exchange_of_a_simulation_begins_at_another_moment_for_each_seed(loaded: Loaded) -> None:
    begins = {Simulation(seed, Plan(), with_trader(loaded, seed)).began for seed in (0, 2, 3)}
    assert len(begins) == 3
    assert all(MarketMs(sim_run.BEGIN) <= begin < sim_run.BEGIN + 900_000 for begin in begins)
