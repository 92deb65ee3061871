"""A wrong setting in a person's words: the problem, what is allowed, what to do. Read from the settings' own classes.

It knows how pydantic calls a problem, so that no message has to repeat it; where the setting came from, and which
tables there are, is the caller's knowledge.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from types import UnionType
from typing import Any, Final, TypeGuard, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic_core import ErrorDetails

from polyhost.errors import ConfigError, nearest_name
from polyhost.model.quantities import Money, Price, Shares
from polyhost.model.secrecy import HIDDEN, PLAIN, shown, without_secrets
from polyhost.secret import FORMS, Secret, may_hold_secrets

REVEALED: Final = "keep a new one there: this one was seen by whoever saw the configuration"
_WORDS: Final = {
    "string": "a text in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a table",
}
_PLURALS: Final = {"string": "texts in quotes", "integer": "whole numbers", "number": "numbers"}
_BOUNDS: Final = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
_PROBLEMS: Final = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "literal_error": "is none of its choices",
    "too_short": "has too few entries",
    "too_long": "has too many entries",
    PLAIN: "a secret has no place in a configuration",
}
_LIMITS: Final = ("greater_than", "less_than")
_TYPES: Final = ("_type", "_parsing", "_from_float")


def first_of(problems: Sequence[ErrorDetails]) -> tuple[ErrorDetails, int]:
    """The first problem, and how many others there are; a list is not too short as well because an entry is wrong."""
    first = problems[0]
    others = [each for each in problems[1:] if each["loc"] != first["loc"][: len(each["loc"])]]
    return first, len(others)


def refused(
    model: type[BaseModel], problem: ErrorDetails, others: int, *, file: str = "", table: str = "", remedy: str = ""
) -> ConfigError:
    """What pydantic found in the settings of ``table``, as a person is told it.

    ``others``: how many more problems there are. ``remedy``: what to do about a key that is none.
    """
    # Places in lists are left out: the key is what a person looks for.
    path = [part for part in problem["loc"] if isinstance(part, str)]
    key = path[-1] if path else ""
    around = _kind_at(model, path[:-1])
    inner = around if _is_model(around) else _model_or_nothing(around)
    kind = problem["type"]
    error = ConfigError(
        _problem(key, problem) + (f" (and {others} more)" if others else ""), file=file, key=key,
        table=".".join(part for part in (table, *path[:-1]) if part),
        value=None if kind in ("missing", PLAIN) else _given(model, inner, key, problem),
    )
    if kind == "extra_forbidden":
        names = () if inner is None else tuple(inner.model_fields)
        error.allowed = names or ("(no settings)",)
        error.nearest = nearest_name(key, names)
        error.remedy = "" if error.nearest else remedy
        error.value = None if isinstance(error.value, dict) else error.value
        return error
    if inner is None:
        error.allowed = _allowed_of(_kind_at(model, path))
    elif key in inner.model_fields:
        error.allowed = allowed_in(inner, key)
    if kind in (PLAIN, "reference"):
        error.allowed = FORMS
    error.nearest = nearest_name(error.value, error.allowed) if isinstance(error.value, str) else ""
    error.remedy = _remedy(inner, error, kind)
    return error


def _model_or_nothing(kind: Any) -> type[BaseModel] | None:
    """The table of ``Table | None``; None for anything else."""
    models = [part for part in get_args(kind) if _is_model(part)]
    return models[0] if models and isinstance(kind, UnionType) else None


def _problem(key: str, problem: ErrorDetails) -> str:
    kind = problem["type"]
    if kind in _PROBLEMS:
        return _PROBLEMS[kind]
    if kind.startswith(_LIMITS):
        return "is out of range"
    if kind.endswith(_TYPES):
        return "has the wrong type"
    text = problem["msg"].removeprefix("Value error, ")
    return without_secrets(text[:1].lower() + text[1:], key, problem["input"])


def _given(model: type[BaseModel], inner: type[BaseModel] | None, key: str, problem: ErrorDetails) -> Any:
    """What was given, unless it may be a secret: then nothing of it is repeated."""
    field = inner.model_fields.get(key) if inner is not None else None
    secret = may_hold_secrets(model) if field is None else _may_hold_secret(field.annotation)
    given = problem["input"]
    # A default that goes badly with another setting was parsed before it was checked.
    return HIDDEN if secret else shown(key, str(given) if isinstance(given, Price | Money | Shares) else given)


def _may_hold_secret(kind: Any) -> bool:
    if _is_model(kind):
        return issubclass(kind, Secret) or may_hold_secrets(kind)
    return any(_may_hold_secret(part) for part in get_args(kind))


def _remedy(model: type[BaseModel] | None, error: ConfigError, kind: str) -> str:
    if kind == PLAIN:
        return REVEALED
    if error.allowed == (_WORDS["object"],):
        return f"give it a heading: [{'.'.join(part for part in (error.table, error.key) if part)}]"
    field = None if model is None else model.model_fields.get(error.key)
    if model is None or field is None:
        return "take it out, or write what is allowed"
    if default := default_line(model, error.key):
        if default == f"{error.key} = {toml_text(error.value)}":
            return f"it is the default: write {error.key} too"
        return f"leave it out for the default, {default}"
    example = error.allowed[0] if error.allowed else "…"
    return f"write {error.key} = {f'[{example}]' if get_origin(field.annotation) in (tuple, list) else example}"


def _kind_at(model: type[BaseModel], path: Sequence[str]) -> Any:
    """The annotation of what stands there; None: there is nothing of that name."""
    kind: Any = model
    for name in path:
        kind = _below(kind, name)
    return kind


def _below(kind: Any, name: str) -> Any:
    if _is_model(kind):
        field = kind.model_fields.get(name)
        return None if field is None else field.annotation
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return next((found for part in get_args(kind) if (found := _below(part, name)) is not None), None)


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def allowed_in(model: type[BaseModel], key: str) -> tuple[str, ...]:
    """What a field of a settings class takes, from its type: the words of a closed choice, or its kind and bounds."""
    kind = model.model_fields[key].annotation
    if _is_secret(kind):
        return FORMS
    if isinstance(kind, type) and issubclass(kind, Price | Money | Shares):
        return (kind.unit,)
    return _allowed_by(_properties(model)[key])


@cache
def _properties(model: type[BaseModel]) -> dict[str, Any]:
    # Whoever asks for one setting asks for the others next.
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return properties


def _allowed_of(kind: Any) -> tuple[str, ...]:
    """The same for an annotation by itself."""
    return () if kind is None else _allowed_by(TypeAdapter(kind).json_schema())


def _is_secret(kind: Any) -> bool:
    return kind is Secret or any(_is_secret(part) for part in get_args(kind))


def _allowed_by(rules: dict[str, Any]) -> tuple[str, ...]:
    item = rules.get("items", rules)
    if "const" in item:
        return (str(item["const"]),)
    if "enum" in item:
        return tuple(str(value) for value in item["enum"])
    if "items" in rules:
        return (f"a list of {_PLURALS.get(item.get('type', ''), 'values')}",)
    if "$ref" in rules:
        return (_WORDS["object"],)
    return (" or ".join(words for each in rules.get("anyOf", (rules,)) if (words := _described(each))),)


def _described(rules: dict[str, Any]) -> str:
    words = [_WORDS["object"] if "$ref" in rules else _WORDS.get(rules.get("type", ""), "")]
    bounds = " and ".join(f"{word} {rules[bound]:g}" for bound, word in _BOUNDS.items() if bound in rules)
    return " ".join(word for word in (*words, bounds) if word)


def default_line(model: type[BaseModel], key: str) -> str:
    """A setting at its default as TOML writes it, ``speed = 1.0``; empty when it has none."""
    field = model.model_fields.get(key)
    if field is None or field.is_required():
        return ""
    plain = json.loads(model.__pydantic_serializer__.to_json(model.model_construct(), include={key}))
    value = plain.get(key)
    if value is None:
        return ""
    amount = isinstance(field.default, Price | Money | Shares)
    return f"{key} = {toml_text(value.rstrip('0').rstrip('.') if amount and '.' in value else value)}"


def toml_text(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict) and value:
        return "{ " + ", ".join(f"{key} = {toml_text(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
