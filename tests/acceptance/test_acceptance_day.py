"""SIM-07, G: 24 hours with no error line. `make calm-day` is the same with the trader of the simulations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger

from polyhost.configuration import load_configuration
from polyhost.lab.sim_run import Outcome, Plan, Simulation
from polyhost.model.events import LoopChanged
from polyhost.model.records import FillBooked
from polyhost.model.words import Action

from .acceptance_stage import PLAYBOOK, logged_errors

PLAYS = (
    "60..80 buy UP 8 when UP<=0.60 and UP>=0.30", "60..80 buy DOWN 8 when UP>=0.61 and UP<=0.80",
    "200.. target UP 0.75", "200.. target DOWN 0.75",
)
"""Every quarter of an hour the underdog or the favourite is bought, and offered again; the guard closes the rest."""


def simulation(folder: Path, hours: float, pathologies: dict[str, float] | None = None) -> Simulation:
    """One symbol in windows of 15 minutes; the market's luck alone stops nobody."""
    file = folder / "polyhost.toml"
    lines = [f"plugin_paths = [{str(PLAYBOOK)!r}]", "[markets]", 'symbols = ["BTC"]', 'durations = ["15m"]']
    lines += ["[plugins.playbook]", "trusted = true", f"plays = {list(PLAYS)!r}", "[plugins.entry_policy]"]
    lines += ["enabled = false", "[plugins.exit_plan]", "enabled = false", "[evaluation]", "cadence_ms = 10000"]
    lines += ["[plugins.underdog_guard]", "enabled = false"]  # it is bought by the clock, whatever anybody thinks of it
    lines += ["[breakers]", 'daily_loss = "500"', "drawdown = 1.0", "emergency_stops_hour = 1000"]
    file.write_text("\n".join(lines) + "\n")
    return Simulation(1, Plan(hours, pathologies or {}, 0.3, rough=False), load_configuration(file, env={}))


@pytest.mark.timeout(1_800)
def test_sim_07_g_twenty_four_calm_hours_bring_not_one_error_line_and_no_unexplained_warning(tmp_path: Path) -> None:
    run = simulation(tmp_path, 24)
    with logged_errors() as lines:
        outcome = run.run()
    assert not outcome.broken, f"{outcome.broken}: {outcome.text}"
    assert not lines
    assert outcome.market_ms >= 24 * 3_600_000
    # A day in which nothing happens proves nothing.
    state = run.checks.shadow
    assert len(state.closes) > 60
    fills = [record for _, record in run.journal.read() if isinstance(record, FillBooked)]
    assert sum(fill.action is Action.BUY for fill in fills) > 60
    assert sum(fill.action is Action.SELL for fill in fills) > 40
    assert sum(market.settled for market in state.markets.values()) > 90
    assert outcome.evaluations > 8_000


ALARMS: dict[str, Callable[[Simulation], None]] = {
    "error_line": lambda run: logger.error("something went wrong that nobody counts"),
    "critical_notice": lambda run: run._event(LoopChanged("exits", False, True, "it stands still")),
    "warning_notice": lambda run: run._event(LoopChanged("metrics", False, False, "it stands still")),
}


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_calm_run_in_which_one_line_is_alarming_is_broken(tmp_path: Path, alarm: str) -> None:
    """The judge of the 24 hours: each kind of alarm is found, and none where a fault explains it."""
    assert raised(simulation(tmp_path, 0.02), alarm).broken == "nothing_alarming_when_calm"
    assert not raised(simulation(tmp_path, 0.02, pathologies={"dup_trade": 1.0}), alarm).broken


def raised(run: Simulation, alarm: str) -> Outcome:
    run._later(10_000, ALARMS[alarm], run)
    return run.run()
