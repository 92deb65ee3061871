"""What must not be repeated in an error text or a report: a secret that somebody put into a configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

HIDDEN: Final = "(hidden)"
PLAIN: Final = "plain_secret"
"""Kind of the error for a secret that stands in the configuration itself."""
_SECRET_NAME: Final = re.compile(
    r"private|secret|passphrase|passw(?:or)?d|mnemonic|token|credential|(?:^|[_.])(?:api)?_?key$|(?:^|[_.])pass$",
    re.I,
)
VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
"""What an environment variable for a secret is named like. Whatever is named otherwise may be the secret itself, pasted
in the wrong place, and is never repeated."""
_NO_PATH: Final = re.compile(r"[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{31,}")
"""A key, passphrase or token pasted where the path of its file belongs: long, and without the marks of a path."""
_SECRET_TEXT: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")


def pasted(place: str, text: str) -> str:
    """Why ``text`` is no name of a variable (``place`` env), path of a file (``file``) or entry of a keyring
    (``keyring``), but may be the secret itself; empty: it is one, or another place's."""
    if place == "env" and not VARIABLE.fullmatch(text):
        return (
            "names no environment variable: capital letters, digits and underscores, the name and not the secret itself"
        )
    if place == "file" and _NO_PATH.fullmatch(text):
        return "names no file: it looks like the secret itself; a file of such a name is written with ./ before it"
    if place == "keyring" and not all(text.rpartition("/")):
        return "names no entry of a keyring: its service, a slash, its name"
    return ""


def shown(key: str, value: Any) -> Any:
    """The value, or ``(hidden)`` when its key or its look says that it is a secret."""
    if isinstance(value, dict):
        return {name: shown(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(key, item) for item in value]
    if value is None or value == "" or isinstance(value, bool):
        return value
    if pasted(key, str(value)):
        return HIDDEN
    return HIDDEN if _SECRET_NAME.search(key) or _SECRET_TEXT.search(str(value)) else value


def without_secrets(text: str, key: str, value: Any) -> str:
    """A text that may quote the value: what ``shown`` would hide of it is hidden there, too."""
    for secret in _secrets(key, value):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(str(name), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(key, item)
    elif isinstance(value, str) and value and shown(key, value) == HIDDEN:
        yield value
