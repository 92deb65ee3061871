"""One run of the crash matrix: a venue in virtual time, and a host that is killed and started again on its journal.

The venue goes on while nobody listens; commands that had left arrive, their answers find nobody. At the end the checks
of ``crash_checks`` are made on what the journal, the venue and the last host say.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
import traceback
from contextlib import closing
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger
from msgspec import Struct

from polyhost import __version__
from polyhost.exchange.api import (
    BookChanged,
    BookSnapshot,
    CandleTick,
    MarketDecided,
    MarketOpened,
    Output,
    PriceTick,
    TickChanged,
)
from polyhost.exchange.gateway import InProcessGateway
from polyhost.files import write_atomically
from polyhost.journal import read_journal
from polyhost.kernel.invariants import broken
from polyhost.kernel.state import State, fold
from polyhost.lab.builders import own_builder
from polyhost.lab.crash_checks import Seen, final_problems, kill_problems, look_problems
from polyhost.lab.crash_frames import Done, End, Ended, Line, Look, Sent, Shown, Turn, command_of
from polyhost.lab.crash_host import Host, Life, shown_candle
from polyhost.lab.crash_points import Target
from polyhost.lab.crash_stage import Stage
from polyhost.model.batching import single
from polyhost.model.book import Book
from polyhost.model.commands import Command, Deliver, Follow, Post, PostMany, Prepare, QueryResult, Unfollow
from polyhost.model.events import (
    Event,
    MarketFound,
    MarketResolved,
    NoticeTold,
    Operator,
    OrderSeen,
    Prepared,
    RunBegan,
    StreamChanged,
    StrikeSeen,
    TradeSeen,
)
from polyhost.model.market import Market
from polyhost.model.messages import Level, Message
from polyhost.model.money import price_text, size_text
from polyhost.model.openings import Openings, Strike
from polyhost.model.records import NoticeRaised
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Action

API_KEY: Final = "crash"
ADDRESS: Final = "0x" + "0c" * 20
SIGN_MS: Final = 2
"""From a draft to its signed order, market ms."""
COMMAND_MS: Final = 10
"""From the host to the venue, market ms."""
ANSWER_MS: Final = 20
"""From the venue's answer to the host."""
STREAM_MS: Final = 10
"""From a fact to the host by stream: it overtakes the answer."""
MARKET_UP_MS: Final = 50
"""After a start: when the market stream is connected, market ms …"""
USER_UP_MS: Final = 80
"""… and the user stream."""
BOOKS_MS: Final = 4_000
"""A full book of every followed market comes at least this often: a book that does not change grows old."""
LOOK_MS: Final = 5_000
"""The venue's orders are compared with the host's this often …"""
SETTLED_IN_MS: Final = 10_000
"""… once the host has run for so long."""
AFTER_MS: Final = 180_000
"""After the last result: what is not quiet by then is a fault."""
SEALED_MS: Final = 5_000
"""How long a sealed host is watched before it is ended, as its supervisor would."""
LOCKED_S: Final = 0.02
"""How long somebody else holds the database, wall time."""
REFUSES_EVERY: Final = 3
"""Of so many notices the messenger refuses one at first."""
LIVES_MAX: Final = 8


class Plan(Struct, frozen=True):
    """What is done to the host. ``down_ms``: how long it is gone after each kill, at least; ``group_ms``: see ``Life``.
    ``stuck_ms``: what a killed host had sent arrives so much later. ``back_ms``: it is not back sooner than this after
    the last result is known (negative: before). ``locked``: whenever an order was signed, somebody else holds the
    database for a while."""

    targets: tuple[Target, ...] = ()
    """At most one a life."""
    group_ms: int = 0
    down_ms: int = 400
    stuck_ms: int = 0
    back_ms: int | None = None
    disk_full: tuple[str, int] | None = None
    """(point of the writer, occurrence) in the first life."""
    locked: bool = False
    flatten: bool = False
    """What the operator says to a sealed host: a kill that sells everything, too."""


