"""What a start takes longest for begins first: the processes of the host, before the host itself is loaded (B9, B7).

The venue's client takes most of a second to load, in the gateway process; so does the simulated exchange, in its own.
Meanwhile the host loads itself and folds its journal. So nothing is imported here that the configuration and the
locks of the folders have not loaded already.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from polyhost.configuration import Loaded
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import account_told, key_variables, share_of
from polyhost.settings import Configuration
from polyhost.venue.gatekeeper.launch import started

END_S: Final = 3.0
"""What a process has, wall seconds, to end when nobody took it over; then it is killed."""


class Begun:
    """Processes that run already. Whoever takes one over sees to its end; ``close`` to that of the others."""

    def __init__(self) -> None:
        self.gateways: dict[str, subprocess.Popen[bytes]] = {}
        """By the account's name."""
        self.exchange: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End what still runs. Closing its input tells a process that the host is gone."""
        for process in [*self.gateways.values(), *([self.exchange] if self.exchange else [])]:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def begin(loaded: Loaded, folder: DataFolder, accounts: Mapping[str, DataFolder], begun: Begun) -> None:
    """Start every account's gateway process, and the exchange if it is ours. The folders are locked.

    Raises OSError, ConfigError; what was started until then stands in ``begun``.
    """
    settings = loaded.configuration
    parts = {name: (loaded.for_account(name).configuration, place) for name, place in accounts.items()}
    for own, place in (parts or {"": (settings, folder)}).values():
        if own.host.mode != "paper":
            told = account_told(own, place, share=share_of(max(len(parts), 1)), variables=key_variables(settings))
            begun.gateways[own.host.account] = started(told.launch, hide=told.hide, log=told.log)
    if own_exchange(settings):
        from polyhost.service import exchange_launch

        begun.exchange = exchange_launch.started(
            settings, folder.exchange_state, folder.exchange_ready, folder.logs / "exchange.log"
        )


def own_exchange(settings: Configuration) -> bool:
    """Is the venue an exchange of our own?"""
    modes = {each.mode for each in settings.accounts.values()} or {settings.host.mode}
    return not settings.venue.url and "sim" in modes
