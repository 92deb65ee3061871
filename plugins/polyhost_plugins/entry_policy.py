"""The entry policy: when an estimate is good enough to buy, when it is too early or too late, and how (ENT-01, ENT-06).

Gates are asked in order, and the first that fails is the reason told: ``too_early``, ``too_late``, ``side_taken``,
``just_unfilled``, ``no_bias``, ``low_confidence``, ``no_book``, ``low_edge``. A window that is skipped stays eligible
later on.

The edge is ``probability - price - fee``: the price is the order's limit, and the fee what that style pays there.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from polyhost import ONE, Bias, Enter, Estimate, Plugin, Settings, Side, Skip, View, hookimpl, price_text

ONE_SHARE = 1_000_000


class Style(NamedTuple):
    """An order of one style: its limit in ticks, its type, whether it pays what takers pay, whether it may take."""

    price: int
    order_type: str
    takes: bool
    post_only: bool = False


class EntryPolicySettings(Settings):
    confidence_min: float = Field(default=0.30, ge=0, lt=1)
    """Least confidence of the estimate, 0 to 1."""
    edge_min: float = Field(default=0.02, gt=-1, lt=1)
    """Least edge: probability less the limit price and this style's fee (collateral a share)."""
    not_first_s: float = Field(default=30.0, ge=0)
    """No entry in the first seconds of a window (15-minute windows; scaled to shorter ones)."""
    not_last_s: float = Field(default=180.0, ge=0)
    """No entry in the last seconds before the end (15-minute windows; scaled to shorter ones)."""
    style: Literal["fak", "cross", "join", "improve", "post_only"] = "fak"
    """How it buys. fak: what is offered up to ``through_ticks`` above the ask, the rest is dropped. cross: a limit at
    the ask, the rest rests there. join: rests at the bid. improve: rests one tick above the bid, never at the ask.
    post_only: as join, and the venue refuses it where it would take. fak and cross pay the taker fee, the rest none
    (but for a builder code)."""
    through_ticks: int = Field(default=1, ge=0)
    """Style fak: the worst price is the ask plus this many of the market's own ticks."""
    rest_s: float = Field(default=0.0, ge=0)
    """What rests is ended after these seconds (15-minute windows; scaled to shorter ones); 0: it has no end of its
    own."""
    again_after_s: float = Field(default=60.0, ge=0)
    """A side whose resting entry ended without a fill is left alone so long (15-minute windows; scaled)."""


class EntryPolicy(Plugin):
    name = "entry_policy"
    description = "Buys the favoured side with enough confidence and edge, neither too early nor too late."
    Settings = EntryPolicySettings
    settings: EntryPolicySettings

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Enter | Skip:
        """Buy the favoured side in the configured style, or say which gate failed first."""
        side = estimate.favoured
        return self._time_gate(view) or self._opinion_gate(view, estimate, side) or self._price(view, estimate, side)

    def _time_gate(self, view: View) -> Skip | None:
        not_first_s, not_last_s = view.scaled_s(self.settings.not_first_s), view.scaled_s(self.settings.not_last_s)
        if view.market.start is not None and view.elapsed_s < not_first_s:
            return Skip("too_early", {"elapsed_s": view.elapsed_s, "not_first_s": not_first_s})
        if view.time_left_s <= not_last_s:
            return Skip("too_late", {"time_left_s": view.time_left_s, "not_last_s": not_last_s})
        return None

    def _opinion_gate(self, view: View, estimate: Estimate, side: Side) -> Skip | None:
        told = {"confidence": estimate.confidence, "p_up": estimate.p_up}
        if side in view.taken:
            return Skip("side_taken", told)
        if self._just_unfilled(view, side):
            return Skip("just_unfilled", told | {"again_after_s": view.scaled_s(self.settings.again_after_s)})
        if estimate.bias is Bias.NONE:
            return Skip("no_bias", told)
        if estimate.confidence < self.settings.confidence_min:
            return Skip("low_confidence", told | {"confidence_min": self.settings.confidence_min})
        return None

    def _just_unfilled(self, view: View, side: Side) -> bool:
        """Its resting entry ended without a fill a moment ago: the next one would end the same way."""
        last = view.unfilled
        pause_ms = view.scaled_s(self.settings.again_after_s) * 1_000
        return last is not None and last.side is side and view.now - last.ended_at < pause_ms

    def _price(self, view: View, estimate: Estimate, side: Side) -> Enter | Skip:
        """The edge is taken at the limit, so that no fill of this style can be worse than the edge told."""
        quote, fees = view.side(side), view.market.fees
        style = self._style(view, side)
        if style is None:
            return Skip("no_book", {"bid": quote.bid / ONE, "ask": quote.ask / ONE})
        probability = estimate.probability(side)
        fee = fees.charged(ONE_SHARE, style.price, maker=not style.takes) / ONE_SHARE
        edge = probability - style.price / ONE - fee
        told = {
            "confidence": estimate.confidence,
            "probability": probability,
            "ask": quote.ask / ONE,
            "price_max": style.price / ONE,
            "fee": fee,
            "edge": edge,
        }
        if edge < self.settings.edge_min:
            return Skip("low_edge", told | {"edge_min": self.settings.edge_min})
        reason = (
            f"{side} {self.settings.style} at most {price_text(style.price)}: probability {probability:.3f}, "
            f"fee {fee:.5f}, edge {edge:.4f}, confidence {estimate.confidence:.3f}"
        )
        return Enter(
            side, style.price, reason, order_type=style.order_type, edge=edge, values=told,
            valid_s=view.scaled_s(self.settings.rest_s) if style.order_type == "GTD" else 0.0,
            post_only=style.post_only,
        )

    def _style(self, view: View, side: Side) -> Style | None:
        """The order that this style makes of the quote; None when the book has no price for it."""
        quote, tick = view.side(side), view.market.tick
        rests = "GTD" if self.settings.rest_s > 0 else "GTC"
        # An ask off the grid (after a tick change) is rounded up first: below it nothing would match.
        ask = -(-quote.ask // tick) * tick
        match self.settings.style:
            case "fak":
                price = min(ask + self.settings.through_ticks * tick, ONE - tick)
                return Style(price, "FAK", takes=True) if quote.ask < ONE else None
            case "cross":
                return Style(min(ask, ONE - tick), rests, takes=True) if quote.ask < ONE else None
            case style:
                above = tick if style == "improve" else 0
                # A bid off the grid is rounded down, and the grid's last price below the ask is the highest that rests.
                price = min(quote.bid - quote.bid % tick + above, (quote.ask - 1) // tick * tick)
                good = quote.complete and price >= tick
                return Style(price, rests, takes=False, post_only=style == "post_only") if good else None
