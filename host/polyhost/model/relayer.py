"""What the venue's relayer knows an account by: it sends the transactions of contract wallets, without gas."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

SECRET_PARTS: Final = ("key", "secret", "passphrase")
"""Parts of a key that are kept like a private key; its address is none."""
WEBSITE: Final = "polymarket.com, Settings, API Keys"
"""Where a person makes one (docs.polymarket.com, trading/gasless, read 2026-11)."""


class RelayerKey(Struct, frozen=True):
    """A relayer key (``key``, ``address``) or a builder key (``key``, ``secret``, ``passphrase``)."""

    key: str
    address: str = ""
    """Address that the key was made for; empty: the private key's own."""
    secret: str = ""
    passphrase: str = ""

    def __repr__(self) -> str:
        return "RelayerKey(hidden)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be said nowhere."""
        return tuple(part for part in (self.key, self.secret, self.passphrase) if part)
