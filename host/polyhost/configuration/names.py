"""What a plugin's table may be called: one word, which fits dotted keys, variables, file names and log lines alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from polyhost.configuration.problems import place_of
from polyhost.configuration.sources import Layer
from polyhost.errors import ConfigError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
ALLOWED: Final = ("letters, digits, _ and -, at most 64",)


def refuse_names(names: Iterable[str], labels: Mapping[str, Layer]) -> None:
    """Raises ConfigError with the place of the first table whose name is none."""
    for name in names:
        if not NAME.fullmatch(name):
            raise _wrong(name, place_of(f"plugins.{name}", labels), "[plugins.NAME]")


def checked_name(name: str) -> str:
    """A name that a person or a program gave for a plugin's table. Raises ConfigError when it can be none."""
    if not NAME.fullmatch(name):
        raise _wrong(name, "", "NAME")
    return name


def _wrong(name: str, place: str, key: str) -> ConfigError:
    near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64]
    return ConfigError(
        "cannot be a plugin's name", file=place, key=key, value=name, allowed=ALLOWED, nearest=near,
        remedy="" if near else "name it like its plugin",
    )
