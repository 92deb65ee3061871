"""Fractional Kelly: the stake grows with the edge after fees and vanishes with it (ENT-04).

A share that costs ``c`` (price and fee) and pays 1 with probability ``p`` is a bet at odds ``b = (1 - c) / c``. Kelly's
fraction of wealth is ``f = (b p - (1 - p)) / b = (p - c) / (1 - c)`` (J. L. Kelly, "A New Interpretation of Information
Rate", Bell System Technical Journal 35, 1956; the binary form in E. O. Thorp, "The Kelly Criterion in Blackjack, Sports
Betting, and the Stock Market", 1997, section 2). A quarter of it is staked, since the probability is an estimate.
"""

from __future__ import annotations

from pydantic import Field

from polyhost import ONE, Enter, Estimate, Plugin, Purpose, Settings, Stake, Veto, View, hookimpl

ONE_SHARE = 1_000_000
PPM = 1_000_000
OPINIONS = (Purpose.ENTRY, Purpose.SCALE_IN)
"""Purposes that are bets on the estimate; hedges, grids and pairs are sized by whoever wants them."""


class KellySettings(Settings):
    fraction: float = Field(default=0.25, gt=0, le=1)
    """Share of Kelly's fraction that is staked, above 0, at most 1."""
    equity_max: float = Field(default=0.05, gt=0, le=1)
    """The stake is at most this share of equity (free, reserved, positions at cost and unredeemed collateral)."""


def kelly_fraction(probability: float, cost: float) -> float:
    """Share of wealth for a bet that costs ``cost`` and pays 1 with ``probability``; 0 without an edge, below 1."""
    if not 0 < cost < 1:
        return 0.0
    return max((probability - cost) / (1 - cost), 0.0)


class Kelly(Plugin):
    name = "kelly"
    description = "A fraction of Kelly's stake, after fees, capped by equity."
    Settings = KellySettings
    settings: KellySettings

    @hookimpl
    def size(self, view: View, entry: Enter, estimate: Estimate | None) -> Stake | None:
        """The fraction of equity; None for what is no bet on the estimate, and where the formula stakes nothing."""
        if estimate is None or entry.purpose not in OPINIONS:
            return None
        kelly = kelly_fraction(estimate.probability(entry.side), cost_of_share(view, entry))
        share, equity = self.settings.fraction * kelly, view.funds.equity
        # The cap in whole numbers: no float's last digit passes it.
        most = equity * round(self.settings.equity_max * PPM) // PPM
        amount = min(int(equity * share), most)
        if amount <= 0:
            return None
        capped = ", capped" if amount == most else ""
        return Stake(amount, f"{self.settings.fraction:g} of Kelly {kelly:.4f}: {share:.2%} of equity{capped}")

    @hookimpl
    def review(self, view: View, entry: Enter, estimate: Estimate | None) -> Veto | None:
        """No entry without an edge, whoever else would size it."""
        if estimate is None or entry.purpose not in OPINIONS:
            return None
        probability, cost = estimate.probability(entry.side), cost_of_share(view, entry)
        if kelly_fraction(probability, cost) > 0:
            return None
        return Veto(f"no edge after fees: probability {probability:.4f}, a share costs {cost:.4f}")


def cost_of_share(view: View, entry: Enter) -> float:
    """Most a share costs with its fee, 0 to 1; what rests below the ask pays the makers'."""
    price, fees = entry.price_max, view.market.fees
    takes = entry.order_type in ("FAK", "FOK") or (price >= view.side(entry.side).ask and not entry.post_only)
    return price / ONE + fees.charged(ONE_SHARE, price, maker=not takes) / ONE_SHARE
