"""``make bench``: every budget that is measured, one JSON line a row, then a table. Writes nothing else.

``python tests/bench/run.py [B1 B2 …]`` measures all, or only the budgets named. Exit code 1 when a measurement itself
failed; a figure over its budget is told, not an error: machines differ.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from loguru import logger

MODULES: Final[dict[str, str]] = {
    "B1": "bench_feed",
    "B2": "bench_backtest",
    "B4": "bench_order",
    "B7": "bench_start",
    "B11": "bench_hooks",
    "B12": "bench_journal",
}


def measured(budget: str, module: str) -> list[dict[str, Any]]:
    """The rows of one budget; a row that says why when it cannot be measured."""
    if find_spec(module) is None:
        return [{"id": budget, "what": module, "skipped": "not part of this build"}]
    try:
        rows: list[dict[str, Any]] = import_module(module).measure()
    except Exception as error:  # one broken measurement must not hide the others' figures
        return [{"id": budget, "what": module, "failed": f"{type(error).__name__}: {error}"}]
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'':4} {'what':64} {'figure':>12} {'budget':>9}"]
    for row in rows:
        figure = row.get("skipped") or row.get("failed") or row.get("ratio", "")
        verdict = "" if "ok" not in row else ("ok" if row["ok"] else "over")
        lines.append(f"{row['id']:4} {row['what'][:64]:64} {figure!s:>12} {row.get('budget', '')!s:>9} {verdict}")
    return lines


def main(wanted: list[str]) -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    logger.remove()
    unknown = [name for name in wanted if name not in MODULES]
    if unknown:
        print(f"unknown budgets {', '.join(unknown)}; there are {', '.join(MODULES)}", file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    for budget in wanted or MODULES:
        for row in measured(budget, MODULES[budget]):
            rows.append(row)
            print(json.dumps(row), flush=True)
    print("\n".join(table(rows)))
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
