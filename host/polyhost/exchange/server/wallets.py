"""Which wallets belong to which key: four of each, known from the moment its first API key is made.

``first`` keys have a deposit wallet of the first generation, as accounts opened before the beacon have at the venue.
"""

from __future__ import annotations

from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import first_deposit_wallet, wallet_of


class Wallets:
    """The wallets of every key that has proved itself."""

    def __init__(self, first: bool = False) -> None:
        self.first = first
        self._owners: dict[str, str] = {}
        """Wallet to owner, both checksummed."""

    def of(self, owner: str, kind: WalletKind) -> str:
        """The checksummed address of an owner's wallet; ``owner`` is checksummed."""
        if kind is WalletKind.DEPOSIT and self.first:
            return first_deposit_wallet(owner)
        return wallet_of(owner, kind)

    def all_of(self, owner: str) -> tuple[str, ...]:
        """The four wallets of an owner, in the order of their signature types."""
        return tuple(self.of(owner, kind) for kind in WalletKind)

    def admit(self, owner: str) -> tuple[str, ...]:
        """Know an owner's wallets from now on, and name them."""
        wallets = self.all_of(owner)
        for wallet in wallets:
            self._owners[wallet] = owner
        return wallets

    def known(self) -> tuple[str, ...]:
        """Every wallet whose key has shown itself."""
        return tuple(self._owners)

    def owner_of(self, wallet: str) -> str | None:
        """Whose wallet this is (checksummed); None while nobody has shown the key to it."""
        return self._owners.get(wallet)

    def deployed(self, wallet: str, kind: str) -> bool:
        """Does the relayer call this wallet deployed? ``kind``: SAFE, PROXY, WALLET or empty.

        A client without a wallet setting asks for the deposit wallet of the first generation before it has shown any
        key, and takes that one when it is there.
        """
        return wallet in self._owners or (self.first and kind in ("", "WALLET"))
