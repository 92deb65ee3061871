"""Liquidity rewards as the venue pays them: read from the account's notifications, told as events.

No stream tells of a payout; a notification of type 5 does, with the transaction that paid. It is told again at every
look as long as the venue shows it: whoever keeps the books takes each transaction once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from loguru import logger

from polyhost.model.events import Event, RewardPaid
from polyhost.model.money import parse_fixed
from polyhost.venue.polymarket.account import ReadError

REWARD: Final = 5
"""The kind of notification."""
EVERY_S: Final = 60.0
"""Between two looks, wall seconds; the venue pays once a day."""
MS_SINCE: Final = 100_000_000_000
"""A timestamp above this is in ms (it would be the year 5138 in seconds)."""


class Payouts:
    """Looks for payouts. ``ask`` gives the account's notifications; what it raises as ReadError is told once."""

    def __init__(
        self, ask: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]], on_event: Callable[[Event], None]
    ) -> None:
        self._ask = ask
        self._on_event = on_event
        self._told: set[str] = set()
        self._failing = False

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look until cancelled; ``beat`` after each look."""
        while True:
            await self.look()
            beat()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """One look: what was paid and not told in this run yet."""
        try:
            rows = await self._ask()
        except ReadError as error:
            logger.log("DEBUG" if self._failing else "WARNING", "notifications not read: {}", error)
            self._failing = True
            return
        self._failing = False
        paid = [event for row in rows if (event := payout_of(row)) is not None and event.ref not in self._told]
        self._told = {*self._told, *(event.ref for event in paid)}
        for event in sorted(paid, key=lambda event: event.paid_at):
            self._on_event(event)


def payout_of(row: Mapping[str, Any]) -> RewardPaid | None:
    """The payout that a notification tells of; None for other kinds, and (told) for one that cannot be understood."""
    if row.get("type") != REWARD:
        return None
    payload = row.get("payload")
    try:
        if not isinstance(payload, dict) or not payload.get("txnHash"):
            raise ValueError("no transaction")
        amount = parse_fixed(str(payload["reward"]), 6, "reward")
        return RewardPaid(str(payload["txnHash"]), amount, _moment_ms(row.get("timestamp")))
    except (KeyError, ValueError) as error:
        logger.warning("a payout of rewards that cannot be understood: {}", error)
        return None


def _moment_ms(value: object) -> int:
    """Seconds, ms or ISO text. Raises ValueError."""
    text = str(value)
    if text.isascii() and text.isdigit():
        return int(text) if int(text) > MS_SINCE else int(text) * 1_000
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
