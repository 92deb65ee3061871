"""What a server needs to know beside its address: the world it shows and what newcomers own."""

from __future__ import annotations

from msgspec import Struct

from polyhost.exchange.world import WorldSettings
from polyhost.model.money import MICRO, Micros


class ServerSettings(Struct, frozen=True):
    """Settings of a simulated exchange on the wire."""

    world: WorldSettings = WorldSettings()
    cash: Micros = 1_000 * MICRO
    """Collateral of each of the four wallets of every key that authenticates first; approvals are given."""
    first_deposit_wallets: bool = False
    """Deposit wallets are of the first generation (UUPS), as those of old accounts are at the venue."""
    rate_limit_tier: str = ""
    """Tier of every signer's rate limits (``limits.TIERS``); empty: nobody is limited."""
    pathologies: dict[str, float] = {}
    """How the exchange misbehaves: names of the catalogue and their probabilities."""
