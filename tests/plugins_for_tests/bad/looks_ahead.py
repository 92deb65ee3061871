"""Bad: all its instances share what any of them has ever seen, so that a second pass over a tape knows the first."""

from __future__ import annotations

from typing import ClassVar

from polyhost import Plugin, Signal, View, hookimpl


class LooksAhead(Plugin):
    name = "looks_ahead"
    description = "Knows what the price will have been."
    seen: ClassVar[dict[int, int]] = {}

    @hookimpl
    def signal(self, view: View) -> Signal | None:
        """Towards the price in eight seconds, when a run before this one has seen it."""
        self.seen[view.now] = view.up.mid
        later = self.seen.get(view.now + 8_000)
        return None if later is None else Signal(0.6 if later > view.up.mid else 0.4, 0.5, "I know")
