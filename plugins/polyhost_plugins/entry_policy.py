"""The entry policy: when an estimate is good enough to buy, and when it is too early or too late (ENT-01).

Gates are asked in order, and the first that fails is the reason told: ``too_early``, ``too_late``, ``side_taken``,
``no_bias``, ``low_confidence``, ``no_book``, ``low_edge``. A window that is skipped stays eligible later on.
"""

from __future__ import annotations

from pydantic import Field

from polyhost import ONE, Bias, Enter, Estimate, Plugin, Settings, Side, Skip, View, hookimpl, price_text, taker_fee

ONE_SHARE = 1_000_000


class EntryPolicySettings(Settings):
    confidence_min: float = Field(default=0.30, ge=0, lt=1)
    """Least confidence of the estimate, 0 to 1."""
    edge_min: float = Field(default=0.02, gt=-1, lt=1)
    """Least edge: probability less the worst price and the taker fee (collateral a share)."""
    not_first_s: float = Field(default=30.0, ge=0)
    """No entry in the first seconds of a window (15-minute windows; scaled to shorter ones)."""
    not_last_s: float = Field(default=180.0, ge=0)
    """No entry in the last seconds before the end (15-minute windows; scaled to shorter ones)."""
    through_ticks: int = Field(default=1, ge=0)
    """The worst price is the ask plus this many of the market's own ticks."""


class EntryPolicy(Plugin):
    name = "entry_policy"
    description = "Buys the favoured side with enough confidence and edge, neither too early nor too late."
    Settings = EntryPolicySettings
    settings: EntryPolicySettings

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Enter | Skip:
        """Buy the favoured side by FAK at most ``through_ticks`` above its ask, or say which gate failed first."""
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
        if estimate.bias is Bias.NONE:
            return Skip("no_bias", told)
        if estimate.confidence < self.settings.confidence_min:
            return Skip("low_confidence", told | {"confidence_min": self.settings.confidence_min})
        return None

    def _price(self, view: View, estimate: Estimate, side: Side) -> Enter | Skip:
        """The edge is taken at the worst price, so that no fill can be worse than the edge told."""
        quote, tick = view.side(side), view.market.tick
        probability = estimate.probability(side)
        if quote.ask >= ONE:
            return Skip("no_book", {"bid": quote.bid / ONE, "ask": quote.ask / ONE})
        # An ask off the grid (after a tick change) is rounded up first: below it nothing would match.
        price_max = min(-(-quote.ask // tick) * tick + self.settings.through_ticks * tick, ONE - tick)
        fees = view.market.fees
        fee = taker_fee(ONE_SHARE, price_max, fees.rate, fees.exponent) / ONE_SHARE
        edge = probability - price_max / ONE - fee
        told = {
            "confidence": estimate.confidence,
            "probability": probability,
            "ask": quote.ask / ONE,
            "price_max": price_max / ONE,
            "fee": fee,
            "edge": edge,
        }
        if edge < self.settings.edge_min:
            return Skip("low_edge", told | {"edge_min": self.settings.edge_min})
        reason = (
            f"{side} at most {price_text(price_max)}: probability {probability:.3f}, fee {fee:.5f}, edge {edge:.4f}, "
            f"confidence {estimate.confidence:.3f}"
        )
        return Enter(side, price_max, reason, edge=edge, values=told)
