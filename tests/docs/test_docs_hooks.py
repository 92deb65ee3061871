"""docs/hooks.md is what the code says: signatures, users, fields with their units, and examples that work."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from polyhost.extension.specification import HOOKS, implementations
from polyhost.model import view
from polyhost.model.proposals import Enter, QuoteTarget, Stake, Veto
from polyhost.testing import Bench, check
from polyhost.testing.hook_docs import BEYOND, EXAMPLES, SEEN, WHEN, documented, page, signature, users

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"


def test_the_hook_reference_is_what_the_code_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(), "python -m polyhost.testing.hook_docs > docs/hooks.md"
    assert [line for line in text.splitlines() if line.startswith("### `")] == [
        f"### `{signature(hook)}`" for hook in HOOKS
    ]


def test_every_hook_says_when_it_is_called_and_has_an_example() -> None:
    assert list(WHEN) == list(EXAMPLES)
    assert set(WHEN) == set(HOOKS)
    assert signature("size") == "size(view: View, entry: Enter, estimate: Estimate | None) -> Stake | None"
    assert signature("start") == "start() -> None"
    assert users("combine") == ["additive", "bayesian"]


def exampled() -> type[Any]:
    """One plugin of all examples, with nothing around them but what the page names."""
    methods = "".join(indent(dedent(text), "    ") for text in EXAMPLES.values())
    head = 'class Examples(Plugin):\n    name = "examples"\n    description = "All."\n    timer_s = 60\n'
    source = f"{BEYOND}\n{head}{methods}"
    space: dict[str, Any] = {}
    exec(compile(source, "examples", "exec"), space)
    kind: type[Any] = space["Examples"]
    return kind


def test_the_examples_are_a_plugin_that_keeps_every_promise() -> None:
    kind = exampled()
    assert list(implementations(kind(kind.Settings()), "examples")) == list(HOOKS)
    report = check(kind, elsewhere=False)
    assert report.findings == []
    assert report.questions > 1_000


def test_the_examples_answer_something() -> None:
    bench = Bench(exampled(), at_s=850, estimate=0.7)
    answered = bench.feed()
    assert answered.abstained in ("no spot price", "no signal answered")
    assert {type(each).__name__ for each in answered.proposals} == {"Enter", "QuoteTarget"}
    entry = Enter(answered.of(Enter)[0].side, 5_000)
    assert isinstance(bench.size(entry), Stake)
    assert isinstance(bench.review(entry), Veto)
    assert isinstance(bench.adjust(answered.of(QuoteTarget)[0]), QuoteTarget)


@pytest.mark.parametrize("name", SEEN)
def test_every_field_of_what_a_plugin_sees_says_what_it_is(name: str) -> None:
    lacking = [field for field, text in documented(getattr(view, name)) if not text.strip()]
    assert lacking == []


UNITS = ("ticks", "micro", "market ms", "quote currency", "base currency", "collateral", "seconds", "number", "rises")


@pytest.mark.parametrize("name", SEEN)
def test_every_number_of_what_a_plugin_sees_has_its_unit(name: str) -> None:
    """In its own docstring, or in its class's."""
    kind = getattr(view, name)
    numbers = [
        field for field, told in kind.__annotations__.items()
        if str(told).split(" |")[0] in ("int", "float", "Ticks", "Micros") and field not in ("trades", "score")
    ]
    said = dict(documented(kind))
    lacking = [
        field for field in numbers
        if not any(unit in " ".join(f"{said[field]} {kind.__doc__}".lower().split()) for unit in UNITS)
    ]
    assert lacking == []
