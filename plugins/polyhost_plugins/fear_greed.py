"""Feed: the Crypto Fear & Greed Index of alternative.me, one number a day (CON-17).

Reading: ``fear_greed``, 0 (extreme fear) to 100 (extreme greed). It carries the beginning of the day that it is for, so
by the evening it is a day old. Source: ``GET /fng/``.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from polyhost import Feed, FeedConfig, Plugin, Reading, Settings, hookimpl, polled


class FearGreedSettings(Settings):
    url: str = Field(default="https://api.alternative.me", pattern=r"^https?://")
    """Where the service is asked in live modes; in simulations the simulated exchange answers."""
    every_s: float = Field(default=1_800.0, ge=60.0, le=86_400.0)
    """It is asked for this often, market seconds."""


class FearGreed(Plugin):
    name = "fear_greed"
    description = "Feed: the Crypto Fear & Greed Index of alternative.me."
    Settings = FearGreedSettings
    settings: FearGreedSettings

    @hookimpl
    def feeds(self, config: FeedConfig) -> list[Feed]:
        """One feed: the index is the same for every symbol."""
        return [Feed(self._readings(config))]

    def _readings(self, config: FeedConfig) -> Iterator[Reading | None]:
        base = (config.url or self.settings.url).rstrip("/")
        urls = {"index": f"{base}/fng/?limit=1"}
        for answer in polled(urls, every_s=self.settings.every_s, speed=config.speed):
            if answer is None or answer[1] is None:
                yield None
                continue
            latest = answer[1]["data"][0]
            yield Reading("fear_greed", float(latest["value"]), int(latest["timestamp"]) * 1_000)
