"""What a server needs to know beside its address: the world it shows and what newcomers own."""

from __future__ import annotations

from msgspec import Struct

from polyhost.exchange.world import WorldSettings
from polyhost.model.money import MICRO, Micros


class ServerSettings(Struct, frozen=True):
    """Settings of a simulated exchange on the wire."""

    world: WorldSettings = WorldSettings()
    cash: Micros = 1_000 * MICRO
    """Collateral of every address that authenticates first; approvals are given."""
    pathologies: dict[str, float] = {}
    """How the exchange misbehaves: names of the catalogue and their probabilities."""
