"""Exact money, sizes and prices.

Inside the host nothing that costs money is a float: money and sizes are integers in **micro-units** (1e-6 of a
collateral unit or of a share), prices are integers in **ticks** of 1e-4 collateral units a share, so that 1.00 is
10,000 ticks. Floats are for opinions. This module knows how to read and show such numbers and how to multiply them.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Ticks: TypeAlias = int
"""A price in 1e-4 collateral units a share; 0..10,000."""
Micros: TypeAlias = int
"""Collateral or shares in 1e-6 units."""
Ppm: TypeAlias = int
"""A rate in parts per million."""

ONE: Final[Ticks] = 10_000
"""The price 1.00."""
MICRO: Final = 1_000_000
"""One unit of collateral, or one share."""
LOT: Final[Micros] = 10_000
"""0.01 share: every size we order is a multiple of it (venue rule, 2 decimals)."""
FEE_STEP: Final[Micros] = 10
"""Fees are charged in steps of 0.00001 (docs.polymarket.com, trading/fees, read 2026-11)."""


def parse_fixed(text: str, decimals: int, what: str = "number") -> int:
    """The decimal string as an integer of ``10**-decimals`` units.

    Raises ValueError naming the text when it is no plain decimal or has more digits than fit exactly.
    """
    body = text.strip()
    negative = body.startswith("-")
    if negative or body.startswith("+"):
        body = body[1:]
    whole, _, fraction = body.partition(".")
    extra = fraction[decimals:]
    fraction = fraction[:decimals]
    digits = whole + fraction
    if not digits.isascii() or not digits.isdigit() or (extra and extra.strip("0")):
        raise ValueError(f"{what} {text!r} is not a decimal with at most {decimals} places")
    unit: int = 10**decimals
    value = int(whole or "0") * unit + (int(fraction.ljust(decimals, "0")) if fraction else 0)
    return -value if negative else value


def show_fixed(value: int, decimals: int, places: int | None = None) -> str:
    """The integer as a decimal string; ``places`` pads or keeps that many digits, None strips trailing zeros."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), 10**decimals)
    fraction = str(rest).rjust(decimals, "0") if decimals else ""
    fraction = fraction.rstrip("0") if places is None else fraction[:places].ljust(places, "0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def ticks(text: str) -> Ticks:
    """``"0.52"`` as 5,200. Raises ValueError when it does not fit in 1e-4."""
    return parse_fixed(text, 4, "price")


def micros(text: str) -> Micros:
    """``"25.00"`` as 25,000,000. Raises ValueError when it does not fit in 1e-6."""
    return parse_fixed(text, 6, "amount")


def price_text(value: Ticks) -> str:
    """5,200 as ``"0.52"``: the shortest form, as the venue writes prices."""
    return show_fixed(value, 4)


def reference_text(value: int) -> str:
    """A reference price of 1e-8 as a person writes it: ``70,254.60``, ``1.4375``."""
    whole, part = divmod(abs(value), 100_000_000)
    digits = f"{part:08d}".rstrip("0").ljust(2, "0")
    return f"{'-' if value < 0 else ''}{whole:,}.{digits}"


def money_text(value: Micros) -> str:
    """25,000,000 as ``"25.000000"``: six places always, as our JSON writes money."""
    return show_fixed(value, 6, 6)


def size_text(value: Micros) -> str:
    """10,000,000 as ``"10"``: the shortest form, as the venue writes sizes."""
    return show_fixed(value, 6)


def fast_micros(text: str) -> Micros:
    """A venue size string as micro-units, for the hot path.

    Exact for every decimal with at most six places below 2**32: the nearest double differs from the decimal by less
    than 2**-21, so a million times it is off by less than one half and rounds to the integer meant.
    Raises ValueError for what is no number.
    """
    return round(float(text) * 1e6)


def notional(size: Micros, price: Ticks) -> Micros:
    """What ``size`` shares cost at ``price``, rounded down to a micro-unit (exact for multiples of 0.01 share)."""
    return size * price // ONE


def taker_fee(size: Micros, price: Ticks, rate: Ppm, exponent: int = 1) -> Micros:
    """The taker's fee in collateral: ``size * rate * (p * (1 - p)) ** exponent``, to 0.00001, halves up.

    Source: docs.polymarket.com trading/fees (V2 schedule). Its rounding mode is not published; halves up never
    understates a fee by more than 0.000005.
    """
    if rate == 0 or size == 0:
        return 0
    numerator: int = size * rate * (price * (ONE - price)) ** exponent
    step: int = MICRO * (ONE * ONE) ** exponent * FEE_STEP
    return (2 * numerator + step) // (2 * step) * FEE_STEP
