"""From a class and its TOML table to a plugin instance: contract version, typed settings, state and log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from polyhost.errors import ConfigError, PluginError
from polyhost.extension.containing import contained
from polyhost.extension.handing import discreet, without
from polyhost.extension.sources import Source, loaded_class
from polyhost.extension.specification import Bound, implementations
from polyhost.extension.state import PluginState
from polyhost.hooks import API
from polyhost.model.secrecy import shown
from polyhost.plugin import Plugin
from polyhost.secret import FORMS, Handed, Unresolved, secrets_in
from polyhost.wording import first_of, refused

if TYPE_CHECKING:
    from loguru import Logger, Record

HOST_KEYS: Final[dict[str, type]] = {"enabled": bool, "use": str, "trusted": bool}
"""Keys of ``[plugins.NAME]`` that are the host's, with their types."""


class SecretMissingError(ConfigError):
    """A secret that a setting refers to is not where it should be."""


class Built(Struct, frozen=True):
    """A plugin ready to be asked."""

    instance: Plugin
    hooks: dict[str, Bound]
    settings: dict[str, Any]
    """Every setting with its value, as JSON-able data."""
    state: PluginState
    channels: tuple[str, ...] = ("",)
    secrets: tuple[tuple[str, str], ...] = ()
    """(reference, secret) of its settings: what no text may ever hold."""

    def __repr__(self) -> str:
        return f"Built({', '.join(self.hooks)})"


def built(
    source: Source, name: str, table: Mapping[str, Any], file: str = "", handed: Mapping[str, Handed] | None = None
) -> Built:
    """Import, check and build one plugin. ``table`` holds its own settings, without the host's keys. ``handed``:
    its secrets, resolved by the host; None: this process is the host's own, and resolves them.

    Raises ConfigError for its settings, PluginError for everything else.
    """
    kind = loaded_class(source)
    _check_class(kind, name, source)
    settings = settings_of(kind, name, table, file)
    secrets = _fetch_secrets(settings, name, file, handed)
    texts = tuple(secret for _, secret in secrets)
    instance = _instance(kind, name, settings, source, texts)
    state = PluginState(name)
    instance.state = state
    hooks = discreet(implementations(instance, name, source.origin), texts)
    channels = _channels(instance, name, source)
    return Built(instance, hooks, settings.model_dump(mode="json"), state, channels, secrets)


def _channels(instance: Plugin, name: str, source: Source) -> tuple[str, ...]:
    channels = instance.channels
    if (
        not isinstance(channels, tuple) or len(set(channels)) != len(channels)
        or not all(isinstance(channel, str) for channel in channels)
    ):
        raise PluginError(
            f"its channels are {channels!r}", plugin=name, origin=source.origin, remedy="name each once, in a tuple"
        )
    return channels


def _fetch_secrets(
    settings: BaseModel, name: str, file: str, handed: Mapping[str, Handed] | None
) -> tuple[tuple[str, str], ...]:
    """(reference, secret) of each that the settings name, resolved in place."""
    found: list[tuple[str, str]] = []
    for key, secret in secrets_in(settings):
        try:
            secret.resolve(handed)
        except Unresolved as error:
            # Where it stands in a list does not matter to who looks for the line.
            *tables, last = (part for part in key.split(".") if not part.isdigit())
            raise SecretMissingError(
                str(error), file=file, table=".".join(("plugins", name, *tables)), key=last,
                value=secret.reference, allowed=FORMS, remedy=error.remedy,
            ) from None
        found.append((secret.reference, secret.reveal()))
    return tuple(found)


def _check_class(kind: type[Any], name: str, source: Source) -> None:
    def refuse(problem: str, remedy: str = "") -> PluginError:
        return PluginError(problem, plugin=name, origin=source.origin, remedy=remedy or source.remedy)

    if not issubclass(kind, Plugin):
        raise refuse(f"{kind.__name__} is not derived from polyhost.Plugin", "derive it: class X(Plugin)")
    if kind.api != API:
        newer = isinstance(kind.api, int) and kind.api > API
        raise refuse(
            f"is written for hook contract {kind.api!r}, this host speaks {API}",
            "upgrade polyhost, or install an older version of it" if newer else "install a newer version of it",
        )
    if not (isinstance(kind.Settings, type) and issubclass(kind.Settings, BaseModel)):
        raise refuse("its Settings is no pydantic model", "derive it from polyhost.Settings")
    for key in HOST_KEYS:
        if key in kind.Settings.model_fields:
            raise refuse(f"its setting {key!r} is one of the host's own keys", "rename the setting")


def settings_of(kind: type[Any], name: str, table: Mapping[str, Any], file: str = "") -> BaseModel:
    """The plugin's settings from its table.

    Raises ConfigError (file, table, key, value, what is allowed, nearest), PluginError when its own checks fail.
    """
    model: type[BaseModel] = kind.Settings
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        # pydantic's own text quotes what was given, which may be a secret.
        raise _settings_error(model, error, f"plugins.{name}", file) from None
    except BaseException as error:  # checks of the author's own may raise anything, its text what was given
        kind_of_error = contained(error).partition(":")[0]
        raise PluginError(f"its settings cannot be checked: {kind_of_error}", plugin=name) from None


def _settings_error(model: type[BaseModel], error: ValidationError, table: str, file: str) -> ConfigError:
    problem, others = first_of(error.errors())
    remedy = "take it out; `polyhost plugins list --json` tells each plugin's settings"
    return refused(model, problem, others, file=file, table=table, remedy=remedy)


def _instance(
    kind: type[Plugin], name: str, settings: BaseModel, source: Source, secrets: tuple[str, ...]
) -> Plugin:
    instance = kind.__new__(kind)
    # The log is there before the author's own __init__ runs, which may well want to say something.
    instance.log = cast("Logger", _Log(name, secrets))
    instance.metrics = {}
    try:
        instance.__init__(settings)  # type: ignore[misc]
    except BaseException as error:  # the author's code may raise anything
        raise PluginError(
            f"cannot be built: {contained(error)}", plugin=name, origin=source.origin, remedy=source.remedy
        ) from error
    return instance


class _Log:
    """A plugin's logger, bound to its name at its first line: until then nobody needs the library.

    It says nothing of the plugin's secrets, from the first line on, wherever the plugin runs.
    """

    def __init__(self, plugin: str, secrets: tuple[str, ...]) -> None:
        self._plugin = plugin
        self._secrets = secrets

    def __getattr__(self, name: str) -> Any:
        from loguru import logger

        bound = logger.bind(plugin=self._plugin)
        return getattr(bound.patch(self._clean) if self._secrets else bound, name)

    def _clean(self, record: Record) -> None:
        record["message"] = without(record["message"], self._secrets)


def host_keys(name: str, table: Mapping[str, Any], file: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The table parted into the host's keys and the plugin's own. Raises ConfigError for a wrong type."""
    mine: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in table.items():
        if key not in HOST_KEYS:
            own[key] = value
            continue
        wanted = HOST_KEYS[key]
        if type(value) is not wanted:
            allowed = ("true", "false") if wanted is bool else ("the name of a plugin",)
            raise ConfigError(
                "has the wrong type", file=file, table=f"plugins.{name}", key=key, value=shown(key, value),
                allowed=allowed,
            )
        mine[key] = value
    return mine, own
