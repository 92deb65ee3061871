"""The runner: asks all plugins, those of this process from the frozen table, the others by message with a deadline.

``evaluate`` serves an event loop, ``evaluate_inline`` a program without one (a backtest); both put the same questions
and give the same ``Evaluated`` but for ``used_us``. The runner counts strikes, restarts processes and quarantines.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from loguru import logger
from msgspec import Struct

from polyhost.errors import PluginError
from polyhost.extension.answers import ANSWERS_MAX, PROBLEM_MAX, AnswerError, checked
from polyhost.extension.chain import Opinions, Tally, chain, driven
from polyhost.extension.delivery import UNKNOWN, Deliverer, channel_name
from polyhost.extension.discovery import LoadedPlugin
from polyhost.extension.metrics import Metrics
from polyhost.extension.process import Deadlines, ForeignPlugin
from polyhost.extension.protocol import Answers, Ask, Facts, FromChild, Notified, TellPlugin, Told
from polyhost.extension.state import check_texts
from polyhost.extension.strikes import STRIKES_MAX, Strikes
from polyhost.extension.table import CLOSED, PHASES, Failed, Outcome, Question, Table
from polyhost.extension.telling import Telling, told
from polyhost.hooks import ANSWERING, TELLING
from polyhost.model.commands import Tell
from polyhost.model.events import Evaluated, PluginStruck, PluginTold
from polyhost.model.records import NoticeRaised
from polyhost.model.view import View

STRUCK_MAX: Final = 1_000
"""Strikes kept until somebody takes them."""
PAUSE_FIRST_S: Final = 1.0
"""A process is started again at once after its first strike, this much later after the second, wall seconds, twice as
long after each further one …"""
PAUSE_MAX_S: Final = 30.0
"""… and never later than this, wall seconds."""
LATE: Final = "no answer within {} ms"
AWAY: Final = "its process is not ready"
QUARANTINED: Final = "is quarantined"


class Work(Struct):
    """What a plugin did so far in this run."""

    metrics: Metrics
    """Of a plugin in this process: its numbers, read anew for each status."""
    asked: int = 0
    """Evaluations that it was part of."""
    used_ns: int = 0
    """Nanoseconds, as most answers of a plugin in this process take less than a microsecond."""
    slowest_ns: int = 0


def _work(plugin: LoadedPlugin) -> Work:
    return Work(Metrics(lambda problem: logger.warning("plugin {}: {}", plugin.name, problem)))


class PluginStatus(Struct, frozen=True):
    """One plugin at this moment, for status."""

    name: str
    state: str
    """inline, process, restarting, quarantined, or what discovery said of one that does not run."""
    strikes: int
    metrics: dict[str, float]
    problem: str = ""
    asked: int = 0
    """Evaluations of this run that it was part of."""
    used_us: int = 0
    """Microseconds that it took for them."""
    slowest_us: int = 0
    """The slowest of them."""
    hooks: tuple[str, ...] = ()


class Runner:
    """All plugins of a run. Not thread-safe: one loop, or one caller, uses it."""

    def __init__(
        self,
        plugins: Sequence[LoadedPlugin],
        combiner: str,
        deadlines: Deadlines | None = None,
        strikes_max: int = STRIKES_MAX,
        struck: Callable[[PluginStruck], None] | None = None,
    ) -> None:
        """``combiner`` names the one that trades; ``struck`` is called with every strike (they are also kept)."""
        self._combiner = combiner
        self._deadlines = deadlines or Deadlines()
        self._strikes_max = strikes_max
        self._struck: deque[PluginStruck] = deque(maxlen=STRUCK_MAX)
        self._listener = struck
        self._async = False
        self._stopping = False
        self._busy = 0
        """Evaluations and tellings under way that keep to the indices of now."""
        self._gate: asyncio.Event | None = None
        """Set when a change of the plugins is done; None: there is none."""
        self._resting: asyncio.Event | None = None
        """Set when nothing is under way any more."""
        self._plugins: tuple[LoadedPlugin, ...] = ()
        self._strikes: list[Strikes] = []
        self._work: list[Work] = []
        self._timers: dict[int, int] = {}
        self._foreign: dict[int, ForeignPlugin] = {}
        self._turns: dict[int, asyncio.Lock] = {}
        self._deliverers: dict[str, Deliverer] = {}
        self.seat(plugins)

    def seat(self, plugins: Sequence[LoadedPlugin], begun: Sequence[ForeignPlugin] = ()) -> list[ForeignPlugin]:
        """Go on with these plugins: those that are among them already keep all that they have, strikes too.

        ``begun``: processes of new ones that have said hello; others are made and wait for their start. The processes
        that belong to nobody any more are given back, for the caller to close.
        """
        assert not self._busy, "indices change only while nothing is under way"
        new = tuple(plugin for plugin in plugins if plugin.runs)
        was = {id(plugin): index for index, plugin in enumerate(self._plugins)}
        olds = [was.get(id(plugin)) for plugin in new]
        waiting = {foreign.name: foreign for foreign in begun}
        foreign = {
            index: self._foreign[old] if old is not None else waiting.get(plugin.name) or self._process_of(plugin)
            for index, (plugin, old) in enumerate(zip(new, olds, strict=True))
            if plugin.instance is None
        }
        gone = [one for one in self._foreign.values() if all(one is not kept for kept in foreign.values())]
        limit = self._strikes_max
        self._strikes = [Strikes(limit) if old is None else self._strikes[old] for old in olds]
        self._work = [
            _work(plugin) if old is None else self._work[old] for plugin, old in zip(new, olds, strict=True)
        ]
        self._timers = {index: self._timers[old] for index, old in enumerate(olds) if old in self._timers}
        self._turns = {index: self._turns[old] for index, old in enumerate(olds) if old in self._turns}
        self._plugins, self._foreign = new, foreign
        self._idle = tuple(plugin for plugin in plugins if not plugin.runs)
        self._names = tuple(plugin.name for plugin in new)
        self._index = {name: index for index, name in enumerate(self._names)}
        self._asked = tuple(
            index for index, plugin in enumerate(new) if any(hook in ANSWERING for hook in plugin.hooks)
        )
        self._serve_channels({plugin.name for plugin, old in zip(new, olds, strict=True) if old is not None})
        self._rebuild()
        return gone

    def _process_of(self, plugin: LoadedPlugin) -> ForeignPlugin:
        foreign = ForeignPlugin(plugin.name, plugin.source, plugin.table, self._deadlines, self._in_trouble(plugin))
        foreign.fingerprint = plugin.fingerprint
        return foreign

    def _serve_channels(self, kept: set[str]) -> None:
        """Who delivers to which channel; what a plugin that stays has under way goes on."""
        self._channels = {
            channel_name(plugin.name, channel): (index, channel)
            for index, plugin in enumerate(self._plugins)
            if "notify" in plugin.hooks
            for channel in plugin.channels
        }
        before = self._deliverers
        self._deliverers = {
            name: before[name] if self._names[index] in kept
            else Deliverer(self._names[index], channel, self._plugins[index].bound["notify"])
            for name, (index, channel) in self._channels.items()
            if index not in self._foreign
        }

    # --- life --------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The plugins that run, in configured order."""
        return self._names

    @property
    def all_inline(self) -> bool:
        return not self._foreign

    def start(self) -> list[PluginTold]:
        """Start the processes of those in service, run the ``start`` hooks.

        Raises ConfigError or PluginError when one does not start.
        """
        serving = [one for index, one in self._foreign.items() if not self._strikes[index].quarantined]
        for foreign in serving:
            foreign.launch()
        try:
            for foreign in serving:
                foreign.greet()
        except Exception:
            self._kill_all()
            raise
        return self.tell("start")

    def stop(self) -> list[PluginTold]:
        """Run the ``stop`` hooks and end the processes."""
        said = self.tell("stop")
        self._stopping = True
        for foreign in self._foreign.values():
            foreign.close()
        return said

    # --- changing the plugins ----------------------------------------------------------------------------------------

    def begin(self, plugin: str) -> None:
        """Start the process of a plugin that was seated, waiting for its hello, and tell it ``start``.

        Raises ConfigError or PluginError when it does not start.
        """
        index = self._index.get(plugin)
        if index is None:
            return
        if index in self._foreign:
            self._foreign[index].launch()
            self._foreign[index].greet()
        if "start" in self._plugins[index].hooks:
            self._tell_one(index, "start", {})

    async def begun(self, plugin: LoadedPlugin, state: Mapping[str, str]) -> list[ForeignPlugin]:
        """The process of a plugin that is to be seated, up and with its durable state; none for one of this process.

        Raises ConfigError or PluginError when it does not start.
        """
        if plugin.instance is not None:
            return []
        foreign = self._process_of(plugin)
        foreign.state = dict(state)
        foreign.launch()
        foreign.attach(asyncio.get_running_loop())
        await foreign.greeted()
        return [foreign]

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """While this is held nobody is asked or told in an event loop; it waits for those who are."""
        while self._gate is not None:
            await self._gate.wait()
        self._gate = asyncio.Event()
        try:
            if self._busy:
                self._resting = asyncio.Event()
                await self._resting.wait()
            yield
        finally:
            self._gate.set()
            self._gate = self._resting = None

    @asynccontextmanager
    async def _under_way(self) -> AsyncIterator[None]:
        while self._gate is not None:
            await self._gate.wait()
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy and self._resting is not None:
                self._resting.set()

    async def stopped(self, plugin: str) -> list[PluginTold]:
        """Tell a plugin that is to go ``stop``; it has as long for that as for a sign of life. Hold ``quiet``."""
        index = self._index.get(plugin)
        if index is None or "stop" not in self._plugins[index].hooks or self._strikes[index].quarantined:
            return []
        self._attach()
        said = (
            await self._tell_foreign(index, "stop", {}, self._deadlines.life_ms)
            if index in self._foreign else self._told_inline(index, "stop", {})
        )
        return [] if said is None else [said]

    async def started(self, plugin: str) -> list[PluginTold]:
        """Tell a plugin that was seated ``start``."""
        self._attach()
        async with self._under_way():
            index = self._index.get(plugin)
            if index is None or "start" not in self._plugins[index].hooks:
                return []
            said = (
                await self._tell_foreign(index, "start", {})
                if index in self._foreign else self._told_inline(index, "start", {})
            )
        return [] if said is None else [said]

    def let_in(self, plugin: str) -> None:
        """As ``release``, for whoever runs an event loop: a process starts beside it. Hold ``quiet``."""
        self._attach()
        self.release(plugin)

    def quarantine(self, plugin: str, reason: str) -> None:
        """Out of service since an earlier run, or as a recording says. Nothing for a plugin that does not run."""
        index = self._index.get(plugin)
        if index is None or self._strikes[index].quarantined:
            return
        self._strikes[index].banish(reason)
        if index in self._foreign:
            self._foreign[index].kill()
        self._rebuild()

    def _kill_all(self) -> None:
        self._stopping = True
        for foreign in self._foreign.values():
            foreign.kill()

    def load_state(self, plugin: str, state: Mapping[str, str]) -> None:
        """A plugin's durable state as recovery folded it: JSON texts by key. Plugins that do not run keep theirs."""
        index = self._index.get(plugin)
        if index is None:
            return
        durable = self._plugins[index].durable
        if durable is not None:
            durable.load(state)
        else:
            self._foreign[index].load_state(state)

    def remember(self, plugin: str, changes: Mapping[str, str | None]) -> None:
        """A plugin's durable state changed with an order of its wish; None deletes."""
        index = self._index.get(plugin)
        if index is None:
            return
        durable = self._plugins[index].durable
        if durable is not None:
            durable.apply(changes)
        else:
            self._foreign[index].remember(changes)

    def take_struck(self) -> list[PluginStruck]:
        """Strikes since the last call, for the kernel."""
        taken = list(self._struck)
        self._struck.clear()
        return taken

    def release(self, plugin: str) -> None:
        """Let a quarantined plugin in again. Raises PluginError when none of this name runs."""
        index = self._index.get(plugin)
        if index is None:
            raise PluginError("does not run", plugin=plugin)
        if not self._strikes[index].quarantined:
            return
        self._strikes[index].release()
        if index in self._foreign:
            self._relaunch(index)
        self._rebuild()

    def quarantined(self, plugin: str) -> bool:
        """Is it out of service? False for one that does not run."""
        index = self._index.get(plugin)
        return index is not None and self._strikes[index].quarantined

    def status(self) -> list[PluginStatus]:
        """Every plugin, running or not."""
        running = [self._status(index) for index in range(len(self._plugins))]
        idle = [PluginStatus(each.name, each.state, 0, {}, each.problem, hooks=each.hooks) for each in self._idle]
        return running + idle

    def _status(self, index: int) -> PluginStatus:
        plugin, strikes = self._plugins[index], self._strikes[index]
        state = plugin.state
        metrics: dict[str, float]
        if plugin.instance is None:
            foreign = self._foreign[index]
            metrics = foreign.metrics
            state = state if foreign.running else "restarting"
        else:
            metrics = self._work[index].metrics.of(plugin.instance.metrics)
        if strikes.quarantined:
            state = "quarantined"
        work = self._work[index]
        return PluginStatus(
            plugin.name, state, strikes.total, metrics, strikes.reason, work.asked, work.used_ns // 1_000,
            work.slowest_ns // 1_000, plugin.hooks,
        )

    # --- evaluating ------------------------------------------------------------------------------------------------

    def evaluate_inline(self, view: View) -> Evaluated:
        """The whole chain at once; waits for plugins in other processes, each within its deadline."""
        tally = Tally(len(self._names))
        steps = chain(view, self._names, self._asked, self._combiner, tally, self._opinions)
        evaluated = driven(steps, self._table, view, tally) if self.all_inline else self._blocking(steps, view, tally)
        self._judge(tally)
        return evaluated

    async def evaluate(self, view: View) -> Evaluated:
        """The whole chain, phase by phase; other processes are awaited together, each within its deadline."""
        if self.all_inline and self._gate is None:
            return self.evaluate_inline(view)
        async with self._under_way():
            return await self._evaluate(view)

    async def _evaluate(self, view: View) -> Evaluated:
        self._attach()
        tally = Tally(len(self._names))
        steps = chain(view, self._names, self._asked, self._combiner, tally, self._opinions)
        try:
            question = next(steps)
            while True:
                tasks = [
                    asyncio.ensure_future(self._ask(index, question, view, tally))
                    for index in self._answerers(question)
                ]
                # Sent first, so that they work on it while the plugins of this process answer.
                await asyncio.sleep(0)
                outcome = self._table.answer(question, view, tally.used)
                for part in await asyncio.gather(*tasks):
                    _join(outcome, part)
                question = steps.send(outcome)
        except StopIteration as end:
            evaluated = cast(Evaluated, end.value)
        self._judge(tally)
        return evaluated

    def _blocking(self, steps: Any, view: View, tally: Tally) -> Evaluated:
        try:
            question = next(steps)
            while True:
                asked = [
                    (index, self._foreign[index].send(_asking(question, view)))
                    for index in self._answerers(question)
                ]
                outcome = self._table.answer(question, view, tally.used)
                for index, seq in asked:
                    _join(outcome, self._collected(index, seq, question, view, tally))
                question = steps.send(outcome)
        except StopIteration as end:
            return cast(Evaluated, end.value)

    def _collected(self, index: int, seq: int | None, question: Question, view: View, tally: Tally) -> Outcome:
        if seq is None:
            return self._away(index, question, AWAY)
        foreign = self._foreign[index]
        reply = foreign.wait(seq, self._deadlines.answer_ms)
        if reply is not None:
            return self._understood(index, reply, question, view, tally)
        if not foreign.owes(seq):
            # It died over the question; that was a strike, and there is a new process already.
            return self._away(index, question, self._strikes[index].reason)
        reason = LATE.format(self._deadlines.answer_ms)
        self._strike(index, reason)
        if not self._strikes[index].quarantined and not foreign.alive_by(seq):
            self._lifeless(foreign)
        return self._away(index, question, reason)

    async def _ask(self, index: int, question: Question, view: View, tally: Tally) -> Outcome:
        foreign = self._foreign[index]
        # One question at a time: another market's must not eat into this one's deadline.
        async with self._turns[index]:
            seq = foreign.send(_asking(question, view))
            if seq is None:
                return self._away(index, question, AWAY)
            answer = foreign.expect(seq)
            try:
                done, _ = await asyncio.wait({answer}, timeout=self._deadlines.answer_ms / 1_000)
            except asyncio.CancelledError:
                foreign.watch(seq, lambda: self._lifeless(foreign))
                raise
            if done:
                reply = answer.result()
                if reply is None:
                    return self._away(index, question, self._strikes[index].reason or AWAY)
                return self._understood(index, reply, question, view, tally)
            reason = LATE.format(self._deadlines.answer_ms)
            foreign.watch(seq, lambda: self._lifeless(foreign))
            self._strike(index, reason)
            return self._away(index, question, reason)

    def _lifeless(self, foreign: ForeignPlugin) -> None:
        # It may have gone, or have another place by now.
        index = next((index for index, one in self._foreign.items() if one is foreign), None)
        if index is not None and not self._strikes[index].quarantined and not foreign.ready:
            self._revive(index, f"no sign of life within {self._deadlines.life_ms} ms")

    def _understood(
        self, index: int, reply: FromChild, question: Question, view: View, tally: Tally
    ) -> Outcome:
        """A reply as an outcome: nothing in it is believed before it is checked as an answer of this process is."""
        outcome = Outcome()
        phase = question.phase
        if not isinstance(reply, Answers) or (reply.view_seq, reply.phase) != (view.view_seq, phase):
            return self._away(index, question, "answered another question", strike=True)
        tally.used[index] += reply.used_ns
        subjects = max(len(question.inputs.entries), len(question.inputs.targets), 1)
        answers_max = ANSWERS_MAX * subjects * (len(view.positions) + len(PHASES[phase]))
        if len(reply.answers) + len(reply.failures) > answers_max:
            # Its own process would have refused that, had the plugin left it alone.
            problem = f"more than {answers_max} answers in one message"
            outcome.failed.extend(Failed(index, subject, phase, problem) for subject in range(subjects))
            return outcome
        for said in reply.answers:
            try:
                if not 0 <= said.subject < subjects:
                    raise AnswerError(f"answered about subject {said.subject} of {subjects}")
                outcome.given.append((index, said.subject, checked(phase, said.answer)))
            except AnswerError as error:
                subject = said.subject if 0 <= said.subject < subjects else 0
                outcome.failed.append(Failed(index, subject, phase, str(error)))
        for failure in reply.failures:
            subject = failure.subject if 0 <= failure.subject < subjects else 0
            hook = failure.hook if failure.hook in PHASES[phase] else phase
            outcome.failed.append(Failed(index, subject, hook, failure.problem[:PROBLEM_MAX]))
        return outcome

    def _away(self, index: int, question: Question, reason: str, strike: bool = False) -> Outcome:
        """What not being answered means: a failure of the first hook asked, for every subject where hooks close."""
        outcome = Outcome()
        hooks = self._plugins[index].hooks
        hook = next(hook for hook in PHASES[question.phase] if hook in hooks)
        subjects = range(len(question.inputs.entries)) if hook in CLOSED else range(1)
        outcome.failed = [Failed(index, subject, hook, reason, strike, not strike) for subject in subjects]
        return outcome

    def _answerers(self, question: Question) -> list[int]:
        """Plugins of other processes that have a hook of this question's phase and are in service."""
        hooks = PHASES[question.phase]
        return [
            index
            for index in self._foreign
            if not self._strikes[index].quarantined and any(hook in self._plugins[index].hooks for hook in hooks)
        ]

    # --- telling -----------------------------------------------------------------------------------------------------

    def tell(self, hook: str, **facts: Any) -> list[PluginTold]:
        """Run an ``on_…`` hook (or ``start``, ``stop``) of every plugin that has it; what changed, was said or failed.

        Facts are the hook's arguments. ``on_timer`` runs for the plugins whose time has come only. Waits for plugins in
        other processes.
        """
        said = [self._tell_one(index, hook, facts) for index in self._listeners(hook, facts)]
        return [one for one in said if one is not None]

    def _tell_one(self, index: int, hook: str, facts: Mapping[str, Any]) -> PluginTold | None:
        if index not in self._foreign:
            return self._told_inline(index, hook, facts)
        seq = self._foreign[index].send(_telling(hook, facts))
        reply = None if seq is None else self._foreign[index].wait(seq, self._patience(hook))
        if seq is not None and reply is None:
            self._deaf(index, hook)
        return self._told_by(index, hook, reply)

    async def tell_async(self, hook: str, **facts: Any) -> list[PluginTold]:
        """As ``tell``, without holding up the event loop for plugins in other processes."""
        said = []
        async with self._under_way():
            self._attach()
            for index in self._listeners(hook, facts):
                if index in self._foreign:
                    said.append(await self._tell_foreign(index, hook, facts))
                else:
                    said.append(self._told_inline(index, hook, facts))
        return [one for one in said if one is not None]

    async def _tell_foreign(
        self, index: int, hook: str, facts: Mapping[str, Any], patience_ms: int = 0
    ) -> PluginTold | None:
        foreign = self._foreign[index]
        async with self._turns[index]:
            seq = foreign.send(_telling(hook, facts))
            if seq is None:
                return self._told_by(index, hook, None)
            answer = foreign.expect(seq)
            done, _ = await asyncio.wait({answer}, timeout=(patience_ms or self._patience(hook)) / 1_000)
            if not done:
                self._deaf(index, hook)
            return self._told_by(index, hook, answer.result() if done else None)

    def _patience(self, hook: str) -> int:
        """Wall ms that a plugin may take over being told: loading a model at ``start`` is no hanging."""
        return self._deadlines.start_ms if hook in ("start", "stop") else self._deadlines.life_ms

    def _deaf(self, index: int, hook: str) -> None:
        """It was told and said nothing in time: a strike, and a new process (unless its old one has just died)."""
        foreign = self._foreign[index]
        if not foreign.running or foreign.ready:
            return
        reason = f"{hook}: no sign of life within {self._patience(hook)} ms"
        self._strike(index, reason)
        if not self._strikes[index].quarantined:
            self._revive(index, reason)

    def _listeners(self, hook: str, facts: Mapping[str, Any]) -> list[int]:
        if hook not in (*TELLING, "start", "stop"):
            raise AssertionError(f"{hook} is no hook that is told")
        listening = [
            index
            for index, plugin in enumerate(self._plugins)
            if hook in plugin.hooks and not self._strikes[index].quarantined
        ]
        return [index for index in listening if self._due(index, facts["at"])] if hook == "on_timer" else listening

    def _due(self, index: int, at: int) -> bool:
        """Is it time for the plugin's own schedule? The first call starts it."""
        every = self._plugins[index].timer_s
        if every is None:
            return False
        due = self._timers.setdefault(index, at + round(every * 1_000))
        if at < due:
            return False
        self._timers[index] = at + round(every * 1_000)
        return True

    def _told_inline(self, index: int, hook: str, facts: Mapping[str, Any]) -> PluginTold | None:
        plugin = self._plugins[index]
        assert plugin.durable is not None, "a plugin of this process has its state here"
        return self._report(index, hook, told(plugin.bound[hook], plugin.durable, facts))

    def _told_by(self, index: int, hook: str, reply: FromChild | None) -> PluginTold | None:
        if not isinstance(reply, Told):
            return PluginTold(self._names[index], hook, problem=AWAY)
        try:
            for notice in reply.notices:
                checked(hook, notice)
            check_texts(reply.changes)
            if len(reply.notices) > ANSWERS_MAX:
                raise AnswerError(f"more than {ANSWERS_MAX} notices")
        except AnswerError as error:
            return self._report(index, hook, Telling({}, (), reply.used_ns, str(error)))
        foreign = self._foreign[index]
        for key, text in reply.changes.items():
            if text is None:
                foreign.state.pop(key, None)
            else:
                foreign.state[key] = text
        problem = reply.problem[:PROBLEM_MAX]
        return self._report(index, hook, Telling(reply.changes, reply.notices, reply.used_ns, problem))

    def _report(self, index: int, hook: str, telling: Telling) -> PluginTold | None:
        if telling.problem:
            self._strike(index, f"{hook}: {telling.problem}")
        if telling.silent:
            return None
        return PluginTold(
            self._names[index], hook, telling.changes, telling.notices, telling.used_ns // 1_000, telling.problem
        )

    # --- delivering --------------------------------------------------------------------------------------------------

    async def deliver(self, notice: NoticeRaised, channel: str) -> str:
        """Hand a notice to one channel; the problem, empty when it was delivered. A failure is never a strike."""
        if channel not in self._channels:
            return UNKNOWN
        index, own = self._channels[channel]
        if self._strikes[index].quarantined:
            return QUARANTINED
        self._attach()
        future: asyncio.Future[Any]
        if index in self._foreign:
            future = self._foreign[index].deliver(notice, own)
        else:
            future = asyncio.wrap_future(self._deliverers[channel].begin(notice))
        # Not wait_for: it would cancel the delivery, whose end still tells whether it has to be repeated.
        await asyncio.wait({future}, timeout=self._deadlines.deliver_ms / 1_000)
        if not future.done():
            return f"not delivered within {self._deadlines.deliver_ms} ms"
        result = future.result()
        if isinstance(result, Notified):
            return result.problem
        return AWAY if result is None else str(result)

    # --- strikes -----------------------------------------------------------------------------------------------------

    def _judge(self, tally: Tally) -> None:
        """Strikes for what failed in a chain: one a plugin and chain, however often it failed."""
        work, used = self._work, tally.used
        for index in self._asked:
            done, used_ns = work[index], used[index]
            done.asked += 1
            done.used_ns += used_ns
            if used_ns > done.slowest_ns:
                done.slowest_ns = used_ns
        if not tally.failed:
            for index in self._asked:
                self._strikes[index].behaved()
            return
        struck: dict[int, Failed] = {}
        for failure in tally.failed:
            if failure.strike:
                struck.setdefault(failure.plugin, failure)
        failed = {failure.plugin for failure in tally.failed}
        for index in self._asked:
            if index in struck:
                self._strike(index, f"{struck[index].hook}: {struck[index].problem}")
            elif index not in failed:
                self._strikes[index].behaved()

    def _strike(self, index: int, reason: str) -> None:
        strikes = self._strikes[index]
        if strikes.quarantined:
            return
        out = strikes.strike(reason)
        name = self._names[index]
        if out:
            logger.bind(plugin=name).error("plugin {} is quarantined: {}", name, reason)
            if index in self._foreign:
                self._foreign[index].kill()
            self._rebuild()
        else:
            logger.bind(plugin=name).warning("plugin {}: strike {}: {}", name, strikes.count, reason)
        event = PluginStruck(name, reason, out)
        self._struck.append(event)
        if self._listener is not None:
            self._listener(event)

    def _revive(self, index: int, reason: str) -> None:
        """Kill a process without a sign of life and start it from its last durable state; its strike stands already."""
        logger.bind(plugin=self._names[index]).warning("plugin {}: {}, restarted", self._names[index], reason)
        self._relaunch(index)

    def _relaunch(self, index: int) -> None:
        foreign = self._foreign[index]
        pause_s = pause_before_s(self._strikes[index].count) if self._async else 0.0
        if pause_s and (loop := _running_loop()) is not None:
            # It abstains meanwhile; what struck again and again is not started as fast as it dies.
            foreign.kill()
            loop.call_later(pause_s, self._after_pause, foreign)
            return
        foreign.restart()
        if not self._async:
            # A program without an event loop has nothing better to do, and its decisions must not depend on luck.
            try:
                foreign.greet()
            except Exception as error:  # refused or dead at its second start: one more strike, never an end of the run
                self._strike(index, str(error))

    def _after_pause(self, foreign: ForeignPlugin) -> None:
        index = next((index for index, one in self._foreign.items() if one is foreign), None)
        if index is None or self._stopping or self._strikes[index].quarantined or foreign.pid is not None:
            return
        foreign.restart()

    def _in_trouble(self, plugin: LoadedPlugin) -> Callable[[str], None]:
        def trouble(reason: str) -> None:
            index = self._index.get(plugin.name)
            if self._stopping or index is None or self._plugins[index] is not plugin:
                return
            self._strike(index, reason)
            if not self._strikes[index].quarantined:
                self._relaunch(index)

        return trouble

    def _rebuild(self) -> None:
        """The table anew, without plugins that are out: their ``size`` and ``review`` fail, so gates stay shut."""
        out = {index for index, strikes in enumerate(self._strikes) if strikes.quarantined}
        self._table = Table(
            [
                None if plugin.instance is None or index in out else plugin.bound
                for index, plugin in enumerate(self._plugins)
            ],
            {index: (QUARANTINED, self._plugins[index].hooks) for index in out},
        )
        self._opinions = Opinions(
            self._having("signal"), self._having("combine"), dict.fromkeys(sorted(out), QUARANTINED)
        )

    def _having(self, hook: str) -> tuple[int, ...]:
        return tuple(index for index, plugin in enumerate(self._plugins) if hook in plugin.hooks)

    def _attach(self) -> None:
        """Let the running loop serve the processes' sockets."""
        self._async = True
        loop = asyncio.get_running_loop()
        for index, foreign in self._foreign.items():
            if foreign.attach(loop) or index not in self._turns:
                self._turns[index] = asyncio.Lock()


