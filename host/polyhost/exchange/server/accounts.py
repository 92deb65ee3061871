"""Orders, trades and answers to a post as the venue writes them, for REST and the user channel.

Shapes: polymarket.md 3.2 and 7.3. REST statuses of trades carry the ``TRADE_STATUS_`` prefix, the stream's do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polyhost.exchange.api import Canceled, Posted, StoredOrder, StoredTrade
from polyhost.exchange.server.jsons import number
from polyhost.model.gateway import MakerSlice
from polyhost.model.money import price_text, size_text

Label = Callable[[str, str], str]
"""(condition id, token id) to the outcome's label."""


def order_row(order: StoredOrder) -> dict[str, Any]:
    """An order for ``/data/order`` and ``/data/orders``."""
    row = order.row
    return {
        "id": row.order_id,
        "status": row.status,
        "owner": order.owner,
        "maker_address": order.account,
        "market": row.condition_id,
        "asset_id": row.token_id,
        "side": row.action.value,
        "original_size": size_text(row.original_size),
        "size_matched": size_text(row.size_matched or 0),
        "price": price_text(row.price),
        "outcome": order.outcome,
        "order_type": order.order_type.value,
        "expiration": str(order.expiration_s),
        "associate_trades": list(order.trade_ids),
        "created_at": order.created_ms // 1_000,
    }


def order_event(order: StoredOrder, now: int) -> dict[str, Any]:
    """An order for the user channel. Of one whose matched size is not told the venue leaves more than that empty."""
    row = order_row(order)
    told = order.row.size_matched is not None
    return {
        "event_type": "order",
        **row,
        "size_matched": row["size_matched"] if told else "",
        "order_owner": order.owner,
        "type": order.row.kind,
        "created_at": str(order.created_ms // 1_000) if told else "",
        "timestamp": str(now),
    }


def _took_part_as_taker(trade: StoredTrade, owner: str) -> bool:
    return trade.taker_owner == owner


def _maker_rows(trade: StoredTrade, label: Label) -> list[dict[str, Any]]:
    rows = []
    for part, account, owner in zip(trade.row.makers, trade.maker_accounts, trade.maker_owners, strict=True):
        rows.append(_maker_row(part, account, owner, label(trade.row.condition_id, part.token_id)))
    return rows


def _maker_row(part: MakerSlice, account: str, owner: str, outcome: str) -> dict[str, Any]:
    return {
        "order_id": part.order_id,
        "owner": owner,
        "maker_address": account,
        "matched_amount": size_text(part.size),
        "price": price_text(part.price),
        "fee_rate_bps": "0",
        "asset_id": part.token_id,
        "outcome": outcome,
        "side": part.action.value,
    }


def trade_row(trade: StoredTrade, owner: str, label: Label) -> dict[str, Any]:
    """A trade for ``/data/trades``, as the key ``owner`` sees it."""
    row = trade.row
    return {
        "id": row.trade_id,
        "taker_order_id": row.taker_order_id,
        "market": row.condition_id,
        "asset_id": row.token_id,
        "side": row.action.value,
        "size": size_text(row.size),
        "fee_rate_bps": "0",
        "price": price_text(row.price),
        "status": f"TRADE_STATUS_{row.status}",
        "match_time": str(row.matched_s),
        "match_time_nano": str(row.matched_s * 1_000_000_000),
        "last_update": str(trade.updated_ms // 1_000),
        "outcome": trade.outcome,
        "bucket_index": 0,
        "owner": trade.taker_owner,
        "maker_address": trade.taker_account,
        "transaction_hash": trade.transaction_hash,
        "trader_side": "TAKER" if _took_part_as_taker(trade, owner) else "MAKER",
        "err_msg": None,
        "maker_orders": _maker_rows(trade, label),
    }


def trade_event(trade: StoredTrade, owner: str, label: Label, now: int) -> dict[str, Any]:
    """A trade for the user channel of the key ``owner``."""
    row = trade_row(trade, owner, label)
    del row["match_time"], row["match_time_nano"], row["err_msg"]
    return {
        "event_type": "trade",
        "type": "TRADE",
        **row,
        "status": trade.row.status,
        "matchtime": str(trade.row.matched_s),
        "owner": owner,
        "trade_owner": trade.taker_owner,
        "timestamp": str(now),
    }


def post_answer(posted: Posted) -> dict[str, Any]:
    """The answer to an accepted post; transaction hashes come with settlement (``/data/trades``)."""
    return {
        "success": True,
        "errorMsg": posted.error,
        "orderID": posted.order_id,
        "status": posted.status,
        "makingAmount": size_text(posted.making) if posted.making else "",
        "takingAmount": size_text(posted.taking) if posted.taking else "",
        "transactionsHashes": [],
        "tradeIDs": list(posted.trade_ids),
    }


def refused_leg(text: str) -> dict[str, Any]:
    """A refused order inside a batch: the reason is in ``errorMsg``, ``orderID`` is empty."""
    return {
        "success": True,
        "errorMsg": text,
        "orderID": "",
        "status": "",
        "makingAmount": "",
        "takingAmount": "",
        "transactionsHashes": [],
        "tradeIDs": [],
    }


def refusal_answer(posted: Posted) -> dict[str, Any]:
    """A post that was refused, or whose outcome is not known."""
    answer: dict[str, Any] = {"error": posted.error}
    if posted.code:
        answer |= {"code": posted.code, "retry_after_seconds": posted.retry_after_s}
    return answer


def cancel_answer(done: Canceled) -> dict[str, Any]:
    return {"canceled": list(done.canceled), "not_canceled": dict(done.not_canceled)}


def data_trade(
    wallet: str, trade: StoredTrade, part: MakerSlice | None, title: str, slug: str, outcome: tuple[str, int]
) -> dict[str, Any]:
    """A row of the data API's ``/v2/trades``: the wallet's own part, as taker (``part`` None) or maker."""
    row = trade.row
    token, action = (row.token_id, row.action) if part is None else (part.token_id, part.action)
    price, size = (row.price, row.size) if part is None else (part.price, part.size)
    return {
        "proxy_wallet": wallet,
        "token_id": token,
        "condition_id": row.condition_id,
        "side": action.value,
        "size": number(size_text(size)),
        "price": number(price_text(price)),
        "timestamp": row.matched_s,
        "transaction_hash": trade.transaction_hash,
        "title": title,
        "slug": slug,
        "event_slug": slug,
        "outcome": outcome[0],
        "outcome_index": outcome[1],
    }
