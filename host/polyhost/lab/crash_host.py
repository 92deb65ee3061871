"""The host that is killed: kernel, journal on disk and plugins behind a pair of sockets, in a process of its own.

It does what the live shell does, in the same order: free commands leave at once, gated ones when the records before
them are on the disk. Time and venue are the other end's. A host whose journal fails is sealed: of what is gated only
sells leave, when the emergency file holds their records.
"""

from __future__ import annotations

import queue
import sqlite3
from collections import deque
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from polyhost.exchange.api import CandleTick
from polyhost.journal import JournalError, JournalWriter, read_journal
from polyhost.journal.points import watch
from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import Answerer
from polyhost.lab.crash_frames import Done, End, Ended, Line, Look, Shown, Turn, leaves
from polyhost.lab.crash_points import Points, Target, event_name, record_name, send_name
from polyhost.model import view
from polyhost.model.batching import batched, single
from polyhost.model.commands import GATED, Ask, Command, Deliver, Post, Remember, Tell, takes_risk_away
from polyhost.model.events import Event, LoopChanged, PostLeft
from polyhost.model.records import Record
from polyhost.model.step import Step
from polyhost.model.unanswered import never_sent
from polyhost.settings import Configuration

CHANNEL: Final = "messenger"
"""Who is told of notices: the other end."""
EARLY_MS: Final = 5_000
"""What is passed this soon after a start belongs to the start."""
ROUNDS_MAX: Final = 10_000
"""Events that may follow from one event at one instant; more is a loop, and a bug."""


class Life(Struct, frozen=True):
    """One life of a host. ``group_ms``: how long records may wait for the disk when nothing gated waits for them.
    ``disk_full``: the journal's writer fails at the n-th passing of this point (and ever after)."""

    folder: Path
    settings: Configuration
    target: Target | None = None
    group_ms: int = 0
    disk_full: tuple[str, int] | None = None


