"""The shell around one kernel: facts go in one at a time, records become durable, commands leave in their order.

This is the only place that calls the kernel in a live run. It is single-threaded (the event loop); the journal's thread
only tells it how far records are durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from loguru import logger

from polyhost.errors import PolyhostError
from polyhost.extension.runner import Runner, facts_of
from polyhost.journal import JournalPort, Recorder
from polyhost.journal.analysis import AnalysisWriter
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.supervised import SEALED
from polyhost.model.batching import batched
from polyhost.model.commands import (
    GATED,
    Analyse,
    Ask,
    Command,
    Deliver,
    Follow,
    Post,
    Remember,
    Tell,
    Unfollow,
    takes_risk_away,
)
from polyhost.model.events import Event, LoopChanged, NoticeTold, PluginTold, PostLeft, QueryFailed, StreamChanged
from polyhost.model.messages import Message
from polyhost.model.reading import Reading
from polyhost.model.records import Record
from polyhost.model.step import Step
from polyhost.model.times import MarketMs
from polyhost.model.unanswered import never_sent, unanswered
from polyhost.model.view import Candle
from polyhost.service.about import about, about_told
from polyhost.service.telling import lines_of

TICK_MAX_S: Final = 0.05
"""The timer looks at its deadlines at least this often, wall seconds (a new one may be earlier)."""
TICK_MIN_S: Final = 0.001
TASKS_MAX: Final = 1_000
"""Gateway requests under way at once; more means that something is stuck, and is told."""


class Clock(Protocol):
    """Market time."""

    def now(self) -> MarketMs: ...

    def wall_seconds(self, market_ms: float) -> float: ...


class Gateway(Protocol):
    """The way to the venue. It may send the command before it is awaited."""

    def execute(self, command: Command) -> Coroutine[Any, Any, list[Event]]: ...


class _Fatal:
    """What is raised inside is handed to ``fail`` before it goes on: no loop that is started again may hide it."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._fail(error)


