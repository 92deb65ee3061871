"""Seeded reference prices: Chainlink at 1 Hz, its 60 s TWAP, Binance several times a second, one-minute candles.

Each symbol is one mean-zero random walk of the log price with memory as measured on recordings (docs/seam.md): a part
of each second's move persists for seconds, trends of tens of seconds to minutes come and go, volatility wanders, and
some seconds jump. Chainlink follows the walk one second late, as at the venue; Binance carries a slow basis and noise.
Prices are integers in 1e-8; the walk itself is floats, drawn from the seed alone. It knows nothing of markets.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import Any, Final, NamedTuple

from msgspec import structs

from polyhost.exchange.api import CandleTick, PriceTick
from polyhost.exchange.seeds import rng_data, rng_from, stream
from polyhost.model.market import PRICE_E8

SECOND: Final = 1_000
MINUTE: Final = 60_000
TWAP_TICKS: Final = 60
"""A TWAP-60 is the mean of the Chainlink values of this many seconds, its own included."""
CHAINLINK_LATE_MS: Final = 1_650
"""A Chainlink value reaches the stream this long after its second (median of two recordings: 1.63 and 1.74 s)."""
TWAP_LATE_MS: Final = 1_800
"""The same for the TWAP (median of one recording: 1.81 s)."""
TICKS_KEPT: Final = 900
"""Seconds of each feed that stay at hand."""
CANDLES_KEPT: Final = 1_000
"""Candles that stay at hand at least: the most a klines request can ask for."""
BINANCE_TICKS: Final = (3, 5)
"""Binance ticks a second, least and most."""


class SymbolModel(NamedTuple):
    """What makes one symbol. ``sd_bps``: deviation of a one-second move, in 1e-4 of the price."""

    start: float
    sd_bps: float
    step: int
    """Binance's price step in 1e-8."""
    volume: float
    """Base units traded in a quiet second."""


MODELS: Final[dict[str, SymbolModel]] = {
    # BTC's volatility lies between two recordings (0.31 and 0.78 bps a second); no recording has the others, which are
    # set in proportion to what these coins usually move.
    "BTC": SymbolModel(70_000.0, 0.40, 1_000_000, 0.15),
    "ETH": SymbolModel(2_400.0, 0.55, 1_000_000, 3.0),
    "SOL": SymbolModel(150.0, 0.65, 1_000_000, 40.0),
    "XRP": SymbolModel(1.5, 0.65, 10_000, 6_000.0),
}

# The walk's memory, fitted to how the deviation of moves grows over 1, 5, 15, 60 and 300 s on a recording.
SHORT_PART: Final = 0.30
"""Part of a second's variance that persists …"""
SHORT_KEEP: Final = math.exp(-1 / 4)
"""… with a memory of about 4 s."""
TREND_PART: Final = 0.17
"""A trend's drift a second, in deviations of a one-second move."""
TREND_CHANCE: Final = 0.4
TREND_MEAN_S: Final = 60.0
TREND_MIN_S: Final = 10
STILL_CHANCE: Final = 0.42
STILL_SCALE: Final = 0.05
"""Much of the time next to nothing happens (recorded moves in deviations: 0.03, 0.21, 0.67, 1.4, 4.1 at 25, 50, 75, 90,
99 %) …"""
JUMP_CHANCE: Final = 0.06
JUMP_SCALE: Final = 2.9
"""… and now and then much at once."""
PLAIN_SCALE: Final = math.sqrt(
    (1 - STILL_CHANCE * STILL_SCALE**2 - JUMP_CHANCE * JUMP_SCALE**2) / (1 - STILL_CHANCE - JUMP_CHANCE)
)
"""All others, so that the mean square is 1."""
MEAN_SCALE: Final = (
    STILL_CHANCE * STILL_SCALE + JUMP_CHANCE * JUMP_SCALE + (1 - STILL_CHANCE - JUMP_CHANCE) * PLAIN_SCALE
)
VOLATILITY_SPREAD: Final = 0.37
"""Deviation of the log volatility (five-minute blocks of a recording: 0.17, 0.28, 0.43 bps at 10, 50, 90 %)."""
VOLATILITY_MEMORY_S: Final = 900.0
HOME_MEMORY_S: Final = 172_800.0
"""The walk is pulled home this slowly, so that a long run keeps prices plausible."""
BASIS_BPS: Final = 5.0
BASIS_SPREAD_BPS: Final = 0.5
BASIS_MEMORY_S: Final = 600.0
NOISE_PART: Final = 0.40
"""Noise of a Binance tick in deviations of a one-second move."""
STICKY_PART: Final = 0.55
"""A Binance price stands still while it would move less than this (a quarter of the seconds on a recording do)."""
MARKS_KEPT_S: Final = 21_600
"""Prices at whole minutes stay this long at least: a 4 h window and more."""
FINE_HISTORY_S: Final = 7_200
"""History before the world's begin that is drawn second by second; what lies further back, minute by minute."""
COARSE_VARIANCE: Final = 1.8
"""Variance that moves gather a second over a minute, in that of a one-second move (it persists, and trends add)."""
REALISED_STEP_S: Final = 15
REALISED_KEEP: Final = math.exp(-REALISED_STEP_S / 300.0)

