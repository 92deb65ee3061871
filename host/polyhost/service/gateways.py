"""Which way to the venue an account has: the one place that knows every kind of gateway."""

from __future__ import annotations

import hashlib

from polyhost.errors import ConfigError
from polyhost.model.wallets import WalletKind
from polyhost.settings import Configuration
from polyhost.venue.budget import Budget
from polyhost.venue.clients import client_gateway
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import ClientGateway
from polyhost.venue.polymarket.endpoints import Endpoints


def throwaway_key(seed: int, account: str) -> str:
    """The simulator's key of an account: from a seed, so it is no secret and never holds anything real."""
    return "0x" + hashlib.sha256(f"polyhost throwaway key {seed} {account}".encode()).hexdigest()


def gateway_of(settings: Configuration, endpoints: Endpoints, clock: VenueClock, budget: Budget) -> ClientGateway:
    """The gateway of the account that these settings are for; ``connect`` it before anything else.

    Raises ConfigError for a mode that this version does not have.
    """
    if settings.host.mode != "sim":
        raise ConfigError("is not there yet", table="host", key="mode", value=settings.host.mode, allowed=("sim",))
    return client_gateway(
        settings.venue.client, endpoints, throwaway_key(settings.exchange.seed, settings.host.account),
        wallet=WalletKind[settings.venue.wallet.upper()], clock=clock, selftest=False, budget=budget,
    )
