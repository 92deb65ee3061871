"""What the machine was told about plugins at run time: ``choices.toml`` in the data folder, written by nobody else.

A person's files are never rewritten; commands that switch a plugin or change its settings write here. A choice comes
after a person's files and before the environment, and never against an ``enabled = false`` of a person (CFG-01).
"""

from __future__ import annotations

import fcntl
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from polyhost.configuration.sources import Kind, Layer, file_layer
from polyhost.errors import ConfigError
from polyhost.files import write_atomically
from polyhost.model.secrecy import shown

CHOICES_FILE: Final = "choices.toml"
MODE: Final = 0o600
HEADING: Final = """\
# This file belongs to polyhost: `polyhost plugins enable`, `disable` and `set` write it, and rewrite it whole.
# Your own settings belong into your own file, which polyhost never writes to. An `enabled = false` there always wins
# over this file; other values here win over your file, and the host tells each of them when it starts.
# Without this file your own configuration holds alone: delete it to take back every choice.

"""
REMEDY: Final = "delete the file to take back every choice, then make them anew with `polyhost plugins enable NAME`"
NOT_CHOSEN: Final = ("use", "trusted")
"""Keys of a plugin's table that only a person sets: which code runs, and whether inside the host."""


@dataclass(frozen=True)
class Choices:
    """What was chosen, by plugin: ``enabled`` and settings, as TOML has them."""

    path: Path
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    text: str = field(default="", repr=False)

    def layer(self) -> Layer:
        """As one of the layers of a configuration."""
        return Layer({"plugins": self.plugins}, Kind.CHOICE, str(self.path), self.text)


@dataclass(frozen=True, slots=True)
class Change:
    """One value of ``choices.toml`` that is another one now; None: it is not chosen."""

    plugin: str
    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old, new = (_words(self.key, value) for value in (self.old, self.new))
        return f"[plugins.{self.plugin}] {self.key}: {old} -> {new}"


def choices_of(data_dir: Path | str) -> Choices:
    """What was chosen for the runs that live in this folder; no file: nothing.

    Raises ConfigError with a remedy when the file is damaged or holds what no choice may.
    """
    path = Path(data_dir) / CHOICES_FILE
    if not path.exists():
        return Choices(path)
    try:
        layer = file_layer(path, Kind.CHOICE)
    except ConfigError as error:
        error.remedy = REMEDY
        raise
    _refuse_foreign(layer)
    return Choices(path, layer.values.get("plugins", {}), layer.text)


def choose(
    data_dir: Path | str, plugin: str, enabled: bool | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[Change, ...]:
    """Write a choice down, durably; returns what is another one now (nothing: the file is not touched).

    ``enabled`` None leaves that as it is; a setting of None takes its choice back. Values are what TOML holds; they
    are not checked against the plugin. Raises ConfigError (the file is damaged, a key is a person's own) or OSError.
    """
    wanted: dict[str, Any] = dict(settings or {}) | ({} if enabled is None else {"enabled": enabled})
    with _alone(Path(data_dir)):
        choices = choices_of(data_dir)
        return _write(choices, plugin, wanted)


def imagined(
    choices: Choices, plugin: str, enabled: bool | None = None, settings: Mapping[str, Any] | None = None
) -> Choices:
    """What ``choose`` would make of them; nothing is written. Raises ConfigError."""
    wanted: dict[str, Any] = dict(settings or {}) | ({} if enabled is None else {"enabled": enabled})
    return _altered(choices, plugin, wanted)[0]


def take_back(data_dir: Path | str, plugin: str) -> tuple[Change, ...]:
    """Forget everything chosen for a plugin: a person's configuration holds again. Raises as ``choose``."""
    with _alone(Path(data_dir)):
        choices = choices_of(data_dir)
        return _write(choices, plugin, dict.fromkeys(choices.plugins.get(plugin, {})))


def _write(choices: Choices, plugin: str, wanted: Mapping[str, Any]) -> tuple[Change, ...]:
    after, changes = _altered(choices, plugin, wanted)
    if changes:
        write_atomically(choices.path, after.text, MODE)
    return changes


def _altered(choices: Choices, plugin: str, wanted: Mapping[str, Any]) -> tuple[Choices, tuple[Change, ...]]:
    import tomli_w

    before = choices.plugins.get(plugin, {})
    changes = tuple(
        Change(plugin, key, before.get(key), value)
        for key, value in wanted.items()
        # TOML tells 1, 1.0 and true apart; Python's == does not.
        if repr(before.get(key)) != repr(value)
    )
    if not changes:
        return choices, ()
    table = {key: value for key, value in (before | dict(wanted)).items() if value is not None}
    plugins = {name: kept for name, kept in (choices.plugins | {plugin: table}).items() if kept}
    text = HEADING + tomli_w.dumps({"plugins": plugins} if plugins else {})
    after = Choices(choices.path, tomllib.loads(text).get("plugins", {}), text)
    _refuse_foreign(after.layer())
    return after, changes


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Two commands at once: one waits for the other, so that neither overwrites what the other chose."""
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(data_dir, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_foreign(layer: Layer) -> None:
    """A choice is about plugins, and never about which code runs in the host."""
    for key in layer.values:
        if key != "plugins":
            raise ConfigError("is no choice", file=layer.place(key), key=key, allowed=("plugins",), remedy=REMEDY)
    plugins = layer.values.get("plugins", {})
    if not isinstance(plugins, dict):
        raise ConfigError("is no table", file=layer.place("plugins"), key="plugins", remedy=REMEDY)
    for name, table in plugins.items():
        dotted = f"plugins.{name}"
        if not isinstance(table, dict):
            raise ConfigError("is no table", file=layer.place(dotted), table="plugins", key=name, remedy=REMEDY)
        for key, value in table.items():
            _refuse_value(layer.place(f"{dotted}.{key}"), dotted, key, value)


def _refuse_value(place: str, table: str, key: str, value: Any) -> None:
    if key in NOT_CHOSEN:
        remedy = "only a person sets it, in a file of their own; " + REMEDY
        raise ConfigError(
            "is no choice", file=place, table=table, key=key, value=shown(key, value),
            allowed=("enabled", "the plugin's own settings"), remedy=remedy,
        )
    if key == "enabled" and not isinstance(value, bool):
        raise ConfigError(
            "has the wrong type", file=place, table=table, key=key, value=shown(key, value),
            allowed=("true", "false"), remedy=REMEDY,
        )


def _words(key: str, value: Any) -> str:
    if value is None:
        return "not chosen"
    return str(value).lower() if isinstance(value, bool) else repr(shown(key, value))
