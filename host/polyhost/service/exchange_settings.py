"""From the configuration to the simulated exchange's own settings."""

from __future__ import annotations

from polyhost.configuration import Loaded
from polyhost.configuration.loading import DEFAULT
from polyhost.exchange.prices import MODELS
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.world import WorldSettings
from polyhost.model.market import DURATIONS
from polyhost.settings import Configuration


def offered_symbols(loaded: Loaded) -> tuple[str, ...]:
    """The configured symbols; where nobody configured any, every symbol that the exchange has a price model for.

    ``run`` hands its own symbols to the exchange it starts, so that one offers what is traded and no more.
    """
    if loaded.origin["markets.symbols"] == DEFAULT:
        return tuple(MODELS)
    return loaded.configuration.markets.symbols


def server_settings(settings: Configuration, symbols: tuple[str, ...]) -> ServerSettings:
    """What the exchange serves: windows of these symbols, its rules, and what newcomers own."""
    table = settings.exchange
    rules = ExchangeRules(
        taker_delay_ms=table.taker_delay_ms, mined_ms=table.mined_ms, confirmed_ms=table.confirmed_ms,
        settle_visible_ms=table.mined_ms,
    )
    world = WorldSettings(
        symbols=symbols,
        durations_s=tuple(DURATIONS[name] for name in settings.markets.durations),
        resolve_delay_ms=table.resolve_delay_ms, density=table.density, rules=rules,
    )
    return ServerSettings(world=world, cash=int(table.cash))
