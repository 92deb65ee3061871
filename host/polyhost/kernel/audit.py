"""The venue's own account of a decided market beside ours (SET-02): asked for, written down, told to plugins.

The venue's index lags the chain by minutes: while the figures differ it is asked again, a few times, before they are
told. What difference is worth a word is a plugin's opinion.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.state import PositionEntry
from polyhost.model.commands import QueryAudit
from polyhost.model.events import AuditSeen
from polyhost.model.money import Micros, micros
from polyhost.model.records import AuditTaken
from polyhost.model.words import Side

AUDIT_AFTER_MS: Final = 60_000
"""A market is asked about so long after its result, market ms …"""
AUDIT_AGAIN_MS: Final = 300_000
"""… and again after this, market ms, while the venue does not answer, shows nothing or differs …"""
AUDIT_TRIES: Final = 4
"""… so often in all; then what it shows is told as it is."""
AUDIT_BACK_MS: Final = 86_400_000
"""At a start, markets that ended within this, market ms, are asked about if they were not yet."""
EQUAL: Final[Micros] = micros("0.01")
"""Figures this close are the same: roundings of fees."""


class Audit:
    """Compares every market with an entry of ours, once. Nothing happens when no plugin wants to hear of it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._asked: dict[str, int] = {}
        """Condition id → how often it was asked about in this run."""

    def begin(self) -> None:
        """After a start: what an earlier run did not come to."""
        for condition_id, entry in self.core.state.markets.items():
            if entry.settled and self.core.now - entry.market.end <= AUDIT_BACK_MS:
                self.settled(condition_id)

    def settled(self, condition_id: str) -> None:
        """A market was decided."""
        core, entry = self.core, self.core.state.markets[condition_id]
        if entry.entries and not entry.audited and "on_audit" in core.told_hooks:
            core.at_market(core.now + AUDIT_AFTER_MS, "audit", condition_id)

    def due(self, condition_id: str) -> None:
        """Ask, and again later unless it is done by then."""
        core = self.core
        asked = self._asked.get(condition_id, 0)
        if core.state.markets[condition_id].audited:
            self._asked.pop(condition_id, None)
        elif asked >= AUDIT_TRIES:
            del self._asked[condition_id]
            core.notice(
                "audit_missing", condition_id,
                f"The venue's own account of it could not be had in {AUDIT_TRIES} tries: it was not compared with ours",
                condition_id,
            )
        else:
            self._asked[condition_id] = asked + 1
            core.command(QueryAudit(condition_id))
            core.at_market(core.now + AUDIT_AGAIN_MS, "audit", condition_id)

    def seen(self, event: AuditSeen) -> None:
        """The venue's account of a market."""
        core, entry = self.core, self.core.market(event.condition_id)
        if entry is None or entry.audited or not entry.settled or not event.rows:
            return
        ours = sum(position.pnl for position in self._positions(event.condition_id))
        theirs = sum(row.pnl for row in event.rows)
        last = self._asked.get(event.condition_id, 0) >= AUDIT_TRIES
        pending = event.condition_id in core.state.unsettled.values()
        if not last and (pending or abs(ours - theirs) > EQUAL):
            return
        report = AuditTaken(core.now, event.condition_id, ours, theirs)
        core.record(report)
        core.tell("on_audit", event.condition_id, report)

    def _positions(self, condition_id: str) -> list[PositionEntry]:
        found = (self.core.state.position(condition_id, side) for side in Side)
        return [position for position in found if position is not None]
