"""Two-sided quotes: buys of both tokens around the midpoint, for rewards and for pairs below 1.00 (REW-03).

A buy of UP and a buy of DOWN are the two sides of one book. What they get pairs off and is merged, for less than the
1.00 that it pays; what is left on one side is an inventory with a limit: the more of it, the further its own quote goes
away and the nearer the other one comes. Near the end, on a stale, wide or one-sided book nothing rests.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, field_validator

from polyhost import (
    ONE,
    Action,
    Contradiction,
    ExitTarget,
    Merge,
    Plugin,
    PositionView,
    Price,
    QuoteTarget,
    Settings,
    Setup,
    Shares,
    Side,
    View,
    hookimpl,
    price_text,
)

SHARE = 1_000_000


class TwoSidedQuotesSettings(Settings):
    size: Shares = Shares("20")
    """Shares of each quote; raised to the smallest size that earns rewards where the market pays some."""
    inventory_max: Shares = Shares("40")
    """Most shares of one side beyond the other's; what a quote could bring above it is not asked for."""
    away: Price = Price("0.02")
    """Distance of each quote from the midpoint (collateral a share): a pair costs twice this less than 1.00."""
    skew: Price = Price("0.02")
    """How far both quotes move against a full inventory (collateral a share), in proportion to what is held."""
    move_min: Price = Price("0.02")
    """A quote that rests is not moved for less (collateral a share): a young order earns nothing yet."""
    mid_min: Price = Price("0.15")
    """No quotes below this midpoint of UP, nor above 1 less it: one side of them hardly ever pairs off there."""
    spread_max: Price = Price("0.08")
    """No quotes while bid and ask are further apart."""
    book_age_s_max: float = Field(default=5.0, gt=0)
    """No quotes on a book that nothing was heard of for longer (seconds of market time)."""
    not_first_s: float = Field(default=30.0, ge=0)
    """No quotes in the first seconds of a window (15-minute windows; scaled to shorter ones)."""
    not_last_s: float = Field(default=240.0, gt=0)
    """Nor in the last seconds before the end (15-minute windows; scaled to shorter ones)."""
    merge_min: Shares = Shares("5")
    """Pairs are merged from so many shares of each side on."""

    @field_validator("away")
    @classmethod
    def _away(cls, value: Price) -> Price:
        if value <= 0:
            raise ValueError("must be above 0: a pair would cost 1.00 and more")
        return value

    @field_validator("mid_min")
    @classmethod
    def _below_half(cls, value: Price) -> Price:
        if not 0 < value < ONE // 2:
            raise ValueError("must be above 0 and below 0.5")
        return value

    @field_validator("size", "inventory_max", "spread_max")
    @classmethod
    def _above_zero(cls, value: Shares | Price) -> Shares | Price:
        if value <= 0:
            raise ValueError("must be above 0: nothing could ever be quoted")
        return value

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """There must be time between what is too early and what is too late."""
        problem = f"leaves with not_first_s = {self.not_first_s:g} no time for quotes in a {setup.window} window"
        yield from setup.too_long("not_last_s", self.not_last_s, problem, self.not_first_s)


class TwoSidedQuotes(Plugin):
    name = "two_sided_quotes"
    description = "Rests buys of both sides around the midpoint within inventory limits, and merges what pairs off."
    Settings = TwoSidedQuotesSettings
    settings: TwoSidedQuotesSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[QuoteTarget | Merge]:
        """A merge of what pairs off, and both quotes; no quote withdraws what rests."""
        both = _both(view)
        if both >= self.settings.merge_min:
            yield Merge(None, f"{both / SHARE:g} of both sides are held")
        if self._withdrawn(view):
            return
        for side in (Side.UP, Side.DOWN):
            size = self._size(view, side)
            if size >= view.market.min_size:
                price = self._price(view, side)
                reason = f"{price_text(price)}, inventory {_net(view, side) / SHARE:g} {side.value}"
                yield QuoteTarget(
                    side, Action.BUY, price, size, tolerance=int(self.settings.move_min), size_tolerance=5 * SHARE,
                    reason=reason,
                )

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitTarget | None:
        """What is left of one side is offered at a profit while the quotes go on; nothing is while it pairs off."""
        if position.held or self._withdrawn(view) or _both(view) >= self.settings.merge_min:
            return None
        tick = view.market.tick
        near = max(view.side(position.side).mid + self.settings.away, position.average_price + self.settings.away)
        price = min(-(-near // tick) * tick, ONE - tick)
        return ExitTarget(position.side, price, "inventory", tolerance=2 * tick, least=price, passive=True)

    def _withdrawn(self, view: View) -> str:
        """Why nothing is quoted now; empty when quotes may rest."""
        settings, quote = self.settings, view.up
        if view.elapsed_s < view.scaled_s(settings.not_first_s):
            return "too early"
        if view.time_left_s <= view.scaled_s(settings.not_last_s):
            return "too late"
        if not quote.complete:
            return "one-sided book"
        if view.book_age_ms > settings.book_age_s_max * 1_000 or view.book_source != "stream":
            return "stale book"
        if quote.spread > settings.spread_max:
            return "wide book"
        if not settings.mid_min <= quote.mid <= ONE - settings.mid_min:
            return "decided"
        return ""

    def _size(self, view: View, side: Side) -> int:
        """What is quoted: never so much that it could bring the inventory above its limit."""
        wanted = int(self.settings.size)
        if view.market.reward_rate_day > 0:
            wanted = max(wanted, view.market.reward_min_size)
        return min(wanted, int(self.settings.inventory_max) - _net(view, side))

    def _price(self, view: View, side: Side) -> int:
        """Below the midpoint, lower the more of this side is held and higher the more of the other one."""
        tick, settings = view.market.tick, self.settings
        held = max(min(_net(view, side) / settings.inventory_max, 1.0), -1.0) if settings.inventory_max else 0.0
        price = view.side(side).mid - settings.away - round(settings.skew * held)
        # Both quotes together never cost what a pair pays.
        return max(min(price, view.side(side).mid - tick) // tick * tick, tick)


def _held(view: View, side: Side) -> int:
    position = view.position(side)
    return 0 if position is None else position.size


def _net(view: View, side: Side) -> int:
    """Shares of this side beyond the other's; negative: the other one has more."""
    return _held(view, side) - _held(view, side.other)


def _both(view: View) -> int:
    """Shares that are held of both sides: they pay 1.00 a pair."""
    return min(_held(view, Side.UP), _held(view, Side.DOWN))