def pause_before_s(strikes: int) -> float:
    """Wall seconds before a process is started again after so many strikes: none after the first, then doubling."""
    return 0.0 if strikes < 2 else min(PAUSE_FIRST_S * 2 ** (strikes - 2), PAUSE_MAX_S)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def facts_of(command: Tell) -> dict[str, Any]:
    """The arguments of the hook that a ``Tell`` command names; ``what`` of a settlement is (result, closes)."""
    facts: dict[str, Any] = {"at": command.at}
    match command.hook:
        case "on_market":
            facts["market"] = command.market
        case "on_order":
            facts |= {"market": command.market, "order": command.what}
        case "on_fill":
            facts |= {"market": command.market, "fill": command.what}
        case "on_settlement":
            result, closes = cast("tuple[Any, Any]", command.what)
            facts |= {"market": command.market, "result": result, "closes": tuple(closes)}
        case "on_notice":
            facts["notice"] = command.what
        case "on_audit":
            facts |= {"market": command.market, "report": command.what}
        case "on_day":
            facts["day"] = command.what
        case "on_timer":
            facts["funds"] = command.what
        case _:
            raise AssertionError(f"{command.hook} is no hook that is told")
    return facts


def _asking(question: Question, view: View) -> Callable[[int], Ask]:
    return lambda seq: Ask(seq, view.view_seq, question.phase, view, question.inputs)


def _telling(hook: str, facts: Mapping[str, Any]) -> Callable[[int], TellPlugin]:
    return lambda seq: TellPlugin(seq, hook, Facts(**facts))


def _join(outcome: Outcome, part: Outcome) -> None:
    outcome.given.extend(part.given)
    outcome.failed.extend(part.failed)
