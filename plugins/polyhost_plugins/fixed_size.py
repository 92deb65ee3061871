"""The same stake for every entry (ENT-04). The host converts it to shares, checks limits, funds and minimums."""

from __future__ import annotations

from pydantic import field_validator

from polyhost import Enter, Money, Plugin, Settings, Stake, View, hookimpl


class FixedSizeSettings(Settings):
    stake: Money = Money("25")
    """Collateral to spend on an entry, fee included."""

    @field_validator("stake")
    @classmethod
    def _above_zero(cls, value: Money) -> Money:
        if value <= 0:
            raise ValueError("must be above 0")
        return value


class FixedSize(Plugin):
    name = "fixed_size"
    description = "The same stake for every entry."
    Settings = FixedSizeSettings
    settings: FixedSizeSettings

    @hookimpl
    def size(self, view: View, entry: Enter) -> Stake:
        """The configured stake, whatever the entry."""
        stake = self.settings.stake
        return Stake(int(stake), f"fixed stake {stake}")
