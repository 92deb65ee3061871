"""Markets as the venue describes them: Gamma's market and event objects, the CLOB's two market shapes.

Shapes: polymarket.md 3.1, 8.1 (read from official clients and recordings, 2026-11). Numeric ids follow the order of
creation, so they stay the same across restarts.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from polyhost.exchange.api import MarketDecided
from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.jsons import encode, iso, number, price_number, size_number
from polyhost.model.market import Market
from polyhost.model.money import ONE, price_text, show_fixed
from polyhost.model.words import SettlementRule, Side

STRIKE_TOLD_MS: Final = 60_000
"""Gamma shows the strike about a minute after the end (observed by others, 2026-09)."""
SERIES: Final = {
    ("BTC", 300): "10684", ("ETH", 300): "10683", ("BTC", 900): "10192", ("ETH", 900): "10191",
    ("BTC", 86_400): "41", ("ETH", 86_400): "40", ("SOL", 86_400): "10086", ("XRP", 86_400): "10100",
}
"""Gamma's own series ids, where they are known."""
COLLATERAL: Final = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
"""The collateral token (pUSD)."""
REWARDS_SINCE: Final = "2024-01-01"
_NAMES: Final = {"BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana", "XRP": "XRP"}
_LENGTHS: Final = {300: "5m", 900: "15m", 3_600: "hourly", 14_400: "4h", 86_400: "daily"}
"""How series and configurations of the catalogue call a length."""

Resolution = tuple[MarketDecided, int] | None
"""The result of a market and the market ms of its decision; None while there is none."""


def outcomes(market: Market) -> tuple[str, str]:
    """Labels of the two tokens."""
    return ("Up", "Down") if market.start is not None else ("Yes", "No")


def outcome_of(market: Market, token_id: str) -> str:
    return outcomes(market)[0 if token_id == market.up else 1]


def question(market: Market) -> str:
    if market.question:
        return market.question
    if market.start is None:
        return market.slug
    return f"{_NAMES.get(market.symbol, market.symbol)} Up or Down - {iso(market.start)} to {iso(market.end)}"


def description(market: Market) -> str:
    """The rule in words, as a person (and a careful client) reads it."""
    symbol = market.symbol
    pair = f"{symbol}/USDT"
    match market.rule:
        case SettlementRule.TWAP_60:
            return (
                f'This market resolves to "Up" if the 60-second time-weighted average (TWAP) of {symbol}/USD at its '
                f'end is greater than or equal to the one at its start, otherwise to "Down".'
            )
        case SettlementRule.SPOT:
            return (
                f'This market resolves to "Up" if the Chainlink price of {symbol}/USD at its end is greater than or '
                f'equal to the one at its start, otherwise to "Down".'
            )
        case SettlementRule.CANDLE:
            return (
                f'This market resolves to "Up" if the close of the Binance 1 hour candle of {pair} that begins at '
                f'{iso(market.start or 0)} is greater than or equal to its open, otherwise to "Down".'
            )
        case SettlementRule.CANDLE_CLOSES:
            return (
                f'This market resolves to "Up" if the close of the Binance 1 minute candle of {pair} that begins at '
                f'{iso(market.end)} is above the close of the one that begins at {iso(market.start or 0)}, to "Down" '
                f"if it is below, and 50-50 if both are equal."
            )
        case SettlementRule.ORACLE:
            return question(market)
        case _:
            assert_never(market.rule)


def resolution_source(market: Market) -> str:
    match market.rule:
        case SettlementRule.TWAP_60:
            return f"https://data.chain.link/streams/{market.symbol.lower()}-usd-twap-60s-streams"
        case SettlementRule.SPOT:
            return f"https://data.chain.link/streams/{market.symbol.lower()}-usd"
        case SettlementRule.CANDLE | SettlementRule.CANDLE_CLOSES:
            return f"https://www.binance.com/en/trade/{market.symbol}_USDT"
        case SettlementRule.ORACLE:
            return ""
        case _:
            assert_never(market.rule)


def rate_number(market: Market) -> Any:
    return number(show_fixed(market.fees.rate, 6))


def _payouts(decided: MarketDecided) -> tuple[str, str]:
    if decided.winner is None:
        return "0.5", "0.5"
    return ("1", "0") if decided.winner is Side.UP else ("0", "1")


def _shown_prices(book: WireBook, resolution: Resolution) -> tuple[str, str]:
    if resolution is not None:
        return _payouts(resolution[0])
    middle = (book.best_bid + book.best_ask) * 5  # in 1e-5: half ticks are exact
    return show_fixed(middle, 5), show_fixed(ONE * 10 - middle, 5)


