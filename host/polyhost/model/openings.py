"""Strikes and final prices: what a market's settlement source says of its two ends, as told by feeds and candles.

Pure: whoever drives it brings each tick and candle and gets the strikes that follow. A strike is an integer in 1e-8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from polyhost.model.market import PRICE_E8, Market
from polyhost.model.view import Candle
from polyhost.model.words import SettlementRule

MINUTE_MS: Final = 60_000
APART_MS: Final = 300_000
"""Every series' windows begin at full five minutes; prices of other minutes open nothing."""
KEPT: Final = 5_000
"""Opening prices remembered, and opening prices waited for; the oldest is forgotten beyond it (four symbols and four
sources: about a day)."""
FEED_OF: Final = {SettlementRule.TWAP_60: "twap_60", SettlementRule.SPOT: "chainlink"}
"""The reference feed by which a rule settles; its tick stamped at the opening second is the strike."""
CANDLE_OF: Final = {SettlementRule.CANDLE: "candle_open", SettlementRule.CANDLE_CLOSES: "candle_close"}
"""What of the spot candle that begins with the window is the strike."""

Key = tuple[str, str, int]
"""(source, symbol, market ms)."""


class Strike(NamedTuple):
    """``price`` in 1e-8; ``source``: twap_60, chainlink, candle_open or candle_close."""

    condition_id: str
    price: int
    source: str


def source_of(market: Market) -> str:
    """What a market's strike is read from; empty: it has none."""
    if market.start is None:
        return ""
    return FEED_OF.get(market.rule) or CANDLE_OF.get(market.rule, "")


def known_at(market: Market) -> int:
    """The market ms from which the strike can be known at all: a close, a minute after the opening."""
    assert market.start is not None, market.slug
    return market.start + (MINUTE_MS if market.rule is SettlementRule.CANDLE_CLOSES else 0)


def ended_by(market: Market) -> Key | None:
    """Whose word a market's final price is: the tick stamped at its closing second, or the close of a spot candle (the
    last one within the window; of a daily one the one that begins at its end). None: it settles by no price."""
    if market.start is None:
        return None
    if market.rule in FEED_OF:
        return FEED_OF[market.rule], market.symbol, int(market.end)
    if market.rule not in CANDLE_OF:
        return None
    begins = market.end if market.rule is SettlementRule.CANDLE_CLOSES else market.end - MINUTE_MS
    return "candle_close", market.symbol, int(begins)


class Openings:
    """Prices where windows begin, and the markets that wait for one."""

    def __init__(self) -> None:
        self._known: dict[Key, int] = {}
        self._waiting: dict[Key, list[str]] = {}

    def ask(self, market: Market) -> Strike | None:
        """The market's strike if it is known; else it is told when it comes."""
        source = source_of(market)
        if not source or market.start is None:
            return None
        key = (source, market.symbol, int(market.start))
        price = self._known.get(key)
        if price is not None:
            return Strike(market.condition_id, price, source)
        waiting = self._waiting.setdefault(key, [])
        if market.condition_id not in waiting:
            waiting.append(market.condition_id)
        if len(self._waiting) > KEPT:
            del self._waiting[next(iter(self._waiting))]
        return None

    def price(self, feed: str, symbol: str, price: int, stamp: int) -> list[Strike]:
        """A tick of a reference feed."""
        if stamp % APART_MS or feed == "binance":
            return []
        return self._told((feed, symbol, stamp), price)

    def candle(self, symbol: str, candle: Candle, closed: bool) -> list[Strike]:
        """A one-minute spot candle: its open is known at once, its close when it is closed."""
        if candle.start % APART_MS:
            return []
        found: list[Strike] = []
        if ("candle_open", symbol, candle.start) not in self._known:
            found = self._told(("candle_open", symbol, candle.start), round(candle.open * PRICE_E8))
        if closed:
            found += self._told(("candle_close", symbol, candle.start), round(candle.close * PRICE_E8))
        return found

    def _told(self, key: Key, price: int) -> list[Strike]:
        """The first word stands: a strike never changes."""
        if key in self._known:
            return []
        self._known[key] = price
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return [Strike(condition_id, price, key[0]) for condition_id in self._waiting.pop(key, ())]
