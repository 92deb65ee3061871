"""``polyhost status --watch``: the same report again every two seconds, until somebody has seen enough."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from polyhost.errors import JournalError
from polyhost.service.status import described, lines, look

EVERY_S: Final = 2.0
"""Between two looks, wall seconds: as often as a host tells its figures."""


def watched(
    folder: Path, *, as_json: bool = False, console: Console | None = None, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Show it until Ctrl-C; with ``as_json`` one object a line, to a file or pipe block after block. A journal that
    cannot be read just now is told."""
    out = console or Console()
    try:
        if as_json:
            while True:
                print(json.dumps(_report(folder), ensure_ascii=False, separators=(",", ":")), flush=True)
                sleep(EVERY_S)
        if not out.is_terminal:  # a file or a pipe: whole lines, one look after the other
            while True:
                print("\n".join(_lines(folder)), end="\n\n", file=out.file, flush=True)
                sleep(EVERY_S)
        with Live(console=out, auto_refresh=False, screen=True) as live:
            while True:
                live.update(screen(folder, out.height), refresh=True)
                sleep(EVERY_S)
    except KeyboardInterrupt:
        return


def screen(folder: Path, height: int) -> Group:
    """The report, cut to the screen: what is left out is said."""
    told = _lines(folder)
    room = max(height - 1, 5)
    if len(told) > room:
        told = [*told[: room - 1], f"… {len(told) - room + 1} more lines: `polyhost status` shows all"]
    return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in told))


def _lines(folder: Path) -> list[str]:
    try:
        return lines(described(look(folder)))
    except JournalError as error:
        return [str(error)]


def _report(folder: Path) -> dict[str, object]:
    try:
        return described(look(folder))
    except JournalError as error:
        return {"data_dir": str(folder), "problem": str(error)}
