"""What a server needs to know beside its address: the world it shows and what newcomers own."""

from __future__ import annotations

from msgspec import Struct

from polyhost.exchange.world import WorldSettings
from polyhost.model.money import MICRO, Micros


class Troubles(Struct, frozen=True):
    """What is wrong with every account here, or with the place it is asked from; nothing by default."""

    unapproved: bool = False
    """No contract may move a newcomer's money and shares until its wallet approves it."""
    funded: tuple[str, ...] = ()
    """Only these wallets (eoa, proxy, safe, deposit) of a newcomer own anything; empty: all four."""
    closed_only: bool = False
    """Accounts may only close positions."""
    country: str = ""
    """Where everybody is seen to be, and may not trade from; empty: nobody is blocked."""
    protocol: int = 2
    """Version of the order protocol that the venue names."""


class ServerSettings(Struct, frozen=True):
    """Settings of a simulated exchange on the wire."""

    world: WorldSettings = WorldSettings()
    cash: Micros = 1_000 * MICRO
    """Collateral of each of the four wallets of every key that authenticates first; approvals are given."""
    troubles: Troubles = Troubles()
    first_deposit_wallets: bool = False
    """Deposit wallets are of the first generation (UUPS), as those of old accounts are at the venue."""
    rate_limit_tier: str = ""
    """Tier of every signer's rate limits (``limits.TIERS``); empty: nobody is limited."""
    pathologies: dict[str, float] = {}
    """How the exchange misbehaves: names of the catalogue and their probabilities."""
