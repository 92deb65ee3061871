"""The data API (v2): what wallets hold and did, resolutions, price history. Shapes: polymarket.md 8.3.

The venue's indexer lags the chain by seconds to minutes; this one does not (docs/exchange-server.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from eth_utils.address import is_address, to_checksum_address

from polyhost.exchange import api
from polyhost.exchange.portfolio import Holding, Move, Part, holdings_of, parts_of
from polyhost.exchange.server.accounts import data_trade
from polyhost.exchange.server.catalogue import outcomes, question
from polyhost.exchange.server.contracts import COLLATERAL, CONDITIONAL, POSITION_MANAGER, SPENDERS
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, HttpError, answer, market_of_token, query_int
from polyhost.exchange.server.jsons import cursor_at, iso, number, offset_of, price_number, size_number
from polyhost.model.market import Market
from polyhost.model.money import MICRO, ONE, Micros, Ticks, notional, show_fixed, size_text
from polyhost.model.order_hash import CHAIN_ID
from polyhost.model.words import Side

LIMIT_MAX: Final = 1_000
HISTORY_S_MAX: Final = 15 * 86_400
INTERVALS_S: Final = {
    "1h": 3_600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1m": 2_592_000, "max": 2_592_000, "all": 2_592_000,
}
STATUSES: Final = ("OPEN", "REDEEMABLE", "REDEEMABLE_LOST", "MERGEABLE", "CLOSED")

routes = web.RouteTableDef()


def _envelope(request: web.Request, rows: Sequence[Any]) -> web.Response:
    """One page of rows, by ``cursor`` and ``limit``."""
    limit = min(max(query_int(request, "limit", 100), 1), LIMIT_MAX)
    try:
        start = offset_of(request.query.get("cursor", ""))
    except ValueError as error:
        raise HttpError(400, "invalid cursor") from error
    more = start + limit < len(rows)
    following = cursor_at(start + limit) if more else None
    return answer({
        "data": rows[start : start + limit], "pagination": {"has_more": more, "next_cursor": following},
    })


def _wallet(request: web.Request) -> str:
    user = request.query.get("user", "")
    if not is_address(user):
        raise HttpError(400, "user is required")
    return to_checksum_address(user)


def _conditions(request: web.Request) -> set[str]:
    """The condition ids asked for; empty: all."""
    return {part for part in request.query.get("condition_id", "").lower().split(",") if part}


async def _parts(engine: Engine, request: web.Request) -> list[Part]:
    """The wallet's trades, oldest first."""
    wallet = _wallet(request)
    found: dict[str, api.StoredTrade] = {}
    for key in engine.ring.of_address(engine.wallets.owner_of(wallet) or wallet):
        reply = await engine.ask(api.TradesReply, lambda ident, key=key: api.GetTrades(ident, key))  # type: ignore[misc]
        found.update((trade.row.trade_id, trade) for trade in reversed(reply.trades))
    wanted = _conditions(request)
    trades = [trade for trade in found.values() if not wanted or trade.row.condition_id.lower() in wanted]
    trades.sort(key=lambda trade: trade.row.matched_s)  # stable: within a second the order of the answers stays
    return parts_of(wallet, trades)


