"""What an account's gateway process is told at its start, from the configuration.

It imports next to nothing, because the process starts before the host is loaded (early).
"""

from __future__ import annotations

import hashlib
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct

from polyhost.configuration.accounts import account_of
from polyhost.errors import ConfigError
from polyhost.model.wallet_kinds import WalletKind
from polyhost.service.folder import DataFolder
from polyhost.service.relayer_source import source_of, variables_of
from polyhost.settings import Configuration
from polyhost.venue.gatekeeper.launch import Launch, Policy, RelayerSource

HOUR_TURNS: Final = 12
"""``hour_max`` when it is 0: ``[limits] total`` put at risk so often, once in each 5-minute window of an hour."""
DAY_TURNS: Final = 8
"""``day_max`` when it is 0: so many such hours."""
NOTHING: Final = Policy(0, 0, 0, ())
"""Of who asks only."""
ACCOUNTS_MAX: Final = 2
"""So many accounts have a whole budget of requests each; the venue counts by address, too: more share what two have."""


class Told(Struct, frozen=True):
    """How a gateway process is started."""

    launch: Launch
    hide: tuple[str, ...]
    """Variables of the environment that are no matter of this account."""
    log: Path


def share_of(accounts: int) -> float:
    """Of the venue's budget of requests, what each of so many accounts has."""
    return min(1.0, ACCOUNTS_MAX / accounts)


def key_variables(settings: Configuration) -> tuple[str, ...]:
    """Variables of the environment that hold the key, or a relayer key, of any account."""
    keys = tuple(table.key["env"] for table in settings.accounts.values() if "env" in table.key)
    relayers = (variables_of(table.relayer) for table in settings.accounts.values())
    return (*keys, *chain.from_iterable(relayers))


def throwaway_key(seed: int, account: str) -> str:
    """The simulator's key of an account: from a seed, so it is no secret and never holds anything real."""
    return "0x" + hashlib.sha256(f"polyhost throwaway key {seed} {account}".encode()).hexdigest()


def needs_key(settings: Configuration) -> ConfigError:
    """The venue itself is asked for with no key to show."""
    where = {"table": f"accounts.{settings.host.account}", "key": "key"}
    return ConfigError("the venue itself needs the account's own key", **where, remedy='{ file = "PATH" }')


def policy_of(settings: Configuration) -> Policy:
    """What the account's gateway process signs; what ``[policy]`` leaves open follows from ``[limits]``."""
    if settings.host.mode == "shadow":
        return NOTHING
    table, limits = settings.policy, settings.limits
    hour = int(table.hour_max) or HOUR_TURNS * int(limits.total)
    return Policy(
        int(table.order_max) or int(limits.window), hour, int(table.day_max) or DAY_TURNS * hour, tuple(table.actions)
    )


def account_told(
    settings: Configuration, folder: DataFolder, *, share: float = 1.0, variables: tuple[str, ...] = ()
) -> Told:
    """Of the account that these settings are for, which is no paper account.

    The key stays where the configuration says; nothing here reads it. ``share``: of the venue's budget of requests.
    ``variables``: of the environment, those that hold any account's key. Raises ConfigError: there is no key for the
    venue itself.
    """
    name, source = settings.host.account, account_of(settings).key
    key = {str(place): text for place, text in source.items()}
    if not key:
        if settings.host.mode != "sim" and not settings.venue.url:
            raise needs_key(settings)
        key = {"throwaway": throwaway_key(settings.exchange.seed, name)}
    return _told(
        settings, folder, name, key, policy_of(settings), WalletKind[settings.venue.wallet.upper()], share=share,
        variables=variables, relayer=source_of(settings),
    )


def prices_told(settings: Configuration, folder: DataFolder) -> Told:
    """Of a process that only hears the reference prices of an exchange elsewhere, which gives them to any key: for a
    host without an account that has one. It trades nothing."""
    name = f"prices of {settings.host.account}"
    key = {"throwaway": throwaway_key(settings.exchange.seed, name)}
    return _told(settings, folder, name, key, NOTHING, WalletKind.EOA)


def _told(
    settings: Configuration, folder: DataFolder, account: str, key: dict[str, str], policy: Policy,
    wallet: WalletKind, *, share: float = 1.0, variables: tuple[str, ...] = (), relayer: RelayerSource | None = None,
) -> Told:
    """``variables``: of the environment; it is given those that hold what it is to read."""
    place = settings.venue.url or ("loopback" if settings.host.mode == "sim" else "live")
    launch = Launch.of(
        folder.path, account=account, key=key, policy=policy, place=place, wallet=wallet, client=settings.venue.client,
        share=share, relayer=relayer,
    )
    hide = tuple(variable for variable in variables if variable not in launch.variables)
    return Told(launch, hide, folder.logs / "gateway.log")
