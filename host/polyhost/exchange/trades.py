"""Trades in which an account with a key took part, from MATCHED over MINED to CONFIRMED, and how to ask for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from msgspec import structs

from polyhost.exchange.api import GetTrades, StoredTrade
from polyhost.exchange.market import outcome_name
from polyhost.exchange.matching import Fill, own_price
from polyhost.model.gateway import MakerSlice, TradeRow
from polyhost.model.words import TradeStatus


def trade_id_of(number: int) -> str:
    """The id of the n-th trade, in the shape of a UUID."""
    text = hashlib.sha1(b"trade %d" % number, usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def transaction_hash_of(trade_id: str) -> str:
    return "0x" + hashlib.sha256(trade_id.encode()).hexdigest()


def owners_of(trade: StoredTrade) -> list[str]:
    """The keys that took part, the taker's first, each once; accounts without a key have none."""
    return [owner for owner in dict.fromkeys((trade.taker_owner, *trade.maker_owners)) if owner]


class TradeBook:
    """All trades that anyone can ask for, and who took part in them."""

    def __init__(self) -> None:
        self.count = 0
        self.trades: dict[str, StoredTrade] = {}
        self.by_owner: dict[str, list[str]] = {}

    def add(self, fill: Fill, now: int) -> StoredTrade:
        """Keep a finished fill as a MATCHED trade."""
        self.count += 1
        trade = _trade_of(fill, trade_id_of(self.count), now)
        self.restore(trade)
        return trade

    def restore(self, trade: StoredTrade) -> None:
        self.trades[trade.row.trade_id] = trade
        for owner in owners_of(trade):
            self.by_owner.setdefault(owner, []).append(trade.row.trade_id)

    def move(self, trade_id: str, status: TradeStatus, now: int) -> StoredTrade | None:
        """The trade with its new status; None when it was forgotten."""
        trade = self.trades.get(trade_id)
        if trade is None:
            return None
        row = structs.replace(trade.row, status=str(status))
        moved = self.trades[trade_id] = structs.replace(trade, row=row, updated_ms=now)
        return moved

    def find(self, wanted: GetTrades) -> Iterator[StoredTrade]:
        """What a query asks for, newest first."""
        for trade_id in reversed(self.by_owner.get(wanted.owner, [])):
            trade = self.trades[trade_id]
            if trade.row.matched_s < wanted.after_s:
                return  # time does not go back: all that are left are older
            if _fits(trade, wanted):
                yield trade

    def forget(self, condition_id: str) -> None:
        """Drop the trades of a market."""
        gone = {key for key, trade in self.trades.items() if trade.row.condition_id == condition_id}
        for trade_id in gone:
            del self.trades[trade_id]
        self.by_owner = {
            owner: kept for owner, ids in self.by_owner.items() if (kept := [key for key in ids if key not in gone])
        }


def _trade_of(fill: Fill, trade_id: str, now: int) -> StoredTrade:
    taker = fill.taker
    slices = tuple(
        MakerSlice(maker.order_id, maker.token_id, maker.action, own_price(maker, fill.up_price), size)
        for maker, size in fill.slices
    )
    row = TradeRow(
        trade_id=trade_id,
        condition_id=taker.state.condition_id,
        token_id=taker.token_id,
        taker_order_id=taker.order_id,
        action=taker.action,
        price=fill.price,
        size=fill.size,
        status=str(TradeStatus.MATCHED),
        matched_s=now // 1_000,
        makers=slices,
    )
    builders = tuple("" if maker.builder is None else maker.builder.code for maker, _ in fill.slices)
    return StoredTrade(
        row=row,
        taker_account=taker.account.address,
        taker_owner=taker.owner,
        maker_accounts=tuple(maker.account.address for maker, _ in fill.slices),
        maker_owners=tuple(maker.owner for maker, _ in fill.slices),
        fee=fill.fee,
        transaction_hash=transaction_hash_of(trade_id),
        outcome=outcome_name(taker.state.market, taker.side),
        updated_ms=now,
        builder="" if taker.builder is None else taker.builder.code,
        builder_fee=fill.builder_fee,
        maker_builders=builders if any(builders) else (),
        maker_fees=tuple(fill.maker_fees) if any(builders) else (),
    )


def _fits(trade: StoredTrade, wanted: GetTrades) -> bool:
    row = trade.row
    if wanted.trade_id and row.trade_id != wanted.trade_id:
        return False
    if wanted.condition_id and row.condition_id != wanted.condition_id:
        return False
    if wanted.token_id and wanted.token_id not in (row.token_id, *(maker.token_id for maker in row.makers)):
        return False
    return not (wanted.before_s and row.matched_s > wanted.before_s)
