"""What a setting means: the docstring below it in its class, read when somebody asks and not when a class is made.

pydantic can read them too (``use_attribute_docstrings``), but at every start, and for every class: a sixth of the time
that ``config check`` takes.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler


def meaning(model: type[BaseModel], key: str) -> str:
    """The meaning of a setting, in one line; empty when it has none. ``Field(description=…)`` goes before."""
    given = model.model_fields[key].description
    for kind in model.__mro__:
        if given is None and issubclass(kind, BaseModel):
            given = _docstrings(kind).get(key)
    return " ".join((given or "").split())


def documented(kind: type[BaseModel], schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """For ``__get_pydantic_json_schema__``: the JSON Schema of a settings class with what each setting means."""
    described = handler.resolve_ref_schema(handler(schema))
    for key, rules in described.get("properties", {}).items():
        if key in kind.model_fields and (text := meaning(kind, key)):
            rules["description"] = text
    return described


@cache
def _docstrings(kind: type[BaseModel]) -> dict[str, str]:
    """Attribute → the text below it, of this class alone; empty when its source is nowhere to be found."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    return {
        above.target.id: below.value.value
        for above, below in pairwise(body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }  # fmt: skip
