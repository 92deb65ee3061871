"""The reversal: when a position goes wrong the other side is bought first, and the losing one is sold later (EXI-03).

1. The midpoint of what is held is at or below ``midpoint_max``: as many shares of the other side are bought at market
   (a hedge: both together are worth 1.00 a share, whoever wins). The plain stop is deferred meanwhile.
2. Triple check: the hedge is filled, has stood ``stand_s``, and the estimate favours the new side by more than
   ``favour_min``: only then the losing side is sold.
3. At or below ``floor`` the losing side is sold at once.

While a position stands, an entry on its other side is vetoed (``owns_other_side``): bought on a mere change of opinion
it would cost what the hedge needs, at a price at which both sides together cost more than 1.00.

When the hedge cannot be bought (funds, minimum, breaker, slot, no book, no fill in time) the plain stop sells at once
(EXI-09). There is one reversal a window: the hedge itself has the plain stop alone. That a hedge was bought, when, and
by which order is durable before the order is signed (POS-12).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from polyhost import (
    ONE,
    ORDER_REF,
    CloseRecorded,
    Contradiction,
    Defer,
    Enter,
    ExitNow,
    InnerPrice,
    Market,
    MarketSettled,
    Plugin,
    PositionView,
    Price,
    Purpose,
    Quote,
    Remembered,
    Settings,
    Setup,
    Side,
    Trigger,
    Veto,
    View,
    hookimpl,
    midpoint_triggers,
    notional,
    price_text,
)

PASSING = ("stale_answer", "late_answer", "balance_age", "pending_orders")
"""Gates that open by themselves: the wish is repeated."""
ROUNDING = 1e-9
"""Two probabilities that differ by just the threshold do not differ by more, whatever a double makes of them."""
Wish: TypeAlias = Enter | ExitNow | Defer | Trigger


class ReversalSettings(Settings):
    midpoint_max: InnerPrice = InnerPrice("0.30")
    """The other side is bought when the midpoint of what is held is at or below this price (collateral per share)."""
    floor: Price = Price("0.15")
    """The losing side is sold at once at or below this midpoint, hedged or not; below ``midpoint_max``."""
    stand_s: float = Field(default=120.0, ge=0)
    """The hedge stands so many seconds before the losing side is sold (15-minute windows; scaled to shorter ones)."""
    favour_min: float = Field(default=0.30, ge=0, lt=1)
    """And the estimate favours the new side by more than this: the difference of the two probabilities, 0 to 1."""
    hedge_part: float = Field(default=1.0, gt=0, le=2)
    """Shares of the hedge, as a part of the shares it hedges."""
    fill_within_s: float = Field(default=10.0, gt=0)
    """The stop waits so long for the hedge's first fill, seconds of market time, not scaled."""
    not_last_s: float = Field(default=240.0, ge=0)
    """No hedge in the last seconds before the end, when it could not stand its time before everything is closed: the
    plain stop sells (15-minute windows; scaled to shorter ones)."""
    through_ticks: int = Field(default=5, ge=0)
    """The hedge's worst price is the ask plus this many of the market's own ticks: one that misses costs a stop."""
    owns_other_side: bool = True
    """Veto first entries on the other side of a position: that side is bought as its hedge, or not at all."""

    @field_validator("floor")
    @classmethod
    def _below_the_hedge(cls, value: Price, info: ValidationInfo) -> Price:
        hedge = info.data.get("midpoint_max")
        if hedge is not None and value >= hedge:
            raise ValueError(f"must be below midpoint_max = {hedge}: no hedge would ever be bought")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """The hedge must find the time to stand, and the stop must not sell before it is bought."""
        spent_s = setup.scaled_s(setup.first_entry_s + self.stand_s + setup.close_before_expiry_s)
        if spent_s >= setup.duration_s:
            most_s = setup.longest_s - setup.first_entry_s - setup.close_before_expiry_s
            problem = f"no hedge could stand so long in a {setup.window} window before everything is closed"
            yield Contradiction("stand_s", f"{problem}: the losing side could never be sold", f"below {most_s:g}")
        last_s = setup.scaled_s(setup.first_entry_s + self.not_last_s)
        if last_s >= setup.duration_s:
            most_s = setup.longest_s - setup.first_entry_s
            problem = f"leaves no time for a hedge in a {setup.window} window"
            yield Contradiction("not_last_s", problem, f"below {most_s:g}")
        for name, stop in setup.settings_of("stop_loss"):
            if stop.midpoint_max > self.midpoint_max:
                problem = f"{name} sells at {stop.midpoint_max} already: no hedge would ever be bought"
                yield Contradiction("midpoint_max", problem, f"at least {stop.midpoint_max}")


