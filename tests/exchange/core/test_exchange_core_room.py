"""B8: a decided market stays for a day, and keeps no room for what rested in it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from polyhost.exchange.api import BookChanged
from polyhost.exchange.server.books import WireBook
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, Side

from .conftest import CONDITION, END, UP, Bench


def test_b8_the_tables_of_a_decided_market_are_emptied_with_their_room(bench: Callable[..., Bench]) -> None:
    venue = bench()
    for cent in range(2, 40):
        venue.house("BUY", f"0.{cent:02d}", "10")
        venue.house("SELL", f"0.{cent + 50}", "10")
    state = venue.exchange._states[CONDITION]
    tables = (state.bids, state.asks, state.resting.bids, state.resting.asks)
    full = [sys.getsizeof(each) for each in tables]
    venue.exchange.decide(CONDITION, Side.UP, 1, 2, MarketMs(END))
    assert [len(each) for each in tables] == [0] * 4
    assert [sys.getsizeof(each) for each in tables] == [sys.getsizeof({})] * 4 < full


def test_b8_so_is_its_book_for_the_wire(bench: Callable[..., Bench]) -> None:
    venue = bench()
    market = venue.exchange.market(CONDITION)
    assert market is not None
    book = WireBook(market, 0)
    levels = [(Action.BUY, 100 * cent, 1_000_000) for cent in range(1, 40)]
    book.change(BookChanged(CONDITION, UP, tuple(levels)), 0)
    book.over()
    assert book.best(UP)[0] == 3_900, "what is there stays"
    book.change(BookChanged(CONDITION, UP, tuple((action, price, 0) for action, price, _ in levels)), 1)
    before, shown = sys.getsizeof(book._bids.sizes), book.render(UP)
    book.over()
    assert sys.getsizeof(book._bids.sizes) < before
    assert book.render(UP) == shown
