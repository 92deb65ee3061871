"""The layers above the defaults: a TOML file, fragments beside it, environment variables, the command line.

The machine's own layer between them is polyhost.configuration.choices.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from polyhost.configuration.lines import lines_of
from polyhost.configuration.syntax import parsed
from polyhost.errors import ConfigError
from polyhost.model.secrecy import shown
from polyhost.settings import Configuration, Table

PREFIX: Final = "POLYHOST__"
FRAGMENTS: Final = "conf.d"
"""Folder beside the file, whose ``*.toml`` are read after it."""
BYTES_MAX: Final = 1_000_000
"""A configuration is a few hundred lines; more than this is some other file."""


class Kind(StrEnum):
    """Which layer a value came from, in rising order of precedence."""

    FILE = "file"
    FRAGMENT = "fragment"
    CHOICE = "choice"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Layer:
    """Values as nested tables, and where they came from."""

    values: dict[str, Any]
    kind: Kind
    name: str = ""
    """The file's path, the variable, or ``--set KEY``; empty for an option of the command line's own."""
    text: str = ""
    """The file as it stands, to find the line of a key."""

    @cached_property
    def _lines(self) -> dict[str, int]:
        return lines_of(self.text)

    def place(self, dotted: str = "") -> str:
        """As an error tells it: the file with the line of that key (or of the table it is in), or the variable."""
        if self.kind in (Kind.ENVIRONMENT, Kind.COMMAND_LINE):
            return f"{self.kind} {self.name}".strip()
        line = self._line(dotted)
        return f"{self.name}:{line}" if line else self.name

    def named(self, dotted: str) -> str:
        """What a key is called in this layer: an account's own limit is asked for as one of all."""
        return dotted

    def origin(self, dotted: str = "") -> str:
        """As ``config show --origin`` tells it: the layer, then the place."""
        place = self.place(dotted)
        return place if place.startswith(self.kind) else f"{self.kind} {place}"

    def _line(self, dotted: str) -> int:
        while dotted:
            if dotted in self._lines:
                return self._lines[dotted]
            dotted = dotted.rpartition(".")[0]
        return 0


def file_layer(path: Path, kind: Kind = Kind.FILE) -> Layer:
    """Raises ConfigError when the file cannot be read or is no TOML; a syntax error is told with its line."""
    text = _text_of(path)
    return Layer(parsed(text, str(path)), kind, str(path), text)


def fragment_layers(file: Path) -> list[Layer]:
    """``conf.d/*.toml`` beside the file, by name. Raises ConfigError."""
    return [file_layer(path, Kind.FRAGMENT) for path in sorted((file.parent / FRAGMENTS).glob("*.toml"))]


def _text_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise ConfigError("is a folder, not a configuration file", file=str(path), remedy="name the file in it")
        if not path.exists():
            remedy = f"`polyhost config init {path}` writes it"
            raise ConfigError("there is no such file", file=str(path), remedy=remedy)
        if not path.is_file():
            raise ConfigError("is no regular file", file=str(path), remedy="name a file of TOML")
        if path.stat().st_size > BYTES_MAX:
            problem = f"is larger than {BYTES_MAX} bytes: not a configuration"
            raise ConfigError(problem, file=str(path), remedy="name a file of TOML")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror or error}", file=str(path), remedy="give yourself the right to read it"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"line {line} is not UTF-8 text", file=f"{path}:{line}", remedy="save the file as UTF-8"
        ) from error


def environment_layers(env: Mapping[str, str]) -> list[Layer]:
    """One layer for each variable ``POLYHOST__SECTION__KEY``, in alphabetical order."""
    return [_variable_layer(name, env[name]) for name in sorted(env) if name.startswith(PREFIX)]


def _variable_layer(name: str, text: str) -> Layer:
    parts = name.removeprefix(PREFIX).lower().split("__")
    if not all(parts):
        raise ConfigError(
            "names no setting", file=f"environment {name}", allowed=(f"{PREFIX}SECTION__KEY",),
            remedy=f"for example {PREFIX}EXCHANGE__SPEED=60; two underscores between names",
        )
    return Layer(_nested(parts, _typed(parts, text)), Kind.ENVIRONMENT, name)


def set_layers(words: Iterable[str]) -> list[Layer]:
    """One layer for each ``TABLE.KEY=VALUE`` of the command line, in their order; values as in the environment."""
    return [_set_layer(word) for word in words]


def _set_layer(word: str) -> Layer:
    dotted, given, text = word.partition("=")
    parts = [part.strip() for part in dotted.split(".")]
    if not given or not all(parts):
        raise ConfigError(
            "names no setting", file="command line --set", value=shown(dotted, word), allowed=("TABLE.KEY=VALUE",),
            remedy="for example --set exchange.speed=60",
        )
    return Layer(_nested(parts, _typed(parts, text.strip())), Kind.COMMAND_LINE, f"--set {'.'.join(parts)}")


def _nested(parts: list[str], value: Any) -> dict[str, Any]:
    for part in reversed(parts):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _typed(parts: list[str], text: str) -> Any:
    """The text as what its setting wants: plain text, a list (TOML, or separated by commas), or a TOML value."""
    kind = _annotation(parts)
    if get_origin(kind) is tuple and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    quoted = text[:1] in ("'", '"')
    if not quoted and (kind is str or any(isinstance(choice, str) for choice in get_args(kind))):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _annotation(parts: list[str]) -> Any:
    """The type of a host setting; None for a plugin's, or for one that does not exist."""
    table: type[Table] = Configuration
    kind: Any = None
    for part in parts:
        field = table.model_fields.get(part)
        if field is None:
            return None
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            table = kind
    return kind


def command_line_layer(overrides: Mapping[str, object]) -> Layer:
    """Dotted keys as nested tables."""
    values: dict[str, Any] = {}
    for dotted, value in overrides.items():
        *tables, key = dotted.split(".")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = value
    return Layer(values, Kind.COMMAND_LINE)
