"""EVD-03: every entry that plugins want in a whole simulated run has exactly one explanation, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

from polyhost.configuration import load_configuration
from polyhost.journal.codec import decode_record
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import chosen_pathologies, with_trader
from polyhost.model.records import OrderIntended
from polyhost.model.words import Purpose

RIVALS = Path(__file__).with_name("rivals.py")


def test_evd_03_every_entry_of_a_run_ends_in_exactly_one_explanation(tmp_path: Path) -> None:
    """The judge of every simulated turn compares what was wanted with what was told (``every_entry_explained``); here
    all the ways to end are met: orders, vetoes, gates, stale answers, and entries that lost to another one."""
    file = tmp_path / "polyhost.toml"
    file.write_text(
        f'plugin_paths = ["{RIVALS}"]\n[markets]\nsymbols = ["BTC"]\n[plugins.rivals]\ntrusted = true\n'
    )
    loaded = with_trader(load_configuration(file, env={}), 1)
    simulation = Simulation(1, Plan(0.1, chosen_pathologies(["all"]), 6.0), loaded)
    outcome = simulation.run()
    assert not outcome.broken, (outcome.broken, outcome.text)
    told = simulation.explained
    assert min(told[name] for name in ("order", "veto", "refused", "stale", "outbid", "merged")) >= 2, told
    placed = [
        record for body in simulation.journal.bodies
        if isinstance(record := decode_record(body), OrderIntended) and record.draft.action.value == "BUY"
        and record.slot.purpose in (Purpose.ENTRY, Purpose.SCALE_IN, Purpose.HEDGE, Purpose.GRID_LEVEL, Purpose.LEG)
        and "moved_from" not in record.why and record.why.get("leg") != "second"
    ]
    assert told["order"] >= len(placed) > 5, "some were wanted and never became durable: the host was killed first"
