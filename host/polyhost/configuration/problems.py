"""Refusals in a person's words: where, which key, what was given, what is allowed, and the nearest name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from polyhost.configuration.sources import Layer
from polyhost.errors import ConfigError, nearest_name
from polyhost.model.quantities import Money, Price, Shares
from polyhost.model.secrecy import shown
from polyhost.settings import Configuration, Table

_WORDS: Final = {
    "string": "a text in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a table",
}
_PLURALS: Final = {"string": "texts in quotes", "integer": "whole numbers", "number": "numbers"}
_BOUNDS: Final = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}


def refusal(error: ValidationError, labels: Mapping[str, Layer]) -> ConfigError:
    """The first problem that pydantic found, with the number of the others."""
    problems = error.errors(include_url=False)
    return _told(problems[0], labels, len(problems) - 1)


def _told(problem: ErrorDetails, labels: Mapping[str, Layer], others: int) -> ConfigError:
    parts = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    table, key = (".".join(parts[:-1]), parts[-1]) if parts else ("", "")
    more = f" (and {others} more)" if others else ""
    place = place_of(".".join(parts), labels)
    given = shown(key, problem["input"])
    if problem["type"] == "extra_forbidden":
        names = _names_in(table)
        what = "unknown section" if isinstance(problem["input"], dict) else "unknown key"
        return ConfigError(
            what + more, file=place, table=table, key=key, value=None if isinstance(given, dict) else given,
            allowed=names, nearest=nearest_name(key, names),
        )
    allowed = allowed_values(table, key)
    near = nearest_name(given, allowed) if isinstance(given, str) else ""
    text = problem["msg"].removeprefix("Value error, ")[:1].lower() + problem["msg"].removeprefix("Value error, ")[1:]
    return ConfigError(text + more, file=place, table=table, key=key, value=given, allowed=allowed, nearest=near)


def place_of(dotted: str, labels: Mapping[str, Layer]) -> str:
    """Where a key was set, as an error tells it (file and line, or variable); ``defaults`` when nobody set it."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        layer = labels.get(".".join(parts[:length]))
        if layer is not None:
            return layer.place(dotted)
    return "defaults"


def _table_of(table: str) -> type[BaseModel] | None:
    if not table:
        return Configuration
    field = Configuration.model_fields.get(table)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Table) else None


def _names_in(table: str) -> tuple[str, ...]:
    model = _table_of(table)
    return tuple(model.model_fields) if model else ()


def allowed_values(table: str, key: str) -> tuple[str, ...]:
    """What a key takes, from its type: the words of a closed choice, or its kind and bounds."""
    model = _table_of(table)
    if model is None or key not in model.model_fields:
        return ()
    return allowed_in(model, key)


def allowed_in(model: type[BaseModel], key: str) -> tuple[str, ...]:
    """The same for a field of any settings class."""
    kind = model.model_fields[key].annotation
    if isinstance(kind, type) and issubclass(kind, Price | Money | Shares):
        return (kind.unit,)
    rules: dict[str, Any] = model.model_json_schema()["properties"][key]
    item = rules.get("items", rules)
    if "const" in item:
        return (str(item["const"]),)
    if "enum" in item:
        return tuple(str(value) for value in item["enum"])
    if "items" in rules:
        return (f"a list of {_PLURALS.get(item.get('type', ''), 'values')}",)
    if "$ref" in rules:
        return (_WORDS["object"],)
    words = [_WORDS.get(rules.get("type", ""), "")]
    words += [f"{word} {rules[bound]:g}" for bound, word in _BOUNDS.items() if bound in rules]
    return (" ".join(word for word in words if word),)


def refuse_infinite(layer: Layer) -> None:
    """TOML knows inf and nan; no setting does."""

    def walk(value: object, path: Sequence[str]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, str(key)))
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item, path)
        elif isinstance(value, float) and not isfinite(value):
            *tables, key = path
            raise ConfigError(
                "is not a finite number", file=layer.place(".".join(path)), table=".".join(tables), key=key,
                value=value, allowed=("a finite number",),
            )

    walk(layer.values, ())
