"""A bench for one plugin: it is fed books, spot prices and prints in virtual time, and its answers are read.

The plugin is built as the host builds it and its answers pass the host's own checks, so what the host would refuse
fails the test, with the plugin's own traceback where it raised. Histories (candles, midpoints, prints) grow from what
is fed, as they do in the host. There is no order and no fill: positions are given by ``hold``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Self, TypeAlias, cast

import msgspec
from msgspec import Struct

from polyhost.extension.answers import MANY, checked, listed
from polyhost.extension.telling import told
from polyhost.kernel.prints import Prints
from polyhost.kernel.volatile import MIDS_KEPT, Spot
from polyhost.model.market import PRICE_E8, Market
from polyhost.model.money import micros
from polyhost.model.proposals import (
    Abstain,
    Answer,
    Enter,
    Estimate,
    Keep,
    Notice,
    Remembered,
    Signal,
    Stake,
    StandingTarget,
    Veto,
)
from polyhost.model.reading import Reading
from polyhost.model.times import MarketMs
from polyhost.model.view import Funds, PositionView, Quote, View
from polyhost.model.words import Action, Side
from polyhost.plugin import Plugin
from polyhost.secret import Handed
from polyhost.testing import builders
from polyhost.testing.given import built_alone

SECOND: Final = 1_000
"""Market ms."""
MINUTE: Final = 60_000


class BookStep(Struct, frozen=True):
    """The UP book is this now."""

    up: Quote
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class SpotStep(Struct, frozen=True):
    """The symbol's spot price is this now."""

    price: float
    volume: float = 0.0


class TradeStep(Struct, frozen=True):
    """A taker traded."""

    bought_up: bool
    size: int


class WaitStep(Struct, frozen=True):
    """Time passes, and nothing else."""

    seconds: float


class ReadingStep(Struct, frozen=True):
    """An optional feed says something."""

    reading: Reading


Step: TypeAlias = BookStep | SpotStep | TradeStep | WaitStep | ReadingStep


def book(up: str = "", *, down: str = "", shares: int = 100, depth: int = 1, tick: int = 100) -> BookStep:
    """The book as UP's best bid and ask (``"0.40/0.41"``), or as DOWN's; ``depth`` levels of so many shares a side.

    ``tick``: the distance of the levels, in ticks of 1e-4. Raises ValueError unless exactly one side is given.
    """
    if bool(up) == bool(down):
        raise ValueError("say the book of UP or that of DOWN: book('0.40/0.41') or book(down='0.59/0.60')")
    best = builders.quote(up, shares) if up else builders.mirrored(builders.quote(down, shares))
    size = shares * builders.SHARE
    bids = tuple((best.bid - level * tick, size) for level in range(depth) if best.bid - level * tick > 0)
    asks = tuple((best.ask + level * tick, size) for level in range(depth) if best.ask + level * tick < 10_000)
    return BookStep(best, bids, asks)


def spot(price: float, volume: float = 0.0) -> SpotStep:
    """A spot price, and how much was traded at it (base volume of the minute's candle)."""
    return SpotStep(price, volume)


def trade(side: Side, shares: float, action: Action = Action.BUY) -> TradeStep:
    """A taker bought (or sold) so many shares of a side."""
    return TradeStep((side is Side.UP) is (action is Action.BUY), round(shares * builders.SHARE))


def wait(seconds: float) -> WaitStep:
    """So many seconds of market time pass; books and prices stay, and stay fresh."""
    return WaitStep(seconds)


def reading(name: str, value: float, source: str = "test") -> ReadingStep:
    """A value of an optional feed, as of now."""
    return ReadingStep(Reading(name, value, 0, source))


class Answered(Struct, frozen=True):
    """What the plugin answered to one view."""

    view: View
    signal: Signal | None = None
    abstained: str = ""
    """Why it has no opinion, as it said itself."""
    estimate: Estimate | None = None
    proposals: tuple[Answer, ...] = ()
    """Of ``entry``, ``exit`` and ``propose``, in this order."""

    def of(self, *kinds: type[Any]) -> list[Any]:
        """The proposals of these types."""
        return [answer for answer in self.proposals if isinstance(answer, kinds)]


