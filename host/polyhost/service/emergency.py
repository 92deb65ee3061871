"""The venue reached without a host: for a kill, when the host or its gateway is gone, busy or half-broken (ORD-17).

The client that the host does not trade with goes first (CON-19): what broke the one need not break the other. The key
comes from the same source as the host's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from polyhost.configuration import Loaded
from polyhost.errors import VenueError
from polyhost.kernel.state import State
from polyhost.model.money import money_text
from polyhost.model.wallet_kinds import WalletKind
from polyhost.service.folder import DataFolder
from polyhost.service.gateways import key_of
from polyhost.venue.clients import client_gateway, guarded_gateway, other_client
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import ClientGateway
from polyhost.venue.polymarket.endpoints import LIVE, Endpoints, endpoints_at
from polyhost.venue.polymarket.reach import require_exchange


def endpoints_of(loaded: Loaded, folder: Path) -> Endpoints | None:
    """The venue that the configuration names, else the exchange that the running host started; None: there is none."""
    if loaded.configuration.venue.url:
        return endpoints_at(loaded.configuration.venue.url)
    if loaded.configuration.host.mode == "live":
        return LIVE
    for place in (folder, folder.parent):  # of several accounts the host's folder is the one above
        try:
            ready = json.loads(DataFolder(place).exchange_ready.read_text(encoding="utf-8"))
            return endpoints_at(str(ready["url"]), str(ready["ws_url"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no exchange of this host's is up
    return None


@asynccontextmanager
async def emergency_gateway(loaded: Loaded, endpoints: Endpoints) -> AsyncIterator[tuple[str, ClientGateway]]:
    """A connected gateway and its client's name. Raises VenueError (or ConfigError for the key) when neither connects.
    """
    settings = loaded.configuration
    if not endpoints.live:
        await require_exchange(endpoints)
    key = key_of(settings, endpoints)
    problems = []
    for client in (other_client(settings.venue.client), settings.venue.client):
        try:
            gateway = client_gateway(
                client, endpoints, key, wallet=WalletKind[settings.venue.wallet.upper()], clock=VenueClock(),
                selftest=False,
            )
            await gateway.connect()
        except VenueError as error:
            logger.warning("{} does not reach the venue: {}", client, error)
            problems.append(str(error))
            continue
        try:
            yield client, gateway
        finally:
            await gateway.close()
        return
    raise VenueError("; ".join(problems), endpoint=endpoints.clob)


async def both_clients(loaded: Loaded, endpoints: Endpoints, state: State) -> dict[str, Any]:
    """What each client sees of open orders, trades and collateral, beside the ledger. Raises VenueError.

    ``agree``: the clients say the same, and it is what the ledger has (collateral while nothing is in flight).
    """
    settings = loaded.configuration
    if not endpoints.live:
        await require_exchange(endpoints)
    gateway = guarded_gateway(
        settings.venue.client, endpoints, key_of(settings, endpoints), wallet=WalletKind[settings.venue.wallet.upper()],
        clock=VenueClock(),
    )
    try:
        await gateway.connect()
        seen = await gateway.witness()
    finally:
        await gateway.close()
    ledger = state.balance("free") + state.balance("reserved")
    quiet = not state.unsettled and not any(state.open_refs.values())
    books = seen.main.collateral == ledger or not quiet
    return {
        "agree": seen.agree and books, "ledger": money_text(ledger), "quiet": quiet,
        "lines": [f"witness: {seen.main.said()}", f"witness: {seen.other.said()}",
                  f"ledger: {sum(map(len, state.open_refs.values()))} open orders of ours, {money_text(ledger)}"],
    }
