"""What a wallet holds and what it paid, folded from its trades, splits and merges: the data API's positions.

A split buys both tokens at 0.50, a merge sells both at 0.50. Costs are average costs without fees; exact micro-units
inside, shown as decimals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from polyhost.exchange.api import StoredTrade, Transaction
from polyhost.model.gateway import MakerSlice
from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks, notional
from polyhost.model.words import Action, TradeStatus


class Part(Struct, frozen=True):
    """One wallet's part of one trade: ``maker`` None when it was the taker."""

    trade: StoredTrade
    maker: MakerSlice | None
    fee: Micros
    """What it was charged, the builder's fee included."""

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

    def split(self, size: Micros, at_s: int) -> None:
        """One half of a split."""
        self.last_s, self.first_s = at_s, self.first_s or at_s
        self.bought += size
        self.size += size
        self.cost += size // 2
        self.entry_cost += size // 2

    def merge(self, size: Micros, at_s: int) -> None:
        """One half of a merge."""
        self.last_s = at_s
        given = min(size, self.size)
        cost = self.cost * given // self.size if self.size else 0
        self.size -= given
        self.cost -= cost
        self.realized += size // 2 - cost


class Move(Struct, frozen=True):
    """A split or merge of a wallet: ``size`` of both tokens."""

    kind: str
    condition_id: str
    tokens: tuple[str, str]
    size: Micros
    at_s: int


def parts_of(wallet: str, trades: Iterable[StoredTrade]) -> list[Part]:
    """The wallet's parts of these trades, which are oldest first, in their order; failed trades are no trades."""
    parts = []
    for trade in trades:
        if trade.row.status == TradeStatus.FAILED:
            continue
        if trade.taker_account == wallet:
            parts.append(Part(trade, None, trade.fee))
        for index, (account, slice_) in enumerate(zip(trade.maker_accounts, trade.row.makers, strict=True)):
            if account == wallet:
                parts.append(Part(trade, slice_, trade.maker_charge(index)[1]))
    return parts


def moves_of(transactions: Iterable[Transaction], markets: Mapping[str, Market]) -> list[Move]:
    """A wallet's splits and merges in some markets, oldest first."""
    return [
        Move(call.kind, call.condition_id, (market.up, market.down), call.size, done.at // 1_000)
        for done in transactions
        for call in done.calls
        if (market := markets.get(call.condition_id)) is not None and call.kind in ("split", "merge")
    ]


def holdings_of(parts: Iterable[Part], moves: Iterable[Move] = ()) -> dict[str, Holding]:
    """Holdings by token.

    Trades tell their second only. Within one, what was split comes before them and what was merged after them: nobody
    sells or merges what is not there yet.
    """
    found: dict[str, Holding] = {}
    steps: list[tuple[int, int, Part | Move]] = [(part.trade.row.matched_s, 1, part) for part in parts]
    steps += [(move.at_s, 0 if move.kind == "split" else 2, move) for move in moves]
    for _, _, step in sorted(steps, key=lambda step: step[:2]):
        if isinstance(step, Part):
            _of(found, step.token_id, step.trade.row.condition_id).take(step)
            continue
        for token in step.tokens:
            held = _of(found, token, step.condition_id)
            (held.split if step.kind == "split" else held.merge)(step.size, step.at_s)
    return found


def _of(found: dict[str, Holding], token_id: str, condition_id: str) -> Holding:
    if token_id not in found:
        found[token_id] = Holding(token_id, condition_id)
    return found[token_id]
