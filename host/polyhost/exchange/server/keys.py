"""API keys: who may speak for which address. L1 requests make keys, L2 requests prove them by HMAC.

Keys are derived from the exchange's seed, the address, the nonce and how often the key was deleted, so that a restart
and a second exchange of the same seed know the same credentials. They protect nothing but a simulation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from typing import Any, Final

from eth_utils.address import is_address, to_checksum_address
from msgspec import Struct

from polyhost.exchange.server.signatures import auth_digest, signer_of

TOLERANCE_S: Final = 300
"""How far a request's timestamp may lie from the wall clock or the market clock; the venue publishes no figure."""


class Credentials(Struct, frozen=True):
    """An API key with its secrets and whose it is."""

    api_key: str
    secret: str
    passphrase: str
    address: str
    """Checksummed."""


class Unauthorized(Exception):  # noqa: N818 the venue's word
    """The request does not prove who sent it; the text is the venue's (HTTP 401)."""


class KeyRefused(Exception):  # noqa: N818
    """The key cannot be made or derived; the text is the venue's (HTTP 400)."""


class Keyring:
    """Every API key of the exchange."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._by_key: dict[str, Credentials] = {}
        self._alive: dict[tuple[str, int], str] = {}
        """(address, nonce) to API key."""
        self._deleted: dict[tuple[str, int], int] = {}

    def create(self, address: str, nonce: int) -> Credentials:
        """A new key. Raises KeyRefused when this address and nonce have one."""
        self.check_free(address, nonce)
        made = self._derive(address, nonce)
        self._by_key[made.api_key] = made
        self._alive[address, nonce] = made.api_key
        return made

    def check_free(self, address: str, nonce: int) -> None:
        """Raises KeyRefused when this address and nonce have a key."""
        if (address, nonce) in self._alive:
            raise KeyRefused("Could not create api key")

    def derive(self, address: str, nonce: int) -> Credentials:
        """The existing key. Raises KeyRefused when there is none."""
        key = self._alive.get((address, nonce))
        if key is None:
            raise KeyRefused("Could not derive api key!")
        return self._by_key[key]

    def delete(self, credentials: Credentials) -> None:
        """Forget a key; the next one for the same address and nonce will differ."""
        for slot, key in list(self._alive.items()):
            if key == credentials.api_key:
                del self._alive[slot], self._by_key[key]
                self._deleted[slot] = self._deleted.get(slot, 0) + 1

    def of_address(self, address: str) -> list[str]:
        """The API keys of an address, oldest first."""
        return [key for (owner, _nonce), key in self._alive.items() if owner == address]

    def addresses(self) -> list[str]:
        """Every address that ever had a key, oldest first (those with a deleted one at the end)."""
        return list(dict.fromkeys(address for address, _nonce in (*self._alive, *self._deleted)))

    def get(self, api_key: str) -> Credentials | None:
        return self._by_key.get(api_key)

    def matches(self, api_key: str, secret: str, passphrase: str) -> Credentials | None:
        """The credentials a websocket shows, or None when any part is wrong."""
        known = self._by_key.get(api_key)
        if known is None or known.secret != secret or known.passphrase != passphrase:
            return None
        return known

    def save(self) -> dict[str, Any]:
        return {
            "alive": [[address, nonce] for address, nonce in self._alive],
            "deleted": [[address, nonce, count] for (address, nonce), count in self._deleted.items()],
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``save`` gave."""
        self._deleted = {(address, nonce): count for address, nonce, count in data["deleted"]}
        for address, nonce in data["alive"]:
            self.create(address, nonce)

    def _derive(self, address: str, nonce: int) -> Credentials:
        stem = f"{self.seed}|{address}|{nonce}|{self._deleted.get((address, nonce), 0)}"
        return Credentials(
            api_key=str(uuid.uuid5(uuid.NAMESPACE_OID, stem)),
            secret=base64.urlsafe_b64encode(hashlib.sha256(f"secret|{stem}".encode()).digest()).decode(),
            passphrase=hashlib.sha256(f"passphrase|{stem}".encode()).hexdigest(),
            address=address,
        )


def _timely(timestamp: str, wall_s: int, market_s: int) -> bool:
    """True when the stamp is near either clock or between them (clients may stamp with the exchange's own time)."""
    if not (timestamp.isascii() and timestamp.isdigit()):
        return False
    return min(wall_s, market_s) - TOLERANCE_S <= int(timestamp) <= max(wall_s, market_s) + TOLERANCE_S


def prove_wallet(headers: Mapping[str, str], wall_s: int, market_s: int) -> tuple[str, int]:
    """L1: the checksummed address and nonce that the headers prove. Raises Unauthorized."""
    refusal = Unauthorized("Invalid L1 Request headers")
    address = headers.get("POLY_ADDRESS", "")
    timestamp = headers.get("POLY_TIMESTAMP", "")
    nonce = headers.get("POLY_NONCE", "0") or "0"
    if not is_address(address) or not _timely(timestamp, wall_s, market_s):
        raise refusal
    if not (nonce.isascii() and nonce.isdigit() and len(nonce) <= 20):
        raise refusal
    wallet = to_checksum_address(address)
    digest = auth_digest(wallet, timestamp, int(nonce))
    if signer_of(digest, headers.get("POLY_SIGNATURE", "")) != wallet:
        raise refusal
    return wallet, int(nonce)


def hmac_signature(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """The venue's L2 signature: over the raw bytes of the body, and the path without host and query."""
    key = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    message = f"{timestamp}{method}{path}".encode() + body
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def prove_key(
    ring: Keyring, headers: Mapping[str, str], method: str, path: str, body: bytes, wall_s: int, market_s: int
) -> Credentials:
    """L2: the credentials that the headers prove for this very request. Raises Unauthorized."""
    refusal = Unauthorized("Unauthorized/Invalid api key")
    known = ring.get(headers.get("POLY_API_KEY", ""))
    timestamp = headers.get("POLY_TIMESTAMP", "")
    if known is None or not _timely(timestamp, wall_s, market_s):
        raise refusal
    if headers.get("POLY_PASSPHRASE") != known.passphrase:
        raise refusal
    if headers.get("POLY_ADDRESS", "").lower() != known.address.lower():
        raise refusal
    wanted = hmac_signature(known.secret, timestamp, method, path, body)
    try:
        given = base64.urlsafe_b64decode(headers.get("POLY_SIGNATURE", ""))
    except (binascii.Error, ValueError):
        raise refusal from None
    if not hmac.compare_digest(given, base64.urlsafe_b64decode(wanted)):
        raise refusal
    return known
