"""The paper exchange's state on the disk: a snapshot, and beside it what every change since has left.

Written before the host is told of the change, so that a kill of the process loses no paper order and no fill. What is
written is the operating system's when the call returns (a power cut may lose what came after the last snapshot, as at
the simulated exchange, decision 0005). A line holds the rows of the markets that changed, not the whole state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from polyhost.errors import ConfigError
from polyhost.exchange.server.store import Kept, StateError, Store
from polyhost.service.paper_venue import PaperVenue, restored

LINES_MAX: Final = 5_000
"""After so many changes the snapshot is written anew and the log begins again; a line has some thousand bytes."""


class PaperFile:
    """One account's paper state. Only one process at a time may have it: the data folder's lock sees to that."""

    def __init__(self, path: Path, account: str) -> None:
        self.path = path
        self._account = account
        self._store = Store(path)
        self._lines = 0
        self._behind = False
        """A write failed: only a whole snapshot is right again."""

    def load(self) -> dict[str, Any] | None:
        """The state as the last run left it; None: there is none yet. ConfigError: it is not this account's, or broken.
        """
        try:
            stored = self._store.load()
            if stored is None:
                return None
            data, entries = stored
            if data.get("account") != self._account:
                raise StateError(f"{self.path} belongs to the account {data.get('account')!r}, not {self._account!r}")
            return restored(data["exchange"], [(each.markets, each.part) for each in entries if isinstance(each, Kept)])
        except (StateError, KeyError, TypeError) as error:
            raise ConfigError(
                f"the paper account cannot go on: {error}", file=str(self.path), remedy="move it away, or use --fresh"
            ) from error

    def keep(self, venue: PaperVenue) -> None:
        """Write what changed; nothing when nothing did. Raises OSError: then nothing of it may be told."""
        changed = venue.changes()
        if self._behind or (changed is not None and self._lines >= LINES_MAX):
            self.save(venue)
        elif changed is not None:
            markets, part = changed
            self._behind = True
            self._store.append(Kept(tuple(sorted(markets)), part))
            self._behind = False
            self._lines += 1

    def save(self, venue: PaperVenue) -> None:
        """Write the whole state and begin the log anew. Raises OSError."""
        self._behind = True
        venue.changes()
        self._store.save({"account": self._account, "exchange": venue.save()})
        self._behind = False
        self._lines = 0

    def close(self) -> None:
        self._store.close()
