"""Backtests: the kernel over recorded tapes, in virtual time. Another source of events, and nothing else.

Orders meet the simulated exchange, which mirrors the tape's books; this module has no fill, order or ledger code.
Events happen in order of time; at one instant first the exchange's own, then answers of plugins, then the kernel's
deadlines, then the lines of the tape. Wall time is the tape's time: equal tapes and settings give equal records, to
the byte.
"""

from __future__ import annotations

import gc
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from loguru import logger

from polyhost import __version__
from polyhost.exchange.api import GetOpenOrders, OrdersReply, Output
from polyhost.exchange.core import Exchange
from polyhost.exchange.gateway import InProcessGateway
from polyhost.exchange.rules import ExchangeRules, Queue
from polyhost.journal.memory import MemoryJournal
from polyhost.kernel.invariants import INVARIANTS
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import fold
from polyhost.lab.accounts import CENTRAL, Fate
from polyhost.lab.builders import builder_figures, builders_of, own_builder
from polyhost.lab.catalogue import CatalogueLine, catalogue_line
from polyhost.lab.prices import Candle, Price, reference
from polyhost.lab.summary import Extras, gather, summary
from polyhost.lab.tape import Aside, Line, Tape, TapeMessage, merged
from polyhost.model import view
from polyhost.model.batching import batched
from polyhost.model.book import TICKS_OF, UNKNOWN_SIZE, Book
from polyhost.model.commands import Analyse, Ask, Command, Deliver, Follow, QueryResult, Remember, Tell, Unfollow
from polyhost.model.events import (
    Evaluated,
    Event,
    MarketFound,
    MarketResolved,
    PluginStruck,
    PluginTold,
    RunBegan,
    StreamChanged,
    StrikeSeen,
)
from polyhost.model.market import Market, normal_token
from polyhost.model.messages import Message
from polyhost.model.money import ONE, Ticks, fast_micros, price_text, ticks
from polyhost.model.openings import Openings, Strike
from polyhost.model.reading import VENUE_SOURCES
from polyhost.model.rounding import TICK_RULES
from polyhost.model.series import DURATIONS
from polyhost.model.step import Step
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Side
from polyhost.settings import Configuration

DRAIN_MS: Final = 10_000
"""After the last line trades in flight get this long to settle."""
EMPTY_MS: Final = 600_000
"""Without an open market for longer than this, the time up to the next line but this is leapt over."""
ROUNDS_MAX: Final = 10_000
"""Events that may follow from one event at one instant; more is a loop, and a bug."""
COLLECT_AFTER: Final = (50_000, 20, 100)
"""Allocations before a collection, by generation."""
FINER_TICKS: Final = (10, 1)
"""What the venue's tick becomes near 0 and 1, and the finest it has; no tick is finer than a price can be."""
API_KEY: Final = "backtest"
ADDRESS: Final = "0x" + "0b" * 20


class Answerer(Protocol):
    """The plugins, called at once."""

    told_hooks: frozenset[str]
    """The ``on_…`` hooks that any of them has."""

    def evaluate(self, view: view.View) -> Evaluated: ...

    def tell(self, command: Tell) -> list[PluginTold]: ...

    def remember(self, command: Remember) -> None: ...

    def struck(self) -> list[PluginStruck]:
        """Strikes since the last call."""
        ...


