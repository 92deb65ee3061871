"""Where a run lives: the data folder, its files, and the lock that keeps a second host out (SEC-04)."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final

from polyhost.errors import ConfigError, JournalError, PolyhostError
from polyhost.service.state_lock import WITHIN_S, only_one_exchange

LOCK: Final = "host.lock"
"""Held by the host that runs on the folder; it says which process that is."""
DISK_FAILS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""What a disk says that takes nothing just now. It is no fault of the configuration: a later start may succeed."""

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
        self._lock: FileIO | None = None
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
            lock = FileIO(self.path / LOCK, "a+")
        except OSError as error:
            raise _unusable(self.path, error) from error
        # Before the lock: who sees it held speaks to this host.
        self.words_before = tuple(sorted((self.path / WORDS).glob("*.json")))
        try:
            _held(lock, self.path)
            lock.truncate(0)
            lock.write(f"pid {os.getpid()}".encode())
        except OSError as error:
            lock.close()
            raise _unusable(self.path, error) from error
        except ConfigError:
            lock.close()
            raise
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            with suppress(OSError):  # a disk that fails now takes nothing from the run
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


@contextmanager
def no_host_starts(path: Path) -> Iterator[None]:
    """While the block lasts no host starts on the folder, as far as its disk allows: nothing is written for that, and
    a disk that fails holds up nobody. Raises ConfigError when a host runs there.
    """
    lock = _openable(path / LOCK)
    try:
        if lock is not None:
            with suppress(OSError):  # this kind of disk knows no locks
                _held(lock, path)
        yield
    finally:
        if lock is not None:
            lock.close()


def _openable(path: Path) -> FileIO | None:
    """The file, to be written if that can be, else to be read; None: neither."""
    for mode in ("a+", "r"):
        try:
            return FileIO(path, mode)
        except OSError:
            continue
    return None


def _held(lock: FileIO, path: Path) -> None:
    """Lock it, as long as it is open. Raises ConfigError when another process holds it, and OSError."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.readall().decode(errors="replace").strip() or "another process"
        raise ConfigError(
            f"another host already uses {path} ({holder}); stop it, or name another folder with --data-dir"
        ) from error


def _unusable(path: Path, error: OSError) -> PolyhostError:
    """What to say of a folder that takes nothing, and what mends it."""
    if error.errno in DISK_FAILS:
        problem = f"the disk takes nothing: {error.strerror}; free space or mend it, then start again"
        return JournalError(problem, path=str(path))
    return ConfigError(f"the data folder {path} cannot be used: {error.strerror}; name another one with --data-dir")


@contextmanager
def writing_words(path: Path) -> Iterator[None]:
    """For what a command leaves in the folder: raises ConfigError, with what mends it, where nothing can be left."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FAILS:
            remedy = "free space there, or mend the disk"
        else:
            remedy = f"say it as the user that runs the host ({_owner(path)})"
        raise ConfigError(f"nothing can be left in {path}: {error.strerror}; {remedy}") from error


def _owner(path: Path) -> str:
    """Whose the folder is, or the first above it that is there."""
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), Path("/"))
    try:
        return there.owner()
    except KeyError:  # a container's user without a name
        return f"uid {there.stat().st_uid}"


def running_accounts(path: Path) -> tuple[str, ...]:
    """Names of the accounts that a host runs in folders of their own below this one."""
    return tuple(lock.parent.name for lock in sorted(path.glob(f"*/{LOCK}")) if running_pid(lock.parent) is not None)


def running_pid(path: Path) -> int | None:
    """The process that holds the folder's lock, or None."""
    try:
        with (path / LOCK).open("r", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                words = lock.read().split()
                return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0
    except OSError:
        return None
    return None
