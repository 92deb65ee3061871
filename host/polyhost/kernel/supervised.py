"""What the kernel does about the host's own loops: while a safety loop is not alive nothing adds exposure (ORD-15)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.exits import LAST_ORDER_MS, Exits
from polyhost.model.events import LoopChanged
from polyhost.model.words import Side

EXITS: Final = "exits"
"""The loop that watches whether obligations are seen to; a word from it enforces those that are not."""


class Supervised:
    """Takes the supervisor's words."""

    def __init__(self, core: Core, exits: Exits) -> None:
        self.core = core
        self.exits = exits

    def changed(self, event: LoopChanged) -> None:
        """Block or allow, and tell; exits are never touched by it, but for those nobody saw to."""
        core = self.core
        if event.safety and not event.alive:
            core.loops_down[event.name] = event.reason
        else:
            core.loops_down.pop(event.name, None)
        self._tell(event)
        if event.name == EXITS and not event.alive:
            for key, _ in list(self.neglected(core.now)):
                self.exits.obligation(key)

    def _tell(self, event: LoopChanged) -> None:
        if event.alive:
            text = f"Loop {event.name} is alive again; it was not: {event.reason}"
            self.core.notice(f"loop:{event.name}:alive", "info", "host", text)
            return
        wait = "; new entries wait for it" if event.safety else ""
        level = "critical" if event.safety else "warning"
        text = f"Loop {event.name} is not alive and is started again: {event.reason}{wait}"
        self.core.notice(f"loop:{event.name}", level, "host", text)

    def neglected(self, now: int) -> Iterator[tuple[str, int]]:
        """Obligations whose deadline (given too) is past at ``now``, market ms, and that nobody sees to.

        Their positions are neither being sold nor declared held.
        """
        core = self.core
        for key, due in core.state.obligations.items():
            if due >= now:
                continue
            condition_id, _, side = key.rpartition(":")
            position, data = core.state.position(condition_id, Side(side)), core.data.get(condition_id)
            if position is None or position.size <= 0 or position.held or data is None:
                continue
            entry = core.state.markets[condition_id]
            plan = data.exits.get(Side(side))
            if not entry.settled and now <= entry.market.end - LAST_ORDER_MS and (plan is None or plan.urgent is None):
                yield key, due
