"""Where a run lives: the data folder, its files, and the lock that keeps a second host out (SEC-04)."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from polyhost.errors import ConfigError
from polyhost.service.state_lock import WITHIN_S, only_one_exchange

WORDS: Final = "operator"
"""Where in it the operator's words are left (operator_box)."""
KEPT: Final = (
    "journal.db*", "analysis.db*", "exchange.state", "exchange.state.log", "paper.state*", "recordings",
    "gateway-spent.jsonl",
)
"""What ``--fresh`` sets aside: databases with their logs, backups and emergency files, the exchange, the paper account,
recordings, what the gateway process counted."""


class DataFolder:
    """The folder named by ``[host] data_dir``. Use as a context manager: it holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        self.words_before: tuple[Path, ...] = ()
        """The operator's words that stood there before this process had the lock: said to nobody, or to another host.
        """

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def analysis(self) -> Path:
        return self.path / "analysis.db"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def paper_state(self) -> Path:
        return self.path / "paper.state"

    @property
    def exchange_state(self) -> Path:
        return self.path / "exchange.state"

    @property
    def exchange_ready(self) -> Path:
        return self.path / "exchange.ready"

    def __enter__(self) -> DataFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "host.lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"the data folder {self.path} cannot be used: {error.strerror}; name another one with --data-dir"
            ) from error
        # Before the lock: who sees it held speaks to this host.
        self.words_before = tuple(sorted((self.path / WORDS).glob("*.json")))
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            self._lock.close()
            self._lock = None
            raise ConfigError(
                f"another host already uses {self.path} ({holder}); stop it, or name another folder with --data-dir"
            ) from error
        self._lock.truncate(0)
        self._lock.write(f"pid {os.getpid()}")
        self._lock.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def set_aside(self, within_s: float = WITHIN_S) -> Path | None:
        """Start anew: what is there moves into ``before-<time>`` beside it; nothing is deleted. None: nothing was.

        The exchange of a killed host may still be saving its state: it is waited for. Raises ConfigError if it stays.
        """
        with only_one_exchange(self.exchange_state, within_s):
            return self._move_away()

    def _move_away(self) -> Path | None:
        from polyhost.journal.restoring import schema_aside  # a start that goes on needs none of it

        schema_aside(self.journal, time.strftime("%Y%m%d-%H%M%S", time.gmtime()))
        present = sorted(path for pattern in KEPT for path in self.path.glob(pattern))
        if not present:
            return None
        target = self.path / time.strftime("before-%Y%m%d-%H%M%S", time.gmtime())
        suffix = 0
        while target.exists():
            suffix += 1
            target = target.with_name(f"{target.name.partition('.')[0]}.{suffix}")
        target.mkdir()
        for path in present:
            shutil.move(str(path), str(target / path.name))
        return target


def running_accounts(path: Path) -> tuple[str, ...]:
    """Names of the accounts that a host runs in folders of their own below this one."""
    return tuple(lock.parent.name for lock in sorted(path.glob("*/host.lock")) if running_pid(lock.parent) is not None)


def running_pid(path: Path) -> int | None:
    """The process that holds the folder's lock, or None."""
    try:
        with (path / "host.lock").open("r", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                words = lock.read().split()
                return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0
    except OSError:
        return None
    return None
