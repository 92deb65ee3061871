"""Bad: its hook is asynchronous, which the host's are not."""

from __future__ import annotations

from polyhost import Plugin, Signal, View, hookimpl


class Misfit(Plugin):
    name = "misfit"
    description = "Waits for something."

    @hookimpl
    async def signal(self, view: View) -> Signal:
        """Later."""
        return Signal(0.5, 0.0)
