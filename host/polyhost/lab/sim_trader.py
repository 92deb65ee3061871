"""A plugin that trades at random, so that simulations trade a lot: the same view always gets the same answer.

It opens both sides by every order type, adds and hedges, moves its exit targets, sells at once, holds, cancels and
sets triggers. It has no opinion and is never part of a configuration of anyone's; ``polyhost simulate`` adds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from pydantic import Field

from polyhost.hooks import hookimpl
from polyhost.model.money import ONE
from polyhost.model.proposals import (
    ORDER_REF,
    CancelOrders,
    Enter,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Merge,
    Pair,
    QuoteTarget,
    Reprice,
    Split,
    Trigger,
)
from polyhost.model.view import PositionView, View
from polyhost.model.words import Action, Purpose, Side
from polyhost.plugin import Plugin, Settings

MICRO: Final = 1_000_000
TARGET_EVERY_MS: Final = 20_000
"""A target stays for so long, market ms; then it may move or go."""
LIVES: Final = (2, 10, 60, 130, 200)
"""Lives of GTD entries, market seconds."""
LAST_ENTRY_S: Final = 10.0
"""Entries stop so late that forced closes and settlement meet fresh positions too."""


class RandomTraderSettings(Settings):
    seed: int = 1
    """Of every choice."""
    entries_per_mille: int = Field(default=60, ge=0, le=1_000)
    """How often an evaluation wants to buy a side; the shipped guards veto some of it, having no opinion to go by."""
    exits_per_mille: int = Field(default=6, ge=0, le=1_000)
    """How often an evaluation wants to sell a position at once."""
    quotes_per_mille: int = Field(default=150, ge=0, le=1_000)
    """Share of a market's periods of 20 s in which a side is quoted."""
    pairs_per_mille: int = Field(default=60, ge=0, le=1_000)
    """How often an evaluation of an idle market wants both sides, one leg after the other."""


class Draw:
    """Numbers that depend on the seed and the subject alone."""

    __slots__ = ("_left",)

    def __init__(self, *subject: object) -> None:
        self._left = int.from_bytes(blake2b(":".join(map(str, subject)).encode(), digest_size=32).digest(), "big")

    def below(self, number: int) -> int:
        """A whole number from 0 to ``number`` - 1."""
        self._left, found = divmod(self._left, number)
        return found


