"""Little money left: no new entries below a floor, a scale-in keeps a reserve, and a person is told in time (ENT-03).

Evaluations and the management of what is held go on whatever the balance is. Hedges have the host's own rule
(``[safety] hedge_when_blocked``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import model_validator

from polyhost import Enter, Funds, Money, Notice, Plugin, Purpose, Settings, Veto, View, hookimpl

GUARDED = (Purpose.ENTRY, Purpose.SCALE_IN, Purpose.GRID_LEVEL, Purpose.LEG)


class LowBalanceGuardSettings(Settings):
    free_min: Money = Money("1")
    """No entry while less collateral than this is free."""
    warn_below: Money = Money("10")
    """A warning when less collateral than this is free, once …"""
    warn_again_from: Money = Money("12")
    """… and again only after so much was free in between."""
    scale_in_left: Money = Money("5")
    """A scale-in leaves at least this much free beyond its cost."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn_again_from < self.warn_below:
            raise ValueError(f"warn_again_from {self.warn_again_from} is below warn_below {self.warn_below}")
        return self


class LowBalanceGuard(Plugin):
    name = "low_balance_guard"
    description = "Stops entries on a low balance, and warns before that."
    Settings = LowBalanceGuardSettings
    settings: LowBalanceGuardSettings
    timer_s = 5.0

    @hookimpl
    def review(self, view: View, entry: Enter) -> Veto | None:
        """Veto what the free balance does not carry; None for every other entry, and for hedges."""
        if entry.purpose not in GUARDED:
            return None
        free, settings = view.funds.free, self.settings
        if free < settings.free_min:
            return Veto(f"{Money.exactly(free)} is free, entries need {settings.free_min}")
        left = free - (entry.stake or 0)
        if entry.purpose is Purpose.SCALE_IN and left < settings.scale_in_left:
            told = f"{Money.exactly(left)} of {Money.exactly(free)}"
            return Veto(f"a scale-in would leave {told}, {settings.scale_in_left} must stay")
        return None

    @hookimpl
    def on_timer(self, funds: Funds | None) -> Iterator[Notice]:
        """One warning each time the balance falls below the limit; one line when it is enough again."""
        if funds is None:
            return
        low = bool(self.state.get("low", False))
        if not low and funds.free < self.settings.warn_below:
            self.state["low"] = True
            elsewhere = (
                f"{Money.exactly(funds.reserved)} is in orders, {Money.exactly(funds.in_positions)} in positions at "
                f"cost, {Money.exactly(funds.unredeemed)} unredeemed"
            )
            yield Notice(
                f"Low balance: {Money.exactly(funds.free)} is free, less than {self.settings.warn_below} ({elsewhere})",
                "warning", "funds",
            )
        elif low and funds.free >= self.settings.warn_again_from:
            self.state["low"] = False
            yield Notice(f"The balance is enough again: {Money.exactly(funds.free)} is free", "info", "funds")
