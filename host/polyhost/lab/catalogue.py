"""Catalogue lines of a tape (``gamma``), read by the venue's own parser: which market, and after its end the result.

A market that was recorded without its condition id is known by its slug.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from polyhost.lab.prices import E18_TO_E8
from polyhost.model.market import Market
from polyhost.venue.polymarket.gamma import GammaError, Resolution, market_of, resolution_of


class CatalogueLine(Struct, frozen=True):
    """One line."""

    market: Market
    closed: bool
    resolution: Resolution | None
    """None: the line tells no final result."""
    strike: int | None
    """1e-8; None: not told."""

    @property
    def opens(self) -> bool:
        return not self.closed


def catalogue_line(msg: Mapping[str, Any]) -> CatalogueLine | None:
    """What a line says of its market; None when it describes no market that we understand."""
    try:
        market, resolution = market_of(msg), resolution_of(msg)
    except GammaError:
        return None
    strike = resolution.strike if resolution is not None else None
    if strike is None:
        strike = _noted_strike(msg)
    return CatalogueLine(market, msg.get("closed") is True, resolution, strike)


def _noted_strike(msg: Mapping[str, Any]) -> int | None:
    """Recorders that keep the venue's result feed beside the object note the strike in 1e-18."""
    noted = msg.get("_strike_value")
    return int(noted) // E18_TO_E8 if isinstance(noted, str) and noted.isascii() and noted.isdigit() else None
