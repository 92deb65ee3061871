"""Other services' answers about this world, at their own paths: Binance futures, Coinbase Exchange, alternative.me.

Shapes: developers.binance.com (USDS-M futures: mark price, funding rate history), docs.cdp.coinbase.com (Exchange:
product ticker), alternative.me/crypto/fear-and-greed-index; all read 2026-11.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from polyhost.exchange import outside
from polyhost.exchange.outside import DAY_MS, FUNDING_EVERY_MS
from polyhost.exchange.server.binance import pair, symbol_of
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, answer, query_int
from polyhost.model.money import show_fixed

FUNDINGS: Final = 100
FUNDINGS_MAX: Final = 1_000
MOODS_MAX: Final = 3_650
"""``limit=0`` asks for all there are: ten years."""

routes = web.RouteTableDef()


@routes.get("/fapi/v1/premiumIndex")
async def premium_index(request: web.Request) -> web.Response:
    """Mark price and the rate of the funding to come, of one symbol or of all."""
    engine = request.app[ENGINE]
    if "symbol" not in request.query:
        return answer([_premium(engine, symbol) for symbol in engine.settings.world.symbols])
    symbol = _symbol(engine, request.query["symbol"])
    return _bad_symbol() if symbol is None else answer(_premium(engine, symbol))


@routes.get("/fapi/v1/fundingRate")
async def funding_rate(request: web.Request) -> web.Response:
    """Funding rates that were exchanged, oldest first."""
    engine = request.app[ENGINE]
    symbol = _symbol(engine, request.query.get("symbol", ""))
    if symbol is None:
        return _bad_symbol()
    limit = min(max(query_int(request, "limit", FUNDINGS), 1), FUNDINGS_MAX)
    latest = engine.clock.now // FUNDING_EVERY_MS
    end = min(query_int(request, "endTime", engine.clock.now) // FUNDING_EVERY_MS, latest)
    start = query_int(request, "startTime", -1)
    first = end - limit + 1 if start < 0 else -(-start // FUNDING_EVERY_MS)
    numbers = range(max(first, 0), min(end, first + limit - 1) + 1)
    return answer([_funding(engine, symbol, number) for number in numbers])


@routes.get("/products/{product}/ticker")
async def product_ticker(request: web.Request) -> web.Response:
    """Coinbase's last trade and best quotes of a product (``BTC-USD``)."""
    engine = request.app[ENGINE]
    symbol, _, quote = request.match_info["product"].upper().partition("-")
    if quote != "USD" or symbol not in engine.settings.world.symbols:
        return answer({"message": "NotFound"}, 404)
    now = engine.clock.now
    price = outside.second_spot(engine.seed, symbol, engine.world.spot(symbol), now)
    step = 1_000_000
    return answer({
        "ask": _price(price + step), "bid": _price(price - step), "volume": "10000.00000000", "trade_id": now // 1_000,
        "price": _price(price), "size": "0.01000000", "time": _iso(now),
    })


@routes.get("/fng/")
@routes.get("/fng")
async def fear_and_greed(request: web.Request) -> web.Response:
    """The index of the present day and of those before, newest first."""
    engine = request.app[ENGINE]
    limit = query_int(request, "limit", 1)
    now = engine.clock.now
    today = now // DAY_MS
    days = range(today, today - min(limit or MOODS_MAX, MOODS_MAX), -1)
    rows: list[dict[str, str]] = [_mood(engine, day) for day in days]
    if rows:
        rows[0]["time_until_update"] = str(((today + 1) * DAY_MS - now) // 1_000)
    return answer({"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}})


def _symbol(engine: Engine, text: str) -> str | None:
    symbol = symbol_of(text)
    return symbol if symbol in engine.settings.world.symbols else None


def _bad_symbol() -> web.Response:
    return answer({"code": -1121, "msg": "Invalid symbol."}, 400)


def _premium(engine: Engine, symbol: str) -> dict[str, Any]:
    now, spot = engine.clock.now, engine.world.spot(symbol)
    return {
        "symbol": pair(symbol), "markPrice": _text(outside.mark(engine.seed, symbol, spot, now)),
        "indexPrice": _text(spot), "estimatedSettlePrice": _text(spot),
        "lastFundingRate": _text(outside.funding_e8(engine.seed, symbol, now)),
        "interestRate": _text(outside.FUNDING_USUAL_E8),
        "nextFundingTime": (now // FUNDING_EVERY_MS + 1) * FUNDING_EVERY_MS, "time": now,
    }


def _funding(engine: Engine, symbol: str, number: int) -> dict[str, Any]:
    """What was exchanged at a time is the rate of the eight hours before it."""
    at = number * FUNDING_EVERY_MS
    mark = outside.mark(engine.seed, symbol, engine.world.spot(symbol), at)
    rate = outside.funding_e8(engine.seed, symbol, at - 1)
    return {"symbol": pair(symbol), "fundingRate": _text(rate), "fundingTime": at, "markPrice": _text(mark)}


def _mood(engine: Engine, day: int) -> dict[str, str]:
    index = outside.fear_greed(engine.seed, day * DAY_MS)
    return {
        "value": str(index), "value_classification": outside.mood(index), "timestamp": str(day * DAY_MS // 1_000),
    }


def _text(value: int) -> str:
    return show_fixed(value, 8, 8)


def _price(value: int) -> str:
    return show_fixed(value, 8, 2)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
