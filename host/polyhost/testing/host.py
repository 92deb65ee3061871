"""The whole host around a plugin, in this process and in virtual time: on the simulated venue, or over a tape.

No process, socket, thread or clock is involved: the same seed (or tape) gives the same run. The shipped plugins run
beside the one under test as they do by default, so a signal reaches the shipped combiners and an entry the shipped
limits. A run over a tape is a backtest; one on the simulated venue is ``polyhost simulate`` without anything that goes
wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct, field

from polyhost.configuration import Loaded, load_configuration
from polyhost.exchange.gateway import InProcessGateway
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.world import World, WorldSettings
from polyhost.extension.discovery import LoadedPlugin, discover
from polyhost.extension.sources import Sources, found_sources
from polyhost.kernel.state import OrderEntry, State, fold
from polyhost.lab.backtest import Backtest
from polyhost.lab.sim_run import Plan, Plugins, Simulation
from polyhost.lab.tape import Tape
from polyhost.model.commands import Post, Prepare
from polyhost.model.events import Evaluated, Event, PluginStruck, PostAnswered, Prepared
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import micros, price_text, ticks
from polyhost.model.proposals import Signal
from polyhost.model.records import Record
from polyhost.model.times import MarketMs
from polyhost.model.view import View
from polyhost.model.words import Action, OrderType, Side
from polyhost.plugin import Plugin
from polyhost.settings import Configuration
from polyhost.testing.given import given_source

Rec = TypeVar("Rec")
Under = type[Plugin] | tuple[type[Plugin], Mapping[str, Any]]
"""A plugin class, or one with its settings."""
QUIET_DENSITY: Final = 4.0
"""Population events a second: enough for a market with a book and prints."""
OURS: Final = "0x" + "5e" * 20
"""Address of the account of ``SimExchange``."""
THE_KEY: Final = "test"


class HostRun(Struct):
    """What a run of the host came to."""

    evaluated: list[tuple[View, Evaluated]] = field(default_factory=list)
    """Every view with everything that all plugins answered to it."""
    strikes: list[PluginStruck] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    """The journal."""
    broken: str = ""
    """The invariant that does not hold, and how; empty: all do."""
    summary: dict[str, Any] = field(default_factory=dict)
    """Of a run over a tape: what ``polyhost backtest --json`` prints, of the central account."""

    def __repr__(self) -> str:
        return f"HostRun({len(self.evaluated)} evaluations, {len(self.records)} records, broken {self.broken!r})"

    def signals(self, plugin: str) -> list[tuple[View, Signal]]:
        """The plugin's signals with the views they are about."""
        return [
            (view, signal) for view, evaluated in self.evaluated for name, signal in evaluated.signals
            if name == plugin
        ]

    def abstentions(self, plugin: str) -> list[str]:
        """Why it had no opinion, each time."""
        return [
            each.reason for _, evaluated in self.evaluated for each in evaluated.abstained if each.plugin == plugin
        ]

    def of(self, kind: type[Rec]) -> list[Rec]:
        """The records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def state(self) -> State:
        """The host's durable state at the end."""
        return fold(self.records)

    @property
    def orders(self) -> list[OrderEntry]:
        """Every order, in the order of their being wanted."""
        return list(self.state.orders.values())

    def assert_sound(self, plugin: str = "") -> HostRun:
        """Every invariant held, and nobody (or not this plugin) has a strike."""
        assert not self.broken, self.broken
        struck = [strike for strike in self.strikes if plugin in ("", strike.plugin)]
        assert not struck, struck
        return self


def running_host(
    *plugins: Under, tape: Path | None = None, minutes: float = 6.0, seed: int = 1, alone: bool = False,
    config: Mapping[str, Any] | None = None,
) -> HostRun:
    """Run the host with these plugins, over a tape or for so many market minutes on the simulated venue.

    ``alone`` leaves out the shipped plugins; ``config`` holds tables of the configuration (``{"limits": {…}}``). On the
    simulated venue there are BTC windows of five minutes unless ``config`` has ``markets``.
    Raises PluginError and ConfigError as the host would at its start, AssertionError when the run breaks an invariant.
    """
    loaded, sources = _configured(plugins, alone, config or {}, simulated=tape is None)
    run = HostRun()
    if tape is None:
        _simulated(run, loaded, sources, seed, minutes)
    else:
        _backtested(run, loaded, sources, tape)
    assert not run.broken, run.broken
    return run


def _configured(
    plugins: Sequence[Under], alone: bool, config: Mapping[str, Any], *, simulated: bool
) -> tuple[Loaded, Sources]:
    loaded = load_configuration(None, env={})
    sources = found_sources()
    tables: dict[str, dict[str, Any]] = {}
    for under in plugins:
        kind, settings = under if isinstance(under, tuple) else (under, {})
        source = given_source(kind)
        sources[source.name] = [source]
        tables[source.name] = {"trusted": True, **settings}
    plain = loaded.configuration.model_dump()
    shipped = {name: {"enabled": False} for name in plain["plugins"]} if alone else plain["plugins"]
    if simulated:
        plain["markets"] |= {"symbols": ("BTC",), "durations": ("5m",)}
    for name, table in config.items():
        plain[name] = plain[name] | table if isinstance(plain.get(name), dict) else table
    others = {name: each for name, each in shipped.items() if name not in tables}
    plain["plugins"] = {**tables, **others, **(config.get("plugins") or {})}
    combiners = [name for name in tables if _combines(plugins, name)]
    if alone and combiners:
        plain["evaluation"] |= {"combiner": combiners[0]}
    return replace(loaded, configuration=Configuration.model_validate(plain)), sources


