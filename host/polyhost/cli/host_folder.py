"""Which data folder a command means, also while the configuration cannot be read: a running host is reached then, too.

Who edits ``polyhost.toml`` beside a running host must still be able to pause and kill it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from polyhost.cli.options import account_of, configured, tell
from polyhost.errors import ConfigError

if TYPE_CHECKING:
    from polyhost.configuration import Loaded

VARIABLE: Final = "POLYHOST__HOST__DATA_DIR"
_NAMED: Final = re.compile(r"""^\s*(?:host\.)?data_dir\s*=\s*(["'])(.+?)\1""", re.MULTILINE)


def host_folder(
    config: Path | None, data_dir: Path | None, account: str = "", sets: list[str] | None = None
) -> tuple[Path, Loaded | None]:
    """The data folder, with the configuration; None: it cannot be read, which is told, and a host runs on the folder.

    Raises ConfigError when the configuration cannot be read and no host runs there, and when it has several accounts
    of which none is named.
    """
    from polyhost.service.folder import running_accounts, running_pid

    try:
        loaded = configured(config, {"host.data_dir": data_dir}, sets=sets)
    except ConfigError as error:
        folder = data_dir or _likely(config)
        if running_pid(folder) is None:
            raise
        folder = _of_account(folder, account, running_accounts(folder))
        tell(f"the configuration cannot be read: {error}", err=True)
        tell(f"the host that runs on {folder} is asked all the same", err=True)
        return folder, None
    loaded = account_of(loaded, account)
    return Path(loaded.configuration.host.data_dir), loaded


def _of_account(folder: Path, account: str, running: tuple[str, ...]) -> Path:
    """The folder of the account that is meant, as far as what runs there tells. Raises ConfigError."""
    if account and account not in running:
        raise ConfigError("no host runs on this account", key="--account", value=account, allowed=running)
    if not account and len(running) > 1:
        raise ConfigError("the host has several accounts", key="--account", allowed=running, remedy="name one of them")
    name = account or (running[0] if running else "")
    return folder / name if name else folder


def _likely(config: Path | None) -> Path:
    """The folder that the environment or a line of the broken file (its last) names, else the default."""
    from polyhost.configuration.loading import FILE_NAME
    from polyhost.configuration.sources import FRAGMENTS
    from polyhost.settings import HostTable

    if given := os.environ.get(VARIABLE):
        return Path(given)
    file = config or Path(FILE_NAME)
    named = HostTable().data_dir
    for path in (file, *sorted((file.parent / FRAGMENTS).glob("*.toml"))):
        for _, value in _NAMED.findall(_text(path)):
            named = value
    return Path(named)


def _text(path: Path) -> str:
    """What can be read of it; that it cannot be is told already."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
