"""A secret that a plugin's setting refers to: where it is kept, never what it is (CFG-02).

The host resolves it when the plugin is built; only ``reveal`` gives it out. It is in no dump, no text and no error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from polyhost.meanings import documented
from polyhost.model.secrecy import PLAIN, pasted

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

FORMS: Final = ('{ env = "NAME" }', '{ file = "PATH" }', '{ keyring = "SERVICE/NAME" }')
"""How a setting refers to a secret."""
PLACES: Final = ("env", "file", "keyring")
"""Keys of a reference; it has one of them."""
BYTES_MAX: Final = 65_536
"""A secret is a line or a key; a larger file is some other file."""


class Unresolved(Exception):  # noqa: N818 it is named for what it is
    """A secret is not where its setting says: the text says which and why, ``remedy`` what to do; nothing of it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


class Handed(Struct, frozen=True, omit_defaults=True):
    """What became of a reference that somebody else resolved: the secret, or why there is none."""

    value: str = ""
    problem: str = ""
    remedy: str = ""

    def __repr__(self) -> str:
        return f"Handed(problem={self.problem!r})"


class Secret(BaseModel):
    """A reference to a secret: ``{ env = "NAME" }``, ``{ file = "PATH" }`` (a file that nobody else may read) or
    ``{ keyring = "SERVICE/NAME" }`` (the system's own keyring)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    env: str = ""
    """Name of an environment variable."""
    file: str = ""
    """Path of a file of our own; the secret is its text without the white space around it."""
    keyring: str = ""
    """Service and name of an entry in the system's keyring, with a slash between them."""
    _value: str = PrivateAttr(default="")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return documented(cls, schema, handler)

    @model_validator(mode="before")
    @classmethod
    def _a_reference(cls, given: Any) -> Any:
        if not isinstance(given, dict | Secret):
            raise PydanticCustomError(PLAIN, "a secret has no place in a configuration")
        return given

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if sum(bool(getattr(self, place)) for place in PLACES) != 1:
            raise PydanticCustomError("reference", "names no place of a secret, or several")
        for place in PLACES:
            if (text := getattr(self, place)) and (problem := pasted(place, text)):
                raise PydanticCustomError("reference", problem)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, str]:
        return {place: getattr(self, place) for place in PLACES if getattr(self, place)}

    @property
    def reference(self) -> str:
        """Where it is kept, as one text: ``env NAME``."""
        return next(f"{place} {getattr(self, place)}" for place in PLACES if getattr(self, place))

    def resolve(self, handed: Mapping[str, Handed] | None = None) -> None:
        """Fetch it, or take what was handed over for its reference. Raises Unresolved."""
        if handed is None:
            self._value = fetched(self)
            return
        given = handed.get(self.reference, Handed(problem="nobody handed it over"))
        if given.problem:
            raise Unresolved(given.problem, given.remedy)
        self._value = given.value

    def reveal(self) -> str:
        """The secret itself; only after the host resolved it."""
        assert self._value, "the host resolves a secret before anybody asks for it"
        return self._value


def fetched(secret: Secret) -> str:
    """What is kept there. Raises Unresolved."""
    if secret.env:
        return _of_environment(secret.env)
    if secret.file:
        return _of_file(Path(secret.file).expanduser())
    return _of_keyring(secret.keyring)


def _of_environment(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise Unresolved(f"the environment variable {name} is not set", f"export {name}=… before the start")
    return value


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # Asked of the open file: whoever exchanges the path now changes nothing.
            _refuse_shared(path, os.fstat(file.fileno()))
            value = file.read(BYTES_MAX + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        remedy = f"write the secret into it, and chmod 600 {path}"
        raise Unresolved(f"{path} cannot be read: {reason}", remedy) from None
    if not value:
        raise Unresolved(f"{path} is empty", "write the secret into it")
    if len(value) > BYTES_MAX:
        raise Unresolved(f"{path} is larger than {BYTES_MAX} bytes: not a secret", "name the file of the secret")
    return value


def _refuse_shared(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unresolved(f"{path} is no regular file", "name the file of the secret")
    if found.st_uid != os.geteuid():
        raise Unresolved(f"{path} belongs to another user (id {found.st_uid})", f"sudo chown {os.geteuid()} {path}")
    if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise Unresolved(f"others may read or write {path}", f"chmod 600 {path}")


def _of_keyring(entry: str) -> str:
    service, _, name = entry.rpartition("/")
    try:
        library: Any = import_module("keyring")
    except ImportError:
        raise Unresolved("the keyring needs the library keyring", "pip install 'polyhost[keyring]'") from None
    try:
        value = library.get_password(service, name)
    except library.errors.NoKeyringError:
        raise Unresolved(
            "this machine has no keyring that can be used (none runs without a desktop session)", "use { file = … }"
        ) from None
    except library.errors.KeyringError as error:
        raise Unresolved(f"the keyring does not open: {type(error).__name__}", "unlock it and try again") from None
    if not value:
        raise Unresolved(f"the keyring has no entry {service} {name}", f"keyring set {service} {name}")
    return str(value)


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


def references_in(value: object) -> Iterator[Secret]:
    """What has the form of a reference in a plugin's table as TOML gives it, however deep."""
    if isinstance(value, dict):
        (key, place), *others = value.items() or [("", "")]
        if not others and key in PLACES and isinstance(place, str) and place:
            with suppress(ValidationError):  # not one: whoever wants a secret there refuses it
                yield Secret.model_validate(value)
        else:
            for item in value.values():
                yield from references_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references_in(item)


def may_hold_secrets(model: type[BaseModel]) -> bool:
    """Does the model have a setting for a secret? Then nothing that was given for it is ever repeated."""
    return "Secret" in model.model_json_schema().get("$defs", {})
