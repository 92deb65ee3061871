"""The author's surface is complete and cannot be changed: every hook and name is typed, and a view is frozen."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyhost import Estimate, Plugin, View, hookimpl
from polyhost.extension.specification import HOOKS
from polyhost.model import view as seen
from polyhost.testing import samples
from polyhost.testing.hook_docs import SEEN, documented

AUTHOR = ast.parse((Path(__file__).parents[1] / "typing" / "plugin_author.py").read_text(encoding="utf-8"))


def test_the_typed_plugin_has_every_hook() -> None:
    (author,) = [node for node in AUTHOR.body if isinstance(node, ast.ClassDef) and node.name == "Author"]
    methods = {node.name for node in author.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    assert methods == set(HOOKS)


@pytest.mark.parametrize("name", SEEN)
def test_the_typed_plugin_uses_every_name_of_what_it_sees(name: str) -> None:
    """Of each part, in the function that takes it."""
    used: set[str] = set()
    for function in (node for node in AUTHOR.body if isinstance(node, ast.FunctionDef)):
        takes = {each.arg for each in function.args.args if ast.unparse(each.annotation or ast.Constant("")) == name}
        used |= {
            node.attr for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in takes
        }
    assert {field.partition("(")[0] for field, _ in documented(getattr(seen, name))} - used == set()


def parts(value: Any) -> Iterator[Any]:
    """A value and everything inside it, but for the named numbers of an estimate: those are sealed, see below."""
    yield value
    if isinstance(value, msgspec.Struct) and not isinstance(value, Estimate):
        for field in value.__struct_fields__:
            yield from parts(getattr(value, field))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from parts(each)


def test_a_view_cannot_be_changed() -> None:
    """Frozen to the last part; what holds several things is a tuple."""
    views = [*samples.complete(), *(view for _, view in samples.missing())]
    kinds: set[str] = set()
    for part in (part for view in views for part in parts(view)):
        kinds.add(type(part).__name__)
        assert not isinstance(part, list | dict | set | bytearray), part
        if isinstance(part, msgspec.Struct):
            assert part.__struct_config__.frozen, type(part)
    assert kinds >= {*SEEN, "Market", "Reading", "Estimate"}
    with pytest.raises(AttributeError, match="immutable"):
        views[0].now = 0  # type: ignore[misc]


class Meddler(Plugin):
    """Tries to change what everybody is shown."""

    name = "meddler"
    tried: str = ""

    @hookimpl
    def signal(self, view: View) -> None:
        if view.estimate is not None and view.estimate.parts:
            try:
                view.estimate.parts.clear()
            except TypeError as error:
                Meddler.tried = str(error)


def test_not_even_the_named_numbers_inside_it(running_host: Callable[..., Any]) -> None:
    """In the host the parts of an estimate are sealed: what one plugin does no other one sees."""
    run = running_host(Meddler, minutes=1.0, seed=3)
    assert Meddler.tried == "answers are read-only"
    assert any(view.estimate is not None and view.estimate.parts for view, _ in run.evaluated)
