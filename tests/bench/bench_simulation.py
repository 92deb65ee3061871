"""B6: deterministic simulation with all pathologies: one symbol, two windows, density 20, the journal in memory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

SEEDS: Final = range(100, 103)
HOURS: Final = 1.0
BUDGET: Final = 1_000
"""Simulated hours per core-hour."""


def measure() -> list[dict[str, Any]]:
    from loguru import logger

    from polyhost.configuration import load_configuration
    from polyhost.lab.sim_run import Plan
    from polyhost.lab.simulate import Simulations, chosen_pathologies

    logger.disable("polyhost.exchange.world")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "polyhost.toml"
        file.write_text('[markets]\nsymbols = ["BTC"]\ndurations = ["5m", "15m"]\n')
        loaded = load_configuration(file, env={})
    plan = Plan(HOURS, chosen_pathologies(["all"]), 20.0)
    report = Simulations(SEEDS, plan, loaded, workers=1).run()
    rate = report["wall"]["hours_per_core_hour"]
    return [
        {
            "id": "B6", "what": "simulation with all pathologies, hours per core-hour", "ours": rate,
            "budget_hours": BUDGET, "ratio": round(rate / BUDGET, 3), "budget": 1.0, "ok": rate >= BUDGET,
            "events": report["events"], "evaluations": report["evaluations"], "orders": report["orders"],
            "fills": report["fills"], "restarts": report["restarts"], "broken": report["invariants"]["broken"],
        }
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
