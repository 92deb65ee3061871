"""What every account of the host shares: the venue's market data, and the simulated exchange if it is ours.

Streams, discovery, the clock and the book witness are one for all; a frame is decoded once and handed to each account
that listens. What one account does with it is its own: a fault of its kernel reaches no other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Protocol

from polyhost.errors import VenueError
from polyhost.kernel.kernel import Kernel
from polyhost.model.book import Book
from polyhost.model.commands import Follow, Unfollow
from polyhost.model.events import Event, MarketFound, StrikeSeen
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.model.view import Candle
from polyhost.service.early import Begun, own_exchange
from polyhost.service.engine import Engine
from polyhost.service.exchange_child import ExchangeChild
from polyhost.service.folder import DataFolder
from polyhost.service.logs import SPEAKS_FOR
from polyhost.service.supervision import Supervisor
from polyhost.settings import Configuration
from polyhost.venue.binance import BinanceFeed
from polyhost.venue.budget import Budget
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.discovery import Discovery
from polyhost.venue.polymarket.endpoints import LIVE, Endpoints, endpoints_at
from polyhost.venue.polymarket.faults import retried
from polyhost.venue.polymarket.http import budget_scale, http_client
from polyhost.venue.polymarket.market_stream import MarketStream
from polyhost.venue.polymarket.reach import first_time, require_exchange
from polyhost.venue.polymarket.rest_books import RestBooks
from polyhost.venue.polymarket.witness import BookWitness
from polyhost.venue.rotation import Turnover

CLOCK_SILENT_S: Final = 60.0
"""Asking for the venue's time, wall seconds of silence: every 30 s, and a request may take 10 s."""
STREAM_SILENT_S: Final = 60.0
"""A stream's loop (not its data: that has limits of its own), wall seconds: the longest pause between tries is 30 s."""
DISCOVERY_SILENT_S: Final = 60.0
"""Between two questions for a market, wall seconds; one takes 10 s at most."""


class Listener(Protocol):
    """An account, as the shared feeds know it."""

    @property
    def name(self) -> str: ...
    @property
    def kernel(self) -> Kernel: ...
    @property
    def engine(self) -> Engine: ...
    def frame(self, raw: bytes, messages: list[Message]) -> None: ...
    def fact(self, event: Event) -> None: ...


class SharedMarkets:
    """Who follows which market: the venue is asked once for all, and each account learns what another one knew."""

    def __init__(self, stream: MarketStream, discovery: Discovery) -> None:
        self._stream = stream
        self._discovery = discovery
        self._followers: dict[str, list[Listener]] = {}

    def follow(self, account: Listener, market: Market) -> None:
        """An account wants a market's books, its strike and its result."""
        followers = self._followers.setdefault(market.condition_id, [])
        if account in followers:
            return
        followers.append(account)
        if len(followers) == 1:
            self._stream.follow(market)
        else:
            # The full book that came when the first one subscribed is gone by.
            self._stream.show_again(market)
        strike = account.kernel.state.markets[market.condition_id].strike
        self._discovery.follow(market, strike_known=strike is not None)
        self._share_strike(market.condition_id, followers)

    def unfollow(self, account: Listener, market: Market) -> None:
        """It does not want it any more; the last one's word ends the subscription."""
        followers = self._followers.get(market.condition_id, [])
        if account in followers:
            followers.remove(account)
            if not followers:
                del self._followers[market.condition_id]
                self._stream.unfollow(market)

    def leave(self, account: Listener) -> None:
        """An account ended: nothing is subscribed to for it alone."""
        for condition_id in [each for each, followers in self._followers.items() if account in followers]:
            self.unfollow(account, account.kernel.state.markets[condition_id].market)

    def _share_strike(self, condition_id: str, followers: list[Listener]) -> None:
        """The venue shows an opening price for two minutes; one account's journal may have it, another's not."""
        known = [entry.strike for each in followers if (entry := each.kernel.state.markets[condition_id]).strike]
        if known:
            for each in followers:
                if each.kernel.state.markets[condition_id].strike is None:
                    each.engine.event(StrikeSeen(condition_id, known[0], "another account of this host"))


