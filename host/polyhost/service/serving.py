"""Serving the simulated exchange, with its failures told in the host's own words."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from polyhost.allocator import save_memory
from polyhost.errors import ConfigError
from polyhost.exchange.server.serving import run_server
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.server.store import StateError
from polyhost.service.state_lock import only_one_exchange


def serve_exchange(
    settings: ServerSettings, *, host: str, port: int, seed: int, speed: float, state: Path | None,
    ready_file: Path | None, free_running: bool, with_parent: bool = False,
) -> None:
    """Serve until a signal; ``with_parent``: also until standard input ends.

    Raises ConfigError for an address, speed or state file that can't be used.
    """
    save_memory()
    if with_parent:
        threading.Thread(target=_stop_with_stdin, name="parent", daemon=True).start()
    try:
        with only_one_exchange(state):
            run_server(settings, host, port, seed, speed, state, ready_file, free_running)
    except OSError as error:
        if error.filename is not None:
            raise ConfigError(f"{error.filename} cannot be used: {error.strerror}; name another --state") from error
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another --port") from error
    except KeyError as error:
        raise ConfigError(
            f"the simulated exchange has no price model for {error.args[0]!r}; it knows BTC, ETH, SOL and XRP"
        ) from error
    except (ValueError, StateError) as error:
        raise ConfigError(str(error)) from error


def _stop_with_stdin() -> None:
    """End gracefully, as by SIGTERM, when the process that holds the other end of standard input is gone."""
    while os.read(0, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
