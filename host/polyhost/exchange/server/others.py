"""Binance's REST calls, the relayer's and the website's few, and the exchange's own: what time is it here."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from eth_utils.address import is_address, to_checksum_address

from polyhost.exchange.server.binance import MINUTE_MS, rest_book_ticker, rest_kline, symbol_of
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, HttpError, answer, query_int

KLINES_MAX: Final = 1_000
KLINES: Final = 500

routes = web.RouteTableDef()


@routes.get("/sim/time")
async def sim_time(request: web.Request) -> web.Response:
    """Market ms, the speed limit, and the speed that was reached."""
    clock = request.app[ENGINE].clock
    return answer({"now": clock.now, "speed": clock.speed, "effective": round(clock.effective, 3)})


@routes.get("/deployed")
async def deployed(request: web.Request) -> web.Response:
    """A wallet is deployed once its key has shown itself, as if the website had done it."""
    address = request.query.get("address", "")
    if not is_address(address):
        raise HttpError(400, "invalid address")
    known = request.app[ENGINE].wallets.deployed(to_checksum_address(address), request.query.get("type", ""))
    return answer({"deployed": known})


@routes.get("/api/geoblock")
async def geoblock(request: web.Request) -> web.Response:
    country = request.app[ENGINE].settings.troubles.country
    return answer({"blocked": bool(country), "ip": request.remote or "", "country": country, "region": ""})


@routes.get("/api/v3/ping")
async def ping(request: web.Request) -> web.Response:
    return answer({})


@routes.get("/api/v3/time")
async def server_time(request: web.Request) -> web.Response:
    return answer({"serverTime": request.app[ENGINE].clock.now})


def _bad(code: int, text: str) -> web.Response:
    """Binance's error body."""
    return answer({"code": code, "msg": text}, 400)


def _symbol(engine: Engine, request: web.Request) -> str | None:
    symbol = symbol_of(request.query.get("symbol", ""))
    return symbol if symbol in engine.settings.world.symbols else None


@routes.get("/api/v3/klines")
async def klines(request: web.Request) -> web.Response:
    """One-minute candles only."""
    engine = request.app[ENGINE]
    symbol = _symbol(engine, request)
    if symbol is None:
        return _bad(-1121, "Invalid symbol.")
    if request.query.get("interval") != "1m":
        return _bad(-1120, "Invalid interval.")
    start = query_int(request, "startTime", -1)
    end = query_int(request, "endTime", -1)
    limit = min(max(query_int(request, "limit", KLINES), 1), KLINES_MAX)
    # Binance rounds a start up to the next candle.
    first = None if start < 0 else -(-start // MINUTE_MS) * MINUTE_MS
    rows = engine.world.klines(symbol, first, None if end < 0 else end, limit)
    return answer([rest_kline(candle) for candle in rows])


@routes.get("/api/v3/ticker/bookTicker")
async def book_ticker(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    if "symbol" not in request.query:
        return answer([rest_book_ticker(symbol, engine.world.spot(symbol)) for symbol in engine.settings.world.symbols])
    symbol = _symbol(engine, request)
    if symbol is None:
        return _bad(-1121, "Invalid symbol.")
    return answer(rest_book_ticker(symbol, engine.world.spot(symbol)))