class Host:
    """One life; ``serve`` ends when the other end says so, or goes away."""

    def __init__(self, line: Line, life: Life, plugins: Answerer) -> None:
        self._line = line
        self._life = life
        self._plugins = plugins
        self._points = Points(life.target)
        self._full = False
        watch(self._in_writer)
        self._told: queue.SimpleQueue[int | JournalError] = queue.SimpleQueue()
        self._aside: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._sealed = False
        path = life.folder / "journal.db"
        account = life.settings.host.account
        self._journal = JournalWriter(path, account, self._told.put, self._told.put, self._aside.put)
        self.kernel = Kernel(life.settings, account, plugins.told_hooks, (CHANNEL,))
        self.kernel.analyse = self.kernel.explain = False
        self.kernel.restore(record for _, record in read_journal(path))
        self._inbox: deque[Event] = deque()
        self._undurable: list[Record] = []
        self._gated: list[Command] = []
        self._tellings: list[Command] = []
        """Deliveries of notices that are not durable yet."""
        self._committed_at = 0
        self._began = -1
        self._early: list[str] = []
        self._now = 0

    def serve(self) -> None:
        """Answer frames until the end."""
        while True:
            try:
                frame = self._line.to_host()
            except Ended:
                return
            if isinstance(frame, Turn):
                self._turn(frame)
            elif isinstance(frame, Look):
                self._show()
            else:
                self._end(frame)
                return

    # --- in -----------------------------------------------------------------------------------------------------------

    def _turn(self, turn: Turn) -> None:
        now = self._now = turn.now
        if self._began < 0:
            self._began = self._committed_at = now
        kernel = self.kernel
        for price in turn.prices:
            kernel.price(price.feed, price.symbol, price.price, price.stamp, now)
        for candle in turn.candles:
            kernel.candle(candle.symbol, shown_candle(candle), candle.closed)
        for message in turn.books:
            kernel.feed(message, now)
        self._inbox.extend(turn.events)
        self._pump()
        rounds = 0
        while min(kernel.next_market_due, kernel.next_wall_due) <= now or rounds == 0:
            self._carry_out(kernel.turn(now, now))
            self._pump()
            rounds += 1
            assert rounds < ROUNDS_MAX, "the kernel is never done with this instant"
        if now - self._committed_at >= self._life.group_ms:
            self._commit()
            self._pump()
        if not self._early and now - self._began >= EARLY_MS:
            self._early = sorted(self._points.counts)
        due = min(kernel.next_market_due, kernel.next_wall_due)
        sealed = self._journal.sealed
        self._line.send(Done(due, self._quiet(), "" if sealed is None else str(sealed)))

    def _pump(self) -> None:
        rounds = 0
        while self._inbox:
            event = self._inbox.popleft()
            self._points.passed(event_name(event))
            self._carry_out(self.kernel.handle(event, self._now, self._now))
            rounds += 1
            assert rounds < ROUNDS_MAX, f"one event leads to another for ever: {event}"

    def _quiet(self) -> bool:
        state = self.kernel.state
        return (
            bool(state.markets)
            and all(entry.settled for entry in state.markets.values())
            and not any(state.open_refs.values())
            and not state.unsettled
            and not state.open_pairs
            and not state.open_actions
            and not state.outbox
        )

    # --- out ----------------------------------------------------------------------------------------------------------

    def _carry_out(self, step: Step) -> None:
        for record in step.records:
            self._points.passed(f"{record_name(record)}.made")
        self._undurable += step.records
        for record in step.records:
            self._points.passed(f"{record_name(record)}.appended")
        for command in batched([command for command in step.commands if not isinstance(command, GATED)]):
            self._free(command)
        self._gated += [command for command in step.commands if isinstance(command, GATED)]
        if self._gated:
            self._commit()

    def _free(self, command: Command) -> None:
        match command:
            case Ask():
                self._inbox.append(self._plugins.evaluate(command.view))
                self._inbox.extend(self._plugins.struck())
            case Tell():
                self._inbox.extend(self._plugins.tell(command))
                self._inbox.extend(self._plugins.struck())
            case Remember():
                self._plugins.remember(command)
            case Deliver():
                self._tellings.append(command)
            case _ if leaves(command):
                self._send(command)
            case _:
                pass  # analysis rows: nobody outside waits for them

    def _commit(self) -> None:
        """Wait for the disk, then let go what waited for it; or seal, as the live shell does."""
        records, self._undurable = self._undurable, []
        gated, self._gated = self._gated, []
        tellings, self._tellings = self._tellings, []
        self._committed_at = self._now
        if records:
            seq = self._journal.append(records)
            if not self._sealed:
                told = self._told.get()
                assert isinstance(told, JournalError) or told == seq, (told, seq)
                if isinstance(told, JournalError):
                    self._sealed = True
                    self._inbox.append(LoopChanged("sealed", False, str(told)))
            if self._sealed:
                while self._aside.get() < seq:
                    continue
        if self._sealed:
            self._only_sells(gated)
        else:
            for record in records:
                self._points.passed(f"{record_name(record)}.committed")
            self._send_all(gated)
        for command in tellings:
            self._send(command)

    def _only_sells(self, gated: list[Command]) -> None:
        """The emergency file holds their records: that is enough for what takes risk away, and for nothing else."""
        for command in gated:
            if not takes_risk_away(command):
                self._inbox.extend(never_sent(command, "the journal is sealed"))
        self._send_all([command for command in gated if takes_risk_away(command)])

    def _send_all(self, gated: list[Command]) -> None:
        for command in batched(gated):
            self._send(command)
            for one in single(command):
                if isinstance(one, Post):
                    self._inbox.append(PostLeft(one.request.order_id))

    def _send(self, command: Command) -> None:
        name = send_name(command)
        self._points.passed(f"{name}.before")
        self._line.send_command(command)
        self._points.passed(f"{name}.after")

    def _in_writer(self, name: str) -> None:
        """A point of the journal's writer, in its thread."""
        self._points.passed(name)
        full = self._life.disk_full
        if full is None or not name.startswith("journal."):
            return
        if self._full or (name, self._points.counts[name]) == full:
            self._full = True
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    # --- the end ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        state = msgspec.json.encode(self.kernel.state)
        self._line.send(Shown(state, dict(self._points.counts), self._early))

    def _end(self, frame: End) -> None:
        self._now = frame.now
        self._carry_out(self.kernel.ended(frame.now, "crash matrix"))
        self._tellings.clear()  # whoever is next tells them: they stay owed
        self._commit()
        self._journal.close()
        self._show()


def shown_candle(candle: CandleTick) -> view.Candle:
    """A candle as plugins see it: floats, being opinions."""
    return view.Candle(
        candle.start, candle.open / 1e8, candle.high / 1e8, candle.low / 1e8, candle.close / 1e8, candle.volume / 1e8
    )
