"""The gateway's contract: what the host asks of a way to the venue, whichever client is behind it and wherever it runs.

Three things keep it: a client's gateway (inside the gateway process, where the key is), the process seen from the host,
and what tests put in their place. Requests and answers are plain data of polyhost.model; nothing of a client's own
types crosses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from polyhost.model.builder import Builder, Credited
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.examination import Approving, Examination
from polyhost.model.market import Market
from polyhost.venue.budget import Budget
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.heartbeats import Beaten


@runtime_checkable
class Gateway(Protocol):
    """One account's way to the venue. ``connect`` once before anything else, ``close`` at the end."""

    @property
    def wallet(self) -> str:
        """Address that holds the funds. Only after ``connect``."""
        ...

    async def connect(self) -> None:
        """Check the client, then authenticate. VenueError: drift, or not reached; ConfigError: a key that is none."""
        ...

    async def reconnect(self) -> None:
        """Make every connection anew; VenueError or ConfigError: the old ones stay in use."""
        ...

    async def close(self) -> None:
        """Close every connection; safe to call twice. Nothing is cancelled at the venue."""
        ...

    async def execute(self, command: Command) -> list[Event]:
        """Do one command of the kernel; commands that are none of a gateway's give nothing.

        It answers with events whatever happens: a request whose answer is lost is *unknown* (model/unanswered.py), and
        nothing is ever sent a second time here.
        """
        ...

    async def warm(self, market: Market) -> bool:
        """The host follows this market from now on: have its facts ready for the first order. False: not possible."""
        ...

    async def builder(self, code: str) -> Builder:
        """What a builder code costs. ConfigError: the venue does not know it; VenueError: no usable answer."""
        ...

    async def credited(self, code: str, since_s: int) -> Credited:
        """What the venue credits a builder code with since a unix second. Raises VenueError."""
        ...

    async def balance(self) -> Event:
        """``BalanceSeen`` or ``QueryFailed``."""
        ...

    async def examine(self, symbols: Sequence[str]) -> Examination:
        """The account as the venue sees it, for ``doctor``; nothing is changed, and it raises nothing for what fails.

        ``symbols``: whose reference prices are listened to.
        """
        ...

    async def approve(self) -> Approving:
        """Give every approval that trading needs and that is missing. Only when a person has asked for it (ORD-22)."""
        ...

    async def heartbeat(self, shown: str) -> Beaten:
        """Feed the key's dead-man's switch, showing this id. Raises ReadError when the answer is none."""
        ...

    async def notifications(self) -> list[Mapping[str, Any]]:
        """What the venue tells the account. Raises ReadError when the answer is none."""
        ...

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """Have the venue forget some. Raises ReadError when it did not say that it has."""
        ...


@runtime_checkable
class ClientGateway(Gateway, Protocol):
    """A client's own gateway: it has the key, so it lives in the gateway process (and in tests of itself)."""

    budget: Budget

    @property
    def credentials(self) -> Credentials:
        """For the streams that authenticate. Only after ``connect``; they never leave its process."""
        ...
