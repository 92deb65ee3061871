"""Which way to the venue an account has: the one place that knows every kind of gateway.

A run speaks to a gateway process, which has the key. Commands that a person gives (doctor, setup approvals, kill) read
the key from its source themselves and hold the client in their own process: ``key_of`` and ``client_gateway_of``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from polyhost.configuration.accounts import account_of
from polyhost.model.events import Event
from polyhost.model.wallet_kinds import WalletKind
from polyhost.service.account_secrets import account_secret
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import Told, needs_key, throwaway_key
from polyhost.service.relaying import relayer_key_of
from polyhost.service.shadow import ShadowGateway
from polyhost.settings import Configuration
from polyhost.venue.budget import Budget
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import Gateway
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.polymarket.endpoints import Endpoints

if TYPE_CHECKING:
    from polyhost.service.paper import Lookup, PaperGateway


class Way(Struct, frozen=True):
    """An account's way to the venue."""

    gateway: Gateway
    """What the host speaks to."""
    process: GatewayProcess
    """What has the key and hears the streams that authenticate."""


# --- in a run ---------------------------------------------------------------------------------------------------------


def gateway_of(settings: Configuration, told: Told, begun: subprocess.Popen[bytes] | None = None) -> Way:
    """The way to the venue of the account that these settings are for, which is no paper account: ``spawn`` its process
    unless it was ``begun`` already, say ``at`` which addresses, then ``connect`` the gateway.
    """
    process = process_of(told, begun)
    return Way(ShadowGateway(process) if settings.host.mode == "shadow" else process, process)


def process_of(told: Told, begun: subprocess.Popen[bytes] | None = None) -> GatewayProcess:
    """The process that is, or was, started with this."""
    return GatewayProcess(told.launch, hide=told.hide, log=told.log, begun=begun)


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


# --- in a person's command --------------------------------------------------------------------------------------------


def key_of(settings: Configuration, endpoints: Endpoints) -> str:
    """The account's private key: the configured one; at an exchange elsewhere one to throw away does.

    Raises ConfigError: it is not where the configuration says, or there is none for the venue itself.
    """
    name, source = settings.host.account, account_of(settings).key
    if source:
        return account_secret(settings, "key", {str(place): text for place, text in source.items()})
    if endpoints.live:
        raise needs_key(settings)
    return throwaway_key(settings.exchange.seed, name)


def client_gateway_of(settings: Configuration, endpoints: Endpoints, clock: VenueClock, budget: Budget) -> Gateway:
    """The account's gateway with its client in this process; ``connect`` it first. Raises ConfigError."""
    from polyhost.venue.clients import guarded_gateway  # a run never holds a client

    client = guarded_gateway(
        settings.venue.client, endpoints, key_of(settings, endpoints),
        wallet=WalletKind[settings.venue.wallet.upper()], clock=clock, budget=budget, relayer=relayer_key_of(settings),
    )
    return ShadowGateway(client) if settings.host.mode == "shadow" else client
