"""The plugins of the shipped configuration; their settings' defaults live in their own classes."""

from __future__ import annotations

from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Final

from polyhost.plugin import Plugin

SHIPPED_PLUGINS: Final = (
    "binance_momentum",
    "polymarket_momentum",
    "indicators",
    "order_flow",
    "divergence",
    "sentiment",
    "additive",
    "bayesian",
    "entry_policy",
    "underdog_guard",
    "low_balance_guard",
    "unfilled_entries",
    "fixed_size",
    "balance_share",
    "kelly",
    "two_sided_quotes",
    "grid",
    "pair",
    "exit_plan",
    "reversal",
    "stop_loss",
    "scale_in",
    "take_profit",
    "trailing_stop",
    "expiry_guard",
    "reward_optimizer",
    "binance_futures",
    "second_spot",
    "fear_greed",
    "settlement_audit",
    "daily_summary",
    "console_notify",
    "apprise_notify",
)
"""Enabled unless ``enabled = false``, in this order of precedence unless a file names them in another."""
OFF_BY_DEFAULT: Final = frozenset({
    "balance_share", "kelly",
    "two_sided_quotes", "grid", "pair", "take_profit", "trailing_stop", "sentiment", "binance_futures", "second_spot",
    "fear_greed",
    "apprise_notify",
})
"""Of these, the ones that run only where a file names them (``[plugins.NAME]``)."""


def shipped_class(name: str) -> type[Plugin]:
    """The class of a shipped plugin, found as everybody's are. Raises LookupError when it is not installed."""
    point = _points().get(name)
    if point is None:
        raise LookupError(f"{name} is no plugin of the installed polyhost")
    kind: type[Plugin] = point.load()
    return kind


@cache
def installed() -> tuple[EntryPoint, ...]:
    """Everybody's entry points, looked up once: that reads the metadata of everything that is installed."""
    return tuple(entry_points(group="polyhost"))


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in installed() if point.dist and _name(point.dist) == "polyhost"}


@cache
def _name(distribution: Distribution) -> str:
    # Reading it parses the whole metadata, and its entry points share one distribution.
    return distribution.name
