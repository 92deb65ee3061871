"""Whose fault it is: the exceptions that reach a person, with the exit code of the command that they end.

- ``PolyhostError``
    - ``ConfigError``: the user's (2): a setting is wrong or missing.
    - ``PluginError``: a plugin author's (2): it cannot be loaded, or it breaks the contract of the hooks.
    - ``VenueError``: the venue's or the network's (3): not reached, or refused.
    - ``JournalError``: the disk's or the database's (1): the journal cannot be read or written.
    - ``TapeError``: the recording's (1): it breaks a promise of the format.

The message says what, which and the value; the culprit is an attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import ClassVar


class PolyhostError(Exception):
    """Base of all: carries the exit code that a command ends with when nobody handles it."""

    exit_code: ClassVar[int] = 1


class ConfigError(PolyhostError):
    """A setting is wrong. ``file``, ``table``, ``key``, ``value``, ``allowed`` and ``nearest`` are empty if unknown.

    ``remedy`` is what to do, where the allowed values do not say it.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str = "",
        table: str = "",
        key: str = "",
        value: object = None,
        allowed: Sequence[str] = (),
        nearest: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.file = file
        self.table = table
        self.key = key
        self.value = value
        self.allowed = tuple(allowed)
        self.nearest = nearest
        self.remedy = remedy

    def __str__(self) -> str:
        where = " ".join(part for part in (self.file, f"[{self.table}]" if self.table else "", self.key) if part)
        text = f"{where}: {self.problem}" if where else self.problem
        if self.nearest:
            text += f" (did you mean {self.nearest!r}?)"
        if self.value is not None:
            # As TOML writes it.
            text += f"; given {str(self.value).lower() if isinstance(self.value, bool) else repr(self.value)}"
        if self.allowed:
            text += f"; allowed: {', '.join(self.allowed)}"
        return f"{text}; {self.remedy}" if self.remedy else text


class PluginError(PolyhostError):
    """A plugin cannot be loaded or breaks the hooks' contract. ``plugin``, ``hook``, ``origin`` name the culprit."""

    exit_code = 2

    def __init__(self, problem: str, *, plugin: str = "", hook: str = "", origin: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.plugin = plugin
        self.hook = hook
        self.origin = origin
        self.remedy = remedy

    def __str__(self) -> str:
        who = f"plugin {self.plugin!r}" if self.plugin else "plugin"
        if self.origin:
            who += f" ({self.origin})"
        if self.hook:
            who += f" in {self.hook}"
        text = f"{who}: {self.problem}"
        return f"{text}; {self.remedy}" if self.remedy else text


class VenueError(PolyhostError):
    """The venue or the network could not be reached, or refused. ``endpoint`` names what was asked."""

    exit_code = 3

    def __init__(self, problem: str, *, endpoint: str = "") -> None:
        super().__init__(f"{endpoint}: {problem}" if endpoint else problem)
        self.endpoint = endpoint


class JournalError(PolyhostError):
    """The journal cannot be read, written or trusted. ``path`` names the file or the database."""

    exit_code = 1

    def __init__(self, problem: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path


class TapeError(PolyhostError):
    """A recording breaks a promise of its format. ``line`` 0: the file as a whole."""

    exit_code = 1

    def __init__(self, problem: str, *, path: str = "", line: int = 0) -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {problem}" if where else problem)
        self.path = path
        self.line = line


def nearest_name(given: str, names: Iterable[str], alike: float = 0.6) -> str:
    """The name most like the one given, or an empty string when none is near (``alike``: difflib's ratio)."""
    found = get_close_matches(given, list(names), n=1, cutoff=alike)
    return found[0] if found else ""
