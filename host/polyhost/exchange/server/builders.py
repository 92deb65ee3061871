"""Builder codes on the wire: what one costs, and the trades credited to it. Both are public.

Read from the official clients (polymarket-client 0.14.0 ``BuilderFeeRates`` and ``BuilderTrade``, py-clob-client-v2
1.2.1 ``get_builder_trades``, read 2026-11). The venue does not say what ``fee`` counts; here it is what the builder
earned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from polyhost.exchange.api import StoredTrade
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, HttpError, answer, query_int
from polyhost.exchange.server.jsons import page
from polyhost.model.builder import PPM_OF_A_BASIS_POINT, builder_code
from polyhost.model.gateway import MakerSlice
from polyhost.model.market import normal_token
from polyhost.model.money import Micros, notional, price_text, size_text
from polyhost.model.words import Side

routes = web.RouteTableDef()


@routes.get("/fees/builder-fees/{code}")
async def builder_fees(request: web.Request) -> web.Response:
    """Rates in basis points; 404 for a code that nobody has."""
    found = request.app[ENGINE].world.exchange.builder(_code(request.match_info["code"]))
    if found is None:
        raise HttpError(404, "builder not found")
    return answer({
        "builder_maker_fee_rate_bps": found.maker / PPM_OF_A_BASIS_POINT,
        "builder_taker_fee_rate_bps": found.taker / PPM_OF_A_BASIS_POINT,
    })


@routes.get("/builder/trades")
async def builder_trades(request: web.Request) -> web.Response:
    """A row for each order with the code in each trade, newest first."""
    engine, query = request.app[ENGINE], request.query
    code = _code(query.get("builder_code", ""))
    trades = engine.world.exchange.trades_of_builder(code)
    after, before = query_int(request, "after", 0), query_int(request, "before", 0)
    rows = [
        row for trade in trades
        if after <= trade.row.matched_s and not (before and trade.row.matched_s > before)
        for row in _rows(engine, trade, code) if _wanted(row, query)
    ]
    try:
        part, envelope = page(rows, query.get("next_cursor", ""))
    except ValueError as error:
        raise HttpError(400, "Invalid payload") from error
    return answer({"data": part, **envelope})


def _code(text: str) -> str:
    try:
        return builder_code(text)
    except ValueError as error:
        raise HttpError(400, "Invalid builder code") from error


def _wanted(row: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    wanted = {
        "id": query.get("id", ""), "market": query.get("market", ""),
        "assetId": normal_token(query.get("asset_id", "")), "maker": query.get("maker_address", "").lower(),
    }
    return all(not value or str(row[name]).lower() == value.lower() for name, value in wanted.items())


def _rows(engine: Engine, trade: StoredTrade, code: str) -> Iterator[dict[str, Any]]:
    row = trade.row
    if trade.builder == code:
        taken = MakerSlice(row.taker_order_id, row.token_id, row.action, row.price, row.size)
        yield _row(engine, trade, code, "TAKER", taken, trade.taker_owner, trade.taker_account, trade.builder_fee)
    for index, part in enumerate(row.makers):
        named, fee = trade.maker_charge(index)
        if named == code:
            owner, account = trade.maker_owners[index], trade.maker_accounts[index]
            yield _row(engine, trade, code, "MAKER", part, owner, account, fee)


def _row(
    engine: Engine, trade: StoredTrade, code: str, kind: str, part: MakerSlice, owner: str, wallet: str, fee: Micros
) -> dict[str, Any]:
    row = trade.row
    market = engine.world.market_by_condition(row.condition_id)
    side = None if market is None else market.side_of(part.token_id)
    at = str(row.matched_s)
    return {
        "id": row.trade_id,
        "tradeType": kind,
        "takerOrderHash": row.taker_order_id,
        "builder": code,
        "market": row.condition_id,
        "assetId": part.token_id,
        "side": part.action.value,
        "size": size_text(part.size),
        "sizeUsdc": size_text(notional(part.size, part.price)),
        "price": price_text(part.price),
        "status": f"TRADE_STATUS_{row.status}",
        "outcome": engine.label(row.condition_id, part.token_id),
        "outcomeIndex": 1 if side is Side.DOWN else 0,
        "owner": owner,
        "maker": wallet,
        "transactionHash": trade.transaction_hash,
        "matchTime": at,
        "bucketIndex": 0,
        "fee": size_text(fee),
        "feeUsdc": size_text(fee),
        "err_msg": None,
        "createdAt": at,
        "updatedAt": str(trade.updated_ms // 1_000),
    }