class MarketData:
    """The feeds of a host. ``open`` first, then ``join`` each account, then ``begin``."""

    def __init__(self, settings: Configuration, folder: DataFolder, seed: str, begun: Begun) -> None:
        """``seed`` spreads the moments at which connections are replaced; ``begun``: what was started already."""
        self.settings = settings
        self.clock = VenueClock()
        self.budget = Budget(scale=lambda: budget_scale(self.clock))
        self.endpoints: Endpoints
        self.child: ExchangeChild | None = None
        self.market_stream: MarketStream
        self.catalogue: Catalogue
        self.discovery: Discovery
        self.witness: BookWitness
        self.markets: SharedMarkets
        self.ask_prices: Callable[[], bool] = lambda: False
        """Asks for the last minutes of the reference prices again; False: nobody can be asked right now."""
        self.spot: BinanceFeed
        self.supervisor = Supervisor(self.event, done=lambda: all(each.engine.halted for each in self._accounts))
        self._folder = folder
        self._seed = seed
        self._begun = begun
        self._http: Any
        self._accounts: tuple[Listener, ...] = ()

    # --- life ---------------------------------------------------------------------------------------------------------

    async def reach(self, stack: AsyncExitStack) -> None:
        """The venue named by the configuration, or an exchange of our own, started now. Raises VenueError."""
        if self.settings.venue.url:
            self.endpoints = endpoints_at(self.settings.venue.url)
            await require_exchange(self.endpoints)
        elif own_exchange(self.settings):
            self.endpoints = await self._own_exchange(stack)
        else:
            self.endpoints = LIVE

    async def _own_exchange(self, stack: AsyncExitStack) -> Endpoints:
        folder = self._folder
        self.child = await ExchangeChild.start(
            self.settings, folder.exchange_state, folder.exchange_ready, folder.logs / "exchange.log",
            self._begun.exchange,
        )
        stack.push_async_callback(self.child.stop)
        return endpoints_at(self.child.url, self.child.ws_url)

    async def watch_exchange(self) -> None:
        """Raises VenueError when the exchange of our own ends; returns at once when it is somebody else's."""
        if self.child is not None:
            code = await self.child.ended()
            log = self._folder.logs / "exchange.log"
            raise VenueError(f"the simulated exchange ended by itself with code {code}; see {log}")

    async def open(self, stack: AsyncExitStack) -> None:
        """Set the clock and make the feeds, without starting them. Raises VenueError."""
        endpoints, live = self.endpoints, self.endpoints.live
        self._http = http = http_client(endpoints.clob, self.clock, live=live, budget=self.budget)
        gamma = http_client(endpoints.gamma, self.clock, live=live, budget=self.budget)
        binance = http_client(endpoints.binance, self.clock, live=live)
        for client in (http, gamma, binance):
            stack.push_async_callback(client.aclose)
        await retried(lambda: first_time(self.clock, http), "the venue's time")
        markets = self.settings.markets
        self.spot = BinanceFeed(
            binance, endpoints.binance_ws, markets.symbols, on_price=self._price_of_spot, on_candle=self._candle,
            on_event=self.event, clock=self.clock,
        )
        self.catalogue = Catalogue(gamma, http)
        self.discovery = Discovery(
            self.catalogue, self.clock, symbols=markets.symbols, durations=markets.durations,
            slugs=markets.slugs, on_event=self.event, ask_backlog=lambda: self.ask_prices(),
            ask_candle=self.spot.candle_at,
        )
        self.market_stream = MarketStream(
            endpoints.market_ws, on_frame=self._frame, on_event=self.event, on_resolved=self.discovery.on_message,
            clock=self.clock, turnover=self.turnover(), jitter=self.jitter("market"),
        )
        self.witness = BookWitness(
            self.market_stream, RestBooks(http), self.clock, book_of=self._book, lost=self._lost, on_frame=self._frame,
        )
        self.markets = SharedMarkets(self.market_stream, self.discovery)

    def turnover(self) -> Turnover:
        """How often a connection is replaced by plan."""
        return Turnover(every_s=self.settings.venue.rotate_minutes * 60)

    def jitter(self, what: str) -> Callable[[], float]:
        """Where in its spread of time a connection is replaced."""
        return random.Random(f"{self.settings.exchange.seed} {self._seed} {what}").random

    def begin(self) -> None:
        """Start every feed and keep it going. Reference prices come from a gateway process (reference_prices.py)."""
        watched, stream = self.supervisor, self.market_stream
        watched.task("clock", partial(self.clock.follow, self._http), CLOCK_SILENT_S, safety=True)
        watched.task("market stream", stream.run, STREAM_SILENT_S, safety=True, idle=lambda: not stream.tokens)
        watched.task("book witness", self.witness.run, STREAM_SILENT_S, safety=True)
        watched.task("spot prices", self.spot.run, STREAM_SILENT_S)
        watched.task("discovery", self.discovery.run, DISCOVERY_SILENT_S)

    # --- accounts -----------------------------------------------------------------------------------------------------

    def join(self, account: Listener) -> None:
        """From here on the account hears everything."""
        self._accounts = (*self._accounts, account)

    def leave(self, account: Listener) -> None:
        """It hears nothing any more. Nothing happens when it never joined."""
        if account in self._accounts:
            self._accounts = tuple(each for each in self._accounts if each is not account)
            self.markets.leave(account)

    def followed(self, account: Listener, command: Follow | Unfollow) -> None:
        """An account's kernel wants a market, or wants it no more."""
        if isinstance(command, Follow):
            self.markets.follow(account, command.market)
        else:
            self.markets.unfollow(account, command.market)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _each(self, do: Callable[[Listener], None]) -> None:
        """Every account, whatever becomes of the others."""
        for account in self._accounts:
            token = SPEAKS_FOR.set(account.name)
            try:
                do(account)
            except Exception as error:  # whatever it is, it is that account's; the others hear all the same
                account.engine.fail(error)
            finally:
                SPEAKS_FOR.reset(token)

    def _frame(self, raw: bytes, messages: list[Message]) -> None:
        self._each(lambda account: account.frame(raw, messages))

    def event(self, event: Event) -> None:
        """What concerns every account."""

        def tell(account: Listener) -> None:
            known = isinstance(event, MarketFound) and event.market.condition_id in account.kernel.state.markets
            if not known:
                account.fact(event)

        self._each(tell)

    def _price_of_spot(self, feed: str, symbol: str, price: int, stamp: int) -> None:
        self._each(lambda account: account.engine.price(feed, symbol, price, stamp))

    def price(self, feed: str, symbol: str, price: int, stamp: int) -> None:
        """A reference price in 1e-8, stamped in market ms."""
        self._price_of_spot(feed, symbol, price, stamp)
        self.discovery.on_price(feed, symbol, price, stamp)

    def _candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        self._each(lambda account: account.engine.candle(symbol, candle, closed))
        self.discovery.on_candle(symbol, candle, closed)

    # --- the witness's questions --------------------------------------------------------------------------------------

    def _book(self, condition_id: str) -> Book | None:
        """The book as an account has it; one that is whole before one that is not."""
        books = [book for each in self._accounts if (book := each.kernel.book(condition_id)) is not None]
        return next((book for book in books if book.ready), books[0] if books else None)

    def _lost(self) -> list[Market]:
        found: dict[str, Market] = {}
        for account in self._accounts:
            found |= {market.condition_id: market for market in lost_books(account.kernel)}
        return list(found.values())


def lost_books(kernel: Kernel) -> Iterator[Market]:
    """Markets with something to exit whose book the stream does not give right now (CON-03)."""
    state = kernel.state
    for condition_id in state.exposed:
        entry, book = state.markets[condition_id], kernel.book(condition_id)
        if book is not None and not book.ready and entry.accepting and not entry.settled:
            yield entry.market