def _combines(plugins: Iterable[Under], name: str) -> bool:
    kinds = [under[0] if isinstance(under, tuple) else under for under in plugins]
    return any(kind.name == name and hasattr(kind, "combine") for kind in kinds)


class _Watched(Plugins):
    """The plugins of a run; what they answer is kept."""

    def __init__(self, found: tuple[LoadedPlugin, ...], combiner: str, run: HostRun) -> None:
        super().__init__(found, combiner)
        self._run = run

    def evaluate(self, view: View) -> Evaluated:
        evaluated = super().evaluate(view)
        self._run.evaluated.append((view, evaluated))
        return evaluated

    def struck(self) -> list[PluginStruck]:
        found = super().struck()
        self._run.strikes += found
        return found


def _found(loaded: Loaded, sources: Sources) -> tuple[LoadedPlugin, ...]:
    found = discover(loaded.configuration, loaded.base, "", sources=sources)
    for plugin in found:
        if plugin.state == "refused":
            raise AssertionError(f"the host refuses {plugin.name}: {plugin.problem}")
    return found


class _Simulated(Simulation):
    def __init__(
        self, seed: int, plan: Plan, loaded: Loaded, sources: Sources, run: HostRun
    ) -> None:
        super().__init__(seed, plan, loaded)
        self.alarms = None  # strikes and warnings are the caller's to judge, not a finding of the run
        self._given, self._watched_run = sources, run

    def _plugins(self) -> Plugins:
        combiner = self.settings.evaluation.combiner
        return _Watched(_found(self._loaded, self._given), combiner, self._watched_run)


def _simulated(
    run: HostRun, loaded: Loaded, sources: Sources, seed: int, minutes: float
) -> None:
    _found(loaded, sources)  # what the host would refuse is told as it tells it, and not as a finding of the run
    plan = Plan(hours=minutes / 60, density=QUIET_DENSITY, rough=False)
    simulation = _Simulated(seed, plan, loaded, sources, run)
    outcome = simulation.run()
    run.records = [record for _, record in simulation.journal.read()]
    if outcome.broken:
        run.broken = f"{outcome.broken}: {outcome.text}"


def _backtested(run: HostRun, loaded: Loaded, sources: Sources, tape: Path) -> None:
    plugins = _Watched(_found(loaded, sources), loaded.configuration.evaluation.combiner, run)
    plugins.begin()
    try:
        backtest = Backtest(loaded.configuration, plugins, loaded.config_hash)
        run.summary = backtest.run([Tape(tape)])
    finally:
        plugins.stop()
    run.records = [record for _, record in backtest.journal.read()]
    run.broken = ", ".join(run.summary["invariants"]["broken_names"])


class SimExchange:
    """The simulated venue by itself, in virtual time: windows, a population that trades in them, and one account."""

    def __init__(self, seed: int = 1, minutes: int = 5, symbol: str = "BTC", cash: str = "1000") -> None:
        self.now = 1_800_000_000_000
        """Market ms."""
        settings = WorldSettings((symbol,), (minutes * 60,), 1, density=QUIET_DENSITY, plain_market=False,
                                 rules=ExchangeRules(snapshots=False))
        self.world = World(settings, seed, MarketMs(self.now))
        self.exchange = self.world.exchange
        self.exchange.open_account(OURS, micros(cash))
        self._gateway = InProcessGateway(self.exchange, OURS, THE_KEY, seed)
        self._orders = 0
        self.advance(1.0)

    def advance(self, seconds: float) -> SimExchange:
        """Let so much market time pass."""
        self.now += round(seconds * 1_000)
        self.world.advance(MarketMs(self.now))
        return self

    @property
    def window(self) -> Market:
        """The window that is open now."""
        return next(
            market for market in self.exchange.markets()
            if market.start is not None and market.start <= self.now < market.end
        )

    def quote(self, side: Side = Side.UP) -> str:
        """Best bid and ask of the open window's side, ``"0.40/0.41"``; an empty side is left out."""
        book = self.exchange.book(self.window.condition_id)
        bid, ask = max(book.bids, default=0), min(book.asks, default=10_000)
        if side is Side.DOWN:
            bid, ask = 10_000 - ask, 10_000 - bid
        return f"{price_text(bid) if bid else ''}/{price_text(ask) if ask < 10_000 else ''}"

    def spot(self) -> float:
        """The symbol's spot price."""
        return self.world.spot(self.window.symbol) / 1e8

    def order(
        self, side: Side, action: Action, price: str, shares: str, order_type: OrderType = OrderType.GTC
    ) -> PostAnswered | None:
        """Place an order of the account in the open window and let the venue's delay pass; its answer."""
        self._orders += 1
        market = self.window
        draft = OrderDraft(
            f"t{self._orders}", market.token(side), action, order_type, ticks(price), micros(shares), market.tick,
            market.neg_risk,
        )
        heard: list[Event] = []
        for prepared in self._gateway.execute(Prepare(draft), MarketMs(self.now)):
            if isinstance(prepared, Prepared):
                heard += self._gateway.execute(Post(prepared.request), MarketMs(self.now))
        self.now += self.world.settings.rules.taker_delay_ms
        heard += self._gateway.events_of(self.world.advance(MarketMs(self.now)))
        return next((event for event in heard if isinstance(event, PostAnswered)), None)

    def shares(self, side: Side) -> int:
        """What the account holds of the open window's side, settled or not, micro-shares."""
        return self.exchange.shares(OURS, self.window.token(side))

    @property
    def cash(self) -> int:
        """The account's collateral, micro-units."""
        return self.exchange.collateral(OURS)
