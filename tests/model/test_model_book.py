"""One canonical book: both tokens' messages lead to the same levels, best prices and watches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyhost.model.book import UNKNOWN_SIZE, Book
from polyhost.model.messages import Level
from polyhost.model.money import ONE, micros, price_text, size_text, ticks
from polyhost.model.words import Action, Side

PRICES = st.integers(1, 99).map(lambda cents: cents * 100)
SIZES = st.integers(0, 10**9)
CHANGES = st.lists(st.tuples(st.sampled_from(list(Action)), PRICES, SIZES), max_size=60)


@given(CHANGES)
def test_con_03_a_change_and_its_mirror_make_the_same_book(changes: list[tuple[Action, int, int]]) -> None:
    up, down = Book(), Book()
    for action, price, size in changes:
        up.change(Side.UP, action, price, size)
        other = Action.SELL if action is Action.BUY else Action.BUY
        down.change(Side.DOWN, other, ONE - price, size)
    assert (up.bids, up.asks, up.best_bid, up.best_ask) == (down.bids, down.asks, down.best_bid, down.best_ask)


@given(CHANGES)
def test_the_cached_best_prices_are_the_best_levels(changes: list[tuple[Action, int, int]]) -> None:
    book = Book()
    for action, price, size in changes:
        book.change(Side.UP, action, price, size)
        assert book.best_bid == max(book.bids, default=0)
        assert book.best_ask == min(book.asks, default=ONE)
        assert all(book.bids.values()), "a level of size 0 is no level"


@given(st.dictionaries(PRICES, st.integers(1, 10**12), max_size=20), st.dictionaries(PRICES, st.integers(1, 10**12)))
def test_a_full_book_replaces_whatever_was_there(bids: dict[int, int], asks: dict[int, int]) -> None:
    book = Book()
    book.change(Side.UP, Action.BUY, 100, 5)
    book.replace(Side.DOWN, _levels(asks, mirrored=True), _levels(bids, mirrored=True))
    assert (book.bids, book.asks) == (bids, asks)
    assert book.ready


def _levels(levels: dict[int, int], *, mirrored: bool) -> list[Level]:
    return [Level(price_text(ONE - price if mirrored else price), size_text(size)) for price, size in levels.items()]


def test_a_quote_without_sizes_says_so_and_counts_as_no_depth() -> None:
    book = Book()
    book.quote(Side.DOWN, "0.30", "0.32")
    assert book.best(Side.UP) == (ticks("0.68"), ticks("0.70"))
    assert book.bids == {ticks("0.68"): UNKNOWN_SIZE}
    assert not book.sized
    assert book.depth(Side.UP, Action.BUY, ticks("0.99")) == 0


def test_offers_come_best_first_in_the_tokens_own_prices() -> None:
    book = Book()
    for price, size in (("0.42", "10"), ("0.43", "5")):
        book.change(Side.UP, Action.SELL, ticks(price), micros(size))
    for price, size in (("0.40", "7"), ("0.39", "3")):
        book.change(Side.UP, Action.BUY, ticks(price), micros(size))
    assert book.offers(Side.UP, Action.BUY) == [(ticks("0.42"), micros("10")), (ticks("0.43"), micros("5"))]
    assert book.offers(Side.DOWN, Action.BUY) == [(ticks("0.60"), micros("7")), (ticks("0.61"), micros("3"))]
    assert book.depth(Side.UP, Action.SELL, ticks("0.40")) == micros("7")


def test_a_watch_trips_at_its_price_and_not_beside_it() -> None:
    book = Book()
    book.change(Side.UP, Action.BUY, ticks("0.40"), 1)
    book.change(Side.UP, Action.SELL, ticks("0.42"), 1)
    for watch, reached in (
        ((ticks("0.41"), -1, ONE + 1, -1), False), ((ticks("0.40"), -1, ONE + 1, -1), True),
        ((ONE + 1, ticks("0.39"), ONE + 1, -1), False), ((ONE + 1, ticks("0.40"), ONE + 1, -1), True),
        ((ONE + 1, -1, ticks("0.43"), -1), False), ((ONE + 1, -1, ticks("0.42"), -1), True),
        ((ONE + 1, -1, ONE + 1, ticks("0.41")), False), ((ONE + 1, -1, ONE + 1, ticks("0.42")), True),
    ):
        book.watch(*watch)
        assert book.tripped() is reached, watch
