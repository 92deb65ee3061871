"""The simulated world: the exchange with its reference prices, its windows and the population that trades in them.

This is the only thing the wire server and the simulations drive. It has no clock: the caller says what time it is, and
every output belongs to a market ms that the caller knows (see ``advance``).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from loguru import logger
from msgspec import Struct, structs

from polyhost.exchange.api import CandleTick, MarketDecided, Output, PriceTick, Request
from polyhost.exchange.core import Exchange
from polyhost.exchange.population import MAKERS, TAKERS, Population
from polyhost.exchange.prices import MINUTE, SymbolPrices
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.settlement import RULES
from polyhost.exchange.windows import REWARD_MAX_SPREAD, REWARD_MIN_SIZE, Program, Windows
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.series import window_at
from polyhost.model.times import MarketMs

VERSION: Final = 2
"""Of the saved state."""
HISTORY_S: Final = 7_200
"""Price history that exists before the world begins."""
MIDS_MAX: Final = 1_500
"""Minutes of midpoints kept a market …"""
MINUTES_DROPPED: Final = 100
"""… and how many of the oldest go at once when there are more."""


class WorldSettings(Struct, frozen=True):
    """What the world is made of. Durations of market time."""

    symbols: tuple[str, ...] = ("BTC", "ETH")
    """Symbols with windows and reference prices: of BTC, ETH, SOL, XRP."""
    durations_s: tuple[int, ...] = (300, 900)
    """Window lengths: 300, 900, 3,600, 14,400 or 86,400."""
    windows_ahead: int = 2
    """Windows of each series that exist before they open, at least 1."""
    resolve_delay_ms: int = 8_000
    """From a window's end to its resolution."""
    density: float = 20.0
    """Population events a second of market time and symbol; 0: nobody trades but the clients."""
    plain_market: bool = True
    """Have one binary market without a window, too."""
    reward_rate_day: Micros = 0
    """Liquidity rewards of each window a day; 0: no program."""
    reward_min_size: Micros = REWARD_MIN_SIZE
    reward_max_spread: Ticks = REWARD_MAX_SPREAD
    rules: ExchangeRules = ExchangeRules()


