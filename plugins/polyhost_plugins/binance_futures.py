"""Feed: mark price and funding rate of Binance's perpetual futures, for whoever wants them (CON-17).

Readings, for each symbol that is traded: ``mark.BTC`` (the mark price, USDT) and ``funding.BTC`` (the rate of the
funding to come, a fraction in eight hours: 0.0001 is 0.01 %; above 0 longs pay shorts). Source of both:
``GET /fapi/v1/premiumIndex``, whose own time they carry.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from polyhost import Feed, FeedConfig, Plugin, Reading, Settings, hookimpl, polled


class BinanceFuturesSettings(Settings):
    url: str = Field(default="https://fapi.binance.com", pattern=r"^https?://")
    """Where the service is asked in live modes; in simulations the simulated exchange answers."""
    every_s: float = Field(default=10.0, ge=1.0, le=600.0)
    """Each symbol is asked for this often, market seconds."""


class BinanceFutures(Plugin):
    name = "binance_futures"
    description = "Feed: mark price and funding rate of Binance's perpetual futures."
    Settings = BinanceFuturesSettings
    settings: BinanceFuturesSettings

    @hookimpl
    def feeds(self, config: FeedConfig) -> list[Feed]:
        """One feed for all symbols."""
        return [Feed(self._readings(config))]

    def _readings(self, config: FeedConfig) -> Iterator[Reading | None]:
        base = (config.url or self.settings.url).rstrip("/")
        urls = {symbol: f"{base}/fapi/v1/premiumIndex?symbol={symbol}USDT" for symbol in config.symbols}
        for answer in polled(urls, every_s=self.settings.every_s, speed=config.speed):
            if answer is None:
                yield None
                continue
            symbol, told = answer
            if told is None:
                self.log.warning("{} has no perpetual at {}: it gets no readings", symbol, base)
                continue
            yield Reading(f"mark.{symbol}", float(told["markPrice"]), int(told["time"]))
            yield Reading(f"funding.{symbol}", float(told["lastFundingRate"]), int(told["time"]))
