"""Trade prints: what the stream tells of takers, in UP terms and short buckets (SIG-04)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.kernel.hotpath import Feed
from polyhost.kernel.prints import FLOW_BUCKET_MS, FLOW_BUCKETS, Prints
from polyhost.model.messages import Message
from polyhost.model.money import micros
from polyhost.model.view import Flow

from .rig import START, UP, Rig

SPAN_MS = FLOW_BUCKET_MS * FLOW_BUCKETS


def printed(token: str, side: str, size: str) -> Message:
    return Message("last_trade_price", token, price="0.40", size=size, side=side)


def test_sig_04_a_purchase_of_down_is_a_sale_of_up() -> None:
    feed = Feed()
    feed.add("0xc0", "101", "102")
    for token, side, size in (("101", "BUY", "1"), ("102", "SELL", "2"), ("101", "SELL", "4"), ("102", "BUY", "8")):
        assert feed.apply(printed(token, side, size), 25_000) is None
    assert feed.lanes["102"].prints.shown(29_999) == (Flow(20_000, micros("3"), micros("12"), 4),)


def test_sig_04_a_print_touches_no_book_and_wakes_nobody() -> None:
    feed = Feed()
    book = feed.add("0xc0", "101", "102")
    feed.apply(printed("101", "BUY", "1"), 25_000)
    assert (book.changed_at, book.ready, book.epoch) == (0, False, 0)


def test_sig_04_a_print_that_does_not_tell_the_takers_side_says_nothing_of_the_flow() -> None:
    feed = Feed()
    feed.add("0xc0", "101", "102")
    feed.apply(printed("101", "", "1"), 25_000)
    assert feed.lanes["101"].prints.shown(25_000) == ()


def test_sig_04_a_print_whose_size_is_no_number_is_counted_and_harms_no_book() -> None:
    feed = Feed()
    book = feed.add("0xc0", "101", "102")
    feed.apply(printed("101", "BUY", ""), 25_000)
    feed.apply(printed("999", "BUY", "1"), 25_000)
    assert (feed.bad_values, feed.unknown_tokens, book.epoch) == (1, 1, 0)
    assert feed.lanes["101"].prints.shown(25_000) == ()


def test_ord_05_a_print_finds_its_token_in_another_spelling() -> None:
    feed = Feed()
    feed.add("0xc0", "101", "102")
    feed.apply(printed("0x65", "BUY", "1"), 25_000)
    assert feed.lanes["101"].prints.shown(25_000)[0].bought == micros("1")


@pytest.mark.parametrize(("later", "there"), [(SPAN_MS - 1, True), (SPAN_MS, False)])
def test_sig_04_a_bucket_is_shown_for_five_minutes(later: int, there: bool) -> None:
    prints = Prints()
    prints.add(True, 5, 0)
    assert prints.shown(0)
    assert bool(prints.shown(later)) is there


def test_sig_04_a_place_that_comes_round_again_begins_at_nothing() -> None:
    prints = Prints()
    prints.add(True, 5, 0)
    prints.add(False, 3, SPAN_MS)
    assert prints.shown(SPAN_MS) == (Flow(SPAN_MS, 0, 3, 1),)


def test_sig_04_the_view_shows_the_flow_of_its_market() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book()
    rig.kernel.feed(printed(UP, "BUY", "7"), rig.now)
    begun = rig.now - rig.now % FLOW_BUCKET_MS
    assert rig.ask().view.flow == (Flow(begun, micros("7"), 0, 1),)
    rig.kernel.printed(UP, False, micros("2"), rig.now)
    assert sum(bucket.sold for bucket in rig.ask().view.flow) == micros("2")


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.booleans(), st.integers(1, 9)), max_size=60),
    st.sets(st.integers(0, 59)),
)
def test_sig_04_looking_changes_nothing_and_every_print_of_the_last_five_minutes_is_counted_once(
    steps: list[tuple[int, bool, int]], looks: set[int]
) -> None:
    prints = Prints()
    now = 0
    told: list[tuple[int, bool, int]] = []
    for place, (wait, bought, size) in enumerate(steps):
        now += wait
        prints.add(bought, size, now)
        told.append((now, bought, size))
        if place in looks:
            prints.shown(now)
    oldest = now // FLOW_BUCKET_MS - FLOW_BUCKETS + 1
    sums: Counter[tuple[int, bool]] = Counter()
    for at, bought, size in told:
        if at // FLOW_BUCKET_MS >= oldest:
            sums[(at // FLOW_BUCKET_MS, bought)] += size
    shown = prints.shown(now)
    assert [bucket.start for bucket in shown] == sorted({bucket * FLOW_BUCKET_MS for bucket, _ in sums})
    for bucket in shown:
        number = bucket.start // FLOW_BUCKET_MS
        assert (bucket.bought, bucket.sold) == (sums[(number, True)], sums[(number, False)])
