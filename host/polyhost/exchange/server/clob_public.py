"""The CLOB's public calls: books, prices, market parameters, price history. Shapes: polymarket.md 3.1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web

from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.catalogue import clob_info, clob_market, clob_simple, midpoint_text, spread_text
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import (
    ENGINE,
    HttpError,
    answer,
    json_body,
    market_of_token,
    open_book,
    query_int,
    raw_answer,
)
from polyhost.exchange.server.jsons import page, price_number
from polyhost.model.market import Market
from polyhost.model.money import price_text
from polyhost.model.words import Action

BOOKS_MAX: Final = 500
"""Tokens in one batch call."""
HISTORY_S_MAX: Final = 15 * 86_400
INTERVALS_S: Final = {"1h": 3_600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1m": 2_592_000, "max": 2_592_000}

routes = web.RouteTableDef()


@routes.get("/ok")
@routes.get("/")
async def ok(request: web.Request) -> web.Response:
    return answer("OK")


@routes.get("/time")
async def time(request: web.Request) -> web.Response:
    """Market time in unix seconds, as the venue's clock shows it."""
    engine = request.app[ENGINE]
    return answer(engine.clock.now // 1_000 + engine.skew_s)


@routes.get("/version")
async def version(request: web.Request) -> web.Response:
    return answer({"version": request.app[ENGINE].settings.troubles.protocol})


# --- books ------------------------------------------------------------------------------------------------------------


def _token_parameter(request: web.Request) -> str:
    token = request.query.get("token_id", "") or request.match_info.get("token_id", "")
    if not token:
        raise HttpError(400, "Invalid token id")
    return token


async def _batch(request: web.Request) -> list[dict[str, Any]]:
    body = await json_body(request)
    if not isinstance(body, list) or not all(isinstance(item, dict) and "token_id" in item for item in body):
        raise HttpError(400, "Invalid payload")
    if len(body) > BOOKS_MAX:
        raise HttpError(400, "Payload exceeds the limit")
    return body


def _known(engine: Engine, items: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, WireBook]]:
    """Items whose books exist; a batch leaves out the others, as the venue does."""
    for item in items:
        try:
            token, book = open_book(engine, str(item["token_id"]))
        except HttpError:
            continue
        yield item, token, book


@routes.get("/book")
async def book(request: web.Request) -> web.Response:
    token, found = open_book(request.app[ENGINE], _token_parameter(request))
    return raw_answer(found.render(token))


@routes.post("/books")
async def books(request: web.Request) -> web.Response:
    items = await _batch(request)
    rows = [found.render(token) for _, token, found in _known(request.app[ENGINE], items)]
    return raw_answer(b"[" + b",".join(rows) + b"]")


@routes.get("/midpoint")
async def midpoint(request: web.Request) -> web.Response:
    token, found = open_book(request.app[ENGINE], _token_parameter(request))
    return answer({"mid": midpoint_text(*found.best(token))})


@routes.post("/midpoints")
async def midpoints(request: web.Request) -> web.Response:
    items = await _batch(request)
    rows = _known(request.app[ENGINE], items)
    return answer({token: midpoint_text(*found.best(token)) for _, token, found in rows})


def _price(found: WireBook, token: str, side: str) -> str:
    """BUY is the best bid, SELL the best ask."""
    if side not in Action.__members__:
        raise HttpError(400, "Invalid side")
    bid, ask = found.best(token)
    return price_text(bid if side == "BUY" else ask)


@routes.get("/price")
async def price(request: web.Request) -> web.Response:
    token, found = open_book(request.app[ENGINE], _token_parameter(request))
    return answer({"price": _price(found, token, request.query.get("side", ""))})


@routes.post("/prices")
async def prices(request: web.Request) -> web.Response:
    items = await _batch(request)
    rows: dict[str, dict[str, str]] = {}
    for item, token, found in _known(request.app[ENGINE], items):
        side = str(item.get("side", ""))
        rows.setdefault(token, {})[side] = _price(found, token, side)
    return answer(rows)


@routes.get("/spread")
async def spread(request: web.Request) -> web.Response:
    token, found = open_book(request.app[ENGINE], _token_parameter(request))
    return answer({"spread": spread_text(*found.best(token))})


@routes.post("/spreads")
async def spreads(request: web.Request) -> web.Response:
    items = await _batch(request)
    rows = _known(request.app[ENGINE], items)
    return answer({token: spread_text(*found.best(token)) for _, token, found in rows})


