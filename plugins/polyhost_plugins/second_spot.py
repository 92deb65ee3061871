"""Feed: the spot price of a second exchange, Coinbase as shipped, for comparing it with the first (CON-17).

Readings, for each symbol that is traded: ``spot2.BTC``, the last trade's price in the exchange's own quote currency (US
dollars at Coinbase, where Binance's is USDT: a lasting difference of some basis points is the currencies'). Source:
``GET /products/{product}/ticker``, whose own time it carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import Field

from polyhost import Feed, FeedConfig, Plugin, Reading, Settings, hookimpl, polled


class SecondSpotSettings(Settings):
    url: str = Field(default="https://api.exchange.coinbase.com", pattern=r"^https?://")
    """Where the service is asked in live modes; in simulations the simulated exchange answers."""
    quote: str = Field(default="USD", pattern=r"^[A-Z]{2,10}$")
    """The quote currency: a symbol's product is ``BTC-USD``."""
    every_s: float = Field(default=2.0, ge=1.0, le=600.0)
    """Each symbol is asked for this often, market seconds."""


class SecondSpot(Plugin):
    name = "second_spot"
    description = "Feed: the spot price of a second exchange (Coinbase)."
    Settings = SecondSpotSettings
    settings: SecondSpotSettings

    @hookimpl
    def feeds(self, config: FeedConfig) -> list[Feed]:
        """One feed for all symbols."""
        return [Feed(self._readings(config))]

    def _readings(self, config: FeedConfig) -> Iterator[Reading | None]:
        base = (config.url or self.settings.url).rstrip("/")
        urls = {symbol: f"{base}/products/{symbol}-{self.settings.quote}/ticker" for symbol in config.symbols}
        for answer in polled(urls, every_s=self.settings.every_s, speed=config.speed):
            if answer is None:
                yield None
                continue
            symbol, told = answer
            if told is None:
                self.log.warning("{} is not traded at {}: it gets no readings", symbol, base)
                continue
            yield Reading(f"spot2.{symbol}", float(told["price"]), unix_ms(told["time"]))


def unix_ms(text: str) -> int:
    """``2026-11-21T10:00:00.123456Z`` in ms since 1970. Raises ValueError."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)
