"""What is known of a market: its tokens, rules and, for a window, its times and strike."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, UnsetType, structs

from polyhost.model.builder import Builder
from polyhost.model.money import Micros, Ppm, Ticks, notional, taker_fee
from polyhost.model.times import MarketMs
from polyhost.model.words import SettlementRule, Side

PRICE_E8: Final = 100_000_000
"""Reference prices (spot, strike, final) are integers in 1e-8 of the quote currency."""


class Fees(Struct, frozen=True):
    """What orders cost: the market's taker fee, and what a builder code adds for takers and makers.

    ``rate`` in ppm of ``(p * (1 - p)) ** exponent`` a share; the market itself charges makers nothing.
    """

    rate: Ppm
    exponent: int = 1
    builder: Builder | UnsetType = UNSET
    """Of our orders, when a builder code is configured."""

    def of(self, builder: Builder | UnsetType) -> Fees:
        """The same market's fees with this builder code, or without any."""
        return self if builder == self.builder else structs.replace(self, builder=builder)

    def taker(self, size: Micros, price: Ticks) -> Micros:
        """All that a taker is charged for so many micro-shares at a price, micro-units."""
        own = taker_fee(size, price, self.rate, self.exponent)
        return own if self.builder is UNSET else own + self.builder.fee(notional(size, price), maker=False)

    def maker(self, size: Micros, price: Ticks) -> Micros:
        """All that a resting order is charged for them, micro-units: 0 without a builder code."""
        return 0 if self.builder is UNSET else self.builder.fee(notional(size, price), maker=True)

    def most(self, size: Micros, price: Ticks) -> Micros:
        """The most that an order is charged, whether it takes or rests, micro-units."""
        return max(self.taker(size, price), self.maker(size, price))

    def charged(self, size: Micros, price: Ticks, *, maker: bool) -> Micros:
        """What one trade was charged, micro-units."""
        return self.maker(size, price) if maker else self.taker(size, price)


class Market(Struct, frozen=True):
    """A binary market. Prices in ticks, sizes in micro-shares, times in market ms."""

    slug: str
    condition_id: str
    up: str
    """Token id of UP (of the first outcome for other markets)."""
    down: str
    end: MarketMs
    start: MarketMs | None = None
    """None: a market without a window."""
    symbol: str = ""
    """``BTC``; empty for a market that follows no symbol."""
    duration_s: int = 0
    """The series' length; of a daily window nominal (it is an hour more or less when the Eastern clock changes)."""
    tick: Ticks = 100
    min_size: Micros = 5_000_000
    min_value: Micros = 1_000_000
    """Least notional of a marketable order."""
    fees: Fees = Fees(70_000)
    neg_risk: bool = False
    taker_delay: bool = True
    rule: SettlementRule = SettlementRule.ORACLE
    reward_min_size: Micros = 0
    reward_max_spread: Ticks = 0
    reward_rate_day: Micros = 0
    """What the liquidity program pays a day for this market, to all makers together; 0: no program."""
    accepting: bool = True
    question: str = ""
    assumed: tuple[str, ...] = ()
    """Names of the fields the source did not state, for which a documented default stands."""

    def token(self, side: Side) -> str:
        return self.up if side is Side.UP else self.down

    def side_of(self, token_id: str) -> Side | None:
        if token_id == self.up:
            return Side.UP
        return Side.DOWN if token_id == self.down else None


def normal_token(text: str) -> str:
    """One spelling for one token: hex becomes decimal, anything that does not parse whole stays as it is."""
    body = text.strip()
    try:
        if body.lower().startswith("0x"):
            return str(int(body, 16))
        return str(int(body)) if body.isascii() and body.isdigit() else body
    except ValueError:
        return body
