"""ORD-06: what every order must satisfy before it is signed, in one place, whoever wants it.

The rules are the venue's and its client's (price grid and bounds, sizes, values, lives); each refusal names the rule,
the value given and the nearest legal one. What is wanted, affordable or blocked is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import LOT, ONE, Micros, Ticks, money_text, notional, price_text, size_text
from polyhost.model.rounding import market_step, safe_price
from polyhost.model.words import Action, OrderType

VENUE_GTD_MS: Final = 61_000
"""The venue ends a GTD order a minute before its expiration, so that one must lie further ahead, market ms."""
CLIENT_GTD_MS: Final = 180_000
"""polymarket-client 0.14.0 refuses an expiration nearer than this, market ms; market time is never behind its clock."""
GTD_AHEAD_MS: Final = max(VENUE_GTD_MS, CLIENT_GTD_MS)
"""A GTD order's expiration lies at least this far ahead, market ms; shorter lives are ended by our own cancel."""

LAST_ORDER_MS: Final = 2_000
"""T9: nothing is placed this close to the end, market ms."""


class Illegal(NamedTuple):
    """Why an order must not be sent."""

    rule: str
    given: str
    nearest: str
    """The nearest legal value, never one that is worse for us in price."""

    @property
    def text(self) -> str:
        return f"{self.rule} (ORD-06): {self.given} is not legal, the nearest that is: {self.nearest}"


class Proposed(NamedTuple):
    """A draft and what it is judged by: its market, the token's best bid and ask (0 and 10,000: none), market ms."""

    draft: OrderDraft
    market: Market
    bid: Ticks
    ask: Ticks
    now: int

    @property
    def step(self) -> Micros:
        """The grid of sizes."""
        draft = self.draft
        return LOT if draft.order_type.rests else market_step(draft.action, draft.price)

    @property
    def marketable(self) -> bool:
        """It meets a resting order at once; the venue then asks for a least value."""
        if not self.draft.order_type.rests:
            return True
        return self.draft.action is Action.BUY and self.draft.price >= self.ask

    @property
    def worth(self) -> Ticks:
        """The price its value is counted at: the limit, or of a sell the best bid when that is higher."""
        return self.draft.price if self.draft.action is Action.BUY else max(self.draft.price, self.bid)


def illegal(draft: OrderDraft, market: Market, bid: Ticks, ask: Ticks, now: int) -> Illegal | None:
    """The first rule that an order breaks, or None. ``bid``, ``ask`` of its token, ``now`` market ms."""
    proposed = Proposed(draft, market, bid, ask, now)
    for rule in RULES:
        broken = rule(proposed)
        if broken is not None:
            return broken
    return None


def _bounds(order: Proposed) -> Illegal | None:
    draft, tick = order.draft, order.market.tick
    if tick <= draft.price <= ONE - tick:
        return None
    return Illegal("price bounds", price_text(draft.price), price_text(safe_price(draft.action, draft.price, tick)))


def _tick(order: Proposed) -> Illegal | None:
    draft, tick = order.draft, order.market.tick
    if draft.price % tick == 0:
        return None
    return Illegal("tick size", price_text(draft.price), price_text(safe_price(draft.action, draft.price, tick)))


def _precision(order: Proposed) -> Illegal | None:
    size, step = order.draft.size, order.step
    if size > 0 and size % step == 0:
        return None
    return Illegal("size precision", size_text(size), size_text(max(size - size % step, step)))


def _minimum_size(order: Proposed) -> Illegal | None:
    """Of resting orders; a FAK or FOK has a minimum value instead."""
    draft, least = order.draft, order.market.min_size
    if not draft.order_type.rests or draft.size >= least:
        return None
    return Illegal("minimum size", size_text(draft.size), size_text(_up(least, order.step)))


def _minimum_value(order: Proposed) -> Illegal | None:
    """Of what is marketable: any FAK or FOK, and a buy that crosses."""
    draft, least = order.draft, order.market.min_value
    value = notional(draft.size, order.worth)
    if not order.marketable or value >= least:
        return None
    size = _up(-(-least * ONE // order.worth), order.step)
    given = f"{money_text(value)} ({size_text(draft.size)} shares at {price_text(order.worth)})"
    return Illegal("minimum value", given, f"{money_text(notional(size, order.worth))} ({size_text(size)} shares)")


def _expiration(order: Proposed) -> Illegal | None:
    """Unix seconds; 0 for everything but a GTD."""
    draft = order.draft
    if draft.order_type is not OrderType.GTD:
        return Illegal("expiration", str(draft.expiration_s), "0") if draft.expiration_s else None
    earliest_s = -(-(order.now + GTD_AHEAD_MS) // 1_000)
    if draft.expiration_s >= earliest_s:
        return None
    return Illegal("expiration", str(draft.expiration_s), str(earliest_s))


def _post_only(order: Proposed) -> Illegal | None:
    """It rests, and would meet nobody; the venue refuses it otherwise."""
    draft, tick = order.draft, order.market.tick
    if not draft.post_only:
        return None
    if not draft.order_type.rests:
        return Illegal("post-only type", draft.order_type.value, OrderType.GTC.value)
    buy = draft.action is Action.BUY
    if draft.price < order.ask if buy else draft.price > order.bid:
        return None
    away = order.ask - tick if buy else order.bid + tick
    nearest = price_text(safe_price(draft.action, away, tick)) if tick <= away <= ONE - tick else "none"
    return Illegal("post-only price", price_text(draft.price), nearest)


def _up(size: Micros, step: Micros) -> Micros:
    """The smallest multiple of the step that is not smaller."""
    return -(-size // step) * step


RULES: Final[tuple[Callable[[Proposed], Illegal | None], ...]] = (
    _bounds, _tick, _precision, _minimum_size, _minimum_value, _expiration, _post_only,
)
"""In the order of asking: sizes of market orders have a grid only at a legal price."""
