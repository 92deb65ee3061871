"""The venue's clients by the names of their distributions, and the one that can no longer trade. It imports none."""

from __future__ import annotations

from typing import Final

FIRST: Final = "polymarket-client"
SECOND: Final = "py-clob-client-v2"
DEAD: Final = "py-clob-client"
"""Signs orders of the V1 protocol, which the venue refuses since 2026-04-28 (``order_version_mismatch``)."""
DEAD_REMEDY: Final = (
    f"signs orders of a protocol that the venue refuses since 2026-04-28 (order_version_mismatch); use {FIRST}, or "
    f"{SECOND}, which is the same client in its living version"
)


def living_client(name: object) -> object:
    """The name as it is. Raises ValueError with the remedy for a client that cannot trade any more."""
    if isinstance(name, str) and name.strip().lower().replace("_", "-") in (DEAD, "py-clob-client-v1"):
        raise ValueError(DEAD_REMEDY)
    return name
