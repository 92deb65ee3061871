"""What we rely on of a venue client, and the refusal when the installed one is another (CON-19)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import NamedTuple

from polyhost.errors import VenueError


class Relied(NamedTuple):
    """One client as it was tested."""

    distribution: str
    version: str
    surface: Mapping[str, Sequence[str]]
    """Methods that we call, with the parameters we pass."""
    fields: frozenset[str]
    """Of its signed order: all of them go into the journal, so a new one is drift."""
    remedy: str

    def require_version(self, installed: str | None = None) -> None:
        """Raises VenueError unless exactly the tested release is installed."""
        found = metadata.version(self.distribution) if installed is None else installed
        if found != self.version:
            raise self._drifted(f"version {found} is installed, {self.version} is needed")

    def require_surface(self, client: type, fields: frozenset[str]) -> None:
        """Raises VenueError unless the client has every method, parameter and order field we rely on."""
        for name, wanted in self.surface.items():
            method = getattr(client, name, None)
            if method is None:
                raise self._drifted(f"the client has no method {name!r}")
            missing = sorted(set(wanted) - set(inspect.signature(method).parameters))
            if missing:
                raise self._drifted(f"{name}() does not take {', '.join(missing)}")
        if fields != self.fields:
            raise self._drifted(f"the signed order's fields changed ({', '.join(sorted(fields ^ self.fields))})")

    def _drifted(self, problem: str) -> VenueError:
        return VenueError(f"{problem}; {self.remedy}", endpoint=self.distribution)
