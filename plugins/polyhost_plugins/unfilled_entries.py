"""Resting entries that nobody meets: cancelled in time, and bought at market where the market has run ahead (ENT-05).

1. A resting first entry is cancelled when its side's midpoint fell by ``against`` (15 %) of the entry's price since it
   was placed, and in any case ``unfilled_s`` (300 s) after it was placed.
2. When the proof of that end is there (never before: two live buys would be possible) and nothing of it was bought, the
   host's record says CANCELLED_UNFILLED. If it rested its time out and one side is ahead then, that side is bought at
   market: *ahead* is a midpoint more than ``ahead`` (0.10) above 0.50, so above 0.60 with the defaults.
3. Otherwise nothing more happens: other plugins may enter again later in the window.

A retry against the latest estimate of the trading combiner is left out (``against_estimate``).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, field_validator

from polyhost import (
    ONE,
    Action,
    CancelOrders,
    Contradiction,
    Enter,
    Market,
    Notice,
    OrderMoved,
    OrderView,
    Plugin,
    Price,
    Purpose,
    Settings,
    Setup,
    Side,
    Skip,
    View,
    hookimpl,
    price_text,
)

ONE_SHARE = 1_000_000
EVEN = ONE // 2
UNFILLED = "cancelled_unfilled"
"""The cause in the record of an entry that rested and ended without a fill."""


class UnfilledEntriesSettings(Settings):
    unfilled_s: float = Field(default=300.0, gt=0)
    """A resting entry is cancelled this long after it was placed (15-minute windows; scaled to shorter ones)."""
    ahead: Price = Price("0.10")
    """A side is ahead when its midpoint is more than this above 0.50 (collateral per share)."""
    against: float = Field(default=0.15, gt=0, lt=1)
    """A resting entry is cancelled at once when its midpoint fell by this share of its price since it was placed."""
    retry: bool = True
    """Buy the side that is ahead at market; false: an unfilled entry is only cancelled."""
    retry_within_s: float = Field(default=10.0, gt=0)
    """The retry follows the proved end within these seconds of market time, or not at all."""
    through_ticks: int = Field(default=1, ge=0)
    """Worst price of the retry: the ask plus this many of the market's own ticks."""
    against_estimate: bool = False
    """Retry also on a side that the latest estimate does not favour."""

    @field_validator("ahead")
    @classmethod
    def _below_half(cls, value: Price) -> Price:
        if value >= EVEN:
            raise ValueError("must be below 0.5: no side could ever be ahead")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """An entry must get so old within the window."""
        yield from setup.too_long(
            "unfilled_s", self.unfilled_s, f"no entry of a {setup.window} window rests so long before it ends"
        )


class UnfilledEntries(Plugin):
    name = "unfilled_entries"
    description = "Cancels resting entries that nobody meets, and buys the side that ran ahead."
    Settings = UnfilledEntriesSettings
    settings: UnfilledEntriesSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[CancelOrders | Enter | Skip]:
        """Cancel what rested too long or against the market; then, when its end is proved, retry or leave it."""
        entries = [
            order for order in view.orders
            if order.purpose is Purpose.ENTRY and order.action is Action.BUY and order.rests
        ]
        for order in entries:
            reason = self._over(view, order)
            if reason:
                yield CancelOrders(order.side, reason, order.ref)
        if not entries and self.settings.retry and self._timed_out(view):
            yield self._again(view)

    @hookimpl
    def on_order(self, market: Market, order: OrderMoved) -> Iterator[Notice]:
        """An entry ended without a fill: told in the word that its record has."""
        if order.cause == UNFILLED:
            yield Notice(f"{market.slug}: entry {order.ref} ended as {UNFILLED.upper()}", "info", "orders")

    def _over(self, view: View, order: OrderView) -> str:
        """Why a resting entry must go; empty while it may rest on."""
        quote = view.side(order.side)
        fell = order.mid_placed - quote.mid
        if order.mid_placed and quote.complete and fell >= self.settings.against * order.price:
            return f"against: the midpoint fell from {price_text(order.mid_placed)} to {price_text(quote.mid)}"
        unfilled_s = view.scaled_s(self.settings.unfilled_s)
        if view.now - order.placed_at >= unfilled_s * 1_000:
            return f"unfilled for {unfilled_s:g} s"
        return ""

    def _timed_out(self, view: View) -> bool:
        """Has an entry just ended that rested its time out without a fill? One that went earlier is not retried."""
        last = view.unfilled
        if last is None or last.ended_at - last.placed_at < view.scaled_s(self.settings.unfilled_s) * 1_000:
            return False
        return view.now - last.ended_at <= self.settings.retry_within_s * 1_000

    def _again(self, view: View) -> Enter | Skip:
        """The side that is ahead at market, or why not."""
        assert view.unfilled is not None, "only after an entry ended"
        side = next((side for side in Side if self._ahead(view, side)), None)
        if side is None:
            return Skip("unfilled_not_ahead", {"mid_up": view.up.mid / ONE, "ahead": self.settings.ahead / ONE})
        estimate, fees, tick = view.estimate, view.market.fees, view.market.tick
        if estimate is not None and estimate.favoured is not side and not self.settings.against_estimate:
            return Skip("unfilled_against_estimate", {"p_up": estimate.p_up, "mid_up": view.up.mid / ONE})
        if side in view.taken:
            return Skip("unfilled_side_taken")
        ask = -(-view.side(side).ask // tick) * tick
        price_max = min(ask + self.settings.through_ticks * tick, ONE - tick)
        fee = fees.taker(ONE_SHARE, price_max) / ONE_SHARE
        probability = estimate.probability(side) if estimate is not None else view.side(side).mid / ONE
        edge = probability - price_max / ONE - fee
        reason = (
            f"{side} at most {price_text(price_max)} at market: {view.unfilled.side} rested at "
            f"{price_text(view.unfilled.price)} unfilled, {side} is ahead at {price_text(view.side(side).mid)}"
        )
        return Enter(side, price_max, reason, edge=edge, values={"fee": fee, "edge": edge, "probability": probability})

    def _ahead(self, view: View, side: Side) -> bool:
        quote = view.side(side)
        # Twice the midpoint is exact where the midpoint itself is rounded.
        return quote.complete and quote.bid + quote.ask > 2 * (EVEN + self.settings.ahead)
