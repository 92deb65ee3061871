"""Layers into one configuration: merging, where each value came from, and the hash that names the result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from polyhost.configuration.accounts import of_account, refuse_unknown
from polyhost.configuration.choices import Choices, choices_of
from polyhost.configuration.names import refuse_names
from polyhost.configuration.precedence import Disagreement, disagreements, heeded, ordered, set_twice
from polyhost.configuration.problems import place_of, refusal, refuse_at_once
from polyhost.configuration.rules import refuse_contradictions
from polyhost.configuration.sources import (
    Kind,
    Layer,
    command_line_layer,
    environment_layers,
    file_layer,
    fragment_layers,
    set_layers,
)
from polyhost.settings import Configuration, HostTable

FILE_NAME: Final = "polyhost.toml"
"""Read from the working directory when no file is named."""
DEFAULT: Final = "default"


@dataclass(frozen=True)
class Loaded:
    """A configuration that passed its checks."""

    configuration: Configuration
    labels: Mapping[str, Layer] = field(repr=False)
    """The layer that set each value, by dotted key; what is not here is a default."""
    path: Path | None
    """The file; None: there is none."""
    config_hash: str
    """First 12 hex digits of the SHA-256 of the effective configuration (without ``host.data_dir``: moving a run's
    home changes nothing that it does)."""
    disagreements: tuple[Disagreement, ...] = ()
    """Where a person and the machine's choices set a plugin differently, and who holds."""
    doubles: tuple[str, ...] = ()
    """Plugins that more than one fragment sets, in words."""
    reader: Callable[..., Loaded] | None = field(default=None, repr=False)
    """Reads the same layers once more."""

    @property
    def base(self) -> Path:
        """The folder that relative ``plugin_paths`` start from."""
        return Path() if self.path is None else self.path.parent

    @cached_property
    def origin(self) -> dict[str, str]:
        """Where each value came from, by dotted key: ``default``, or the layer and its file with the line, or its
        variable (``file mine.toml:3``, ``environment POLYHOST__HOST__RECORD``)."""
        return {key: self.origin_of(key) for key in dotted_values(self.configuration)}

    def origin_of(self, dotted: str) -> str:
        """The same of one key, of a default too that is no value of the configuration's own (a plugin's)."""
        layer = self.labels.get(dotted)
        return DEFAULT if layer is None else layer.origin(dotted)

    def place(self, dotted: str) -> str:
        """As an error tells where a key was set: file and line, or variable, of the key or the table it is in."""
        return place_of(dotted, self.labels)

    @property
    def chosen(self) -> frozenset[str]:
        """Plugins about which something was chosen in the data folder."""
        named = (dotted.split(".") for dotted, layer in self.labels.items() if layer.kind is Kind.CHOICE)
        return frozenset(parts[1] for parts in named if parts[0] == "plugins" and len(parts) > 1)

    def again(self, choices: Choices | None = None) -> Loaded:
        """The same layers as they are now, with these choices instead of the data folder's. Raises ConfigError."""
        assert self.reader is not None, "only what was read can be read again"
        return self.reader(choices=choices)

    def for_account(self, name: str) -> Loaded:
        """The same layers as they are for one of the accounts. Raises ConfigError: there is none of this name."""
        refuse_unknown(self.configuration, name)
        assert self.reader is not None, "only what was read can be read again"
        return self.reader(account=name)

    def told(self) -> list[str]:
        """What a person should know of this configuration, though it is good."""
        return [*(str(each) for each in self.disagreements), *self.doubles]


