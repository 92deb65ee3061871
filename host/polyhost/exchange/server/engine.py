"""The world behind the wire: requests in, outputs out to whoever waits or listens, market time governed, state durable.

Single-threaded: everything here runs on the server's event loop and nothing in it blocks but the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any, Final, TypeVar

from loguru import logger

from polyhost.exchange import api, refusals
from polyhost.exchange.pathologies import Pathologies
from polyhost.exchange.pathologies.faults import RETRY_AFTER_S, STREAMS, Faults
from polyhost.exchange.pathologies.venue import VenueMood
from polyhost.exchange.server.binance import BinanceHub
from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.catalogue import Resolution, outcome_of
from polyhost.exchange.server.clock import MarketClock
from polyhost.exchange.server.heartbeats import Heartbeats
from polyhost.exchange.server.keys import Credentials, Keyring
from polyhost.exchange.server.limits import Limits
from polyhost.exchange.server.market_hub import MarketHub
from polyhost.exchange.server.notices import Notices
from polyhost.exchange.server.price_hub import LiveHub, TopicHub
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.server.sockets import Crowd
from polyhost.exchange.server.store import (
    SAVE_EVERY_S,
    Asked,
    Entry,
    KeyGone,
    KeyMade,
    NoticesDropped,
    Reached,
    StateError,
    Store,
    asked,
    request_of,
)
from polyhost.exchange.server.user_hub import UserHub
from polyhost.exchange.server.wallets import Wallets
from polyhost.exchange.world import World
from polyhost.model.market import Market
from polyhost.model.times import MarketMs, WallMs
from polyhost.model.wallet_kinds import WalletKind

STEP_S: Final = 0.003
"""Most wall time one step of the world may take before the sockets get their turn."""
LAG_MARKET_MS: Final = 500
"""A client may lag behind by about this much market time before time waits for it …"""
LAG_S_MIN: Final = 0.01
"""… but is always given this much wall time."""
PAUSE_S_MIN: Final = 0.001
PAUSE_S_MAX: Final = 0.02
GAP_MS: Final = 60_000
"""An exchange that was down for longer than this did not trade meanwhile."""

Reply = TypeVar("Reply", bound=api.Output)


class TurnedAway(Exception):  # noqa: N818
    """A request that the exchange refused to look at: the answer to give."""

    def __init__(self, refused: api.Refused) -> None:
        super().__init__(refused.error)
        self.refused = refused


def wall_ms() -> WallMs:
    return WallMs(time_ns() // 1_000_000)


class Engine:
    """One running exchange."""

    def __init__(self, settings: ServerSettings, seed: int, speed: float, state: Path | None) -> None:
        """Start a new world, or go on with that in ``state``. Raises StateError or ValueError (speed, pathologies)."""
        self.settings = settings
        self.seed = seed
        self.ring = Keyring(seed)
        self.limits = Limits(settings.rate_limit_tier)
        self.wallets = Wallets(settings.first_deposit_wallets)
        self.pathologies = Pathologies(seed, settings.pathologies)
        self.faults = Faults(self.pathologies) if self.pathologies else None
        """What goes wrong on the way to the clients; None: nothing."""
        self.notices = Notices(lambda order_id: self.world.exchange.stored_order(order_id), self._holders)
        self.store = Store(state)
        self.crowd = Crowd()
        self.heartbeats = Heartbeats()
        self.clients: Callable[[], int] = lambda: 0
        """How many connections are open; the server sets it."""
        self.handling = 0
        """Requests being worked on, those that wait for their taker delay not counted."""
        self._next_id = 1
        self._waiting: dict[int, asyncio.Future[api.Output]] = {}
        self._idents: dict[str, int] = {}
        self._by_ident: list[str] = []
        self.books: dict[str, WireBook] = {}
        stored = self.store.load()
        if stored is None:
            now = MarketMs(wall_ms())
            self.world = World(settings.world, seed, now)
            self._afflict()
            self.world.advance(now)
        else:
            now = self._restore(*stored)
        self.clock = MarketClock(now, speed)
        self._build_hubs()
        self.save()

    def _afflict(self) -> None:
        """Let the venue itself misbehave, from before its first moment on."""
        if self.pathologies:
            self.world.exchange.afflict(VenueMood(self.pathologies))

    def _build_hubs(self) -> None:
        symbols = frozenset(self.settings.world.symbols)
        for market in self.world.listing(None):
            self._know(market)
        self.market_hub = MarketHub(self.books)
        self.user_hub = UserHub(self.ring, self.label)
        self.live_hub = LiveHub(self.ring, self.world.recent_prices, symbols)
        self.topic_hub = TopicHub(self.world.recent_prices, symbols)
        self.binance_hub = BinanceHub()

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a snapshot, if the exchange keeps state."""
        if self.store.path is None:
            return
        self.store.save({
            "seed": self.seed,
            "now": self.clock.now,
            "next_id": self._next_id,
            "keys": self.ring.save(),
            "notices": self.notices.save(),
            "markets": self._by_ident,
            "world": self.world.save(),
        })

    def _restore(self, data: dict[str, Any], entries: list[Entry]) -> MarketMs:
        """Go on where the state ended: the snapshot, then everything logged after it. Gives the market time reached."""
        if data["seed"] != self.seed:
            raise StateError(f"{self.store.path} belongs to seed {data['seed']}, not {self.seed}")
        self.ring.restore(data["keys"])
        self.notices.restore(data.get("notices", {}))
        self._next_id = data["next_id"]
        self._by_ident = data["markets"]
        self._idents = {condition: number for number, condition in enumerate(self._by_ident, 1)}
        try:
            self.world = World.load(self.settings.world, data["world"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{self.store.path}: {error}") from error
        self._afflict()
        for owner in self.ring.addresses():
            self._open_wallets(owner)
        now = MarketMs(data["now"])
        for entry in entries:
            now = self._again(entry, now)
        logger.info("exchange state restored from {}: {} logged entries", self.store.path, len(entries))
        return self._sleep_through(now)

    def _sleep_through(self, now: MarketMs) -> MarketMs:
        """Bring a world that was down up to the wall clock: prices and windows go on, the population was away."""
        wall = MarketMs(wall_ms())
        if wall - now < GAP_MS:
            return now
        density = self.settings.world.density
        self.world.thin(0.0)
        self._reach(wall)
        self.world.thin(density, wall)
        return wall

    def _again(self, entry: Entry, now: MarketMs) -> MarketMs:
        match entry:
            case Asked():
                request = request_of(entry)
                self._next_id = max(self._next_id, request.request_id + 1)
                self._reach(MarketMs(entry.at))
                self._note(self.world.handle(request, MarketMs(entry.at)), entry.at)
                return MarketMs(entry.at)
            case Reached():
                self._reach(MarketMs(entry.at))
                return MarketMs(entry.at)
            case NoticesDropped():
                self.notices.drop(entry.wallet, entry.ids)
                return now
            case KeyMade():
                self._reach(MarketMs(entry.at))
                self._admit(entry.address, entry.nonce)
                return MarketMs(entry.at)
            case KeyGone():
                known = self.ring.get(entry.api_key)
                if known is not None:
                    self.ring.delete(known)
                return now
            case _:
                raise StateError(f"{self.store.log_path}: unexpected entry {entry!r}")

    def _reach(self, limit: MarketMs) -> None:
        """Let the world go on to ``limit`` while nobody listens; what it says is still worth notifications."""
        for at, outputs in self.world.instants(limit):
            self._note(outputs, at)

    # --- notifications ------------------------------------------------------------------------------------------------

    def _note(self, outputs: list[api.Output], at: int) -> None:
        for output in outputs:
            self.notices.take(output, at)

    def _holders(self, condition_id: str) -> list[str]:
        """The clients' wallets with shares of a market."""
        market = self.world.market_by_condition(condition_id)
        assert market is not None, condition_id
        tokens = {market.up, market.down}
        return [wallet for wallet in self.wallets.known() if tokens & self.world.exchange.holdings(wallet).keys()]

    def drop_notices(self, wallet: str, ids: tuple[int, ...]) -> None:
        self.store.append(NoticesDropped(wallet, ids))
        self.notices.drop(wallet, ids)

    # --- keys and accounts --------------------------------------------------------------------------------------------

    def create_key(self, address: str, nonce: int) -> Credentials:
        """An API key for a wallet that proved itself; accounts are opened with the first. Raises KeyRefused."""
        self.ring.check_free(address, nonce)
        self.store.append(KeyMade(self.clock.now, address, nonce))
        return self._admit(address, nonce)

    def _admit(self, address: str, nonce: int) -> Credentials:
        self._open_wallets(address)
        return self.ring.create(address, nonce)

    def _open_wallets(self, owner: str) -> None:
        """Have accounts for all wallets of a key."""
        troubles = self.settings.troubles
        for kind, wallet in zip(WalletKind, self.wallets.admit(owner), strict=True):
            if not self.world.exchange.has_account(wallet):
                funded = not troubles.funded or kind.name.lower() in troubles.funded
                self.world.exchange.open_account(wallet, self.settings.cash if funded else 0, not troubles.unapproved)

    def delete_key(self, credentials: Credentials) -> None:
        self.store.append(KeyGone(self.clock.now, credentials.api_key))
        self.ring.delete(credentials)

    # --- requests -----------------------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """The number that the next request gets."""
        return self._next_id

    def turn_away(self, post_only: bool) -> None:
        """Raises TurnedAway when the venue takes no batch of orders now: it restarts, is closed, or limits requests.

        ``post_only``: every order of the batch is.
        """
        if self.faults is None:
            return
        if self.faults.limited():
            raise TurnedAway(api.Refused(0, *refusals.TOO_MANY, RETRY_AFTER_S))
        closed = self.world.exchange.closure(self.clock.now)
        if closed is not None and not (closed.post_only and post_only):
            raise TurnedAway(api.Refused(0, closed.http, closed.text, closed.retry_after_s, closed.code))

    async def ask(self, kind: type[Reply], build: Callable[[int], api.Request], *, counted: bool = False) -> Reply:
        """Hand a request to the core and wait for its answer of this kind (through the taker delay, if there is one).

        ``build`` makes the request from its id; ``counted``: it came with others, and they were counted together.
        Market time goes on while this waits. Raises TurnedAway for a query that an exchange which misbehaves does not
        answer.
        """
        request = build(self._next_id)
        self._next_id += 1
        refusal: api.Output | None = None
        if self.faults is not None:
            request, refusal = self.faults.before(request, counted=counted)
        if refusal is not None:
            return self._reply(kind, refusal)
        entry = asked(request, self.clock.now)
        if entry is not None:
            self.store.append(entry)
        waiting: asyncio.Future[api.Output] = asyncio.get_running_loop().create_future()
        self._waiting[request.request_id] = waiting
        try:
            self._give_out(self.world.handle(request, self.clock.now), self.clock.now)
            if not waiting.done():
                with self.released():
                    await waiting
        finally:
            del self._waiting[request.request_id]
        return self._reply(kind, waiting.result())

    def _reply(self, kind: type[Reply], reply: api.Output) -> Reply:
        if isinstance(reply, api.Refused):
            raise TurnedAway(reply)
        assert isinstance(reply, kind), reply
        return reply

    @contextmanager
    def released(self) -> Iterator[None]:
        """Inside ``busy``: market time goes on while the body waits for it."""
        self.handling -= 1
        try:
            yield
        finally:
            self.handling += 1

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Market time waits while the body runs."""
        self.handling += 1
        try:
            yield
        finally:
            self.handling -= 1

    def _cancel_silent(self) -> None:
        """Cancel all orders of every key whose heartbeats stopped."""
        for api_key in self.heartbeats.silent(wall_ms()):
            logger.info("heartbeats of key {} stopped: its orders are cancelled", api_key)
            request = api.CancelOrders(self._next_id, api_key)
            self._next_id += 1
            entry = asked(request, self.clock.now)
            assert entry is not None
            self.store.append(entry)
            self._give_out(self.world.handle(request, self.clock.now), self.clock.now)

    # --- outputs ------------------------------------------------------------------------------------------------------

    def _give_out(self, outputs: list[api.Output], now: MarketMs) -> None:
        """Take what happened into what REST shows, and tell whoever listens or waits."""
        self._note(outputs, now)
        for output in outputs:
            self._take_in(output, now)
            if self.faults is None:
                self._tell(output, now)
            else:
                for told in self.faults.after([output], now):
                    self._tell(told, now)

    def _take_in(self, output: api.Output, now: MarketMs) -> None:
        match output:
            case api.BookChanged():
                self.books[output.token_id].change(output, now)
            case api.BookSnapshot():
                self.books[output.token_id].replace(output, now)
            case api.Printed():
                self.books[output.token_id].last[output.token_id] = output.price
            case api.TickChanged():
                self.books[output.token_id].tick = output.new
            case api.MarketOpened():
                self._know(output.market)
            case api.MarketEnded():
                self._refresh(output.condition_id)
            case api.MarketDecided():
                self.books[self._refresh(output.condition_id).up].over()
            case _:
                pass

    def _tell(self, output: api.Output, now: MarketMs) -> None:
        match output:
            case api.BookChanged():
                book = self.books[output.token_id]
                self.market_hub.book_changed(book, output.token_id, output.changes, now)
            case api.BookSnapshot():
                self.market_hub.book_told(self.books[output.token_id], output.token_id)
            case api.Printed():
                self.market_hub.printed(output, now)
            case api.PriceTick():
                self.live_hub.price(output, now)
                self.topic_hub.price(output, now)
                self.binance_hub.price(output, now)
            case api.CandleTick():
                self.binance_hub.candle(output, now)
            case api.UserOrder():
                self.user_hub.order(output, now)
            case api.UserTrade():
                self.user_hub.trade(output, now)
            case api.TickChanged():
                self.market_hub.tick_changed(output, now)
            case api.MarketOpened():
                self.market_hub.market_opened(output.market, self._idents[output.market.condition_id], now)
            case api.MarketEnded():
                pass
            case api.MarketDecided():
                self._decided(output, now)
            case _:
                self._answer(output)

    def _misbehave(self, now: MarketMs) -> None:
        """Tell what was held back until now, and break the connections that break."""
        if self.faults is None:
            return
        for output in self.faults.due(now):
            self._tell(output, now)
        for channel in STREAMS:
            if self.faults.down(channel, now):
                self.crowd.cut(channel)

    def unreachable(self, channel: str) -> bool:
        """Can nobody connect to this channel (``market``, ``user``) just now?"""
        return self.faults is not None and self.faults.down(channel, self.clock.now)

    def listed(self, market: Market) -> bool:
        """Does the catalogue show this market yet?"""
        if self.faults is None:
            return True
        return self.clock.now >= self.faults.listed_at(market.condition_id, market.start, market.end)

    @property
    def skew_s(self) -> int:
        """Seconds by which the venue's own clock is ahead of market time."""
        return 0 if self.faults is None else self.faults.skew_s

    def _answer(self, output: api.Output) -> None:
        """Replies; nobody waits for one whose client left, or that was asked before a restart."""
        waiting = self._waiting.get(getattr(output, "request_id", 0))
        if waiting is not None and not waiting.done():
            waiting.set_result(output)

    def _decided(self, decided: api.MarketDecided, now: MarketMs) -> None:
        market = self.world.market_by_condition(decided.condition_id)
        assert market is not None, decided.condition_id
        self.market_hub.market_decided(market, self._idents[decided.condition_id], decided, now)

    # --- the catalogue ------------------------------------------------------------------------------------------------

    def _know(self, market: Market) -> int:
        """Take a new market in; gives its numeric id."""
        ident = self._idents.get(market.condition_id)
        if ident is None:
            self._by_ident.append(market.condition_id)
            ident = self._idents[market.condition_id] = len(self._by_ident)
        book = WireBook(market, self.clock.now)
        book.replace(self.world.exchange.snapshot(market.up), self.clock.now)
        self.books[market.up] = self.books[market.down] = book
        self._forget_old()
        return ident

    def _forget_old(self) -> None:
        """Drop the books of markets that the world has forgotten."""
        for token in [token for token in self.books if self.world.market_by_token(token) is None]:
            del self.books[token]

    def _refresh(self, condition_id: str) -> Market:
        """The market as it stands now, for the wire book too."""
        market = self.world.market_by_condition(condition_id)
        assert market is not None, condition_id
        self.books[market.up].market = market
        return market

    def ident(self, market: Market) -> int:
        return self._idents[market.condition_id]

    def market_by_ident(self, text: str) -> Market | None:
        """The market with this numeric id."""
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= len(self._by_ident):
            return None
        return self.world.market_by_condition(self._by_ident[int(text) - 1])

    def resolution(self, market: Market) -> Resolution:
        return self.world.resolution(market.condition_id)

    def label(self, condition_id: str, token_id: str) -> str:
        """The outcome's label of a token."""
        market = self.world.market_by_condition(condition_id)
        return "" if market is None else outcome_of(market, token_id)

    # --- market time --------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """True while market time waits for a request or a client.

        While an order waits for its taker delay nobody's lag counts: the one who lags may be waiting for that answer.
        """
        lag_s = inf if self._waiting else max(LAG_S_MIN, LAG_MARKET_MS / 1_000 / self.clock.speed)
        return self.handling > 0 or self.crowd.holds(lag_s)

    def step(self, limit: MarketMs) -> None:
        """Let the world go on to ``limit``, or as far as ``STEP_S`` of work and the clients' queues allow."""
        began = perf_counter()
        if self.world.next_due <= limit:
            for at, outputs in self.world.instants(limit):
                self.clock.reached(at)
                self.store.mark(at)
                self._give_out(outputs, at)
                self._misbehave(at)
                if self.held:
                    self.clock.stopped_at(at)
                    return
                if perf_counter() - began > STEP_S:
                    return
        self.clock.reached(limit)
        self._misbehave(limit)

    async def run(self, free_running: bool) -> None:
        """Drive market time until cancelled. With nobody connected it stands still, unless ``free_running``."""
        last = saved = perf_counter()
        while True:
            await asyncio.sleep(self._pause())
            now = perf_counter()
            elapsed_us, last = int((now - last) * 1_000_000), now
            self.crowd.check()
            self._cancel_silent()
            if not free_running and not self.clients():
                self.clock.paused()
            else:
                limit = self.clock.grant(elapsed_us, wall_ms(), self.held)
                if limit > self.clock.now:
                    self.step(limit)
            if now - saved > SAVE_EVERY_S:
                saved = now
                self.save()

    def _pause(self) -> float:
        """Wall seconds to the next thing that is due, within what the loop can tell apart."""
        due_s = (self.world.next_due - self.clock.now) / 1_000 / self.clock.speed
        return min(max(due_s, PAUSE_S_MIN), PAUSE_S_MAX)

    def stop(self) -> None:
        """Close sockets and keep the state."""
        self.crowd.close()
        for waiting in self._waiting.values():
            waiting.cancel()
        self.save()
        self.store.close()
        logger.info("exchange stopped; effective speed {:.2f} of {:g}", self.clock.effective, self.clock.speed)
