"""How each series is decided: by which price, when it is known, and who wins.

Read from polymarket.md 8.2 and the rules of daily markets as listed in 2026-03 (ties 50-50). It knows prices and
nothing of orders; the host has its own reading of each market's rule, and tests hold both against each other.
"""

from __future__ import annotations

from typing import Final, assert_never

from polyhost.exchange.prices import MINUTE, SECOND, SymbolPrices
from polyhost.model.words import SettlementRule, Side

RULES: Final = {
    300: SettlementRule.TWAP_60,
    900: SettlementRule.TWAP_60,
    3_600: SettlementRule.CANDLE,
    # The venue moved 5 m and 15 m windows to the TWAP in 2026-08 and said nothing of 4 h ones: they stay on spot here.
    14_400: SettlementRule.SPOT,
    86_400: SettlementRule.CANDLE_CLOSES,
}
"""The rule of a series by its length in seconds."""


def read_after_ms(rule: SettlementRule) -> int:
    """How long after a window's start (its end) the price that decides is known: a close, after its minute."""
    return MINUTE if rule is SettlementRule.CANDLE_CLOSES else 0


def price_of(prices: SymbolPrices, rule: SettlementRule, at_ms: int) -> int:
    """The price that counts for a window that starts or ends at a whole minute. Raises KeyError when it is not known.

    A candle's open is the last price before it, as its close is the last price in it: one mark serves both.
    """
    mark = prices.mark((at_ms + read_after_ms(rule)) // SECOND)
    match rule:
        case SettlementRule.TWAP_60:
            return mark.twap
        case SettlementRule.SPOT:
            return mark.chainlink
        case SettlementRule.CANDLE | SettlementRule.CANDLE_CLOSES:
            return mark.binance
        case SettlementRule.ORACLE:
            raise KeyError("no price decides this market")
        case _:
            assert_never(rule)


def winner_of(strike: int, final: int, rule: SettlementRule = SettlementRule.TWAP_60) -> Side | None:
    """Up when the final price is at least the strike: a tie goes to Up. Of a daily window nobody wins a tie (50-50)."""
    if final == strike and rule is SettlementRule.CANDLE_CLOSES:
        return None
    return Side.UP if final >= strike else Side.DOWN
