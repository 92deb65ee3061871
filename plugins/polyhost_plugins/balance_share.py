"""A share of the free balance for every entry (ENT-04): stakes shrink with losses and grow with gains."""

from __future__ import annotations

from pydantic import Field

from polyhost import Enter, Plugin, Settings, Stake, View, hookimpl

PPM = 1_000_000


class BalanceShareSettings(Settings):
    percent: float = Field(default=2.5, gt=0, le=100)
    """Share of the free collateral to spend on an entry, percent, fee included."""


class BalanceShare(Plugin):
    name = "balance_share"
    description = "A share of the free balance for every entry."
    Settings = BalanceShareSettings
    settings: BalanceShareSettings

    @hookimpl
    def size(self, view: View, entry: Enter) -> Stake | None:
        """The configured share of what is free, rounded down; None when that is nothing."""
        share = round(self.settings.percent / 100 * PPM)
        amount = view.funds.free * share // PPM
        return Stake(amount, f"{self.settings.percent:g} % of what is free") if amount > 0 else None
