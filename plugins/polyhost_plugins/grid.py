"""The grid: resting buys at falling prices on one side or both, one take-profit a side over all that they got (GRD-01).

Each level that is bought averages the position down, and the take-profit with it. A side that was sold is opened anew
only when both sides are flat: then what still rests of the old grid is cancelled, its reference prices are forgotten,
and a new one starts from the market. The references are durable before an order stands on them (POS-12).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from polyhost import (
    ONE,
    Action,
    CancelOrders,
    Contradiction,
    Enter,
    ExitTarget,
    FillBooked,
    Keep,
    Market,
    Money,
    OrderView,
    Plugin,
    PositionView,
    Price,
    Purpose,
    Settings,
    Setup,
    Side,
    View,
    hookimpl,
    price_text,
)

SIDES = {"up": (Side.UP,), "down": (Side.DOWN,), "both": (Side.UP, Side.DOWN)}


class GridSettings(Settings):
    sides: Literal["up", "down", "both"] = "both"
    """On which sides of a window levels rest."""
    levels: int = Field(default=4, ge=1, le=10)
    """Levels of a side (the host allows ``safety.grid_levels_max``)."""
    resting: int = Field(default=2, ge=1)
    """Of these, how many rest at once; the next one follows when one is bought."""
    first_away: Price = Price("0.02")
    """The first level rests so far below the midpoint at which the grid starts (collateral a share)."""
    step: Price = Price("0.03")
    """Between two levels (collateral a share)."""
    stake: Money = Money("5")
    """Collateral of the first level."""
    growth: float = Field(default=1.0, ge=1, le=3)
    """Each further level spends so many times the stake of the one above it."""
    profit: Price = Price("0.03")
    """The take-profit rests so far above the average price of all that a side bought, fees included."""
    mid_min: Price = Price("0.40")
    """A grid starts on a side only from this midpoint of it on …"""
    mid_max: Price = Price("0.70")
    """… and up to this one."""
    price_min: Price = Price("0.31")
    """No level rests lower: below it a stop would sell what it buys."""
    not_last_s: float = Field(default=240.0, gt=0)
    """No level is placed in the last seconds before the end (15-minute windows; scaled), and those that rest go."""

    @field_validator("step", "profit", "stake")
    @classmethod
    def _above_zero(cls, value: Price | Money) -> Price | Money:
        if value <= 0:
            raise ValueError("must be above 0")
        return value

    @field_validator("mid_max")
    @classmethod
    def _not_below_the_least(cls, value: Price, info: ValidationInfo) -> Price:
        least = info.data.get("mid_min")
        if least is not None and value < least:
            raise ValueError(f"must be at least mid_min = {least}: no grid would ever start")
        return value

    @field_validator("price_min")
    @classmethod
    def _first_level_rests(cls, value: Price, info: ValidationInfo) -> Price:
        most, away = info.data.get("mid_max"), info.data.get("first_away")
        if most is not None and away is not None and value > most - away:
            raise ValueError(f"must be at most mid_max less first_away, {most} - {away}: no level would ever rest")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """There must be time for a level."""
        yield from setup.too_long(
            "not_last_s", self.not_last_s, f"leaves no time for a level in a {setup.window} window"
        )


class Grid(Plugin):
    name = "grid"
    description = "Rests buys at falling prices and takes profit over their total, one side or both."
    Settings = GridSettings
    settings: GridSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[Enter | CancelOrders | Keep]:
        """The next level that is missing, or the end of an old grid before a new one."""
        slug, resting = view.market.slug, _levels(view)
        if self._ended_unsold(view):
            yield Keep(dict.fromkeys(_keys(slug)))
            return
        if view.time_left_s <= view.scaled_s(self.settings.not_last_s):
            if resting:
                yield CancelOrders(None, "too late for another level")
            return
        if self._between(view) and resting:
            # The old grid is closed: what rests of it goes on both sides before anything is placed anew.
            yield CancelOrders(None, "the grid is flat and starts anew")
            return
        for side in SIDES[self.settings.sides]:
            wish = self._next(view, slug, side, [order for order in resting if order.side is side])
            if wish is not None:
                yield wish
                return  # one at a time: the next view shows this one's order

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitTarget | None:
        """One take-profit over all that the grid has of a side."""
        if position.held or _anchor(view.market.slug, position.side) not in self.state:
            return None
        tick = view.market.tick
        price = min(-(-(position.average_price + self.settings.profit) // tick) * tick, ONE - tick)
        return ExitTarget(position.side, price, f"grid: {self.settings.profit} above the average", least=price)

    def _ended_unsold(self, view: View) -> bool:
        """Both sides are flat, and not by sales: pairs were merged, a trade failed, or somebody sold by hand."""
        held = any(self.state.get(_held(view.market.slug, side)) for side in Side)
        return held and not any(position.size > position.paired for position in view.positions)

    def _between(self, view: View) -> bool:
        """Both sides are flat after something was bought, or nothing has begun: there are no references."""
        started = any(_anchor(view.market.slug, side) in self.state for side in Side)
        return not started and not any(position.size > position.paired for position in view.positions)

    def _next(self, view: View, slug: str, side: Side, resting: list[OrderView]) -> Enter | None:
        """The next level of a side; None: all that should rest does, or the market is no place for it."""
        quote, tick, settings = view.side(side), view.market.tick, self.settings
        if not quote.complete or len(resting) >= settings.resting:
            return None
        anchor = self.state.get(_anchor(slug, side))
        remember: dict[str, str | int | float | bool | None] = {}
        if anchor is None:
            if not settings.mid_min <= quote.mid <= settings.mid_max or view.position(side) is not None:
                return None
            anchor = quote.mid
            remember = {_anchor(slug, side): anchor, _deepest(slug, side): 0}
        keys = {order.key for order in resting}
        bought = int(self.state.get(_deepest(slug, side), 0)) if not remember else 0
        for number in range(bought + 1, settings.levels + 1):
            price = self._price(int(anchor), number, tick)
            if str(number) in keys:
                continue
            if price < max(settings.price_min, tick) or price >= quote.ask:
                return None
            if self._just_refused(view, side, str(number)):
                return None
            stake = round(settings.stake * settings.growth ** (number - 1))
            reason = f"level {number} of {settings.levels}, {price_text(price)} from {price_text(int(anchor))}"
            return Enter(
                side, price, reason, Purpose.GRID_LEVEL, "GTC", stake, key=str(number), remember=remember,
                values={"anchor": int(anchor) / ONE, "level": float(number)},
            )
        return None

    def _price(self, anchor: int, number: int, tick: int) -> int:
        return (anchor - self.settings.first_away - (number - 1) * self.settings.step) // tick * tick

    def _just_refused(self, view: View, side: Side, key: str) -> bool:
        """The host refused this level a moment ago for a reason that lasts: it is not asked for every second."""
        passing = ("stale_answer", "balance_age", "pending_orders")
        return any(
            told.purpose is Purpose.GRID_LEVEL and told.side is side and told.key == key and told.gate not in passing
            and view.now - told.at < 10_000
            for told in view.refused
        )

    # --- what is remembered -------------------------------------------------------------------------------------------

    @hookimpl
    def on_fill(self, market: Market, fill: FillBooked, at: int) -> None:
        """Counts what each side holds of the grid; when both sides are flat the references are forgotten."""
        slug, side = market.slug, fill.slot.side
        if fill.action is Action.BUY and fill.slot.purpose is Purpose.GRID_LEVEL:
            self.state[_held(slug, side)] = int(self.state.get(_held(slug, side), 0)) + fill.size
            if fill.slot.key.isdigit():
                deepest = max(int(self.state.get(_deepest(slug, side), 0)), int(fill.slot.key))
                self.state[_deepest(slug, side)] = deepest
            return
        held = int(self.state.get(_held(slug, side), 0))
        if fill.action is Action.BUY or not held:
            return
        self.state[_held(slug, side)] = max(held - fill.size, 0)
        if not any(self.state.get(_held(slug, each)) for each in Side):
            self._forget(slug)

    @hookimpl
    def on_settlement(self, market: Market, at: int) -> None:
        """The window is over: nothing of it needs to be remembered."""
        self._forget(market.slug)

    def _forget(self, slug: str) -> None:
        for key in _keys(slug):
            self.state.pop(key, None)


def _levels(view: View) -> list[OrderView]:
    """Levels that rest."""
    return [order for order in view.orders if order.purpose is Purpose.GRID_LEVEL]


def _keys(slug: str) -> list[str]:
    """All that is remembered of a window's grid."""
    return [key(slug, side) for side in Side for key in (_anchor, _deepest, _held)]


def _anchor(slug: str, side: Side) -> str:
    """Key of the midpoint, in ticks, from which a side's levels are counted."""
    return f"{slug}:{side.value}:anchor"


def _deepest(slug: str, side: Side) -> str:
    """Key of the deepest level that bought something since the grid started."""
    return f"{slug}:{side.value}:deepest"


def _held(slug: str, side: Side) -> str:
    """Key of the shares that a side's levels bought and nobody has sold."""
    return f"{slug}:{side.value}:held"
