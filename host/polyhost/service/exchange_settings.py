"""From the configuration to the simulated exchange's own settings."""

from __future__ import annotations

from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.world import WorldSettings
from polyhost.model.market import DURATIONS
from polyhost.settings import Configuration


def server_settings(settings: Configuration) -> ServerSettings:
    """What the exchange serves: the configured series, its rules, and what newcomers own."""
    table = settings.exchange
    rules = ExchangeRules(
        taker_delay_ms=table.taker_delay_ms, mined_ms=table.mined_ms, confirmed_ms=table.confirmed_ms,
        settle_visible_ms=table.mined_ms,
    )
    world = WorldSettings(
        symbols=settings.markets.symbols,
        durations_s=tuple(DURATIONS[name] for name in settings.markets.durations),
        resolve_delay_ms=table.resolve_delay_ms, density=table.density, rules=rules,
    )
    return ServerSettings(world=world, cash=int(table.cash))
