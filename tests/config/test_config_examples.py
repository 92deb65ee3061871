"""The examples can be used as they are: each is a configuration that passes its checks and enables what it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.configuration import load_configuration
from polyhost.configuration.rules import enabled_plugins

EXAMPLES = sorted((Path(__file__).parents[2] / "config" / "examples").glob("*.toml"))


def test_there_are_examples_of_each_structure() -> None:
    assert {file.stem for file in EXAMPLES} >= {"grid", "pair", "two_sided_quotes"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_good_and_runs_the_plugin_it_is_named_after(file: Path) -> None:
    configuration = load_configuration(file, env={}).configuration
    assert file.stem in set(enabled_plugins(configuration))
    assert "entry_policy" not in set(enabled_plugins(configuration)), "nothing else enters"