_WHITE: Final = math.sqrt(1 - SHORT_PART)
_SHORT: Final = math.sqrt(SHORT_PART)
_SHORT_NEW: Final = math.sqrt(1 - SHORT_KEEP**2)
_VOLATILITY_NEW: Final = VOLATILITY_SPREAD * math.sqrt(2 / VOLATILITY_MEMORY_S)
_BASIS_NEW: Final = BASIS_SPREAD_BPS * math.sqrt(2 / BASIS_MEMORY_S)


class Mark(NamedTuple):
    """The prices of one whole minute, by which windows settle."""

    twap: int
    chainlink: int
    binance: int
    """The last one before the minute: the open of the candle that begins, the close of the one that ends."""


class SymbolPrices:
    """One symbol's prices. ``second`` is the market second begun last; its Chainlink value and TWAP are known."""

    def __init__(self, symbol: str, seed: int, now: int, history_s: int) -> None:
        """Prices up to ``now`` with ``history_s`` seconds of history. Raises KeyError for an unknown symbol."""
        self.symbol = symbol
        self.model = MODELS[symbol]
        self.rng = stream(seed, "prices", symbol)
        self._forget_figures()
        self.home = math.log(self.model.start) + self.rng.gauss(0.0, 0.02)
        self.behind = self.walk = self.ahead = self.home
        """The walk one second before, at, and one second after the second begun."""
        self.seen = self.home
        """The walk as of the last Binance tick: what a well-connected trader knows."""
        self.short = 0.0
        self.log_volatility = self.rng.gauss(0.0, VOLATILITY_SPREAD)
        self.trend = 0
        self.kept_s = max(MARKS_KEPT_S, history_s + 3_600)
        """How long marks and candles stay at hand."""
        self.second = now // SECOND - min(history_s, FINE_HISTORY_S)
        self.trend_end = self.second
        self.basis = BASIS_BPS
        self.noise = 0.0
        self.realised = (self.model.sd_bps * 1e-4) ** 2 * 1.8
        """Variance a second of recent moves over 15 s: what a trader can measure."""
        self.realised_from = self.walk
        self.marks: dict[int, Mark] = {}
        """By unix second: strikes and finals are read here."""
        self.candles: deque[CandleTick] = deque(maxlen=self._candles_max())
        if history_s > FINE_HISTORY_S:
            self._past(now // SECOND - history_s)
        first = _e8(self.walk)
        self.chainlink: deque[int] = deque([first] * (TWAP_TICKS + 1), maxlen=TICKS_KEPT)
        self.twap: deque[int] = deque([first], maxlen=TICKS_KEPT)
        self.twap_sum = first * TWAP_TICKS
        self.binance: deque[tuple[int, int]] = deque(maxlen=TICKS_KEPT)
        self.last = self.candles[-1].close if self.candles else _e8(self.walk)
        """The Binance price drawn last …"""
        self.last_price = self.last
        """… and the one published last."""
        self.candle = self._new_candle(self.second * SECOND - self.second * SECOND % MINUTE)
        self.pending: list[tuple[int, PriceTick | CandleTick]] = []
        """What is still to be published of the second begun, latest first."""
        self.next_due = 0
        while self.second < now // SECOND - 1:
            self._begin_second(ticks=1)
            self.advance((self.second + 1) * SECOND - 1)
        self._begin_second()
        self.advance(now)

    def _forget_figures(self) -> None:
        """Figures worked out once a second, and what they are of; no part of the state."""
        self._sd = 0.0
        self._sd_of = math.nan
        self._summed_at = -1
        self._sums: dict[int, int] = {}
        self.changes = 0
        """Rises with everything that a trader's view of the price depends on."""

    def _candles_max(self) -> int:
        return max(CANDLES_KEPT, self.kept_s // 60 + 2)

    def _past(self, since: int) -> None:
        """What lies further back than the fine history, from unix second ``since``, minute by minute."""
        gauss = self.rng.gauss
        price = _e8(self.walk + self.basis * 1e-4)
        last = self.second - self.second % 60
        for second in range(-(-since // 60) * 60, last, 60):
            self.log_volatility += _VOLATILITY_NEW * math.sqrt(60) * gauss(0.0, 1.0)
            self.log_volatility -= self.log_volatility * 60 / VOLATILITY_MEMORY_S
            self.basis += _BASIS_NEW * math.sqrt(60) * gauss(0.0, 1.0) - (self.basis - BASIS_BPS) * 60 / BASIS_MEMORY_S
            reference = _e8(self.walk)
            self.marks[second] = Mark(reference, reference, price)
            sd = self.sd_now() * math.sqrt(60 * COARSE_VARIANCE)
            self.walk += sd * gauss(0.0, 1.0) - (self.walk - self.home) * 60 / HOME_MEMORY_S
            opened, step = price, self.model.step
            price = (_e8(self.walk + self.basis * 1e-4) + step // 2) // step * step
            wick = int(abs(gauss(0.0, sd)) * price / 4) // step * step
            self.candles.append(CandleTick(
                self.symbol, second * SECOND, opened, max(opened, price) + wick, min(opened, price) - wick, price,
                int(self.model.volume * 60 * PRICE_E8), True,
            ))
        self.marks[last] = Mark(_e8(self.walk), _e8(self.walk), price)
        self.behind = self.ahead = self.seen = self.realised_from = self.walk

    # --- what others read ---------------------------------------------------------------------------------------------

    @property
    def volatility(self) -> float:
        """Deviation of the log price over one second, as measured from recent moves."""
        return math.sqrt(self.realised)

    def chainlink_sum(self, first_s: int) -> int:
        """Sum of the Chainlink values from second ``first_s`` to the second begun (the last 15 minutes are known)."""
        if self._summed_at != self.second:
            self._summed_at, self._sums = self.second, {}
        known = self._sums.get(first_s)
        if known is None:
            values = self.chainlink
            known = self._sums[first_s] = sum(islice(reversed(values), self.second - first_s + 1))
        return known

    def chainlink_sum_at(self, second: int) -> int:
        """Sum of the 60 Chainlink values up to ``second``, which is at most 14 minutes ago."""
        back = self.second - second
        values = self.chainlink
        size = len(values) - back
        return sum(values[index] for index in range(size - TWAP_TICKS, size))

    def mark(self, second: int) -> Mark:
        """The prices of a whole minute. Raises KeyError when they are not known (yet, or any more)."""
        return self.marks[second]

    def recent(self, feed: str, now: int, seconds: int) -> list[PriceTick]:
        """What a feed published in the last ``seconds``, oldest first. Raises KeyError for an unknown feed."""
        since = now - seconds * SECOND
        if feed == "binance":
            return [PriceTick(feed, self.symbol, price, at) for at, price in self.binance if at > since]
        late, values = {
            "chainlink": (CHAINLINK_LATE_MS, self.chainlink), "twap_60": (TWAP_LATE_MS, self.twap),
        }[feed]
        stamps = range((self.second - len(values) + 1) * SECOND, (self.second + 1) * SECOND, SECOND)
        pairs = zip(stamps, values, strict=True)
        return [PriceTick(feed, self.symbol, value, at) for at, value in pairs if since < at + late <= now]

    def expected(self) -> float:
        """Where a trader who sees the order flow expects the walk to settle, in 1e-8 of the quote currency."""
        drift = self.sd_now() * MEAN_SCALE * _SHORT * self.short * SHORT_KEEP / (1 - SHORT_KEEP)
        return math.exp(self.seen + drift) * PRICE_E8

    def sd_now(self) -> float:
        """Deviation of a one-second move of the log price in the present volatility."""
        if self._sd_of != self.log_volatility:
            self._sd_of = self.log_volatility
            self._sd = self.model.sd_bps * 1e-4 * math.exp(self.log_volatility - VOLATILITY_SPREAD**2)
        return self._sd

    # --- time ---------------------------------------------------------------------------------------------------------

    def advance(self, now: int) -> list[PriceTick | CandleTick]:
        """Everything published up to ``now``, in order of time."""
        out: list[PriceTick | CandleTick] = []
        while self.next_due <= now:
            if self.pending:
                tick = self.pending.pop()[1]
                if type(tick) is PriceTick and tick.feed == "binance":
                    self._trade(tick)
                out.append(tick)
            else:
                self._begin_second()
            self.next_due = self.pending[-1][0] if self.pending else (self.second + 1) * SECOND
        return out

    def _begin_second(self, ticks: int = 0) -> None:
        """The next whole second: its values become known, and what is published during it is drawn up."""
        self.changes += 1
        self._step()
        self._reference()
        start = self.second * SECOND
        plan: list[tuple[int, PriceTick | CandleTick]] = [(start, self._candle_at(start))]
        rng = self.rng
        for offset in sorted(rng.randrange(1, SECOND) for _ in range(ticks or rng.randint(*BINANCE_TICKS))):
            price = self._tick_price(offset)
            plan.append((start + offset, PriceTick("binance", self.symbol, price, start + offset)))
        before = start - SECOND
        plan.append((before + CHAINLINK_LATE_MS, PriceTick("chainlink", self.symbol, self.chainlink[-2], before)))
        plan.append((before + TWAP_LATE_MS, PriceTick("twap_60", self.symbol, self.twap[-2], before)))
        plan.sort(key=_time_of, reverse=True)
        self.pending = plan
        self.next_due = start

    # --- the walk -----------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Draw the move of the coming second."""
        gauss = self.rng.gauss
        self.log_volatility += _VOLATILITY_NEW * gauss(0.0, 1.0) - self.log_volatility / VOLATILITY_MEMORY_S
        self.short = SHORT_KEEP * self.short + _SHORT_NEW * gauss(0.0, 1.0)
        if self.second >= self.trend_end:
            self._new_trend()
        move = self._bustle() * (_WHITE * gauss(0.0, 1.0) + _SHORT * self.short + TREND_PART * self.trend)
        self.second += 1
        self.behind, self.walk = self.walk, self.ahead
        self.ahead += self.sd_now() * move - (self.ahead - self.home) / HOME_MEMORY_S
        self.basis += _BASIS_NEW * gauss(0.0, 1.0) - (self.basis - BASIS_BPS) / BASIS_MEMORY_S

    def _bustle(self) -> float:
        """How much happens in this second; its mean square is 1."""
        pick = self.rng.random()
        if pick < STILL_CHANCE:
            return STILL_SCALE
        return JUMP_SCALE if pick < STILL_CHANCE + JUMP_CHANCE else PLAIN_SCALE

    def _new_trend(self) -> None:
        self.trend_end = self.second + TREND_MIN_S + int(self.rng.expovariate(1 / TREND_MEAN_S))
        self.trend = self.rng.choice((-1, 1)) if self.rng.random() < TREND_CHANCE else 0

    def _reference(self) -> None:
        """Chainlink and TWAP of the second begun: Chainlink stands where the walk was a second ago."""
        price = _e8(self.behind)
        self.chainlink.append(price)
        self.twap_sum += price - self.chainlink[-1 - TWAP_TICKS]
        twap = self.twap_sum // TWAP_TICKS
        self.twap.append(twap)
        if self.second % 60 == 0:
            self.marks[self.second] = Mark(twap, price, self.last_price)
            self.marks.pop(self.second - self.kept_s, None)
        if self.second % REALISED_STEP_S == 0:
            move = self.walk - self.realised_from
            self.realised_from = self.walk
            self.realised = REALISED_KEEP * self.realised + (1 - REALISED_KEEP) * move * move / REALISED_STEP_S

    # --- Binance ------------------------------------------------------------------------------------------------------

    def _tick_price(self, offset_ms: int) -> int:
        """The price of a Binance tick this far into the second: it stands still for small changes."""
        sd = self.sd_now()
        self.noise = 0.5 * self.noise + NOISE_PART * sd * self.rng.gauss(0.0, 1.0)
        value = self.walk + (self.ahead - self.walk) * offset_ms / SECOND + self.basis * 1e-4 + self.noise
        price = _e8(value)
        if abs(price - self.last) > STICKY_PART * sd * price:
            step = self.model.step
            self.last = (price + step // 2) // step * step
        return self.last

    def _trade(self, tick: PriceTick) -> None:
        """A Binance tick is published: it enters the candle, and traders see the walk so far."""
        self.changes += 1
        offset = tick.stamp % SECOND
        self.seen = self.walk + (self.ahead - self.walk) * offset / SECOND
        self.last_price = tick.price
        self.binance.append((tick.stamp, tick.price))
        bustle = abs(self.ahead - self.walk) / (self.model.sd_bps * 1e-4)
        volume = self.model.volume / 4 * (0.5 + bustle) * math.exp(self.rng.gauss(0.0, 0.8))
        candle = self.candle
        self.candle = CandleTick(
            self.symbol, candle.start, candle.open, max(candle.high, tick.price), min(candle.low, tick.price),
            tick.price, candle.volume + int(volume * PRICE_E8), False,
        )

    def _candle_at(self, start: int) -> CandleTick:
        """The candle as it stands at the beginning of a second: closed when a minute is over."""
        minute = start - start % MINUTE
        if minute == self.candle.start:
            return self.candle
        closed = structs.replace(self.candle, closed=True)
        self.candles.append(closed)
        self.candle = self._new_candle(minute)
        return closed

    def _new_candle(self, start: int) -> CandleTick:
        price = self.last_price
        return CandleTick(self.symbol, start, price, price, price, price, 0, False)

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Everything, as JSON-able data."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        data["rng"] = rng_data(self.rng)
        data["chainlink"], data["twap"] = list(self.chainlink), list(self.twap)
        data["marks"] = [[second, *mark] for second, mark in self.marks.items()]
        data["binance"] = [list(item) for item in self.binance]
        data["candles"] = [list(structs.astuple(candle)) for candle in self.candles]
        data["candle"] = list(structs.astuple(self.candle))
        data["pending"] = [[at, type(tick).__name__, list(structs.astuple(tick))] for at, tick in self.pending]
        return data

    @classmethod
    def load(cls, data: dict[str, Any]) -> SymbolPrices:
        """The prices that ``save`` gave; they go on identically."""
        self = cls.__new__(cls)
        for name in _PLAIN:
            setattr(self, name, data[name])
        self.model = MODELS[self.symbol]
        self._forget_figures()
        self.rng = rng_from(data["rng"])
        self.chainlink = deque(data["chainlink"], maxlen=TICKS_KEPT)
        self.twap = deque(data["twap"], maxlen=TICKS_KEPT)
        self.marks = {second: Mark(*mark) for second, *mark in data["marks"]}
        self.binance = deque(((at, price) for at, price in data["binance"]), maxlen=TICKS_KEPT)
        self.candles = deque((CandleTick(*fields) for fields in data["candles"]), maxlen=self._candles_max())
        self.candle = CandleTick(*data["candle"])
        self.pending = [
            (at, PriceTick(*fields) if kind == "PriceTick" else CandleTick(*fields))
            for at, kind, fields in data["pending"]
        ]
        return self


_PLAIN: Final = (
    "symbol", "home", "behind", "walk", "ahead", "seen", "short", "log_volatility", "trend", "second", "trend_end",
    "basis", "noise", "realised", "realised_from", "twap_sum", "last", "last_price", "next_due", "kept_s",
)


def _e8(log_price: float) -> int:
    return round(math.exp(log_price) * PRICE_E8)


def _time_of(entry: tuple[int, PriceTick | CandleTick]) -> int:
    return entry[0]
