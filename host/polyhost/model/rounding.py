"""The venue's tick table and the amounts of an order, in exact integers.

Source: tick table of polymarket-client 0.14.0 and py-clob-client-v2 1.2.1, precision of market orders from the venue's
error text "maker amount supports a max accuracy of 2 decimals, taker amount a max of 4 decimals" (read 2026-11).
Property: the price implied by the two amounts is never worse for us than the limit.
"""

from __future__ import annotations

from math import gcd
from typing import Final, NamedTuple

from polyhost.model.money import LOT, ONE, Micros, Ticks
from polyhost.model.words import Action


class TickRule(NamedTuple):
    """Decimals the venue accepts at one tick size."""

    tick: Ticks
    price_decimals: int
    size_decimals: int
    amount_decimals: int


TICK_RULES: Final[dict[Ticks, TickRule]] = {
    rule.tick: rule
    for rule in (
        TickRule(1_000, 1, 2, 3),
        TickRule(100, 2, 2, 4),
        TickRule(50, 3, 2, 5),
        TickRule(25, 4, 2, 6),
        TickRule(10, 3, 2, 5),
        TickRule(1, 4, 2, 6),
    )
}
CENT: Final[Micros] = 10_000
"""0.01 of collateral: the precision of a market BUY's amount."""
MARKET_FINE: Final[Micros] = 100
"""0.0001: the precision of a market order's other amount."""


class Amounts(NamedTuple):
    """What the signed order says: ``maker`` is what we give, ``taker`` what we get, both in micro-units."""

    maker: Micros
    taker: Micros


def legal_price(price: Ticks, tick: Ticks) -> bool:
    """True for a multiple of the tick in [tick, 1 - tick]."""
    return tick <= price <= ONE - tick and price % tick == 0


def safe_price(action: Action, price: Ticks, tick: Ticks) -> Ticks:
    """The nearest legal price that is not worse for us: BUY rounds down, SELL rounds up; clamped into the range."""
    down = price - price % tick
    value = down if action is Action.BUY or down == price else down + tick
    return min(max(value, tick), ONE - tick)


def limit_amounts(action: Action, price: Ticks, size: Micros) -> Amounts:
    """Amounts of a resting order for ``size`` (a multiple of 0.01 share) at a legal ``price``: always exact."""
    assert size % LOT == 0, size
    money = size * price // ONE
    return Amounts(money, size) if action is Action.BUY else Amounts(size, money)


def market_step(action: Action, price: Ticks) -> Micros:
    """The smallest size, and the grid of sizes, whose amounts are legal and exact for a FAK or FOK at ``price``.

    A BUY's money must be whole cents, a SELL's proceeds whole 1e-4: rounding either would move the implied price off
    the tick, where it may never match (py-sdk#291). At 0.53 a BUY comes in whole shares.
    """
    grain = CENT if action is Action.BUY else MARKET_FINE
    # size = k * LOT; money = k * LOT * price / ONE = k * price (because LOT == ONE); it must be a multiple of grain.
    return LOT * (grain // gcd(grain, price))


def market_size(action: Action, price: Ticks, size: Micros) -> Micros:
    """The largest size of at most ``size`` that a FAK or FOK at ``price`` can carry exactly; 0 when none can."""
    step = market_step(action, price)
    return size - size % step


def floor_lot(size: Micros) -> Micros:
    """Truncated to 0.01 share, never rounded up."""
    return size - size % LOT


def limit_price_of(action: Action, amounts: Amounts) -> tuple[int, int]:
    """The implied price as an exact fraction (numerator, denominator) of collateral a share."""
    return (amounts.maker, amounts.taker) if action is Action.BUY else (amounts.taker, amounts.maker)
