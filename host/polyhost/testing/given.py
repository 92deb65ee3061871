"""A plugin class that is at hand, wherever it was written, as a source that the host loads plugins from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from polyhost.extension.building import Built, built
from polyhost.extension.sources import Source
from polyhost.plugin import Plugin
from polyhost.secret import Handed

SHELF: Final = "polyhost_classes_under_test"
"""Name of a module that holds nothing but the classes of this test run: also classes made inside a function."""
DISTRIBUTION: Final = "under test"


def given_source(kind: type[Any]) -> Source:
    """The class as a source; its plugin name, or the class name where it has none."""
    shelf = sys.modules.get(SHELF) or _new_shelf()
    taken = [name for name, value in vars(shelf).items() if value is kind]
    attribute = taken[0] if taken else f"{kind.__name__}_{len(vars(shelf))}"
    setattr(shelf, attribute, kind)
    return Source(getattr(kind, "name", "") or kind.__name__, SHELF, attribute, DISTRIBUTION)


def _new_shelf() -> ModuleType:
    shelf = sys.modules[SHELF] = ModuleType(SHELF, "Classes under test.")
    # The host looks for the file of what it loads; this module says that it has none.
    shelf.__spec__ = ModuleSpec(SHELF, None)
    return shelf


def given_sources(kinds: Iterable[type[Any]]) -> dict[str, list[Source]]:
    """Several, by name, as ``discover`` takes them."""
    return {source.name: [source] for source in map(given_source, kinds)}


def built_alone(
    kind: type[Plugin], settings: Mapping[str, Any] | None = None, handed: Mapping[str, Handed] | None = None
) -> Built:
    """The plugin as the host builds it: contract, hooks, typed settings, state and log.

    ``handed``: its secrets by reference; None: they are looked up where the settings say.

    Raises PluginError for what the host would refuse, ConfigError for wrong settings.
    """
    source = given_source(kind)
    return built(source, source.name, dict(settings or {}), handed=handed)