def _moves(engine: Engine, wallet: str) -> list[Move]:
    """The wallet's splits and merges, oldest first."""
    moves = []
    for done in engine.world.exchange.transactions(wallet):
        for call in done.calls:
            market = engine.world.market_by_condition(call.condition_id)
            if market is not None and call.kind in ("split", "merge"):
                tokens = (market.up, market.down)
                moves.append(Move(call.kind, call.condition_id, tokens, call.size, done.at // 1_000))
    return moves


# --- positions --------------------------------------------------------------------------------------------------------


@routes.get("/v2/positions")
async def positions(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    status = request.query.get("status", "")
    if status and status not in STATUSES:
        raise HttpError(400, f"invalid status {status}")
    wallet = _wallet(request)
    held = engine.world.exchange.holdings(wallet)
    rows = []
    for holding in holdings_of(await _parts(engine, request), _moves(engine, wallet)).values():
        market = engine.world.market_by_token(holding.token_id)
        if market is None:
            continue
        row = _position(engine, wallet, market, holding, held)
        worth = notional(held.get(holding.token_id, 0), _mark(engine, market, holding.token_id))
        if _has_status(row, status, worth):
            rows.append(row)
    return _envelope(request, rows)


def _has_status(row: dict[str, Any], status: str, worth: Micros) -> bool:
    """True when the listing ``status`` shows this position; ``worth`` is its current value."""
    match status:
        case "":
            return bool(row["status"] != "CLOSED")
        case "REDEEMABLE_LOST":
            return bool(row["status"] == "REDEEMABLE") and worth == 0
        case "MERGEABLE":
            return bool(row["mergeable"])
        case _:
            return bool(row["status"] == status)


def _mark(engine: Engine, market: Market, token: str) -> Ticks:
    """What a share is worth: its payout, or the middle of the book (rounded down to a tick)."""
    resolution = engine.resolution(market)
    if resolution is None:
        bid, ask = engine.books[token].best(token)
        return (bid + ask) // 2
    winner = resolution[0].winner
    if winner is None:
        return ONE // 2
    return ONE if market.token(winner) == token else 0


def _position(
    engine: Engine, wallet: str, market: Market, holding: Holding, held: dict[str, Micros]
) -> dict[str, Any]:
    token = holding.token_id
    side = market.side_of(token)
    assert side is not None
    size = held.get(token, 0)
    other = market.token(side.other)
    price = _mark(engine, market, token)
    value = notional(size, price)
    resolved = engine.resolution(market) is not None
    status = "CLOSED" if not size else "REDEEMABLE" if resolved else "OPEN"
    unrealized = value - holding.cost if size else 0
    realized = holding.realized
    if not size and holding.size:  # redeemed or merged away: its worth was paid out
        realized += notional(holding.size, price) - holding.cost
    labels = outcomes(market)
    index = 0 if side is Side.UP else 1
    return {
        "proxy_wallet": wallet,
        "token_id": token,
        "condition_id": market.condition_id,
        "current_size": size_number(size),
        "avg_price": _ratio(holding.entry_cost, holding.bought),
        "entry_cost_usdc": size_number(holding.entry_cost),
        "entry_fees_usdc": size_number(holding.fees),
        "total_cost_usdc": size_number(holding.entry_cost + holding.fees),
        "current_price": price_number(price),
        "current_value": size_number(value),
        "total_size": size_number(holding.bought),
        "realized_pnl": size_number(realized),
        "unrealized_pnl": size_number(unrealized),
        "total_pnl": size_number(realized + unrealized),
        "percent_pnl": _percent(realized + unrealized, holding.entry_cost),
        "percent_realized_pnl": _percent(realized, holding.entry_cost),
        "status": status,
        "redeemable": resolved and size > 0,
        "mergeable": not resolved and size > 0 and held.get(other, 0) > 0,
        "negative_risk": market.neg_risk,
        "archived": False,
        "verified": True,
        "title": question(market),
        "slug": market.slug,
        "event_slug": market.slug,
        "event_id": engine.ident(market),
        "outcome": labels[index],
        "outcome_index": index,
        "opposite_outcome": labels[1 - index],
        "opposite_token_id": other,
        "end_date": iso(market.end)[:10],
        "last_event_at": holding.last_s,
        "first_entry_at": holding.first_s,
    }


def _ratio(top: int, bottom: int) -> Any:
    """A quotient with six places, rounded down; 0 when there is nothing to divide by."""
    return number(show_fixed(top * MICRO // bottom, 6)) if bottom else number("0")


def _percent(top: int, bottom: int) -> Any:
    return _ratio(100 * top, bottom)


# --- trades and activity ----------------------------------------------------------------------------------------------


def _trade(engine: Engine, wallet: str, part: Part) -> dict[str, Any]:
    market = engine.world.market_by_condition(part.trade.row.condition_id)
    if market is None:
        return data_trade(wallet, part.trade, part.maker, "", "", ("", 0))
    index = 0 if part.token_id == market.up else 1
    outcome = (outcomes(market)[index], index)
    return data_trade(wallet, part.trade, part.maker, question(market), market.slug, outcome)


@routes.get("/v2/trades")
async def trades(request: web.Request) -> web.Response:
    """Newest first."""
    engine = request.app[ENGINE]
    parts = await _parts(engine, request)
    side = request.query.get("side", "")
    wallet = _wallet(request)
    rows = [_trade(engine, wallet, part) for part in reversed(parts) if not side or part.action == side]
    return _envelope(request, rows)


@routes.get("/v2/activity")
async def activity(request: web.Request) -> web.Response:
    """Trades, splits, merges and redemptions, newest first."""
    engine = request.app[ENGINE]
    kinds = {part for part in request.query.get("type", "").split(",") if part}
    wallet = _wallet(request)
    rows = []
    if not kinds or "TRADE" in kinds:
        for part in reversed(await _parts(engine, request)):
            value = number(size_text(notional(part.size, part.price)))
            rows.append({**_trade(engine, wallet, part), "type": "TRADE", "is_combo": False, "usdc_size": value})
    rows += [row for row in _chain_rows(engine, wallet, _conditions(request)) if not kinds or row["type"] in kinds]
    rows.sort(key=lambda row: -row["timestamp"])  # stable: within a second trades come first
    return _envelope(request, rows)


def _chain_rows(engine: Engine, wallet: str, wanted: set[str]) -> list[dict[str, Any]]:
    """What the wallet's transactions did in markets, newest first."""
    rows = []
    for done in reversed(engine.world.exchange.transactions(wallet)):
        for call, paid in zip(done.calls, done.paid, strict=True):
            market = engine.world.market_by_condition(call.condition_id)
            if market is None or (wanted and call.condition_id.lower() not in wanted):
                continue
            rows.append({
                "proxy_wallet": wallet, "type": call.kind.upper(), "is_combo": False, "timestamp": done.at // 1_000,
                "transaction_hash": done.hash, "condition_id": call.condition_id, "usdc_size": size_number(abs(paid)),
                "title": question(market), "slug": market.slug, "event_slug": market.slug,
            })
    return rows


@routes.get("/v2/approvals")
async def approvals(request: web.Request) -> web.Response:
    """Who may move the wallet's collateral and shares: every contract or none, as the account is approved."""
    engine = request.app[ENGINE]
    wallet = _wallet(request)
    reply = await engine.ask(api.BalanceReply, lambda ident: api.GetBalance(ident, wallet))
    approved = reply.allowance > 0
    rows: list[dict[str, Any]] = []
    for token, standard in ((COLLATERAL, "ERC20"), (CONDITIONAL, "ERC1155"), (POSITION_MANAGER, "ERC1155")):
        for spender in SPENDERS:
            row = {"token": token, "spender": spender, "standard": standard, "approved": approved}
            rows.append({**row, "amount": "max"} if standard == "ERC20" else row)
    return answer({"data": {"address": wallet, "chain_id": CHAIN_ID, "contracts": rows}})


@routes.get("/v2/value")
async def value(request: web.Request) -> web.Response:
    """Worth of everything the wallet holds, without its cash."""
    engine = request.app[ENGINE]
    wallet = _wallet(request)
    wanted = _conditions(request)
    total = 0
    for token, size in engine.world.exchange.holdings(wallet).items():
        market = engine.world.market_by_token(token)
        if market is not None and (not wanted or market.condition_id.lower() in wanted):
            total += notional(size, _mark(engine, market, token))
    return answer({"data": {"proxy_wallet": wallet, "value": size_number(total)}})


# --- markets ----------------------------------------------------------------------------------------------------------


@routes.get("/v2/resolutions")
async def resolutions(request: web.Request) -> web.Response:
    """One row for each market asked for that is resolved."""
    engine = request.app[ENGINE]
    names = _conditions(request) or {request.query.get("condition", "").lower()}
    rows = []
    for name in sorted(names):
        market = engine.world.market_by_condition(name)
        resolution = None if market is None else engine.resolution(market)
        if market is not None and resolution is not None:
            rows.append(_resolution(market, resolution[0], resolution[1]))
    return answer({"data": rows})


def _resolution(market: Market, decided: api.MarketDecided, at: int) -> dict[str, Any]:
    up = MICRO // 2 if decided.winner is None else MICRO if decided.winner is Side.UP else 0
    return {
        "question_id": market.condition_id,
        "condition_id": market.condition_id,
        "status": "resolved",
        "extended_review": False,
        "was_disputed": False,
        "new_version_q": False,
        "price": number(show_fixed(up, 6)),
        "last_update_timestamp": at // 1_000,
        "market_type": "BINARY",
        "payouts": [up, MICRO - up],
        "resolution_source": "reported",
        "reporter": "CHAINLINK",
        "was_arbitrated": False,
        "resolved_at": at // 1_000,
    }


@routes.get("/v2/prices-history")
async def prices_history(request: web.Request) -> web.Response:
    """Midpoints of a token, one every ``bucket_seconds``."""
    engine = request.app[ENGINE]
    token, _ = market_of_token(engine, request.query.get("token_id", ""))
    bucket = max(query_int(request, "bucket_seconds", 60), 60)
    start, end = _range(request, engine.clock.now // 1_000)
    points = engine.world.price_history(token, start, end, bucket // 60)
    return _envelope(
        request, [{"timestamp": at, "price": price_number(price), "resolution_seconds": bucket} for at, price in points]
    )


def _range(request: web.Request, now_s: int) -> tuple[int, int]:
    """Exactly one of ``interval``, ``start`` and ``as_of``. Raises HttpError 400."""
    query = request.query
    if sum(bool(query.get(name, "")) for name in ("interval", "start", "as_of")) != 1:
        raise HttpError(400, "provide exactly one of interval, start, or as_of")
    if query.get("interval"):
        length = INTERVALS_S.get(query["interval"])
        if length is None:
            raise HttpError(400, "invalid interval")
        return now_s - length, now_s
    if query.get("as_of"):
        moment = query_int(request, "as_of", now_s)
        return moment - 60, moment
    start, end = query_int(request, "start", 0), query_int(request, "end", now_s)
    if not 0 <= end - start <= HISTORY_S_MAX:
        raise HttpError(400, "the window must not end before its start nor exceed 15 days")
    return start, end
