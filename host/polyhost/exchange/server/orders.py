"""A posted order: read, judged by form, key and signature, and turned into the core's request.

Texts of refusals are the venue's (polymarket.md 4.4). What the rules of the market say is the core's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
from eth_utils.address import is_address, to_checksum_address

from polyhost.exchange.api import NewOrder
from polyhost.exchange.server.keys import Credentials
from polyhost.exchange.server.signatures import order_signer
from polyhost.exchange.server.wallets import Wallets
from polyhost.model.builder import NOBODY
from polyhost.model.gateway import SignedFields
from polyhost.model.market import Market, normal_token
from polyhost.model.order_hash import order_id
from polyhost.model.wallet_kinds import WalletKind, wallet_kind
from polyhost.model.words import Action, OrderType

_BYTES32: Final = re.compile(r"^0x[0-9a-fA-F]{64}$")
_UINT256_DIGITS: Final = 78
_V1_FIELDS: Final = ("nonce", "feeRateBps", "taker")


class OrderRefused(Exception):  # noqa: N818
    """The order never reached the market; ``text`` is the venue's, answered with HTTP 400."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class PostedOrder(msgspec.Struct):
    """The signed order inside a post."""

    salt: int
    maker: str
    signer: str
    tokenId: str  # noqa: N815 the wire's own names
    makerAmount: str  # noqa: N815
    takerAmount: str  # noqa: N815
    side: str
    signatureType: int  # noqa: N815
    timestamp: str
    metadata: str
    builder: str
    signature: str
    expiration: str = "0"


class PostBody(msgspec.Struct):
    """The body of ``POST /order``."""

    order: PostedOrder
    owner: str
    orderType: str = "GTC"  # noqa: N815
    postOnly: bool = False  # noqa: N815
    deferExec: bool = False  # noqa: N815


FindMarket = Callable[[str], Market | None]


def read_post(raw: object) -> PostBody:
    """The post in this JSON value. Raises OrderRefused: dead V1 protocol, or not an order at all."""
    order = raw.get("order") if isinstance(raw, dict) else None
    if not isinstance(order, dict):
        raise OrderRefused("Invalid order payload")
    if "timestamp" not in order or any(name in order for name in _V1_FIELDS):
        raise OrderRefused("order_version_mismatch")
    try:
        return msgspec.convert(raw, PostBody)
    except msgspec.ValidationError as error:
        raise OrderRefused("Invalid order payload") from error


def judge(post: PostBody, who: Credentials, wallets: Wallets, find: FindMarket) -> NewOrder:
    """The order as the core takes it. Raises OrderRefused with the venue's text."""
    order = post.order
    if post.owner != who.api_key:
        raise OrderRefused("the order owner has to be the owner of the API KEY")
    _check_wallet(order, who, wallets)
    if post.deferExec:
        raise OrderRefused("deferExec is not supported by this exchange yet")
    market = find(normal_token(order.tokenId))
    if market is None:
        raise OrderRefused("Invalid token id")
    fields = _signed_fields(order)
    if order_signer(fields, order.signature, neg_risk=market.neg_risk) != who.address:
        raise OrderRefused("invalid signature")
    return _new_order(post, fields, who, market)


def _check_wallet(order: PostedOrder, who: Credentials, wallets: Wallets) -> None:
    """Maker and signer are the wallets of this key that the signature type names. Raises OrderRefused.

    Of a deposit wallet both are the wallet itself; else the signer is the key's own address. The text for a maker that
    is no such wallet was reported in py-clob-client-v2#52 and #116.
    """
    kind = wallet_kind(order.signatureType)
    if kind is None:
        raise OrderRefused("Invalid order payload")
    wallet = wallets.of(who.address, kind)
    signer = wallet if kind is WalletKind.DEPOSIT else who.address
    if order.signer.lower() != signer.lower():
        raise OrderRefused("the order signer address has to be the address of the API KEY")
    if order.maker.lower() != wallet.lower():
        raise OrderRefused("maker address not allowed, please use the deposit wallet flow")


def _new_order(post: PostBody, fields: SignedFields, who: Credentials, market: Market) -> NewOrder:
    if post.orderType not in OrderType.__members__:
        raise OrderRefused("Invalid order payload")
    order_type = OrderType(post.orderType)
    expiration = _whole(post.order.expiration, "invalid expiration")
    if (order_type is OrderType.GTD) == (expiration == 0):
        raise OrderRefused("invalid expiration")
    if post.postOnly and not order_type.rests:
        raise OrderRefused("invalid post-only order: only GTC and GTD orders can be post-only")
    return NewOrder(
        order_id=order_id(fields, neg_risk=market.neg_risk),
        account=fields.maker,
        owner=who.api_key,
        token_id=fields.token_id,
        action=fields.action,
        maker_amount=fields.maker_amount,
        taker_amount=fields.taker_amount,
        order_type=order_type,
        post_only=post.postOnly,
        expiration_s=expiration,
        builder="" if fields.builder == NOBODY else fields.builder,
    )


def _signed_fields(order: PostedOrder) -> SignedFields:
    if order.side not in Action.__members__:
        raise OrderRefused("Invalid side")
    for address in (order.maker, order.signer):
        if not is_address(address):
            raise OrderRefused("Invalid order payload")
    for word in (order.metadata, order.builder):
        if not _BYTES32.match(word):
            raise OrderRefused("Invalid order payload")
    if not 0 <= order.salt < 2**256:
        raise OrderRefused("Invalid order payload")
    return SignedFields(
        salt=order.salt,
        maker=to_checksum_address(order.maker),
        signer=to_checksum_address(order.signer),
        token_id=str(_whole(normal_token(order.tokenId), "Invalid token id")),
        maker_amount=_whole(order.makerAmount, "Invalid order payload"),
        taker_amount=_whole(order.takerAmount, "Invalid order payload"),
        action=Action(order.side),
        signature_type=order.signatureType,
        timestamp_ms=_whole(order.timestamp, "Invalid order payload"),
        metadata=order.metadata,
        builder=order.builder.lower(),
    )


def _whole(text: str, refusal: str) -> int:
    """A decimal integer that fits an EVM word. Raises OrderRefused."""
    if not (text.isascii() and text.isdigit() and len(text) <= _UINT256_DIGITS) or int(text) >= 2**256:
        raise OrderRefused(refusal)
    return int(text)