class RandomTrader(Plugin):
    """Buys, moves, sells and holds at random."""

    name = "random_trader"
    description = "trades at random, for simulations"
    Settings = RandomTraderSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[object]:
        draw = Draw(self.settings.seed, view.market.condition_id, view.now)
        yield from self._pair(view)
        yield from self._chain(view)
        for side in (Side.UP, Side.DOWN):
            position = view.position(side)
            if draw.below(1_000) < self.settings.entries_per_mille and view.time_left_s > LAST_ENTRY_S:
                yield from self._entry(view, side, position, draw)
            if position is not None:
                yield from self._exits(view, position, draw)
            yield from self._quotes(view, side)
        yield from self._reprices(view)
        if view.orders and draw.below(100) == 0:
            yield CancelOrders((None, Side.UP, Side.DOWN)[draw.below(3)], "at random")
        if draw.below(50) == 0:
            side = (Side.UP, Side.DOWN)[draw.below(2)]
            yield Trigger(side, "ask", "below", max(view.side(side).ask - view.market.tick, 1))

    def _pair(self, view: View) -> Iterator[Pair]:
        """Two legs now and then, where nothing is that would refuse them."""
        draw = Draw(self.settings.seed, view.market.condition_id, view.now, "pair")
        idle = not view.orders and all(position.paired == position.size for position in view.positions)
        if draw.below(1_000) >= self.settings.pairs_per_mille or not idle:
            return
        if not view.up.complete:
            return
        tick = view.market.tick
        prices = [min(quote.ask + draw.below(3) * tick, ONE - tick) for quote in (view.up, view.down)]
        first = (None, Side.UP, Side.DOWN)[draw.below(3)]
        yield Pair(prices[0], prices[1], (5 + draw.below(16)) * MICRO, "at random", first)

    def _chain(self, view: View) -> Iterator[Merge | Split]:
        """Pairs are merged sooner or later, some are made from collateral."""
        draw = Draw(self.settings.seed, view.market.condition_id, view.now, "chain")
        if len(view.positions) == 2 and draw.below(60) == 0:
            yield Merge((None, MICRO)[draw.below(2)], "at random")
        if draw.below(600) == 0:
            yield Split((2 + draw.below(10)) * MICRO, "at random")

    def _entry(self, view: View, side: Side, position: PositionView | None, draw: Draw) -> Iterator[Enter]:
        quote, tick = view.side(side), view.market.tick
        if not quote.complete:
            return
        stake = (3 + draw.below(13)) * MICRO
        purpose = Purpose.ENTRY
        if position is not None:
            purpose = Purpose.SCALE_IN
        elif view.position(side.other) is not None and draw.below(2):
            purpose = Purpose.HEDGE
        elif draw.below(5) == 0:
            purpose = Purpose.GRID_LEVEL
        style = Draw(self.settings.seed, "style", view.market.condition_id, view.now, side.value)
        takes = draw.below(3) > 0
        price = quote.ask + draw.below(3) * tick if takes else quote.bid + (draw.below(6) - 3) * tick
        kind = ("FAK", "FAK", "FAK", "FOK")[style.below(4)] if takes else ("GTC", "GTD")[style.below(2)]
        key = f"level {draw.below(4)}" if purpose is Purpose.GRID_LEVEL else ""
        yield Enter(
            side, _legal(price, tick), "at random", purpose, kind, stake, key=key,
            remember={purpose.value: ORDER_REF}, post_only=not takes and style.below(2) == 1,
            # Lives that our own cancel ends, and lives that the venue does.
            valid_s=float(LIVES[style.below(len(LIVES))]) if kind == "GTD" else 0.0,
            to_settlement=True,  # late ones too: forced closes and settlement meet fresh positions
        )

    def _quotes(self, view: View, side: Side) -> Iterator[QuoteTarget]:
        """Both actions of a side, in some of its periods: near the market, through it, and moving now and then."""
        quote, tick = view.side(side), view.market.tick
        period = view.now // TARGET_EVERY_MS
        draw = Draw(self.settings.seed, "quotes", view.market.condition_id, side.value, period)
        if not quote.complete or draw.below(1_000) >= self.settings.quotes_per_mille:
            return
        moved = Draw(self.settings.seed, view.now // (1_000 * (1 + draw.below(5)))).below(5) - 2
        size = (5 + draw.below(20)) * MICRO
        until = view.now + 2_000 if draw.below(4) == 0 else 0
        for key in ("", "far")[: 1 + draw.below(2)]:
            price = quote.bid + (moved - (3 if key else 0)) * tick
            yield QuoteTarget(side, Action.BUY, _legal(price, tick), size, key=key, valid_until=until)
        if draw.below(2):
            yield QuoteTarget(side, Action.SELL, _legal(quote.ask + moved * tick, tick), tolerance=draw.below(2) * tick)

    def _reprices(self, view: View) -> Iterator[Reprice]:
        """Now and then every resting entry goes near the market, whoever it belongs to."""
        draw = Draw(self.settings.seed, "reprice", view.market.condition_id, view.now)
        for order in view.orders:
            if order.action is Action.BUY and draw.below(30) == 0:
                price = view.side(order.side).bid + (draw.below(5) - 2) * view.market.tick
                yield Reprice(order.ref, _legal(price, view.market.tick), "at random")

    def _exits(
        self, view: View, position: PositionView, draw: Draw
    ) -> Iterator[ExitTarget | ExitNow | HoldToSettlement]:
        side = position.side
        if draw.below(1_000) < self.settings.exits_per_mille:
            urgency = ("stop", "floor", "reversal")[draw.below(3)]
            yield ExitNow(side, "at random", urgency)
        if draw.below(2_000) == 0:
            yield HoldToSettlement(side, "at random")
        now = view.now // TARGET_EVERY_MS
        standing = Draw(self.settings.seed, view.market.condition_id, side.value, now)
        if standing.below(5) == 0:
            return
        tick = view.market.tick
        price = (
            ONE - tick, position.average_price + (1 + standing.below(4)) * tick, position.average_price - 3 * tick
        )[standing.below(3)]
        yield ExitTarget(side, min(max(price, tick), ONE - tick), "at random", standing.below(2) * tick)


def _legal(price: int, tick: int) -> int:
    return min(max(price, tick), ONE - tick)
