"""One run of the service: everything wired together, from the lock on the data folder to the summary.

Order at start: folder, journal (folded), exchange (if it is ours), client (checked, authenticated), plugins, streams.
At the end in reverse. What is open stays safe in between: exits rest at the venue, obligations are in the journal.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, NamedTuple

from loguru import logger
from msgspec import UNSET, UnsetType

from polyhost import __version__
from polyhost.configuration import Loaded, recorded
from polyhost.errors import PolyhostError, VenueError
from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import LoadedPlugin, discover, tell_of
from polyhost.extension.lock import Lock
from polyhost.extension.runner import Runner
from polyhost.journal import JournalError, JournalWriter, Recorder, read_journal
from polyhost.journal.analysis import AnalysisWriter
from polyhost.kernel.invariants import INVARIANTS
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import PositionEntry, fold
from polyhost.kernel.supervised import SEALED
from polyhost.lab.builders import builder_figures
from polyhost.lab.summary import Extras, gather, summary
from polyhost.model.builder import Builder
from polyhost.model.commands import Follow, Sweep, Unfollow
from polyhost.model.events import BalanceSeen, Operator, QueryFailed, RunBegan, RunEnding, SweepDone
from polyhost.model.market import Market
from polyhost.model.money import money_text
from polyhost.model.reading import FeedConfig
from polyhost.model.records import Record, RunEnded, RunStarted
from polyhost.model.view import Candle
from polyhost.model.wallets import WalletKind
from polyhost.model.words import Action, OrderState
from polyhost.service import live_file
from polyhost.service.control import ControlServer
from polyhost.service.control_words import OperatorWords
from polyhost.service.coverage import coverage
from polyhost.service.engine import Engine
from polyhost.service.exchange_child import ExchangeChild
from polyhost.service.extra_feeds import ExtraFeeds
from polyhost.service.folder import DataFolder
from polyhost.service.left_open import left_open
from polyhost.service.logs import REDACTOR
from polyhost.service.operator_box import POLL_S, forget_kills, leave, waiting
from polyhost.service.plugin_life import CHANGES, PluginLife, plugin_words, told_hooks, trusted_on_sight
from polyhost.service.supervision import Beat, Supervisor
from polyhost.venue.binance import BinanceFeed
from polyhost.venue.budget import Budget
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.discovery import Discovery
from polyhost.venue.polymarket.endpoints import Endpoints, endpoints_at
from polyhost.venue.polymarket.faults import retried
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.heartbeats import Heartbeats
from polyhost.venue.polymarket.http import budget_scale, http_client
from polyhost.venue.polymarket.reach import first_time, require_exchange
from polyhost.venue.polymarket.rest_books import RestBooks
from polyhost.venue.polymarket.selftest import signing_selftest
from polyhost.venue.polymarket.streams import MarketStream, PriceStream, UserStream
from polyhost.venue.polymarket.venue_notices import VenueNotices
from polyhost.venue.polymarket.witness import BookWitness
from polyhost.venue.rotation import Turnover

STOP_WITHIN_S: Final = 5.0
"""A graceful stop waits this long, wall seconds, for the proof of its cancels."""
SETTLE_WITHIN_S: Final = 120.0
"""After the last window: this long, wall seconds, for what is open to be exited or settled; then it is told."""
KILL: Final = "kill"
KILL_WITHIN_S: Final = 60.0
"""After a kill: this long, wall seconds, for the cancels (and the sales of ``--flatten``) to be proved."""
ALIVE_EVERY_S: Final = 60.0
"""One line of life a minute (LOG-08)."""
STATUS_EVERY_S: Final = 2.0
"""The liveness figures are written for ``polyhost status`` this often, wall seconds."""
KERNEL_SILENT_S: Final = 2.0
"""The timer goes round every 50 ms; silent for this long (wall seconds) it is started again."""
OPERATOR_SILENT_S: Final = 5.0
"""Looking for the operator's words, wall seconds of silence."""
CONTROL_SILENT_S: Final = 10.0
"""The control socket looks at itself every second; silent for so long, wall seconds, it is made anew."""
CLOCK_SILENT_S: Final = 60.0
"""Asking for the venue's time, wall seconds of silence: every 30 s, and a request may take 10 s."""
STREAM_SILENT_S: Final = 60.0
"""A stream's loop (not its data: that has limits of its own), wall seconds: the longest pause between tries is 30 s."""
DISCOVERY_SILENT_S: Final = 60.0
"""Between two questions for a market, wall seconds; one takes 10 s at most."""
NOTICES_SILENT_S: Final = 90.0
"""Between two looks at the venue's notifications, wall seconds; one is every 20 s, and takes 20 s at most."""
HEARTBEAT_SILENT_S: Final = 8.0
"""None was taken for this long, wall seconds; two seconds later at the earliest the venue cancels all orders."""
EXITS_LATE_S: Final = 2.0
"""An obligation that should have been enforced this long ago (wall seconds) is neglected."""
JOURNAL_SILENT_S: Final = 5.0
"""A record waits for the disk this long, wall seconds."""
GATEWAY_SILENT_S: Final = 30.0
"""No request was answered for this long, wall seconds; the balance is asked every 4 s."""
RECONCILING_S: Final = 60.0
"""A comparison with the venue takes this long, wall seconds."""
OUTBOX_SILENT_S: Final = 60.0
"""One notice is being delivered for this long, wall seconds."""


