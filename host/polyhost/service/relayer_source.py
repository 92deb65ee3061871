"""Where the relayer key of an account's contract wallet is (relaying says what it is for).

It imports next to nothing, because the gateway process is told before the host is loaded (early).
"""

from __future__ import annotations

import hashlib

from polyhost.configuration.accounts import account_of
from polyhost.model.relayer import SECRET_PARTS
from polyhost.settings import Configuration, RelayerTable
from polyhost.venue.gatekeeper.launch import RelayerSource


def source_of(settings: Configuration) -> RelayerSource | None:
    """Where the account's relayer key is; None: it has none, or needs none.

    A simulated exchange takes any key: there an account without one gets one to throw away.
    """
    if not sends(settings):
        return None
    table = table_of(settings)
    if table is not None:
        parts = {name: {str(place): text for place, text in getattr(table, name).items()} for name in SECRET_PARTS}
        return RelayerSource({name: reference for name, reference in parts.items() if reference}, table.address)
    if settings.host.mode == "sim" or not account_of(settings).key:
        return RelayerSource({"key": {"throwaway": _throwaway(settings)}})
    return None


def variables_of(table: RelayerTable | None) -> tuple[str, ...]:
    """Variables of the environment that hold a part of it."""
    parts = () if table is None else (table.key, table.secret, table.passphrase)
    return tuple(part["env"] for part in parts if "env" in part)


def table_of(settings: Configuration) -> RelayerTable | None:
    """The account's table of it; None: there is none."""
    return account_of(settings).relayer


def sends(settings: Configuration) -> bool:
    """Does the account have transactions that the relayer sends? Paper and shadow accounts send none."""
    return settings.venue.wallet != "eoa" and settings.host.mode in ("sim", "live")


def _throwaway(settings: Configuration) -> str:
    """The simulator's relayer key of an account: from a seed, so it is no secret."""
    named = f"polyhost throwaway relayer key {settings.exchange.seed} {settings.host.account}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]
