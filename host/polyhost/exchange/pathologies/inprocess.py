"""The in-process gateway with faults: an ``InProcessGateway`` whose answers and stream events go through ``Faults``."""

from __future__ import annotations

from polyhost.exchange.core import Exchange
from polyhost.exchange.gateway import InProcessGateway
from polyhost.exchange.pathologies.chance import Pathologies
from polyhost.model.events import Event
from polyhost.model.times import NEVER, MarketMs


class FaultyGateway(InProcessGateway):
    """One account's way to an in-process exchange that misbehaves, in virtual time."""

    def __init__(
        self,
        exchange: Exchange,
        address: str,
        api_key: str,
        seed: int,
        pathologies: Pathologies,
        private_key: bytes | None = None,
    ) -> None:
        super().__init__(exchange, address, api_key, seed, private_key)
        self.pathologies = pathologies

    @property
    def next_due(self) -> int:
        """Market ms at which ``advance`` has something to say; NEVER when nothing is delayed."""
        return NEVER

    def advance(self, now: MarketMs) -> list[Event]:
        """Everything that was held back until now."""
        return []
