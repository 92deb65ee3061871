"""What a crash matrix plays on: a venue that has not begun, and how a host gets its plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from msgspec import Struct

from polyhost.exchange.api import Output
from polyhost.exchange.core import Exchange
from polyhost.lab.backtest import Answerer
from polyhost.lab.crash_script import Script, Story
from polyhost.model.market import Market
from polyhost.model.times import MarketMs
from polyhost.settings import BreakersTable, Configuration


class Venue(Protocol):
    """The other side, in virtual time."""

    exchange: Exchange
    markets: list[Market]
    """What is listed from the beginning; further ones come as ``MarketOpened``."""
    began: MarketMs
    ends: int
    """When the last result is known."""
    words: tuple[tuple[str, int], ...]
    """The operator's words, and when."""

    @property
    def next_due(self) -> int: ...

    def advance(self, now: MarketMs) -> list[Output]: ...


class Stage(Struct):
    """``plugins`` is called in the host's own process, once a life."""

    venue: Venue
    settings: Configuration
    plugins: Callable[[], AbstractContextManager[Answerer]]


BREAKERS: Final = BreakersTable(emergency_stops_hour=20)
"""A kill leaves up to five positions to be closed within minutes: as many as the breaker would end a day for."""


@contextmanager
def _story() -> Iterator[Answerer]:
    yield Story()


def story_stage(settings: Configuration | None = None) -> Stage:
    """The story of ``crash_script``."""
    return Stage(Script(), settings or Configuration(breakers=BREAKERS), _story)
