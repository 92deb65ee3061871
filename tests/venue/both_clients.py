"""The two clients, for the tests that both must pass (CON-19)."""

from __future__ import annotations

import pytest

from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.wire_gateway import WireGateway
from polyhost.venue.second.gateway import SecondGateway

CLIENTS: tuple[type[WireGateway], ...] = (PolymarketGateway, SecondGateway)
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.client_name)
