"""The order's id before it is sent: the EIP-712 hash of the V2 order struct.

Source: order struct and domain as signed by polymarket-client 0.14.0 (orders/typed_data.py) and py-clob-client-v2 1.2.1
(``build_order_hash``); the venue uses the hash as its order id. Tests compare with both clients.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from eth_utils.crypto import keccak

from polyhost.model.gateway import SignedFields
from polyhost.model.words import Action

CHAIN_ID: Final = 137
STANDARD_EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE: Final = "0xe2222d279d744050d28e00520010520000310F59"
ZERO_BYTES32: Final = "0x" + "00" * 32

ORDER_TYPE: Final = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
_ORDER_TYPE: Final = keccak(text=ORDER_TYPE)
_DOMAIN_TYPE: Final = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_NAME: Final = keccak(text="Polymarket CTF Exchange")
_VERSION: Final = keccak(text="2")


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(value: str) -> bytes:
    return bytes(12) + bytes.fromhex(value[2:])


@lru_cache(maxsize=8)
def domain_separator(exchange: str, chain_id: int = CHAIN_ID) -> bytes:
    """The EIP-712 domain separator of an exchange contract (protocol version 2)."""
    return keccak(_DOMAIN_TYPE + _NAME + _VERSION + _word(chain_id) + _address(exchange))


def struct_hash(order: SignedFields) -> bytes:
    """``hashStruct(Order)``."""
    return keccak(
        _ORDER_TYPE
        + _word(order.salt)
        + _address(order.maker)
        + _address(order.signer)
        + _word(int(order.token_id))
        + _word(order.maker_amount)
        + _word(order.taker_amount)
        + _word(0 if order.action is Action.BUY else 1)
        + _word(order.signature_type)
        + _word(order.timestamp_ms)
        + bytes.fromhex(order.metadata[2:])
        + bytes.fromhex(order.builder[2:])
    )


def exchange_address(neg_risk: bool) -> str:
    return NEG_RISK_EXCHANGE if neg_risk else STANDARD_EXCHANGE


def order_id(order: SignedFields, *, neg_risk: bool = False) -> str:
    """The venue's id of this order, ``0x`` and 64 hex digits; the same for every signature type."""
    separator = domain_separator(exchange_address(neg_risk))
    return "0x" + keccak(b"\x19\x01" + separator + struct_hash(order)).hex()