def gamma_market(market: Market, ident: int, book: WireBook, resolution: Resolution, now: int) -> dict[str, Any]:
    """Gamma's market object, with its event inside."""
    return {
        **_market_body(market, ident, book, resolution, now),
        "events": [_event_body(market, ident, resolution, now)],
    }


def gamma_event(market: Market, ident: int, book: WireBook, resolution: Resolution, now: int) -> dict[str, Any]:
    """Gamma's event object of a one-market event, with the market inside."""
    return {
        **_event_body(market, ident, resolution, now),
        "markets": [_market_body(market, ident, book, resolution, now)],
    }


def _market_body(market: Market, ident: int, book: WireBook, resolution: Resolution, now: int) -> dict[str, Any]:
    closed = resolution is not None
    bid, ask = book.best_bid, book.best_ask
    body: dict[str, Any] = {
        "id": str(ident),
        "question": question(market),
        "conditionId": market.condition_id,
        "slug": market.slug,
        "resolutionSource": resolution_source(market),
        "description": description(market),
        "endDate": iso(market.end),
        "endDateIso": iso(market.end)[:10],
        "outcomes": encode(list(outcomes(market))).decode(),
        "outcomePrices": encode(list(_shown_prices(book, resolution))).decode(),
        "clobTokenIds": encode([market.up, market.down]).decode(),
        "active": True,
        "closed": closed,
        "archived": False,
        "acceptingOrders": market.accepting and not closed and now < market.end,
        "enableOrderBook": True,
        "negRisk": market.neg_risk,
        "restricted": True,
        "orderPriceMinTickSize": price_number(book.tick),
        "orderMinSize": size_number(market.min_size),
        "bestBid": price_number(bid),
        "bestAsk": price_number(ask),
        "spread": price_number(ask - bid),
        "lastTradePrice": price_number(book.last.get(market.up, 0)),
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "feesEnabled": market.fees.rate > 0,
        "feeType": "crypto_fees_v2" if market.symbol else "",
        "feeSchedule": {
            "rate": rate_number(market),
            "exponent": market.fees.exponent,
            "takerOnly": True,
            "rebateRate": number("0.2"),
        },
        "rewardsMinSize": size_number(market.reward_min_size),
        "rewardsMaxSpread": number(show_fixed(market.reward_max_spread, 2)),
        "clobRewards": _programs(market),
        "umaResolutionStatus": "resolved" if closed else "",
        "umaResolutionStatuses": "[]",
        "secondsDelay": 0,
        "version": "v1",
    }
    if market.start is not None:
        body["eventStartTime"] = iso(market.start)
        body["startDate"] = iso(market.start - 86_400_000)
        body["cryptoMarketConfig"] = _crypto_config(market)
    if resolution is not None:
        body["closedTime"] = iso(resolution[1])
    return body


def _programs(market: Market) -> list[dict[str, Any]]:
    """Gamma's list of liquidity programs."""
    if market.reward_rate_day <= 0:
        return []
    return [{
        "id": market.condition_id[:10], "conditionId": market.condition_id, "assetAddress": COLLATERAL,
        "rewardsAmount": 0, "rewardsDailyRate": rate_of_rewards(market), "startDate": REWARDS_SINCE,
        "endDate": iso(market.end)[:10],
    }]


def rate_of_rewards(market: Market) -> Any:
    """Of a day, as the number it is."""
    return number(show_fixed(market.reward_rate_day, 6))


def _crypto_config(market: Market) -> dict[str, Any]:
    length = _LENGTHS.get(market.duration_s, f"{market.duration_s}s")
    twap = market.rule is SettlementRule.TWAP_60
    asset = market.symbol.lower()
    return {
        "id": f"{asset}-{length}-twap-60" if twap else f"{asset}-{length}",
        "asset": asset,
        "duration": length,
        "twapEnabled": twap,
        "twapLookbackSeconds": 60 if twap else 0,
    }