class Scene:
    """A market that views are made of: ``run`` lets things happen to it, ``view`` is what a plugin would be shown."""

    def __init__(
        self, *, at_s: float = 450.0, minutes: int = 15, up: str = "0.50/0.51",
        holding: PositionView | tuple[PositionView, ...] = (), market: Market | None = None, cash: str = "1000",
        strike: float | None = None,
    ) -> None:
        self.market = market or builders.market(minutes)
        self.now = builders.OPENS + round(at_s * SECOND)
        """Market ms."""
        self.positions: tuple[PositionView, ...] = ()
        self.hold(*(holding if isinstance(holding, tuple) else (holding,)))
        self.changes: dict[str, Any] = {}
        """Fields of ``View`` that are what is said here, whatever was fed."""
        self._cash = micros(cash)
        self._strike = strike
        self._spot, self._prints = Spot(), Prints()
        self._spot_open: float | None = None
        self._mids: deque[tuple[int, int]] = deque(maxlen=MIDS_KEPT)
        self._readings: dict[tuple[str, str], Reading] = {}
        self._book = book(up)
        self._seq = 0

    @property
    def view(self) -> View:
        """What it would be shown now."""
        quoted, spot = self._book.up, self._spot
        known = spot.stamp >= 0
        plain = View(
            view_seq=self._seq, state_rev=1, book_epoch=1, now=self.now, market=self.market,
            up=quoted, down=builders.mirrored(quoted), bids=self._book.bids[:10], asks=self._book.asks[:10],
            book_age_ms=0, mids=tuple(self._mids),
            spot=spot.price / PRICE_E8 if known else None, spot_age_ms=self.now - spot.stamp if known else 0,
            spot_open=self._spot_open, candles=spot.candles() if known else (),
            strike=self._strike if self._strike is not None else self._spot_open, reference=None,
            positions=self.positions, orders=(),
            funds=Funds(self._cash, 0, sum(held.cost for held in self.positions), 0),
            basis=0.0 if known else None, feeds=tuple(self._readings.values()), flow=self._prints.shown(self.now),
        )
        return msgspec.structs.replace(plain, **self.changes)

    def hold(self, *positions: PositionView) -> Self:
        """From now on these are held, and nothing else."""
        self.positions = positions
        return self

    def see(self, **changes: Any) -> Self:
        """From now on these fields of ``View`` are what is said here (``spot=None``: the feed is gone)."""
        self.changes |= changes
        return self

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, *steps: Step) -> Self:
        """Let the steps happen, one after the other,."""
        for step in steps:
            match step:
                case BookStep():
                    self._book = step
                case SpotStep():
                    self._spot_tick(step.price, step.volume)
                case TradeStep():
                    self._prints.add(step.bought_up, step.size, self.now)
                case WaitStep():
                    self._pass(round(step.seconds * SECOND))
                case ReadingStep():
                    told = msgspec.structs.replace(step.reading, at=self.now)
                    self._readings[told.name, told.source] = told
        return self

    def _pass(self, milliseconds: int) -> None:
        until = self.now + milliseconds
        while (minute := self.now - self.now % MINUTE + MINUTE) <= until:
            self.now = minute - 1
            self._sample()
            self.now = minute
            self._spot_again()
        self.now = until
        self._spot_again()

    def _sample(self) -> None:
        if self._book.up.complete:
            self._mids.append((self.now, self._book.up.mid))

    def _spot_again(self) -> None:
        """The feed goes on saying the same price."""
        if self._spot.stamp >= 0:
            self._spot_tick(self._spot.price / PRICE_E8, 0.0)

    def _spot_tick(self, price: float, volume: float) -> None:
        start = self.market.start
        if self._spot_open is None and start is not None and self.now >= start:
            self._spot_open = self._spot.price / PRICE_E8 if self._spot.stamp >= 0 else price
        self._spot.tick(round(price * PRICE_E8), MarketMs(self.now))
        if volume:
            last = self._spot.candles()[-1]
            self._spot.candle(msgspec.structs.replace(last, volume=last.volume + volume), False)
            self._spot.told = False


