"""The stage of the acceptance scenarios: the whole host on the simulated exchange, in virtual time, on a quiet market.

It is a ``Simulation`` without weather: kernel, journal in memory, plugins and the venue's own engine are the real ones,
every invariant is judged after every turn, and nobody but the house trades. A test says what the house quotes, which
pathology strikes when, and reads orders, fills and notices in domain words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from loguru import logger

from polyhost.configuration import SHIPPED_PLUGINS, load_configuration
from polyhost.exchange import api, refusals
from polyhost.exchange.pathologies import BY_NAME
from polyhost.exchange.pathologies.chance import Episode
from polyhost.exchange.pathologies.faults import refused
from polyhost.exchange.population import MAKERS
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import OrderEntry, PositionEntry, State, fold
from polyhost.lab.sim_finding import Broken
from polyhost.lab.sim_run import BEGIN, Host, Plan, Simulation
from polyhost.model.batching import single
from polyhost.model.commands import Ask, Command, Post, PostMany
from polyhost.model.events import Event, LoopChanged, Operator
from polyhost.model.market import Market
from polyhost.model.money import micros, ticks
from polyhost.model.records import CloseRecorded, FillBooked, NoticeRaised, Record
from polyhost.model.step import Step
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Purpose, Side

BEFORE_MS: Final = 20_000
"""A scenario begins so long before its window opens."""
BREATH_MS: Final = 2_000
"""The house changes something far from the market so often: a book that nobody touches goes stale."""
PLAYBOOK: Final = Path(__file__).parent / "plugins" / "playbook.py"


class Stage(Simulation):
    """One scenario. Seconds are those of the first whole window (below 0: before it opens)."""

    def __init__(
        self, folder: Path, plays: tuple[str, ...] = (), *, cash: str = "1000", plugins: str = "",
        settings: str = "", symbols: tuple[str, ...] = ("BTC",), pathologies: Mapping[str, float] | None = None,
        seed: int = 1, guard: bool = True, density: float = 0.0,
    ) -> None:
        """``plugins``: further TOML tables; ``guard``: the shipped expiry_guard is there. Of the other shipped plugins
        none runs: what happens is what the plays want."""
        file = folder / "polyhost.toml"
        lines = [f"plugin_paths = [{str(PLAYBOOK)!r}]", settings, "[markets]"]
        lines += [f"symbols = {list(symbols)!r}", 'durations = ["15m"]', "[plugins.playbook]", "trusted = true"]
        lines += [f"plays = {list(plays)!r}"]
        for name in SHIPPED_PLUGINS:
            if name not in ("additive", "expiry_guard" if guard else ""):
                lines += [f"[plugins.{name}]", "enabled = false"]
        file.write_text("\n".join([*lines, plugins, "[exchange]", f'cash = "{cash}"']) + "\n")
        self.opens = MarketMs(BEGIN + 900_000)
        self.records: list[Record] = []
        """Everything the host ever recorded, what a crash lost included."""
        self.commands: list[tuple[int, Command]] = []
        """Everything that reached the venue, and when (market ms)."""
        self.told: list[Event] = []
        """Everything the host heard."""
        self.deaf = False
        """Plugins give no answer."""
        self._house: dict[str, list[str]] = {}
        self._known: dict[str, Market] = {}
        self._after_post: Callable[[], object] | None = None
        self._after_fill: Callable[[], object] | None = None
        self._refusals: list[Callable[[api.Request], api.Output | None]] = []
        super().__init__(seed, Plan(pathologies=dict(pathologies or {}), density=density, rough=False),
                         load_configuration(file, env={}))
        self._before_wire = self.gateway.faults.before
        self.gateway.faults.before = self._before  # type: ignore[method-assign]
        self._start()
        self._lag()
        self._later(BREATH_MS, self._breathe)
        self._later(5_000, self._look)
        self.to(-10)

    def _first_moment(self) -> int:
        return self.opens - BEFORE_MS

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def second(self) -> float:
        """Of the window."""
        return (self.now - self.opens) / 1_000

    def to(self, second: float) -> None:
        """Let time pass until this second of the window."""
        self._guarded(lambda: self._until(self.opens + round(second * 1_000)))

    def wait(self, seconds: float) -> None:
        self.to(self.second + seconds)

    def until(self, what: Callable[[], object], within: float, step: float = 0.25) -> float:
        """Let time pass until it holds; the second at which it did. Fails when it does not within so many seconds."""
        latest = self.second + within
        while not what():
            assert self.second < latest, f"not within {within} s"
            self.wait(step)
        return self.second

    # --- the market ---------------------------------------------------------------------------------------------------

    @property
    def market(self) -> Market:
        return self.market_of("BTC")

    def market_of(self, symbol: str, second: float = 1) -> Market:
        """The window of that symbol in which this second lies."""
        at = self.opens + round(second * 1_000)
        if self._host is not None:
            self._known.update((entry.market.condition_id, entry.market) for entry in self.state.markets.values())
        found = self._known.values()
        return next(m for m in found if m.symbol == symbol and m.start is not None and m.start <= at < m.end)

    def quote(
        self, up: str, size: str = "1000", *, ask_size: str = "", symbol: str = "BTC", second: float = 1
    ) -> None:
        """The house quotes UP at "bid/ask" ("0.40/": nobody offers), with so much on each side, and nothing else."""
        market = self.market_of(symbol, second)
        outputs = []
        for order_id in self._house.pop(market.condition_id, []):
            outputs += self.exchange.cancel_house(order_id, MarketMs(self.now))
        kept = self._house[market.condition_id] = []
        bid, _, ask = up.partition("/")
        for action, price, amount in ((Action.BUY, bid, size), (Action.SELL, ask, ask_size or size)):
            if price:
                order_id, said = self._put(market, action, price, amount)
                kept.append(order_id)
                outputs += said
        self._outputs(outputs)

    def house(self, action: Action, price: str, size: str, order_type: OrderType = OrderType.GTC) -> None:
        """One more order of the house for UP; a FAK takes what rests."""
        order_id, outputs = self._put(self.market, action, price, size, order_type)
        if order_type.rests:
            self._house.setdefault(self.market.condition_id, []).append(order_id)
        self._outputs(outputs)

    def _put(
        self, market: Market, action: Action, price: str, size: str, order_type: OrderType = OrderType.GTC
    ) -> tuple[str, list[api.Output]]:
        return self.exchange.place_house(
            MAKERS, market.up, action, ticks(price), micros(size), order_type, MarketMs(self.now)
        )

    def _breathe(self) -> None:
        """Something changes in every book, at prices where nobody trades."""
        for condition_id, orders in list(self._house.items()):
            market = self.exchange.market(condition_id)
            if market is not None and orders and self.now < market.end:
                order_id, outputs = self._put(market, Action.BUY, "0.01", "7")
                self._outputs(outputs + self.exchange.cancel_house(order_id, MarketMs(self.now)))
        self._later(BREATH_MS, self._breathe)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    @contextmanager
    def striking(self, *names: str) -> Iterator[None]:
        """These pathologies strike every time while it lasts, and each of them really did."""
        before = {name: self.pathologies.happened.get(name, 0) for name in names}
        self.pathologies.probabilities.update(dict.fromkeys(names, 1.0))
        yield
        for name in names:
            del self.pathologies.probabilities[name]
            assert self.pathologies.happened.get(name, 0) > before[name], f"{name} did not happen"

    def episode(self, name: str, seconds: float) -> None:
        self.pathologies.probabilities.setdefault(name, 1e-12)
        """One that lasts goes on from now, for so long, whatever the period it lies in."""
        end, period = self.now + round(seconds * 1_000), BY_NAME[name].period_ms
        for number in range(self.now // period, end // period + 1):
            self.pathologies._episodes[name, number] = Episode(self.now, end)
        self.pathologies.note(name)

    def refuse(self, when: Callable[[api.Request], bool], text: str, *, http: int = 400, times: int = 10**9) -> None:
        """The venue refuses such requests, so many times, with these words."""
        left = times

        def refusal(request: api.Request) -> api.Output | None:
            nonlocal left
            if left <= 0 or not when(request):
                return None
            left -= 1
            return refused(request, refusals.Refusal(http, text), 0)

        self._refusals.append(refusal)

    def accept_again(self) -> None:
        """What was refused is taken again."""
        self._refusals.clear()

    def _before(self, request: api.Request) -> tuple[api.Request, api.Output | None]:
        for refusal in self._refusals:
            output = refusal(request)
            if output is not None:
                return request, output
        return self._before_wire(request)

    def lose(self, stream: str, seconds: float) -> None:
        """A stream breaks for so long; what is said meanwhile is never told on it."""
        assert self._host is not None
        self._disconnect(self._host, stream, "lost")
        self._later(round(seconds * 1_000), self._connect, self._host, stream)

    def after_next_post(self, what: Callable[[], object]) -> None:
        """Once, as soon as an order has reached the venue."""
        self._after_post = what

    def after_next_fill(self, what: Callable[[], object]) -> None:
        """Once, as soon as the host has booked a fill."""
        self._after_fill = what

    def lock_journal(self, seconds: float) -> None:
        """Another program holds the database: nothing becomes durable for so long."""
        self.episode("db_locked", seconds)

    def crash(self, down: float = 2.0) -> None:
        """kill -9, and the supervisor starts the host again after so many seconds."""
        self._kill("by the test")
        self._agenda[:] = [each for each in self._agenda if each[2] != self._again]
        self._agenda.sort()
        self._later(round(down * 1_000), self._again)

    def serve_deadlines(self, on: bool) -> None:
        """The loop that serves the kernel's deadlines runs, or stands still."""
        assert self._host is not None
        kernel = self._host.kernel
        real = kernel.real if isinstance(kernel, Standing) else kernel
        self._host.kernel = real if on else Standing(real)  # type: ignore[assignment]

    def loop(self, name: str, alive: bool, reason: str = "it stands still") -> None:
        """The supervisor says so of one of the host's own loops."""
        self._event(LoopChanged(name, alive, True, reason))

    def say(self, word: str, target: str = "", *, flatten: bool = False) -> None:
        """The operator's word."""
        self._event(Operator(word, target, "operator", flatten))

    # --- what happened ------------------------------------------------------------------------------------------------

    @property
    def kernel(self) -> Kernel:
        assert self._host is not None, "the host is down"
        return self._host.kernel

    @property
    def state(self) -> State:
        return self.kernel.state

    def position(self, side: Side = Side.UP, symbol: str = "BTC") -> PositionEntry | None:
        return self.state.position(self.market_of(symbol).condition_id, side)

    def held(self, side: Side = Side.UP, symbol: str = "BTC") -> int:
        """Micro-shares the host says it has."""
        position = self.position(side, symbol)
        return 0 if position is None else position.size

    def at_venue(self, side: Side = Side.UP, symbol: str = "BTC") -> int:
        """Micro-shares the venue says we have."""
        return self.exchange.shares(self._address, self.market_of(symbol).token(side))

    @property
    def _address(self) -> str:
        return self.gateway.address

    def orders(
        self, action: Action | None = None, *, side: Side | None = None, purpose: Purpose | None = None,
        symbol: str = "",
    ) -> list[OrderEntry]:
        """Orders ever wanted, oldest first."""
        return [
            order for order in self.state.orders.values()
            if action in (None, order.draft.action) and side in (None, order.slot.side)
            and purpose in (None, order.slot.purpose)
            and (not symbol or self.state.markets[order.slot.condition_id].market.symbol == symbol)
        ]

    def sells(self) -> list[OrderEntry]:
        return self.orders(Action.SELL)

    def buys(self) -> list[OrderEntry]:
        return self.orders(Action.BUY)

    def fills(self, action: Action, side: Side | None = None) -> list[FillBooked]:
        """Of those that stand, oldest first."""
        return [
            entry.fill for entry in fold(self.records, whole=True).fills.values()
            if entry.fill.action is action and entry.status.value != "FAILED" and side in (None, entry.fill.slot.side)
        ]

    def closes(self) -> list[CloseRecorded]:
        return list(self.state.closes)

    def notices(self, *levels: str) -> list[NoticeRaised]:
        return [r for r in self.records if isinstance(r, NoticeRaised) and r.level in (levels or (r.level,))]

    def of(self, kind: type[Any]) -> list[Any]:
        """Records of a kind."""
        return [record for record in self.records if isinstance(record, kind)]

    def sent(self, kind: type[Any]) -> list[Any]:
        """Commands of a kind that reached the venue."""
        return [command for _, command in self.commands if isinstance(command, kind)]

    def sent_of(self, token_id: str) -> list[Post]:
        """Posts of a token that reached the venue."""
        return [post for post in self.sent(Post) if post.request.fields.token_id == token_id]

    # --- the end ------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything calms down, the window ends and is decided; host and venue must then say the same of all."""
        self.pathologies.probabilities.clear()
        self._refusals.clear()
        self.deaf = False
        if self._host is None:
            self._start()
        self.serve_deadlines(True)
        self._streams_up()
        end = max(self._last_end(), self.now)
        latest = end + 700_000
        self._guarded(lambda: self._until(end + 60_000))
        while self.now < latest and self._unsettled():
            self.wait(5)
        self._guarded(lambda: self._until(self.now + 75_000))
        self._guarded(lambda: self._agree(last=True))

    def agree(self) -> None:
        """Host and venue say the same, now."""
        self._guarded(lambda: self._agree(last=False))

    def _guarded(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Broken as broken:
            lines = [line for line in self.trace.lines(self.began, broken.needles) if "Evaluated" not in line]
            raise AssertionError("\n".join([str(broken), *lines])) from broken

    # --- listening ----------------------------------------------------------------------------------------------------

    def _keep(self, host: Host, step: Step) -> None:
        self.records += step.records
        super()._keep(host, step)
        if self._after_fill is not None and any(isinstance(record, FillBooked) for record in step.records):
            what, self._after_fill = self._after_fill, None
            what()

    def _do(self, host: Host, command: Command, now: int) -> None:
        if self.deaf and isinstance(command, Ask):
            return
        super()._do(host, command, now)

    def _execute(self, command: Command, *others: Any) -> None:
        self.commands += [(self.now, each) for each in single(command)]
        super()._execute(command, *others)
        if self._after_post is not None and isinstance(command, Post | PostMany):
            what, self._after_post = self._after_post, None
            self._later(0, what)

    def _handle(self, host: Host, event: Event) -> None:
        self.told.append(event)
        super()._handle(host, event)


class Standing:
    """A kernel whose deadlines nobody serves."""

    next_due = next_market_due = next_wall_due = 1 << 62

    def __init__(self, kernel: Kernel) -> None:
        self.real = kernel

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def is_sell(request: api.Request) -> bool:
    return isinstance(request, api.PostOrder) and request.order.action is Action.SELL


def is_balance(request: api.Request) -> bool:
    """A question for the collateral."""
    return isinstance(request, api.GetBalance) and not request.token_id


@contextmanager
def logged_errors() -> Iterator[list[str]]:
    """Every line of level ERROR or above that host, exchange or plugins log meanwhile."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="ERROR")
    yield lines
    logger.remove(sink)
