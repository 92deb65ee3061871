"""One account of the host: its kernel, its plugins, its way to the venue, its journal, from the start to the summary.

Nothing here is shared with another account but the market data. What fails here ends this account's part.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from loguru import logger
from msgspec import UNSET, UnsetType

from polyhost import __version__
from polyhost.configuration import Loaded, recorded
from polyhost.errors import ConfigError
from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import LoadedPlugin, discover, tell_of
from polyhost.extension.lock import Lock
from polyhost.extension.runner import Runner
from polyhost.journal import JournalError, JournalWriter, Recorder, read_journal
from polyhost.journal.analysis import AnalysisWriter
from polyhost.journal.place import settle
from polyhost.kernel.kernel import Kernel
from polyhost.model.builder import Builder
from polyhost.model.commands import Follow, Unfollow
from polyhost.model.events import Event, Operator, RunBegan
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.model.reading import FeedConfig
from polyhost.model.records import Record, RunEnded, RunStarted
from polyhost.service import account_end, account_report
from polyhost.service.account_loops import AccountLoops
from polyhost.service.banner import tell_versions
from polyhost.service.control import ControlServer
from polyhost.service.control_words import OperatorWords
from polyhost.service.coverage import coverage
from polyhost.service.early import Begun
from polyhost.service.engine import Engine
from polyhost.service.extra_feeds import ExtraFeeds
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import account_told
from polyhost.service.gateways import gateway_of, paper_gateway_of
from polyhost.service.lease import Lease
from polyhost.service.live_file import Live
from polyhost.service.logs import REDACTOR
from polyhost.service.market_data import MarketData
from polyhost.service.operator_box import forget_kills, leave
from polyhost.service.order_words import OrderWords
from polyhost.service.phases import MEANS, Phase, entered
from polyhost.service.plugin_life import CHANGES, PluginLife, plugin_words, told_hooks, trusted_on_sight
from polyhost.service.presence import Condition
from polyhost.service.relaying import without_a_key
from polyhost.service.supervision import Supervisor
from polyhost.service.word_targets import means_nothing
from polyhost.venue.contract import Gateway
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.polymarket.faults import retried

if TYPE_CHECKING:
    from polyhost.service.paper import PaperGateway

KILL = account_end.KILL
TRADES_WITH_A_KEY: Final = ("sim", "live")
"""Modes in which a second host with the same wallet would trade against this one."""


class AccountRun:
    """One run of one account: ``prepare``, ``connect``, ``begin``, then ``trade`` to its end; ``close`` always."""

    def __init__(
        self, loaded: Loaded, folder: DataFolder, market: MarketData, *, run_id: str, windows: int | None = None,
        label: str = "", share: float = 1.0, variables: tuple[str, ...] = (), begun: Begun | None = None,
    ) -> None:
        """``label``: how log lines name the account; empty while it is the only one. ``share``: of the venue's budget
        of requests. ``variables``: of the environment, those that hold any account's key. ``begun``: processes that
        run already.
        """
        self.loaded = loaded
        self.settings = loaded.configuration
        self.name = self.settings.host.account
        self.label = label
        self.folder = folder
        self.market = market
        self.windows = windows
        self.run_id = run_id
        self.clock = market.clock
        self.kernel: Kernel
        self.engine: Engine
        self.runner: Runner
        self.plugins: PluginLife
        self.gateway: Gateway
        self.process: GatewayProcess | None = None
        """Behind ``gateway``: what has the key; None: a paper account has none."""
        self.paper: PaperGateway | None = None
        """The same as ``gateway`` in paper mode: it hears of the market before the kernel does."""
        self.supervisor: Supervisor
        self.extra: ExtraFeeds
        self.journal: JournalWriter
        self.recorder: Recorder | None = None
        self.analysis: AnalysisWriter
        self.builder: Builder | UnsetType = UNSET
        """The configured builder code with what the venue says it costs."""
        self.started_at = time.monotonic()
        self.began_market = 0
        self.settled_here = 0
        """Windows whose entries were allowed from the open and that settled in this run."""
        self.killed = False
        """The operator's kill ended the run (exit code 4)."""
        self.flatten = False
        self.stop_reason = ""
        self.unwell: Mapping[str, str] = {}
        """What the doctor has against it, by its lines, where it starts all the same to manage what is open."""
        self.stopping = asyncio.Event()
        self.phase = Phase.STARTING
        self._share = share
        self._variables = variables
        self._begun = begun or Begun()
        self._reaching: asyncio.Task[Gateway] | None = None
        self._stack = AsyncExitStack()
        self._loops = AccountLoops(self)
        self._lock = Lock(folder.path)
        self._found: tuple[LoadedPlugin, ...] = ()
        self._cut_off = False
        """The last run did not come to its end: what was said to it may never have been heard."""

    # --- words --------------------------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End gracefully: entries and quotes go, exits stay resting, positions keep their obligations."""
        self.stop_reason = self.stop_reason or reason
        self.stopping.set()

    def kill(self, who: str, *, flatten: bool) -> None:
        """The operator's kill by a signal; before the account is up it waits for that."""
        word = Operator("kill", "", who, flatten)
        if hasattr(self, "engine"):
            self.hear(word)
        else:
            leave(self.folder.path, word)

    def hear(self, word: Operator) -> None:
        """An operator's word, by file, signal or socket."""
        if word.word in CHANGES:
            self.engine.start(self.plugins.by_file(word))
            return
        self.engine.event(word)
        if word.word == "kill":
            self.killed, self.flatten = True, self.flatten or word.flatten
            self.stop(KILL)

    # --- start --------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """What needs nobody else: plugins found, journal opened and folded. Raises PolyhostError."""
        settings, loaded = self.settings, self.loaded
        if settings.host.mode != "paper":
            told = account_told(settings, self.folder, share=self._share, variables=self._variables)
            way = gateway_of(settings, told, self._begun.gateways.get(self.name))
            self.gateway, self.process = way.gateway, way.process
            self._stack.push_async_callback(way.process.close)
            if way.process.pid is None:
                way.process.spawn()
        self._found = plugins = discover(
            settings, loaded.base, str(loaded.path or ""), places=loaded.place, admit=self._lock.problem,
            excused=loaded.chosen.union(self._lock.plugins),
        )
        REDACTOR.add(*self._secrets())
        self.kernel = Kernel(settings, self.name, told_hooks(plugins), channels_of(plugins))
        self.journal = self.open_journal(self._stack)

    def _secrets(self) -> list[str]:
        return [secret for plugin in self._found for secret in plugin.secrets()]

    def open_journal(self, stack: AsyncExitStack) -> JournalWriter:
        """The journal, and the kernel as it says. Raises JournalError; ConfigError: it stands elsewhere than set."""
        place = settle(self.folder.journal, self.settings.host.database, self.name)
        REDACTOR.add(*(() if place is None else place.secrets()))
        # The journal's thread does not know for whom it works: what follows is said in this account's name.
        here = partial(asyncio.get_running_loop().call_soon_threadsafe, context=copy_context())

        def durable(seq: int) -> None:
            here(self._durable, seq)

        def failed(error: JournalError) -> None:
            here(self._journal_failed, error)

        def aside(seq: int) -> None:
            here(self._aside, seq)

        journal = JournalWriter(self.folder.journal, self.name, durable, failed, aside)
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
            if isinstance(record, RunStarted):
                self._refuse_other_mode(record.mode)
            yield record

    def _refuse_other_mode(self, before: str) -> None:
        """A journal is of one mode: what was paper or simulated must never be taken for real money. ConfigError."""
        if before != self.settings.host.mode:
            table = f"accounts.{self.name}" if self.settings.accounts else "host"
            raise ConfigError(
                f"the journal in {self.folder.path} is of a {before} account", table=table, key="mode",
                value=self.settings.host.mode, allowed=(before,),
                remedy="use another data_dir, or another name of the account",
            )

    def _durable(self, seq: int) -> None:
        if hasattr(self, "engine"):
            self.engine.durable(seq)

    def _journal_failed(self, error: JournalError) -> None:
        if hasattr(self, "engine"):
            self.engine.seal(error)

    def _aside(self, seq: int) -> None:
        if hasattr(self, "engine"):
            self.engine.aside(seq)

    async def connect(self) -> None:
        """The way to the venue, the plugins, and the loop around the kernel; nothing moves yet. Raises PolyhostError.
        """
        settings, stack = self.settings, self._stack
        await self.reach()
        if settings.host.mode in TRADES_WITH_A_KEY:
            stack.enter_context(Lease(self.market.endpoints.clob, self.gateway.wallet, self._tenant()))
        await self._ask_builder()
        self.runner = Runner(self._found, settings.evaluation.combiner)
        for name, reason in self.kernel.state.quarantined.items():
            self.runner.quarantine(name, reason)
        if settings.host.record:
            self.recorder = self._recorder(tuple(self._secrets()))
            stack.callback(self.recorder.close)
        self.analysis = AnalysisWriter(self.folder.analysis, days=settings.host.analysis_days)
        stack.callback(self.analysis.close)
        self.engine = Engine(
            self.kernel, self.clock, self.gateway, self.runner, self.journal, self.recorder, self.analysis,
            follow=self._follow,
        )
        stack.push_async_callback(self.engine.close)
        self._plugins()
        self.supervisor = Supervisor(
            self.engine.event, done=lambda: self.engine.halted, beside=self.market.supervisor
        )

    async def reach(self) -> Gateway:
        """Open the account's way to the venue, once for however many ask. Raises ConfigError or VenueError."""
        if self._reaching is None:
            self._reaching = asyncio.create_task(self._reach(), name="reach the venue")
        # Who waits may run out of patience without ending it for the others.
        return await asyncio.shield(self._reaching)

    async def _reach(self) -> Gateway:
        if self.process is None:
            self.paper = self.gateway = paper_gateway_of(
                self.settings, self.folder, self.clock, lambda event: self.engine.event(event), self.market.catalogue
            )
            self._stack.push_async_callback(self.paper.close)
            await self.paper.connect()
            return self.gateway
        self.process.at(self.market.endpoints)
        self.process.follows(self._held())
        await self.gateway.connect()
        return self.gateway

    def owner(self) -> str:
        """The key's own address, once it is reached; a paper account has none."""
        assert self.process is not None, "a paper account has no key"
        return self.process.owner

    def _tenant(self) -> str:
        return f"account {self.name} in {self.folder.path.resolve()}, pid {os.getpid()}"

    def _held(self) -> list[Market]:
        """Markets of earlier runs that this one may still trade or redeem in."""
        state = self.kernel.state
        held = {position.condition_id for position in state.positions.values() if position.size > 0}
        return [
            entry.market for condition_id, entry in state.markets.items() if not entry.settled or condition_id in held
        ]

    async def listen(self) -> None:
        """Hear the account's own stream from now on; a paper account has none."""
        if self.process is not None:
            await self.process.listen(
                self.engine.event, rotate_s=self.settings.venue.rotate_minutes * 60,
                seed=f"{self.settings.exchange.seed} {self.run_id} user {self.name}",
            )

    async def _ask_builder(self) -> None:
        """What the configured builder code costs. ConfigError: the venue does not know it; VenueError: no answer."""
        code = self.settings.venue.builder_code
        if code:
            self.builder = told = await retried(lambda: self.gateway.builder(code), "the builder code's fees")
            logger.info("builder code {}: {} ppm of a trade's money for makers, {} for takers", code, *told.rates)

    def _recorder(self, secrets: tuple[str, ...]) -> Recorder:
        host = self.settings.host
        return Recorder(
            self.folder.path, self.run_id, hours=host.record_hours, gigabytes=host.record_gb, secrets=secrets,
            beside={recorded.FILE: recorded.told(self.loaded)},
        )

    def _plugins(self) -> None:
        settings, endpoints = self.settings, self.market.endpoints
        config = FeedConfig(
            settings.host.mode, "" if endpoints.live else endpoints.clob, self.clock.speed, settings.markets.symbols
        )
        self.extra = ExtraFeeds(self._found, config, self.engine.reading)
        self.plugins = PluginLife(self.loaded, self._found, self.engine, self._change_feeds)

    async def _change_feeds(self, old: LoadedPlugin | None, new: LoadedPlugin | None) -> None:
        await self.extra.change(self.supervisor, old, new)

    def frame(self, raw: bytes, messages: list[Message]) -> None:
        """A frame of the market stream: the paper exchange has it before the kernel, as a venue would."""
        if self.paper is not None:
            self.paper.frame(messages)
        self.engine.frame(raw, messages)

    def fact(self, event: Event) -> None:
        """A fact of the market, which all accounts hear."""
        if self.paper is not None:
            self.paper.heard(event)
        self.engine.event(event)

    def _follow(self, command: Follow | Unfollow) -> None:
        if self.paper is not None:
            self.paper.follow(command.market) if isinstance(command, Follow) else self.paper.unfollow(command.market)
        self.market.followed(self, command)
        if isinstance(command, Follow):
            self.engine.start(self._warm(command))

    async def _warm(self, command: Follow) -> None:
        await self.gateway.warm(command.market)

    def begin(self) -> None:
        """The run begins: the kernel hears of it, and of every feed from here on."""
        for name, kept in self.kernel.state.plugin_state.items():
            self.runner.load_state(name, kept)
        said = self.runner.start()
        self._stack.callback(self.runner.stop)
        self._banner()
        self.began_market = self.clock.now()
        self.market.join(self)
        self.engine.event(
            RunBegan(
                self.run_id, __version__, self.settings.host.mode, self.loaded.config_hash, self.name, self.builder,
                {plugin.name: plugin.version for plugin in self._found if plugin.runs},
                without_a_key(self.settings) or UNSET,
            )
        )
        for told in (*trusted_on_sight(self._lock, self._found), *said):
            self.engine.event(told)
        if self.unwell:
            for name, text in self.unwell.items():
                logger.error("nothing is entered until `polyhost resume`, what is open is managed: {}: {}", name, text)
            self.hear(Operator("pause", "", "the doctor", why=f"{', '.join(self.unwell)} (`polyhost doctor`)"))

    def supervise(self) -> None:
        """Every loop of the account is started, and watched from here on (ORD-15)."""
        self._stack.push_async_callback(self.supervisor.close)
        self._loops.start()
        self.enter(Phase.TRADING)
        watching = asyncio.get_running_loop().create_task(self.supervisor.run(), name="supervisor")
        watching.add_done_callback(self._supervisor_ended)
        self._stack.callback(watching.cancel)

    def _supervisor_ended(self, task: asyncio.Task[None]) -> None:
        """Nobody can start it again: the account's run ends."""
        if not task.cancelled():
            self.engine.fail(task.exception() or RuntimeError("the supervisor ended"))

    # --- the run ------------------------------------------------------------------------------------------------------

    async def trade(self) -> dict[str, Any]:
        """Until it is stopped, its windows are done, or something broke; returns the summary."""
        reason = await account_end.until_the_end(self)
        await account_end.wind_down(self, reason)
        report = await account_report.report(self)
        self.enter(Phase.ENDED)
        return report

    async def close(self) -> None:
        """Let go of everything, whatever was begun; safe to call twice."""
        self.market.leave(self)
        await self._stack.aclose()

    # --- words and figures --------------------------------------------------------------------------------------------

    def control(self) -> ControlServer:
        """The socket on which this account is spoken to."""
        why = without_a_key(self.settings)
        cannot = dict.fromkeys(("merge", "redeem"), why) if why else {}
        words = OperatorWords(
            self.engine, self.hear, self.live, self.run_id, cannot,
            lambda word, target: means_nothing(self.kernel.state, word, target),
        )
        orders = OrderWords(lambda: self.kernel.state, self.market.clock.now, self.gateway.execute, words.said)
        return ControlServer(self.folder.path, words.table() | orders.table() | plugin_words(self.plugins))

    def live(self) -> Live:
        """Ready: every safety loop lives, the journal takes records, and no stop is under way."""
        ready = self.supervisor.safe() and self.engine.sealed is None and not self.stopping.is_set()
        sealed = "" if self.engine.sealed is None else str(self.engine.sealed)
        wall = time.time_ns() // 1_000_000
        return Live(
            self.run_id, wall, ready, sealed, self.supervisor.figures(), self.kernel.blocks(),
            self.kernel.reconciliation.ages(), self.kernel.scoring.said(), self.extra.figures(), self.plugins.rows(),
            self.clock.now(), self.clock.speed, coverage(self.kernel), self.phase.value,
        )

    def enter(self, phase: Phase) -> None:
        """It is that far now."""
        if phase is not self.phase:
            logger.info("{}: {}", phase.value, MEANS[phase])
        self.phase = entered(self.phase, phase)

    def condition(self, *, begun: bool) -> Condition:
        """How it is, for whoever watches the host from outside. ``begun``: its loops run."""
        if not begun:
            return Condition(self.name, False, self.stopping.is_set(), False, ())
        dead = tuple(name for name, loop in self.supervisor.all_loops().items() if not loop.alive)
        live = self.supervisor.safe() and self.engine.sealed is None
        sealed = "" if self.engine.sealed is None else str(self.engine.sealed)
        return Condition(self.name, True, self.stopping.is_set(), live, dead, sealed)

    def _banner(self) -> None:
        running = [plugin.name for plugin in self._found if plugin.runs]
        logger.info(
            "polyhost {} | mode {} | account {} | run {} | config {} | plugins {}",
            __version__, self.settings.host.mode, self.name, self.run_id, self.loaded.config_hash, ", ".join(running),
        )
        tell_versions(self.settings.venue.client)
        for line in self.loaded.told():
            logger.warning("configuration: {}", line)
        tell_of(self._found)
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
