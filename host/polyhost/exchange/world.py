"""The simulated world: the exchange with its reference prices, its windows and the population that trades in them.

This is the only thing the wire server and the simulations drive. It has no clock: the caller says what time it is, and
every output belongs to a market ms that the caller knows (see ``advance``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from polyhost.exchange.api import CandleTick, MarketDecided, Output, PriceTick, Request
from polyhost.exchange.core import Exchange
from polyhost.model.market import Market
from polyhost.model.money import Ticks
from polyhost.model.times import MarketMs


class WorldSettings(Struct, frozen=True):
    """What the world is made of. Durations of market time."""

    symbols: tuple[str, ...] = ("BTC", "ETH")
    """Symbols with windows and reference prices: of BTC, ETH, SOL, XRP."""
    durations_s: tuple[int, ...] = (300, 900)
    """Window lengths: 300, 900 or 14,400."""
    windows_ahead: int = 2
    """Windows of each series that exist before they open, at least 1."""
    resolve_delay_ms: int = 8_000
    """From a window's end to its resolution."""
    density: float = 20.0
    """Population events a second of market time and symbol; 0: nobody trades but the clients."""
    plain_market: bool = True
    """Have one binary market without a window, too."""


class World:
    """Everything of the simulated venue behind the wire.

    The same settings, seed, start and requests give the same outputs, however ``advance`` is sliced.
    """

    exchange: Exchange

    def __init__(self, settings: WorldSettings, seed: int, now: MarketMs) -> None:
        """A world at ``now``: two hours of price history behind it, the running windows open, the next ones listed."""
        raise NotImplementedError

    @property
    def next_due(self) -> int:
        """The next market ms at which something happens by itself."""
        raise NotImplementedError

    def advance(self, now: MarketMs) -> list[Output]:
        """Let everything due up to and including ``now`` happen, in time order, and give what came of it.

        Call it one instant at a time (``advance(next_due)``) to know each output's ms, or use ``instants``.
        """
        raise NotImplementedError

    def instants(self, now: MarketMs) -> Iterator[tuple[MarketMs, list[Output]]]:
        """As ``advance``, one instant after the other with its ms; instants without outputs are left out."""
        raise NotImplementedError

    def handle(self, request: Request, now: MarketMs) -> list[Output]:
        """What a client asked, at ``now``. What was due before comes first; the reply follows."""
        raise NotImplementedError

    # --- the catalogue -----------------------------------------------------------------------------------------------

    def market_by_slug(self, slug: str) -> Market | None:
        raise NotImplementedError

    def market_by_condition(self, condition_id: str) -> Market | None:
        raise NotImplementedError

    def market_by_token(self, token_id: str) -> Market | None:
        """By the decimal token id of either outcome."""
        raise NotImplementedError

    def listing(self, closed: bool | None = None) -> list[Market]:
        """Markets in order of creation: not resolved yet (False), resolved (True), or all (None)."""
        raise NotImplementedError

    def resolution(self, condition_id: str) -> tuple[MarketDecided, MarketMs] | None:
        """The result (winner, strike, final) and when it was decided; None until then."""
        raise NotImplementedError

    # --- reference prices --------------------------------------------------------------------------------------------

    def spot(self, symbol: str) -> int:
        """The latest Binance price in 1e-8. Raises KeyError for a symbol the world does not have."""
        raise NotImplementedError

    def recent_prices(self, feed: str, symbol: str, seconds: int = 120) -> list[PriceTick]:
        """The feed's ticks of the last ``seconds``, oldest first (feeds: chainlink, twap_60, binance)."""
        raise NotImplementedError

    def klines(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> list[CandleTick]:
        """One-minute Binance candles by start time, oldest first, the last one unfinished.

        With ``start_ms`` the first ``limit`` from there, without it the last ``limit`` up to ``end_ms`` (inclusive).
        """
        raise NotImplementedError

    def price_history(
        self, token_id: str, start_s: int, end_s: int, fidelity_min: int = 1
    ) -> list[tuple[int, Ticks]]:
        """Midpoints of a token: (unix seconds, ticks), one every ``fidelity_min`` minutes, oldest first."""
        raise NotImplementedError

    # --- durable state -----------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Everything needed to go on identically, as plain JSON-able data."""
        raise NotImplementedError

    @classmethod
    def load(cls, settings: WorldSettings, data: dict[str, Any]) -> World:
        """The world that ``save`` gave. Raises ValueError when the data is not of this version or these settings."""
        raise NotImplementedError
