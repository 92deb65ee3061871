"""Bad: it reads a file while the market waits."""

from __future__ import annotations

from pathlib import Path

from polyhost import Plugin, Signal, View, hookimpl


class ReadsAFile(Plugin):
    name = "reads_a_file"
    description = "Asks its own source how long it is."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """The longer, the surer."""
        return Signal(0.6, min(len(Path(__file__).read_text()) / 10_000, 1.0), "by length")