def _last_trade(engine: Engine, token: str) -> dict[str, str]:
    """The last print; before the first one 0.5 and no side."""
    last = engine.world.exchange.last_trade(token)
    if last is None:
        return {"price": "0.5", "side": ""}
    return {"price": price_text(last.price), "side": last.action.value}


@routes.get("/last-trade-price")
async def last_trade_price(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    token, _ = open_book(engine, _token_parameter(request))
    return answer(_last_trade(engine, token))


@routes.post("/last-trades-prices")
async def last_trades_prices(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    items = await _batch(request)
    rows = [{"token_id": token, **_last_trade(engine, token)} for _, token, _found in _known(engine, items)]
    return answer([row for row in rows if row["side"]])


# --- market parameters ------------------------------------------------------------------------------------------------


@routes.get("/tick-size")
@routes.get("/tick-size/{token_id}")
async def tick_size(request: web.Request) -> web.Response:
    token, _ = market_of_token(request.app[ENGINE], _token_parameter(request))
    return answer({"minimum_tick_size": price_number(request.app[ENGINE].books[token].tick)})


@routes.get("/neg-risk")
async def neg_risk(request: web.Request) -> web.Response:
    _, market = market_of_token(request.app[ENGINE], _token_parameter(request))
    return answer({"neg_risk": market.neg_risk})


@routes.get("/fee-rate")
async def fee_rate(request: web.Request) -> web.Response:
    """The legacy figure, which is no fee."""
    _, market = market_of_token(request.app[ENGINE], _token_parameter(request))
    return answer({"base_fee": 1000 if market.fees.rate else 0})


@routes.get("/markets-by-token/{token_id}")
async def markets_by_token(request: web.Request) -> web.Response:
    market = request.app[ENGINE].world.market_by_token(request.match_info["token_id"])
    if market is None:
        raise HttpError(404, "market not found")
    return answer({
        "condition_id": market.condition_id, "primary_token_id": market.up, "secondary_token_id": market.down,
    })


def condition_market(engine: Engine, condition_id: str) -> Market:
    """Raises HttpError 404."""
    market = engine.world.market_by_condition(condition_id)
    if market is None:
        raise HttpError(404, "market not found")
    return market


@routes.get("/clob-markets/{condition_id}")
async def clob_markets(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    market = condition_market(engine, request.match_info["condition_id"])
    return answer(clob_info(market, engine.books[market.up]))


def clob_market_answer(engine: Engine, condition_id: str) -> web.Response:
    """``/markets/{condition_id}`` (the path is shared with Gamma's ids)."""
    market = condition_market(engine, condition_id)
    return answer(clob_market(market, engine.books[market.up], engine.resolution(market), engine.clock.now))


@routes.get("/markets")
@routes.get("/sampling-markets")
@routes.get("/simplified-markets")
@routes.get("/sampling-simplified-markets")
async def markets_page(request: web.Request) -> web.Response:
    """Pages of markets; the sampling ones hold only what is open."""
    engine = request.app[ENGINE]
    shape = clob_simple if "simplified" in request.path else clob_market
    every = engine.world.listing(False if "sampling" in request.path else None)
    try:
        part, envelope = page(every, request.query.get("next_cursor", ""))
    except ValueError as error:
        raise HttpError(400, "Invalid payload") from error
    rows = [shape(market, engine.books[market.up], engine.resolution(market), engine.clock.now) for market in part]
    return answer({"data": rows, **envelope})


# --- history ----------------------------------------------------------------------------------------------------------


@routes.get("/prices-history")
async def prices_history(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    token, _ = market_of_token(engine, request.query.get("market", ""))
    start, end = _history_range(request, engine.clock.now // 1_000)
    fidelity = max(query_int(request, "fidelity", 1), 1)
    points = engine.world.price_history(token, start, end, fidelity)
    return answer({"history": [{"t": at, "p": price_number(value)} for at, value in points]})


def _history_range(request: web.Request, now_s: int) -> tuple[int, int]:
    """From ``startTs`` and ``endTs``, or from ``interval``. Raises HttpError 400."""
    interval = request.query.get("interval", "")
    if interval:
        length = INTERVALS_S.get(interval)
        if length is None:
            raise HttpError(400, "invalid interval")
        return now_s - length, now_s
    start, end = query_int(request, "startTs", -1), query_int(request, "endTs", now_s)
    if start < 0:
        raise HttpError(400, "either interval or startTs is required")
    if end - start > HISTORY_S_MAX:
        raise HttpError(400, "'startTs' and 'endTs' interval is too long")
    return start, end