class Outcome(Struct):
    """What became of a run."""

    problems: list[str]
    lives: int = 0
    reached: bool = True
    """The first two targets were met (a later life may end before its own)."""
    sealed: bool = False
    sealed_sells: int = 0
    """Sells that left a sealed host."""
    locks: int = 0
    """How often somebody else held the database."""
    counts: dict[str, int] = {}
    """Points passed in the first life, if it was the only one."""
    early: list[str] = []
    """Points passed soon after the last start."""
    posts: int = 0


class CrashRun:
    """Use once: ``run``."""

    def __init__(self, stage: Stage, folder: Path, plan: Plan) -> None:
        self.venue = venue = stage.venue
        self._settings = settings = stage.settings
        self._plugins = stage.plugins
        self._folder = folder
        self._plan = plan
        self._exchange = venue.exchange
        if not self._exchange.has_account(ADDRESS):
            self._exchange.open_account(ADDRESS, int(settings.exchange.cash))
        self._now: int = venue.began
        self._life = -1
        self._pid = 0
        self._line: Line | None = None
        self._up_at = NEVER
        """When the host (re)starts, or started."""
        self._host_due: int = NEVER
        self._quiet = False
        self._sealed_at = -1
        self._heap: list[tuple[int, int, int, list[Command], list[Event]]] = []
        """(when, number, life, commands that arrive at the venue, events that arrive at the host)."""
        self._number = 0
        self._fresh: dict[str, Market] = {}
        """Markets whose book changed since it was sent."""
        self._followed: dict[str, Market] = {}
        self._prices: list[PriceTick] = []
        self._candles: list[CandleTick] = []
        self._ticks: list[Message] = []
        self._words = list(venue.words)
        self._listed: list[Market] = list(venue.markets)
        self._openings = Openings()
        for market in self._listed:
            self._openings.ask(market)
        self._next_look = venue.began + LOOK_MS
        self._next_books = int(venue.began)
        self._seen = Seen()
        self._outcome = Outcome([])
        self._asked: dict[str, int] = {}
        """Notice id → how often the messenger was asked to tell it."""

    def run(self) -> Outcome:
        """Until everything is settled, or it is too late. Problems are in the outcome, none raised."""
        try:
            self._start()
            while not self._finished():
                self._instant(self._next())
        except TimeoutError:
            self._outcome.problems.append("the host hangs")
        finally:
            self._reap(kill=True)
        return self._outcome

    # --- time ---------------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        due = min(self.venue.next_due, self._heap[0][0] if self._heap else NEVER)
        if self._line is None:
            return max(min(due, self._up_at), self._now)
        due = min(due, self._next_look, self._next_books, self._host_due, self._words[0][1] if self._words else NEVER)
        if self._sealed_at >= 0:
            due = min(due, self._sealed_at + SEALED_MS)
        return max(due, self._now)

    def _instant(self, now: int) -> None:
        self._now = now
        if self._line is None and self._up_at <= now:
            self._start()
        self._heard(self.venue.advance(MarketMs(now)))
        events = self._arrivals(now)
        if self._line is None:
            return
        if self._sealed_at >= 0 and now >= self._sealed_at + SEALED_MS:
            self._stop()
            return
        events += self._operator(now)
        if self._next_books <= now:
            self._next_books = now + BOOKS_MS
            self._fresh.update(self._followed)
        if events or self._fresh or self._prices or self._ticks or self._host_due <= now:
            self._turn(events)
        if self._line is not None and self._next_look <= now:
            self._next_look = now + LOOK_MS
            self._look(self._line)

    def _finished(self) -> bool:
        if self._now < self.venue.ends or self._words or self._line is None:
            return False
        if self._sealed_at >= 0 or not (self._quiet or self._now >= self.venue.ends + AFTER_MS):
            return False
        return self._end()

    # --- the venue ----------------------------------------------------------------------------------------------------

    def _arrivals(self, now: int) -> list[Event]:
        """What arrives now: commands at the venue (whoever sent them), events at the host that asked."""
        arrived: list[Event] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, life, commands, events = heappop(self._heap)
            for command in commands:
                self._carry_out(command, life)
            if life == self._life and self._line is not None:
                arrived += events
        return arrived

    def _carry_out(self, command: Command, life: int) -> None:
        if isinstance(command, Follow):
            if life == self._life and command.market.condition_id in self._followed:
                self._fresh[command.market.condition_id] = command.market
            return
        if isinstance(command, Deliver):
            self._tell(command, life)
            return
        for one in single(command):
            if isinstance(one, Post):
                self._seen.posted(self._now, one.request)
        found = self._gateway.execute(command, MarketMs(self._now))
        for event in found:
            streamed = isinstance(event, OrderSeen | TradeSeen) and event.source == "stream"
            # An answer goes to the connection that asked; the streams to whoever is connected when it happens.
            self._later(STREAM_MS if streamed else ANSWER_MS, [event], self._life if streamed else life)
        self._books(self._gateway.outputs)

    def _tell(self, command: Deliver, life: int) -> None:
        """The messenger refuses every third notice once; what it takes it has told, whoever still lives to hear it."""
        notice_id = command.notice.notice_id
        self._asked[notice_id] = asked = self._asked.get(notice_id, 0) + 1
        problem = "come again" if asked == 1 and len(self._asked) % REFUSES_EVERY == 0 else ""
        if not problem:
            self._seen.told.setdefault(notice_id, []).append(life)
        self._later(ANSWER_MS, [NoticeTold(notice_id, command.channel, problem)], life)

    def _heard(self, outputs: list[Output]) -> None:
        self._books(outputs)
        for event in self._gateway.events_of(outputs):
            streamed = isinstance(event, OrderSeen | TradeSeen) and event.source == "stream"
            self._later(STREAM_MS if streamed else ANSWER_MS, [event], self._life)
        for output in outputs:
            match output:
                case MarketDecided():
                    self._later(STREAM_MS, [MarketResolved(output.condition_id, output.winner, "stream", output.final)])
                case MarketOpened():
                    self._listed.append(output.market)
                    self._openings.ask(output.market)
                    self._later(STREAM_MS, [MarketFound(output.market)])
                case PriceTick():
                    self._prices.append(output)
                    self._struck(self._openings.price(output.feed, output.symbol, output.price, output.stamp))
                case CandleTick():
                    self._candles.append(output)
                    self._struck(self._openings.candle(output.symbol, shown_candle(output), output.closed))
                case _:
                    pass

    def _struck(self, strikes: list[Strike]) -> None:
        for strike in strikes:
            self._later(STREAM_MS, [StrikeSeen(strike.condition_id, strike.price, strike.source)])

    def _books(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, BookChanged | BookSnapshot) and output.condition_id in self._followed:
                self._fresh[output.condition_id] = self._followed[output.condition_id]
            elif isinstance(output, TickChanged):
                tick = price_text(output.new)
                self._ticks.append(
                    Message(event_type="tick_size_change", asset_id=output.token_id, new_tick_size=tick)
                )

    def _later(self, after_ms: int, events: list[Event], life: int | None = None, due: int | None = None) -> None:
        self._push(self._now + after_ms if due is None else due, self._life if life is None else life, [], events)

    def _push(self, due: int, life: int, commands: list[Command], events: list[Event]) -> None:
        self._number += 1
        heappush(self._heap, (due, self._number, life, commands, events))

    def _operator(self, now: int) -> list[Event]:
        said: list[Event] = []
        while self._words and self._words[0][1] <= now:
            said.append(Operator(self._words.pop(0)[0], who="matrix"))
        return said

    # --- the host -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A new life on the journal that the last one left."""
        self._life += 1
        self._outcome.lives = self._life + 1
        self._gateway = InProcessGateway(self._exchange, ADDRESS, API_KEY, seed=self._life + 1)
        if self._life:
            self._judge_journal()
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            self._be_host(theirs)
        theirs.close()
        self._line = Line(ours)
        self._up_at, self._host_due, self._quiet = self._now, NEVER, False
        self._followed, self._fresh, self._ticks, self._prices, self._candles = {}, {}, [], [], []
        account, builder = self._settings.host.account, own_builder(self._settings)
        self._later(0, [RunBegan(f"life-{self._life}", __version__, "sim", "crash", account, builder)])
        self._later(1, [MarketFound(market) for market in self._listed if market.end > self._now])
        self._later(MARKET_UP_MS, [StreamChanged("market", True, self._life + 1)])
        self._later(USER_UP_MS, [StreamChanged("user", True, self._life + 1)])

    def _be_host(self, end: socket.socket) -> None:
        """The child: never returns."""
        code = 1
        try:
            logger.remove()
            target = next((each for each in self._plan.targets if each.life == self._life), None)
            full = self._plan.disk_full if self._life == 0 else None
            life = Life(self._folder, self._settings, target, self._plan.group_ms, full)
            with self._plugins() as plugins:
                Host(Line(end), life, plugins).serve()
            code = 0
        except BaseException:
            (self._folder / "host.err").write_text(traceback.format_exc())
        finally:
            os._exit(code)

    def _turn(self, events: list[Event]) -> None:
        line = self._line
        assert line is not None
        books, self._fresh = [self._message(market) for market in self._fresh.values()], {}
        turn = Turn(self._now, events, [*self._ticks, *books], self._prices, self._candles)
        self._ticks, self._prices, self._candles = [], [], []
        self._host_due = NEVER
        try:
            if self._plan.locked and any(isinstance(event, Prepared) for event in events):
                self._locked_turn(line, turn)
            else:
                line.send(turn)
            while isinstance(said := line.from_host(), Sent):
                self._left(command_of(said))
        except Ended:
            self._died()
            return
        assert isinstance(said, Done), said
        self._host_due, self._quiet = said.due, said.quiet
        if said.sealed and self._sealed_at < 0:
            self._sealed_at = self._now
            self._outcome.sealed = True
            self._seen.sealed_at = self._now
            self._later(100, [Operator("kill", who="matrix", flatten=self._plan.flatten)])

    def _locked_turn(self, line: Line, turn: Turn) -> None:
        """While somebody else holds the database what is free leaves, and no post."""
        self._outcome.locks += sum(isinstance(event, Prepared) for event in turn.events)
        path = self._folder / "journal.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            line.send(turn)
            while line.waiting(LOCKED_S):
                said = line.from_host()
                if not isinstance(said, Sent):
                    self._outcome.problems.append("the host did not wait for a locked database")
                    return
                self._left(command_of(said))
                if said.kind in (Post.__name__, PostMany.__name__):
                    self._outcome.problems.append("a post left before its record was on the disk")
            other.execute("ROLLBACK")

    def _left(self, command: Command) -> None:
        """A command left the host: it will arrive, whatever becomes of the host."""
        match command:
            case Prepare():
                self._later(SIGN_MS, self._gateway.execute(command, MarketMs(self._now)))
            case Follow():
                self._followed[command.market.condition_id] = command.market
                self._push(self._now + MARKET_UP_MS + 10, self._life, [command], [])
            case Unfollow():
                self._followed.pop(command.market.condition_id, None)
            case QueryResult():
                result = self._exchange.decision(command.condition_id)
                if result is not None:
                    self._later(
                        COMMAND_MS + ANSWER_MS,
                        [MarketResolved(command.condition_id, result.winner, "query", result.final)],
                    )
            case _:
                self._push(self._now + COMMAND_MS, self._life, [command], [])

    def _message(self, market: Market) -> Message:
        return book_message(market, self._exchange.book(market.condition_id))

    def _died(self) -> None:
        """The host is gone: killed as planned, or by a fault of its own."""
        status = self._reap(kill=False)
        wanted = any(target.life == self._life for target in self._plan.targets)
        if not (wanted and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            self._outcome.problems.append(f"the host died in life {self._life}: {self._last_words()}")
        if self._life + 1 >= LIVES_MAX:
            raise RuntimeError("the host dies again and again")
        self._up_at = self._now + self._plan.down_ms
        if self._plan.back_ms is not None:
            self._up_at = max(self._up_at, self.venue.ends + self._plan.back_ms)
        if self._plan.stuck_ms:
            self._heap = [
                (due + self._plan.stuck_ms, number, life, commands, events)
                for due, number, life, commands, events in self._heap
            ]
            heapify(self._heap)
        if self._sealed_at >= 0:
            self._unsealed()

    def _last_words(self) -> str:
        path = self._folder / "host.err"
        return path.read_text().strip()[-2_000:] if path.exists() else "without a word"

    def _stop(self) -> None:
        """The supervisor ends a sealed host."""
        os.kill(self._pid, signal.SIGKILL)
        self._reap(kill=False)
        self._outcome.problems += kill_problems(self._exchange, API_KEY, self._now)
        self._up_at = self._now + self._plan.down_ms
        self._unsealed()

    def _unsealed(self) -> None:
        """The sealed host is gone; the operator lifts his kill when the next one is there."""
        self._sealed_at = self._seen.sealed_at = -1
        self._words = [("resume", self._up_at + 1_000), *self._words]

    def _reap(self, *, kill: bool) -> int:
        """Wait for the host's end; its status."""
        if self._line is None:
            return 0
        self._line.close()
        self._line = None
        if kill:
            os.kill(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]

    # --- looking ------------------------------------------------------------------------------------------------------

    def _judge_journal(self) -> None:
        """Between two lives: what the journal holds is whole, and in order."""
        path = self._folder / "journal.db"
        names = broken(fold(record for _, record in read_journal(path)))
        self._outcome.problems += [f"after crash {self._life}: invariant {name} is broken" for name in names]

    def _look(self, line: Line) -> None:
        """Is every live order at the venue one that the host knows and holds open?"""
        if self._now - self._up_at < SETTLED_IN_MS or self._sealed_at >= 0:
            return
        line.send(Look())
        shown = line.from_host()
        assert isinstance(shown, Shown), shown
        state = msgspec.json.decode(shown.state, type=State)
        self._outcome.problems += look_problems(state, self._exchange, API_KEY, ADDRESS, self._now)

    def _end(self) -> bool:
        """Have the host finish; False when it was killed while finishing."""
        line = self._line
        assert line is not None
        try:
            line.send(End(self._now))
            shown = line.from_host()
        except Ended:
            self._died()
            return False
        assert isinstance(shown, Shown), shown
        status = self._reap(kill=False)
        if status:
            self._outcome.problems.append(f"the host ended with status {status}: {self._last_words()}")
        self._outcome.counts, self._outcome.early = shown.counts, shown.early
        self._outcome.reached = self._life >= min(len(self._plan.targets), 2)
        self._outcome.posts = len(self._seen.posts)
        self._outcome.sealed_sells = sum(
            post.sealed and post.request.fields.action is Action.SELL for post in self._seen.posts
        )
        self._seen.up_since = self._up_at
        records = [record for _, record in read_journal(self._folder / "journal.db")]
        told = fold(records)
        self._seen.raised = [record.notice_id for record in records if isinstance(record, NoticeRaised)]
        if msgspec.json.encode(told) != shown.state:
            write_atomically(self._folder / "shown.json", shown.state)
            write_atomically(self._folder / "fold.json", msgspec.json.encode(told))
            self._outcome.problems.append("the fold of the journal is not the host's state")
        every = fold(records, whole=True)  # the venue's trades are compared one by one, those put away too
        self._outcome.problems += final_problems(every, self._exchange, API_KEY, ADDRESS, self._seen, self._now)
        return True


def book_message(market: Market, book: Book) -> Message:
    """The full book as the market stream shows it."""
    bids = [Level(price_text(price), size_text(size)) for price, size in sorted(book.bids.items(), reverse=True)]
    asks = [Level(price_text(price), size_text(size)) for price, size in sorted(book.asks.items())]
    return Message(event_type="book", asset_id=market.up, bids=bids, asks=asks)
