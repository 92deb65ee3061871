"""One simulated run: the whole host against the simulated exchange in virtual time, with everything that can go wrong.

Events happen in order of time: first the venue's own, then what is on its way (requests, answers, stream events,
commits, accidents), then the market data that has arrived, then the kernel's deadlines. Wall time is market time. The
same seed and settings give the same records, to the byte.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from heapq import heappop, heappush
from typing import Any, Final

from msgspec import Struct

from polyhost import __version__
from polyhost.configuration import Loaded
from polyhost.exchange import api
from polyhost.exchange.gateway import reward_event
from polyhost.exchange.pathologies import Pathologies
from polyhost.exchange.pathologies.inprocess import FaultyGateway
from polyhost.exchange.rewards import DAY_MS
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.world import World, WorldSettings
from polyhost.extension.discovery import LoadedPlugin, discover, tell_of
from polyhost.extension.runner import Runner
from polyhost.extension.sources import found_sources
from polyhost.hooks import TELLING
from polyhost.journal.memory import MemoryJournal
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.supervised import HEARTBEAT
from polyhost.kernel.volatile import CANDLES_KEPT
from polyhost.lab.backtest import rare_collections
from polyhost.lab.builders import builders_of, own_builder
from polyhost.lab.plugins import InlinePlugins
from polyhost.lab.sim_alarms import Alarms
from polyhost.lab.sim_checks import Checks
from polyhost.lab.sim_explained import rows_of, unexplained
from polyhost.lab.sim_feeds import SimFeeds
from polyhost.lab.sim_finding import Broken, must
from polyhost.lab.sim_heard import Heard
from polyhost.lab.sim_trace import Trace
from polyhost.lab.sim_weather import Weather
from polyhost.model.batching import batched, single
from polyhost.model.book import Book
from polyhost.model.commands import (
    GATED,
    Analyse,
    Ask,
    Command,
    Deliver,
    Follow,
    Post,
    PostMany,
    QueryResult,
    Remember,
    Tell,
    Unfollow,
    takes_risk_away,
)
from polyhost.model.events import (
    Evaluated,
    Event,
    LoopChanged,
    MarketFound,
    MarketResolved,
    Operator,
    OrderSeen,
    PostLeft,
    RunBegan,
    StreamChanged,
    StrikeSeen,
    SweepDone,
    TradeSeen,
)
from polyhost.model.market import Market
from polyhost.model.messages import Change, Level, Message
from polyhost.model.money import price_text, size_text
from polyhost.model.openings import Openings, Strike
from polyhost.model.series import DURATIONS
from polyhost.model.step import Step
from polyhost.model.times import MarketMs
from polyhost.model.unanswered import never_sent, unanswered
from polyhost.model.view import Candle
from polyhost.model.words import Action, Side

BEGIN: Final = 1_800_000_000_000
"""Where runs begin, market ms: a full quarter of an hour; each seed begins somewhere within it."""
MIDNIGHT_EVERY: Final = 4
"""Of so many seeds one runs over a midnight."""
ADDRESS: Final = "0x" + "51" * 20
API_KEY: Final = "simulated"
QUIET_MS: Final = 120_000
"""Without faults and new entries for so long, host and venue must agree."""
AFTER_END_MS: Final = 150_000
"""What is open after that is settled so long after the last window's end (result, and U6's last sweep)."""
LOOKS: Final = 3
LOOK_AGAIN_MS: Final = 7_000
"""When host and venue differ they are compared again after this; what differs three times in a row is a finding."""
LAG_EVERY_MS: Final = 3_000
ASIDE_MS: Final = 1_000
"""What waits for a locked database this long (wall ms) stands in the emergency file meanwhile."""
DEAD_MAN_MS: Final = 12_500
"""The venue's dead-man's switch acts 10 to 15 s after the last heartbeat."""
TWICE_EVERY: Final = 5
"""Of the comparisons with the venue every so-many-th is made twice."""
SETTLED_BY_MS: Final = 660_000
"""A trade that settles late does so within ten minutes, an action's fate is proved sooner; the host has heard of it a
moment later."""
PASS_EVERY_MS: Final = 5_000
"""Deadlines and cover are looked at this often."""
FULL_EVERY: Final = 12
"""Of these looks, every so-many-th compares everything."""
ROUNDS_MAX: Final = 5_000
"""Events that may follow from one event at one instant; more is a loop, and a bug."""
SETTLING_DENSITY: Final = 2.0
"""Population events a second while only settlement is waited for."""


NO_BOOK: Final = (Book(), "")
"""Of a market that is not subscribed: never ready."""


class Plan(Struct, frozen=True):
    """What every seed of a simulation has in common."""

    hours: float = 1.0
    pathologies: dict[str, float] = {}
    density: float = 20.0
    rough: bool = True
    """Kills, lost streams, long delays and an operator."""


class Outcome(Struct):
    """What became of one seed."""

    seed: int
    digest: str = ""
    """SHA-256 of all records, those that crashes lost included."""
    events: int = 0
    market_ms: int = 0
    records: int = 0
    orders: int = 0
    fills: int = 0
    evaluations: int = 0
    restarts: int = 0
    records_lost: int = 0
    checked: int = 0
    happened: dict[str, int] = {}
    """How often each pathology struck."""
    exceptions: dict[str, int] = {}
    rules: dict[str, int] = {}
    broken: str = ""
    """Name of the invariant that does not hold; empty: all do."""
    text: str = ""
    at_s: float = 0.0
    """When it broke, seconds of market time since the run's begin."""
    trace: list[str] = []


