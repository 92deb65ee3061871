"""What plugins did: from the running host over its socket, else from what it wrote last, and from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from polyhost.journal import JOURNAL_FILE
from polyhost.journal.place import is_there
from polyhost.service import live_file
from polyhost.service.control_client import NoAnswerError, ask
from polyhost.service.folder import running_pid


class Figures(Struct):
    """Of a data folder's plugins: state (only of a running host, or a quarantine), strikes, time used."""

    by: str
    """Whose words they are: ``host``, ``last host`` or ``nobody``."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, plugin: str) -> dict[str, Any]:
        """Nothing for a plugin that nobody knows."""
        return self.rows.get(plugin, {})


def figures_of(folder: Path) -> Figures:
    """The newest that can be had. Raises JournalError for a journal that cannot be read."""
    running = running_pid(folder) is not None
    if running:
        try:
            return Figures("host", _by_name(ask(folder, "plugins")["plugins"]))
        except NoAnswerError:
            pass  # it is stuck, or has no socket: what it wrote last is at most some seconds old
    live = live_file.read(folder)
    if running and live is not None:
        return Figures("host", _by_name(live.plugins))
    if not is_there(folder / JOURNAL_FILE):
        return Figures("nobody")
    return _from_journal(folder, [] if live is None else live.plugins)


def _from_journal(folder: Path, last: list[dict[str, Any]]) -> Figures:
    """What the last host said of strikes and time; its states are over, but for what the journal keeps."""
    from polyhost.service.status import look

    rows = {name: row | {"state": "", "problem": ""} for name, row in _by_name(last).items()}
    for name, why in look(folder).state.quarantined.items():
        rows[name] = rows.get(name, {}) | {"state": "quarantined", "problem": why}
    return Figures("last host", rows)


def _by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}
