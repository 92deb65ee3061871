"""The messages of the simulated exchange's core: ``handle(request, now) -> outputs``, plain data in integers.

The wire server and the in-process gateway both speak only this. Times are market ms; money, sizes and prices as in
polyhost.model.money. The core never reads a clock, opens a socket or checks a signature.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from polyhost.model.gateway import OrderRow, TradeRow
from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks
from polyhost.model.words import Action, OrderType, Side


class NewOrder(Struct, frozen=True):
    """An order as it arrived, its signature already judged by the edge.

    Amounts are the signed ones: a BUY gives ``maker_amount`` of collateral for ``taker_amount`` of shares; a SELL the
    reverse.
    """

    order_id: str
    account: str
    """Address of the wallet (the order's maker)."""
    owner: str
    """The API key."""
    token_id: str
    action: Action
    maker_amount: Micros
    taker_amount: Micros
    order_type: OrderType
    post_only: bool = False
    expiration_s: int = 0
    builder: str = ""
    """The builder code signed with it; empty: nobody's."""


# --- requests: each carries a request_id that its reply repeats -------------------------------------------------------


class PostOrder(Struct, frozen=True):
    request_id: int
    order: NewOrder


class CancelOrders(Struct, frozen=True):
    """Cancel by id, by market, by token, or everything of the key (``order_ids`` None and no market or token)."""

    request_id: int
    owner: str
    order_ids: tuple[str, ...] | None = None
    condition_id: str = ""
    token_id: str = ""


class GetOrder(Struct, frozen=True):
    request_id: int
    owner: str
    order_id: str


class GetOpenOrders(Struct, frozen=True):
    request_id: int
    owner: str
    condition_id: str = ""
    token_id: str = ""


class GetTrades(Struct, frozen=True):
    """Trades in which the key took part, newest first."""

    request_id: int
    owner: str
    condition_id: str = ""
    token_id: str = ""
    trade_id: str = ""
    after_s: int = 0
    before_s: int = 0


class GetBalance(Struct, frozen=True):
    """Collateral (``token_id`` empty) or a token, as the venue's balance cache shows it."""

    request_id: int
    account: str
    token_id: str = ""


class Split(Struct, frozen=True):
    """Turn collateral into equal amounts of UP and DOWN, at once."""

    request_id: int
    account: str
    condition_id: str
    size: Micros


class Merge(Struct, frozen=True):
    """Turn equal amounts of UP and DOWN back into collateral."""

    request_id: int
    account: str
    condition_id: str
    size: Micros


class Redeem(Struct, frozen=True):
    """Turn all winning shares of a resolved market into collateral."""

    request_id: int
    account: str
    condition_id: str


class ChainCall(Struct, frozen=True):
    """One call of a transaction: ``kind`` split, merge, redeem or approve (every approval that trading needs)."""

    kind: str
    condition_id: str = ""
    size: Micros = 0


class Transact(Struct, frozen=True):
    """Send a transaction of a wallet to the chain: its calls happen together when it is mined, or none of them does.

    Answered at once by ``TransactionReply``: NEW, or FAILED when it can't be simulated.
    """

    request_id: int
    transaction_id: str
    account: str
    calls: tuple[ChainCall, ...]


class GetTransaction(Struct, frozen=True):
    request_id: int
    transaction_id: str


class RefreshBalance(Struct, frozen=True):
    """Have the venue read a wallet's balance from the chain anew: bought shares that are MINED show from now on."""

    request_id: int
    account: str


Request: TypeAlias = (
    PostOrder | CancelOrders | GetOrder | GetOpenOrders | GetTrades | GetBalance | Split | Merge | Redeem | Transact
    | GetTransaction | RefreshBalance
)

# --- outputs, in order ------------------------------------------------------------------------------------------------


class Posted(Struct, frozen=True):
    """Answer to a post, given after the taker delay for an order that could match.

    ``http`` 200 with a status (live, matched, delayed, unmatched), or the venue's refusal and its text, or 0: there was
    no answer and the connection ended. ``making`` and ``taking`` are what the order gave and got so far.
    """

    request_id: int
    order_id: str
    http: int
    status: str = ""
    error: str = ""
    making: Micros = 0
    taking: Micros = 0
    trade_ids: tuple[str, ...] = ()
    code: str = ""
    """The venue's code beside its text, where it has one."""
    retry_after_s: int = 0
    """Above 0: the answer's ``Retry-After``."""


class Canceled(Struct, frozen=True):
    """``http`` other than 200: the whole request was answered with that status and ``error``."""

    request_id: int
    canceled: tuple[str, ...]
    not_canceled: tuple[tuple[str, str], ...]
    http: int = 200
    error: str = ""
    retry_after_s: int = 0


class StoredOrder(Struct, frozen=True):
    """An order in full: what REST and the user channel show of it."""

    row: OrderRow
    account: str
    owner: str
    order_type: OrderType
    expiration_s: int
    created_ms: int
    outcome: str
    trade_ids: tuple[str, ...]


class StoredTrade(Struct, frozen=True):
    row: TradeRow
    taker_account: str
    taker_owner: str
    maker_accounts: tuple[str, ...]
    maker_owners: tuple[str, ...]
    fee: Micros
    """Charged to the taker, its builder's fee included."""
    transaction_hash: str
    outcome: str
    updated_ms: int
    builder: str = ""
    """The taker's builder code; empty: none."""
    builder_fee: Micros = 0
    """Of ``fee``, the builder's."""
    maker_builders: tuple[str, ...] = ()
    """Of each maker the builder code, empty for none; no entries at all: nobody has one."""
    maker_fees: tuple[Micros, ...] = ()
    """What each maker was charged for its builder."""

    def maker_charge(self, index: int) -> tuple[str, Micros]:
        """A maker's builder code and what it cost."""
        return (self.maker_builders[index], self.maker_fees[index]) if self.maker_builders else ("", 0)


class OrderReply(Struct, frozen=True):
    request_id: int
    order: StoredOrder | None


class OrdersReply(Struct, frozen=True):
    request_id: int
    orders: tuple[StoredOrder, ...]


class TradesReply(Struct, frozen=True):
    request_id: int
    trades: tuple[StoredTrade, ...]


class BalanceReply(Struct, frozen=True):
    request_id: int
    balance: Micros
    allowance: Micros


class Transaction(Struct, frozen=True):
    """A transaction on the chain: ``state`` NEW, MINED, CONFIRMED or FAILED (then ``error`` says why)."""

    transaction_id: str
    account: str
    calls: tuple[ChainCall, ...]
    state: str
    hash: str
    at: int
    """Market ms when it was sent, or mined."""
    paid: tuple[Micros, ...] = ()
    """What each call paid out in collateral; negative: what it took."""
    error: str = ""


class TransactionReply(Struct, frozen=True):
    request_id: int
    transaction: Transaction | None


class AutoRedeemed(Struct, frozen=True):
    """The venue's operator redeemed a wallet's winning shares."""

    account: str
    condition_id: str
    payout: Micros
    hash: str


class RewardPaid(Struct, frozen=True):
    """The rewards of a day (days since 1970, UTC) were paid to a wallet. ``parts``: (condition id, amount)."""

    account: str
    day: int
    amount: Micros
    hash: str
    parts: tuple[tuple[str, Micros], ...]


class Done(Struct, frozen=True):
    """Answer to a split, a merge, a redemption or a refreshed balance."""

    request_id: int
    ok: bool
    error: str = ""
    collateral: Micros = 0


class Refused(Struct, frozen=True):
    """A query, or a batch, that was not looked at: its HTTP status and text."""

    request_id: int
    http: int
    error: str
    retry_after_s: int = 0
    code: str = ""
    """The venue's code beside its text, where it has one."""


class UserOrder(Struct, frozen=True):
    """User channel: an order event for one key (``row.kind`` PLACEMENT, UPDATE or CANCELLATION)."""

    owner: str
    order: StoredOrder


class UserTrade(Struct, frozen=True):
    """User channel: a trade's status for one key that took part."""

    owner: str
    trade: StoredTrade


class BookChanged(Struct, frozen=True):
    """Market channel: levels of one token changed to new totals; the other token's mirror is implied.

    ``changes``: (action, price, new total size), in ticks and micro-shares of ``token_id``.
    """

    condition_id: str
    token_id: str
    changes: tuple[tuple[Action, Ticks, Micros], ...]


class BookSnapshot(Struct, frozen=True):
    """Market channel: a full book of one token (sent after trades too). Levels best first."""

    condition_id: str
    token_id: str
    bids: tuple[tuple[Ticks, Micros], ...]
    asks: tuple[tuple[Ticks, Micros], ...]
    hash: str
    tick: Ticks
    last_price: Ticks | None
    at: int = 0
    """Market ms of the book: the ``timestamp`` that the hash is of."""


class Printed(Struct, frozen=True):
    """Market channel: a trade's print."""

    condition_id: str
    token_id: str
    price: Ticks
    size: Micros
    action: Action


class TickChanged(Struct, frozen=True):
    condition_id: str
    token_id: str
    old: Ticks
    new: Ticks


class MarketOpened(Struct, frozen=True):
    """A market was created (24 h ahead at the venue; less in simulations) and takes orders."""

    market: Market


class MarketEnded(Struct, frozen=True):
    """The market takes no more orders."""

    condition_id: str


class MarketDecided(Struct, frozen=True):
    """The market is resolved: ``winner`` None is 50-50; ``strike`` and ``final`` in 1e-8."""

    condition_id: str
    winner: Side | None
    strike: int | None
    final: int | None


class PriceTick(Struct, frozen=True):
    """A reference price: ``feed`` is chainlink, twap_60 or binance; ``price`` in 1e-8; ``stamp``: its second."""

    feed: str
    symbol: str
    price: int
    stamp: int


class CandleTick(Struct, frozen=True):
    """A Binance 1-minute candle (prices in 1e-8, base volume in 1e-8); ``closed`` on its last message."""

    symbol: str
    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    closed: bool


Output: TypeAlias = (
    Posted | Canceled | OrderReply | OrdersReply | TradesReply | BalanceReply | Done | Refused | UserOrder | UserTrade
    | BookChanged | BookSnapshot | Printed | TickChanged | MarketOpened | MarketEnded | MarketDecided | PriceTick
    | CandleTick | TransactionReply | AutoRedeemed | RewardPaid
)

