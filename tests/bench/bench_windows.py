"""B10: what an event costs with 1, 4, 16 and 64 windows at once, the events scaled with them.

Each size is a backtest of a generated tape, with the shipped plugins and one evaluation a second and window, so that
both the hot path and the deadlines grow with the windows. Interleaved rounds; the ratio is the dearest size's CPU time
an event over that of one window.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from generate import crowd, crowd_symbols, write_lines

ROUNDS: Final = 2
SIZES: Final = (1, 4, 16, 64)
EACH: Final = 6_000
"""Events of a window: some seven a second."""
BUDGET: Final = 1.15


def once(path: Path, windows: int) -> tuple[float, dict[str, Any]]:
    """CPU seconds of the pass over the tape, and its report."""
    from polyhost.configuration import load_configuration
    from polyhost.lab.backtest import Backtest
    from polyhost.lab.plugins import running
    from polyhost.lab.tape import Tape

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        symbols = json.dumps(crowd_symbols(windows))
        file.write(f'[host]\nmode = "paper"\n[markets]\nsymbols = {symbols}\ndurations = ["15m"]\n')
        file.flush()
        loaded = load_configuration(Path(file.name), env={})
    with running(loaded) as plugins:
        backtest = Backtest(loaded.configuration, plugins, loaded.config_hash)
        begin = time.process_time()
        report = backtest.run([Tape(path)])
        return time.process_time() - begin, report


def measure() -> list[dict[str, Any]]:
    micros: dict[int, list[float]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        tapes = {size: write_lines(Path(folder) / f"{size}.jsonl", crowd(size, EACH)) for size in SIZES}
        for _ in range(ROUNDS):
            for size, path in tapes.items():
                seconds, report = once(path, size)
                assert report["invariants"]["broken"] == 0, report["invariants"]
                assert report["windows"] == size, report["windows"]
                micros[size].append(seconds * 1e6 / report["tape"]["lines"])
    median = {size: statistics.median(values) for size, values in micros.items()}
    ratio = max(median.values()) / median[SIZES[0]]
    return [
        {
            "id": "B10", "what": "CPU an event with 1, 4, 16, 64 windows at once, of one window's",
            "us_per_event": {str(size): round(value, 2) for size, value in median.items()}, "ratio": round(ratio, 3),
            "budget": BUDGET, "ok": ratio <= BUDGET,
        }
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
