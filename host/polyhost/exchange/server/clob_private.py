"""The CLOB's calls for one key: API keys, orders, trades, balances, heartbeats. Shapes: polymarket.md 2 and 3.2."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any, Final

from aiohttp import web
from eth_utils.address import to_checksum_address

from polyhost.exchange import api
from polyhost.exchange.refusals import SERVER_ERROR
from polyhost.exchange.server.accounts import (
    cancel_answer,
    order_row,
    post_answer,
    refusal_answer,
    refused_leg,
    trade_row,
)
from polyhost.exchange.server.catalogue import clob_market
from polyhost.exchange.server.engine import Engine, wall_ms
from polyhost.exchange.server.http import (
    ENGINE,
    HttpError,
    NoAnswer,
    answer,
    charged,
    credentials,
    json_body,
    query_int,
)
from polyhost.exchange.server.jsons import page
from polyhost.exchange.server.keys import Credentials, prove_wallet
from polyhost.exchange.server.notices import REWARD_PAID, notice_row
from polyhost.exchange.server.orders import OrderRefused, judge, read_post
from polyhost.model.market import normal_token
from polyhost.model.order_hash import NEG_RISK_EXCHANGE, STANDARD_EXCHANGE
from polyhost.model.wallet_kinds import WalletKind, wallet_kind
from polyhost.model.words import Action

BATCH_MAX: Final = 15
CANCELS_MAX: Final = 3_000
ADDRESSES: Final = (STANDARD_EXCHANGE, NEG_RISK_EXCHANGE)
"""Contracts whose allowance is shown."""

routes = web.RouteTableDef()


# --- keys -------------------------------------------------------------------------------------------------------------


def _key_answer(made: Credentials) -> web.Response:
    return answer({"apiKey": made.api_key, "secret": made.secret, "passphrase": made.passphrase})


def _wallet(request: web.Request) -> tuple[str, int]:
    engine = request.app[ENGINE]
    return prove_wallet(request.headers, wall_ms() // 1_000, engine.clock.now // 1_000)


@routes.post("/auth/api-key")
async def create_key(request: web.Request) -> web.Response:
    """Opens the accounts of its four wallets with the first key of an address."""
    return _key_answer(request.app[ENGINE].create_key(*_wallet(request)))


@routes.get("/auth/derive-api-key")
async def derive_key(request: web.Request) -> web.Response:
    return _key_answer(request.app[ENGINE].ring.derive(*_wallet(request)))


@routes.get("/auth/api-keys")
async def list_keys(request: web.Request) -> web.Response:
    who = await credentials(request)
    return answer({"apiKeys": request.app[ENGINE].ring.of_address(who.address)})


@routes.delete("/auth/api-key")
async def delete_key(request: web.Request) -> web.Response:
    who = await credentials(request)
    request.app[ENGINE].delete_key(who)
    return answer("OK")


@routes.get("/auth/ban-status/closed-only")
async def closed_only(request: web.Request) -> web.Response:
    await credentials(request)
    return answer({"closed_only": request.app[ENGINE].settings.troubles.closed_only})


# --- posting ----------------------------------------------------------------------------------------------------------


def _admitted(engine: Engine) -> None:
    """Orders from a blocked place are turned away before the venue looks at them; reads are not. Raises HttpError."""
    country = engine.settings.troubles.country
    if country:
        raise HttpError(403, f"Trading restricted in your region ({country})")


async def _post(engine: Engine, raw: object, who: Credentials, *, counted: bool = False) -> api.Posted:
    """One order to the market and back. Raises OrderRefused when it never got there, NoAnswer when none comes."""
    order = judge(read_post(raw), who, engine.wallets, engine.world.market_by_token)
    if engine.settings.troubles.closed_only and order.action is Action.BUY:
        raise OrderRefused(f"'{order.account}' address in closed only mode")
    posted = await engine.ask(api.Posted, lambda ident: api.PostOrder(ident, order), counted=counted)
    if not posted.http:
        raise NoAnswer
    return posted


@routes.post("/order")
async def post_order(request: web.Request) -> web.Response:
    who = await credentials(request)
    _admitted(request.app[ENGINE])
    charged(request, request.app[ENGINE].limits.orders(who.address, 1, time()))
    posted = await _post(request.app[ENGINE], await json_body(request), who)
    if posted.http != 200:
        return answer(refusal_answer(posted), posted.http, posted.retry_after_s)
    return answer(post_answer(posted))


@routes.post("/orders")
async def post_orders(request: web.Request) -> web.Response:
    """Up to 15 orders, each with its own answer, in the order given; refused as a whole while the venue takes none."""
    who = await credentials(request)
    _admitted(request.app[ENGINE])
    body = await json_body(request)
    if not isinstance(body, list) or not body:
        raise HttpError(400, "Invalid order payload")
    if len(body) > BATCH_MAX:
        raise HttpError(400, f"Too many orders in payload: {len(body)}, max allowed: {BATCH_MAX}")
    engine = request.app[ENGINE]
    charged(request, engine.limits.orders(who.address, len(body), time()))
    engine.turn_away(all(isinstance(raw, dict) and raw.get("postOnly") is True for raw in body))
    with engine.released():
        legs = await asyncio.gather(*(_leg(engine, raw, who) for raw in body))
    return answer(legs)


async def _leg(engine: Engine, raw: object, who: Credentials) -> dict[str, Any]:
    """One order of a batch. Each waits for its taker delay by itself, so each holds market time by itself.

    An answer that is lost or broken is the whole batch's (NoAnswer, HttpError 500).
    """
    with engine.busy():
        try:
            posted = await _post(engine, raw, who, counted=True)
        except OrderRefused as refused:
            return refused_leg(refused.text)
    if (posted.http, posted.error) == SERVER_ERROR:
        raise HttpError(*SERVER_ERROR)
    return post_answer(posted) if posted.http == 200 else refused_leg(posted.error)


# --- cancelling -------------------------------------------------------------------------------------------------------


async def _cancel(
    request: web.Request, who: Credentials, ids: tuple[str, ...] | None, market: str = "", token: str = ""
) -> web.Response:
    """Cancel these orders, or all of a market, a token, the key; charged by the number of orders."""
    engine = request.app[ENGINE]
    charged(request, engine.limits.cancels(who.address, 1 if ids is None else len(ids), time()))
    done = await engine.ask(
        api.Canceled, lambda ident: api.CancelOrders(ident, who.api_key, ids, market, normal_token(token))
    )
    if done.http != 200:
        return answer({"error": done.error}, done.http, done.retry_after_s)
    if ids is None:
        charged(request, engine.limits.ended(who.address, len(done.canceled), time()))
    return answer(cancel_answer(done))


@routes.delete("/order")
async def cancel_order(request: web.Request) -> web.Response:
    who = await credentials(request)
    body = await json_body(request)
    order_id = body.get("orderID") if isinstance(body, dict) else None
    if not isinstance(order_id, str) or not order_id:
        raise HttpError(400, "Invalid orderID")
    return await _cancel(request, who, (order_id,))


@routes.delete("/orders")
async def cancel_orders(request: web.Request) -> web.Response:
    who = await credentials(request)
    body = await json_body(request)
    if not isinstance(body, list) or not all(isinstance(item, str) for item in body):
        raise HttpError(400, "Invalid order payload")
    if len(body) > CANCELS_MAX:
        raise HttpError(400, f"Too many orders in payload, max allowed: {CANCELS_MAX}")
    return await _cancel(request, who, tuple(dict.fromkeys(body)))


@routes.delete("/cancel-all")
async def cancel_all(request: web.Request) -> web.Response:
    who = await credentials(request)
    return await _cancel(request, who, None)


@routes.delete("/cancel-market-orders")
async def cancel_market_orders(request: web.Request) -> web.Response:
    who = await credentials(request)
    body = await json_body(request)
    market = body.get("market") or "" if isinstance(body, dict) else ""
    token = body.get("asset_id") or "" if isinstance(body, dict) else ""
    if not isinstance(market, str) or not isinstance(token, str) or not (market or token):
        raise HttpError(400, "Invalid market")
    return await _cancel(request, who, None, market, token)


# --- reading ----------------------------------------------------------------------------------------------------------


@routes.get("/data/order/{order_id}")
async def get_order(request: web.Request) -> web.Response:
    """In any state; 404 for an order that is not this key's."""
    who = await credentials(request)
    order_id = request.match_info["order_id"]
    reply = await request.app[ENGINE].ask(
        api.OrderReply, lambda ident: api.GetOrder(ident, who.api_key, order_id)
    )
    if reply.order is None:
        raise HttpError(404, "order not found")
    return answer(order_row(reply.order))


