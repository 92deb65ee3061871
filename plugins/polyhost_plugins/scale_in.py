"""Scaling in: a position that goes well is added to, once, by FAK (EXI-04).

All gates are settings: the price, the estimate's confidence for this side, the time left, how much and how often. How
often it was done is durable before the order is signed (POS-12); an addition that bought nothing is not counted, but
after ``attempts_max`` such orders the position is left alone. The exit plan covers the new total in the same cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from polyhost import (
    ONE,
    ORDER_REF,
    CloseRecorded,
    Contradiction,
    Enter,
    FillBooked,
    Market,
    MarketSettled,
    OrderMoved,
    Plugin,
    PositionView,
    Price,
    Purpose,
    Remembered,
    Settings,
    Setup,
    View,
    hookimpl,
    price_text,
)


class ScaleInSettings(Settings):
    price_min: Price = Price("0.60")
    """Adds only while the ask is at or above this price (collateral per share)."""
    price_max: Price = Price("0.85")
    """And at or below this price, which is also the most it pays; above ``price_min``."""
    confidence_min: float = Field(default=0.40, ge=0, lt=1)
    """Least confidence of the estimate, 0 to 1, and it must favour the side that is held."""
    time_left_min_s: float = Field(default=240.0, ge=0)
    """Adds nothing with less time left, seconds (15-minute windows; scaled to shorter ones)."""
    share: float = Field(default=0.5, gt=0, le=5)
    """Collateral of one addition, as a share of what the first entry cost."""
    times_max: int = Field(default=1, ge=1)
    """Additions to one position, at most."""
    attempts_max: int = Field(default=5, ge=1)
    """Orders for one position that may end without a fill before it is left alone."""
    through_ticks: int = Field(default=1, ge=0)
    """The worst price is the ask plus this many of the market's own ticks, never above ``price_max``."""

    @field_validator("price_max")
    @classmethod
    def _above_the_least(cls, value: Price, info: ValidationInfo) -> Price:
        least = info.data.get("price_min")
        if least is not None and value < least:
            raise ValueError(f"must be at least price_min = {least}: nothing would ever be added")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """There must be time to add, and the addition must not be bought to be closed at once."""
        if self.time_left_min_s < setup.close_before_expiry_s:
            problem = f"everything is closed {setup.close_before_expiry_s:g} s before the end: it could not add so late"
            yield Contradiction("time_left_min_s", problem, f"at least {setup.close_before_expiry_s:g}")
        problem = f"leaves no time to add in a {setup.window} window"
        yield from setup.too_long("time_left_min_s", self.time_left_min_s, problem, setup.first_entry_s)
        for name, stop in setup.settings_of("stop_loss"):
            if self.price_max <= stop.midpoint_max:
                problem = f"{name} sells from {stop.midpoint_max} down: it would add to nothing"
                yield Contradiction("price_max", problem, f"above {stop.midpoint_max}")


class ScaleIn(Plugin):
    name = "scale_in"
    description = "Adds half of the first stake to a position that goes well, once, at market with a worst price."
    Settings = ScaleInSettings
    settings: ScaleInSettings

    @hookimpl
    def exit(self, view: View, position: PositionView) -> Enter | None:
        """The addition; None while a gate is shut, an addition is under way, or the other side is held (a hedge)."""
        settings, side = self.settings, position.side
        if position.held or position.paired or view.position(side.other) is not None:
            return None
        if any(order.purpose is Purpose.SCALE_IN and order.side is side for order in view.orders):
            return None
        done, attempts = self._count("done", view, position), self._count("attempts", view, position)
        if done >= settings.times_max or attempts - done >= settings.attempts_max:
            return None
        if view.time_left_s < view.scaled_s(settings.time_left_min_s) or not self._confident(view, position):
            return None
        return self._addition(view, position, done, attempts)

    def _confident(self, view: View, position: PositionView) -> bool:
        estimate = view.estimate
        if estimate is None or estimate.probability(position.side) <= 0.5:
            return False
        return estimate.confidence >= self.settings.confidence_min

    def _addition(self, view: View, position: PositionView, done: int, attempts: int) -> Enter | None:
        settings, tick, ask = self.settings, view.market.tick, view.side(position.side).ask
        if not settings.price_min <= ask <= settings.price_max:
            return None
        worst = min(-(-ask // tick) * tick + settings.through_ticks * tick, int(settings.price_max), ONE - tick)
        first = self._count("first", view, position) or position.cost
        remember: dict[str, Remembered] = {
            self._key("of", view, position): position.opened_at, self._key("first", view, position): first,
            self._key("done", view, position): done + 1, self._key("attempts", view, position): attempts + 1,
            self._key("order", view, position): ORDER_REF,
        }
        reason = f"adds to {position.side} at most {price_text(worst)}: number {done + 1} of {settings.times_max}"
        values = {"ask": ask / ONE, "confidence": view.estimate.confidence if view.estimate else 0.0}
        return Enter(
            position.side, worst, reason, Purpose.SCALE_IN, stake=max(round(first * settings.share), 1), values=values,
            remember=remember,
        )

    # --- what was done ------------------------------------------------------------------------------------------------

    def _key(self, what: str, view: View, position: PositionView) -> str:
        return f"{what}:{view.market.condition_id}:{position.side.value}"

    def _count(self, what: str, view: View, position: PositionView) -> int:
        """A number that is known of just this position; 0: nothing is."""
        if self.state.get(self._key("of", view, position)) != position.opened_at:
            return 0
        return int(self.state.get(self._key(what, view, position), 0))

    @hookimpl
    def on_fill(self, market: Market, fill: FillBooked) -> Iterable[Any]:
        """What bought something is counted for good."""
        about = f"{market.condition_id}:{fill.slot.side.value}"
        if fill.slot.purpose is Purpose.SCALE_IN and self.state.get(f"order:{about}") == fill.ref:
            del self.state[f"order:{about}"]
        return ()

    @hookimpl
    def on_order(self, market: Market, order: OrderMoved) -> Iterable[Any]:
        """An addition that ended without a fill was none: it is not counted among those that were done."""
        if order.state.value != "closed" or order.matched:
            return ()
        for key in [key for key, ref in self.state.items() if key.startswith("order:") and ref == order.ref]:
            about = key.removeprefix("order:")
            self.state[f"done:{about}"] = max(int(self.state.get(f"done:{about}", 0)) - 1, 0)
            del self.state[key]
        return ()

    @hookimpl
    def on_settlement(self, market: Market, result: MarketSettled, closes: tuple[CloseRecorded, ...]) -> Iterable[Any]:
        """What is over is forgotten."""
        for key in [key for key in self.state if f":{market.condition_id}:" in key]:
            del self.state[key]
        return ()
