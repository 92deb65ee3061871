"""The secrets that plugins' settings refer to, fetched so that they can be looked for where they must not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from polyhost.secret import Unresolved, fetched, references_in


class Known(Struct):
    """What is looked for. Its values are never shown."""

    values: list[str]
    looked_for: list[str]
    """The references whose secrets these are (``env NAME``)."""
    missing: list[str]
    """References whose secrets could not be fetched here: they cannot be looked for."""

    def __repr__(self) -> str:
        return f"Known(looked_for={self.looked_for!r}, missing={self.missing!r})"


def known_secrets(plugins: Mapping[str, Mapping[str, Any]]) -> Known:
    """Those of the tables ``[plugins.NAME]``; a wallet's key is not among them: nobody but its gateway reads it."""
    known = Known([], [], [])
    for reference in references_in(dict(plugins)):
        try:
            known.values.append(fetched(reference))
            known.looked_for.append(reference.reference)
        except Unresolved:
            known.missing.append(reference.reference)
    return known
