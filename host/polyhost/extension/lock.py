"""``plugins.lock`` in the data folder (SEC-02): which code of others has been accepted to run in this host.

Of every plugin that is not built in it holds origin, version and the hash of each file. A plugin that is not in it yet
is taken as it is, because a person named it in the configuration, and that is told; one that is another than it was
does not run, nor is it imported, until a person accepts it. See docs/decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from polyhost.errors import ConfigError
from polyhost.extension.sources import Source
from polyhost.files import write_atomically

LOCK_FILE: Final = "plugins.lock"
MODE: Final = 0o600
NOTE: Final = (
    "This file belongs to polyhost: the plugins of others that run in this host, as they were accepted. "
    "`polyhost plugins accept NAME` writes it."
)
TOLD_MAX: Final = 5
"""Files that are named in one message; the rest is counted."""


class Locked(Struct, frozen=True):
    """One plugin as it was accepted."""

    origin: str
    version: str
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 by name."""


class _File(Struct, frozen=True):
    plugins: dict[str, Locked]
    note: str = ""


_DECODE: Final = msgspec.json.Decoder(_File).decode


def locked_now(source: Source) -> Locked:
    """A plugin as it is now. Raises PluginError for one in too many files."""
    return Locked(source.path or source.distribution, source.version, source.files())


class Lock:
    """The file of one data folder, read once."""

    def __init__(self, data_dir: Path | str) -> None:
        """Raises ConfigError for a file that is no lock."""
        self.path = Path(data_dir) / LOCK_FILE
        self.plugins = _read(self.path)

    def problem(self, source: Source) -> str:
        """Why a plugin may not run; empty: it may, being built in, as it was accepted, or new."""
        known = None if source.built_in else self.plugins.get(source.name)
        return "" if known is None else differences(known, locked_now(source))

    def is_new(self, source: Source) -> bool:
        """Nobody has seen it run here."""
        return not source.built_in and source.name not in self.plugins

    def accept(self, sources: Iterable[Source]) -> tuple[Source, ...]:
        """Write down these plugins as they are now; those that are another now. Raises OSError, PluginError."""
        now = {source.name: (source, locked_now(source)) for source in sources if not source.built_in}
        changed = tuple(source for name, (source, locked) in now.items() if self.plugins.get(name) != locked)
        if changed:
            after = self.plugins | {name: locked for name, (_, locked) in now.items()}
            _write(self.path, after)
            self.plugins = after
        return changed


def differences(known: Locked, now: Locked) -> str:
    """What is another than it was, in words; empty: nothing."""
    told = []
    if known.origin != now.origin:
        told.append(f"it comes from {now.origin}, not from {known.origin}")
    if known.version != now.version:
        told.append(f"version {now.version or 'unknown'} instead of {known.version or 'unknown'}")
    told += _files(known.files, now.files)
    return f"is not as it was accepted: {'; '.join(told)}" if told else ""


def _files(known: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    kinds = {
        "changed": [name for name in now if name in known and now[name] != known[name]],
        "new": [name for name in now if name not in known],
        "gone": [name for name in known if name not in now],
    }
    return [
        f"{kind}: {', '.join(names[:TOLD_MAX])}" + (f" and {len(names) - TOLD_MAX} more" if names[TOLD_MAX:] else "")
        for kind, names in kinds.items() if names
    ]


def _read(path: Path) -> dict[str, Locked]:
    try:
        return _DECODE(path.read_bytes()).plugins
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        # Not being able to read what was accepted must not mean that everything is.
        raise ConfigError(
            f"cannot be read as a lock: {error}", file=str(path),
            remedy="delete it to take every plugin that the configuration names as it is now",
        ) from error


def _write(path: Path, plugins: Mapping[str, Locked]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = msgspec.json.encode(_File(dict(sorted(plugins.items())), NOTE))
    write_atomically(path, msgspec.json.format(told, indent=2) + b"\n", MODE)
