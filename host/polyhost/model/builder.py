"""A builder code: whom the venue credits an order to, and what that costs on top of the market's own fee.

The code is 32 bytes, signed with the order; the fee is a flat share of each trade's money, one rate for makers and one
for takers (docs.polymarket.com, builder program, and the client's ``BuilderFeeRates``, read 2026-11). The venue tells
rates in basis points; here they are ppm.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from polyhost.model.money import FEE_STEP, MICRO, Micros, Ppm

PPM_OF_A_BASIS_POINT: Final = 100
CODE: Final = re.compile(r"0x[0-9a-f]{64}")
NOBODY: Final = "0x" + "00" * 32
"""The code of orders that are credited to nobody."""


class Builder(Struct, frozen=True):
    """A builder code and its rates, ppm of a trade's money."""

    code: str
    """``0x`` and 64 hex digits, lower case."""
    maker: Ppm
    taker: Ppm

    @property
    def rates(self) -> tuple[Ppm, Ppm]:
        """Of makers, of takers."""
        return self.maker, self.taker

    def fee(self, money: Micros, *, maker: bool) -> Micros:
        """What it takes of a trade of so much money."""
        return builder_fee(money, self.maker if maker else self.taker)


class Credited(Struct, frozen=True):
    """What the venue credits a code with since an instant, micro-units; everybody's trades, ours among them."""

    trades: int
    volume: Micros
    fees: Micros
    ours: int
    """Of the trades, those of our own wallet."""
    whole: bool
    """False: there are more."""


def builder_fee(money: Micros, rate: Ppm) -> Micros:
    """The builder's fee in collateral: ``money * rate``, to 0.00001, halves up.

    The rounding is not published; it is taken to be the platform fee's, and understates a fee by 0.000005 at most.
    """
    step: int = MICRO * FEE_STEP
    return (2 * money * rate + step) // (2 * step) * FEE_STEP


def builder_code(text: str) -> str:
    """One spelling of a builder code. Raises ValueError, saying what it must be, for anything else."""
    code = text.strip().lower()
    if not CODE.fullmatch(code):
        raise ValueError("must be 32 bytes in hex, 0x and 64 digits, as the venue's builder page shows it")
    if code == NOBODY:
        raise ValueError("is the code of nobody; leave it empty to trade without a builder code")
    return code
