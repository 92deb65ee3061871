"""What the kernel does about the host's own loops: while a safety loop is not alive nothing adds exposure (ORD-15)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.exits import Exits
from polyhost.kernel.legality import LAST_ORDER_MS
from polyhost.model.events import LoopChanged
from polyhost.model.words import Side

SEALED: Final = "sealed"
"""Not a loop: the journal failed, for as long as the process lives."""
HEARTBEAT: Final = "heartbeat"
"""The loop that feeds the venue's dead-man's switch."""
EXITS_FIRST_MS: Final = 10_000
"""After a silence of the dead-man's switch entries wait at most this long, wall ms, for exits to rest again."""
EXITS: Final = "exits"
"""The loop that watches whether obligations are seen to; a word from it enforces those that are not."""


class Supervised:
    """Takes the supervisor's words."""

    def __init__(self, core: Core, exits: Exits, sweep: Callable[[], None]) -> None:
        self.core = core
        self.exits = exits
        self._sweep = sweep
        """Compare orders and trades of the whole account with the venue."""
        self._exits_first: dict[str, int] = {}
        """Positions whose exits the dead-man's switch may have cancelled, and until when (wall ms) they go first."""
        core.exits_first = self.exits_first

    def changed(self, event: LoopChanged) -> None:
        """Block or allow, and tell; exits are never touched by it, but for those nobody saw to."""
        core = self.core
        if event.safety and not event.alive:
            core.loops_down[event.name] = event.reason
        else:
            core.loops_down.pop(event.name, None)
        self._tell(event)
        if event.name == HEARTBEAT and event.alive:
            # The venue cancels everything 10 to 15 s after the last one; what it did to us must not be guessed.
            self._exits_before_entries()
            self._sweep()
        if event.name == EXITS and not event.alive:
            for key, _ in list(self.neglected(core.now)):
                self.exits.obligation(key)

    # --- the dead-man's switch ----------------------------------------------------------------------------------------

    def began(self) -> None:
        """A run begins: while no host ran, nobody fed the switch."""
        if self.core.settings.safety.dead_man:
            self._exits_before_entries()

    def _exits_before_entries(self) -> None:
        until = self.core.wall + EXITS_FIRST_MS
        self._exits_first = dict.fromkeys(self._open_positions(), until)

    def _open_positions(self) -> Iterator[str]:
        state = self.core.state
        for position in state.positions.values():
            if position.size > 0 and not position.held and not state.markets[position.condition_id].settled:
                yield f"{position.condition_id}:{position.side.value}"

    def exits_first(self) -> str:
        """Which positions still wait for their exits to rest again, or an empty string."""
        waiting = [key for key, until in self._exits_first.items() if self.core.wall < until and self._bare(key)]
        return f"{len(waiting)} positions wait for their exits to rest again" if waiting else ""

    def _bare(self, key: str) -> bool:
        """No exit rests, none is under way, and nobody has said that none shall."""
        condition_id, _, text = key.rpartition(":")
        side, core = Side(text), self.core
        position, data = core.state.position(condition_id, side), core.data.get(condition_id)
        if position is None or position.size <= 0 or position.held or data is None:
            return False
        if core.state.markets[condition_id].settled or core.open_sells(condition_id, side):
            return False
        plan = data.exits.get(side)
        return plan is None or not plan.spoken or plan.target is not None

    # --- loops --------------------------------------------------------------------------------------------------------

    def _tell(self, event: LoopChanged) -> None:
        if event.name == SEALED:
            text = f"Nothing is entered any more, cancels and sells go on: the journal failed ({event.reason})"
            self.core.notice(SEALED, "", text)
            return
        if event.alive:
            text = f"Loop {event.name} is alive again; it was not: {event.reason}"
            self.core.notice("loop_alive", event.name, text)
            return
        wait = "; new entries wait for it" if event.safety else ""
        text = f"Loop {event.name} is not alive and is started again: {event.reason}{wait}"
        self.core.notice("loop_dead_safety" if event.safety else "loop_dead", event.name, text)

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