def _page(rows: list[dict[str, Any]], request: web.Request) -> web.Response:
    try:
        part, envelope = page(rows, request.query.get("next_cursor", ""))
    except ValueError as error:
        raise HttpError(400, "invalid order params payload") from error
    return answer({"data": part, **envelope})


@routes.get("/data/orders")
async def get_orders(request: web.Request) -> web.Response:
    """Live orders; with ``id`` that order in any state."""
    who = await credentials(request)
    engine = request.app[ENGINE]
    order_id = request.query.get("id", "")
    if order_id:
        found = await engine.ask(api.OrderReply, lambda ident: api.GetOrder(ident, who.api_key, order_id))
        return _page([] if found.order is None else [order_row(found.order)], request)
    market = request.query.get("market", "")
    token = normal_token(request.query.get("asset_id", ""))
    reply = await engine.ask(
        api.OrdersReply, lambda ident: api.GetOpenOrders(ident, who.api_key, market, token)
    )
    return _page([order_row(order) for order in reply.orders], request)


@routes.get("/data/pre-migration-orders")
async def get_old_orders(request: web.Request) -> web.Response:
    """This exchange never had orders of the dead protocol."""
    await credentials(request)
    return _page([], request)


@routes.get("/data/trades")
async def get_trades(request: web.Request) -> web.Response:
    who = await credentials(request)
    engine = request.app[ENGINE]
    query = request.query
    wallet = query.get("maker_address", "").lower()
    after, before = query_int(request, "after", 0), query_int(request, "before", 0)
    reply = await engine.ask(
        api.TradesReply,
        lambda ident: api.GetTrades(
            ident,
            who.api_key,
            query.get("market", ""),
            normal_token(query.get("asset_id", "")),
            query.get("id", ""),
            after,
            before,
        ),
    )
    found = [trade for trade in reply.trades if not wallet or wallet in _wallets_in(trade)]
    return _page([trade_row(trade, who.api_key, engine.label) for trade in found], request)