def _event_body(market: Market, ident: int, resolution: Resolution, now: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(ident),
        "ticker": market.slug,
        "slug": market.slug,
        "title": question(market),
        "description": description(market),
        "resolutionSource": resolution_source(market),
        "endDate": iso(market.end),
        "active": True,
        "closed": resolution is not None,
        "archived": False,
        "restricted": True,
        "enableOrderBook": True,
        "negRisk": market.neg_risk,
        "version": "v1",
        "series": [],
        "tags": [],
        "eventMetadata": _event_metadata(market, resolution, now),
    }
    if market.start is not None:
        length = _LENGTHS.get(market.duration_s, f"{market.duration_s}s")
        slug = f"{market.symbol.lower()}-up-or-down-{length}"
        body["startTime"] = iso(market.start)
        body["startDate"] = iso(market.start - 86_400_000)
        body["seriesSlug"] = slug
        body["series"] = [{"id": SERIES.get((market.symbol, market.duration_s), slug), "slug": slug, "title": slug}]
        body["tags"] = [{"id": "102127", "slug": "up-or-down", "label": "Up or Down"}]
    return body


def _event_metadata(market: Market, resolution: Resolution, now: int) -> dict[str, Any] | None:
    """Strike and final price, from about a minute after the end."""
    if resolution is None or now < market.end + STRIKE_TOLD_MS:
        return None
    decided = resolution[0]
    told: dict[str, Any] = {}
    if decided.strike is not None:
        told["priceToBeat"] = number(show_fixed(decided.strike, 8))
    if decided.final is not None:
        told["finalPrice"] = number(show_fixed(decided.final, 8))
    return told


def clob_info(market: Market, book: WireBook) -> dict[str, Any]:
    """``/clob-markets/{condition_id}``."""
    labels = outcomes(market)
    body: dict[str, Any] = {
        "gst": None,
        "r": _rewards(market),
        "t": [{"t": market.up, "o": labels[0]}, {"t": market.down, "o": labels[1]}],
        "mos": size_number(market.min_size),
        "mts": price_number(book.tick),
        "mbf": 0,
        "tbf": 1000 if market.fees.rate else 0,
        "rfqe": False,
        "ibce": False,
        "oas": 0,
        "nr": market.neg_risk,
    }
    if market.taker_delay:
        body["itode"] = True
    if market.fees.rate:
        body["fd"] = {"r": rate_number(market), "e": market.fees.exponent, "to": True}
    return body


def _rewards(market: Market) -> dict[str, Any]:
    return {
        "max_spread": number(show_fixed(market.reward_max_spread, 2)),
        "min_size": size_number(market.reward_min_size),
        "rates": [
            {"asset_address": COLLATERAL, "rewards_daily_rate": rate_of_rewards(market)}
        ] if market.reward_rate_day > 0 else None,
    }


def clob_market(market: Market, book: WireBook, resolution: Resolution, now: int) -> dict[str, Any]:
    """``/markets/{condition_id}``: the CLOB's long shape."""
    closed = resolution is not None
    return {
        "condition_id": market.condition_id,
        "question_id": market.condition_id,
        "question": question(market),
        "description": description(market),
        "market_slug": market.slug,
        "end_date_iso": iso(market.end),
        "game_start_time": None,
        "accepting_orders": market.accepting and not closed and now < market.end,
        "accepting_order_timestamp": None,
        "active": True,
        "closed": closed,
        "archived": False,
        "enable_order_book": True,
        "minimum_order_size": size_number(market.min_size),
        "minimum_tick_size": price_number(book.tick),
        "maker_base_fee": 0,
        "taker_base_fee": 1000 if market.fees.rate else 0,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": "",
        "is_50_50_outcome": resolution is not None and resolution[0].winner is None,
        "seconds_delay": 0,
        "rewards": _rewards(market),
        "tags": [],
        "tokens": _tokens(market, book, resolution),
    }


def clob_simple(market: Market, book: WireBook, resolution: Resolution, now: int) -> dict[str, Any]:
    """A row of ``/simplified-markets``."""
    return {
        "condition_id": market.condition_id,
        "rewards": _rewards(market),
        "tokens": _tokens(market, book, resolution),
        "active": True,
        "closed": resolution is not None,
        "archived": False,
        "accepting_orders": market.accepting and resolution is None and now < market.end,
    }


def _tokens(market: Market, book: WireBook, resolution: Resolution) -> list[dict[str, Any]]:
    prices = _shown_prices(book, resolution)
    rows = []
    for token, label, price, side in zip(
        (market.up, market.down), outcomes(market), prices, (Side.UP, Side.DOWN), strict=True
    ):
        winner = resolution is not None and resolution[0].winner is side
        rows.append({"token_id": token, "outcome": label, "price": number(price), "winner": winner})
    return rows


def midpoint_text(bid: int, ask: int) -> str:
    """The middle of two prices, exact to half a tick."""
    return show_fixed((bid + ask) * 5, 5)


def spread_text(bid: int, ask: int) -> str:
    return price_text(ask - bid)
