"""The in-process gateway: the kernel's commands as requests to the exchange core, its outputs as kernel events."""

from __future__ import annotations

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.times import MarketMs


class InProcessGateway:
    """One account's way to an in-process exchange: for backtests and simulations, in virtual time."""

    def __init__(
        self, exchange: Exchange, address: str, api_key: str, seed: int, private_key: bytes | None = None
    ) -> None:
        """``private_key``: sign and verify one order in 256; None: none is signed (signature "")."""
        self.exchange = exchange
        self.address = address
        self.api_key = api_key

    def execute(self, command: Command, now: MarketMs) -> list[Event]:
        """Do one command; the events of its outputs. Commands that are no gateway's give nothing."""
        raise NotImplementedError

    def events_of(self, outputs: list[api.Output]) -> list[Event]:
        """What outputs (of ``advance``, ``touched``, another account's order …) mean for this account."""
        raise NotImplementedError