def _wallets_in(trade: api.StoredTrade) -> set[str]:
    """Everybody who took part, in lower case."""
    return {account.lower() for account in (trade.taker_account, *trade.maker_accounts)}


def asked_wallet(request: web.Request, who: Credentials) -> str:
    """The key's wallet that ``signature_type`` (absent: 0) names. Raises HttpError 400."""
    kind = wallet_kind(query_int(request, "signature_type", WalletKind.EOA))
    if kind is None:
        raise HttpError(400, "Invalid payload")
    return request.app[ENGINE].wallets.of(who.address, kind)


@routes.get("/balance-allowance")
async def balance_allowance(request: web.Request) -> web.Response:
    who = await credentials(request)
    kind = request.query.get("asset_type", "")
    token = normal_token(request.query.get("token_id", ""))
    if kind not in ("COLLATERAL", "CONDITIONAL") or (kind == "CONDITIONAL" and not token):
        raise HttpError(400, "Invalid payload")
    asset = token if kind == "CONDITIONAL" else ""
    wallet = asked_wallet(request, who)
    reply = await request.app[ENGINE].ask(api.BalanceReply, lambda ident: api.GetBalance(ident, wallet, asset))
    allowances = {to_checksum_address(address): str(reply.allowance) for address in ADDRESSES}
    return answer({"balance": str(reply.balance), "allowances": allowances})


@routes.get("/balance-allowance/update")
async def update_balance_allowance(request: web.Request) -> web.Response:
    """Read the wallet's balances from the chain anew: bought shares that are mined show from now on."""
    who = await credentials(request)
    wallet = asked_wallet(request, who)
    await request.app[ENGINE].ask(api.Done, lambda ident: api.RefreshBalance(ident, wallet))
    return answer("")


# --- the rest ---------------------------------------------------------------------------------------------------------


@routes.post("/v1/heartbeats")
async def heartbeat(request: web.Request) -> web.Response:
    """Arms, or feeds, the dead-man's switch of the key: without a next one all its orders are cancelled."""
    who = await credentials(request)
    body = await json_body(request)
    shown = body.get("heartbeat_id") if isinstance(body, dict) else None
    if not isinstance(shown, str):
        raise HttpError(400, "Invalid payload")
    engine = request.app[ENGINE]
    switches = engine.heartbeats
    if engine.pathologies.holds("heartbeat_lost", engine.clock.now):
        switches.lose(who.api_key)
        raise HttpError(500, "Internal server error")
    if not switches.beat(who.api_key, shown, wall_ms()):
        return answer({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": switches.expected(who.api_key)}, 400)
    return answer({"heartbeat_id": switches.expected(who.api_key)})


@routes.get("/notifications")
async def notifications(request: web.Request) -> web.Response:
    """Of the wallet that ``signature_type`` names, newest first."""
    who = await credentials(request)
    engine, wallet = request.app[ENGINE], asked_wallet(request, who)
    rows = []
    for notice in reversed(engine.notices.of(wallet)):
        market = engine.world.market_by_condition(notice.condition_id)
        if notice.kind == REWARD_PAID:
            rows.append(notice_row(notice, who.api_key, wallet, {}))
        elif market is not None:
            shown = clob_market(market, engine.books[market.up], engine.resolution(market), engine.clock.now)
            rows.append(notice_row(notice, who.api_key, wallet, shown))
    return answer(rows)


@routes.delete("/notifications")
async def drop_notifications(request: web.Request) -> web.Response:
    who = await credentials(request)
    ids = request.query.get("ids", "").split(",")
    if not all(part.isascii() and part.isdigit() for part in ids):
        raise HttpError(400, "Invalid payload")
    request.app[ENGINE].drop_notices(asked_wallet(request, who), tuple(int(part) for part in ids))
    return answer("OK")
