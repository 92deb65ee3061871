"""The wire server of the simulated exchange: the venue's HTTP and websocket protocols on one loopback port."""

from __future__ import annotations

from polyhost.exchange.server.serving import Running, run_server, running, serve
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.server.store import StateError

__all__ = ["Running", "ServerSettings", "StateError", "run_server", "running", "serve"]
