"""The gateway of a paper account: real market data, orders on the embedded exchange, paper money (docs/paper.md).

It stands where the wire gateway and the user stream stand for a live account, and answers alike: ``execute`` answers a
command, what a user stream would tell comes by ``on_event``. Everything it says leaves in the order in which it
happened, and only when its state is on the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from loguru import logger

from polyhost.errors import ConfigError, VenueError, nearest_name
from polyhost.exchange.api import StoredTrade
from polyhost.lab.builders import builders_of
from polyhost.model import commands
from polyhost.model.builder import Builder, Credited
from polyhost.model.commands import Command
from polyhost.model.events import Event, MarketFound, MarketResolved, QueryFailed, StreamChanged
from polyhost.model.examination import Approving, Examination, Holding
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.model.money import notional
from polyhost.model.times import MarketMs
from polyhost.model.unanswered import unanswered
from polyhost.model.wallet_kinds import WalletKind
from polyhost.service.paper_file import PaperFile
from polyhost.service.paper_venue import PaperVenue, Said
from polyhost.settings import Configuration
from polyhost.venue.polymarket.heartbeats import Beaten

WAIT_MAX_S: Final = 0.05
"""The loop looks at what is due at least this often, wall seconds: a governed clock may run faster than it said."""
WAIT_MIN_S: Final = 0.001
HELD_S: Final = 0.5
"""A request that is under way for so much longer than it should, wall seconds, arrives all the same: a simulated venue
holds market time back when somebody lags, and the host counts the seconds until an answer on the wall."""
WRITE_AGAIN_S: Final = 1.0
"""When the state could not be written it is tried again this often, wall seconds; nothing is told meanwhile."""


class Clock(Protocol):
    """Market time."""

    def now(self) -> MarketMs: ...

    def wall_seconds(self, market_ms: float) -> float: ...


class Lookup(Protocol):
    """What anybody may ask the venue: its catalogue. Raises VenueError, ValueError."""

    def market(self, slug: str) -> Awaitable[Market | None]: ...

    def result(self, condition_id: str, slug: str) -> Awaitable[MarketResolved | None]: ...


class PaperGateway:
    """One paper account's way to its exchange. ``connect`` first; then ``frame`` and ``heard`` with everything that the
    market stream and discovery bring, each once and before the kernel gets it, and ``run`` beside."""

    def __init__(
        self, settings: Configuration, file: PaperFile, clock: Clock, on_event: Callable[[Event], None],
        catalogue: Lookup | None = None,
    ) -> None:
        """``on_event``: takes what the user stream of a live account would bring. ``catalogue``: where results and
        foreign markets are asked for; None: nowhere."""
        self.venue: PaperVenue
        self._settings = settings
        self._file = file
        self._clock = clock
        self._on_event = on_event
        self._catalogue = catalogue
        self._asked: dict[int, asyncio.Future[list[Event]]] = {}
        """Ticket → who waits for its answer."""
        self._left: deque[tuple[float, int]] = deque()
        """Requests under way: when each must have arrived (monotonic seconds) and its ticket."""
        self._held: list[Said] = []
        """Said, and not told: the state is not on the disk yet."""
        self._failing = False
        self._epoch = 0
        self._woken = asyncio.Event()
        self._closed = False

    @property
    def wallet(self) -> str:
        """The paper account's address, which is nobody's."""
        return self.venue.address

    # --- life ---------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Take the state up where it was. Raises ConfigError: it is another account's, broken, or cannot be written."""
        saved = self._file.load()
        try:
            self.venue = PaperVenue(self._settings, self._clock.now(), saved)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"the paper account cannot go on: {error}", file=str(self._file.path),
                remedy="move it away, or use --fresh",
            ) from error
        # What came due while nobody was here happens now, before there is a book: nothing fills by it.
        # It is told when the loop goes round: there may be nobody yet who hears.
        self.venue.advance(self._clock.now())
        self._held += self.venue.take()
        try:
            self._file.save(self.venue)
        except OSError as error:
            raise ConfigError(
                f"the paper account's state cannot be written: {error.strerror}", file=str(self._file.path),
                remedy="make room, or name another folder with --data-dir",
            ) from error

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Let happen what is due, until cancelled; ``beat`` each time round. It is the account's user stream, too."""
        self._epoch += 1
        self._on_event(StreamChanged("user", True, self._epoch, "paper"))
        while True:
            beat()
            self._woken.clear()
            now = self._clock.now()
            self.venue.advance(now)
            self._no_longer_held(now)
            self._release()
            wait = WRITE_AGAIN_S if self._held else self._clock.wall_seconds(self.venue.next_due - now)
            try:
                await asyncio.wait_for(self._woken.wait(), min(max(wait, WAIT_MIN_S), WAIT_MAX_S))
            except TimeoutError:
                continue

    def _no_longer_held(self, now: MarketMs) -> None:
        """What left long ago arrives, though market time stands still."""
        while self._left and self._left[0][0] <= time.monotonic():
            self.venue.hurry(self._left.popleft()[1], now)

    async def reconnect(self) -> None:
        """There is no connection to make anew; what could not be written is tried again."""
        self._release()

    async def close(self) -> None:
        """Write the whole state; safe to call twice. Nothing is told any more."""
        if self._closed or not hasattr(self, "venue"):
            return
        self._closed = True
        try:
            self._file.save(self.venue)
        except OSError as error:
            logger.error("paper account: the state was not written at the end ({}); its log has it all", error)
        self._file.close()
        for waiting in self._asked.values():
            waiting.cancel()

    # --- the market ---------------------------------------------------------------------------------------------------

    def follow(self, market: Market) -> None:
        """Mirror a market: from now on its frames come."""
        self.venue.follow(market)

    def unfollow(self, market: Market) -> None:
        self.venue.unfollow(market)

    def frame(self, messages: Sequence[Message]) -> None:
        """A frame of the market stream."""
        venue = self.venue
        venue.frame(messages, self._clock.now())
        if venue.stirred:
            self._release()

    def heard(self, event: Event) -> None:
        """A fact of the market (a lost stream, its end, its result); others mean nothing here."""
        self.venue.heard(event, self._clock.now())
        self._release()

    # --- requests -----------------------------------------------------------------------------------------------------

    async def execute(self, command: Command) -> list[Event]:
        """Do one command of the kernel; commands that are none of a gateway's give nothing."""
        match command:
            case commands.QueryResult():
                return await self._result(command)
            case commands.FindMarket():
                return await self._find(command)
            case commands.Follow() | commands.Unfollow():
                return []
            case _:
                return await self._submit(command)

    async def _submit(self, command: Command) -> list[Event]:
        if self._closed:
            return unanswered(command, "the paper exchange is closed")
        ticket = self.venue.submit(command, self._clock.now())
        latency_s = self._clock.wall_seconds(self._settings.paper.latency_ms)
        self._left.append((time.monotonic() + latency_s + HELD_S, ticket))
        answer: asyncio.Future[list[Event]] = asyncio.get_running_loop().create_future()
        self._asked[ticket] = answer
        self._release()
        self._woken.set()
        try:
            return await answer
        finally:
            self._asked.pop(ticket, None)

    async def _result(self, command: commands.QueryResult) -> list[Event]:
        """The venue's own result. It reaches the exchange as the kernel does: first the exchange pays."""
        if self._catalogue is None:
            return []
        try:
            found = await self._catalogue.result(command.condition_id, command.slug)
        except (VenueError, ValueError) as error:
            logger.bind(market=command.slug).debug(
                "result of {} not read: {}", command.slug or command.condition_id, error
            )
            return []
        if found is None:
            return []
        self.heard(found)
        return [found]

    async def _find(self, command: commands.FindMarket) -> list[Event]:
        condition_id, slug = command.condition_id, command.slug
        try:
            found = await self._catalogue.market(slug) if self._catalogue is not None and slug else None
        except (VenueError, ValueError) as error:
            return [QueryFailed("market", condition_id, str(error))]
        if found is None or found.condition_id.lower() != condition_id.lower():
            return [QueryFailed("market", condition_id, f"no market {slug or 'without a slug'} with this id")]
        return [MarketFound(found)]

    async def balance(self) -> Event:
        """Collateral, as the account's venue shows it."""
        return self.venue.balance()

    async def warm(self, market: Market) -> bool:
        """Nothing is read before an order: always True."""
        return True

    async def examine(self, symbols: Sequence[str]) -> Examination:
        """The account as its exchange has it: nothing is missing, and there are no streams to listen to."""
        address, collateral = self.venue.address, self.venue.collateral
        streams = "a paper account has none"
        return Examination(
            owner=address, kind=WalletKind.EOA, wallet=address, collateral=collateral, exchanges_may_spend=True,
            missing=(), holdings=(Holding(WalletKind.EOA, address, collateral),), closed_only=False, user_stream=None,
            price_stream=None, problems={"user_stream": streams, "price_stream": streams},
        )

    async def approve(self) -> Approving:
        """Nothing is missing."""
        return Approving(True)

    async def heartbeat(self, shown: str) -> Beaten:
        """Taken, and nothing comes of it: the paper exchange ends with its host, and orders rest until both are back.
        """
        return Beaten(True, shown)

    async def notifications(self) -> list[Mapping[str, Any]]:
        """None: the venue tells a paper account nothing."""
        return []

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """There are none."""

    # --- builder code -------------------------------------------------------------------------------------------------

    async def builder(self, code: str) -> Builder:
        """What a builder code costs: as ``[exchange.builders]`` says. ConfigError: it does not say."""
        known = builders_of(self._settings)
        if code not in known:
            raise ConfigError(
                "is no builder code of [exchange.builders], where a paper account's rates are", table="venue",
                key="builder_code", value=code, allowed=tuple(known), nearest=nearest_name(code, known),
            )
        return known[code]

    async def credited(self, code: str, since_s: int) -> Credited:
        """What the code would have been credited with by this account's own trades since a unix second."""
        trades = [trade for trade in self.venue.trades_of_builder(code) if trade.row.matched_s >= since_s]
        volume = sum(notional(trade.row.size, trade.row.price) for trade in trades)
        return Credited(len(trades), volume, sum(_credit(trade) for trade in trades), len(trades), True)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Write what changed, then tell what was said, in its order: an answer to who asked, the rest as events."""
        self._held += self.venue.take()
        try:
            self._file.keep(self.venue)
        except OSError as error:
            if not self._failing:
                logger.critical("paper account: the state is not written ({}); nothing is answered until it is", error)
            self._failing = True
            return
        self._failing = False
        held, self._held = self._held, []
        loop = asyncio.get_running_loop()
        for ticket, events in held:
            if ticket is None:
                # Not at once: who waits for the answer before it is woken by the loop, too, and first.
                loop.call_soon(self._tell, events)
                continue
            answer = self._asked.get(ticket)
            if answer is not None and not answer.done():
                answer.set_result(events)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._on_event(event)


def _credit(trade: StoredTrade) -> int:
    """A trade's fees for builders: what its taker's and its makers' codes were credited with."""
    return trade.builder_fee + sum(trade.maker_fees)
