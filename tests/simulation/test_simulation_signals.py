"""Signals and combiners of the shipped configuration in a simulated market: who answers, and what is learned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from polyhost.configuration import load_configuration
from polyhost.journal.codec import decode_record
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.model.records import OrderIntended, PluginStateSet
from polyhost.model.words import Purpose

DENSITY = 6.0


def test_sig_08_an_entry_of_the_shipped_configuration_keeps_every_opinion_and_windows_teach(tmp_path: Path) -> None:
    """Prints, candles, strike and basis reach the signals, and results the combiner that learns."""
    file = tmp_path / "polyhost.toml"
    file.write_text('[markets]\nsymbols = ["BTC"]\ndurations = ["5m"]\n[plugins.bayesian]\nlearning = true\n')
    simulation = Simulation(5, Plan(0.4, {}, DENSITY), load_configuration(file, env={}))
    outcome = simulation.run()
    assert not outcome.broken, outcome.broken
    said: Counter[str] = Counter()
    learned: list[dict[str, str | None]] = []
    for record in map(decode_record, simulation.journal.bodies):
        if isinstance(record, OrderIntended) and record.slot.purpose is Purpose.ENTRY:
            names = [each.split()[0] for each in record.why["signals"].split(", ")]
            said.update(names)
            parts = [each.split()[0] for each in record.why["parts_bayesian"].split(", ")]
            assert parts == ["prior", *names, "posterior"]
        elif isinstance(record, PluginStateSet) and record.plugin == "bayesian" and "learned" in record.changes:
            learned.append(record.changes)
    assert set(said) >= {"binance_momentum", "polymarket_momentum", "indicators", "order_flow", "divergence"}
    assert len(learned) >= 2
