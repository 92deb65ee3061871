"""The population: makers who quote around a fair value, and takers. Seeded; events come as Poisson processes.

Its figures are fitted to recordings (docs/seam.md), never to a strategy. It trades through the exchange's house orders
only, sees no client's order but as part of the book, and knows the reference prices as a well-connected trader does.
"""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from polyhost.exchange.api import Output
from polyhost.exchange.core import Exchange
from polyhost.exchange.fair_value import up_chance
from polyhost.exchange.prices import SymbolPrices
from polyhost.exchange.seeds import rng_data, rng_from, stream
from polyhost.exchange.windows import LAST_MINUTE_MS, Windows
from polyhost.model.book import Book
from polyhost.model.market import Market
from polyhost.model.money import LOT, MICRO, ONE, Micros, Ticks
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Action, OrderType

MAKERS: Final = "population-makers"
TAKERS: Final = "population-takers"
CENT: Final[Ticks] = 100

# Where the events go: the running window of a series, the next one, later ones, the market without a window.
RUNNING: Final = {300: 0.50, 900: 0.35}
RUNNING_OTHER: Final = 0.25
NEXT: Final = 0.06
LATER: Final = 0.02
PLAIN: Final = 0.04
RUSH: Final = 1.8
"""A running window gets this many times its events in its last minute (recordings: 1.3 to 2 times the books)."""
TAKER_SHARE: Final = 0.15
"""Part of the events that are takers: recordings show about 120 level changes and 9 to 22 prints a second."""

# How makers see the world.
LAG_MS: Final = 350.0
"""The makers' consensus follows the fair value with this time constant."""
MOOD_TICKS: Final = 130.0
MOOD_MEMORY_MS: Final = 20_000.0
"""The consensus is off by a slow error of this deviation (in ticks, at a price of 0.50)."""
OPINION_TICKS: Final = 35.0
"""Each maker's own error, at a price of 0.50."""
HALF_SPREAD: Final = 14.0
"""Half the distance a maker keeps between his quotes in quiet times, in ticks, at a price of 0.50 …"""
HALF_SPREAD_MOVE: Final = 0.18
"""… and of the deviation of a second's move of the fair value, which he adds."""
CONTENT_TICKS: Final = 0.90
"""A maker leaves the front alone while its midpoint is within this many of the market's ticks of his view …"""
CONTENT_SPREAD: Final = 2
"""… and its spread at most this many (half of the seconds on recordings pass without a move)."""
CLEAN_CHANCE: Final = 0.40
"""How often a maker's requote takes out what stands inside his quotes (always when it would cross them)."""
STALE_MAX: Final = 8
"""Levels a requote takes out at most."""
FILL_LEVELS: Final = 3
"""Missing levels behind the best that a requote fills."""
REFRESH_CENTS: Final = 9.0
"""Mean distance from the best price of the level that an event refreshes."""
ORDERS_A_LEVEL: Final = 3
THIN_FROM_MS: Final = 90_000
THIN_TO: Final = 0.40
"""Near the end sizes shrink to this part (recordings: near depth 1,170, 780, 550, 470 shares)."""

# Sizes in shares.
PENNY_SIZES: Final = {1: 14_000, 2: 4_000, 3: 3_000, 4: 1_600, 5: 1_300, 6: 950, 7: 900, 8: 1_000, 9: 850, 10: 550}
"""Median size of a level by its distance in cents from the end of the scale; nearer the middle ``MIDDLE_SIZE``."""
MIDDLE_SIZE: Final = 560
RANK_PARTS: Final = (0.42, 0.50, 0.62, 0.75)
"""The same by rank from the best price: the front is thinner."""
SURE_SIZE: Final = 9_000
"""Bids at 0.99 and above for the side that has as good as won."""
LEVEL_SPREAD: Final = 0.62
FRONT_SPREAD: Final = 0.85
EXTRA_SIZE: Final = 28.0
"""Median size of an order that joins a level (level changes of a recording: 5, 25, 200 shares at 10, 50, 90 %) …"""
EXTRA_DEEP: Final = 3.0
"""… and how much larger it is behind the front."""
EXTRA_SPREAD: Final = 1.25
TAKE_SIZE: Final = 6.7
TAKE_SPREAD: Final = 1.42
"""Prints of a recording: 1.4, 6.7, 39, 226 shares at 10, 50, 90, 99 %."""
WHOLE_PART: Final = 0.39
TAKE_MAX: Final = 2_000.0
INFORMED_PART: Final = 0.35
INFORMED_EDGE: Final = 60.0
"""An informed taker wants this many ticks beyond his fee."""
TAKE_SLIP: Final = 2 * CENT
BUY_PART: Final = 0.75