class Bench(Scene):
    """One plugin and the market it is shown; ``feed`` is one evaluation, a second after the one before."""

    def __init__(
        self, plugin: type[Plugin], settings: Mapping[str, Any] | None = None, *, at_s: float = 450.0,
        minutes: int = 15, up: str = "0.50/0.51", holding: PositionView | tuple[PositionView, ...] = (),
        estimate: float | Estimate | None = None, market: Market | None = None, cash: str = "1000",
        strike: float | None = None, signals: Mapping[str, Signal] | None = None,
        handed: Mapping[str, Handed] | None = None, **more: Any,
    ) -> None:
        """``plugin`` with ``settings``, ``at_s`` seconds into a window of so many ``minutes``, quoted ``up``.

        ``estimate`` is the trading combiner's, for plugins that enter (a number: its p_up), ``cash`` free collateral;
        settings may also be given by name, and secrets be ``handed`` over by reference.
        Raises PluginError and ConfigError as the host would at its start.
        """
        super().__init__(
            at_s=at_s, minutes=minutes, up=up, holding=holding, market=market, cash=cash, strike=strike
        )
        self._kind, self._settings = plugin, {**(settings or {}), **more}
        self._handed = handed
        self._built = built_alone(plugin, self._settings, handed)
        self.estimate = builders.estimate(estimate) if isinstance(estimate, float | int) else estimate
        self.signals = dict(signals or {})
        """What ``combine`` is given, by plugin name."""
        self._asked = False

    @property
    def plugin(self) -> Plugin:
        return self._built.instance

    @property
    def state(self) -> Mapping[str, Any]:
        """The plugin's durable state."""
        return self._built.state

    def feed(self, *steps: Step, **changes: Any) -> Answered:
        """A second later than the last time the steps happen and the plugin is asked; ``changes`` as in ``see``.

        Raises whatever the plugin raises, and AnswerError for what the host would not take.
        """
        if self._asked:
            self._pass(SECOND)
        self.run(*steps)
        self.see(**changes)
        return self.ask()

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self) -> Answered:
        """Everything the plugin has to say to the view of now: signal, estimate, entry, exits and proposals."""
        self._seq += 1
        self._asked = True
        view = self.view
        signal = self._one("signal", view)
        estimate = self._one("combine", view, tuple(self.signals.items()))
        trading = estimate if isinstance(estimate, Estimate) else self.estimate
        proposals = [*self._many("entry", view, trading)] if trading is not None else []
        for held in view.positions:
            proposals += self._many("exit", view, held)
        known = () if trading is None else ((self._built.instance.name, trading),)
        proposals += self._many("propose", view, known)
        for answer in proposals:
            if isinstance(answer, Keep):
                self.remember(answer.values)
        missing = next((each.reason for each in (signal, estimate) if isinstance(each, Abstain)), "")
        return Answered(
            view, signal if isinstance(signal, Signal) else None, missing,
            estimate if isinstance(estimate, Estimate) else None, tuple(proposals),
        )

    def size(self, entry: Enter) -> Stake | None:
        """What it would spend on an entry."""
        return cast("Stake | None", self._one("size", self.view, entry, self.estimate))

    def review(self, entry: Enter) -> Veto | None:
        """Whether it refuses an entry."""
        return cast("Veto | None", self._one("review", self.view, entry, self.estimate))

    def adjust(self, target: StandingTarget) -> StandingTarget | None:
        """What it makes of a standing target (hook ``quote``)."""
        return cast("StandingTarget | None", self._one("quote", self.view, target))

    def tell(self, hook: str, **facts: Any) -> tuple[Notice, ...]:
        """Tell it what happened (an ``on_…`` hook, ``start`` or ``stop``): market and time are filled in.

        Returns its notices. Raises AssertionError with what it raised; then nothing of it was kept.
        """
        given = {"at": self.now, "market": self.market, "funds": self.view.funds, **facts}
        telling = told(self._built.hooks[hook], self._built.state, given)
        assert not telling.problem, f"{hook}: {telling.problem}"
        return telling.notices

    def remember(self, values: Mapping[str, Remembered]) -> None:
        """Its durable state changes from outside, as it does when a wish with ``remember`` becomes an order."""
        texts = {
            key: None if value is None else msgspec.json.encode(value).decode() for key, value in values.items()
        }
        self._built.state.apply(texts)

    def restart(self) -> Bench:
        """The host starts anew: the same settings and durable state, and nothing else is remembered."""
        texts = self._built.state.texts()
        self._built = built_alone(self._kind, self._settings, self._handed)
        self._built.state.load(texts)
        return self

    def _call(self, hook: str, *given: Any) -> Any:
        bound = self._built.hooks.get(hook)
        return None if bound is None else bound.positional()(*given)

    def _one(self, hook: str, *given: Any) -> Answer | None:
        answer = self._call(hook, *given)
        return None if answer is None else checked(hook, answer)

    def _many(self, hook: str, *given: Any) -> list[Answer]:
        assert hook in MANY, hook
        return [checked(hook, one) for one in listed(hook, self._call(hook, *given))]
