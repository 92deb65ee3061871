"""A client's gateway by its name. A client is imported only when it is asked for: the other must work without it."""

from __future__ import annotations

import asyncio
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from polyhost.errors import ConfigError, VenueError
from polyhost.model.clients import DEAD, DEAD_REMEDY, FIRST, SECOND, living_client
from polyhost.model.relayer import RelayerKey
from polyhost.model.wallet_kinds import WalletKind
from polyhost.venue.budget import Budget
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import ClientGateway
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.standby import Standby

if TYPE_CHECKING:
    from polyhost.venue.polymarket.selftest import Rehearsal

_HOMES: Final = {
    FIRST: ("polyhost.venue.polymarket", "PolymarketGateway"),
    SECOND: ("polyhost.venue.second", "SecondGateway"),
}


def other_client(client: str) -> str:
    """The one that stands by."""
    return FIRST if client == SECOND else SECOND


def client_gateway(
    client: str,
    endpoints: Endpoints,
    private_key: str,
    *,
    wallet: WalletKind = WalletKind.EOA,
    clock: VenueClock | None = None,
    selftest: bool = True,
    budget: Budget | None = None,
    relayer: RelayerKey | None = None,
    fast: bool = False,
    rehearsal: Rehearsal | None = None,
) -> ClientGateway:
    """The gateway of a client, not connected. ConfigError: no such client; VenueError: it cannot be imported.

    ``relayer``: what a contract wallet's transactions are sent with. ``fast``: the first client's gateway signs without
    it, where its self-test found no difference. ``rehearsal``: that test, where it was made before.
    """
    kind = getattr(_imported(client, "gateway"), _HOMES[client][1])
    more = {"fast": fast, "rehearsal": rehearsal} if client == FIRST else {}
    found: ClientGateway = kind(
        endpoints, private_key, wallet=wallet, clock=clock, selftest=selftest, budget=budget, relayer=relayer,
        **more,
    )
    return found


def guarded_gateway(
    client: str,
    endpoints: Endpoints,
    private_key: str,
    *,
    wallet: WalletKind = WalletKind.EOA,
    clock: VenueClock | None = None,
    budget: Budget | None = None,
    selftest: bool = False,
    relayer: RelayerKey | None = None,
    fast: bool = False,
    rehearsal: Rehearsal | None = None,
) -> Standby:
    """The order client's gateway, not connected, with the other client standing by; that one cancels and reads only.

    ``relayer``, ``fast`` and ``rehearsal``: see client_gateway.
    """
    main = client_gateway(
        client, endpoints, private_key, wallet=wallet, clock=clock, selftest=selftest, budget=budget, relayer=relayer,
        fast=fast, rehearsal=rehearsal,
    )
    behind = other_client(client)

    def other() -> ClientGateway:
        return client_gateway(
            behind, endpoints, private_key, wallet=wallet, clock=clock, selftest=False, budget=main.budget
        )

    return Standby(main, other, (client, behind))


async def client_selftest(client: str) -> None:
    """Is it the tested release, and does it sign what we hash? Raises VenueError, or ConfigError for no such client."""
    tell_of_the_dead_client()
    test = _imported(client, "selftest").signing_selftest
    if asyncio.iscoroutinefunction(test):
        await test()
    else:
        await asyncio.to_thread(test)


async def rehearsed(client: str, private_key: str, wallet: WalletKind) -> Rehearsal | None:
    """The first client's self-tests, made before anybody says where the venue is; None: of this client or wallet there
    are none. Raises as ``connect`` of its gateway.
    """
    if client != FIRST or wallet is WalletKind.DEPOSIT:
        return None
    made: Rehearsal = _imported(client, "gateway").rehearsal_of(private_key, wallet)
    await made.run()
    return made


def load(client: str) -> None:
    """Import the client: most of a second. Raises as ``client_gateway``."""
    _imported(client, "gateway")


def _imported(client: str, module: str) -> Any:
    try:
        living_client(client)
    except ValueError as error:
        raise ConfigError(str(error), table="venue", key="client", value=client) from error
    if client not in _HOMES:
        raise ConfigError("names no client", table="venue", key="client", value=client, allowed=tuple(_HOMES))
    try:
        return import_module(f"{_HOMES[client][0]}.{module}")
    except ImportError as error:
        raise VenueError(f"the client cannot be imported ({error}); pip install it again", endpoint=client) from error


def tell_of_the_dead_client() -> None:
    """A warning where py-clob-client is installed: nobody here uses it, and nothing that it signs is taken."""
    try:
        version = metadata.version(DEAD)
    except metadata.PackageNotFoundError:
        return
    told = f"{DEAD} {version} is installed: it {DEAD_REMEDY}. Nothing here uses it; pip uninstall {DEAD}"
    logger.warning("{}", told)
