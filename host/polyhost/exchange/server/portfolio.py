"""What a wallet holds and what it paid, folded from its trades: the data API's positions.

Costs are average costs without fees; exact micro-units inside, shown as decimals.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from polyhost.exchange.api import StoredTrade
from polyhost.model.gateway import MakerSlice
from polyhost.model.money import Micros, Ticks, notional
from polyhost.model.words import Action, TradeStatus


class Part(Struct, frozen=True):
    """One wallet's part of one trade: ``maker`` None when it was the taker."""

    trade: StoredTrade
    maker: MakerSlice | None

    @property
    def token_id(self) -> str:
        return self.trade.row.token_id if self.maker is None else self.maker.token_id

    @property
    def action(self) -> Action:
        return self.trade.row.action if self.maker is None else self.maker.action

    @property
    def price(self) -> Ticks:
        return self.trade.row.price if self.maker is None else self.maker.price

    @property
    def size(self) -> Micros:
        return self.trade.row.size if self.maker is None else self.maker.size

    @property
    def fee(self) -> Micros:
        return self.trade.fee if self.maker is None else 0


class Holding(Struct):
    """A wallet's history in one token. Micro-shares and micro-units of collateral."""

    token_id: str
    condition_id: str
    bought: Micros = 0
    size: Micros = 0
    cost: Micros = 0
    """Of what is held now, without fees."""
    entry_cost: Micros = 0
    """Of everything ever bought, without fees."""
    fees: Micros = 0
    realized: Micros = 0
    first_s: int = 0
    last_s: int = 0

    def take(self, part: Part) -> None:
        """Add one trade; call in order of time."""
        value = notional(part.size, part.price)
        self.last_s = part.trade.row.matched_s
        if part.action is Action.BUY:
            self.first_s = self.first_s or self.last_s
            self.bought += part.size
            self.size += part.size
            self.cost += value
            self.entry_cost += value
            self.fees += part.fee
        else:
            given = min(part.size, self.size)
            cost = self.cost * given // self.size if self.size else 0
            self.size -= given
            self.cost -= cost
            self.realized += value - part.fee - cost


def parts_of(wallet: str, trades: Iterable[StoredTrade]) -> list[Part]:
    """The wallet's parts of these trades, which are oldest first, in their order; failed trades are no trades."""
    parts = []
    for trade in trades:
        if trade.row.status == TradeStatus.FAILED:
            continue
        if trade.taker_account == wallet:
            parts.append(Part(trade, None))
        for account, slice_ in zip(trade.maker_accounts, trade.row.makers, strict=True):
            if account == wallet:
                parts.append(Part(trade, slice_))
    return parts


def holdings_of(parts: Iterable[Part]) -> dict[str, Holding]:
    """Holdings by token."""
    found: dict[str, Holding] = {}
    for part in parts:
        token = part.token_id
        if token not in found:
            found[token] = Holding(token, part.trade.row.condition_id)
        found[token].take(part)
    return found
