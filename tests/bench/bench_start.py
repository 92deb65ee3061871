"""B7: cold start of the command line, against ``import polymarket`` in a fresh interpreter; interleaved, medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROUNDS: Final = 5
BUDGET: Final = 0.25
COMMANDS: Final = (("--help",), ("--version",), ("config", "check"))


def _seconds(args: list[str], folder: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run(args, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - begin


def measure() -> list[dict[str, Any]]:
    python = sys.executable
    host = str(Path(python).with_name("polyhost"))
    sides = {"import polymarket": [python, "-c", "import polymarket"]}
    sides |= {" ".join(command): [host, *command] for command in COMMANDS}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        for args in sides.values():
            _seconds(args, folder)  # bytecode and page cache
        for _ in range(ROUNDS):
            for name, args in sides.items():
                seconds[name].append(_seconds(args, folder))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    base = median.pop("import polymarket")
    return [
        {
            "id": "B7", "what": f"cold start: polyhost {name}", "ours_ms": round(own * 1_000),
            "base_ms": round(base * 1_000), "ratio": round(own / base, 3), "budget": BUDGET, "ok": own / base <= BUDGET,
        }
        for name, own in median.items()
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
