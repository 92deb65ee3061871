"""Building the frozen view of one market from both halves of the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from polyhost.kernel.scores import local_scores
from polyhost.kernel.state import PAIR_KIND, MarketState, OrderEntry, PositionEntry, State
from polyhost.kernel.volatile import MarketData, Spot
from polyhost.model.book import TICKS_OF, Book
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.reading import Reading
from polyhost.model.view import Funds, OrderView, PositionView, Quote, UnfilledView, View
from polyhost.model.words import Purpose, Side

DEPTH_SHOWN: Final = 10
SIDES: Final = (Side.UP, Side.DOWN)
ENTRY_SLOTS: Final = tuple((side, f":{side.value}:{Purpose.ENTRY.value}") for side in SIDES)
"""Each side and how the key of its entry slot ends."""


def quotes(book: Book) -> tuple[Quote, Quote]:
    """Best prices of UP and DOWN with sizes."""
    bid, ask = book.best_bid, book.best_ask
    bid_size, ask_size = book.bids.get(bid, 0), book.asks.get(ask, 0)
    return Quote(bid, ask, bid_size, ask_size), Quote(ONE - ask, ONE - bid, ask_size, bid_size)


def levels(book: Book) -> tuple[tuple[tuple[Ticks, Micros], ...], tuple[tuple[Ticks, Micros], ...]]:
    """UP bids and asks, best first, at most ``DEPTH_SHOWN``."""
    bids, asks = book.bids, book.asks
    best_bids = sorted(bids, reverse=True)[:DEPTH_SHOWN]
    best_asks = sorted(asks)[:DEPTH_SHOWN]
    return tuple([(p, bids[p]) for p in best_bids]), tuple([(p, asks[p]) for p in best_asks])


def funds(state: State, in_positions: Micros) -> Funds:
    ledger = state.ledger
    return Funds(
        ledger.get("free/cash", 0), ledger.get("reserved/cash", 0), in_positions, ledger.get("unredeemed/cash", 0)
    )


def position_view(position: PositionEntry, sellable: Micros) -> PositionView:
    return PositionView(
        position.side, position.size, sellable, position.average, position.cost, position.opened_at,
        position.held or (PAIR_KIND if position.loose <= 0 else ""), position.paired,
    )


def order_view(order: OrderEntry, scoring: bool | None = None, score: float = 0.0) -> OrderView:
    draft = order.draft
    return OrderView(
        order.ref, order.slot.side, draft.action, order.slot.purpose, draft.price, draft.size, order.done,
        order.state.value, order.placed_at, order.why.get("plugin", ""), order.slot.key, mid_when_placed(order),
        scoring, score,
        draft.order_type.value, draft.post_only, order.valid_until,
    )


def order_views(
    market: Market, book: Book, orders: list[OrderEntry], scoring: Mapping[str, bool], now: int
) -> tuple[OrderView, ...]:
    """Our open orders in a market, with what each scores."""
    if not orders:
        return ()
    scores = local_scores(market, book, orders, now)
    return tuple([order_view(order, scoring.get(order.ref), scores.get(order.ref, 0.0)) for order in orders])


def mid_when_placed(order: OrderEntry) -> Ticks:
    """Midpoint of the order's token at its decision, as its record tells; 0 when it does not, or a side was empty."""
    bid, ask = order.why.get("bid"), order.why.get("ask")
    if not bid or not ask:
        return 0
    low, high = TICKS_OF[bid], TICKS_OF[ask]
    return (low + high) // 2 if 0 < low < high < ONE else 0


def build_view(
    *,
    view_seq: int,
    now: int,
    entry: MarketState,
    data: MarketData,
    state: State,
    spot: Spot | None,
    reference: int | None,
    basis: float | None,
    feeds: tuple[Reading, ...],
    sellable: Callable[[PositionEntry], Micros],
    in_positions: Micros,
    scoring: Mapping[str, bool],
) -> View:
    """One market as plugins see it at ``now``. ``sellable`` says how much of a position can be sold, ``scoring`` which
    orders the venue says score."""
    market = entry.market
    condition_id = market.condition_id
    book = data.book
    up, down = quotes(book)
    bids, asks = levels(book)
    positions = []
    for side in SIDES:
        held = state.positions.get(f"{condition_id}:{side.value}")
        if held is not None and held.size > 0:
            positions.append(position_view(held, sellable(held)))
    used = state.slots_used
    taken = [
        side for side, ending in ENTRY_SLOTS
        if condition_id + ending in used and not _slot_free(state, condition_id, side)
    ]
    has_spot = spot is not None and spot.stamp >= 0
    return View(
        view_seq=view_seq,
        state_rev=entry.rev,
        book_epoch=book.epoch,
        now=now,
        market=market,
        up=up,
        down=down,
        bids=bids,
        asks=asks,
        book_age_ms=now - book.changed_at,
        mids=tuple(data.mids),
        spot=spot.price / 1e8 if has_spot and spot is not None else None,
        spot_age_ms=now - spot.stamp if has_spot and spot is not None else 0,
        spot_open=None if data.spot_open is None else data.spot_open / 1e8,
        candles=spot.candles() if has_spot and spot is not None else (),
        strike=None if entry.strike is None else entry.strike / 1e8,
        reference=None if reference is None else reference / 1e8,
        positions=tuple(positions),
        orders=order_views(market, book, state.open_orders(condition_id), scoring, now),
        funds=funds(state, in_positions),
        estimate=data.estimate,
        taken=tuple(taken),
        refused=tuple(data.refused.values()),
        book_source=book.source,
        basis=basis,
        feeds=feeds,
        flow=data.prints.shown(now),
        unfilled=None if condition_id not in state.unfilled else _unfilled(state, condition_id),
    )


def _unfilled(state: State, condition_id: str) -> UnfilledView:
    ended = state.unfilled[condition_id]
    order = state.orders[ended.ref]
    return UnfilledView(
        order.ref, order.slot.side, order.why.get("plugin", ""), order.draft.price, order.placed_at, ended.at
    )


def _slot_free(state: State, condition_id: str, side: Side) -> bool:
    return entry_slot_refusal(state, condition_id, side) == ""


ENTRY_ATTEMPTS_MAX: Final = 5
"""Entries of one slot that ended without any fill (refused, killed): after so many the window is left alone."""


def entry_slot_refusal(state: State, condition_id: str, side: Side) -> str:
    """Why this entry slot takes no further entry in this window; empty when it does (ENT-01, ORD-02, U7)."""
    key = f"{condition_id}:{side.value}:{Purpose.ENTRY.value}"
    locked = state.slots_locked.get(key)
    if locked is not None:
        return locked.why
    used = state.slots_used.get(key, 0)
    if not used:
        return ""
    position = state.positions.get(f"{condition_id}:{side.value}")
    if position is not None and position.bought > 0:
        return "one entry a window and side"
    for order in state.open_orders(condition_id):
        if order.slot.side is side and order.slot.purpose is Purpose.ENTRY:
            return "an entry is in flight"
    return "" if used < ENTRY_ATTEMPTS_MAX else f"{used} attempts ended without a fill"