def load_configuration(
    path: Path | None = None, overrides: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None,
    *, sets: Iterable[str] = (), chosen: bool | None = None, choices: Choices | None = None, account: str = "",
) -> Loaded:
    """The effective configuration.

    ``path``: the file of ``-c``; None takes ./polyhost.toml if there is one, else the defaults alone. ``overrides``:
    values of the command line by dotted key, ``sets`` its words ``TABLE.KEY=VALUE``, which the former win over.
    ``env``: variables ``POLYHOST__SECTION__KEY`` (None: this process's).
    ``chosen``: take what was chosen in the data folder, too (None: unless ``env`` says what surrounds this run).
    ``choices``: those to take instead of the data folder's.
    ``account``: as it is for this account of those configured. Raises ConfigError.
    """
    reader = partial(load_configuration, path, overrides, env, sets=tuple(sets), chosen=chosen, account=account)
    file = _file_of(path)
    fragments = fragment_layers(file) if file is not None else []
    files = [*([file_layer(file)] if file is not None else []), *fragments]
    given = environment_layers(os.environ if env is None else env)
    later = [*given, *set_layers(sets), command_line_layer(overrides or {})]
    person, labels = _merged([*files, *later])
    if account:
        person, labels = of_account(person, labels, account)
    if choices is None:
        choices = choices_of(_data_dir(person)) if (env is None if chosen is None else chosen) else Choices(Path())
    tables = person["plugins"] if isinstance(person["plugins"], dict) else {}
    told = tuple(disagreements(choices, tables, labels))
    merged = person
    if choices.plugins:
        merged, labels = _merged([*files, heeded(choices, tables), *later])
        if account:
            merged, labels = of_account(merged, labels, account)
    if isinstance(merged["plugins"], dict):
        merged["plugins"] = ordered(merged["plugins"], files, choices)
    configuration = _validated(merged, labels)
    refuse_names(configuration.plugins, labels)
    refuse_contradictions(configuration, labels)
    for name in () if account else configuration.accounts:
        own, origin = of_account(merged, labels, name)
        refuse_contradictions(_validated(own, origin), origin)
    return Loaded(configuration, labels, file, config_hash(configuration), told, tuple(set_twice(fragments)), reader)


def _merged(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, Layer]]:
    """The layers over each other, and which one set each value last."""
    merged: dict[str, Any] = {"plugins": {}}
    labels: dict[str, Layer] = {}
    for layer in layers:
        refuse_at_once(layer)
        _merge(merged, layer.values, layer, labels, "")
    return merged, labels


def _data_dir(merged: Mapping[str, Any]) -> str:
    """Where the choices are; a wrong value is told when all are checked."""
    host = merged.get("host")
    given = host.get("data_dir") if isinstance(host, dict) else None
    return given if isinstance(given, str) else HostTable().data_dir


def config_hash(configuration: Configuration) -> str:
    """Twelve hex digits that differ when anything that decides a run's behaviour differs, the plugins' order too."""
    plain = configuration.model_dump(mode="json")
    del plain["host"]["data_dir"]
    named = {"configuration": plain, "plugin_order": list(configuration.plugins)}
    text = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _file_of(path: Path | None) -> Path | None:
    if path is not None:
        return path
    here = Path(FILE_NAME)
    return here if here.exists() else None


def _merge(into: dict[str, Any], values: Mapping[str, Any], layer: Layer, labels: dict[str, Layer], at: str) -> None:
    """Tables merge, everything else replaces; each value's label is the last layer that set it."""
    for key, value in values.items():
        dotted = f"{at}{key}"
        if isinstance(value, dict):
            below = into.get(key)
            into[key] = below = dict(below) if isinstance(below, dict) else {}
            labels[dotted] = layer
            _merge(below, value, layer, labels, f"{dotted}.")
        else:
            into[key] = value
            labels[dotted] = layer


def _validated(merged: dict[str, Any], labels: Mapping[str, Layer]) -> Configuration:
    try:
        return Configuration.model_validate(_tupled(merged), strict=True)
    except ValidationError as error:
        raise refusal(error, labels) from None


def _tupled(merged: Mapping[str, Any]) -> dict[str, Any]:
    """TOML arrays as the tuples that strict validation wants; the plugins' tables are left as they are."""

    def tupled(value: object) -> object:
        if isinstance(value, list):
            return tuple(tupled(item) for item in value)
        return {key: tupled(item) for key, item in value.items()} if isinstance(value, dict) else value

    return {key: value if key == "plugins" else tupled(value) for key, value in merged.items()}


def dotted_values(configuration: Configuration) -> dict[str, Any]:
    """Every value by dotted key, as JSON-able data; a plugin with an empty table is ``plugins.NAME`` with ``{}``."""
    found: dict[str, Any] = {}

    def walk(value: Any, at: str) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(item, f"{at}.{key}" if at else key)
        elif at != "plugins" and value is not None:
            found[at] = value

    walk(configuration.model_dump(mode="json"), "")
    return found
