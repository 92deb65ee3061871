"""An order's signature without the client: the digest from words that are made once, signed by libsecp256k1.

The client takes 0.4 to 0.7 ms for an order, most of it for encoding that never changes; here it is a tenth of that. It
is used only after ``difference`` found none: the account's own key signs orders of every kind with both, and each byte
must be the same (RFC 6979 makes signatures repeatable).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Final

from coincurve import PrivateKey
from eth_utils.crypto import keccak
from msgspec import structs

from polyhost.model.builder import NOBODY, Builder
from polyhost.model.gateway import OrderDraft, SignedFields
from polyhost.model.order_hash import ORDER_TYPE, ZERO_BYTES32, domain_separator, exchange_address
from polyhost.model.order_signature import signed_digest, wrapping
from polyhost.model.rounding import Amounts
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.words import Action, OrderType

TOKENS_MAX: Final = 4_096
"""Tokens whose word is kept: two a market."""
POSITION_ID_BITS: Final = ((1 << 64) - 1) << 40
"""An id without any of these bits is a position of another protocol version, whose orders the client alone signs."""
SAMPLE_BUILDER: Final = Builder("0x" + "5a" * 32, 0, 0)
SAMPLE_PRICE: Final = 5_200
SAMPLE_SIZE: Final = 25_000_000
"""25 shares at 0.52 are 13.00: exact in every type of order."""
SAMPLE_LIFE_S: Final = 86_400
"""Of GTD samples, seconds."""


class FastSigner:
    """Signs orders of one key and wallet. ``maker`` holds the funds; ``signer`` is what the order names as its signer.
    """

    def __init__(self, private_key: str, kind: WalletKind, *, maker: str, signer: str) -> None:
        """``private_key``: 32 bytes in hex. Raises ValueError when it is none."""
        self._key = PrivateKey(bytes.fromhex(private_key.removeprefix("0x")))
        self.kind = kind
        self.maker = maker
        self.signer = signer
        self._separators = {neg_risk: domain_separator(exchange_address(neg_risk)) for neg_risk in (False, True)}
        self._maker_signer = _address(maker) + _address(signer)
        self._kind_word = _word(kind)

    def fields(self, draft: OrderDraft, amounts: Amounts, *, salt: int, timestamp_ms: int) -> SignedFields:
        """What the order says."""
        builder = NOBODY if not isinstance(draft.builder, Builder) else draft.builder.code
        return SignedFields(
            salt, self.maker, self.signer, draft.token_id, amounts.maker, amounts.taker, draft.action, int(self.kind),
            timestamp_ms, ZERO_BYTES32, builder,
        )

    def signed(self, fields: SignedFields, *, neg_risk: bool) -> tuple[str, str]:
        """The order's id and its signature, both ``0x…``."""
        contents = keccak(
            _TYPE_HASH
            + _word(fields.salt)
            + self._maker_signer
            + _token_word(fields.token_id)
            + _word(fields.maker_amount)
            + _word(fields.taker_amount)
            + (_BUY if fields.action is Action.BUY else _SELL)
            + self._kind_word
            + _word(fields.timestamp_ms)
            + _NO_METADATA
            + _bytes32(fields.builder)
        )
        own = keccak(b"\x19\x01" + self._separators[neg_risk] + contents)
        if self.kind is WalletKind.DEPOSIT:
            # Signed inside the wallet's own frame, and followed by what the wallet checks it with: rare and not cached.
            signature = self._plain(signed_digest(fields, neg_risk=neg_risk)) + wrapping(fields, neg_risk=neg_risk)
        else:
            signature = self._plain(own)
        return "0x" + own.hex(), "0x" + signature.hex()

    def _plain(self, digest: bytes) -> bytes:
        raw = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([raw[64] + 27])


def fits(token_id: str) -> bool:
    """Is this a token whose orders are hashed as here?"""
    return int(token_id) & POSITION_ID_BITS != 0


def sample_drafts(token_id: str, neg_risk: bool, now_s: int) -> Iterator[OrderDraft]:
    """Orders of every kind on one token: each type, both sides, with and without a builder code."""
    for order_type, action, coded in product(OrderType, Action, (False, True)):
        draft = OrderDraft(
            f"{order_type} {action}", token_id, action, order_type, SAMPLE_PRICE, SAMPLE_SIZE, 100, neg_risk,
            post_only=order_type is OrderType.GTC and coded,
            expiration_s=now_s + SAMPLE_LIFE_S if order_type is OrderType.GTD else 0,
        )
        yield structs.replace(draft, builder=SAMPLE_BUILDER) if coded else draft


def difference(signer: FastSigner, draft: OrderDraft, amounts: Amounts, theirs: SignedFields, signature: str) -> str:
    """What the client signed otherwise for this draft; empty: every byte is the same."""
    ours = signer.fields(draft, amounts, salt=theirs.salt, timestamp_ms=theirs.timestamp_ms)
    for name in SignedFields.__struct_fields__:
        if getattr(ours, name) != getattr(theirs, name):
            return f"{draft.ref}: {name} is {getattr(theirs, name)}, ours {getattr(ours, name)}"
    _, own = signer.signed(ours, neg_risk=draft.neg_risk)
    return "" if own == signature else f"{draft.ref}: the signature"


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(value: str) -> bytes:
    return bytes(12) + bytes.fromhex(value.removeprefix("0x"))


@lru_cache(maxsize=TOKENS_MAX)
def _token_word(token_id: str) -> bytes:
    return _word(int(token_id))


@lru_cache(maxsize=8)
def _bytes32(value: str) -> bytes:
    return bytes.fromhex(value.removeprefix("0x"))


_TYPE_HASH: Final = keccak(text=ORDER_TYPE)
_BUY: Final = _word(0)
_SELL: Final = _word(1)
_NO_METADATA: Final = bytes(32)
