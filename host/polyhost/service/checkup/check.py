"""One line of a doctor's report, and what every question may know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from polyhost.configuration import Loaded
from polyhost.errors import ConfigError, VenueError
from polyhost.model.examination import Examination
from polyhost.model.market import Market
from polyhost.model.money import Micros
from polyhost.model.series import DURATIONS, window_slugs, windows_from
from polyhost.model.wallet_kinds import WalletKind
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import Gateway
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.polymarket.surroundings import Skew, skew

WINDOWS_TRIED: Final = 2
"""The running window may end at this very moment: the next one is looked for, too."""
T = TypeVar("T")


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and something about it should be known."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be looked at, because something else failed, or does not apply."""


class Fault(StrEnum):
    """Whose it is: decides the exit code of a report with failures."""

    NONE = ""
    CONFIGURATION = "configuration"
    VENUE = "venue"
    """The venue or the network could not be reached, or refused."""
    HOST = "host"
    """This machine, its data, or the account: it ran, and the answer is no."""


class Check(Struct, frozen=True):
    """What came of one question."""

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""
    """What to do; empty: nothing."""
    fault: Fault = Fault.NONE

    @property
    def failed(self) -> bool:
        return self.verdict is Verdict.FAILED


class Depends(Exception):  # noqa: N818 it is a reason, not an error
    """A question that cannot be asked because another one failed; the text names it."""


class Subject(Struct, frozen=True):
    """The account that is looked at."""

    loaded: Loaded
    account: str
    mode: str
    kind: WalletKind
    key_named: str
    """Where the key comes from, in words; never the key."""
    wallet_line: str
    """How the configuration sets the kind of wallet: ``[venue] wallet``."""
    folder: Path
    """Of the account's data."""
    running: int | None
    """Process of the host that runs on it; None: none does."""
    starting: bool
    """Asked by the host itself, before it begins: it holds the folder, and its loops are not there yet."""
    endpoints: Endpoints
    unreached: str
    """Why there is no venue to ask (its exchange did not start); empty: there is one."""
    address: Callable[[], Awaitable[str]]
    """The key's own address. ConfigError: there is no key, or it is none."""
    open_way: Callable[[], Awaitable[Gateway]]
    """The account's gateway, connected. ConfigError: a key or wallet that is none; VenueError: not taken."""

    @property
    def least(self) -> Micros:
        """With less than this nothing is entered."""
        return max(int(self.loaded.configuration.safety.balance_min), 1)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.loaded.configuration.markets.symbols


class Context:
    """A subject with what was asked already: each common question is asked once, whoever needs it first."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.clock = VenueClock()
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def close(self) -> None:
        """End what is still being asked."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def venue_time(self) -> Skew:
        """The venue answers, and this is its time. Raises VenueError."""
        if self.subject.unreached:
            raise VenueError(self.subject.unreached)
        return await self._once("venue", lambda: skew(self.subject.endpoints, self.clock))

    async def way(self) -> Gateway:
        """The gateway, connected. Raises ConfigError or VenueError."""
        return await self._once("way", self._open)

    async def _open(self) -> Gateway:
        await self.needs("venue", self.venue_time())
        return await self.subject.open_way()

    async def examination(self) -> Examination:
        """What the venue says of the account. Raises Depends."""
        return await self._once("examination", self._examined)

    async def _examined(self) -> Examination:
        way = await self.needs("credentials", self.way())
        return await way.examine(self.subject.symbols)

    async def listed(self) -> dict[str, Market | None]:
        """Each configured series and named market with what the venue lists of it now; None: nothing.

        Raises VenueError or Depends.
        """
        return await self._once("markets", self._listed)

    async def _listed(self) -> dict[str, Market | None]:
        await self.needs("venue", self.venue_time())
        endpoints = self.subject.endpoints
        async with http_client(endpoints.gamma, self.clock, live=endpoints.live) as gamma, \
                http_client(endpoints.clob, self.clock, live=endpoints.live) as clob:
            catalogue = Catalogue(gamma, clob)
            found = await asyncio.gather(*(_first(catalogue, slugs) for slugs in self._wanted().values()))
        return dict(zip(self._wanted(), found, strict=True))

    def _wanted(self) -> dict[str, list[str]]:
        """Series and named markets of the configuration, each with the slugs under which it may be listed now."""
        markets, now = self.subject.loaded.configuration.markets, self.clock.now()
        wanted = {
            f"{symbol} {duration}": [
                slug for start, _ in windows_from(DURATIONS[duration], now, WINDOWS_TRIED)
                for slug in window_slugs(symbol, DURATIONS[duration], start)
            ]
            for duration in markets.durations for symbol in markets.symbols
        }
        return wanted | {slug: [slug] for slug in markets.slugs}

    async def market(self) -> Market | None:
        """One of them; None: the venue lists none. Raises VenueError or Depends."""
        return next((market for market in (await self.listed()).values() if market is not None), None)

    async def needs(self, name: str, asking: Awaitable[T]) -> T:
        """The answer to another question. Raises Depends when that one fails: it says why itself."""
        try:
            return await asking
        except (ConfigError, VenueError, TimeoutError) as error:
            raise Depends(name) from error

    async def _once(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task: asyncio.Task[T] | None = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(ask(), name=f"doctor {name}")
        # Who waits may run out of patience without ending it for the others.
        return await asyncio.shield(task)


async def _first(catalogue: Catalogue, names: list[str]) -> Market | None:
    """The first that is listed; a condition id is looked up as such."""
    for name in names:
        found = await (catalogue.by_condition(name) if name.startswith("0x") else catalogue.market(name))
        if found is not None:
            return found
    return None


Question: TypeAlias = Callable[[Context], Awaitable[Check]]


def _said(verdict: Verdict, name: str, text: str, remedy: str = "", fault: Fault = Fault.NONE) -> Check:
    return Check(name, verdict, text, remedy, fault)


ok = partial(_said, Verdict.OK)
warning = partial(_said, Verdict.WARNING)
skipped = partial(_said, Verdict.SKIPPED)


def failed(name: str, text: str, remedy: str, fault: Fault = Fault.HOST) -> Check:
    return Check(name, Verdict.FAILED, text, remedy, fault)
