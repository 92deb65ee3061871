"""Every gateway keeps the same contract (CON-19): the host can use any of them, and none needs another's types."""

from __future__ import annotations

import inspect

import pytest

from polyhost.venue.contract import ClientGateway, Gateway
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.second.gateway import SecondGateway
from polyhost.venue.standby import Standby

CLIENTS: list[type[ClientGateway]] = [PolymarketGateway, SecondGateway, Standby]
"""mypy compares the signatures; this file's tests compare what is there when it runs."""


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", sorted(name for name in vars(Gateway) if not name.startswith("_")))
def test_con_19_a_client_has_everything_that_the_host_asks_for(client: type[ClientGateway], name: str) -> None:
    wanted, found = vars(Gateway)[name], getattr(client, name)
    if isinstance(wanted, property):
        assert isinstance(found, property)
    else:
        assert inspect.iscoroutinefunction(found)
        assert list(inspect.signature(found).parameters) == list(inspect.signature(wanted).parameters)
