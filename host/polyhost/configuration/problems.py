"""Refusals in a person's words: where, which key, what was given, what is allowed, and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from polyhost.configuration.shipped import SHIPPED_PLUGINS
from polyhost.configuration.sources import Layer
from polyhost.errors import ConfigError
from polyhost.model.secrecy import HIDDEN
from polyhost.secret import FORMS
from polyhost.settings import Configuration, Table
from polyhost.wording import REVEALED, first_of, refused

SECRET_KEY: Final = re.compile(
    r"private_?key|secret|passphrase|passw(?:or)?d|mnemonic|seed_?phrase|api_?key|credential|"
    r"(?:access|auth|bot)_?token",
    re.I,
)
"""A key whose text is a secret; a plugin's own setting of such a name is a ``polyhost.Secret``."""


def refusal(error: ValidationError, labels: Mapping[str, Layer]) -> ConfigError:
    """The first problem that pydantic found, with the number of the others."""
    problem, others = first_of(error.errors(include_url=False))
    return _told(problem, labels, others)


def _told(problem: ErrorDetails, labels: Mapping[str, Layer], others: int) -> ConfigError:
    parts = [part for part in problem["loc"] if isinstance(part, str)]
    place = place_of(".".join(parts), labels)
    error = refused(Configuration, problem, others, file=place, remedy=_home_of(parts))
    if problem["type"] == "extra_forbidden" and isinstance(problem["input"], dict):
        error.problem = error.problem.replace("unknown key", "unknown section")
    return error


def _home_of(parts: Sequence[str]) -> str:
    """What to do about a key that its table does not have: where it belongs, if that can be told."""
    key = parts[-1] if parts else ""
    if key in SHIPPED_PLUGINS:
        return f"a plugin's table is [plugins.{key}]"
    for name, field in Configuration.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table) and key in kind.model_fields:
            return f"{key} belongs to [{name}]"
    return "take it out, or look for its name in docs/settings.md"


def place_of(dotted: str, labels: Mapping[str, Layer]) -> str:
    """Where a key was set, as an error tells it (file and line, or variable); ``defaults`` when nobody set it."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        layer = labels.get(".".join(parts[:length]))
        if layer is not None:
            return layer.place(dotted)
    return "defaults"


def refuse_at_once(layer: Layer) -> None:
    """What no setting may be, whatever it is for: a secret in plain text, inf and nan (which TOML knows)."""

    def walk(value: object, path: Sequence[str]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, str(key)))
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item, path)
        elif isinstance(value, str) and value and path and SECRET_KEY.search(path[-1]):
            *tables, key = path
            raise ConfigError(
                "a secret has no place in a configuration", file=layer.place(".".join(path)), table=".".join(tables),
                key=key, value=HIDDEN, allowed=FORMS, remedy=REVEALED,
            )
        elif isinstance(value, float) and not isfinite(value):
            *tables, key = path
            raise ConfigError(
                "is not a finite number", file=layer.place(".".join(path)), table=".".join(tables), key=key,
                value=value, allowed=("a finite number",), remedy="write it in digits, or leave it out for the default",
            )

    walk(layer.values, ())