class Quoted(Struct):
    """One market as the makers see it; their orders by price in UP ticks."""

    condition_id: str
    symbol: str
    center: float
    mood: float
    at: int
    bids: dict[Ticks, list[str]]
    asks: dict[Ticks, list[str]]
    move: float = 0.0
    """Deviation of a second's move of the fair value, in ticks, smoothed."""
    before: float = 0.0


class Population:
    """Makers and takers of all markets; each symbol has its own stream of events."""

    def __init__(
        self, exchange: Exchange, prices: dict[str, SymbolPrices], windows: Windows, seed: int, density: float, now: int
    ) -> None:
        """``density``: events a second of market time and symbol, at most 1,000; 0: none."""
        self.exchange = exchange
        self.prices = prices
        self.windows = windows
        self.density = density
        self.quoted: dict[str, Quoted] = {}
        self.rngs = {symbol: stream(seed, "population", symbol) for symbol in prices}
        self.next_at: dict[str, float] = {}
        self.crowd: dict[str, list[tuple[float, str]]] = {}
        """By symbol: (cumulated share of the events, condition id)."""
        self.seen_changes = -1
        self._fairs: dict[str, tuple[int, int | None, float]] = {}
        """By condition id: the fair price in ticks, and the state of the prices and the strike it was worked out of."""
        self.plain_logit = 0.0
        self.next_due = NEVER
        self.events = 0
        for symbol in prices:
            self._schedule(symbol, float(now))
        self._reckon()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _schedule(self, symbol: str, after: float) -> None:
        if self.density > 0:
            # As Random.expovariate, which is a function of its own.
            self.next_at[symbol] = after - math.log(1.0 - self.rngs[symbol].random()) / (self.density / 1_000)

    def _reckon(self) -> None:
        self.next_due = math.ceil(min(self.next_at.values())) if self.next_at else NEVER

    def thin(self, density: float, now: int) -> None:
        """Have another number of events a second and symbol from now on; with 0 what is quoted stays as it is."""
        self.density = density
        self.seen_changes = -1
        self.next_at = {}
        for symbol in self.prices:
            self._schedule(symbol, float(now))
        self._reckon()

    def advance(self, now: MarketMs, out: list[Output]) -> None:
        """Everything that makers and takers do up to ``now``; what comes of it is added to ``out``."""
        if self.seen_changes != self.windows.changes:
            self._gather(now)
            out += self.exchange.said()
        while self.next_due <= now:
            symbol = min(self.next_at, key=self.next_at.__getitem__)
            at = self.next_at[symbol]
            self._schedule(symbol, at)
            self._reckon()
            self._event(symbol, MarketMs(math.ceil(at)))
            out += self.exchange.said()

    def _gather(self, now: MarketMs) -> None:
        """Markets came or went, or windows began: first books for new ones, and the events are shared out anew."""
        self.seen_changes = self.windows.changes
        shares: dict[str, list[tuple[float, str]]] = {symbol: [] for symbol in self.prices}
        alive: dict[str, Quoted] = {}
        for condition_id, listed in self.windows.listed.items():
            market = listed.market
            if market.end <= now:
                continue
            quoted = self.quoted.get(condition_id)
            if quoted is None:
                if self.density <= 0:
                    continue
                quoted = self._first_book(market, now)
            alive[condition_id] = quoted
            shares[quoted.symbol].append((_share(market, now), condition_id))
        self.quoted = alive
        self._fairs.clear()
        for symbol, parts in shares.items():
            total, sum_so_far = sum(share for share, _ in parts), 0.0
            self.crowd[symbol] = []
            for share, condition_id in parts:
                sum_so_far += share / total
                self.crowd[symbol].append((sum_so_far, condition_id))

    def _event(self, symbol: str, now: MarketMs) -> None:
        rng = self.rngs[symbol]
        self.events += 1
        pick = rng.random()
        condition_id = ""
        for edge, part in self.crowd[symbol]:
            if pick <= edge:
                condition_id = part
                break
        market = self.exchange.market(condition_id)
        if market is None or market.end <= now:
            return
        quoted = self.quoted[condition_id]
        fair = self._fair(market, now)
        book = self.exchange.book(condition_id)
        if rng.random() < TAKER_SHARE:
            self._take(market, book, fair, now)
        else:
            self._follow(quoted, fair, now)
            self._quote(quoted, market, book, fair, now)

    # --- value --------------------------------------------------------------------------------------------------------

    def _fair(self, market: Market, now: int) -> float:
        """The fair price of UP in ticks, as a well-connected trader sees it."""
        if market.start is None:
            return ONE / (1 + math.exp(-self.plain_logit))
        strike, prices = self.windows.strike(market.condition_id), self.prices[market.symbol]
        known = self._fairs.get(market.condition_id)
        if known is None or known[0] != prices.changes or known[1] != strike:
            chance = up_chance(prices, strike, market.start, market.end, market.rule)
            known = self._fairs[market.condition_id] = (prices.changes, strike, ONE * chance)
        return known[2]

    def _follow(self, quoted: Quoted, fair: float, now: int) -> None:
        """The makers' consensus moves towards the fair value, with its lag and its mood."""
        rng = self.rngs[quoted.symbol]
        gap = now - quoted.at
        if gap > 0:
            keep = math.exp(-gap / MOOD_MEMORY_MS)
            quoted.mood = keep * quoted.mood + math.sqrt(1 - keep * keep) * rng.gauss(0.0, MOOD_TICKS)
            near = 1 - math.exp(-gap / LAG_MS)
            speed = abs(fair - quoted.before) / math.sqrt(max(gap, 50) / 1_000)
            part = min(1.0, gap / 3_000)
            quoted.move += part * (min(speed, 2_000.0) - quoted.move)
            quoted.center += near * (fair - quoted.center)
            quoted.before, quoted.at = fair, now
        if not self.windows.listed[quoted.condition_id].market.symbol:
            self.plain_logit += rng.gauss(0.0, 0.004) - 0.0001 * self.plain_logit

    # --- makers -------------------------------------------------------------------------------------------------------

    def _first_book(self, market: Market, now: MarketMs) -> Quoted:
        """A new market: a level at every cent on both sides of the fair value."""
        symbol = market.symbol or next(iter(self.prices))
        fair = self._fair(market, now)
        quoted = Quoted(market.condition_id, symbol, fair, 0.0, now, {}, {}, 0.0, fair)
        bid = min(max(int(fair - 60) // CENT * CENT, CENT), ONE - 2 * CENT)
        for rank, price in enumerate(range(bid, 0, -CENT)):
            self._place(quoted, market, True, price, rank, now)
        for rank, price in enumerate(range(bid + CENT, ONE, CENT)):
            self._place(quoted, market, False, price, rank, now)
        return quoted

    def _quote(self, quoted: Quoted, market: Market, book: Book, fair: float, now: MarketMs) -> None:
        """One maker wakes up: he takes out what is stale, quotes both sides, and refreshes a level behind."""
        rng = self.rngs[quoted.symbol]
        center = quoted.center
        width = 2 * math.sqrt(max(center * (ONE - center), 0.0)) / ONE
        view = center + width * (quoted.mood + rng.gauss(0.0, OPINION_TICKS))
        tick = market.tick
        if self._content(book, view, tick):
            self._refresh(quoted, market, book, rng.random() < 0.5, now)
            return
        half = width * HALF_SPREAD + HALF_SPREAD_MOVE * min(quoted.move, 600.0)
        bid = math.floor((view - half) / tick) * tick
        ask = max(math.ceil((view + half) / tick) * tick, bid + tick)
        bid, ask = min(bid, ONE - tick), max(ask, tick)
        cleans = rng.random() < CLEAN_CHANCE
        self._clear_asks(quoted, book, bid if not cleans else ask - 1, now)
        self._clear_bids(quoted, book, ask if not cleans else bid + 1, now)
        if rng.random() < 0.5:
            self._front(quoted, market, book, True, bid, now)
            self._front(quoted, market, book, False, ask, now)
        else:
            self._front(quoted, market, book, False, ask, now)
            self._front(quoted, market, book, True, bid, now)
        self._refresh(quoted, market, book, rng.random() < 0.5, now)

    def _content(self, book: Book, view: float, tick: Ticks) -> bool:
        """The front is near enough to what the maker thinks."""
        bid, ask = book.best_bid, book.best_ask
        near = abs(view - (bid + ask) / 2) < CONTENT_TICKS * tick
        return near and bid > 0 and ask < ONE and ask - bid <= CONTENT_SPREAD * tick

    def _clear_asks(self, quoted: Quoted, book: Book, limit: Ticks, now: MarketMs) -> None:
        """Take the makers' asks at ``limit`` or lower out."""
        for _ in range(STALE_MAX):
            price = book.best_ask
            if price > limit or not self._pull(quoted.asks, price, now):
                return

    def _clear_bids(self, quoted: Quoted, book: Book, limit: Ticks, now: MarketMs) -> None:
        """Take the makers' bids at ``limit`` or higher out."""
        for _ in range(STALE_MAX):
            price = book.best_bid
            if price < limit or not self._pull(quoted.bids, price, now):
                return

    def _pull(self, side: dict[Ticks, list[str]], price: Ticks, now: MarketMs) -> bool:
        """Cancel the makers' orders at a price; False when there were none (the level is a client's)."""
        ids = side.pop(price, None)
        if not ids:
            return False
        for order_id in ids:
            self.exchange.drop_house(order_id, now)
        return True

    def _front(
        self, quoted: Quoted, market: Market, book: Book, buys: bool, price: Ticks, now: MarketMs
    ) -> None:
        """Quote a side: an order at the price if nothing as good stands there, and the gaps just behind it filled.

        A price beyond the scale is no quote: nobody sells what has as good as won.
        """
        tick = market.tick
        if not tick <= price <= ONE - tick:
            return
        if buys:
            levels, other, step, first = book.bids, book.best_ask, -1, book.best_bid < price
        else:
            levels, other, step, first = book.asks, book.best_bid, 1, book.best_ask > price
        if first:
            if (price >= other) if buys else (price <= other):
                # A client's order stands here, better than the maker's view: he takes what it offers.
                self._meet(quoted, market, buys, price, book, now)
                return
            self._place(quoted, market, buys, price, 0, now)
        level = price - price % CENT if buys else price + -price % CENT
        for rank in range(1, FILL_LEVELS + 1):
            level += step * CENT
            if not CENT <= level <= ONE - CENT:
                return
            if level not in levels:
                self._place(quoted, market, buys, level, rank, now)

    def _meet(
        self, quoted: Quoted, market: Market, buys: bool, price: Ticks, book: Book, now: MarketMs
    ) -> None:
        size = sum(book.asks.get(p, 0) for p in book.asks if p <= price) if buys else sum(
            book.bids.get(p, 0) for p in book.bids if p >= price
        )
        if size > 0:
            action = Action.BUY if buys else Action.SELL
            self.exchange.put_house(MAKERS, market.up, action, price, size, OrderType.FAK, now)

    def _refresh(
        self, quoted: Quoted, market: Market, book: Book, buys: bool, now: MarketMs
    ) -> None:
        """One level behind the best changes: an order joins, leaves, or is replaced."""
        rng = self.rngs[quoted.symbol]
        cents = int(rng.expovariate(1 / REFRESH_CENTS))
        price = (book.best_bid // CENT - cents) * CENT if buys else (-(-book.best_ask // CENT) + cents) * CENT
        crosses = price >= book.best_ask if buys else price <= book.best_bid
        if crosses or not CENT <= price <= ONE - CENT:
            return
        side = quoted.bids if buys else quoted.asks
        ids = side.get(price)
        if not ids or price not in (book.bids if buys else book.asks):
            side.pop(price, None)
            self._place(quoted, market, buys, price, cents, now)
            return
        thins = market.end - now < THIN_FROM_MS and rng.random() < 0.35
        if len(ids) >= ORDERS_A_LEVEL or rng.random() < 0.45 or thins:
            self.exchange.drop_house(ids.pop(rng.randrange(len(ids))), now)
            if not ids:
                del side[price]
                if not thins:
                    self._place(quoted, market, buys, price, cents, now)
        else:
            size = EXTRA_SIZE * math.exp(rng.gauss(0.0, EXTRA_SPREAD)) * (EXTRA_DEEP if cents >= len(RANK_PARTS) else 1)
            self._put(quoted, market, buys, price, _whole_shares(size), now)

    def _place(
        self, quoted: Quoted, market: Market, buys: bool, price: Ticks, rank: int, now: MarketMs
    ) -> None:
        """The first order of a level, of a size that fits its place."""
        end = price if buys else ONE - price
        size = float(PENNY_SIZES.get(-(-end // CENT), MIDDLE_SIZE))
        if rank < len(RANK_PARTS):
            size = min(size, MIDDLE_SIZE) * RANK_PARTS[rank]
        if end >= ONE - CENT:
            size = SURE_SIZE
        rng = self.rngs[quoted.symbol]
        size *= math.exp(rng.gauss(0.0, FRONT_SPREAD if rank == 0 else LEVEL_SPREAD)) * _thinness(market.end - now)
        self._put(quoted, market, buys, price, _whole_shares(size), now)

    def _put(
        self, quoted: Quoted, market: Market, buys: bool, price: Ticks, size: Micros, now: MarketMs
    ) -> None:
        """A maker's order: a bid or ask for UP, or as often its mirror for DOWN, so that matches mint and merge."""
        token, action, own = market.up, Action.BUY if buys else Action.SELL, price
        if self.rngs[quoted.symbol].random() < 0.5:
            token, action, own = market.down, Action.SELL if buys else Action.BUY, ONE - price
        order_id = self.exchange.put_house(MAKERS, token, action, own, size, OrderType.GTC, now)
        if order_id:
            (quoted.bids if buys else quoted.asks).setdefault(price, []).append(order_id)

    # --- takers -------------------------------------------------------------------------------------------------------

    def _take(self, market: Market, book: Book, fair: float, now: MarketMs) -> None:
        """One taker: informed ones take what is mispriced, the others what they fancy."""
        rng = self.rngs[market.symbol or next(iter(self.prices))]
        buys = self._informed_choice(market, book, fair) if rng.random() < INFORMED_PART else None
        if buys is None:
            buys = rng.random() < 0.5
        best = book.best_ask if buys else book.best_bid
        whole, shares = rng.random() < WHOLE_PART, TAKE_SIZE * math.exp(rng.gauss(0.0, TAKE_SPREAD))
        of_up = (rng.random() < BUY_PART) == buys
        if not 0 < best < ONE:
            return
        price = min(best + TAKE_SLIP, ONE - market.tick) if buys else max(best - TAKE_SLIP, market.tick)
        size = max(1, round(shares)) * MICRO if whole else int(min(max(shares, 1.0), TAKE_MAX) * 100) * LOT
        token, own = (market.up, price) if of_up else (market.down, ONE - price)
        action = Action.BUY if buys == of_up else Action.SELL
        self.exchange.put_house(TAKERS, token, action, own, size, OrderType.FAK, now)

    def _informed_choice(self, market: Market, book: Book, fair: float) -> bool | None:
        """Buy UP (True), sell it (False), or None: nothing is mispriced by more than the fee and an edge."""
        fee = market.fees.rate * fair * (ONE - fair) / ONE / MICRO
        if book.best_ask < ONE and fair - book.best_ask > fee + INFORMED_EDGE:
            return True
        if book.best_bid > 0 and book.best_bid - fair > fee + INFORMED_EDGE:
            return False
        return None

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {
            "density": self.density,
            "quoted": [_quoted_data(quoted) for quoted in self.quoted.values()],
            "rngs": {symbol: rng_data(rng) for symbol, rng in self.rngs.items()},
            "next_at": self.next_at,
            "crowd": {symbol: [list(part) for part in parts] for symbol, parts in self.crowd.items()},
            "seen_changes": self.seen_changes,
            "plain_logit": self.plain_logit,
            "events": self.events,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state that ``save`` gave."""
        self.density = data["density"]
        self.quoted = {raw[0]: _quoted_from(raw) for raw in data["quoted"]}
        self.rngs = {symbol: rng_from(state) for symbol, state in data["rngs"].items()}
        self.next_at = dict(data["next_at"])
        self.crowd = {symbol: [(edge, cid) for edge, cid in parts] for symbol, parts in data["crowd"].items()}
        self.seen_changes = data["seen_changes"]
        self.plain_logit = data["plain_logit"]
        self.events = data["events"]
        self._reckon()


def _share(market: Market, now: int) -> float:
    """A market's part of its symbol's events, before they are made to sum to one."""
    if market.start is None:
        return PLAIN
    if market.start <= now:
        rush = RUSH if market.end - now <= LAST_MINUTE_MS else 1.0
        return rush * RUNNING.get(market.duration_s, RUNNING_OTHER)
    return NEXT if market.start - now <= market.duration_s * 1_000 else LATER


def _thinness(left_ms: int) -> float:
    """Part of the usual size that is quoted with this much time left."""
    if left_ms >= THIN_FROM_MS:
        return 1.0
    return THIN_TO + (1 - THIN_TO) * max(left_ms, 0) / THIN_FROM_MS


def _whole_shares(size: float) -> Micros:
    """At least the venue's 5 shares; whole shares."""
    return max(5, round(size)) * MICRO


def _quoted_data(quoted: Quoted) -> list[Any]:
    return [
        quoted.condition_id, quoted.symbol, quoted.center, quoted.mood, quoted.at, list(quoted.bids.items()),
        list(quoted.asks.items()), quoted.move, quoted.before,
    ]


def _quoted_from(raw: list[Any]) -> Quoted:
    condition_id, symbol, center, mood, at, bids, asks, move, before = raw
    return Quoted(
        condition_id, symbol, center, mood, at, {price: list(ids) for price, ids in bids},
        {price: list(ids) for price, ids in asks}, move, before,
    )
