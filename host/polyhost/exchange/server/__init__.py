"""The wire server of the simulated exchange: the venue's HTTP and websocket protocols on one loopback port.

Names are looked up when they are first used: who only needs the settings of a server does not load the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyhost.exchange.server.serving import Running, run_server, running, serve
    from polyhost.exchange.server.settings import ServerSettings
    from polyhost.exchange.server.store import StateError

__all__ = ["Running", "ServerSettings", "StateError", "run_server", "running", "serve"]

_HOMES = {
    "Running": "serving", "ServerSettings": "settings", "StateError": "store", "run_server": "serving",
    "running": "serving", "serve": "serving",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
