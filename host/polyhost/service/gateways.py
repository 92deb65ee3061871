"""Which way to the venue an account has: the one place that knows every kind of gateway.

A run speaks to a gateway process, which has the key. Commands that a person gives (doctor, setup approvals, kill) read
the key from its source themselves and hold the client in their own process: ``key_of`` and ``client_gateway_of``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from polyhost.configuration.accounts import account_of
from polyhost.errors import ConfigError
from polyhost.model.events import Event
from polyhost.model.wallets import WalletKind
from polyhost.secret import Secret, Unresolved
from polyhost.service.folder import DataFolder
from polyhost.service.logs import REDACTOR
from polyhost.service.relaying import relayer_key_of, source_of, variables_of
from polyhost.service.shadow import ShadowGateway
from polyhost.settings import Configuration
from polyhost.venue.budget import Budget
from polyhost.venue.clients import guarded_gateway
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import Gateway
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.gatekeeper.policy import Policy
from polyhost.venue.gatekeeper.protocol import RelayerSource
from polyhost.venue.polymarket.endpoints import Endpoints

if TYPE_CHECKING:
    from polyhost.service.paper import Lookup, PaperGateway

HOUR_TURNS: Final = 12
"""``hour_max`` when it is 0: ``[limits] total`` put at risk so often, once in each 5-minute window of an hour."""
DAY_TURNS: Final = 8
"""``day_max`` when it is 0: so many such hours."""
NOTHING: Final = Policy(0, 0, 0, ())
"""Of who asks only."""


class Way(Struct, frozen=True):
    """An account's way to the venue."""

    gateway: Gateway
    """What the host speaks to."""
    process: GatewayProcess
    """What has the key and hears the streams that authenticate."""


def throwaway_key(seed: int, account: str) -> str:
    """The simulator's key of an account: from a seed, so it is no secret and never holds anything real."""
    return "0x" + hashlib.sha256(f"polyhost throwaway key {seed} {account}".encode()).hexdigest()


def _needs_key(settings: Configuration) -> ConfigError:
    where = {"table": f"accounts.{settings.host.account}", "key": "key"}
    return ConfigError("the venue itself needs the account's own key", **where, remedy='{ file = "PATH" }')


# --- in a run ---------------------------------------------------------------------------------------------------------


def policy_of(settings: Configuration) -> Policy:
    """What the account's gateway process signs; what ``[policy]`` leaves open follows from ``[limits]``."""
    if settings.host.mode == "shadow":
        return NOTHING
    table, limits = settings.policy, settings.limits
    hour = int(table.hour_max) or HOUR_TURNS * int(limits.total)
    return Policy(
        int(table.order_max) or int(limits.window), hour, int(table.day_max) or DAY_TURNS * hour, tuple(table.actions)
    )


def key_variables(settings: Configuration) -> tuple[str, ...]:
    """Variables of the environment that hold the key, or a relayer key, of any account."""
    keys = tuple(table.key["env"] for table in settings.accounts.values() if "env" in table.key)
    relayers = (variables_of(table.relayer) for table in settings.accounts.values())
    return (*keys, *chain.from_iterable(relayers))


def gateway_of(
    settings: Configuration, folder: DataFolder, *, share: float = 1.0, variables: tuple[str, ...] = ()
) -> Way:
    """The way to the venue of the account that these settings are for, which is no paper account: ``spawn`` its
    process, say ``at`` which addresses, then ``connect`` the gateway.

    The key stays where the configuration says; nothing here reads it. ``share``: of the venue's budget of requests.
    ``variables``: of the environment, those that hold any account's key. Raises ConfigError: there is no key for the
    venue itself.
    """
    name, source = settings.host.account, account_of(settings).key
    key: Mapping[str, str] = {str(place): text for place, text in source.items()}
    if not key:
        if settings.host.mode != "sim" and not settings.venue.url:
            raise _needs_key(settings)
        key = {"throwaway": throwaway_key(settings.exchange.seed, name)}
    process = _process(
        settings, folder, name, key, policy_of(settings), WalletKind[settings.venue.wallet.upper()], share=share,
        variables=variables, relayer=source_of(settings),
    )
    return Way(ShadowGateway(process) if settings.host.mode == "shadow" else process, process)


def price_process(settings: Configuration, folder: DataFolder) -> GatewayProcess:
    """A process that only hears the reference prices of an exchange elsewhere, which gives them to any key: for a host
    without an account that has one. It trades nothing."""
    name = f"prices of {settings.host.account}"
    key = {"throwaway": throwaway_key(settings.exchange.seed, name)}
    return _process(settings, folder, name, key, NOTHING, WalletKind.EOA)


def _process(
    settings: Configuration, folder: DataFolder, account: str, key: Mapping[str, str], policy: Policy,
    wallet: WalletKind, *, share: float = 1.0, variables: tuple[str, ...] = (), relayer: RelayerSource | None = None,
) -> GatewayProcess:
    """``variables``: of the environment; it is given those that hold what it is to read."""
    own = [key, *(relayer.parts.values() if relayer else ())]
    hide = tuple(variable for variable in variables if variable not in {part.get("env") for part in own})
    place = settings.venue.url or ("loopback" if settings.host.mode == "sim" else "live")
    return GatewayProcess(
        folder.path, account=account, key=key, policy=policy, place=place, wallet=wallet,
        client=settings.venue.client, share=share, hide=hide, relayer=relayer,
        log=folder.logs / "gateway.log",
    )


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
        secret = Secret.model_validate(source)
        try:
            secret.resolve()
        except Unresolved as error:
            raise ConfigError(str(error), table=f"accounts.{name}", key="key", remedy=error.remedy) from None
        REDACTOR.add(secret.reveal())
        return secret.reveal()
    if endpoints.live:
        raise _needs_key(settings)
    return throwaway_key(settings.exchange.seed, name)


def client_gateway_of(settings: Configuration, endpoints: Endpoints, clock: VenueClock, budget: Budget) -> Gateway:
    """The account's gateway with its client in this process; ``connect`` it first. Raises ConfigError."""
    client = guarded_gateway(
        settings.venue.client, endpoints, key_of(settings, endpoints),
        wallet=WalletKind[settings.venue.wallet.upper()], clock=clock, budget=budget, relayer=relayer_key_of(settings),
    )
    return ShadowGateway(client) if settings.host.mode == "shadow" else client
