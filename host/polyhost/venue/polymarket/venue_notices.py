"""What the venue notifies the account of (NOT-03): read on a cadence, told as events, dropped when they were used.

A notification is one more witness of a fill, a cancellation, a result or a payout; no stream tells of payouts at all.
What concerns nothing of ours (trades by hand, comments) stays where it is, for whom it concerns, and is told nobody.
A used one is dropped only when the records that it led to are durable: a kill in between reads it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from loguru import logger

from polyhost.errors import VenueError
from polyhost.model.events import Event, RewardPaid, VenueNoticed
from polyhost.venue.polymarket.account import ReadError
from polyhost.venue.polymarket.payouts import payout_of

EVERY_S: Final = 20.0
"""Between two looks, wall seconds: the user stream and the minute's comparison are faster."""
KINDS: Final[Mapping[int, str]] = {1: "cancelled", 2: "filled", 4: "resolved", 8: "fill_failed"}
"""Type of a notification → what it says of an order or a market (polymarket.md 3.2)."""
SEEN_MAX: Final = 5_000
"""Notifications remembered as told; the oldest are forgotten beyond it (the exchange keeps 1,000)."""


class Keeper(Protocol):
    """The host, as far as notifications are about it."""

    def concerns(self, event: Event) -> bool:
        """Is it about an order, a market or an account of ours?"""

    def record_seq(self) -> int:
        """Number of the last record."""

    def durable_seq(self) -> int:
        """Records up to here are on the disk."""


class VenueNotices:
    """Reads, tells and drops. ``ask`` and ``drop`` raise ReadError (or VenueError), which is told once."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]],
        drop: Callable[[Sequence[int]], Awaitable[None]],
        on_event: Callable[[Event], None],
        keeper: Keeper,
    ) -> None:
        self._ask = ask
        self._drop = drop
        self._on_event = on_event
        self._keeper = keeper
        self._seen: dict[object, None] = {}
        """Ids of what was told in this run; of payouts their transactions."""
        self._used: dict[int, int] = {}
        """Id → the record that must be durable before it is dropped."""
        self._failing = False

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look until cancelled; ``beat`` after each look."""
        while True:
            await self.look()
            beat()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Drop what is done with, and take what is new."""
        try:
            await self._drop_used()
            rows = await self._ask()
        except (ReadError, VenueError) as error:
            logger.log("DEBUG" if self._failing else "WARNING", "notifications not read: {}", error)
            self._failing = True
            return
        self._failing = False
        self._take(rows)

    async def _drop_used(self) -> None:
        durable = self._keeper.durable_seq()
        done = [ident for ident, seq in self._used.items() if seq <= durable]
        if done:
            await self._drop(done)
            for ident in done:
                del self._used[ident]

    def _take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        found: list[tuple[Any, Event]] = []
        for row in rows:
            event = event_of(row)
            if event is None:
                continue
            key = event.ref if isinstance(event, RewardPaid) else row.get("id")
            if key not in self._seen:
                self._remember(key)
                if self._keeper.concerns(event):
                    found.append((row.get("id"), event))
        for ident, event in sorted(found, key=lambda one: one[1].paid_at if isinstance(one[1], RewardPaid) else 0):
            self._on_event(event)
            if isinstance(ident, int):
                self._used[ident] = self._keeper.record_seq()

    def _remember(self, key: object) -> None:
        if len(self._seen) >= SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None


def event_of(row: Mapping[str, Any]) -> Event | None:
    """What a notification says; None for kinds that concern no trading, and for one that cannot be understood."""
    kind, payload = KINDS.get(row.get("type", 0), ""), row.get("payload")
    if not kind:
        return payout_of(row)
    if not isinstance(payload, Mapping):
        return None
    order_id, trade_id = str(payload.get("order_id") or ""), str(payload.get("trade_id") or "")
    condition_id = str(payload.get("market") or payload.get("condition_id") or payload.get("conditionId") or "")
    if not (condition_id if kind == "resolved" else order_id):
        return None
    return VenueNoticed(kind, order_id, condition_id, trade_id)
