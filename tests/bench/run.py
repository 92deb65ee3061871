"""``make bench``: every budget that is measured, one JSON line a row, then a table. Writes nothing else.

``python tests/bench/run.py [B1 B2 …]`` measures all, or only the budgets named. Each runs in a process of its own, so
that none warms, slows or stops another. Exit code 1 when a measurement itself failed; a figure over its budget is told,
not an error: machines differ.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

HERE: Final = Path(__file__).parent
MODULES: Final[dict[str, str]] = {
    "B1": "bench_feed",
    "B2": "bench_backtest",
    "B4": "bench_order",
    "B5": "bench_burst",
    "B6": "bench_simulation",
    "B7": "bench_start",
    "B8": "bench_memory",
    "B9": "bench_restart",
    "B10": "bench_windows",
    "B11": "bench_hooks",
    "B12": "bench_journal",
}
TIMEOUT_S: Final = 180.0
"""A measurement that takes longer hangs …"""
LONGER_S: Final[dict[str, float]] = {"bench_memory": 3_600.0}
"""… but one of 24 simulated hours."""
MEASURE: Final = (
    "import importlib, json, sys; from loguru import logger; logger.remove(); "
    "print(json.dumps(importlib.import_module(sys.argv[1]).measure()))"
)


def measured(budget: str, module: str) -> list[dict[str, Any]]:
    """The rows of one budget; a row that says why when it cannot be measured."""
    if not (HERE / f"{module}.py").exists():
        return [{"id": budget, "what": module, "skipped": "not part of this build"}]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        code = _finished(module, out, errors)
        out.seek(0)
        errors.seek(0)
        if code is None:
            return [{"id": budget, "what": module, "failed": f"no result within {limit_s(module):.0f} s"}]
        if code:
            reason = (errors.read().strip().splitlines() or ["no reason given"])[-1]
            return [{"id": budget, "what": module, "failed": reason}]
        text = out.read()
    found = json.loads(text.splitlines()[-1])
    return found if isinstance(found, list) else [found]


def limit_s(module: str) -> float:
    """Wall seconds that a measurement may take."""
    return LONGER_S.get(module, TIMEOUT_S)


def _finished(module: str, out: IO[str], errors: IO[str]) -> int | None:
    """Measure in a session of its own; its exit code, None when it took too long. Nothing it started outlives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURE, module],
        stdout=out,
        stderr=errors,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        start_new_session=True,
    )
    try:
        return process.wait(limit_s(module))
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'':4} {'what':64} {'figure':>12} {'budget':>9}"]
    for row in rows:
        figure = row.get("skipped") or row.get("failed") or row.get("ratio", "")
        verdict = "" if "ok" not in row else ("ok" if row["ok"] else "over")
        what = str(row.get("what", ""))[:64]
        lines.append(f"{row['id']:4} {what:64} {figure!s:>12} {row.get('budget', '')!s:>9} {verdict}")
    return lines


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in MODULES]
    if unknown:
        print(f"unknown budgets {', '.join(unknown)}; there are {', '.join(MODULES)}", file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    for budget in wanted or MODULES:
        for row in measured(budget, MODULES[budget]):
            row = {"id": budget, "what": MODULES[budget], **row}
            rows.append(row)
            print(json.dumps(row), flush=True)
    print("\n".join(table(rows)))
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
