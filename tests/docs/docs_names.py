"""Names that pages tell of, looked up in the code."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def found(dotted: str) -> Any:
    """What a dotted name below polyhost means; AttributeError or ImportError for nothing."""
    parts = dotted.split(".")
    for split in range(len(parts), 0, -1):
        try:
            place: Any = import_module(".".join(("polyhost", *parts[:split])))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            place = getattr(place, name)
        return place
    raise ImportError(dotted)
