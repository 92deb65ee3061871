"""What the optional feeds said last: the newest value of each source and name, volatile like every price.

A reading wakes nobody: it is there when a market is looked at next.
"""

from __future__ import annotations

from polyhost.model.reading import NAMES_MAX, SOURCES_MAX, Reading, wrong


class Readings:
    """The newest reading of each name, source by source: a source of ever new names crowds out only its own."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Reading]] = {}
        self._shown: tuple[Reading, ...] | None = ()

    def tell(self, source: str, name: str, value: float, at: int, now: int) -> bool:
        """Take a reading at ``now`` (market ms). False: it is none, or is for an earlier time than the one known.

        ``at`` 0 means now, and what is dated ahead counts as of now: an age is never negative.
        """
        if wrong(name, value, at) or wrong(source, 0, 0):
            return False
        known = self._known.get(source)
        if known is None:
            _make_room(self._known, SOURCES_MAX)
            known = self._known[source] = {}
        at = min(at or now, now)
        last = known.get(name)
        if last is not None and at < last.at:
            return False
        if last is None:
            _make_room(known, NAMES_MAX)
        known[name] = Reading(name, float(value), at, source)
        self._shown = None
        return True

    def shown(self) -> tuple[Reading, ...]:
        """All of them; one tuple is shared until a value changes."""
        if self._shown is None:
            self._shown = tuple([reading for known in self._known.values() for reading in known.values()])
        return self._shown


def _make_room(kept: dict[str, Reading] | dict[str, dict[str, Reading]], most: int) -> None:
    if len(kept) >= most:
        del kept[next(iter(kept))]
