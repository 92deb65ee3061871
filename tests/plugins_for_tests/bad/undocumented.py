"""Bad: nobody can tell what it does, or what its setting is measured in."""

from __future__ import annotations

from polyhost import Plugin, Settings, Signal, View, hookimpl


class UndocumentedSettings(Settings):
    threshold: float = 0.3
    depth: int = 3
    """How deep it looks."""


class Undocumented(Plugin):
    name = "undocumented"
    description = "Knows something."
    Settings = UndocumentedSettings
    settings: UndocumentedSettings

    @hookimpl
    def signal(self, view: View) -> Signal:
        """Even."""
        return Signal(0.5, self.settings.threshold, "even")
