"""Serving the simulated exchange, with its failures told in the host's own words."""

from __future__ import annotations

from pathlib import Path

from polyhost.errors import ConfigError
from polyhost.exchange.server.serving import run_server
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.server.store import StateError


def serve_exchange(
    settings: ServerSettings, *, host: str, port: int, seed: int, speed: float, state: Path | None,
    ready_file: Path | None, free_running: bool,
) -> None:
    """Serve until a signal. Raises ConfigError for an address, speed or state file that can't be used."""
    try:
        run_server(settings, host, port, seed, speed, state, ready_file, free_running)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another --port") from error
    except KeyError as error:
        raise ConfigError(
            f"the simulated exchange has no price model for {error.args[0]!r}; it knows BTC, ETH, SOL and XRP"
        ) from error
    except (ValueError, StateError) as error:
        raise ConfigError(str(error)) from error