class Host:
    """One life of the host, from a start to the next kill."""

    def __init__(self, kernel: Kernel, plugins: Plugins, since: int) -> None:
        self.kernel = kernel
        self.plugins = plugins
        self.since = since
        self.inbox: deque[Event] = deque()
        self.gated: deque[tuple[int, Command]] = deque()
        self.books: dict[str, tuple[Book, str]] = {}
        """Condition id → the kernel's book of a subscribed market, and its UP token."""
        self.alive = True
        self.user_up = False
        self.market_up = False
        self.committing = False
        self.only_sells = False
        """What is durable is so in the emergency file only."""
        self.sealed = False
        self.loops_down: set[str] = set()
        self.frozen = False
        """Its market stream says nothing, and it does not know yet."""


class Simulation:
    """One seed. Use once: ``run`` gives the outcome."""

    def __init__(self, seed: int, plan: Plan, loaded: Loaded) -> None:
        self.seed = seed
        self.plan = plan
        self.settings = settings = loaded.configuration
        self._loaded = loaded
        self._sources = found_sources(settings.plugin_paths, loaded.base)
        self.weather = Weather(seed, rough=plan.rough)
        self.began = self._first_moment()
        rules = settings.exchange
        self.now = self.began
        self.world = World(
            WorldSettings(
                symbols=settings.markets.symbols,
                durations_s=tuple(DURATIONS[name] for name in settings.markets.durations),
                windows_ahead=1,
                resolve_delay_ms=rules.resolve_delay_ms,
                density=plan.density,
                plain_market=False,
                reward_rate_day=int(rules.rewards),
                reward_min_size=int(rules.rewards_min_size),
                reward_max_spread=int(rules.rewards_max_spread),
                rules=ExchangeRules(
                    taker_delay_ms=rules.taker_delay_ms,
                    mined_ms=rules.mined_ms,
                    confirmed_ms=rules.confirmed_ms,
                    snapshots=False,
                    builders=builders_of(settings),
                ),
            ),
            seed,
            MarketMs(self.now),
        )
        self.exchange = self.world.exchange
        self.exchange.open_account(ADDRESS, int(rules.cash))
        self.pathologies = Pathologies(seed, plan.pathologies)
        self.gateway = FaultyGateway(
            self.exchange, ADDRESS, API_KEY, seed, self.pathologies, streams=("user", "market")
        )
        self.explained: Counter[str] = Counter()
        """What became of the entries that plugins wanted, by outcome."""
        self.journal = MemoryJournal(self._durable, hold=True)
        self.heard = Heard(settings)
        self.checks = Checks(self.exchange, ADDRESS, settings.host.account, self.heard)
        self.alarms = Alarms() if not plan.rough and not plan.pathologies else None
        """Listens where nothing may go wrong; None: something shall."""
        self.trace = Trace()
        self.outcome = Outcome(seed)
        self._digest = hashlib.sha256()
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._agenda_seq = 0
        self._market: deque[tuple[int, Host, Any]] = deque()
        """Market data on its way to the host, in order."""
        self._market_lag = 1
        """How late market data is now; drawn anew every few seconds."""
        self._silence = (False, 0)
        """Whether the venue's market stream is silent, and until when that is so."""
        self._user_last = 0
        self._gateway_due = self.gateway.next_due
        self._host: Host | None = None
        self._kill_wish = ""
        """The moment at which the next kill strikes; empty: none is due."""
        self._killed = False
        """The operator said kill, and the host still lives."""
        self._epoch = 0
        self._runs = 0
        self._markets: dict[str, Market] = {}
        """What the venue lists, as it was found."""
        self._strikes: dict[str, tuple[int, str]] = {}
        self._openings = Openings()
        self._results: dict[str, api.MarketDecided] = {}
        self._sweeps = 0
        self._passes = 0
        self._quiet = False
        self._feeds: SimFeeds

    def _first_moment(self) -> int:
        """Where the run begins, market ms: each seed somewhere else within a quarter of an hour."""
        began = BEGIN + int.from_bytes(hashlib.sha256(f"{self.seed} begin".encode()).digest()[:4], "big") % 900_000
        if not self.settings.exchange.rewards or self.seed % MIDNIGHT_EVERY != 1:
            return began
        # Rewards are paid at midnight: of every fourth seed a quarter of the run lies behind it.
        midnight = BEGIN - BEGIN % DAY_MS + DAY_MS
        return midnight - round(self.plan.hours * 2_700_000) + began % 60_000

    # --- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Everything, until it is over or something breaks."""
        outcome = self.outcome
        try:
            with rare_collections(), self.alarms or nullcontext():
                self._run()
        except Broken as broken:
            self._found(broken)
        except Exception:  # whatever the host or the venue raises is a finding with its seed, not the end of the search
            where = traceback.format_exc()
            self._found(Broken("kernel_never_fails", where))
        outcome.market_ms = self.now - self.began
        outcome.digest = self._digest.hexdigest()
        outcome.checked += self.checks.checked
        outcome.happened = dict(sorted(self.pathologies.happened.items()))
        outcome.exceptions = dict(sorted(self.checks.exceptions.items()))
        outcome.rules = dict(sorted(self.checks.rules.items()))
        self._count()
        if self._host is not None:
            self._host.plugins.stop()
        return outcome

    def _run(self) -> None:
        self._start()
        if self.plan.rough:
            self._later(self.weather.until_kill(), self._wish_kill)
            self._later(self.weather.until_gap(), self._gap)
            self._later(self.weather.until_word(), self._word)
            self._later(self.weather.until_loop(), self._loop)
        self._later(PASS_EVERY_MS, self._look)
        self._lag()
        self._until(self.began + round(self.plan.hours * 3_600_000))
        self._calm()
        self._until(self.now + QUIET_MS)
        self._agree(last=False)
        self.world.thin(min(SETTLING_DENSITY, self.plan.density))
        self._until(max(self._last_end() + AFTER_END_MS, self.now))
        latest = self.now + SETTLED_BY_MS
        while self.now < latest and self._unsettled():
            self._until(self.now + PASS_EVERY_MS)
        self._agree(last=True)
        if self.alarms is not None:
            must(not self.alarms.found, "nothing_alarming_when_calm", "; ".join(self.alarms.found))

    def _found(self, broken: Broken) -> None:
        outcome = self.outcome
        outcome.broken, outcome.text = broken.name, broken.text
        outcome.at_s = (self.now - self.began) / 1_000
        outcome.trace = self.trace.lines(self.began, broken.needles)

    def _count(self) -> None:
        state = self.checks.shadow
        self.outcome.orders = len(state.orders)
        self.outcome.fills = len(state.fills) + len(state.final)
        if self._host is not None:
            self.outcome.evaluations += self._host.kernel.evaluations

    def _calm(self) -> None:
        """No more faults, no more entries; whatever is down comes up."""
        self._quiet = True
        self.weather.rough = False
        self._feeds.calm()
        self.pathologies.probabilities.clear()
        self._kill_wish = ""
        if self._host is not None and self._killed:
            self._kill("by its operator")  # a killed host covers nothing until it is started again
        if self._host is None:
            self._start()
        self._streams_up()
        if self._host is not None:
            for name in sorted(self._host.loops_down):
                self._loop_again(self._host, name)
        self._event(Operator("pause", who="simulation"))

    def _last_end(self) -> int:
        host = self._host
        assert host is not None
        state = host.kernel.state
        return max((state.markets[condition_id].market.end for condition_id in state.exposed), default=self.now)

    def _unsettled(self) -> bool:
        """A trade's end, or an action's, is not known yet: balances prove its absence only after five minutes."""
        assert self._host is not None
        state = self._host.kernel.state
        return bool(state.unsettled or state.open_actions)

    def _agree(self, *, last: bool) -> None:
        """Host and venue say the same; an obligation may sell at this very moment, so that they get a second look."""
        for _ in range(LOOKS - 1):
            try:
                return self._compare(last=last)
            except Broken as broken:
                self.trace.add((self.now, "host", f"not yet: {broken.name}"))
                self._until(self.now + LOOK_AGAIN_MS)
        return self._compare(last=last)

    def _compare(self, *, last: bool) -> None:
        host = self._host
        assert host is not None
        self.trace.add((self.now, "host", "quiet: compared with the venue"))
        self.checks.quiet(host.kernel, self._venue_orders(), last=last)

    def _venue_orders(self) -> list[Any]:
        number = self.exchange.request_id()
        outputs = self.exchange.handle(api.GetOpenOrders(number, API_KEY), MarketMs(self.now))
        rows: list[Any] = []
        for output in outputs:
            if isinstance(output, api.OrdersReply) and output.request_id == number:
                rows = [order.row for order in output.orders]
            else:
                self._outputs([output])
        return rows

    # --- time ---------------------------------------------------------------------------------------------------------

    def _until(self, end: int) -> None:
        """Let everything due up to ``end`` happen, each at its own time."""
        world, agenda, market = self.world, self._agenda, self._market
        while True:
            host = self._host
            others = self._gateway_due
            if agenda and agenda[0][0] < others:
                others = agenda[0][0]
            if host is not None:
                kernels = host.kernel.next_due
                if kernels < others:
                    others = kernels
            theirs = world.next_due
            due = theirs if theirs < others else others
            if due > end:
                break
            if due > self.now:
                self.now = due
            now = self.now
            if theirs <= now:
                self._outputs(world.advance(MarketMs(now)))
            if others <= now:
                self._others(now)
            if market and market[0][0] <= now:
                self._arrive(now)
        self.now = end

    def _others(self, now: int) -> None:
        """What was held back or is on its way, then the kernel's deadlines."""
        agenda = self._agenda
        if self._feeds.due <= now:
            self._read_feeds(now)
        if self._gateway_due <= now:
            self._route(self.gateway.advance(MarketMs(now)))
        while agenda and agenda[0][0] <= now:
            _, _, what, arguments = heappop(agenda)
            what(*arguments)
        if self._market and self._market[0][0] <= now:
            self._arrive(now)
        host = self._host
        if host is not None and host.kernel.next_due <= now:
            self._carry(host, host.kernel.turn(now, now))
            self._pump(host)

    def _later(self, after_ms: int, what: Callable[..., None], *arguments: Any) -> None:
        self._at(self.now + max(after_ms, 0), what, *arguments)

    def _at(self, due: int, what: Callable[..., None], *arguments: Any) -> None:
        self._agenda_seq += 1
        heappush(self._agenda, (due, self._agenda_seq, what, arguments))

    # --- what the venue says ------------------------------------------------------------------------------------------

    def _outputs(self, outputs: list[api.Output]) -> None:
        """What the exchange said by itself: market data goes straight to whoever listens, the rest past the faults."""
        others: list[api.Output] = []
        host = self._host
        heard = None if host is None or not host.market_up else host.books
        faulty = bool(self.pathologies.probabilities)
        if faulty and host is not None and heard is not None and self._silent(host):
            heard = None
        self.outcome.events += len(outputs)
        arrives = self.now + self._market_lag
        for output in outputs:
            kind = type(output)
            if kind is api.BookChanged or kind is api.Printed:
                if heard is not None and output.condition_id in heard:  # type: ignore[union-attr]
                    self._market.append((arrives, host, output))  # type: ignore[arg-type]
            elif kind is api.PriceTick or kind is api.CandleTick:
                if faulty and self.gateway.faults.unpriced(output, self.now):  # type: ignore[arg-type]
                    continue
                if kind is api.PriceTick:
                    self._price(output)  # type: ignore[arg-type]
                else:
                    self._candle(output)  # type: ignore[arg-type]
            else:
                if kind is api.MarketDecided:
                    self._results[output.condition_id] = output  # type: ignore[union-attr,assignment]
                others.append(output)
        if others:
            self._route(self.gateway.events_of(others))

    def _silent(self, host: Host) -> bool:
        """Is the market stream frozen? When that ends the watch on the data's age has it made anew."""
        if self.now >= self._silence[1]:
            self._silence = self.gateway.faults.silence("market", self.now)
        silent = self._silence[0]
        if silent:
            host.frozen = True
        elif host.frozen:
            host.frozen = False
            self._disconnect(host, "market", "its data was old")
            self._later(self.weather.request_ms(), self._connect, host, "market")
            return True
        return silent

    def _public(self, outputs: list[api.Output]) -> None:
        """What the public channels told, faults and all."""
        host = self._host
        for output in outputs:
            match output:
                case api.MarketOpened(market=market):
                    self._listed(market)
                case api.MarketDecided(condition_id=condition_id):
                    self._later(self.weather.stream_ms(), self._result, condition_id)
                case api.BookChanged() | api.Printed() | api.TickChanged():
                    if host is not None and host.market_up and output.condition_id in host.books:
                        self._market.append((self.now + self._market_lag, host, output))
                case _:
                    pass

    def _listed(self, market: Market) -> None:
        self._markets[market.condition_id] = market
        strike = self._openings.ask(market)
        if strike is not None:
            self._strikes[market.condition_id] = (strike.price, strike.source)
        if self._host is not None:
            self._later(self.weather.stream_ms(), self._find, self._host, market)

    def _price(self, tick: api.PriceTick) -> None:
        host = self._host
        if host is not None:
            host.kernel.price(tick.feed, tick.symbol, tick.price, tick.stamp, self.now)
        if tick.stamp % 60_000 == 0:
            self._struck(self._openings.price(tick.feed, tick.symbol, tick.price, tick.stamp))

    def _candle(self, tick: api.CandleTick) -> None:
        candle = shown(tick)
        if self._host is not None:
            self._host.kernel.candle(tick.symbol, candle, tick.closed)
        self._struck(self._openings.candle(tick.symbol, candle, tick.closed))

    def _struck(self, strikes: list[Strike]) -> None:
        for strike in strikes:
            self._strikes[strike.condition_id] = (strike.price, strike.source)
            self._event(StrikeSeen(strike.condition_id, strike.price, strike.source))

    def _result(self, condition_id: str) -> None:
        decided = self._results.get(condition_id)
        self._markets.pop(condition_id, None)
        if decided is not None:
            self._event(MarketResolved(condition_id, decided.winner, "venue", decided.final))

    def _route(self, found: list[Event]) -> None:
        """Answers take their own way, stream events keep their order; who is not there hears nothing."""
        self._gateway_due = self.gateway.next_due
        public = self.gateway.take_public()
        if public:
            self._public(public)
        host = self._host
        if host is None:
            return
        for event in found:
            if isinstance(event, StreamChanged):
                self._stream(event)
                continue
            if not _streamed(event):
                self._later(self.weather.request_ms(), self._hear, host, event)
            elif host.user_up:
                self._user_last = max(self._user_last, self.now + self.weather.stream_ms())
                self._at(self._user_last, self._hear_stream, host, event)

    def _stream(self, event: StreamChanged) -> None:
        """A connection broke at the venue's end, or can be made again."""
        host = self._host
        if host is None:
            return
        if event.up:
            self._connect(host, event.stream)
        else:
            self._disconnect(host, event.stream, event.reason)

    def _hear(self, host: Host, event: Event) -> None:
        if host is self._host:
            self._handle(host, event)
        if host is self._host and isinstance(event, SweepDone):
            self._again_nothing(host, event)

    def _again_nothing(self, host: Host, event: SweepDone) -> None:
        """ORD-11: the same comparison once more finds no difference."""
        self._sweeps += 1
        if self._sweeps % TWICE_EVERY:
            return
        step = host.kernel.handle(event, self.now, self.now)
        self.checks.twice(step.records)
        self._carry(host, step)
        self._pump(host)

    def _hear_stream(self, host: Host, event: Event) -> None:
        if host is self._host and host.user_up:
            self._handle(host, event)

    def _event(self, event: Event) -> None:
        """A fact for whoever is alive."""
        if self._host is not None:
            self._handle(self._host, event)

    # --- market data --------------------------------------------------------------------------------------------------

    def _arrive(self, now: int) -> None:
        """Market data that has arrived goes into the books; a watched price wakes the kernel."""
        market = self._market
        woken: Host | None = None
        living = self._host
        while market and market[0][0] <= now:
            _, host, what = market.popleft()
            if host is not living or not host.market_up:
                continue
            if type(what) is api.BookChanged:
                book, up = host.books.get(what.condition_id, NO_BOOK)
                if not book.ready:
                    continue
                side = Side.UP if what.token_id == up else Side.DOWN
                for action, price, size in what.changes:
                    book.change(side, action, price, size)
                book.changed_at = now
                if book.tripped() and host.kernel.feed(message_of(what), now):
                    woken = host
            elif type(what) is api.Printed:
                host.kernel.printed(what.token_id, what.action is Action.BUY, what.size, now)
            elif host.kernel.feed(what if isinstance(what, Message) else tick_message(what), now):
                woken = host
        if woken is not None and woken is self._host:
            self._carry(woken, woken.kernel.turn(now, now))
            self._pump(woken)

    def _snapshot(self, host: Host, market: Market) -> None:
        """The full book that answers a subscription."""
        if host is not self._host or not host.market_up or self.exchange.market(market.condition_id) is None:
            return
        book = host.kernel.book(market.condition_id)
        if book is None:
            return
        host.books[market.condition_id] = book, market.up
        theirs = self.exchange.book(market.condition_id)
        present = self.exchange.market(market.condition_id) or market
        message = Message(
            event_type="book", asset_id=market.up, bids=levels(theirs.bids), asks=levels(theirs.asks),
            tick_size=price_text(present.tick),
        )
        self._market.append((self.now + self._market_lag, host, message))

    # --- the host -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """The host starts, or starts again: it folds its journal and asks the venue."""
        self._runs += 1
        self._killed = False
        plugins = self._plugins()
        if self._runs == 1:
            symbols = self.settings.markets.symbols
            self._feeds = SimFeeds(self.seed, plugins.found, symbols, self.now, rough=self.plan.rough)
        kernel = Kernel(self.settings, self.settings.host.account, plugins.told_hooks)
        kernel.analyse = False
        if self.journal.durable_seq:
            kernel.restore(record for _, record in self.journal.read())
            plugins.load(kernel.state.plugin_state)
            plugins.put_out(kernel.state.quarantined)
        if kernel.state != self.checks.shadow:
            raise Broken("state_equals_fold", "after a restart")
        self.heard.born()
        host = self._host = Host(kernel, plugins, self.now)
        self.trace.add((self.now, "host", f"started, run {self._runs}"))
        account = self.settings.host.account
        builder = own_builder(self.settings)
        self._handle(host, RunBegan(f"run-{self._runs}", __version__, "simulation", "", account, builder))
        if not host.alive:
            return
        self._backlog(kernel)
        for told in plugins.begin():
            host.inbox.append(told)
        self._later(self.weather.request_ms(), self._connect, host, "market")
        self._later(self.weather.request_ms(), self._connect, host, "user")
        for market in list(self._markets.values()):
            self._later(self.weather.request_ms(), self._find, host, market)
        for paid in self.exchange.rewards_paid(ADDRESS):
            self._later(self.weather.request_ms(), self._hear, host, reward_event(paid))

    def _backlog(self, kernel: Kernel) -> None:
        """The candles that the spot feed asks for when it connects."""
        for symbol in self.settings.markets.symbols:
            candles = self.world.klines(symbol, limit=CANDLES_KEPT)
            for candle in candles:
                kernel.candle(symbol, shown(candle), candle is not candles[-1])

    def _find(self, host: Host, market: Market) -> None:
        """Discovery finds what the venue lists, with its strike when that is known."""
        if host is not self._host:
            return
        self._handle(host, MarketFound(self.exchange.market(market.condition_id) or market))
        strike = self._strikes.get(market.condition_id)
        if strike is not None and host is self._host:
            self._handle(host, StrikeSeen(market.condition_id, *strike))

    def _plugins(self) -> Plugins:
        loaded = self._loaded
        found = discover(
            loaded.configuration, loaded.base, str(loaded.path or ""), sources=self._sources, places=loaded.place,
            excused=loaded.chosen,
        )
        tell_of(found)
        return Plugins(found, loaded.configuration.evaluation.combiner)

    def _connect(self, host: Host, stream: str) -> None:
        if host is not self._host or (host.user_up if stream == "user" else host.market_up):
            return
        if self.gateway.faults.down(stream, self.now):
            return  # made when the venue lets it: it tells
        self._epoch += 1
        if stream == "user":
            host.user_up = True
        else:
            host.market_up = True
        self._handle(host, StreamChanged(stream, True, self._epoch, "connected"))
        if stream == "market" and host is self._host:
            for condition_id in host.kernel.followed():
                market = host.kernel.state.markets[condition_id].market
                self._later(self.weather.request_ms(), self._snapshot, host, market)

    def _disconnect(self, host: Host, stream: str, reason: str) -> None:
        if host is not self._host or not (host.user_up if stream == "user" else host.market_up):
            return
        if stream == "user":
            host.user_up = False
        else:
            host.market_up = False
            host.books.clear()
        self._epoch += 1
        self._handle(host, StreamChanged(stream, False, self._epoch, reason))

    def _streams_up(self) -> None:
        host = self._host
        if host is not None:
            self._connect(host, "market")
            self._connect(host, "user")

    def _handle(self, host: Host, event: Event) -> None:
        """One fact and everything that follows from it at this instant."""
        host.inbox.append(event)
        self._pump(host)

    def _pump(self, host: Host) -> None:
        now = self.now
        for _ in range(ROUNDS_MAX):
            if not host.inbox or not host.alive:
                return
            event = host.inbox.popleft()
            self.outcome.events += 1
            self.trace.add((now, "event", event))
            self.heard.event(event, host.kernel.state, now)
            step = host.kernel.handle(event, now, now)
            if isinstance(event, Evaluated) and event.candidates:
                problem = unexplained(event, step)
                must(not problem, "every_entry_explained", problem, event.condition_id)
                self.explained.update(row["outcome"] for row in rows_of(step))
            self._carry(host, step)
        raise Broken("kernel_never_fails", f"more than {ROUNDS_MAX} events at one instant")

    def _carry(self, host: Host, step: Step) -> None:
        """Records are kept, then commands leave: gated ones when the records are durable."""
        if not host.alive:
            return
        now = self.now
        if step.records:
            self._keep(host, step)
        seq = self.journal.last_seq
        commands = step.commands
        if self._kill_wish == "step" and len(commands) > 1:
            self._do_all(host, commands[: len(commands) // 2], seq, now)
            self._kill("in the middle of a turn's commands")
            return
        self._do_all(host, commands, seq, now)
        if self._kill_wish == "append" and any(isinstance(command, GATED) for command in commands):
            self._kill("before its records were durable")
            return
        if host.gated and host.gated[0][0] <= self.journal.durable_seq:
            self._release(host)

    def _keep(self, host: Host, step: Step) -> None:
        journal = self.journal
        before = journal.last_seq
        journal.append(step.records)
        bodies = journal.bodies[before:]
        for record, body in zip(step.records, bodies, strict=True):
            self.trace.add((self.now, "record", record))
            self._digest.update(body)
        self.outcome.records += len(bodies)
        if host.sealed and not host.inbox:
            self.checks.while_sealed(step.records)
        if self.alarms is not None:
            self.alarms.records(step.records)
        self.checks.after_records(step.records, bodies, host.kernel, self.now)
        if not host.committing:
            host.committing = True
            self._later(self.weather.commit_ms(), self._commit, host)

    def _do_all(self, host: Host, commands: list[Command], seq: int, now: int) -> None:
        for command in batched([command for command in commands if not isinstance(command, GATED)]):
            self._do(host, command, now)
        host.gated.extend((seq, command) for command in commands if isinstance(command, GATED))

    def _do(self, host: Host, command: Command, now: int) -> None:
        match command:
            case Ask():
                evaluated = host.plugins.evaluate(command.view)
                self._later(self.weather.answer_ms(), self._hear, host, evaluated)
                host.inbox.extend(host.plugins.struck())
            case Tell():
                host.inbox.extend(host.plugins.tell(command))
            case Remember():
                host.plugins.remember(command)
            case Follow():
                if host.market_up:
                    self._later(self.weather.request_ms(), self._snapshot, host, command.market)
            case Unfollow():
                host.books.pop(command.market.condition_id, None)
            case QueryResult():
                self._later(2 * self.weather.request_ms(), self._result_asked, host, command.condition_id)
            case Analyse() | Deliver():
                pass
            case _:
                self.trace.add((now, "command", command))
                self.checks.command(command, host.kernel.state, now)
                self._send(host, command)

    def _result_asked(self, host: Host, condition_id: str) -> None:
        if host is self._host:
            self._result(condition_id)

    def _send(self, host: Host, command: Command) -> None:
        """A request sets out; it or its answer may be lost, and the host hears of that sooner or later."""
        lost = self.weather.loses()
        if lost != "request":
            self._later(self.weather.request_ms(), self._execute, command, lost == "answer")
        if lost:
            silence_ms = self.weather.silence_ms()
            for event in unanswered(command, f"transport: the {lost} was lost"):
                self._later(silence_ms, self._hear, host, event)

    def _execute(self, command: Command, mute: bool = False) -> None:
        """A request reaches the venue, whether or not the host that sent it still lives. ``mute``: its answer is lost;
        what streams tell of it is not."""
        found = self.gateway.execute(command, MarketMs(self.now))
        self._route([event for event in found if not mute or _streamed(event)])
        if isinstance(command, Post | PostMany):
            self.checks.venue(self._venue_orders())

    # --- durability and death -----------------------------------------------------------------------------------------

    def _commit(self, host: Host) -> None:
        if host is not self._host:
            return
        locked = self.pathologies.episode("db_locked", self.now)
        if locked is not None and locked.start <= self.now < locked.end:
            self._at(locked.end, self._commit, host)
            self._at(min(self.now + ASIDE_MS, locked.end), self._put_aside, host)
            return
        if host.sealed or self.pathologies.holds("disk_full", self.now):
            self._seal(host)
            return
        host.committing = host.only_sells = False
        self.journal.commit()
        self._released(host)

    def _released(self, host: Host) -> None:
        """Whatever may leave now leaves, and what follows from it."""
        if host is self._host:
            self._release(host)
            self._pump(host)

    def _put_aside(self, host: Host) -> None:
        """A lock lasts: the emergency file holds what waits for it, and sells need no more."""
        if host is self._host and host.committing:
            host.only_sells = True
            self.journal.commit()
            self._released(host)

    def _seal(self, host: Host) -> None:
        """The disk is full: records survive in the emergency file only, and of what is gated only sells leave. Some
        time later the host is ended; a supervisor starts it again, until there is room."""
        host.committing, host.only_sells = False, True
        self.journal.commit()
        if not host.sealed and host is self._host:
            host.sealed = True
            self._later(self.weather.down_ms(), self._end_sealed, host)
            host.inbox.append(LoopChanged("sealed", False, "the simulated disk is full"))
        self._released(host)

    def _end_sealed(self, host: Host) -> None:
        if host is self._host:
            self._kill("because its disk was full")

    def _durable(self, seq: int) -> None:
        host = self._host
        if host is None:
            return
        if self._kill_wish == "commit" and host.gated:
            self._kill("after a commit, before what waited for it left")
            return
        self._release(host)

    def _release(self, host: Host) -> None:
        """What waited for durable records leaves, in its order; of what only the emergency file holds, sells."""
        ready: list[Command] = []
        waiting: list[tuple[int, Command]] = []
        while host.gated and host.gated[0][0] <= self.journal.durable_seq:
            seq, command = host.gated.popleft()
            if not host.only_sells or takes_risk_away(command):
                ready.append(command)
            elif host.sealed:
                host.inbox.extend(never_sent(command, "the simulated disk is full"))
            else:
                waiting.append((seq, command))
        host.gated.extendleft(reversed(waiting))
        for command in batched(ready):
            self.trace.add((self.now, "command", command))
            self.checks.command(command, host.kernel.state, self.now)
            self._send(host, command)
            for one in single(command):
                if isinstance(one, Post):
                    self._later(0, self._hear, host, PostLeft(one.request.order_id))
            if self._kill_wish == "sent":
                self._kill("after a post left")
                return

    def _wish_kill(self) -> None:
        if self._quiet:
            return
        self._later(self.weather.until_kill(), self._wish_kill)
        if self._host is None or self._kill_wish:
            return
        self._kill_wish = self.weather.kill_moment()
        if self._kill_wish == "now":
            self._kill("at any time")

    def _kill(self, when: str) -> None:
        """SIGKILL: what was not durable is gone, requests under way go on, answers find nobody."""
        host = self._host
        assert host is not None
        self._kill_wish = ""
        self.checks.in_full(host.kernel)
        host.alive = False
        host.plugins.stop()
        self._host = None
        self._market.clear()
        self.outcome.evaluations += host.kernel.evaluations
        self.outcome.restarts += 1
        lost = self.journal.crash()
        self.outcome.records_lost += lost
        if lost:
            self.checks.crashed(record for _, record in self.journal.read())
        self.trace.add((self.now, "host", f"killed {when}; {lost} records were not durable"))
        self._unfed(lambda: self._host is not None)
        self._later(self.weather.down_ms(), self._again)

    def _again(self) -> None:
        if self._host is None:
            self._start()

    # --- optional feeds -----------------------------------------------------------------------------------------------

    def _read_feeds(self, now: int) -> None:
        """What was read since the last look. They wake nobody, so they make no instant of their own here, either."""
        feeds = self._feeds
        while feeds.due <= now:
            for reading in feeds.read(feeds.due, self.world.spot):
                if self._host is not None:
                    self._host.kernel.reading(reading.source, reading.name, reading.value, reading.at, now)

    # --- accidents ----------------------------------------------------------------------------------------------------

    def _lag(self) -> None:
        """How late market data is changes now and then; a message never overtakes another."""
        self._market_lag = self.weather.stream_ms()
        self._later(LAG_EVERY_MS, self._lag)

    def _gap(self) -> None:
        if self._quiet:
            return
        host = self._host
        streams, lasts_ms = self.weather.gap()
        for stream in streams:
            if host is not None and host is self._host:
                self._disconnect(host, stream, "lost")
                self._later(lasts_ms, self._connect, host, stream)
        self._later(self.weather.until_gap(), self._gap)

    def _loop(self) -> None:
        """A loop of the host is not alive for a while, as its supervisor tells (ORD-15)."""
        if self._quiet:
            return
        host = self._host
        name, lasts_ms = self.weather.loop()
        if host is not None and name not in host.loops_down:
            host.loops_down.add(name)
            self._handle(host, LoopChanged(name, False, "it stalled"))
            self._later(lasts_ms, self._loop_again, host, name)
            if name == HEARTBEAT:
                self._unfed(lambda: host is not self._host or name not in host.loops_down)
        self._later(self.weather.until_loop(), self._loop)

    def _loop_again(self, host: Host, name: str) -> None:
        if host is self._host and name in host.loops_down:
            host.loops_down.discard(name)
            self._handle(host, LoopChanged(name, True, "it stalled"))

    def _unfed(self, fed: Callable[[], bool]) -> None:
        """From now on nobody feeds the dead-man's switch, if there is one."""
        if self.settings.safety.dead_man:
            self._later(DEAD_MAN_MS, self._dead_man, fed)

    def _dead_man(self, fed: Callable[[], bool]) -> None:
        """The venue cancels everything of the key, unless it was fed again."""
        if not fed():
            self.trace.add((self.now, "host", "the venue's dead-man's switch cancelled everything"))
            self._route(self.gateway.events_of(self.exchange.cancel_all(API_KEY, MarketMs(self.now))))

    def _word(self) -> None:
        if self._quiet:
            return
        word, flatten = self.weather.word()
        target = ""
        if word == "close":
            slugs = [market.slug for market in self._markets.values()]
            target = self.weather.choice(slugs) if slugs else ""
        self._event(Operator(word, target, "simulation", flatten and word == "kill"))
        if word == "pause":
            self._later(10_000, self._resume)
        elif word == "kill" and self._host is not None:
            self._killed = True
            self._later(20_000, self._after_kill)
        self._later(self.weather.until_word(), self._word)

    def _after_kill(self) -> None:
        """A killed host trades again only after a restart and a word."""
        if self._host is not None and self._killed and not self._quiet:
            self._kill("by its operator")
            self._later(70_000, self._resume)

    def _resume(self) -> None:
        if not self._quiet:
            self._event(Operator("resume", "", "simulation"))

    def _look(self) -> None:
        host = self._host
        if host is not None:
            self._passes += 1
            self.checks.pass_over(host.kernel, self.now, host.since)
            if self._passes % FULL_EVERY == 0:
                self.checks.in_full(host.kernel)
        self._later(PASS_EVERY_MS, self._look)


class Plugins(InlinePlugins):
    """The plugins of one life of the host."""

    def __init__(self, found: tuple[LoadedPlugin, ...], combiner: str) -> None:
        told = frozenset(hook for plugin in found if plugin.runs for hook in plugin.hooks if hook in TELLING)
        self.found = found
        self._all = Runner(found, combiner)
        super().__init__(self._all, told)

    def load(self, states: Mapping[str, Mapping[str, str]]) -> None:
        for name, state in states.items():
            self._all.load_state(name, state)

    def put_out(self, quarantined: Mapping[str, str]) -> None:
        """Out of service since an earlier life: plugin → why."""
        for name, reason in quarantined.items():
            self._all.quarantine(name, reason)

    def begin(self) -> list[Any]:
        return self._all.start()

    def stop(self) -> None:
        self._all.stop()


def _streamed(event: Event) -> bool:
    """Does it come by a stream, and not as an answer?"""
    if isinstance(event, OrderSeen | TradeSeen):
        return event.source == "stream"
    return isinstance(event, StreamChanged)


def shown(tick: api.CandleTick) -> Candle:
    """A candle as plugins see it: floats, being opinions."""
    return Candle(
        tick.start, tick.open / 1e8, tick.high / 1e8, tick.low / 1e8, tick.close / 1e8, tick.volume / 1e8
    )


def levels(side: dict[int, int]) -> list[Level]:
    return [Level(price_text(price), size_text(size)) for price, size in side.items()]


def message_of(changed: api.BookChanged) -> Message:
    """The venue's message that says it."""
    changes = [
        Change(changed.token_id, price_text(price), size_text(size), action.value)
        for action, price, size in changed.changes
    ]
    return Message(event_type="price_change", market=changed.condition_id, price_changes=changes)


def tick_message(changed: api.TickChanged) -> Message:
    return Message(event_type="tick_size_change", asset_id=changed.token_id, new_tick_size=price_text(changed.new))
