"""Serving the simulated exchange, with its failures told in the host's own words."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from polyhost.errors import ConfigError
from polyhost.exchange.server.serving import run_server
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.server.store import StateError

STATE_WITHIN_S: Final = 10.0
"""An exchange that ends (because its host was killed) keeps its state for a moment: so long it is waited for."""
STATE_POLL_S: Final = 0.05


def serve_exchange(
    settings: ServerSettings, *, host: str, port: int, seed: int, speed: float, state: Path | None,
    ready_file: Path | None, free_running: bool, with_parent: bool = False, state_within_s: float = STATE_WITHIN_S,
) -> None:
    """Serve until a signal; ``with_parent``: also until standard input ends.

    Raises ConfigError for an address, speed or state file that can't be used.
    """
    if with_parent:
        threading.Thread(target=_stop_with_stdin, name="parent", daemon=True).start()
    try:
        with _only_one(state, state_within_s):
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


@contextmanager
def _only_one(state: Path | None, within_s: float) -> Iterator[None]:
    """Two exchanges on one state would each overwrite what the other did. Raises ConfigError."""
    if state is None:
        yield
        return
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        lock = state.with_name(state.name + ".lock").open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the state file {state} cannot be used: {error.strerror}; name another --state") from error
    with lock:
        deadline = time.monotonic() + within_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise ConfigError(
                        f"another exchange already keeps its state in {state}; stop it, or name another --state"
                    ) from error
                time.sleep(STATE_POLL_S)
        yield


def _stop_with_stdin() -> None:
    """End gracefully, as by SIGTERM, when the process that holds the other end of standard input is gone."""
    while os.read(0, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
