"""One host for an account: while it trades with a wallet at a venue, no other process of this user does (SEC-04).

A file of its own for each wallet and venue in the user's runtime folder, locked as long as the process lives; a second
host is told who holds it. Hosts on other machines are kept out by the lease in a shared database.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from polyhost.errors import ConfigError

FOLDER = "polyhost"


def runtime_folder() -> Path:
    """The user's own folder for what lasts as long as a login: ``$XDG_RUNTIME_DIR/polyhost``, else a private one among
    the temporary files. Raises ConfigError when somebody else has put something there."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(base) / FOLDER if base else Path(tempfile.gettempdir()) / f"{FOLDER}-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"the leases of accounts cannot be kept in {folder}: {error.strerror}",
            remedy="set XDG_RUNTIME_DIR to a folder of your own",
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(
            f"{folder} is not a folder of this user alone: leases of accounts cannot be trusted there",
            remedy=f"remove it, or chmod 700 {folder}",
        )
    return folder


class Lease:
    """Held while it is entered. ConfigError: somebody else holds it, and who."""

    def __init__(self, venue: str, wallet: str, tenant: str, folder: Path | None = None) -> None:
        """``tenant``: who we are, for whoever finds it held. ``folder`` None: the user's runtime folder."""
        self.wallet = wallet
        self._tenant = tenant
        self._venue = venue
        self._folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> Lease:
        name = hashlib.sha256(f"{self._venue.lower()} {self.wallet.lower()}".encode()).hexdigest()[:32]
        path = (self._folder or runtime_folder()) / f"{name}.lease"
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"the lease {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise ConfigError(
                f"another host trades with the wallet {self.wallet} already: {holder}",
                remedy="stop it first: one host for an account",
            ) from error
        file.truncate(0)
        file.write(self._tenant)
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None
