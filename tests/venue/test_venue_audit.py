"""The venue's account of a market through the official client (SET-02)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.model import commands
from polyhost.model.events import AuditRow, AuditSeen
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.rows import audit_row
from polyhost.venue.polymarket.wire_gateway import WireGateway

from .both_clients import each_client

KEY = "0x" + "33" * 32


@each_client
def test_set_02_open_and_closed_positions_of_a_market_are_asked_for_within_the_budget(
    client: type[WireGateway],
) -> None:
    """What the client or the venue would refuse is refused here."""
    settings = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(14_400,), density=0.0))

    async def job() -> None:
        async with running(settings, speed=1.0, free_running=True) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY)
            await gateway.connect()
            try:
                name = up.engine.world.listing(False)[-1].condition_id
                assert await gateway.execute(commands.QueryAudit(name)) == [AuditSeen(name, ())]
                assert gateway.budget.calls["query", "audit"] == 2
            finally:
                await gateway.close()

    asyncio.run(job())


@pytest.mark.parametrize(("pnl", "fees", "net"), [("1.5", "0.25", 1_250_000), ("-3", "0.0000005", -3_000_000)])
def test_set_02_fees_of_buys_are_taken_off_the_venues_figure(pnl: str, fees: str, net: int) -> None:
    row: Any = SimpleNamespace(asset_id="11", total_pnl=Decimal(pnl), entry_fees_usdc=Decimal(fees))
    assert audit_row(row) == AuditRow("11", net)
