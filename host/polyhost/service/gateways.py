"""Which way to the venue an account has: the one place that knows every kind of gateway."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from polyhost.configuration.accounts import account_of
from polyhost.errors import ConfigError
from polyhost.model.events import Event
from polyhost.model.wallets import WalletKind
from polyhost.secret import Secret, Unresolved
from polyhost.service.folder import DataFolder
from polyhost.service.logs import REDACTOR
from polyhost.service.shadow import ShadowGateway
from polyhost.settings import Configuration
from polyhost.venue.budget import Budget
from polyhost.venue.clients import client_gateway, guarded_gateway
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import ClientGateway, Gateway
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.endpoints import Endpoints

if TYPE_CHECKING:
    from polyhost.service.paper import Lookup, PaperGateway


class Way(Struct, frozen=True):
    """An account's way to the venue."""

    gateway: Gateway
    """What the host speaks to."""
    client: ClientGateway
    """What has the key, and after ``connect`` the credentials for the streams."""

    @property
    def credentials(self) -> Credentials:
        """Only after ``connect``."""
        return self.client.credentials


def throwaway_key(seed: int, account: str) -> str:
    """The simulator's key of an account: from a seed, so it is no secret and never holds anything real."""
    return "0x" + hashlib.sha256(f"polyhost throwaway key {seed} {account}".encode()).hexdigest()


def key_of(settings: Configuration, endpoints: Endpoints) -> str:
    """The account's private key: the configured one; at an exchange elsewhere one to throw away does.

    Raises ConfigError: it is not where the configuration says, or there is none for the venue itself.
    """
    name, source = settings.host.account, account_of(settings).key
    where = {"table": f"accounts.{name}", "key": "key"}
    if source:
        secret = Secret.model_validate(source)
        try:
            secret.resolve()
        except Unresolved as error:
            raise ConfigError(str(error), **where, remedy=error.remedy) from None
        REDACTOR.add(secret.reveal())
        return secret.reveal()
    if endpoints.live:
        raise ConfigError("the venue itself needs the account's own key", **where, remedy='{ file = "PATH" }')
    return throwaway_key(settings.exchange.seed, name)


def gateway_of(settings: Configuration, endpoints: Endpoints, clock: VenueClock, budget: Budget) -> Way:
    """The way to the venue of the account that these settings are for, which is no paper account; ``connect`` its
    gateway before anything else. Raises ConfigError."""
    client = guarded_gateway(
        settings.venue.client, endpoints, key_of(settings, endpoints),
        wallet=WalletKind[settings.venue.wallet.upper()], clock=clock, budget=budget,
    )
    return Way(ShadowGateway(client) if settings.host.mode == "shadow" else client, client)


def paper_gateway_of(
    settings: Configuration, folder: DataFolder, clock: VenueClock, on_event: Callable[[Event], None],
    catalogue: Lookup,
) -> PaperGateway:
    """The way to the paper exchange of the account that these settings are for; ``connect`` it first.

    ``on_event`` takes what a user stream would bring; ``catalogue`` is where anybody may ask the venue.
    """
    from polyhost.service.paper import PaperGateway  # the exchange is loaded only where it is used
    from polyhost.service.paper_file import PaperFile

    file = PaperFile(folder.paper_state, settings.host.account)
    return PaperGateway(settings, file, clock, on_event, catalogue)


async def price_credentials(
    settings: Configuration, endpoints: Endpoints, clock: VenueClock, budget: Budget
) -> Credentials | None:
    """Credentials for the reference prices where no account has any: an exchange on loopback gives them to a throwaway
    key, which never trades; the live venue to nobody (None). Raises VenueError."""
    if endpoints.live:
        return None
    stranger = client_gateway(
        settings.venue.client, endpoints, throwaway_key(settings.exchange.seed, f"prices of {settings.host.account}"),
        wallet=WalletKind.EOA, clock=clock, selftest=False, budget=budget,
    )
    try:
        await stranger.connect()
        return stranger.credentials
    finally:
        await stranger.close()
