"""polyhost: a trading host for Polymarket. This is everything a plugin author imports.

Names are resolved on first use, so that importing one part of the host does not load the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyhost.hooks import hookimpl
    from polyhost.model.days import DayFigures
    from polyhost.model.market import Market
    from polyhost.model.money import ONE, notional, price_text, taker_fee
    from polyhost.model.proposals import (
        ORDER_REF,
        Abstain,
        CancelOrders,
        Defer,
        Enter,
        Estimate,
        ExitNow,
        ExitTarget,
        HoldToSettlement,
        Keep,
        Merge,
        Notice,
        Pair,
        QuoteTarget,
        Remembered,
        Reprice,
        Signal,
        Skip,
        Split,
        Stake,
        Trigger,
        Veto,
    )
    from polyhost.model.quantities import InnerPrice, Money, Price, Shares
    from polyhost.model.reading import Feed, FeedConfig, Reading
    from polyhost.model.records import AuditTaken, CloseRecorded, FillBooked, MarketSettled, NoticeRaised, OrderMoved
    from polyhost.model.rewards import maker_score, reward_midpoint, reward_score, two_sided_only
    from polyhost.model.triggers import midpoint_triggers
    from polyhost.model.view import Candle, Flow, Funds, OrderView, PositionView, Quote, RefusedView, UnfilledView, View
    from polyhost.model.words import Action, Bias, OrderType, Purpose, SettlementRule, Side
    from polyhost.plugin import Contradiction, Plugin, Settings, Setup
    from polyhost.polling import polled
    from polyhost.secret import Secret

__version__ = "0.1.0"

__all__ = [
    "ONE",
    "ORDER_REF",
    "Abstain",
    "Action",
    "AuditTaken",
    "Bias",
    "CancelOrders",
    "Candle",
    "CloseRecorded",
    "Contradiction",
    "DayFigures",
    "Defer",
    "Enter",
    "Estimate",
    "ExitNow",
    "ExitTarget",
    "Feed",
    "FeedConfig",
    "FillBooked",
    "Flow",
    "Funds",
    "HoldToSettlement",
    "InnerPrice",
    "Keep",
    "Market",
    "MarketSettled",
    "Merge",
    "Money",
    "Notice",
    "NoticeRaised",
    "OrderMoved",
    "OrderType",
    "OrderView",
    "Pair",
    "Plugin",
    "PositionView",
    "Price",
    "Purpose",
    "Quote",
    "QuoteTarget",
    "Reading",
    "RefusedView",
    "Remembered",
    "Reprice",
    "Secret",
    "Settings",
    "SettlementRule",
    "Setup",
    "Shares",
    "Side",
    "Signal",
    "Skip",
    "Split",
    "Stake",
    "Trigger",
    "UnfilledView",
    "Veto",
    "View",
    "hookimpl",
    "maker_score",
    "midpoint_triggers",
    "notional",
    "polled",
    "price_text",
    "reward_midpoint",
    "reward_score",
    "taker_fee",
    "two_sided_only",
]

_HOMES = {
    "Abstain": "polyhost.model.proposals",
    "Action": "polyhost.model.words",
    "AuditTaken": "polyhost.model.records",
    "Bias": "polyhost.model.words",
    "CancelOrders": "polyhost.model.proposals",
    "Candle": "polyhost.model.view",
    "CloseRecorded": "polyhost.model.records",
    "Contradiction": "polyhost.plugin",
    "DayFigures": "polyhost.model.days",
    "Defer": "polyhost.model.proposals",
    "Enter": "polyhost.model.proposals",
    "Estimate": "polyhost.model.proposals",
    "ExitNow": "polyhost.model.proposals",
    "ExitTarget": "polyhost.model.proposals",
    "Feed": "polyhost.model.reading",
    "FeedConfig": "polyhost.model.reading",
    "FillBooked": "polyhost.model.records",
    "Flow": "polyhost.model.view",
    "Funds": "polyhost.model.view",
    "HoldToSettlement": "polyhost.model.proposals",
    "InnerPrice": "polyhost.model.quantities",
    "Keep": "polyhost.model.proposals",
    "Market": "polyhost.model.market",
    "MarketSettled": "polyhost.model.records",
    "Merge": "polyhost.model.proposals",
    "Money": "polyhost.model.quantities",
    "Notice": "polyhost.model.proposals",
    "NoticeRaised": "polyhost.model.records",
    "ONE": "polyhost.model.money",
    "ORDER_REF": "polyhost.model.proposals",
    "OrderMoved": "polyhost.model.records",
    "OrderType": "polyhost.model.words",
    "OrderView": "polyhost.model.view",
    "Pair": "polyhost.model.proposals",
    "Plugin": "polyhost.plugin",
    "PositionView": "polyhost.model.view",
    "Price": "polyhost.model.quantities",
    "Purpose": "polyhost.model.words",
    "Quote": "polyhost.model.view",
    "QuoteTarget": "polyhost.model.proposals",
    "Reading": "polyhost.model.reading",
    "RefusedView": "polyhost.model.view",
    "Remembered": "polyhost.model.proposals",
    "Reprice": "polyhost.model.proposals",
    "Secret": "polyhost.secret",
    "Settings": "polyhost.plugin",
    "SettlementRule": "polyhost.model.words",
    "Setup": "polyhost.plugin",
    "Shares": "polyhost.model.quantities",
    "Side": "polyhost.model.words",
    "Signal": "polyhost.model.proposals",
    "Skip": "polyhost.model.proposals",
    "Split": "polyhost.model.proposals",
    "Stake": "polyhost.model.proposals",
    "Trigger": "polyhost.model.proposals",
    "UnfilledView": "polyhost.model.view",
    "Veto": "polyhost.model.proposals",
    "View": "polyhost.model.view",
    "hookimpl": "polyhost.hooks",
    "maker_score": "polyhost.model.rewards",
    "midpoint_triggers": "polyhost.model.triggers",
    "notional": "polyhost.model.money",
    "polled": "polyhost.polling",
    "price_text": "polyhost.model.money",
    "reward_midpoint": "polyhost.model.rewards",
    "reward_score": "polyhost.model.rewards",
    "taker_fee": "polyhost.model.money",
    "two_sided_only": "polyhost.model.rewards",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'polyhost' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
