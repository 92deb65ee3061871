"""A broken invariant of a simulated run: its name, what is wrong, and the ids that its trace is about."""

from __future__ import annotations


class Broken(Exception):  # noqa: N818 a finding, not a fault of the program
    """An invariant does not hold. ``needles``: ids of what it concerns, for the trace."""

    def __init__(self, name: str, text: str, *needles: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
        self.needles = tuple(needle for needle in needles if needle)


def must(holds: bool, name: str, text: object, *needles: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(name, str(text), *needles)
