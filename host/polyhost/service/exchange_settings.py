"""From the configuration to the simulated exchange's own settings."""

from __future__ import annotations

from polyhost.configuration import Loaded
from polyhost.configuration.loading import DEFAULT
from polyhost.exchange.prices import MODELS
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.server.settings import ServerSettings, Troubles
from polyhost.exchange.world import WorldSettings
from polyhost.lab.builders import builders_of
from polyhost.model.series import DURATIONS
from polyhost.service.exchange_pathologies import all_pathologies
from polyhost.settings import Configuration


def offered_symbols(loaded: Loaded) -> tuple[str, ...]:
    """The configured symbols; where nobody configured any, every symbol that the exchange has a price model for.

    ``run`` hands its own symbols to the exchange it starts, so that one offers what is traded and no more.
    """
    if loaded.origin["markets.symbols"] == DEFAULT:
        return tuple(MODELS)
    return loaded.configuration.markets.symbols


def server_settings(settings: Configuration, symbols: tuple[str, ...]) -> ServerSettings:
    """What the exchange serves: windows of these symbols, its rules, what newcomers own and how it misbehaves.

    Raises ConfigError for a pathology that is none, or none of the wire.
    """
    table = settings.exchange
    rules = ExchangeRules(
        taker_delay_ms=table.taker_delay_ms, mined_ms=table.mined_ms, confirmed_ms=table.confirmed_ms,
        settle_visible_ms=table.mined_ms, auto_redeem_ms=table.auto_redeem_ms, builders=builders_of(settings),
    )
    world = WorldSettings(
        symbols=symbols,
        durations_s=tuple(DURATIONS[name] for name in settings.markets.durations),
        resolve_delay_ms=table.resolve_delay_ms, density=table.density,
        reward_rate_day=int(table.rewards), reward_min_size=int(table.rewards_min_size),
        reward_max_spread=int(table.rewards_max_spread), rules=rules,
    )
    return ServerSettings(
        world=world, cash=int(table.cash), rate_limit_tier=table.rate_limit_tier,
        pathologies=all_pathologies(settings), troubles=Troubles(**table.troubles.model_dump()),
    )
