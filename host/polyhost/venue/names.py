"""The clients by the names of their distributions, and the one that can no longer trade. It imports none of them."""

from __future__ import annotations

from importlib import metadata
from typing import Final

from polyhost.errors import ConfigError

FIRST: Final = "polymarket-client"
SECOND: Final = "py-clob-client-v2"
DEAD: Final = "py-clob-client"
"""Signs orders of the V1 protocol, which the venue refuses since 2026-04-28 (``order_version_mismatch``)."""
CLIENTS: Final = (FIRST, SECOND)
DEAD_REMEDY: Final = (
    f"{DEAD} signs orders of a protocol that the venue refuses since 2026-04-28 (order_version_mismatch): "
    f'use client = "{FIRST}", or "{SECOND}", which is {DEAD} in its living version'
)


def require_living(client: str) -> None:
    """Raises ConfigError for a client that cannot trade, with the remedy; any unknown name is another's to tell."""
    if client.strip().lower().replace("_", "-") == DEAD:
        raise ConfigError(DEAD_REMEDY, table="venue", key="client", value=client)


def dead_client_installed() -> str:
    """Its version; empty: it is not there. It is in nobody's way, but nothing it signs is taken."""
    try:
        return metadata.version(DEAD)
    except metadata.PackageNotFoundError:
        return ""
