"""The gateway of a shadow account: it asks the venue, and lets nothing else through.

The kernel of such an account already wants nothing to leave (kernel/blocks.py); this holds whatever the kernel does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from loguru import logger

from polyhost.model import commands
from polyhost.model.batching import single
from polyhost.model.builder import Builder, Credited
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.examination import Approving, Examination
from polyhost.model.market import Market
from polyhost.model.unanswered import never_sent, unanswered
from polyhost.venue.contract import Gateway
from polyhost.venue.polymarket.account import ReadError
from polyhost.venue.polymarket.heartbeats import Beaten

REASON: Final = "shadow mode: nothing is posted"
QUESTIONS: Final = (
    commands.QueryOrder, commands.Sweep, commands.QueryBalance, commands.QueryTokenBalance, commands.QueryPositions,
    commands.QueryScoring, commands.QueryEarnings, commands.QueryAudit, commands.FindMarket, commands.QueryResult,
)
"""All that may leave; a command that is not named here does not."""


class ShadowGateway:
    """Another gateway, of which only the questions are left (venue/contract.py)."""

    def __init__(self, inner: Gateway) -> None:
        self._inner = inner
        self.refused: dict[str, int] = {}
        """Kind of command → how many were held back."""

    @property
    def wallet(self) -> str:
        return self._inner.wallet

    async def connect(self) -> None:
        await self._inner.connect()

    async def reconnect(self) -> None:
        await self._inner.reconnect()

    async def close(self) -> None:
        await self._inner.close()

    async def execute(self, command: Command) -> list[Event]:
        """Ask, or answer that it was not sent."""
        if isinstance(command, QUESTIONS):
            return await self._inner.execute(command)
        kind = type(command).__name__
        self.refused[kind] = self.refused.get(kind, 0) + 1
        logger.warning("{} was not sent ({})", kind, REASON)
        return [event for one in single(command) for event in never_sent(one, REASON) or unanswered(one, REASON)]

    async def warm(self, market: Market) -> bool:
        """Nothing is signed, not even to be thrown away."""
        return False

    async def builder(self, code: str) -> Builder:
        return await self._inner.builder(code)

    async def credited(self, code: str, since_s: int) -> Credited:
        return await self._inner.credited(code, since_s)

    async def balance(self) -> Event:
        return await self._inner.balance()

    async def examine(self, symbols: Sequence[str]) -> Examination:
        return await self._inner.examine(symbols)

    async def approve(self) -> Approving:
        """It is not sent."""
        return Approving(False, REASON, "approve in an account that is live")

    async def heartbeat(self, shown: str) -> Beaten:
        """Raises ReadError: a heartbeat arms a switch that cancels what a person or another host has resting."""
        raise ReadError(REASON)

    async def notifications(self) -> list[Mapping[str, Any]]:
        return await self._inner.notifications()

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """They stay at the venue, for whoever the account belongs to."""
