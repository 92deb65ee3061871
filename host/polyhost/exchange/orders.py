"""An order inside the exchange, and how the API shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from polyhost.exchange.api import StoredOrder
from polyhost.exchange.market import outcome_name
from polyhost.model.builder import Builder
from polyhost.model.gateway import OrderRow
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.words import Action, OrderType, Side

if TYPE_CHECKING:
    from polyhost.exchange.accounts import Account
    from polyhost.exchange.market import MarketState

DELAYED: Final = "DELAYED"
LIVE: Final = "LIVE"
MATCHED: Final = "MATCHED"
NO_REQUEST: Final = -1


class Order:
    """One order. ``price`` is its limit in ticks of its own token, ``up_price`` the same limit in UP ticks."""

    __slots__ = (
        "account",
        "action",
        "ahead",
        "builder",
        "created_ms",
        "expiration_s",
        "is_bid",
        "left",
        "maker_amount",
        "order_id",
        "order_type",
        "owner",
        "post_only",
        "price",
        "request_id",
        "reserved",
        "seq",
        "side",
        "size",
        "state",
        "status",
        "token_id",
        "trade_ids",
        "up_price",
    )

    def __init__(
        self,
        order_id: str,
        account: Account,
        owner: str,
        state: MarketState,
        token_id: str,
        action: Action,
        price: Ticks,
        size: Micros,
        order_type: OrderType,
        created_ms: int,
        seq: int,
    ) -> None:
        up = token_id == state.market.up
        self.order_id = order_id
        self.account = account
        self.owner = owner
        self.state = state
        self.token_id = token_id
        self.side = Side.UP if up else Side.DOWN
        self.action = action
        self.is_bid = up == (action is Action.BUY)
        """A buy of UP or a sell of DOWN: a bid in the one book in UP ticks."""
        self.price = price
        self.up_price = price if up else ONE - price
        self.size = size
        self.left = size
        self.order_type = order_type
        self.created_ms = created_ms
        self.seq = seq
        """Time priority."""
        self.status = LIVE
        self.ahead: Micros = 0
        """Of the venue's own queue at its price, what is served before it (``Queue.BEHIND``)."""
        self.maker_amount: Micros = 0
        self.reserved: Micros = 0
        """What it holds of its account's collateral (BUY) or shares (SELL) while open."""
        self.post_only = False
        self.expiration_s = 0
        self.request_id = NO_REQUEST
        """The post that still waits for its answer."""
        self.trade_ids: list[str] = []
        self.builder: Builder | None = None
        """Whom it is credited to, at the rates it was taken with."""

    def complement(self) -> None:
        """Become the same order in the other token: a sell of one at p is a buy of the other at 1 - p."""
        market = self.state.market
        self.side = self.side.other
        self.token_id = market.token(self.side)
        self.action = Action.SELL if self.action is Action.BUY else Action.BUY
        self.price = ONE - self.price

    @property
    def matched(self) -> Micros:
        return self.size - self.left

    def need(self) -> Micros:
        """What the unmatched rest reserves: shares of a SELL; of a BUY its part of the signed amount, rounded up, with
        what its builder code costs a maker."""
        if self.action is Action.SELL:
            return self.left
        return resting_cost(-(-self.maker_amount * self.left // self.size), self.builder)

    def stored(self, kind: str = "") -> StoredOrder:
        """The order as the API shows it; ``kind`` for the user channel."""
        row = OrderRow(
            order_id=self.order_id,
            condition_id=self.state.condition_id,
            token_id=self.token_id,
            action=self.action,
            price=self.price,
            original_size=self.size,
            size_matched=self.matched,
            status=self.status,
            kind=kind,
        )
        return StoredOrder(
            row=row,
            account=self.account.address,
            owner=self.owner,
            order_type=self.order_type,
            expiration_s=self.expiration_s,
            created_ms=self.created_ms,
            outcome=outcome_name(self.state.market, self.side),
            trade_ids=tuple(self.trade_ids),
        )


def resting_cost(money: Micros, builder: Builder | None) -> Micros:
    """What a BUY of so much money costs when it rests until it is met."""
    return money if builder is None else money + builder.fee(money, maker=True)
