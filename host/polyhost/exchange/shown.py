"""What the market channel shows of a market: changed levels, full books, prints."""

from __future__ import annotations

from typing import Final

from polyhost.exchange.api import BookChanged, BookSnapshot, Printed
from polyhost.exchange.book_hash import book_hash
from polyhost.exchange.market import MarketState
from polyhost.model.money import ONE, Ticks
from polyhost.model.words import Action, Side

_BUY: Final = Action.BUY
_SELL: Final = Action.SELL
"""A member is looked up in its class slowly, and levels change a hundred times a second."""


def show_level(state: MarketState, is_bid: bool, price: Ticks) -> BookChanged:
    """One level's new total, told of the UP token."""
    book = state.resting
    change = (_BUY, price, book.bids.get(price, 0)) if is_bid else (_SELL, price, book.asks.get(price, 0))
    return BookChanged(state.condition_id, state.market.up, (change,))


def last_price(state: MarketState, token_id: str) -> Ticks | None:
    if state.last is None:
        return None
    return state.last[0] if token_id == state.market.up else ONE - state.last[0]


def last_print(state: MarketState, token_id: str) -> Printed | None:
    """The last trade as a print of this token."""
    if state.last is None:
        return None
    price, size, action = state.last
    if token_id != state.market.up:
        price, action = ONE - price, Action.SELL if action is Action.BUY else Action.BUY
    return Printed(state.condition_id, token_id, price, size, action)


def snapshot_of(state: MarketState, token_id: str, now: int) -> BookSnapshot:
    """The full book of one token at market ms ``now``, with the venue's hash."""
    side = Side.UP if token_id == state.market.up else Side.DOWN
    book = state.displayed
    bids, asks = book.offers(side, Action.SELL), book.offers(side, Action.BUY)
    last = last_price(state, token_id)
    return BookSnapshot(
        condition_id=state.condition_id,
        token_id=token_id,
        bids=tuple(bids),
        asks=tuple(asks),
        hash=book_hash(state.market, token_id, now, bids, asks, last),
        tick=state.market.tick,
        last_price=last,
        at=now,
    )
