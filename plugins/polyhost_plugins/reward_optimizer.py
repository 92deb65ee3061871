"""The reward optimizer: resting exits nearer to the midpoint, where they score for liquidity rewards (REW-02).

It only lowers what an exit's owner allows (``ExitTarget.least``), never below a profit a share, never to where it would
take, and in no hurry: an exit that rests is moved again only after a while and by more than a tick. What it can't make
score stays where its owner wants it, and so does the exit of a side whose other side is held too: both together are a
hedge, and one of them sold for the sake of rewards leaves the other one without it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from polyhost import (
    ONE,
    Action,
    ExitTarget,
    Notice,
    OrderView,
    Plugin,
    PositionView,
    Price,
    Purpose,
    QuoteTarget,
    Settings,
    Side,
    View,
    hookimpl,
    price_text,
    reward_midpoint,
    reward_score,
    two_sided_only,
)

SHARE = 1_000_000


class RewardOptimizerSettings(Settings):
    profit_min: Price = Price("0.02")
    """Least profit of an exit that is moved, over the average entry price with its fees (collateral a share)."""
    distance: float = Field(default=0.75, ge=0, lt=1)
    """Where it is moved to: this share of the market's largest rewarded distance away from the midpoint. Nearer scores
    more, and sells sooner."""
    move_every_s: float = Field(default=5.0, ge=0)
    """An exit that rests is not moved again for so long (seconds of market time; not scaled)."""
    move_ticks_min: int = Field(default=2, ge=1)
    """Nor for less than so many of the market's ticks."""


class RewardOptimizer(Plugin):
    name = "reward_optimizer"
    description = "Moves resting exits nearer to the midpoint, where they earn liquidity rewards, at a profit only."
    Settings = RewardOptimizerSettings
    settings: RewardOptimizerSettings

    @hookimpl
    def quote(self, view: View, target: ExitTarget | QuoteTarget) -> ExitTarget | None:
        """The exit at a price that scores; None leaves it where its owner wants it."""
        if not isinstance(target, ExitTarget) or target.least is None or not _pays(view):
            return None
        position = view.position(target.side)
        if position is None or _hedged(view, target.side):
            return None
        wanted = self._scoring_price(view, target, position)
        price = self._unhurried(view, target, position, target.price if wanted is None else wanted)
        if price >= target.price:
            return None
        reason = f"{target.reason}; moved to {price_text(price)} for rewards"
        return ExitTarget(
            target.side, price, reason, target.tolerance, target.valid_until, target.least, passive=True
        )

    @hookimpl
    def propose(self, view: View) -> Iterator[Notice]:
        """Says of an exit that was just placed when it is too small to score."""
        if not _pays(view):
            return
        for side in (Side.UP, Side.DOWN):
            position, order = view.position(side), _resting(view, side)
            if position is None or order is None or _hedged(view, side):
                continue
            if view.now - order.placed_at >= self.settings.move_every_s * 1_000:
                continue
            size = order.size - order.matched
            if size < view.market.reward_min_size:
                yield Notice(
                    f"An exit of {size / SHARE:g} {side.value} is below the {view.market.reward_min_size / SHARE:g} "
                    "shares from which this market pays rewards: it is not moved", topic="rewards",
                )

    def _scoring_price(self, view: View, target: ExitTarget, position: PositionView) -> int | None:
        """The price that this exit should have to score; None: none does within the profit."""
        market, side = view.market, target.side
        quote, tick = view.side(side), market.tick
        middle = reward_midpoint(view.bids, view.asks, market.reward_min_size)
        if middle is None or not quote.complete or view.book_source != "stream":
            return None
        twice_mid = middle if side is Side.UP else 2 * ONE - middle
        size = _size(view, position)
        self.metrics["below_minimum"] = float(size < market.reward_min_size)
        if two_sided_only(twice_mid) and not _other_side(view, side):
            return None
        away = round(self.settings.distance * market.reward_max_spread)
        near = _on_grid((twice_mid + 2 * away + 1) // 2, tick)
        assert target.least is not None
        price = max(near, self._floor(view, position), _on_grid(quote.bid + tick, tick), _on_grid(target.least, tick))
        if price >= target.price:
            return None
        scores = reward_score(price, size, twice_mid, market.reward_max_spread, market.reward_min_size)
        self.metrics["score"] = scores
        return price if scores > 0.0 else None

    def _unhurried(self, view: View, target: ExitTarget, position: PositionView, wanted: int) -> int:
        """What rests stays for a while, and is not moved for little; below its least profit it never stays."""
        order = _resting(view, target.side)
        if order is None or order.price < self._floor(view, position):
            return wanted
        young = view.now - order.placed_at < self.settings.move_every_s * 1_000
        little = abs(wanted - order.price) < self.settings.move_ticks_min * view.market.tick
        return order.price if young or little else wanted

    def _floor(self, view: View, position: PositionView) -> int:
        """The entry's fees are in the average; an exit that rests pays nothing but what a builder code costs."""
        least = position.average_price + int(self.settings.profit_min)
        charged = -(-view.market.fees.maker(SHARE, least) * ONE // SHARE)
        return _on_grid(least + charged, view.market.tick)


def _pays(view: View) -> bool:
    return view.market.reward_rate_day > 0 and view.market.reward_max_spread > 0


def _hedged(view: View, side: Side) -> bool:
    """Is something of the other side held that does not pair off?"""
    other = view.position(side.other)
    return other is not None and other.size > other.paired


def _on_grid(price: int, tick: int) -> int:
    """The nearest price on the grid that does not sell cheaper."""
    return -(-price // tick) * tick


def _resting(view: View, side: Side) -> OrderView | None:
    """The exit of one side that was placed last; None: none rests."""
    exits = [
        order for order in view.orders
        if order.side is side and order.action is Action.SELL and order.purpose is Purpose.EXIT
    ]
    return max(exits, key=lambda order: order.placed_at, default=None)


def _size(view: View, position: PositionView) -> int:
    """Shares of the order that would score: what rests, or all that is to be sold."""
    order = _resting(view, position.side)
    return position.size - position.paired if order is None else order.size - order.matched


def _other_side(view: View, side: Side) -> bool:
    """Is there an order of ours large enough on the other side of the book (a bid for it, or an ask of the other)?"""
    least = view.market.reward_min_size
    return any(
        (order.action is Action.BUY) is (order.side is side) and order.size - order.matched >= least
        for order in view.orders
    )
