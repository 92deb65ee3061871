"""The pair: UP and DOWN bought together when they cost less than the 1.00 they pay, fees included (GRD-02).

The host buys the legs one after the other and sells the first again when the second can't be had (ORD-13). What pairs
off is merged back into collateral at once; until then it can't lose.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, field_validator

from polyhost import (
    ONE,
    ORDER_REF,
    Contradiction,
    Market,
    Merge,
    Money,
    Pair,
    Plugin,
    Settings,
    Setup,
    Shares,
    View,
    hookimpl,
    price_text,
)

SHARE = 1_000_000


class PairSettings(Settings):
    edge_min: float = Field(default=0.005, gt=-1, lt=1)
    """Least profit of a pair: 1.00 less both worst prices and both taker fees (collateral a pair). Below zero it buys
    dear on purpose."""
    stake: Money = Money("20")
    """Collateral for both legs together, fees included."""
    slack_ticks: int = Field(default=0, ge=0)
    """How far above its ask each leg may be bought, in the market's ticks; the edge is taken at that worst price."""
    not_last_s: float = Field(default=180.0, gt=0)
    """No pair is begun in the last seconds before the end (15-minute windows; scaled to shorter ones)."""
    merge_min: Shares = Shares("1")
    """Pairs are merged from so many shares of each side on; fewer are held to settlement, where they pay the same."""

    @field_validator("stake")
    @classmethod
    def _above_zero(cls, value: Money) -> Money:
        if value <= 0:
            raise ValueError("must be above 0")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """There must be time to begin one."""
        yield from setup.too_long(
            "not_last_s", self.not_last_s, f"leaves no time for a pair in a {setup.window} window"
        )


class PairTrade(Plugin):
    name = "pair"
    description = "Buys UP and DOWN together when they cost less than they pay, and merges them."
    Settings = PairSettings
    settings: PairSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[Pair | Merge]:
        """Merge what pairs off; else a pair, when both asks with their fees leave the edge."""
        paired = min((position.paired for position in view.positions), default=0)
        if len(view.positions) == 2 and paired >= self.settings.merge_min:
            yield Merge(None, f"{paired / SHARE:g} of both sides are held")
            return
        if not view.up.complete or not view.down.complete:
            return
        prices = [self._worst(view, quote.ask) for quote in (view.up, view.down)]
        edge = (ONE - sum(prices)) / ONE - sum(self._fee(view, price) for price in prices)
        self.metrics["last_edge"] = edge
        if edge < self.settings.edge_min or view.orders or self._loose(view):
            return
        if view.time_left_s <= view.scaled_s(self.settings.not_last_s):
            return
        reason = f"UP at most {price_text(prices[0])}, DOWN at most {price_text(prices[1])}: {edge:.4f} a pair"
        values = {"up": prices[0] / ONE, "down": prices[1] / ONE, "edge": edge}
        yield Pair(
            prices[0], prices[1], int(self.settings.stake), reason, values=values,
            remember={f"pair:{view.market.slug}": ORDER_REF},
        )

    def _worst(self, view: View, ask: int) -> int:
        tick = view.market.tick
        return min(-(-ask // tick) * tick + self.settings.slack_ticks * tick, ONE - tick)

    def _fee(self, view: View, price: int) -> float:
        """Of one share, collateral."""
        return view.market.fees.taker(SHARE, price) / SHARE

    def _loose(self, view: View) -> bool:
        """Something is held that does not pair off: it is somebody's position, and a pair would be mixed up with it."""
        return any(position.size > position.paired for position in view.positions)

    @hookimpl
    def on_settlement(self, market: Market, at: int) -> None:
        """The window is over: nothing of it needs to be remembered."""
        self.state.pop(f"pair:{market.slug}", None)
