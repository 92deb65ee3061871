"""A secret that a plugin's setting refers to: where it is kept, never what it is (CFG-02).

The host resolves it when the plugin is built; only ``reveal`` gives it out. It is in no dump, no text and no error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

PLAIN: Final = "plain_secret"
"""Kind of the error for a secret that stands in the file itself."""
HELP: Final = 'a secret is kept elsewhere: { env = "NAME" } or { file = "PATH" }'


class Unresolved(Exception):  # noqa: N818 it is named for what it is
    """A secret is not where its setting says; the text says which and why, and nothing of it."""


class Secret(BaseModel):
    """A reference to a secret: ``{ env = "NAME" }`` or ``{ file = "PATH" }`` (a file that nobody else may read)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    env: str = ""
    """Name of an environment variable."""
    file: str = ""
    """Path of a file; the secret is its text without the white space around it."""
    _value: str = PrivateAttr(default="")

    @model_validator(mode="before")
    @classmethod
    def _a_reference(cls, given: Any) -> Any:
        if not isinstance(given, dict | Secret):
            raise PydanticCustomError(PLAIN, HELP)
        return given

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if bool(self.env) == bool(self.file):
            raise PydanticCustomError(PLAIN, HELP)
        return self

    def resolve(self) -> None:
        """Fetch it. Raises Unresolved."""
        self._value = _of_environment(self.env) if self.env else _of_file(Path(self.file).expanduser())

    def reveal(self) -> str:
        """The secret itself; only after the host resolved it."""
        assert self._value, "the host resolves a secret before anybody asks for it"
        return self._value


def _of_environment(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise Unresolved(f"the environment variable {name} is not set")
    return value


def _of_file(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unresolved(f"others may read {path}: chmod 600 {path}")
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Unresolved(f"{path} cannot be read: {reason}") from None
    if not value:
        raise Unresolved(f"{path} is empty")
    return value


def secrets_in(value: object, where: str = "") -> Iterator[tuple[str, Secret]]:
    """(key, secret) of every secret in some settings, however deep."""
    if isinstance(value, Secret):
        yield where, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name), f"{where}.{name}" if where else name)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from secrets_in(item, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from secrets_in(item, f"{where}.{index}")


def may_hold_secrets(model: type[BaseModel]) -> bool:
    """Does the model have a setting for a secret? Then nothing that was given for it is ever repeated."""
    return "Secret" in model.model_json_schema().get("$defs", {})
