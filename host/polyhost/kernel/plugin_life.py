"""Plugins that come, go and are put out of service while the host runs: recorded, and heeded from then on.

What a plugin wanted stands no longer than its next evaluation: it is not asked any more, so its targets and quotes end
as those of one that has nothing to say, and positions are left to their obligations.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.outbox import Outbox
from polyhost.kernel.views import funds
from polyhost.model.events import PluginChanged, PluginStruck
from polyhost.model.records import PluginMoved

TIMER_EVERY_MS: Final = 1_000
"""Plugins with a schedule of their own are looked at this often, market ms."""
QUARANTINED: Final = "quarantined"
"""The one change that no operator makes; it stands until one lets the plugin in again, over restarts too."""


class PluginLife:
    """Records the changes and has the kernel's own lists follow them."""

    def __init__(self, core: Core, outbox: Outbox) -> None:
        self.core = core
        self._outbox = outbox
        self._timed = False

    def changed(self, event: PluginChanged) -> None:
        """An operator's change, done already by the shell."""
        core = self.core
        core.record(
            PluginMoved(
                core.now, event.plugin, event.change, event.who, event.why, event.was, event.table, event.version
            )
        )
        core.told_hooks = frozenset(event.told_hooks)
        self.begin()
        self._outbox.serve(event.channels)

    def begin(self) -> None:
        """Look at the plugins' own schedules from now on, if any plugin has one."""
        if "on_timer" in self.core.told_hooks and not self._timed:
            self._timed = True
            self.core.at_market(self.core.now + TIMER_EVERY_MS, "timer", "")

    def timer_due(self) -> None:
        """A second has passed: whose time has come is the shell's matter."""
        core = self.core
        core.tell("on_timer", None, funds(core.state, core.in_positions()) if core.state.opened else None)
        core.at_market(core.now + TIMER_EVERY_MS, "timer", "")

    def struck(self, event: PluginStruck) -> None:
        """A strike: told, and recorded when it put the plugin out of service."""
        core = self.core
        if event.quarantined:
            core.record(PluginMoved(core.now, event.plugin, QUARANTINED, why=event.reason))
        state = "is quarantined" if event.quarantined else "has a strike"
        remedy = f"; let it in again with `polyhost plugins release {event.plugin}`" if event.quarantined else ""
        core.notice(
            "plugin_quarantined" if event.quarantined else "plugin_strike", event.plugin,
            f"Plugin {event.plugin} {state}: {event.reason}{remedy}",
        )