def throwaway_key(seed: int, account: str) -> str:
    """The simulator's key of an account: from a seed, so it is no secret and never holds anything real."""
    return "0x" + hashlib.sha256(f"polyhost throwaway key {seed} {account}".encode()).hexdigest()


def new_run_id() -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{time.time_ns() // 1_000_000 % 1_000:03d}"


class Feeds(NamedTuple):
    """What comes from outside, each a loop of its own."""

    market: MarketStream
    user: UserStream
    reference: PriceStream
    spot: BinanceFeed
    discovery: Discovery
    witness: BookWitness


class Session:
    """One run. Use ``await run()`` once; ``stop`` ends it gracefully from a signal handler."""

    def __init__(self, loaded: Loaded, folder: DataFolder, *, windows: int | None = None) -> None:
        self.loaded = loaded
        self.settings = loaded.configuration
        self.folder = folder
        self.windows = windows
        self.run_id = new_run_id()
        self.clock = VenueClock()
        self.budget = Budget(scale=lambda: budget_scale(self.clock))
        self.kernel: Kernel
        self.engine: Engine
        self.runner: Runner
        self.plugins: PluginLife
        self.gateway: PolymarketGateway
        self.builder: Builder | UnsetType = UNSET
        """The configured builder code with what the venue says it costs."""
        self.discovery: Discovery
        self.market_stream: MarketStream
        self.witness: BookWitness
        self.child: ExchangeChild | None = None
        self.started_at = time.monotonic()
        self.began_market = 0
        self.settled_here = 0
        """Windows whose entries were allowed from the open and that settled in this run."""
        self.killed = False
        """The operator's kill ended the run (exit code 4)."""
        self.flatten = False
        self._cut_off = False
        """The last run did not come to its end: what was said to it may never have been heard."""
        self._stop_reason = ""
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.supervisor: Supervisor
        self._feeds: Feeds
        self._extra: ExtraFeeds
        self._reconciling_since: float | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self.on_ready: Callable[[Session], None] | None = None
        """Called once when trading may begin (for the terminal view)."""

    # --- life ---------------------------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End gracefully: entries and quotes go, exits stay resting, positions keep their obligations."""
        self._stop_reason = self._stop_reason or reason
        self._stopping.set()

    def kill(self, who: str, *, flatten: bool) -> None:
        """The operator's kill by a signal; before the host is up it waits for that."""
        word = Operator("kill", "", who, flatten)
        if hasattr(self, "engine"):
            self._hear(word)
        else:
            leave(self.folder.path, word)

    async def run(self) -> dict[str, Any]:
        """Trade until stopped or until the wanted number of windows has settled; returns the summary."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            reason = await self._trade()
            await self._wind_down(reason)
            report = await self._report()
        return report

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        lock = Lock(self.folder.path)
        plugins = discover(
            settings, self.loaded.base, str(self.loaded.path or ""), places=self.loaded.place, admit=lock.problem,
            excused=self.loaded.chosen.union(lock.plugins),
        )
        secrets = [secret for plugin in plugins for secret in plugin.secrets()]
        REDACTOR.add(*secrets)
        self.kernel = Kernel(settings, settings.host.account, told_hooks(plugins), channels_of(plugins))
        journal = self._open_journal(stack)
        # Both take a good part of a second, and neither needs the other.
        selftest = asyncio.create_task(signing_selftest())
        try:
            endpoints = await self._reach(stack)
        finally:
            await asyncio.wait({selftest})
        selftest.result()
        self.gateway = PolymarketGateway(
            endpoints, throwaway_key(settings.exchange.seed, settings.host.account),
            wallet=WalletKind[settings.venue.wallet.upper()], clock=self.clock, selftest=False,
            budget=self.budget,
        )
        stack.push_async_callback(self.gateway.close)
        await self.gateway.connect()
        given = self.gateway.credentials
        REDACTOR.add(given.secret, given.passphrase)
        await self._ask_builder()
        self.runner = Runner(plugins, settings.evaluation.combiner)
        for name, reason in self.kernel.state.quarantined.items():
            self.runner.quarantine(name, reason)
        # The API key's id names the owner of an order (U9); its secret and passphrase are the secrets.
        recorder = self._recorder((given.secret, given.passphrase, *secrets)) if settings.host.record else None
        analysis = AnalysisWriter(self.folder.analysis)
        stack.callback(analysis.close)
        if recorder is not None:
            stack.callback(recorder.close)
        self.engine = Engine(
            self.kernel, self.clock, self.gateway, self.runner, journal, recorder, analysis, follow=self._follow
        )
        stack.push_async_callback(self.engine.close)
        for name, kept in self.kernel.state.plugin_state.items():
            self.runner.load_state(name, kept)
        said = self.runner.start()
        stack.callback(self.runner.stop)
        http = http_client(endpoints.clob, self.clock, live=endpoints.live, budget=self.budget)
        stack.push_async_callback(http.aclose)
        await retried(lambda: first_time(self.clock, http), "the venue's time")
        self._streams(stack, endpoints, http)
        config = FeedConfig(
            settings.host.mode, "" if endpoints.live else endpoints.clob, self.clock.speed, settings.markets.symbols
        )
        self._extra = ExtraFeeds(plugins, config, self.engine.reading)
        self.plugins = PluginLife(self.loaded, plugins, self.engine, self._change_feeds)
        stack.push_async_callback(self._end_tasks)
        stack.push_async_callback(self._end_loops)
        self._banner(plugins)
        self.began_market = self.clock.now()
        self.engine.event(
            RunBegan(
                self.run_id, __version__, settings.host.mode, self.loaded.config_hash, settings.host.account,
                self.builder, {plugin.name: plugin.version for plugin in plugins if plugin.runs},
            )
        )
        for told in (*trusted_on_sight(lock, plugins), *said):
            self.engine.event(told)
        self._supervise(http, journal, recorder, analysis)
        if self.on_ready is not None:
            self.on_ready(self)

    async def _ask_builder(self) -> None:
        """What the configured builder code costs. ConfigError: the venue does not know it; VenueError: no answer."""
        code = self.settings.venue.builder_code
        if code:
            self.builder = told = await retried(lambda: self.gateway.builder(code), "the builder code's fees")
            logger.info("builder code {}: {} ppm of a trade's money for makers, {} for takers", code, *told.rates)

    def _open_journal(self, stack: AsyncExitStack) -> JournalWriter:
        loop = asyncio.get_running_loop()

        def durable(seq: int) -> None:
            loop.call_soon_threadsafe(self._durable, seq)

        def failed(error: JournalError) -> None:
            loop.call_soon_threadsafe(self._journal_failed, error)

        def aside(seq: int) -> None:
            loop.call_soon_threadsafe(self._aside, seq)

        journal = JournalWriter(self.folder.journal, self.settings.host.account, durable, failed, aside)
        stack.callback(journal.close)
        self.kernel.restore(self._past())
        if not self._cut_off:
            forget_kills(self.folder.words_before)
        return journal

    def _past(self) -> Iterator[Record]:
        """The journal's records; whether the last run was cut off is noted on the way."""
        for _, record in read_journal(self.folder.journal):
            if isinstance(record, RunStarted | RunEnded):
                self._cut_off = isinstance(record, RunStarted)
            yield record

    def _durable(self, seq: int) -> None:
        if hasattr(self, "engine"):
            self.engine.durable(seq)

    def _journal_failed(self, error: JournalError) -> None:
        if hasattr(self, "engine"):
            self.engine.seal(error)

    def _aside(self, seq: int) -> None:
        if hasattr(self, "engine"):
            self.engine.aside(seq)

    async def _reach(self, stack: AsyncExitStack) -> Endpoints:
        """The exchange named by the configuration, or one of our own, started now."""
        if self.settings.venue.url:
            endpoints = endpoints_at(self.settings.venue.url)
            await require_exchange(endpoints)
            return endpoints
        folder = self.folder
        self.child = await ExchangeChild.start(
            self.settings, folder.exchange_state, folder.exchange_ready, folder.logs / "exchange.log"
        )
        stack.push_async_callback(self.child.stop)
        self._spawn(self._watch_child(), "exchange")
        return endpoints_at(self.child.url, self.child.ws_url)

    async def _watch_child(self) -> None:
        assert self.child is not None
        code = await self.child.process.wait()
        if not self._stopping.is_set():
            log = self.folder.logs / "exchange.log"
            raise VenueError(f"the simulated exchange ended by itself with code {code}; see {log}")

    def _recorder(self, secrets: tuple[str, ...]) -> Recorder:
        host = self.settings.host
        return Recorder(
            self.folder.path, self.run_id, hours=host.record_hours, gigabytes=host.record_gb, secrets=secrets,
            beside={recorded.FILE: recorded.told(self.loaded)},
        )

    def _streams(self, stack: AsyncExitStack, endpoints: Endpoints, http: Any) -> None:
        markets, engine = self.settings.markets, self.engine
        gamma = http_client(endpoints.gamma, self.clock, live=endpoints.live, budget=self.budget)
        binance = http_client(endpoints.binance, self.clock, live=endpoints.live)
        stack.push_async_callback(gamma.aclose)
        stack.push_async_callback(binance.aclose)
        turnover = Turnover(every_s=self.settings.venue.rotate_minutes * 60)
        jitter = random.Random(f"{self.settings.exchange.seed} {self.run_id}").random
        prices = PriceStream(
            endpoints.price_ws, self.gateway.credentials, markets.symbols, on_price=self._price, on_event=engine.event,
            clock=self.clock,
        )
        spot = BinanceFeed(
            binance, endpoints.binance_ws, markets.symbols, on_price=engine.price, on_candle=self._candle,
            on_event=engine.event, clock=self.clock,
        )
        self.discovery = Discovery(
            Catalogue(gamma, http), self.clock, symbols=markets.symbols, durations=markets.durations,
            slugs=markets.slugs, on_event=engine.event, ask_backlog=prices.refresh, ask_candle=spot.candle_at,
        )
        self.market_stream = MarketStream(
            endpoints.market_ws, on_frame=engine.frame, on_event=engine.event, on_resolved=self.discovery.on_message,
            clock=self.clock, turnover=turnover, jitter=jitter,
        )
        self.witness = BookWitness(
            self.market_stream, RestBooks(http), self.clock, book_of=self.kernel.book, lost=self._lost,
            on_frame=engine.frame,
        )
        user = UserStream(
            endpoints.user_ws, self.gateway.credentials, on_event=engine.event, clock=self.clock, turnover=turnover,
            jitter=jitter,
        )
        self._feeds = Feeds(self.market_stream, user, prices, spot, self.discovery, self.witness)

    def _price(self, feed: str, symbol: str, price: int, stamp: int) -> None:
        self.engine.price(feed, symbol, price, stamp)
        self.discovery.on_price(feed, symbol, price, stamp)

    def _candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        self.engine.candle(symbol, candle, closed)
        self.discovery.on_candle(symbol, candle, closed)

    def _follow(self, command: Follow | Unfollow) -> None:
        market = command.market
        if isinstance(command, Follow):
            self.market_stream.follow(market)
            entry = self.kernel.state.markets[market.condition_id]
            self.discovery.follow(market, strike_known=entry.strike is not None)
            self.engine.start(self._warm(market))
        else:
            self.market_stream.unfollow(market)

    def _lost(self) -> list[Market]:
        """Markets with something to exit whose book the stream does not give right now (CON-03)."""
        state, found = self.kernel.state, []
        for condition_id in state.exposed:
            entry, book = state.markets[condition_id], self.kernel.book(condition_id)
            if book is not None and not book.ready and entry.accepting and not entry.settled:
                found.append(entry.market)
        return found

    async def _warm(self, market: Market) -> None:
        await self.gateway.warm(market)

    # --- supervision --------------------------------------------------------------------------------------------------

    def _supervise(
        self, http: Any, journal: JournalWriter, recorder: Recorder | None, analysis: AnalysisWriter
    ) -> None:
        """Every loop of the host is started, and watched from here on (ORD-15)."""
        self.supervisor = watched = Supervisor(self.engine.event, done=lambda: self.engine.halted)
        engine, feeds = self.engine, self._feeds
        watched.task("kernel", engine.run_timer, KERNEL_SILENT_S, safety=True)
        watched.task("clock", partial(self.clock.follow, http), CLOCK_SILENT_S, safety=True)
        watched.task("operator", self._listen, OPERATOR_SILENT_S, safety=True)
        watched.task("control socket", self._control().run, CONTROL_SILENT_S)
        watched.task(
            "market stream", feeds.market.run, STREAM_SILENT_S, safety=True, idle=lambda: not feeds.market.tokens
        )
        watched.task("user stream", feeds.user.run, STREAM_SILENT_S, safety=True)
        watched.task("book witness", feeds.witness.run, STREAM_SILENT_S, safety=True)
        watched.task("reference prices", feeds.reference.run, STREAM_SILENT_S)
        watched.task("spot prices", feeds.spot.run, STREAM_SILENT_S)
        watched.task("discovery", feeds.discovery.run, DISCOVERY_SILENT_S)
        noticed = VenueNotices(self.gateway.notifications, self.gateway.drop_notifications, engine.event, engine)
        watched.task("venue notices", noticed.run, NOTICES_SILENT_S)
        watched.task("sign of life", self._alive, ALIVE_EVERY_S + OPERATOR_SILENT_S)
        watched.task("status file", self._publish, STATUS_EVERY_S + OPERATOR_SILENT_S)
        if self.settings.safety.dead_man:
            heartbeats = Heartbeats(self.gateway.heartbeat)
            watched.task("heartbeat", heartbeats.run, HEARTBEAT_SILENT_S, safety=True)
        watched.watch("exits", self._exits_late_s, EXITS_LATE_S, lambda: None, safety=True)
        watched.watch("journal", journal.behind_s, JOURNAL_SILENT_S, journal.revive, safety=True)
        watched.watch("gateway", self._gateway_silent_s, GATEWAY_SILENT_S, self._reconnect_soon, safety=True)
        watched.watch("reconciliation", self._reconciling_s, RECONCILING_S, engine.turn, safety=True)
        watched.watch("outbox", engine.outbox_age_s, OUTBOX_SILENT_S, engine.deliver_anew)
        watched.watch("analysis", analysis.dead_s, 0.0, analysis.revive)
        self._extra.supervise(watched)
        if recorder is not None:
            watched.watch("recorder", recorder.dead_s, 0.0, lambda: None)
        self._spawn(watched.run(), "supervisor")

    def _exits_late_s(self) -> float:
        """Wall seconds by which the oldest obligation that nobody sees to is overdue."""
        return self.clock.wall_seconds(self.kernel.overdue_ms(self.clock.now()))

    def _gateway_silent_s(self) -> float:
        return time.monotonic() - self.engine.answered_at

    def _reconciling_s(self) -> float:
        """For how long the comparison with the venue that is under way has been."""
        if not self.kernel.reconciling():
            self._reconciling_since = None
            return 0.0
        now = time.monotonic()
        self._reconciling_since = self._reconciling_since or now
        return now - self._reconciling_since

    def _reconnect_soon(self) -> None:
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = self.engine.start(self._reconnect())

    async def _reconnect(self) -> None:
        try:
            await self.gateway.reconnect()
        except PolyhostError as error:
            logger.warning("the gateway's connections could not be made anew: {}", error)

    async def _publish(self, beat: Beat) -> None:
        """Keep the liveness figures where ``status`` finds them."""
        failing = False
        while True:
            beat()
            try:
                await asyncio.to_thread(live_file.write, self.folder.path, self._live())
                failing = False
            except OSError as error:
                # On a full disk this is every time: told once.
                logger.log("DEBUG" if failing else "WARNING", "figures for `polyhost status` not written: {}", error)
                failing = True
            await asyncio.sleep(STATUS_EVERY_S)

    def _live(self) -> live_file.Live:
        """Ready: every safety loop lives, the journal takes records, and no stop is under way."""
        ready = self.supervisor.safe() and self.engine.sealed is None and not self._stopping.is_set()
        sealed = "" if self.engine.sealed is None else str(self.engine.sealed)
        wall = time.time_ns() // 1_000_000
        return live_file.Live(
            self.run_id, wall, ready, sealed, self.supervisor.figures(), self.kernel.blocks(),
            self.kernel.reconciliation.ages(), self.kernel.scoring.said(),
            self._extra.figures(), self.plugins.rows(), self.clock.now(), self.clock.speed, coverage(self.kernel),
        )

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._loop_ended)

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        """What nobody can start again (the exchange, the supervisor) ended: told with its name, and the run ends."""
        if task.cancelled() or (self._stopping.is_set() and task.exception() is None):
            return
        error = task.exception() or RuntimeError(f"the loop '{task.get_name()}' ended")
        if hasattr(self, "engine"):
            self.engine.fail(error)
        elif not isinstance(error, PolyhostError):
            logger.opt(exception=error).critical("loop '{}' failed", task.get_name())

    async def _end_loops(self) -> None:
        if hasattr(self, "supervisor"):
            await self.supervisor.close()

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _control(self) -> ControlServer:
        words = OperatorWords(self.engine, self._hear, self._live, self.run_id)
        return ControlServer(self.folder.path, words.table() | plugin_words(self.plugins))

    async def _change_feeds(self, old: LoadedPlugin | None, new: LoadedPlugin | None) -> None:
        await self._extra.change(self.supervisor, old, new)

    async def _listen(self, beat: Beat) -> None:
        """Take the operator's words as they come."""
        while True:
            beat()
            for path, word in waiting(self.folder.path):
                self._hear(word)
                path.unlink(missing_ok=True)
            await asyncio.sleep(POLL_S)

    def _hear(self, word: Operator) -> None:
        if word.word in CHANGES:
            self.engine.start(self.plugins.by_file(word))
            return
        self.engine.event(word)
        if word.word == "kill":
            self.killed, self.flatten = True, self.flatten or word.flatten
            self.stop(KILL)

    async def _alive(self, beat: Beat) -> None:
        while True:
            beat()
            await asyncio.sleep(ALIVE_EVERY_S)
            state = self.kernel.state
            open_positions = sum(p.size > 0 and not state.markets[p.condition_id].settled
                                 for p in state.positions.values())
            late = max(self.engine.lateness, default=0.0)
            logger.info(
                "alive: {} markets, {} positions, {} open orders, {} evaluations, worst timer lag {:.3f} s; {}",
                len(self.kernel.followed()), open_positions, sum(len(refs) for refs in state.open_refs.values()),
                self.kernel.evaluations, late / 1_000, self.supervisor.said(),
            )

    # --- the run ------------------------------------------------------------------------------------------------------

    async def _trade(self) -> str:
        """Until a stop is asked for, the windows are done, or something broke; returns why."""
        engine = self.engine
        stop = asyncio.create_task(self._stopping.wait())
        try:
            while True:
                engine.changed.clear()
                if engine.broken is not None:
                    raise engine.broken
                if self._stopping.is_set():
                    return self._stop_reason
                if engine.sealed is not None:
                    return SEALED
                self._count_settled()
                if self.windows is not None and self.settled_here >= self.windows:
                    return "windows"
                changed = asyncio.create_task(engine.changed.wait())
                await asyncio.wait({stop, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            stop.cancel()

    def _count_settled(self) -> None:
        """Windows that settled in this run and whose entries were allowed from the open."""
        settled = [
            entry for entry in self.kernel.state.markets.values()
            if entry.settled and entry.from_open and (entry.market.start or 0) >= self.began_market
        ]
        self.settled_here = len(settled)

    async def _wind_down(self, reason: str) -> None:
        engine = self.engine
        engine.event(RunEnding(reason))
        if reason == SEALED:
            reason = await self._until_safe()
        if reason == "windows":
            await self._until(self._nothing_open, SETTLE_WITHIN_S)
        elif reason == KILL:
            await self._until(self._flat if self.flatten else self._no_orders, KILL_WITHIN_S)
        else:
            await self._until(self._quiet, STOP_WITHIN_S)
        self._stopping.set()
        await engine.deliveries(STOP_WITHIN_S)
        # Streams and timer run on while the end is written: from here on nothing of theirs changes the state.
        engine.halt()
        await engine.drain(STOP_WITHIN_S)

    async def _until_safe(self) -> str:
        """The journal failed: go on until nothing is at risk any more, or the operator ends it; returns who did."""
        logger.critical(
            "the journal failed: nothing is entered any more; the host ends when every position is sold, settled or "
            "held, or when you stop it"
        )
        while not (self._stopping.is_set() or self._flat()):
            await self._until(lambda: self._stopping.is_set() or self._flat(), SETTLE_WITHIN_S)
        return self._stop_reason if self._stopping.is_set() else SEALED

    async def _until(self, done: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not done() and time.monotonic() < deadline:
            if self.engine.broken is not None:
                raise self.engine.broken
            self.engine.changed.clear()
            try:
                await asyncio.wait_for(self.engine.changed.wait(), min(1.0, max(deadline - time.monotonic(), 0.01)))
            except TimeoutError:
                continue

    def _no_orders(self) -> bool:
        return not any(self.kernel.state.open_refs.values())

    def _flat(self) -> bool:
        """No orders, and no position but what is knowingly held (a rest the venue does not take)."""
        state = self.kernel.state
        return self._no_orders() and all(
            position.size <= 0 or position.held or state.markets[position.condition_id].settled
            for position in state.positions.values()
        )

    def _quiet(self) -> bool:
        """Nothing is on its way: no buy, no order whose answer or end is awaited, no sale at market under way."""
        state = self.kernel.state
        orders = [state.orders[ref] for refs in state.open_refs.values() for ref in refs]
        resting = all(
            order.draft.action is Action.SELL and order.state is OrderState.WORKING and order.draft.order_type.rests
            for order in orders
        )
        return resting and not any(self._selling(position) for position in state.positions.values())

    def _selling(self, position: PositionEntry) -> bool:
        data = self.kernel.data(position.condition_id)
        plan = None if data is None else data.exits.get(position.side)
        settled = self.kernel.state.markets[position.condition_id].settled
        return position.size > 0 and not settled and plan is not None and plan.urgent is not None

    def _nothing_open(self) -> bool:
        state = self.kernel.state
        if any(state.open_refs.values()) or state.unsettled:
            return False
        return all(
            position.size <= 0 or state.markets[position.condition_id].settled for position in state.positions.values()
        )

    # --- the report ---------------------------------------------------------------------------------------------------

    async def _report(self) -> dict[str, Any]:
        engine, kernel = self.engine, self.kernel
        orphans, venue_problem = await self._compare_with_venue()
        engine.carry_out(kernel.ended(self.clock.now(), self._stop_reason or "windows"))
        broken = kernel.broken_invariants()
        if venue_problem:
            broken.append(venue_problem)
        engine.journal.close()
        told = fold(record for _, record in read_journal(self.folder.journal))
        if told != kernel.state:
            broken.append("journal_folds_to_state")
        if engine.sealed is not None:
            broken.append("journal_failed")
        extras = gather(kernel, Extras())
        extras.orphans = orphans
        extras.checked = len(INVARIANTS) + 2
        extras.broken = broken
        extras.config_hash = self.loaded.config_hash
        extras.gates = {condition_id: kernel.gates(condition_id) for condition_id in kernel.state.markets}
        duration = time.monotonic() - self.started_at
        market_s = (self.clock.now() - self.began_market) / 1_000
        lateness = sorted(engine.lateness)
        extras.builder = builder_figures(kernel.state, self.builder, await self._credited())
        extras.wall = {
            "run_id": self.run_id,
            "duration_s": round(duration, 3),
            "market_s": round(market_s, 3),
            "speed_wanted": self.settings.exchange.speed,
            "speed_effective": round(market_s / duration, 2) if duration else 0.0,
            "messages": engine.messages,
            "events_per_s": round(engine.messages / duration, 1) if duration else 0.0,
            "lag_ms_p99": round(lateness[int(len(lateness) * 0.99)], 3) if lateness else 0.0,
            "windows_from_open": self.settled_here,
            "venue_calls": {f"{name} {purpose}": count for (name, purpose), count in sorted(self.budget.calls.items())},
            "venue_calls_refused": sum(self.budget.refused.values()),
            "killed": self.killed,
            "left_open": left_open(kernel.state),
        }
        return summary(kernel.state, extras)

    async def _credited(self) -> dict[str, Any] | None:
        """What the venue credits the builder code with since this run began, from everybody; None: there is no code.
        """
        if self.builder is UNSET:
            return None
        try:
            found = await self.gateway.credited(self.builder.code, self.began_market // 1_000)
        except VenueError as error:
            logger.warning("what the builder code was credited with is not known: {}", error)
            return {"problem": str(error)}
        return {
            "since": self.began_market, "trades": found.trades, "ours": found.ours, "volume": money_text(found.volume),
            "fees": money_text(found.fees), "whole": found.whole,
        }

    async def _compare_with_venue(self) -> tuple[int, str]:
        """Live orders at the venue that nobody wants, and whether its collateral is the ledger's (both once quiet)."""
        events = await self.gateway.execute(Sweep("", max(self.clock.now() // 1_000 - 7_200, 0)))
        balances = await self.gateway.balance()
        state = self.kernel.state
        orphans = 0
        for event in (*events, balances):
            match event:
                case SweepDone():
                    known = (state.by_order_id(row.order_id) for row in event.orders)
                    orphans += sum(order is not None and not order.open for order in known)
                case QueryFailed():
                    logger.warning("the end was not compared with the venue ({}): {}", event.what, event.reason)
        quiet = state.opened and not state.unsettled and not any(state.open_refs.values())
        if isinstance(balances, BalanceSeen) and quiet:
            ours = state.balance("free") + state.balance("reserved")
            if balances.collateral != ours:
                theirs = money_text(balances.collateral)
                logger.error("the venue shows {} of collateral, the ledger {}", theirs, money_text(ours))
                return orphans, "venue_collateral_equals_ledger"
        return orphans, ""

    def _banner(self, plugins: tuple[LoadedPlugin, ...]) -> None:
        running = [plugin.name for plugin in plugins if plugin.runs]
        logger.info(
            "polyhost {} | mode {} | account {} | run {} | config {} | plugins {}",
            __version__, self.settings.host.mode, self.settings.host.account, self.run_id, self.loaded.config_hash,
            ", ".join(running),
        )
        for line in self.loaded.told():
            logger.warning("configuration: {}", line)
        tell_of(plugins)
        state = self.kernel.state
        if state.runs:
            logger.info(
                "continuing after {} runs: {} open orders, {} positions", state.runs,
                sum(len(refs) for refs in state.open_refs.values()),
                sum(p.size > 0 and not state.markets[p.condition_id].settled for p in state.positions.values()),
            )
        for name, reason in state.quarantined.items():
            logger.error(
                "plugin {} is quarantined since an earlier run ({}); `polyhost plugins release {}`", name, reason, name
            )
        for name, reason in state.blocked.items():
            logger.warning("entries are blocked since an earlier run ({}): {}", name, reason)
