"""The CLOB's calls about liquidity rewards: programs, what scores, what an account earned. Shapes: polymarket.md 3, 6.

Read from the official client's models (polymarket-client 0.14.0, read 2026-11).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from eth_utils.address import is_address

from polyhost.exchange.rewards import DAY_MS
from polyhost.exchange.server.catalogue import COLLATERAL, outcomes, question, rate_of_rewards
from polyhost.exchange.server.clob_private import asked_wallet
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, HttpError, answer, credentials, json_body
from polyhost.exchange.server.jsons import number, page, price_number, size_number
from polyhost.model.market import Market
from polyhost.model.money import Micros, show_fixed

ORDERS_MAX: Final = 500
"""Orders in one question about scoring."""

routes = web.RouteTableDef()


# --- what scores ------------------------------------------------------------------------------------------------------


@routes.get("/order-scoring")
async def order_scoring(request: web.Request) -> web.Response:
    who = await credentials(request)
    order_id = request.query.get("order_id", "")
    if not order_id:
        raise HttpError(400, "Invalid orderID")
    engine = request.app[ENGINE]
    return answer({"scoring": engine.world.exchange.scoring(order_id, who.api_key, engine.clock.now)})


@routes.post("/orders-scoring")
async def orders_scoring(request: web.Request) -> web.Response:
    who = await credentials(request)
    body = await json_body(request)
    if not isinstance(body, list) or len(body) > ORDERS_MAX or not all(isinstance(item, str) for item in body):
        raise HttpError(400, "Invalid payload")
    engine = request.app[ENGINE]
    scoring = engine.world.exchange.scoring
    return answer({order_id: scoring(order_id, who.api_key, engine.clock.now) for order_id in body})


# --- programs ---------------------------------------------------------------------------------------------------------


def _page(request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
    try:
        part, envelope = page(rows, request.query.get("next_cursor", ""))
    except ValueError as error:
        raise HttpError(400, "Invalid payload") from error
    return answer({"data": part, **envelope})


def _programs(engine: Engine) -> list[Market]:
    """Open markets with a program."""
    return [market for market in engine.world.listing(False) if market.reward_rate_day > 0]


def _config(market: Market) -> list[dict[str, Any]]:
    """A program runs as long as its market."""
    start = market.start if market.start is not None else 0
    return [{
        "asset_address": COLLATERAL, "start_date": start, "end_date": int(market.end),
        "rate_per_day": rate_of_rewards(market), "total_rewards": 0,
    }]


def _limits(market: Market) -> dict[str, Any]:
    return {
        "rewards_max_spread": number(show_fixed(market.reward_max_spread, 2)),
        "rewards_min_size": size_number(market.reward_min_size),
        "rewards_config": _config(market),
    }


def _described(engine: Engine, market: Market) -> dict[str, Any]:
    """A market with its program, as the pages of the website show it."""
    book = engine.books[market.up]
    tokens = [
        {"token_id": token, "outcome": label, "price": price_number(book.best(token)[0])}
        for token, label in zip((market.up, market.down), outcomes(market), strict=True)
    ]
    return {
        "condition_id": market.condition_id, "question": question(market), "market_slug": market.slug,
        "event_slug": market.slug, "image": "", "market_competitiveness": 0, "tokens": tokens, **_limits(market),
    }


@routes.get("/rewards/markets/current")
async def current(request: web.Request) -> web.Response:
    rows = [
        {
            "condition_id": market.condition_id, **_limits(market), "native_daily_rate": rate_of_rewards(market),
            "sponsored_daily_rate": 0, "sponsors_count": 0, "total_daily_rate": rate_of_rewards(market),
        }
        for market in _programs(request.app[ENGINE])
    ]
    return _page(request, rows)


@routes.get("/rewards/markets/{condition_id:0x[0-9a-fA-F]+}")
async def of_market(request: web.Request) -> web.Response:
    engine, wanted = request.app[ENGINE], request.match_info["condition_id"].lower()
    found = [market for market in _programs(engine) if market.condition_id.lower() == wanted]
    return _page(request, [_described(engine, market) for market in found])


# --- what an account earned -------------------------------------------------------------------------------------------


def _day(request: web.Request, now: int) -> int:
    """The day asked for (default: today) in days since 1970, UTC. Raises HttpError 400."""
    text = request.query.get("date", "")
    if not text:
        return now // DAY_MS
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000) // DAY_MS
    except ValueError as error:
        raise HttpError(400, "invalid date") from error


def _amount(micros: Micros) -> Any:
    return number(show_fixed(micros, 6))


@routes.get("/rebates/current")
async def rebates(request: web.Request) -> web.Response:
    """Maker rebates of a day by market. This exchange pays none (docs/seam.md)."""
    if not is_address(request.query.get("maker_address", "")):
        raise HttpError(400, "invalid maker address")
    _day(request, request.app[ENGINE].clock.now)
    return answer([])


@routes.get("/rewards/user")
async def of_user(request: web.Request) -> web.Response:
    """By market: of today what was earned so far, of another day what was paid."""
    who = await credentials(request)
    engine = request.app[ENGINE]
    day = _day(request, engine.clock.now)
    wallet = asked_wallet(request, who)
    earned = engine.world.exchange.rewards_earned(wallet, day, engine.clock.now)
    rows = [
        {
            "condition_id": condition_id, "asset_address": COLLATERAL, "asset_rate": 1, "date": day * DAY_MS,
            "earnings": _amount(amount), "maker_address": wallet,
        }
        for condition_id, amount in earned.items()
    ]
    return _page(request, rows)


@routes.get("/rewards/user/total")
async def total(request: web.Request) -> web.Response:
    who = await credentials(request)
    engine = request.app[ENGINE]
    day = _day(request, engine.clock.now)
    wallet = asked_wallet(request, who)
    earned = sum(engine.world.exchange.rewards_earned(wallet, day, engine.clock.now).values())
    row = {
        "asset_address": COLLATERAL, "asset_rate": 1, "date": day * DAY_MS, "earnings": _amount(earned),
        "maker_address": wallet,
    }
    return answer([row] if earned else [])


@routes.get("/rewards/user/percentages")
async def percentages(request: web.Request) -> web.Response:
    """Part of all scores at the last sample, in percent by market."""
    who = await credentials(request)
    return answer(request.app[ENGINE].world.exchange.reward_parts(asked_wallet(request, who)))


@routes.get("/rewards/user/markets")
async def markets_of_user(request: web.Request) -> web.Response:
    """Programs with what the account earned in each on a day."""
    who = await credentials(request)
    engine = request.app[ENGINE]
    wallet, exchange = asked_wallet(request, who), engine.world.exchange
    earned = exchange.rewards_earned(wallet, _day(request, engine.clock.now), engine.clock.now)
    parts = exchange.reward_parts(wallet)
    rows = [
        {
            **_described(engine, market), "maker_address": wallet,
            "earning_percentage": parts.get(market.condition_id, 0.0),
            "earnings": [{
                "asset_address": COLLATERAL, "asset_rate": 1, "earnings": _amount(earned.get(market.condition_id, 0)),
            }],
        }
        for market in _programs(engine)
    ]
    return _page(request, rows)
