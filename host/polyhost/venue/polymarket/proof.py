"""Whose key signed an order, and whether it signed exactly the order whose hash is its id. No venue SDK in it."""

from __future__ import annotations

from coincurve import PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from polyhost.model.gateway import SignedFields
from polyhost.model.order_signature import plain_signature, signed_digest


def signer_of(digest: str, signature: str) -> str:
    """The address whose key signed the digest (``0x`` and 64 hex digits). Raises ValueError when nobody can have."""
    address: str = to_checksum_address(_signer(digest, signature))
    return address


def _signer(digest: str, signature: str) -> bytes:
    """The signer's address as 20 bytes. Raises ValueError when nobody can have signed the digest."""
    raw = bytes.fromhex(signature.removeprefix("0x"))
    try:
        plain = raw[:64] + bytes([raw[64] - 27 if raw[64] >= 27 else raw[64]])
        key = PublicKey.from_signature_and_message(plain, bytes.fromhex(digest[2:]), hasher=None)
    except Exception as error:  # the library raises a plain Exception when no key fits
        raise ValueError(f"not a signature of this digest: {error}") from error
    return keccak(key.format(compressed=False)[1:])[-20:]


def proves(fields: SignedFields, signature: str, owner: str, *, neg_risk: bool = False) -> bool:
    """True when the key of ``owner`` signed exactly the order whose hash we compute, in its signature type's form."""
    plain = plain_signature(fields, signature, neg_risk=neg_risk)
    if plain is None:
        return False
    try:
        digest = signed_digest(fields, neg_risk=neg_risk)
        return _signer("0x" + digest.hex(), plain) == bytes.fromhex(owner.removeprefix("0x"))
    except ValueError:
        return False