class Engine:
    """Feeds the kernel and carries its commands out."""

    def __init__(
        self,
        kernel: Kernel,
        clock: Clock,
        gateway: Gateway,
        runner: Runner,
        journal: JournalPort,
        recorder: Recorder | None,
        analysis: AnalysisWriter | None,
        *,
        follow: Callable[[Follow | Unfollow], None],
    ) -> None:
        self.kernel = kernel
        self.clock = clock
        self.gateway = gateway
        self.runner = runner
        self.journal = journal
        self.recorder = recorder
        self.analysis = analysis
        self._follow = follow
        self._inbox: deque[Event] = deque()
        self._pumping = False
        self._gated: deque[tuple[int, Command]] = deque()
        self._after: deque[tuple[int, Callable[[], None]]] = deque()
        """What is said of records, log lines and notices, waits until they are on the disk: (record number, how)."""
        self._deliveries: dict[str, tuple[float, asyncio.Task[None]]] = {}
        """Channel → when its delivery began (monotonic seconds), and the task."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._wall_zero = time.time() - time.monotonic()
        self.aside_seq = 0
        """Records up to here are in the emergency file, while the journal does not take them."""
        self.sealed: Exception | None = None
        """Why nothing that adds exposure leaves any more; None: all is well."""
        self.changed = asyncio.Event()
        """Set after every turn that changed durable state."""
        self.halted = False
        """The run is over: what still comes from streams and requests is not taken any more."""
        self.messages = 0
        self.answered_at = time.monotonic()
        """When the gateway last answered anything, monotonic seconds."""
        self.lateness: deque[float] = deque(maxlen=4_096)
        """Wall ms between a deadline and its turn, the latest ones."""
        self._kernels = _Fatal(self.fail)
        self.broken: Exception | None = None
        """An error of the kernel: what it holds in memory is not to be trusted any more, and the run ends."""
        self.noted: deque[tuple[float, list[Record] | list[Command]]] | None = None
        """What was kept and what left, each with its time (monotonic seconds), for who counts it; None: nobody does."""
        self.requests: Counter[str] = Counter()
        """Commands for the gateway, by kind."""
        self.disconnects: Counter[str] = Counter()
        """Losses of streams, by stream."""
        self.faults = 0
        """Tasks of the shell that failed; each is told, and the host goes on."""

    # --- time ---------------------------------------------------------------------------------------------------------

    def wall(self) -> int:
        """Transport time in ms; never goes back."""
        return int((self._wall_zero + time.monotonic()) * 1_000)

    # --- in -----------------------------------------------------------------------------------------------------------

    def frame(self, raw: bytes, messages: list[Message]) -> None:
        """A frame of the market stream."""
        if self.halted:
            return
        now, wall = self.clock.now(), self.wall()
        if self.recorder is not None:
            self.recorder.feed("polymarket", raw, now, wall)
        wanted = False
        with self._kernels:
            for message in messages:
                wanted = self.kernel.feed(message, now) or wanted
        self.messages += len(messages)
        if wanted:
            self.turn()

    def price(self, feed: str, symbol: str, price: int, stamp: int) -> None:
        """A reference price in 1e-8."""
        if self.halted:
            return
        now = self.clock.now()
        if self.recorder is not None:
            self.recorder.price(feed, symbol, price, stamp, now, self.wall())
        with self._kernels:
            self.kernel.price(feed, symbol, price, stamp, now)

    def candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        """A spot candle."""
        if self.halted:
            return
        if self.recorder is not None:
            self.recorder.candle(symbol, candle, closed, self.clock.now(), self.wall())
        with self._kernels:
            self.kernel.candle(symbol, candle, closed)

    def reading(self, reading: Reading) -> None:
        """A value of an optional feed; it wakes nobody."""
        if self.halted:
            return
        now = self.clock.now()
        if self.recorder is not None:
            self.recorder.reading(reading, now, self.wall())
        with self._kernels:
            self.kernel.reading(reading.source, reading.name, reading.value, reading.at, now)

    def event(self, event: Event) -> None:
        """A fact. Handled at once, or after the one being handled."""
        if isinstance(event, StreamChanged) and not event.up:
            self.disconnects[event.stream] += 1
        self._inbox.append(event)
        self._pump()

    def concerns(self, event: Event) -> bool:
        """Is a notification of the venue about something of ours?"""
        return self.kernel.venue_words.concerns(event)

    def record_seq(self) -> int:
        """Number of the last record."""
        return self.journal.last_seq

    def durable_seq(self) -> int:
        """Records up to here are on the disk; none while the journal is sealed."""
        return self.journal.durable_seq if self.sealed is None else 0

    def turn(self) -> None:
        """Let the kernel do what is due."""
        if self.halted:
            return
        now, wall = self.clock.now(), self.wall()
        if self.recorder is not None:
            self.recorder.turn(now, wall)
        with self._kernels:
            step = self.kernel.turn(now, wall)
        self.carry_out(step)
        self._pump()

    def _pump(self) -> None:
        if self._pumping or self.halted:
            return
        self._pumping = True
        try:
            while self._inbox and not self.halted:
                event = self._inbox.popleft()
                now, wall = self.clock.now(), self.wall()
                if self.recorder is not None:
                    self.recorder.event(event, now, wall)
                with self._kernels:
                    step = self.kernel.handle(event, now, wall)
                self.carry_out(step)
        finally:
            self._pumping = False

    # --- out ----------------------------------------------------------------------------------------------------------

    def carry_out(self, step: Step) -> None:
        """Have the records kept and the commands done, in their order."""
        if step.records:
            with self._kernels:
                seq = self.journal.append(step.records)
            self._note(step.records)
            self.changed.set()
        else:
            seq = self.journal.last_seq
        told: list[Callable[[], None]] = []
        for command in batched([command for command in step.commands if not isinstance(command, GATED)]):
            if isinstance(command, Deliver):
                told.append(partial(self._notify, command))
            else:
                self._try(command)
        # What people read is put into words when the requests have left.
        self._after.extend((seq, say) for say in (*lines_of(step.records, self.kernel.state), *told))
        self._gated.extend((seq, command) for command in step.commands if isinstance(command, GATED))
        self.durable(self.journal.durable_seq)

    def durable(self, seq: int) -> None:
        """Records up to here are on the disk: what waited for them leaves, together (CON-10), and then they are told.
        """
        ready: list[Command] = []
        while self._gated and self._gated[0][0] <= seq and self.sealed is None:
            ready.append(self._gated.popleft()[1])
        if self._gated and (self.sealed is not None or self.aside_seq > seq):
            ready += self._sells()
        self._leave(ready)
        # Once the journal is sealed only the emergency file takes records; people must hear all the same.
        self._say(seq if self.sealed is None else self.journal.last_seq)
        if self._inbox:
            self._pump()

    def aside(self, seq: int) -> None:
        """The emergency file holds the records up to here: sells leave, nothing else does (design: a failing disk)."""
        self.aside_seq = max(self.aside_seq, seq)
        self._leave(self._sells())
        self._pump()

    def _note(self, done: list[Record] | list[Command]) -> None:
        if done and self.noted is not None:
            self.noted.append((time.monotonic(), done))

    def _leave(self, ready: list[Command]) -> None:
        self._note(ready)
        for command in batched(ready):
            self._request(command)
        self._inbox.extend(PostLeft(command.request.order_id) for command in ready if isinstance(command, Post))

    def _sells(self) -> list[Command]:
        """Sells that the emergency file holds: they overtake what still waits for the journal.

        What never will leave, because the journal is sealed, is told so.
        """
        sells: list[Command] = []
        kept: deque[tuple[int, Command]] = deque()
        while self._gated:
            seq, command = self._gated.popleft()
            if seq <= self.aside_seq and takes_risk_away(command):
                sells.append(command)
            elif self.sealed is None or takes_risk_away(command):
                kept.append((seq, command))
            else:
                self._inbox.extend(never_sent(command, f"not sent: {self.sealed}"))
        self._gated = kept
        return sells

    def _say(self, seq: int) -> None:
        while self._after and self._after[0][0] <= seq:
            self._after.popleft()[1]()

    def seal(self, error: Exception) -> None:
        """The journal failed: nothing that adds exposure leaves any more. Free commands and sells go on."""
        if self.sealed is not None:
            return
        self.sealed = error
        self._leave(self._sells())
        self._say(self.journal.last_seq)
        logger.critical("sealed: {}", error)
        self.event(LoopChanged(SEALED, False, str(error)))
        self.changed.set()

    def _try(self, command: Command) -> None:
        """A command that cannot even be begun must not take the others of its step with it."""
        try:
            self._free(command)
        except Exception as error:
            self._fault(error)

    def _free(self, command: Command) -> None:
        match command:
            case Ask(view=view):
                if self.runner.all_inline:
                    with logger.contextualize(market=view.market.slug):
                        self._inbox.append(self.runner.evaluate_inline(view))
                else:
                    self.start(self._evaluate(command))
            case Tell():
                if self.runner.all_inline:
                    with logger.contextualize(**about_told(command, self.kernel.state)):
                        told = self.runner.tell(command.hook, **facts_of(command))
                    self._told(told)
                else:
                    self.start(self._tell(command))
            case Remember():
                self.runner.remember(command.plugin, command.changes)
            case Analyse():
                if self.analysis is not None:
                    self.analysis.add(command)
            case Follow() | Unfollow():
                self._follow(command)
            case _:
                self._request(command)

    def _request(self, command: Command) -> None:
        self.requests[type(command).__name__] += 1
        if len(self._tasks) >= TASKS_MAX:
            logger.error("{} requests are under way; {} waits with them", len(self._tasks), type(command).__name__)
        try:
            asked = self.gateway.execute(command)
        except Exception as error:  # as if it were raised later: it must not keep the next command from leaving
            asked = _raising(error)
        # A task that is cancelled before it begins leaves nothing behind.
        self.start(self._execute(command, asked)).add_done_callback(lambda task: asked.close())

    async def _execute(self, command: Command, asked: Coroutine[Any, Any, list[Event]]) -> None:
        try:
            events = await asked
        except Exception as error:  # a gateway answers with events; what it raises is a fault, and no proof of anything
            logger.opt(exception=error).error("{} failed in the gateway: {}", type(command).__name__, error)
            events = unanswered(command, f"{type(error).__name__}: {error}")
        if any(not isinstance(event, QueryFailed) and getattr(event, "outcome", "") != "unknown" for event in events):
            self.answered_at = time.monotonic()
        for event in events:
            self.event(event)

    async def _evaluate(self, ask: Ask) -> None:
        with logger.contextualize(market=ask.view.market.slug):
            evaluated = await self.runner.evaluate(ask.view)
        self.event(evaluated)
        for struck in self.runner.take_struck():
            self.event(struck)

    async def _tell(self, command: Tell) -> None:
        with logger.contextualize(**about_told(command, self.kernel.state)):
            told = await self.runner.tell_async(command.hook, **facts_of(command))
        self._told(told)
        self._pump()

    def _told(self, said: list[PluginTold]) -> None:
        self._inbox.extend(said)
        self._inbox.extend(self.runner.take_struck())

    def _notify(self, command: Deliver) -> None:
        """One channel takes one notice at a time, and waits for no other channel."""
        self.deliver_anew(command.channel)
        task = self.start(self._deliver(command))
        self._deliveries[command.channel] = (time.monotonic(), task)

    async def _deliver(self, command: Deliver) -> None:
        notice, channel = command.notice, command.channel
        with logger.contextualize(**about(notice, self.kernel.state)):
            try:
                problem = await self.runner.deliver(notice, channel)
            except Exception as error:  # whatever it is, the notice was not delivered, and is tried again
                problem = f"{type(error).__name__}: {error}"
            if problem:
                logger.warning("notice {} was not delivered by {}: {}", notice.notice_id, channel, problem)
        self._deliveries.pop(channel, None)
        self.event(NoticeTold(notice.notice_id, channel, problem))

    def deliver_anew(self, channel: str = "") -> None:
        """What is under way to this channel, or to any, is not waited for any longer; the outbox tries it again."""
        for name in [channel] if channel else list(self._deliveries):
            _, task = self._deliveries.pop(name, (0.0, None))
            if task is not None:
                task.cancel()

    def outbox_age_s(self) -> float:
        """For how long the oldest delivery is under way; 0: none is."""
        now = time.monotonic()
        return now - min((since for since, _ in self._deliveries.values()), default=now)

    async def deliveries(self, within_s: float) -> None:
        """Wait until what is being delivered is noted, at most so long."""
        deadline = time.monotonic() + within_s
        while self._deliveries and time.monotonic() < deadline:
            tasks = {task for _, task in self._deliveries.values()}
            await asyncio.wait(tasks, timeout=max(deadline - time.monotonic(), 0), return_when=asyncio.FIRST_COMPLETED)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the loop; an error of it is told, in the log and as a notice."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault(error)

    def _fault(self, error: BaseException) -> None:
        """Something beside the kernel failed: told with its trace and as a notice; the host goes on."""
        if error is self.broken:
            return
        self.faults += 1
        logger.opt(exception=error).error("a task of the host failed: {}", error)
        self.event(LoopChanged("task", False, f"{type(error).__name__}: {error}", safety=False))

    def fail(self, error: BaseException) -> None:
        """A fault of the kernel: it is told with its trace and ends the run; positions keep their resting exits."""
        if self.broken is None:
            self.halted = True
            if not isinstance(error, PolyhostError):
                logger.opt(exception=error).critical("the host failed: {}", error)
            self.broken = error if isinstance(error, Exception) else RuntimeError(str(error))
            self.changed.set()

    # --- the timer ----------------------------------------------------------------------------------------------------

    async def run_timer(self, beat: Callable[[], None] = lambda: None) -> None:
        """Run deadlines as they come, until cancelled; ``beat`` is called each time round."""
        while True:
            beat()
            late = self._late_ms()
            if late >= 0:
                self.lateness.append(late)
                self.turn()
                await asyncio.sleep(0)
                continue
            await asyncio.sleep(min(max(-late / 1_000, TICK_MIN_S), TICK_MAX_S))

    def _late_ms(self) -> float:
        """Wall ms since the earliest deadline; negative: still to come."""
        market = self.clock.now() - self.kernel.next_market_due
        by_market = self.clock.wall_seconds(market) * 1_000
        return max(by_market, self.wall() - self.kernel.next_wall_due)

    def halt(self) -> None:
        """Take no further input: from here on the state stands. What the venue does meanwhile, the next run finds."""
        self.halted = True
        self._inbox.clear()

    async def drain(self, within_s: float) -> None:
        """Wait until every request under way is answered, at most so long."""
        deadline = time.monotonic() + within_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(set(self._tasks), timeout=max(deadline - time.monotonic(), 0))

    async def close(self) -> None:
        """Cancel what is still under way, and say what is not said yet."""
        self._say(self.journal.durable_seq)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _raising(error: Exception) -> list[Event]:
    raise error
