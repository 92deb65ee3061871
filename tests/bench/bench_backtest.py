"""B2: a backtest straight from wire JSON with the shipped configuration, against the peer when it is installed.

The budget is twice nautilus_trader's build and run of an equivalent strategy on the same tape, measured once at about
123,000 events/s on a machine of this class; without the peer here the absolute figure stands in and says so.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from generate import write

ROUNDS: Final = 3
BUDGET_PER_S: Final = 250_000


def once(path: Path) -> dict[str, Any]:
    """One backtest of the tape; its summary."""
    from polyhost.configuration import load_configuration
    from polyhost.lab.backtest import Backtest
    from polyhost.lab.plugins import running
    from polyhost.lab.tape import Tape

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as empty:
        # An empty file, so that no ./polyhost.toml of the reader's own is taken.
        loaded = load_configuration(Path(empty.name), env={})
    with running(loaded) as plugins:
        return Backtest(loaded.configuration, plugins, loaded.config_hash).run([Tape(path)])


def measure() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "tape.jsonl")
        reports = [once(path) for _ in range(ROUNDS)]
    rate = statistics.median(report["wall"]["events_per_s"] for report in reports)
    first = reports[0]
    assert first["invariants"]["broken"] == 0, first["invariants"]
    peer = "nautilus_trader is installed, but its run is not part of this suite yet"
    if find_spec("nautilus_trader") is None:
        peer = "nautilus_trader is not installed"
    return [
        {
            "id": "B2", "what": "backtest from wire JSON, events/s", "ours_per_s": rate, "budget_per_s": BUDGET_PER_S,
            "ratio": round(rate / BUDGET_PER_S, 3), "budget": 1.0, "ok": rate >= BUDGET_PER_S,
            "events": first["tape"]["lines"], "evaluations": first["evaluations"], "fills": first["fills"],
            "peer": f"skipped: {peer}",
        }
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
