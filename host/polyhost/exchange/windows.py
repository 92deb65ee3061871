"""The life of the markets: created ahead, opened, ended, resolved by their series' own rule, forgotten at last.

It knows when things happen; which price decides and who wins is settlement.py's, matching and payouts the exchange's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Any, Final

import msgspec
from msgspec import Struct

from polyhost.exchange.api import MarketDecided, Output
from polyhost.exchange.core import Exchange
from polyhost.exchange.prices import SymbolPrices
from polyhost.exchange.seeds import digest
from polyhost.exchange.settlement import RULES, price_of, read_after_ms, winner_of
from polyhost.model.market import Fees, Market
from polyhost.model.money import Micros, Ticks
from polyhost.model.series import DAY, eastern, repeats, window_at, window_slug, windows_from
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Side

PLAIN_SLUG: Final = "will-the-simulated-coin-flip-land-heads"
PLAIN_LIFE_MS: Final = 30 * 86_400_000
REWARD_MIN_SIZE: Final = 50_000_000
"""Up/Down markets listed 50 shares and 4.5 cents in 2026-09 (polymarket.md 6)."""
REWARD_MAX_SPREAD: Final = 450
PLAIN_FEES: Final = Fees(50_000)
"""Taker fee of the venue's category "other" (polymarket.md 5, read 2026-11)."""
KEPT_MS: Final = 86_400_000
"""A resolved market stays listed, redeemable and with its trades for a day of market time …"""
KEPT_LONGER_MS: Final = 3_600_000
"""… and is looked at again this often while somebody still holds winning shares."""
LAST_MINUTE_MS: Final = 60_000
"""A window's busy end."""
NAMES: Final = {"BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana", "XRP": "XRP"}


class Listed(Struct):
    """A market and how far its life has come. Prices in 1e-8, times in market ms."""

    market: Market
    created: int
    strike: int | None = None
    final: int | None = None
    decided: MarketDecided | None = None
    decided_at: int | None = None


class Program(Struct, frozen=True):
    """The liquidity rewards of each window."""

    rate_day: Micros = 0
    """To all makers together; 0: no program."""
    min_size: Micros = REWARD_MIN_SIZE
    max_spread: Ticks = REWARD_MAX_SPREAD


NO_PROGRAM: Final = Program()


def window_market(symbol: str, duration_s: int, start: int, seed: int, program: Program = NO_PROGRAM) -> Market:
    """The market of one window; its ids follow from the slug and the seed. Raises KeyError for no series' length."""
    slug = window_slug(symbol, duration_s, start)
    if repeats(duration_s, start):
        slug += "-2"  # two hours of this day have one name
    start, end = window_at(duration_s, start)
    return Market(
        slug=slug,
        condition_id=f"0x{digest(seed, slug, 'condition'):064x}",
        up=str(digest(seed, slug, "up")),
        down=str(digest(seed, slug, "down")),
        start=start,
        end=end,
        symbol=symbol,
        duration_s=duration_s,
        rule=RULES[duration_s],
        reward_min_size=program.min_size,
        reward_max_spread=program.max_spread,
        reward_rate_day=program.rate_day,
        question=f"{NAMES.get(symbol, symbol)} Up or Down {_span(duration_s, start, end)}",
    )


def plain_market(seed: int, now: int) -> Market:
    """The binary market without a window."""
    return Market(
        slug=PLAIN_SLUG,
        condition_id=f"0x{digest(seed, PLAIN_SLUG, 'condition'):064x}",
        up=str(digest(seed, PLAIN_SLUG, "yes")),
        down=str(digest(seed, PLAIN_SLUG, "no")),
        end=MarketMs(now - now % 60_000 + PLAIN_LIFE_MS),
        fees=PLAIN_FEES,
        taker_delay=False,
        question="Will the simulated coin flip land heads?",
    )


def _span(duration_s: int, start: int, end: int) -> str:
    """The window's time as its title tells it: in UTC; of a day the Eastern date on which it ends."""
    if duration_s == DAY:
        day = eastern(end)
        return f"on {day:%B} {day.day}?"
    first, last = (datetime.fromtimestamp(at / 1_000, UTC) for at in (start, end))
    return f"- {first:%B} {first.day}, {first:%H:%M}-{last:%H:%M} UTC"


