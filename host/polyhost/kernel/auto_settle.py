"""Redeem and merge without being told to (SET-03), where the settings say so. Off by default.

It only ever asks ``Actions`` for what an operator could ask for; nothing waits for it, and what fails is tried again
with growing pauses. A market is redeemed when each of its trades is confirmed or failed: a trade that fails after that
would take back what was paid out already (docs/decisions/0012).
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.actions import Actions
from polyhost.kernel.core import Core
from polyhost.kernel.state import MarketState

LOOK_EVERY_MS: Final = 10_000
"""Markets are looked through this often, market ms, and one action is begun at most: six a minute, of a relayer that
takes 25 (docs api-reference/rate-limits)."""
AGAIN_FIRST_MS: Final = 60_000
"""A market is tried again after this, wall ms; twice as long each further time …"""
AGAIN_MAX_MS: Final = 3_600_000
"""… and never longer than this, wall ms."""
PENDING_TOLD_MS: Final = 1_800_000
"""A trade that is neither confirmed nor failed so long after the result is told, market ms: its market waits."""


class AutoSettle:
    """Begins redeems and merges, one at a time."""

    def __init__(self, core: Core, actions: Actions) -> None:
        self.core = core
        self.actions = actions
        self._tries: dict[str, tuple[int, int]] = {}
        """``kind:condition id`` → how often it was begun, and until when it rests, wall ms."""

    def begin(self) -> None:
        """After the host's start."""
        core, settings = self.core, self.core.settings.settlement
        if not (settings.auto_redeem or settings.auto_merge):
            return
        if core.cannot_act:
            core.notice(
                "action_refused", "auto_settle", f"Nothing is redeemed or merged by itself: {core.cannot_act}"
            )
        else:
            core.at_market(core.now + LOOK_EVERY_MS, "auto_settle", "")

    def look(self) -> None:
        """Begin the next redeem or merge that is due, the oldest market first."""
        core, settings = self.core, self.core.settings.settlement
        core.at_market(core.now + LOOK_EVERY_MS, "auto_settle", "")
        if core.ending or core.reconciling or core.state.open_actions:
            return
        if settings.auto_redeem and any(
            self._redeem(condition_id) for condition_id, pays in core.state.unredeemed.items() if pays > 0
        ):
            return
        if settings.auto_merge:
            any(self._merge(condition_id) for condition_id in list(core.state.exposed))

    def _redeem(self, condition_id: str) -> bool:
        """True when one was begun."""
        core, entry = self.core, self.core.state.markets[condition_id]
        if not entry.settled or not self._rested("redeem", condition_id):
            return False
        if condition_id in core.state.unsettled.values():
            self._waits(entry)
            return False
        refused = self.actions.redeem(condition_id, "redeem_waits", "its market is decided")
        return self._tried("redeem", condition_id, refused)

    def _merge(self, condition_id: str) -> bool:
        core = self.core
        if self.actions.mergeable(condition_id) < core.settings.settlement.merge_min:
            return False
        if not self._rested("merge", condition_id):
            return False
        refused = self.actions.merge(condition_id, None, "auto_merge", "pairs are held")
        return self._tried("merge", condition_id, refused)

    def _rested(self, kind: str, condition_id: str) -> bool:
        return self.core.wall >= self._tries.get(f"{kind}:{condition_id}", (0, 0))[1]

    def _tried(self, kind: str, condition_id: str, refused: str) -> bool:
        if refused:
            return False
        key = f"{kind}:{condition_id}"
        times = self._tries.get(key, (0, 0))[0]
        rest = min(AGAIN_FIRST_MS << min(times, 16), AGAIN_MAX_MS)
        self._tries[key] = (times + 1, self.core.wall + rest)
        return True

    def _waits(self, entry: MarketState) -> None:
        core, market = self.core, entry.market
        if core.now - market.end >= PENDING_TOLD_MS:
            core.notice(
                "redeem_waits", market.condition_id,
                "Not redeemed: a trade is neither confirmed nor failed yet; `polyhost redeem` does it all the same",
                market.condition_id,
            )
