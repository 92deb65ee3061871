"""Who signed: recovery from the venue's two EIP-712 messages, ClobAuth (L1) and Order (V2, every signature type).

Sources: typed data of polymarket-client 0.14.0 (l1_auth.py, orders/typed_data.py) and py-clob-client-v2 1.2.1.
"""

from __future__ import annotations

from typing import Final

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from polyhost.model.gateway import SignedFields
from polyhost.model.order_hash import CHAIN_ID
from polyhost.model.order_signature import plain_signature, signed_digest

AUTH_MESSAGE: Final = "This message attests that I control the given wallet"
_AUTH_DOMAIN: Final = keccak(
    keccak(text="EIP712Domain(string name,string version,uint256 chainId)")
    + keccak(text="ClobAuthDomain")
    + keccak(text="1")
    + CHAIN_ID.to_bytes(32, "big")
)
_AUTH_TYPE: Final = keccak(text="ClobAuth(address address,string timestamp,uint256 nonce,string message)")
_AUTH_MESSAGE_HASH: Final = keccak(text=AUTH_MESSAGE)


def auth_digest(address: str, timestamp: str, nonce: int) -> bytes:
    """The digest that a wallet signs to ask for an API key. Raises ValueError for an address that is none."""
    body = keccak(
        _AUTH_TYPE
        + bytes(12)
        + bytes.fromhex(address[2:])
        + keccak(text=timestamp)
        + nonce.to_bytes(32, "big")
        + _AUTH_MESSAGE_HASH
    )
    return keccak(b"\x19\x01" + _AUTH_DOMAIN + body)


def signer_of(digest: bytes, signature: str) -> str | None:
    """The checksummed address that signed this digest; None when the text is no signature of anybody."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
        if len(raw) != 65:
            return None
        recovery = raw[64] - 27 if raw[64] >= 27 else raw[64]
        parsed = Signature(raw[:64] + bytes([recovery]))
        return parsed.recover_public_key_from_msg_hash(digest).to_checksum_address()
    except (ValueError, BadSignature, ValidationError):
        return None


def order_signer(fields: SignedFields, signature: str, *, neg_risk: bool) -> str | None:
    """Whose key signed this order for the market's exchange contract; None when nobody's did, in its type's form."""
    plain = plain_signature(fields, signature, neg_risk=neg_risk)
    return None if plain is None else signer_of(signed_digest(fields, neg_risk=neg_risk), plain)