class Windows:
    """Every market of the world, by its ids, and what is due of their lives."""

    def __init__(
        self,
        exchange: Exchange,
        prices: dict[str, SymbolPrices],
        seed: int,
        ahead: int,
        resolve_delay_ms: int,
        program: Program,
    ) -> None:
        self.exchange = exchange
        self.prices = prices
        self.seed = seed
        self.ahead = ahead
        self.resolve_delay_ms = resolve_delay_ms
        self.program = program
        self.listed: dict[str, Listed] = {}
        """By condition id, in order of creation."""
        self.slugs: dict[str, str] = {}
        self.due: list[tuple[int, int, str, str]] = []
        """Heap of (market ms, sequence, what, argument)."""
        self.sequence = 0
        self.changes = 0
        """Rises whenever a market is created, starts, enters its last minute or ends."""

    @property
    def next_due(self) -> int:
        return self.due[0][0] if self.due else NEVER

    def begin(self, durations_s: tuple[int, ...], plain: bool, now: int) -> list[Output]:
        """The running window and those ahead of every series, and the plain market."""
        out: list[Output] = []
        for symbol in self.prices:
            for duration_s in durations_s:
                spans = windows_from(duration_s, now, self.ahead + 1)
                for start, _ in spans:
                    out += self._create(symbol, duration_s, start, now)
                self._at(spans[0][1], "roll", f"{symbol} {duration_s}")
        if plain:
            out += self._add(plain_market(self.seed, now), now)
        return out

    def advance(self, now: int) -> list[Output]:
        """Everything due up to ``now``."""
        out: list[Output] = []
        while self.due and self.due[0][0] <= now:
            at, _, what, argument = heappop(self.due)
            match what:
                case "roll":
                    out += self._roll(argument, at)
                case "start":
                    self._start(argument)
                case "strike":
                    self._read_strike(self.listed[argument])
                case "final":
                    self._read_final(self.listed[argument], at)
                case "late":
                    self.changes += 1
                case "end":
                    self._end(argument, at)
                case "decide":
                    out += self._decide(argument, at)
                case "forget":
                    self._forget(argument, at)
                case _:
                    raise AssertionError(what)
        return out

    # --- look-ups -----------------------------------------------------------------------------------------------------

    def market(self, condition_id: str) -> Market | None:
        """The market as it stands at the exchange (its present tick, ``accepting``)."""
        return self.exchange.market(condition_id)

    def by_slug(self, slug: str) -> Market | None:
        condition_id = self.slugs.get(slug)
        return None if condition_id is None else self.market(condition_id)

    def strike(self, condition_id: str) -> int | None:
        """The price at the opening second by the market's rule; None until it is known, and without a window."""
        return self.listed[condition_id].strike

    # --- life ---------------------------------------------------------------------------------------------------------

    def _at(self, at: int, what: str, argument: str) -> None:
        self.sequence += 1
        heappush(self.due, (at, self.sequence, what, argument))

    def _roll(self, series: str, at: int) -> list[Output]:
        """A window of the series begins: the one that is ``ahead`` of it is created."""
        symbol, duration = series.split()
        spans = windows_from(int(duration), at, self.ahead + 1)
        self._at(spans[0][1], "roll", series)
        return self._create(symbol, int(duration), spans[-1][0], at)

    def _create(self, symbol: str, duration_s: int, start: int, now: int) -> list[Output]:
        market = window_market(symbol, duration_s, start, self.seed, self.program)
        out = self._add(market, now)
        if start < now:
            self._start(market.condition_id)
        else:
            self._at(start, "start", market.condition_id)
        return out

    def _add(self, market: Market, now: int) -> list[Output]:
        self.listed[market.condition_id] = Listed(market, now)
        self.slugs[market.slug] = market.condition_id
        self.changes += 1
        if market.duration_s:
            self._at(market.end - LAST_MINUTE_MS, "late", market.condition_id)
        self._at(market.end, "end", market.condition_id)
        return self.exchange.add_market(market, MarketMs(now))

    def _start(self, condition_id: str) -> None:
        """The window is open; its strike is read now, or when the candle that gives it is closed."""
        listed = self.listed[condition_id]
        market = listed.market
        assert market.start is not None
        self.changes += 1
        wait_ms = read_after_ms(market.rule)
        if wait_ms:
            self._at(market.start + wait_ms, "strike", condition_id)
        else:
            self._read_strike(listed)

    def _read_strike(self, listed: Listed) -> None:
        market = listed.market
        assert market.start is not None
        listed.strike = price_of(self.prices[market.symbol], market.rule, market.start)

    def _end(self, condition_id: str, at: int) -> None:
        """The exchange itself takes no more orders from now on; the final price is read as the strike was."""
        listed = self.listed[condition_id]
        self.changes += 1
        wait_ms = read_after_ms(listed.market.rule)
        if wait_ms:
            self._at(at + wait_ms, "final", condition_id)
        else:
            self._read_final(listed, at)

    def _read_final(self, listed: Listed, at: int) -> None:
        market = listed.market
        if listed.strike is not None:
            listed.final = price_of(self.prices[market.symbol], market.rule, market.end)
        self._at(at + self.resolve_delay_ms, "decide", market.condition_id)

    def _decide(self, condition_id: str, at: int) -> list[Output]:
        listed = self.listed[condition_id]
        winner: Side | None
        if listed.strike is None or listed.final is None:
            winner = Side.UP if digest(self.seed, listed.market.slug, "coin") % 2 else Side.DOWN
        else:
            winner = winner_of(listed.strike, listed.final, listed.market.rule)
        listed.decided = MarketDecided(condition_id, winner, listed.strike, listed.final)
        listed.decided_at = at
        self._at(at + KEPT_MS, "forget", condition_id)
        return self.exchange.decide(condition_id, winner, listed.strike, listed.final, MarketMs(at))

    def _forget(self, condition_id: str, at: int) -> None:
        try:
            self.exchange.forget_market(condition_id)
        except ValueError:
            # The exchange refuses while a client holds winning shares: they must stay redeemable.
            self._at(at + KEPT_LONGER_MS, "forget", condition_id)
            return
        del self.slugs[self.listed.pop(condition_id).market.slug]

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {
            "listed": [msgspec.to_builtins(listed) for listed in self.listed.values()],
            "due": [list(entry) for entry in self.due],
            "sequence": self.sequence,
            "changes": self.changes,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state that ``save`` gave; the exchange must hold the same markets already."""
        self.listed = {}
        for raw in data["listed"]:
            listed = msgspec.convert(raw, Listed)
            self.listed[listed.market.condition_id] = listed
            self.slugs[listed.market.slug] = listed.market.condition_id
        self.due = [(at, sequence, what, argument) for at, sequence, what, argument in data["due"]]
        self.sequence = data["sequence"]
        self.changes = data["changes"]
