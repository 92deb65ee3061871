"""B7: cold start of the command line, against ``import polymarket`` in a fresh interpreter; interleaved, medians.

And of the host with its own exchange: from the start of the process until plugins have been asked for the first time,
the exchange's start and its first books included.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROUNDS: Final = 5
BUDGET: Final = 0.25
RUNS: Final = 3
RUN_BUDGET_S: Final = 3.0
RUN_STRETCH_S: Final = 1.5
WAIT_S: Final = 60.0
"""A run that evaluates nothing for so long failed."""
COMMANDS: Final = (("--help",), ("--version",), ("config", "check"))


def as_installed() -> dict[str, str]:
    """The environment in which Python keeps the code that it has compiled, as it does on any machine: the libraries
    that are compared with were compiled when they were installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _seconds(args: list[str], folder: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run(args, cwd=folder, capture_output=True, check=False, env=as_installed())
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - begin


def first_evaluation(host: str, folder: Path) -> float:
    """Seconds from the start of a run in an empty folder until a plugin was asked about a market."""
    from polyhost.service.control_client import NoAnswerError, ask

    data, errors = folder / "data", folder / "run.log"
    begin = time.perf_counter()
    with errors.open("wb") as sink:
        process = subprocess.Popen(
            [host, "run", "--data-dir", str(data)], cwd=folder, stdout=subprocess.DEVNULL, stderr=sink,
            env=as_installed(),
        )
    try:
        while (took := time.perf_counter() - begin) < WAIT_S and process.poll() is None:
            try:
                live = ask(data, "live")
            except NoAnswerError:
                live = {}
            if any(plugin["asked"] for plugin in live.get("plugins", ())):
                return time.perf_counter() - begin
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)
    raise RuntimeError(f"nothing was evaluated within {took:.0f} s: {errors.read_text()[-500:]}")


def _runs(host: str) -> dict[str, Any]:
    seconds = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(first_evaluation(host, Path(folder)))
    took = statistics.median(seconds)
    return {
        "id": "B7", "what": "cold start: polyhost run to the first evaluation, own exchange", "ours_s": round(took, 2),
        "ratio": f"{took:.2f} s", "budget": RUN_BUDGET_S, "stretch": RUN_STRETCH_S, "ok": took <= RUN_BUDGET_S,
    }


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
        *(
            {
                "id": "B7", "what": f"cold start: polyhost {name}", "ours_ms": round(own * 1_000),
                "base_ms": round(base * 1_000), "ratio": round(own / base, 3), "budget": BUDGET,
                "ok": own / base <= BUDGET,
            }
            for name, own in median.items()
        ),
        _runs(host),
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
