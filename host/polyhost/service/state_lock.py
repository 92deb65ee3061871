"""One exchange a state file: a lock beside it, held while the exchange serves."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from polyhost.errors import ConfigError

WITHIN_S: Final = 10.0
"""An exchange that ends (because its host was killed) keeps its state for a moment: so long it is waited for."""
POLL_S: Final = 0.05


@contextmanager
def only_one_exchange(state: Path | None, within_s: float = WITHIN_S) -> Iterator[None]:
    """Two exchanges on one state would each overwrite what the other did. Raises ConfigError; None: nothing to hold."""
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
                time.sleep(POLL_S)
        yield
