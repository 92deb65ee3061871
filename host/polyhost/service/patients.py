"""Whom the doctor looks at: an account of a configuration, with the exchange and the gateway that it needs for it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from polyhost.configuration import Loaded
from polyhost.configuration.accounts import account_of
from polyhost.errors import ConfigError, VenueError
from polyhost.model.wallet_kinds import WalletKind
from polyhost.service.checkup.check import Depends, Subject
from polyhost.service.exchange_child import ExchangeChild, ready_at
from polyhost.service.folder import DataFolder, running_pid
from polyhost.service.gateways import client_gateway_of, key_of
from polyhost.venue.budget import Budget
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import Gateway
from polyhost.venue.polymarket.endpoints import LIVE, Endpoints, endpoints_at
from polyhost.venue.polymarket.http import budget_scale
from polyhost.venue.polymarket.wire_gateway import address_of
from polyhost.wording import toml_text

NOWHERE: Final = endpoints_at("http://127.0.0.1:9")
"""Nothing is asked there: why not stands beside it."""


class Reached(Protocol):
    """The account of a host that starts: its gateway process has the key, and is examined as it is."""

    async def reach(self) -> Gateway:
        """Its gateway, connected. Raises ConfigError or VenueError."""
        ...

    def owner(self) -> str:
        """The key's own address, once it is reached."""
        ...


@asynccontextmanager
async def patient(loaded: Loaded, starting: Reached | None = None) -> AsyncIterator[Subject]:
    """The account of this configuration, for the length of the block.

    In sim mode without an exchange elsewhere: the running host's, else one of its own that is thrown away afterwards.
    ``starting``: the host asks itself before it begins; its own gateway is looked at. Else one with the client in this
    process, which reads the key where it is.
    """
    settings = loaded.configuration
    folder = DataFolder(Path(settings.host.data_dir))
    running = running_pid(folder.path)
    async with AsyncExitStack() as stack:
        endpoints, unreached = NOWHERE, ""
        try:
            endpoints = await _endpoints(loaded, folder, running, stack)
        except VenueError as error:
            # The rest of the machine is looked at all the same.
            unreached = str(error)
        kind = WalletKind[settings.venue.wallet.upper()]

        async def address() -> str:
            return address_of(key_of(settings, endpoints)) if starting is None else await _owner(starting)

        async def open_way() -> Gateway:
            if starting is not None:
                return await starting.reach()
            clock = VenueClock()
            gateway = client_gateway_of(settings, endpoints, clock, Budget(scale=lambda: budget_scale(clock)))
            stack.push_async_callback(gateway.close)
            await gateway.connect()
            return gateway

        yield Subject(
            loaded, settings.host.account, settings.host.mode, kind, *_named(loaded), folder.path, running,
            starting is not None, endpoints, unreached, address, open_way,
        )


async def _owner(starting: Reached) -> str:
    """The key's address. ConfigError: there is no key, or it is none. Raises Depends where something else fails."""
    try:
        await starting.reach()
    except VenueError as error:
        raise Depends("credentials") from error
    except ConfigError as error:
        if (named := error.key.partition(".")[0]) in ("wallet", "relayer"):
            raise Depends(named) from error
        raise
    return starting.owner()


def _named(loaded: Loaded) -> tuple[str, str]:
    """Where the key comes from, and which setting says what kind of wallet it has."""
    settings = loaded.configuration
    account = account_of(settings)
    key = toml_text(account.key) if account.key else "the simulator's throwaway key"
    return key, f"[accounts.{settings.host.account}] wallet" if account.wallet else "[venue] wallet"


async def _endpoints(loaded: Loaded, folder: DataFolder, running: int | None, stack: AsyncExitStack) -> Endpoints:
    settings = loaded.configuration
    if settings.venue.url:
        return endpoints_at(settings.venue.url)
    if settings.host.mode != "sim":
        return LIVE
    told = ready_at(folder.exchange_ready) if running is not None else None
    if told is not None:
        return endpoints_at(told["url"], told["ws_url"])
    own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="polyhost-doctor-")))
    child = await ExchangeChild.start(settings, own / "exchange.state", own / "exchange.ready", own / "exchange.log")
    stack.push_async_callback(child.stop)
    return endpoints_at(child.url, child.ws_url)
