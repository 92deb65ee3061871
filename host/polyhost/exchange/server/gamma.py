"""The catalogue (Gamma): markets and events by slug, by id and as keyset lists. Shapes: polymarket.md 8.1."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from polyhost.exchange.server.catalogue import gamma_event, gamma_market
from polyhost.exchange.server.clob_public import clob_market_answer
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, HttpError, answer, query_int
from polyhost.exchange.server.jsons import cursor_at, offset_of
from polyhost.model.market import Market, normal_token

LIMIT_MAX: Final = 100
LIMIT: Final = 20
TAG: Final = "up-or-down"

routes = web.RouteTableDef()


def market_body(engine: Engine, market: Market) -> dict[str, Any]:
    book = engine.books[market.up]
    return gamma_market(market, engine.ident(market), book, engine.resolution(market), engine.clock.now)


def event_body(engine: Engine, market: Market) -> dict[str, Any]:
    book = engine.books[market.up]
    return gamma_event(market, engine.ident(market), book, engine.resolution(market), engine.clock.now)


def _found(engine: Engine, market: Market | None) -> Market:
    if market is None or not engine.listed(market):
        raise HttpError(404, "not found")
    return market


@routes.get("/markets/slug/{slug}")
async def market_by_slug(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    return answer(market_body(engine, _found(engine, engine.world.market_by_slug(request.match_info["slug"]))))


@routes.get("/events/slug/{slug}")
async def event_by_slug(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    return answer(event_body(engine, _found(engine, engine.world.market_by_slug(request.match_info["slug"]))))


@routes.get("/markets/keyset")
async def markets(request: web.Request) -> web.Response:
    return _list(request, "markets", market_body)


@routes.get("/events/keyset")
async def events(request: web.Request) -> web.Response:
    return _list(request, "events", event_body)


@routes.get("/markets/{ident}")
async def market_by_id(request: web.Request) -> web.Response:
    """Gamma's numeric id; a condition id is the CLOB's call, whose path is the same on this one address."""
    engine, ident = request.app[ENGINE], request.match_info["ident"]
    if ident.startswith("0x"):
        return clob_market_answer(engine, ident)
    return answer(market_body(engine, _found(engine, engine.market_by_ident(ident))))


@routes.get("/events/{ident}")
async def event_by_id(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    return answer(event_body(engine, _found(engine, engine.market_by_ident(request.match_info["ident"]))))


def _values(request: web.Request, name: str) -> set[str]:
    """A parameter given several times, or once with commas."""
    return {part for text in request.query.getall(name, []) for part in text.split(",") if part}


def _moment(request: web.Request, name: str) -> int | None:
    """A date parameter in ms. Raises HttpError 400."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000)
    except ValueError as error:
        raise HttpError(400, f"invalid {name}") from error


def _wanted(request: web.Request) -> Callable[[Market], bool]:
    """The filter that the query describes."""
    conditions = {value.lower() for value in _values(request, "condition_ids")}
    tokens = {normal_token(value) for value in _values(request, "clob_token_ids")}
    slugs = _values(request, "slug")
    tags = _values(request, "tag_slug")
    earliest, latest = _moment(request, "end_date_min"), _moment(request, "end_date_max")

    def keep(market: Market) -> bool:
        return (
            (not conditions or market.condition_id.lower() in conditions)
            and (not tokens or market.up in tokens or market.down in tokens)
            and (not slugs or market.slug in slugs)
            and (not tags or (TAG in tags and market.start is not None))
            and (earliest is None or market.end >= earliest)
            and (latest is None or market.end <= latest)
        )

    return keep


def _list(request: web.Request, name: str, body: Callable[[Engine, Market], dict[str, Any]]) -> web.Response:
    """A keyset page. Resolved markets are shown only for ``closed=true``, as at the venue."""
    engine = request.app[ENGINE]
    closed = request.query.get("closed", "false").lower() == "true"
    keep = _wanted(request)
    found = [market for market in engine.world.listing(closed) if engine.listed(market) and keep(market)]
    limit = min(max(query_int(request, "limit", LIMIT), 1), LIMIT_MAX)
    try:
        start = offset_of(request.query.get("after_cursor", ""))
    except ValueError as error:
        raise HttpError(400, "invalid after_cursor") from error
    answer_body: dict[str, Any] = {name: [body(engine, market) for market in found[start : start + limit]]}
    if start + limit < len(found):
        answer_body["next_cursor"] = cursor_at(start + limit)
    return answer(answer_body)
