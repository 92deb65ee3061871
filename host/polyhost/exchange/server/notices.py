"""Notifications of each wallet: what the venue tells an account until it is dropped (polymarket.md 3.2).

Kinds: 1 an order was cancelled, 2 filled, 4 a market with a position was resolved, 5 rewards were paid, 8 a fill failed
on the chain, 9 the operator redeemed a winning position. They are taken from everything the exchange says, whatever the
streams lose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from polyhost.exchange import api
from polyhost.model.money import Micros, Ticks, price_text, size_text

CANCELLED: Final = 1
FILLED: Final = 2
RESOLVED: Final = 4
REWARD_PAID: Final = 5
FILL_FAILED: Final = 8
AUTO_REDEEMED: Final = 9
KEPT_MAX: Final = 1_000
"""Notifications kept for one wallet; the oldest go first."""


class Notice(msgspec.Struct, frozen=True):
    """One notification: ``about`` an order, or a market, and what else its payload needs."""

    id: int
    kind: int
    at: int
    """Market ms."""
    condition_id: str
    order: api.StoredOrder | None = None
    price: Ticks = 0
    size: Micros = 0
    """Of the fill, or the payout."""
    hash: str = ""
    trade_id: str = ""


class Notices:
    """Notifications by wallet, oldest first."""

    def __init__(
        self,
        order: Callable[[str], api.StoredOrder | None],
        holders: Callable[[str], Collection[str]],
    ) -> None:
        """``order``: an order in full by its id; ``holders``: the wallets with shares of a market."""
        self._order = order
        self._holders = holders
        self._last = 0
        self._kept: dict[str, list[Notice]] = {}

    def of(self, wallet: str) -> list[Notice]:
        return list(self._kept.get(wallet, ()))

    def drop(self, wallet: str, ids: Collection[int]) -> None:
        """Forget some of a wallet's notifications; an unknown id is nothing."""
        self._kept[wallet] = [one for one in self._kept.get(wallet, ()) if one.id not in ids]

    def take(self, output: api.Output, at: int) -> None:
        """Make the notifications that something the exchange said is worth."""
        match output:
            case api.UserOrder() if output.order.row.kind == "CANCELLATION":
                self._add(output.order.account, Notice(0, CANCELLED, at, output.order.row.condition_id, output.order))
            case api.UserTrade() if output.trade.row.status == "MATCHED":
                self._fills(output, FILLED, at)
            case api.UserTrade() if output.trade.row.status == "FAILED":
                self._fills(output, FILL_FAILED, at)
            case api.MarketDecided():
                for wallet in self._holders(output.condition_id):
                    self._add(wallet, Notice(0, RESOLVED, at, output.condition_id))
            case api.AutoRedeemed():
                told = Notice(0, AUTO_REDEEMED, at, output.condition_id, size=output.payout, hash=output.hash)
                self._add(output.account, told)
            case api.RewardPaid():
                self._add(output.account, Notice(0, REWARD_PAID, at, "", size=output.amount, hash=output.hash))
            case _:
                pass

    def _fills(self, told: api.UserTrade, kind: int, at: int) -> None:
        """One for each order of this key in the trade."""
        trade, row = told.trade, told.trade.row
        parts: list[tuple[str, Ticks, Micros]] = []
        if trade.taker_owner == told.owner:
            parts.append((row.taker_order_id, row.price, row.size))
        for owner, maker in zip(trade.maker_owners, row.makers, strict=True):
            if owner == told.owner:
                parts.append((maker.order_id, maker.price, maker.size))
        for order_id, price, size in parts:
            order = self._order(order_id)
            if order is not None:
                made = Notice(0, kind, at, row.condition_id, order, price, size, trade.transaction_hash, row.trade_id)
                self._add(order.account, made)

    def _add(self, wallet: str, notice: Notice) -> None:
        self._last += 1
        kept = self._kept.setdefault(wallet, [])
        kept.append(msgspec.structs.replace(notice, id=self._last))
        del kept[:-KEPT_MAX]

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins({"last": self._last, "kept": self._kept})
        return plain

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``save`` gave; a state from before there were notifications has none."""
        self._last = data.get("last", 0)
        self._kept = msgspec.convert(data.get("kept", {}), dict[str, list[Notice]])


def notice_row(notice: Notice, owner: str, wallet: str, market: Mapping[str, Any]) -> dict[str, Any]:
    """A notification as the venue writes it; ``market``: the CLOB's long shape of its market, empty without one."""
    row = {"id": notice.id, "owner": owner, "timestamp": notice.at // 1_000, "type": notice.kind}
    if notice.order is not None:
        return {**row, "payload": _order_payload(notice, notice.order, market)}
    if notice.kind == REWARD_PAID:
        paid = {"proxyWallet": wallet, "reward": size_text(notice.size), "txnHash": notice.hash}
        return {**row, "payload": paid}
    if notice.kind == AUTO_REDEEMED:
        return {**row, "payload": _redeemed_payload(notice, wallet, market)}
    return {**row, "payload": {**market, "icon": "", "image": "", "fpmm": "", "eventSlug": market["market_slug"]}}


def _order_payload(notice: Notice, order: api.StoredOrder, market: Mapping[str, Any]) -> dict[str, Any]:
    row = order.row
    tokens = [token["token_id"] for token in market["tokens"]]
    matched = row.size_matched or 0
    return {
        "asset_id": row.token_id,
        "market": row.condition_id,
        "order_id": row.order_id,
        "side": row.action.value,
        "type": order.order_type.value,
        "price": price_text(notice.price or row.price),
        "original_size": size_text(row.original_size),
        "matched_size": size_text(notice.size or matched),
        "remaining_size": size_text(row.original_size - matched),
        "outcome": order.outcome,
        "outcome_index": tokens.index(row.token_id) if row.token_id in tokens else 0,
        "transaction_hash": notice.hash,
        "trade_id": notice.trade_id,
        "question": market["question"],
        "market_slug": market["market_slug"],
        "icon": "",
        "image": "",
        "eventSlug": market["market_slug"],
        "seriesSlug": "",
    }


def _redeemed_payload(notice: Notice, wallet: str, market: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "proxyWallet": wallet,
        "amount": size_text(notice.size),
        "conditionId": notice.condition_id,
        "question": market["question"],
        "image": "",
        "slug": market["market_slug"],
        "negRisk": market["neg_risk"],
        "txnHash": notice.hash,
    }
