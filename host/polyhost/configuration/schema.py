"""The JSON Schema of a configuration file, for editors that complete and check TOML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
from polyhost.settings import Configuration

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PLUGIN_KEYS: Final[dict[str, dict[str, Any]]] = {
    "enabled": {"type": "boolean", "default": True, "description": "false switches the plugin off."},
    "use": {"type": "string", "description": "Runs that plugin once more under this table's name."},
    "trusted": {
        "type": "boolean", "default": False,
        "description": "Runs a plugin that is not built in inside the host's own process.",
    },
}
"""What every plugin's table takes besides its own settings."""


def schema(others: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None) -> dict[str, Any]:
    """Everything that may stand in a file. ``others``: plugins that are not shipped, or tables with ``use``: name →
    (description, JSON Schema of the settings)."""
    classes: dict[str, type[BaseModel]] = {name: shipped_class(name).Settings for name in SHIPPED_PLUGINS}
    models = [(model, "validation") for model in (Configuration, *classes.values())]
    found, shared = models_json_schema(models)  # type: ignore[arg-type]
    definitions: dict[str, Any] = shared.get("$defs", {})
    plugins = {
        name: _table(definitions, found[model, "validation"], shipped_class(name).description)
        for name, model in classes.items()
    }
    for name, (description, settings) in (others or {}).items():
        inner = dict(settings)
        definitions |= inner.pop("$defs", {})
        plugins[name] = _plugin(inner, description)
    whole = dict(definitions[_name_of(found[Configuration, "validation"])])
    whole["properties"] = dict(whole["properties"]) | {"plugins": _plugins(plugins)}
    return {"$schema": DIALECT, **whole, "title": "polyhost", "$defs": definitions}


def _name_of(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _table(definitions: Mapping[str, Any], reference: Mapping[str, Any], description: str) -> dict[str, Any]:
    return _plugin(definitions[_name_of(reference)], description)


def _plugin(settings: Mapping[str, Any], description: str) -> dict[str, Any]:
    """The schema of a plugin's table: its settings, and the keys that every table has."""
    return {
        **settings, "title": description or "a plugin", "description": description,
        "properties": PLUGIN_KEYS | dict(settings.get("properties", {})),
    }


def _plugins(known: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of plugins that are not known here (second instances, anyone's) may hold whatever they take."""
    return {
        "type": "object",
        "description": "[plugins.NAME] enables a plugin and sets it up, in order of precedence.",
        "properties": dict(known),
        "additionalProperties": {"type": "object", "properties": dict(PLUGIN_KEYS)},
    }
