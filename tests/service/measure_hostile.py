"""Writes docs/hostile-plugins.md: how late each hostile plugin makes a forced close on the wall clock of this machine.

``python tests/service/measure_hostile.py`` runs a host beside each of them in turn, a minute and a half in all.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from loguru import logger

from polyhost.configuration import load_configuration
from polyhost.service.folder import DataFolder
from polyhost.service.session import Session

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "hostile-plugins.md"
BEGIN: Final = "| --- | --- | --- | --- |\n"


def measured(deadlines: Any, name: str) -> int:
    """Wall ms by which the first forced close of a run beside this plugin was late; 0: it was not."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        loaded = load_configuration(deadlines.configuration(folder, [name]))
        with DataFolder(folder / "data") as data:
            enforced, idle = asyncio.run(deadlines.watched(Session(loaded, data)))
    print(f"{name}: {max(enforced):.1f} ms late, an idle thread {max(idle):.1f} ms")
    return max(round(max(enforced)), 0)


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    logger.remove()
    deadlines = importlib.import_module("service.test_service_deadlines")
    late = {name: "-" if name == "raises" else str(measured(deadlines, name)) for name in deadlines.NAMES}
    head, _, rows = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    told = {row.split("`")[1]: [cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()}
    lines = [f"| `{name}` | {told[name][1]} | {told[name][2]} | {late[name]} |\n" for name in deadlines.NAMES]
    PAGE.write_text(head + BEGIN + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
