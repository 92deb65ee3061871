"""What exactly a key signs for an order, and what its signature looks like, for each signature type.

Types 0 to 2 sign the order's own hash. Type 3 (deposit wallets) signs it inside an ERC-7739 ``TypedDataSign`` that
names the wallet, and carries what the wallet needs to check that behind the signature. Sources: polymarket.md 2.3 and
2.5, ERC-7739, typed data of polymarket-client 0.14.0 and py-clob-client-v2 1.2.1; tests compare with both.
"""

from __future__ import annotations

from typing import Final

from eth_utils.crypto import keccak

from polyhost.model.gateway import SignedFields
from polyhost.model.order_hash import CHAIN_ID, ORDER_TYPE, domain_separator, exchange_address, order_id, struct_hash
from polyhost.model.wallet_kinds import WalletKind

SIGNATURE_BYTES: Final = 65
_NESTED_TYPE: Final = keccak(
    text="TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
    "bytes32 salt)" + ORDER_TYPE
)
_WALLET_NAME: Final = keccak(text="DepositWallet")
_WALLET_VERSION: Final = keccak(text="1")


def signed_digest(order: SignedFields, *, neg_risk: bool) -> bytes:
    """The 32 bytes that the key signs; ``order.signer`` is the wallet of a type 3 order."""
    if order.signature_type != WalletKind.DEPOSIT:
        return bytes.fromhex(order_id(order, neg_risk=neg_risk)[2:])
    nested = keccak(
        _NESTED_TYPE
        + struct_hash(order)
        + _WALLET_NAME
        + _WALLET_VERSION
        + CHAIN_ID.to_bytes(32, "big")
        + bytes(12)
        + bytes.fromhex(order.signer[2:])
        + bytes(32)
    )
    return keccak(b"\x19\x01" + domain_separator(exchange_address(neg_risk)) + nested)


def wrapping(order: SignedFields, *, neg_risk: bool) -> bytes:
    """What follows the key's 65 bytes; empty for plain signatures."""
    if order.signature_type != WalletKind.DEPOSIT:
        return b""
    kind = ORDER_TYPE.encode()
    separator = domain_separator(exchange_address(neg_risk))
    return separator + struct_hash(order) + kind + len(kind).to_bytes(2, "big")


def plain_signature(order: SignedFields, signature: str, *, neg_risk: bool) -> str | None:
    """The key's own signature (``0x`` and 130 hex digits) inside an order's; None when the form is not its type's."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        return None
    own, rest = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if len(own) != SIGNATURE_BYTES or rest != wrapping(order, neg_risk=neg_risk):
        return None
    return "0x" + own.hex()