class Backtest:
    """One pass of one account over some tapes. Use once: ``run`` gives the summary, ``journal`` holds the records."""

    def __init__(
        self, settings: Configuration, plugins: Answerer, config_hash: str = "",
        study: Callable[[Analyse], None] | None = None, fate: Fate = CENTRAL,
    ) -> None:
        """``study`` gets the rows that a real run writes into analysis.db; ``fate`` is how orders fare."""
        self.settings = settings
        self.fate = fate
        self._study = study
        self._builder = own_builder(settings)
        self.journal = MemoryJournal()
        self.kernel = Kernel(settings, settings.host.account, plugins.told_hooks)
        self.kernel.analyse = self.kernel.explain = study is not None
        self.counts: Counter[str] = Counter()
        """What was odd on the tapes, for the summary and its warnings."""
        self.extras = Extras(config_hash=config_hash)
        self._plugins = plugins
        rules = settings.exchange
        self._exchange = Exchange(
            ExchangeRules(
                taker_delay_ms=fate.taker_delay_ms(rules.taker_delay_ms),
                queue=fate.queue,
                mined_ms=rules.mined_ms,
                confirmed_ms=rules.confirmed_ms,
                market_channel=False,
                snapshots=False,
                builders=builders_of(settings),
            ),
            MarketMs(0),
        )
        self._gateway = InProcessGateway(self._exchange, ADDRESS, API_KEY, rules.seed)
        self._latency_ms = fate.plugin_latency_ms(settings.evaluation.plugin_latency_ms)
        self._answers: deque[tuple[int, Evaluated]] = deque()
        """Answers on their way, with the time of their arrival; every one takes the same time."""
        self._queue: deque[Event] = deque()
        self._first = fate.queue is Queue.FIRST
        self._now = -1
        self._due = 0
        self._epoch = 1
        self._books: dict[str, Book] = {}
        """Token id → book of a followed market."""
        self._markets: dict[str, Market] = {}
        """Followed markets by condition id."""
        self._sides: dict[str, tuple[Market, Side]] = {}
        self._assumed_ticks: dict[str, Ticks] = {}
        """Token id → tick, of markets whose tick the tape does not tell."""
        self._resting: dict[str, tuple[int, int]] = {}
        """Markets in which orders of ours rest → the exchange's watch (bid high, ask low)."""
        self._openings = Openings()
        self._stirred = False
        """Records or calls of the exchange since the watches were last compared."""

    def run(self, tapes: Sequence[Tape]) -> dict[str, Any]:
        """Every line of the tapes; the summary. Raises TapeError."""
        return together([self], tapes)[0]

    def play(self, part: list[Line] | Aside) -> None:
        """The next lines."""
        if isinstance(part, Aside):
            self._begin(part.ts)
            self._aside(part)
        else:
            self._begin(part[0].ts)
            self._messages(part)

    def finish(self, tapes: Sequence[Tape], seconds: float) -> dict[str, Any]:
        """After the last line; the summary."""
        self._finish()
        return self._summary(tapes, seconds)

    # --- the tape -----------------------------------------------------------------------------------------------------

    def _messages(self, lines: list[Line]) -> None:
        """The hot loop: for a line that trips nothing it decodes, compares and applies, no more."""
        feed = self.kernel.feed
        resting = self._resting
        due = self._due
        now = self._now
        for line in lines:
            now = line.ts
            if now >= due:
                self._catch_up(now)
                due = self._due
            msg = line.msg
            kind = msg.event_type
            if kind == "price_change":
                if feed(msg, now):
                    due = self._reached(now)
            elif kind == "last_trade_price":
                feed(msg, now)
                if resting:
                    due = self._printed(msg, now)
            elif kind or msg.bids is not None:
                if feed(msg, now):
                    due = self._reached(now)
                if msg.bids is not None:
                    due = self._judge(msg, now)
                elif kind == "tick_size_change":
                    due = self._tick_told(msg, now)
            else:
                due = self._price(msg, line.source, now)
        self._now = now

    def _arrive(self, now: int) -> None:
        """Time is this now; what was due until then has happened."""
        if now >= self._due:
            self._catch_up(now)
        self._now = now

    def _aside(self, aside: Aside) -> None:
        self._arrive(aside.ts)
        if aside.source == "host":
            self._host(aside)
            return
        line = catalogue_line(aside.msg)
        if line is None:
            self.counts["unknown_kinds"] += 1
        elif line.opens:
            self._opened(line)
        else:
            self._closed(line)
        self._plan()

    def _host(self, aside: Aside) -> None:
        """A recorder's own line: only a gap means anything to a backtest."""
        if aside.msg.get("kind") == "gap":
            self.counts["gaps"] += 1
            self._epoch += 1
            self._handle(StreamChanged("market", True, self._epoch, "gap on the tape"))
            self._plan()

    def _opened(self, line: CatalogueLine) -> None:
        market = line.market
        if not self._wanted(market):
            self.counts["not_configured"] += 1
            return
        self._handle(MarketFound(market))
        strike = self._openings.ask(market)
        if strike is not None:
            self._handle(StrikeSeen(market.condition_id, strike.price, strike.source))

    def _wanted(self, market: Market) -> bool:
        """Of a configured series, or named by the configuration."""
        wanted = self.settings.markets
        if market.slug in wanted.slugs:
            return True
        return market.symbol in wanted.symbols and market.duration_s in {DURATIONS[each] for each in wanted.durations}

    def _closed(self, line: CatalogueLine) -> None:
        """The result, at its time: the exchange pays, the kernel books."""
        result = line.resolution
        if result is None:
            return
        entry = self.kernel.state.markets.get(result.condition_id)
        if entry is None:
            self.counts["results_unopened"] += 1
            return
        if entry.settled:
            self.counts["duplicates"] += 1
            return
        resolved = MarketResolved(result.condition_id, result.winner, "tape", result.final)
        self._resolved(resolved, line.strike, told=entry.strike is not None)

    def _resolved(self, event: MarketResolved, strike: int | None, *, told: bool = True) -> None:
        """The exchange pays, the kernel books. ``told``: the kernel knows the strike already."""
        condition_id = event.condition_id
        data = self.kernel.data(condition_id)
        if data is not None:
            self.extras.gates[condition_id] = dict(data.gates)
        outputs = self._exchange.decide(condition_id, event.winner, strike, event.final, MarketMs(self._now))
        if strike is not None and not told:
            self._handle(StrikeSeen(condition_id, strike, "result"))
        self._take(outputs)
        self._handle(event)
        self._check()

    def _judge(self, msg: Message, now: int) -> int:
        """Count what is odd about a full book, and see whether it proves a finer tick than the one assumed."""
        token = self._token(msg)
        book = self._books.get(token)
        if not msg.bids or not msg.asks:
            self.counts["one_sided"] += 1
        elif book is not None and book.best_bid >= book.best_ask:
            self.counts["crossed"] += 1
        tick = self._assumed_ticks.get(token)
        if tick is not None and book is not None and (book.best_bid % tick or book.best_ask % tick):
            # The tape tells no ticks; a best price off the grid shows that the venue had made it finer.
            finer = next(each for each in FINER_TICKS if not (book.best_bid % each or book.best_ask % each))
            self.counts["ticks_inferred"] += 1
            self.kernel.feed(
                Message(event_type="tick_size_change", asset_id=token, new_tick_size=price_text(finer)), now
            )
            self._retick(self._sides[token][0], finer, now)
        return self._due

    def _token(self, msg: Message) -> str:
        """The message's token as markets spell it (ORD-05)."""
        return msg.asset_id if msg.asset_id in self._sides else normal_token(msg.asset_id)

    def _tick_told(self, msg: Message, now: int) -> int:
        """The tape says the tick: the exchange goes by it, as the kernel does already."""
        found = self._sides.get(self._token(msg))
        try:
            tick = ticks(msg.new_tick_size)
        except ValueError:
            return self._due
        if found is not None and tick in TICK_RULES:
            self._retick(found[0], tick, now)
        return self._due

    def _retick(self, market: Market, tick: Ticks, now: int) -> None:
        self._now = now
        for token in (market.up, market.down):
            if token in self._assumed_ticks:
                self._assumed_ticks[token] = tick
        self._take(self._exchange.set_tick(market.condition_id, tick, MarketMs(now)))
        self._settle_queue()
        self._reached(now)

    def _price(self, msg: TapeMessage, source: str, now: int) -> int:
        try:
            found = reference(msg)
        except ValueError:
            self.counts["bad_values"] += 1
            return self._due
        if isinstance(found, Price):
            self.kernel.price(found.feed, found.symbol, found.price, found.stamp, now)
            if found.stamp % 60_000 == 0:
                self._struck(self._openings.price(found.feed, found.symbol, found.price, found.stamp), now)
        elif isinstance(found, Candle):
            candle = _shown(found)
            self.kernel.candle(found.symbol, candle, found.closed)
            self._struck(self._openings.candle(found.symbol, candle, found.closed), now)
        elif msg.value is None or source in VENUE_SOURCES:
            self.counts["unknown_kinds"] += 1
        elif not self.kernel.reading(source, msg.name, msg.value, msg.at, now):
            self.counts["bad_values"] += 1
        return self._due

    def _struck(self, strikes: list[Strike], now: int) -> None:
        for strike in strikes:
            self._now = now
            self._handle(StrikeSeen(strike.condition_id, strike.price, strike.source))
            self._plan()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _begin(self, ts: int) -> None:
        if self._now >= 0:
            return
        self._now = ts
        self._exchange.advance(MarketMs(ts))
        self._exchange.open_account(ADDRESS, int(self.settings.exchange.cash))
        account = self.settings.host.account
        run = RunBegan(f"backtest-{account}", __version__, "backtest", self.extras.config_hash, account, self._builder)
        for event in (
            run,
            StreamChanged("market", True, self._epoch, "tape"),
            StreamChanged("user", True, 1, "in process"),
        ):
            self._handle(event)
        self._plan()

    def _plan(self) -> int:
        """When something next happens by itself."""
        kernel = self.kernel
        self._due = due = min(
            kernel.next_market_due,
            kernel.next_wall_due,
            self._exchange.next_due,
            self._answers[0][0] if self._answers else NEVER,
        )
        return due

    def _catch_up(self, now: int) -> None:
        """Everything due up to ``now``, each at its own time."""
        far = now - EMPTY_MS
        due = self._due
        while due <= now:
            self._now = at = max(due, self._now)
            if at < far and self._nothing_on():
                self._now = at = far
            if self._exchange.next_due <= at:
                self._take(self._exchange.advance(MarketMs(at)))
                self._settle_queue()
            while self._answers and self._answers[0][0] <= at:
                self._handle(self._answers.popleft()[1])
            if self.kernel.next_market_due <= at or self.kernel.next_wall_due <= at:
                self._step(self.kernel.turn(at, at))
                self._settle_queue()
            due = self._plan()
        self._now = now

    def _nothing_on(self) -> bool:
        """No market is open and no order: between two tapes, perhaps for months, nothing can happen."""
        now = self._now
        return not self._answers and not any(self.kernel.state.open_refs.values()) and all(
            market.end + EMPTY_MS <= now for market in self._markets.values()
        )

    def _reached(self, now: int) -> int:
        """A watched price was reached: resting orders first, then whoever asked to be woken."""
        self._now = now
        for condition_id in self.kernel.take_tripped():
            if condition_id in self._resting:
                self._take(self._exchange.touched(condition_id, MarketMs(now)))
                self._settle_queue()
        self._step(self.kernel.turn(now, now))
        self._settle_queue()
        return self._plan()

    def _printed(self, msg: Message, now: int) -> int:
        """A print while orders of ours rest: did it go through one of them?"""
        found = self._sides.get(self._token(msg))
        if found is None:
            return self._due
        market, side = found
        watch = self._resting.get(market.condition_id)
        if watch is None:
            return self._due
        try:
            price = TICKS_OF[msg.price]
            size = fast_micros(msg.size) if msg.size else UNKNOWN_SIZE
        except ValueError:
            self.counts["bad_values"] += 1
            return self._due
        up_price = price if side is Side.UP else ONE - price
        if watch[1] <= up_price <= watch[0] and not (self._first and up_price in watch):
            return self._due
        self._now = now
        self._take(self._exchange.printed(market.condition_id, market.token(side), price, size, MarketMs(now)))
        self._settle_queue()
        return self._plan()

    def _finish(self) -> None:
        """Let trades in flight settle, then write the last record."""
        if self._now < 0:
            return
        self._catch_up(self._now + DRAIN_MS)
        for condition_id in self.kernel.followed():
            data = self.kernel.data(condition_id)
            if data is not None:
                self.extras.gates.setdefault(condition_id, dict(data.gates))
        self._step(self.kernel.ended(self._now, "the tapes ended"))
        self._check()

    # --- events, records, commands ------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """One fact and everything that follows from it at this instant."""
        self._queue.append(event)
        self._settle_queue()

    def _take(self, outputs: list[Output]) -> None:
        """What the exchange said, as far as it concerns us."""
        self._stirred = True
        self._queue.extend(self._gateway.events_of(outputs))

    def _settle_queue(self) -> None:
        now = self._now
        queue = self._queue
        for _ in range(ROUNDS_MAX):
            if not queue:
                break
            self._step(self.kernel.handle(queue.popleft(), now, now))
        else:
            raise AssertionError(f"more than {ROUNDS_MAX} events at one instant ({now})")
        self._rewatch()

    def _step(self, step: Step) -> None:
        if step.records:
            self._stirred = True
            self.journal.append(step.records)
        for command in batched(step.commands):
            self._do(command)

    def _do(self, command: Command) -> None:
        now = self._now
        match command:
            case Ask():
                self._answers.append((now + self._latency_ms, self._plugins.evaluate(command.view)))
                self._queue.extend(self._plugins.struck())
            case Tell():
                self._queue.extend(self._plugins.tell(command))
            case Remember():
                self._plugins.remember(command)
            case Follow():
                self._follow(command.market)
            case Unfollow():
                self._unfollow(command.market)
            case Analyse():
                if self._study is not None:
                    self._study(command)
            case Deliver() | QueryResult():
                # Nobody to notify; the result comes with its line of the tape.
                pass
            case _:
                self._stirred = True
                self._queue.extend(self._gateway.execute(command, MarketMs(now)))

    def _follow(self, market: Market) -> None:
        condition_id = market.condition_id
        book = self.kernel.book(condition_id)
        assert book is not None, condition_id
        if self._exchange.market(condition_id) is None:
            self._exchange.add_market(market, MarketMs(self._now))
        self._exchange.mirror(condition_id, book)
        self._markets[condition_id] = market
        for token, side in ((market.up, Side.UP), (market.down, Side.DOWN)):
            self._books[token] = book
            self._sides[token] = (market, side)
            if "tick" in market.assumed:
                self._assumed_ticks[token] = market.tick

    def _unfollow(self, market: Market) -> None:
        self._markets.pop(market.condition_id, None)
        self._resting.pop(market.condition_id, None)
        for token in (market.up, market.down):
            self._books.pop(token, None)
            self._sides.pop(token, None)
            self._assumed_ticks.pop(token, None)

    def _rewatch(self) -> None:
        """Tell the kernel when the exchange wants to be woken, for markets where orders of ours are open.

        Who is open changes by records, and what the exchange watches by calls of it, so between them nothing is new.
        """
        if not self._stirred:
            return
        self._stirred = False
        open_refs = self.kernel.state.open_refs
        for condition_id, market in self._markets.items():
            if not open_refs.get(condition_id) and condition_id not in self._resting:
                continue
            watch = self._exchange.watch(condition_id)
            self.kernel.watch_outside(market.condition_id, *watch)
            if watch == (ONE + 1, -1):
                self._resting.pop(condition_id, None)
            else:
                self._resting[condition_id] = watch

    # --- the end ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        self.extras.checked += len(INVARIANTS)
        self.extras.broken += self.kernel.broken_invariants()

    def _summary(self, tapes: Sequence[Tape], seconds: float) -> dict[str, Any]:
        state, extras = self.kernel.state, self.extras
        self._final_checks()
        lines = sum(tape.counts.lines for tape in tapes)
        extras.wall = {"duration_s": round(seconds, 3), "events_per_s": round(lines / seconds) if seconds else 0}
        extras.builder = builder_figures(state, self._builder, None)
        report = summary(state, gather(self.kernel, extras))
        wall = report.pop("wall")
        report["tape"] = self._odd(tapes, report["unsettled"])
        return {**report, "wall": wall}

    def _final_checks(self) -> None:
        """The durable state is the fold of the journal, and the exchange's own books are in order."""
        extras = self.extras
        extras.checked += 2
        if fold(record for _, record in self.journal.read()) != self.kernel.state:
            extras.broken.append("state_equals_fold")
        for problem in self._exchange.audit():
            extras.broken.append(f"exchange: {problem}")
        extras.orphans = len(self._live_orders() - self._open_orders())

    def _live_orders(self) -> set[str]:
        """Ids of orders of ours that the exchange still holds."""
        ask = GetOpenOrders(self._exchange.request_id(), API_KEY)
        replies = self._exchange.handle(ask, MarketMs(self._now))
        return {each.row.order_id for reply in replies if isinstance(reply, OrdersReply) for each in reply.orders}

    def _open_orders(self) -> set[str]:
        state = self.kernel.state
        return {state.orders[ref].order_id for refs in state.open_refs.values() for ref in refs}

    def _odd(self, tapes: Sequence[Tape], unsettled: int) -> dict[str, int]:
        """Counts of what was odd on the tapes, told as a warning too."""
        for name, count in self.kernel.counters.items():
            self.counts[name] += count
        counts: dict[str, int] = {"lines": sum(tape.counts.lines for tape in tapes)}
        counts["broken"] = sum(tape.counts.broken for tape in tapes)
        counts["cut_off"] = sum(tape.counts.cut_off for tape in tapes)
        counts["unsettled"] = unsettled
        counts |= {name: self.counts[name] for name in sorted(self.counts)}
        odd = {name: count for name, count in counts.items() if count and name != "lines"}
        if odd:
            logger.warning("the tapes are not perfect: {}", ", ".join(f"{name} {count}" for name, count in odd.items()))
        return counts


def together(passes: Sequence[Backtest], tapes: Sequence[Tape]) -> list[dict[str, Any]]:
    """One pass over the tapes for several accounts: every line is read and decoded once. Raises TapeError."""
    started = time.perf_counter()
    with rare_collections():
        for part in merged(tapes):
            for each in passes:
                each.play(part)
        return [each.finish(tapes, time.perf_counter() - started) for each in passes]


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage cycles less often: messages make none, and looking costs an eighth of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _shown(candle: Candle) -> view.Candle:
    """A candle as plugins see it: floats, being opinions."""
    return view.Candle(
        candle.start,
        candle.open / 1e8,
        candle.high / 1e8,
        candle.low / 1e8,
        candle.close / 1e8,
        candle.volume / 1e8,
    )
