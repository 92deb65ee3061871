"""Liquidity rewards (REW-01): which resting orders score, as the venue says, and what it tells of earnings.

The venue is asked in no hurry: its word is volatile and decides nothing in the kernel. What a day earned becomes a
record, so that it can be told by market and day. What we reckon ourselves is scores.py.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.scores import rests
from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import QueryEarnings, QueryScoring
from polyhost.model.events import EarningsSeen, ScoringSeen
from polyhost.model.records import EarningsReported
from polyhost.model.rewards import SCORES_FROM_MS

SCORING_EVERY_MS: Final = 10_000
"""The venue is asked this often which orders score, market ms …"""
SCORING_APART_MS: Final = 2_000
"""… and never more often than this, wall ms, however fast the market's time runs."""
SCORING_MAX: Final = 100
"""Orders in one question; those of older markets first, the others at a later one."""
EARNINGS_EVERY_MS: Final = 300_000
"""The venue is asked this often what the day brought, market ms …"""
EARNINGS_APART_MS: Final = 10_000
"""… and never more often than this, wall ms."""
DAY_MS: Final = 86_400_000
"""A day (UTC), market ms."""
LAST_DAY_MS: Final = 7_200_000
"""For so long after midnight the day before is asked about too, market ms: it is paid then."""
LONG_AGO: Final = -(1 << 40)


class Scoring:
    """Keeps what the venue says about scores and earnings."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._scoring_wall = LONG_AGO
        self._earnings_wall = LONG_AGO
        self._served = ""
        """Ref of the newest order in the last question: the next one goes on behind it, when not all fitted."""

    def begin(self) -> None:
        """Set the first deadlines; once a run."""
        core = self.core
        core.at_market(core.now + SCORING_EVERY_MS, "scoring", "")
        core.at_market(core.now + SCORING_EVERY_MS, "earnings", "")

    # --- which orders score -------------------------------------------------------------------------------------------

    def due(self) -> None:
        """Time to ask which orders score."""
        core = self.core
        core.at_market(core.now + SCORING_EVERY_MS, "scoring", "")
        if core.wall - self._scoring_wall < SCORING_APART_MS:
            return
        orders = self._asked_about()
        refs = {order.ref for order in orders}
        core.scoring = {ref: scores for ref, scores in core.scoring.items() if ref in refs}
        if orders:
            self._scoring_wall = core.wall
            core.command(QueryScoring(tuple(order.order_id for order in self._next(orders))))

    def _asked_about(self) -> list[OrderEntry]:
        """Resting orders that may score: of markets with a program, rested for long enough."""
        state, now = self.core.state, self.core.now
        return [
            order for condition_id in state.open_refs if state.markets[condition_id].market.reward_rate_day > 0
            for order in state.open_orders(condition_id) if rests(order) and now - order.placed_at >= SCORES_FROM_MS
        ]

    def _next(self, orders: list[OrderEntry]) -> list[OrderEntry]:
        """At most so many as one question takes; those that were not in the last one first."""
        if len(orders) > SCORING_MAX:
            orders = [o for o in orders if o.ref > self._served] + [o for o in orders if o.ref <= self._served]
        chosen = orders[:SCORING_MAX]
        self._served = chosen[-1].ref
        return chosen

    def seen(self, event: ScoringSeen) -> None:
        """The venue's word about orders; of orders that are over, or not ours, it says nothing."""
        for order_id, scores in event.rows:
            order = self.core.state.by_order_id(order_id)
            if order is not None and order.open:
                self.core.scoring[order.ref] = scores

    def said(self) -> dict[str, bool]:
        """The venue's last word about each resting order that it was asked about."""
        return dict(self.core.scoring)

    # --- what a day brought -------------------------------------------------------------------------------------------

    def earnings_due(self) -> None:
        """Time to ask what the day brought (and shortly after midnight, the day before)."""
        core = self.core
        core.at_market(core.now + EARNINGS_EVERY_MS, "earnings", "")
        if not core.state.orders or core.wall - self._earnings_wall < EARNINGS_APART_MS:
            return
        self._earnings_wall = core.wall
        day = core.now // DAY_MS
        core.command(QueryEarnings(day))
        if core.now - day * DAY_MS < LAST_DAY_MS:
            core.command(QueryEarnings(day - 1))

    def earned(self, event: EarningsSeen) -> None:
        """What changed since it was told last becomes a record."""
        core = self.core
        for row in event.rows:
            known = core.state.earned.get(f"{event.day}:{row.condition_id}", (0, 0))
            if known != (row.rewards, row.rebates):
                core.record(EarningsReported(core.now, event.day, row.condition_id, row.rewards, row.rebates))
