"""Bad: what it answers depends on the order of a set of texts, which is another one in every process."""

from __future__ import annotations

from polyhost import Plugin, Signal, View, hookimpl

SOURCES = {f"source {number}" for number in range(50)}


class BySetOrder(Plugin):
    name = "by_set_order"
    description = "Believes its first source."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """The first of its sources decides."""
        first = next(iter(SOURCES))
        return Signal(0.5 + int(first.split()[1]) / 200, 0.5, first)
