"""The messages between the host and a venue gateway: plain data, no client types.

A gateway prepares (signs), posts, cancels and queries; it keeps no order state. Requests are what the shell hands to
it, answers come back as events (see events.py).
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from polyhost.model.builder import Builder
from polyhost.model.money import Micros, Ticks
from polyhost.model.words import Action, ActionKind, OrderType


class OrderDraft(Struct, frozen=True):
    """An order as the kernel wants it, before signing.

    ``size`` in micro-shares, ``price`` the limit in ticks (the worst price of a FAK or FOK); both are legal already.
    """

    ref: str
    token_id: str
    action: Action
    order_type: OrderType
    price: Ticks
    size: Micros
    tick: Ticks
    neg_risk: bool
    post_only: bool = False
    expiration_s: int = 0
    """GTD only: unix seconds; 0 otherwise."""
    builder: Builder | UnsetType = UNSET
    """Whose code is signed with it, and what that costs."""


class ActionRequest(Struct, frozen=True):
    """A chain action: merge, redeem or split. ``size`` in micro-shares (and micro-units); a redeem has none."""

    ref: str
    kind: ActionKind
    condition_id: str
    size: Micros = 0


class SignedFields(Struct, frozen=True):
    """The signed order struct (V2)."""

    salt: int
    maker: str
    signer: str
    token_id: str
    maker_amount: int
    taker_amount: int
    action: Action
    signature_type: int
    timestamp_ms: int
    metadata: str
    builder: str


class OrderRequest(Struct, frozen=True):
    """Everything needed to post an order, and to post the same bytes again (U9)."""

    order_id: str
    fields: SignedFields
    signature: str
    order_type: OrderType
    post_only: bool
    expiration_s: int
    owner: str
    """The API key that owns the order."""
    neg_risk: bool


class OrderRow(Struct, frozen=True):
    """An order as the venue reports it (stream, by id, or list). Sizes in micro-shares."""

    order_id: str
    condition_id: str
    token_id: str
    action: Action
    price: Ticks
    original_size: Micros
    size_matched: Micros | None
    """None: the venue did not say (``size_matched: ""``)."""
    status: str
    """The venue's word without the ``ORDER_STATUS_`` prefix: LIVE, MATCHED, CANCELED, CANCELED_…, INVALID, …"""
    kind: str = ""
    """User stream only: PLACEMENT, UPDATE or CANCELLATION."""


class MakerSlice(Struct, frozen=True):
    """One maker order's part of a trade. Sizes in micro-shares, price of the maker's own token."""

    order_id: str
    token_id: str
    action: Action
    price: Ticks
    size: Micros


class PositionRow(Struct, frozen=True):
    """What the wallet holds of one token, as the venue's own count of positions says; it lags the chain."""

    token_id: str
    condition_id: str
    size: Micros
    average: Ticks
    """Average entry price without fees, rounded up to a tick; 0: not told."""
    fees: Micros = 0
    """Paid at entry, micro-units."""
    slug: str = ""
    resolved: bool = False
    """Its market is decided: what it pays can be redeemed."""


class TradeRow(Struct, frozen=True):
    """A trade as the venue reports it. The kernel takes only the slice of its own order."""

    trade_id: str
    condition_id: str
    token_id: str
    taker_order_id: str
    action: Action
    """The taker's."""
    price: Ticks
    size: Micros
    status: str
    """Without the ``TRADE_STATUS_`` prefix."""
    matched_s: int
    """Match time, unix seconds of the venue."""
    makers: tuple[MakerSlice, ...]
