"""Layers into one configuration: merging, where each value came from, and the hash that names the result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from polyhost.configuration.problems import refusal, refuse_infinite
from polyhost.configuration.rules import refuse_contradictions
from polyhost.configuration.shipped import OFF_BY_DEFAULT, SHIPPED_PLUGINS
from polyhost.configuration.sources import Layer, command_line_layer, environment_layers, file_layer
from polyhost.settings import Configuration

FILE_NAME: Final = "polyhost.toml"
"""Read from the working directory when no file is named."""
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that passed its checks."""

    configuration: Configuration
    origin: dict[str, str]
    """Where each value came from, by dotted key: ``default``, the file's path, ``environment`` or ``command line``."""
    path: Path | None
    """The file; None: there is none."""
    config_hash: str
    """First 12 hex digits of the SHA-256 of the effective configuration (without ``host.data_dir``: moving a run's
    home changes nothing that it does)."""

    @property
    def base(self) -> Path:
        """The folder that relative ``plugin_paths`` start from."""
        return Path() if self.path is None else self.path.parent


def load_configuration(
    path: Path | None = None, overrides: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
) -> Loaded:
    """The effective configuration.

    ``path``: the file of ``-c``; None takes ./polyhost.toml if there is one, else the defaults alone. ``overrides``:
    values of the command line by dotted key. ``env``: variables ``POLYHOST__SECTION__KEY`` (None: this process's).
    Raises ConfigError.
    """
    file = _file_of(path)
    layers = [file_layer(file)] if file is not None else []
    layers += environment_layers(os.environ if env is None else env)
    layers.append(command_line_layer(overrides or {}))
    merged: dict[str, Any] = {"plugins": {}}
    labels: dict[str, Layer] = {}
    for layer in layers:
        refuse_infinite(layer)
        _merge(merged, layer.values, layer, labels, "")
    merged["plugins"] = _with_shipped(merged["plugins"])
    configuration = _validated(merged, labels)
    refuse_contradictions(configuration, labels)
    return Loaded(configuration, _origins(configuration, labels), file, config_hash(configuration))


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


def _with_shipped(plugins: object) -> object:
    """The plugins that were named, in their order, then the shipped ones that were not."""
    if not isinstance(plugins, dict):
        return plugins
    unnamed = [name for name in SHIPPED_PLUGINS if name not in plugins]
    return plugins | {name: {"enabled": False} if name in OFF_BY_DEFAULT else {} for name in unnamed}


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


def _origins(configuration: Configuration, labels: Mapping[str, Layer]) -> dict[str, str]:
    return {key: labels[key].origin if key in labels else DEFAULT for key in dotted_values(configuration)}


def dotted_values(configuration: Configuration) -> dict[str, Any]:
    """Every value by dotted key, as JSON-able data; a plugin with an empty table is ``plugins.NAME`` with ``{}``."""
    found: dict[str, Any] = {}

    def walk(value: Any, at: str) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(item, f"{at}.{key}" if at else key)
        elif at != "plugins":
            found[at] = value

    walk(configuration.model_dump(mode="json"), "")
    return found