class World:
    """Everything of the simulated venue behind the wire.

    The same settings, seed, start and requests give the same outputs, however ``advance`` is sliced.
    """

    def __init__(self, settings: WorldSettings, seed: int, now: MarketMs) -> None:
        """A world at ``now``: two hours of price history behind it, the running windows open, the next ones listed.

        Its first outputs (markets opened, first books) come with the first ``advance``. Raises KeyError for a symbol
        without a model, ValueError for durations without slugs.
        """
        _check(settings)
        history_s = max([HISTORY_S, *(_history_s(duration_s, now) for duration_s in settings.durations_s)])
        self.settings = settings
        self.seed = seed
        self.exchange = Exchange(structs.replace(settings.rules, reward_seed=seed), now)
        self.prices = {symbol: SymbolPrices(symbol, seed, now, history_s) for symbol in settings.symbols}
        self._assemble(settings.density, now)
        self.exchange.open_house(MAKERS)
        self.exchange.open_house(TAKERS)
        self._first = self.windows.begin(settings.durations_s, settings.plain_market, now)
        self._mids: dict[str, array[int]] = {}
        """UP midpoints by condition id, one after the other: unix second of the minute, ticks."""
        self._now = now
        self._next_minute = now - now % MINUTE + MINUTE
        self._due = int(now)

    def _assemble(self, density: float, now: int) -> None:
        settings = self.settings
        self.windows = Windows(
            self.exchange, self.prices, self.seed, settings.windows_ahead, settings.resolve_delay_ms,
            Program(settings.reward_rate_day, settings.reward_min_size, settings.reward_max_spread),
        )
        self.population = Population(self.exchange, self.prices, self.windows, self.seed, density, now)
        self._feeds = tuple(self.prices.values())
        self._agenda = self.exchange.agenda

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> int:
        """The next market ms at which something happens by itself."""
        mine, venues = self._due, self._agenda.next_due
        return mine if mine < venues else venues

    def advance(self, now: MarketMs) -> list[Output]:
        """Let everything due up to and including ``now`` happen, in time order, and give what came of it.

        Call it one instant at a time (``advance(next_due)``) to know each output's ms, or use ``instants``.
        """
        out: list[Output] = []
        agenda = self._agenda
        while True:
            at = self._due if self._due < agenda.next_due else agenda.next_due
            if at > now:
                return out
            self._instant(at, out)

    def instants(self, now: MarketMs) -> Iterator[tuple[MarketMs, list[Output]]]:
        """As ``advance``, one instant after the other with its ms; instants without outputs are left out."""
        while self.next_due <= now:
            at, out = self.next_due, []  # type: int, list[Output]
            self._instant(at, out)
            if out:
                yield MarketMs(at), out

    def _instant(self, at: int, out: list[Output]) -> None:
        """One market ms: prices, then the venue's own deadlines, then windows, then the population."""
        self._now = MarketMs(at)
        if self._first:
            out += self._first
            self._first = []
        for prices in self._feeds:
            if prices.next_due <= at:
                out += prices.advance(at)
        if self._agenda.next_due <= at:
            out += self.exchange.advance(self._now)
        if self.windows.next_due <= at:
            out += self.windows.advance(at)
        population = self.population
        if population.next_due <= at or population.seen_changes != self.windows.changes:
            population.advance(self._now, out)
        if self._next_minute <= at:
            self._note_mids(at)
        self._reckon()

    def _reckon(self) -> None:
        """Find the next instant of everything but the exchange, whose deadlines move with every request."""
        due, windows = self.population.next_due, self.windows.due
        if self._next_minute < due:
            due = self._next_minute
        if windows and windows[0][0] < due:
            due = windows[0][0]
        for prices in self._feeds:
            if prices.next_due < due:
                due = prices.next_due
        self._due = due

    def handle(self, request: Request, now: MarketMs) -> list[Output]:
        """What a client asked, at ``now``. What was due before comes first; the reply follows.

        A gateway in process may talk to ``exchange`` itself, after ``advance`` to the same ``now``.
        """
        out = self.advance(now)
        out += self.exchange.handle(request, now)
        return out

    def thin(self, density: float, now: int = 0) -> None:
        """Have another number of population events a second and symbol (fewer, to keep up with a high speed), from
        ``now`` on; the world's last instant may lie before it.

        The world then goes on differently from one that was not thinned: say so where results are shown.
        """
        logger.info("population thinned from {} to {} events a second and symbol", self.population.density, density)
        self.population.thin(density, max(now, self._now))
        self._reckon()

    # --- the catalogue ------------------------------------------------------------------------------------------------

    def market_by_slug(self, slug: str) -> Market | None:
        return self.windows.by_slug(slug)

    def market_by_condition(self, condition_id: str) -> Market | None:
        return self.windows.market(condition_id)

    def market_by_token(self, token_id: str) -> Market | None:
        """By the decimal token id of either outcome."""
        return self.exchange.market_of_token(token_id)

    def listing(self, closed: bool | None = None) -> list[Market]:
        """Markets in order of creation: not resolved yet (False), resolved (True), or all (None)."""
        found = (
            self.windows.market(condition_id)
            for condition_id, listed in self.windows.listed.items()
            if closed is None or (listed.decided_at is not None) == closed
        )
        return [market for market in found if market is not None]

    def resolution(self, condition_id: str) -> tuple[MarketDecided, MarketMs] | None:
        """The result (winner, strike, final) and when it was decided; None until then."""
        listed = self.windows.listed.get(condition_id)
        if listed is None or listed.decided is None or listed.decided_at is None:
            return None
        return listed.decided, MarketMs(listed.decided_at)

    # --- reference prices ---------------------------------------------------------------------------------------------

    def spot(self, symbol: str) -> int:
        """The latest Binance price in 1e-8. Raises KeyError for a symbol the world does not have."""
        return self.prices[symbol].last_price

    def recent_prices(self, feed: str, symbol: str, seconds: int = 120) -> list[PriceTick]:
        """The feed's ticks of the last ``seconds`` that were published, oldest first.

        Feeds: chainlink, twap_60, binance; at most 15 minutes, of Binance about four. Raises KeyError for others.
        """
        return self.prices[symbol].recent(feed, self._now, seconds)

    def klines(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> list[CandleTick]:
        """One-minute Binance candles by start time, oldest first, the last one unfinished.

        With ``start_ms`` the first ``limit`` from there, without it the last ``limit`` up to ``end_ms`` (inclusive).
        """
        prices = self.prices[symbol]
        candles = [
            candle
            for candle in (*prices.candles, prices.candle)
            if (start_ms is None or candle.start >= start_ms) and (end_ms is None or candle.start <= end_ms)
        ]
        return candles[-limit:] if start_ms is None else candles[:limit]

    def price_history(
        self, token_id: str, start_s: int, end_s: int, fidelity_min: int = 1
    ) -> list[tuple[int, Ticks]]:
        """Midpoints of a token: (unix seconds, ticks), one every ``fidelity_min`` minutes, oldest first."""
        market = self.market_by_token(token_id)
        if market is None:
            return []
        mids = _pairs(self._mids.get(market.condition_id, ()))
        is_up = token_id == market.up
        return [
            (second, mid if is_up else ONE - mid)
            for second, mid in mids
            if start_s <= second <= end_s and second // 60 % max(fidelity_min, 1) == 0
        ]

    def _note_mids(self, at: int) -> None:
        """A minute is over: keep the midpoint of every market that has one, and drop those of forgotten markets."""
        self._next_minute = at - at % MINUTE + MINUTE
        for condition_id, listed in self.windows.listed.items():
            if listed.market.end <= at:
                continue
            book = self.exchange.book(condition_id)
            if book.bids or book.asks:
                mids = self._mids.setdefault(condition_id, array("q"))
                mids.extend((at // 1_000, (book.best_bid + book.best_ask) // 2))
                if len(mids) > 2 * MIDS_MAX:
                    del mids[: 2 * MINUTES_DROPPED]
        for condition_id in [known for known in self._mids if known not in self.windows.listed]:
            del self._mids[condition_id]

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Everything needed to go on identically, as plain JSON-able data. Call it between instants."""
        assert not self._first, "a world is saved after its first advance"
        return {
            "version": VERSION,
            "settings": msgspec.to_builtins(self.settings),
            "seed": self.seed,
            "now": self._now,
            "next_minute": self._next_minute,
            "exchange": self.exchange.save(),
            "prices": {symbol: prices.save() for symbol, prices in self.prices.items()},
            "windows": self.windows.save(),
            "population": self.population.save(),
            "mids": {condition_id: [list(mid) for mid in _pairs(mids)] for condition_id, mids in self._mids.items()},
        }

    @classmethod
    def load(cls, settings: WorldSettings, data: dict[str, Any]) -> World:
        """The world that ``save`` gave. Raises ValueError when the data is not of this version or these settings."""
        if data.get("version") != VERSION:
            raise ValueError(f"state of version {data.get('version')!r}, this is version {VERSION}")
        saved = _but_builders(msgspec.convert(data["settings"], WorldSettings))
        if saved != _but_builders(settings):
            raise ValueError(f"state of another world: {_differences(saved, _but_builders(settings))}")
        self = cls.__new__(cls)
        self.settings, self.seed = settings, data["seed"]
        self.exchange = Exchange.load(data["exchange"])
        self.exchange.know(settings.rules.builders)
        self.prices = {symbol: SymbolPrices.load(raw) for symbol, raw in data["prices"].items()}
        self._now, self._next_minute, self._first = MarketMs(data["now"]), data["next_minute"], []
        self._assemble(0.0, self._now)
        self.windows.restore(data["windows"])
        self.population.restore(data["population"])
        self._mids = {
            condition_id: array("q", [number for mid in mids for number in mid])
            for condition_id, mids in data["mids"].items()
        }
        self._reckon()
        return self


def _pairs(mids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(unix second, midpoint), oldest first."""
    numbers = iter(mids)
    return zip(numbers, numbers, strict=True)


def _history_s(duration_s: int, now: int) -> int:
    """Seconds of history that a running window of this length needs for its strike."""
    start, end = window_at(duration_s, now)
    return (end - start) // 1_000 + 120


def _check(settings: WorldSettings) -> None:
    for duration_s in settings.durations_s:
        if duration_s not in RULES:
            raise ValueError(f"durations_s has {duration_s}; allowed: {', '.join(str(each) for each in RULES)}")
    if settings.windows_ahead < 1:
        raise ValueError(f"windows_ahead is {settings.windows_ahead}; allowed: 1 or more")
    if not 0 <= settings.density <= 1_000:
        raise ValueError(f"density is {settings.density}; allowed: 0 to 1000")
    if not settings.symbols:
        raise ValueError("symbols is empty; allowed: one or more of BTC, ETH, SOL, XRP")


def _but_builders(settings: WorldSettings) -> WorldSettings:
    """The settings without builder codes: the same world may get to know further ones."""
    return structs.replace(settings, rules=structs.replace(settings.rules, builders={}))


def _differences(saved: WorldSettings, given: WorldSettings) -> str:
    names = (name for name in WorldSettings.__struct_fields__ if getattr(saved, name) != getattr(given, name))
    return ", ".join(f"{name} was {getattr(saved, name)!r}, is {getattr(given, name)!r}" for name in names)
