"""What runs, told once at the start (LOG-06): versions and schema; and the loops, once they run."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

from loguru import logger

from polyhost.journal.migrations import JOURNAL

CLIENTS: Final = ("polymarket-client", "py-clob-client-v2")


def tell_versions(client: str) -> None:
    """``client``: the one that sends orders."""
    logger.info(
        "versions: python {} | journal schema {} | {} | order client {}", platform.python_version(), JOURNAL.version,
        " | ".join(f"{name} {version(name)}" for name in CLIENTS), client,
    )


def tell_loops(names: Iterable[str]) -> None:
    """They are all started."""
    found = sorted(names)
    logger.info("{} loops running: {}", len(found), ", ".join(found))
