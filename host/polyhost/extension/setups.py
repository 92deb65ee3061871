"""What a configuration comes to, for plugins that are not built in to say what in it could never happen (EXI-11).

Built-in plugins are asked when the configuration is read (configuration/rules.py). Anyone else's code is asked where it
runs: a trusted plugin's in the host, every other one's in its own process, which makes the settings of the built-in
plugins anew from their tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from polyhost.errors import ConfigError, PluginError
from polyhost.extension.building import host_keys, settings_of
from polyhost.extension.containing import contained
from polyhost.extension.sources import Source, loaded_class
from polyhost.model.secrecy import shown
from polyhost.model.series import DURATIONS
from polyhost.plugin import Contradiction, Settings, Setup
from polyhost.secret import may_hold_secrets
from polyhost.settings import Configuration


class RunningPlugin(Struct, frozen=True):
    """A built-in plugin that runs: its name, its class, and its own settings as the configuration gives them."""

    name: str
    source: Source
    table: dict[str, Any]


class Surroundings(Struct, frozen=True):
    """Plain data that ``Setup`` is made of."""

    windows: tuple[tuple[str, int], ...]
    """(length as it is configured, seconds) of every window length that is traded."""
    close_before_expiry_s: float
    running: tuple[RunningPlugin, ...]


def surroundings(configuration: Configuration, sources: Mapping[str, Sequence[Source]]) -> Surroundings:
    """Of the plugins those that are built in, run, and have no setting for a secret, which is nobody else's matter."""
    markets = configuration.markets
    lengths = tuple((name, DURATIONS[name]) for name in markets.durations) if markets.symbols else ()
    return Surroundings(
        lengths, configuration.safety.close_before_expiry_s, tuple(_built_in(configuration.plugins, sources))
    )


def _built_in(
    tables: Mapping[str, Mapping[str, Any]], sources: Mapping[str, Sequence[Source]]
) -> Iterator[RunningPlugin]:
    for name, table in tables.items():
        try:
            mine, own = host_keys(name, table)
            source = next(iter(sources.get(mine.get("use", name), ())), None)
            if source is None or not source.built_in or not mine.get("enabled", True):
                continue
            if not may_hold_secrets(loaded_class(source).Settings):
                yield RunningPlugin(name, source, own)
        except (ConfigError, PluginError):
            continue  # told where that plugin is loaded


def refuse_contradictions(settings: BaseModel, name: str, around: Surroundings, file: str = "") -> None:
    """Ask a plugin's own settings. Raises ConfigError for the first contradiction, PluginError for no usable answer."""
    ask = getattr(settings, "contradictions", None)
    if ask is None or getattr(type(settings), "contradictions", None) is Settings.contradictions:
        return
    running = tuple(_settings(around.running))
    first_s = min((each.not_first_s for _, kind, each in running if kind == "entry_policy"), default=0.0)
    for window, duration_s in around.windows:
        setup = Setup(window, duration_s, first_s, around.close_before_expiry_s, running)
        try:
            found = next(iter(ask(setup)), None)
        except BaseException as error:  # the author's code may raise anything
            raise PluginError(
                f"what contradicts its settings cannot be asked: {contained(error)}", plugin=name,
                remedy=f"mend contradictions() of its settings, or [plugins.{name}] enabled = false",
            ) from None
        if isinstance(found, Contradiction):
            raise _refusal(settings, name, found, file)
        if found is not None:
            raise PluginError(f"contradictions() of its settings gave {type(found).__name__}", plugin=name,
                              remedy="give Contradiction(key, problem, allowed)")


def _settings(running: Sequence[RunningPlugin]) -> Iterator[tuple[str, str, Any]]:
    """(name, class name, settings); settings that are wrong are told by their builder."""
    for each in running:
        try:
            yield each.name, each.source.name, settings_of(loaded_class(each.source), each.name, each.table)
        except ConfigError:
            continue


def _refusal(settings: BaseModel, name: str, found: Contradiction, file: str) -> ConfigError:
    value = settings.model_dump(mode="json").get(found.key)
    return ConfigError(
        found.problem, file=file, table=f"plugins.{name}", key=found.key, value=shown(found.key, value),
        allowed=(found.allowed,) if found.allowed else (),
        remedy=f"or switch it off: [plugins.{name}] enabled = false",
    )
