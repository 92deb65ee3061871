"""The four kinds of wallet that a key can have, by the signature type of their orders."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class WalletKind(IntEnum):
    """A wallet by the signature type of its orders."""

    EOA = 0
    """The key's own address."""
    PROXY = 1
    """Made for e-mail and Magic accounts."""
    SAFE = 2
    """Made for browser wallets."""
    DEPOSIT = 3
    """Default of new accounts: its orders are signed inside an ERC-7739 wrapper."""


_BY_NUMBER: Final = {kind.value: kind for kind in WalletKind}


def wallet_kind(number: int) -> WalletKind | None:
    """The kind with this signature type; None when there is none."""
    return _BY_NUMBER.get(number)
