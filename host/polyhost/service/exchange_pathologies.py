"""The pathologies of the simulated exchange as the configuration and the command line name them. Nothing of the
exchange itself is loaded for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from polyhost.errors import ConfigError, nearest_name
from polyhost.exchange.pathologies import BY_NAME, probability
from polyhost.exchange.pathologies.catalogue import WIRE
from polyhost.settings import Configuration

USABLE: Final = tuple(each.name for each in BY_NAME.values() if WIRE in each.layers)


def pathologies_of(words: Iterable[str]) -> dict[str, float]:
    """Words ``NAME`` (its default probability) or ``NAME=P``. Raises ConfigError."""
    chosen: dict[str, float] = {}
    for word in words:
        name, given, text = word.partition("=")
        _check(name)
        chosen[name] = (
            probability(text, table="exchange.pathologies", key=name) if given else BY_NAME[name].probability
        )
    return chosen


def all_pathologies(settings: Configuration) -> dict[str, float]:
    """Every pathology of the wire with its probability, 0 for those that are off. Raises ConfigError."""
    chosen = settings.exchange.pathologies
    for name in chosen:
        _check(name)
    return {name: chosen.get(name, 0.0) for name in USABLE}


def _check(name: str) -> None:
    if name not in USABLE:
        problem = "is no pathology of the wire, only of simulations" if name in BY_NAME else "is no pathology"
        raise ConfigError(
            problem, table="exchange", key="pathologies", value=name, allowed=USABLE,
            nearest=nearest_name(name, USABLE), remedy="docs/pathologies.md tells what each does",
        )