class Reversal(Plugin):
    name = "reversal"
    description = "Buys the other side when a position goes wrong; sells the losing side when that proved right."
    Settings = ReversalSettings
    settings: ReversalSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Iterator[Wish]:
        """What is due for one position; nothing for what is held, and for the hedge itself."""
        losing = self.state.get(f"losing:{view.market.condition_id}")
        mid = view.side(position.side).mid_at_most
        if position.held or mid is None or losing not in (None, position.side.value):
            return
        if mid <= self.settings.floor:
            told = f"midpoint {price_text(mid)} is at the floor of {price_text(self.settings.floor)}"
            yield ExitNow(position.side, told, "floor")
        elif losing is None:
            yield from self._unhedged(view, position, mid)
        else:
            yield from self._hedged(view, position, mid)

    @hookimpl
    def review(self, view: View, entry: Enter) -> Veto | None:
        """The other side of a position is bought as its hedge, or not at all."""
        position = view.position(entry.side.other)
        if not self.settings.owns_other_side or entry.purpose is not Purpose.ENTRY or position is None:
            return None
        if position.paired >= position.size:
            return None
        return Veto(f"{position.side} is held: {entry.side} is bought as its hedge alone")

    # --- before the hedge ---------------------------------------------------------------------------------------------

    def _unhedged(self, view: View, position: PositionView, mid: int) -> Iterator[Wish]:
        """Wait for the price, then buy the other side, or stop when that is impossible."""
        side, quote = position.side, view.side(position.side)
        if mid > self.settings.midpoint_max:
            yield from midpoint_triggers(side, quote, "below", self.settings.midpoint_max)
            return
        impossible = self._impossible(view, side)
        if impossible:
            yield ExitNow(side, f"midpoint {price_text(mid)}, and no hedge: {impossible}", "stop")
            return
        yield Defer(side, "stop", self._fill_until(view.now), "its hedge is being bought")
        yield self._hedge(view, position, mid)
        yield from midpoint_triggers(side, quote, "below", self.settings.floor)

    def _impossible(self, view: View, side: Side) -> str:
        """Why no hedge can be bought now; empty when one can."""
        last_s = view.scaled_s(self.settings.not_last_s)
        refused = view.hedge_refused(side.other)
        if view.position(side.other) is not None:
            return "the other side is held already"
        if view.time_left_s <= last_s:
            return f"only {view.time_left_s:.0f} s are left"
        if view.side(side.other).ask >= ONE:
            return "nobody offers the other side"
        if refused is None:
            return ""
        waited_ms = view.now - refused.since
        passing = refused.gate in PASSING and waited_ms < self.settings.fill_within_s * 1_000
        return "" if passing else f"{refused.gate}, {refused.reason}"

    def _hedge(self, view: View, position: PositionView, mid: int) -> Enter:
        """As many shares of the other side as the setting says, at most for the worst price."""
        other, key = position.side.other, view.market.condition_id
        price_max = worst_price(view.side(other), view.market.tick, self.settings.through_ticks)
        shares = round(position.size * self.settings.hedge_part)
        stake = notional(shares, price_max) + view.market.fees.most(shares, price_max)
        remember: dict[str, Remembered] = {
            f"losing:{key}": position.side.value, f"hedged_at:{key}": view.now, f"order:{key}": ORDER_REF,
        }
        reason = f"{position.side} fell to {price_text(mid)}: {other} at most {price_text(price_max)} as its hedge"
        values = {"midpoint": mid / ONE, "price_max": price_max / ONE}
        return Enter(
            other, price_max, reason, Purpose.HEDGE, stake=max(stake, 1), values=values, remember=remember
        )

    def _fill_until(self, since: int) -> int:
        return since + round(self.settings.fill_within_s * 1_000)

    # --- with the hedge -----------------------------------------------------------------------------------------------

    def _hedged(self, view: View, position: PositionView, mid: int) -> Iterator[Wish]:
        """Hold the stop back while the hedge stands; sell the losing side once all three checks pass."""
        side = position.side
        hedge = view.position(side.other)
        until = view.market.end if hedge is not None else self._on_its_way_until(view, side)
        if until <= view.now:
            if mid <= self.settings.midpoint_max:
                yield ExitNow(side, f"midpoint {price_text(mid)}, and its hedge does not stand", "stop")
            else:
                yield from midpoint_triggers(side, view.side(side), "below", self.settings.midpoint_max)
            return
        # Beside the sale too: the rotation is planned, and no emergency stop that a breaker would count.
        yield Defer(side, "stop", until, "its hedge stands" if hedge is not None else "its hedge is being bought")
        turned = "" if hedge is None else self._turned(view, hedge)
        if turned:
            yield ExitNow(side, turned, "reversal")
        yield from midpoint_triggers(side, view.side(side), "below", self.settings.floor)

    def _on_its_way_until(self, view: View, side: Side) -> int:
        """How long the stop waits for a hedge that has no fill, market ms; 0 when none is on its way."""
        placed = self.state.get(f"hedged_at:{view.market.condition_id}", 0)
        live = any(order.purpose is Purpose.HEDGE and order.side is side.other for order in view.orders)
        return self._fill_until(placed) if live else 0

    def _turned(self, view: View, hedge: PositionView) -> str:
        """Why the losing side goes now; empty while one of the three checks fails."""
        stood_s, stand_s = (view.now - hedge.opened_at) / 1_000, view.scaled_s(self.settings.stand_s)
        if stood_s < stand_s or view.estimate is None:
            return ""
        favour = 2 * view.estimate.probability(hedge.side) - 1
        if favour <= self.settings.favour_min + ROUNDING:
            return ""
        return f"the hedge has stood {stood_s:.0f} s and the estimate favours {hedge.side} by {favour:.2f}"

    @hookimpl
    def on_settlement(self, market: Market, result: MarketSettled, closes: tuple[CloseRecorded, ...]) -> Iterable[Any]:
        """What is over is forgotten."""
        for key in [key for key in self.state if key.endswith(f":{market.condition_id}")]:
            del self.state[key]
        return ()


def worst_price(quote: Quote, tick: int, through: int) -> int:
    """The ask, on the grid, and ``through`` ticks above it; never more than one tick below 1.00."""
    return min(-(-quote.ask // tick) * tick + through * tick, ONE - tick)
