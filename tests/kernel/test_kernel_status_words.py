"""Each word of the venue for an order or a trade has its reaction; a word nobody has seen is no guess (CON-12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.kernel.state import OrderEntry
from polyhost.kernel.status_words import ORDER_WORDS, TRADE_WORDS, Ends, order_word, table_text
from polyhost.model.commands import QueryOrder
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.words import OrderState, OrderType, Side, TradeStatus

from .rig import START, Rig

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "status-words.md"
VENUE_4_3 = (
    "LIVE", "MATCHED", "DELAYED", "UNMATCHED", "CANCELED", "CANCELED_MARKET_RESOLVED", "CANCELED_NOT_ENOUGH_BALANCE",
    "CANCELED_MARKET_NOT_FOUND", "CANCELED_EXPIRED_ORDER", "CANCELED_ORDER_TIMED_OUT", "INVALID",
    "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed.", "FILLED", "EXPIRED", "NOT_FOUND",
    "ERROR",
)  # fmt: skip


def resting() -> tuple[Rig, OrderEntry]:
    """A sell of ours that rests."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    rig.accept(post)
    return rig, rig.order(post)


def taking() -> tuple[Rig, OrderEntry]:
    """A buy at market that was accepted, and no trade of it is known."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test", order_type="FAK")))
    rig.accept(post, "matched")
    assert rig.order(post).draft.order_type is OrderType.FAK
    return rig, rig.order(post)


@pytest.mark.parametrize("word", VENUE_4_3)
def test_con_12_every_word_of_the_venue_is_in_the_table(word: str) -> None:
    assert order_word(word) is not None
    assert order_word(f"ORDER_STATUS_{word.upper()}") == order_word(word)


@pytest.mark.parametrize("word", ORDER_WORDS)
def test_con_12_what_each_word_does_to_a_resting_order(word: str) -> None:
    rig, order = resting()
    rig.see(order, word, "0")
    closed = ORDER_WORDS[word].ends is Ends.YES
    assert (order.state is OrderState.CLOSED) is closed, word
    asked = [c for c in rig.wait(5_000) if isinstance(c, QueryOrder) and c.order_id == order.order_id]
    unclear = ORDER_WORDS[word].ends in (Ends.UNCLEAR, Ends.TAKER)
    assert bool(asked) is unclear, word


@pytest.mark.parametrize("word", ORDER_WORDS)
def test_con_12_what_each_word_does_to_an_order_at_market(word: str) -> None:
    rig, order = taking()
    rig.see(order, word, "0")
    closed = ORDER_WORDS[word].ends in (Ends.YES, Ends.FULL, Ends.TAKER)
    assert (order.state is OrderState.CLOSED) is closed, word
    if not closed:
        asked = [c for c in rig.wait(5_000) if isinstance(c, QueryOrder) and c.order_id == order.order_id]
        assert asked, "its end is asked for until it is known"
        assert rig.cash("reserved") > 0


@pytest.mark.parametrize("word", ["MATCHED", "FILLED"])
def test_con_12_a_resting_order_that_matched_whole_has_ended_when_its_trades_are_here(word: str) -> None:
    rig, order = resting()
    whole = str(order.draft.size / 1_000_000)
    rig.see(order, word, whole)
    assert order.state is not OrderState.CLOSED, "its trades are not here yet"
    rig.trade(order, whole, "0.99", "CONFIRMED", maker=True)
    assert order.state is OrderState.CLOSED


@pytest.mark.parametrize("word", ["MATCHED_PENDING", "FROZEN", "INVALIDATED", "live?"])
def test_con_12_an_unknown_word_is_no_guess_but_told_and_asked_for_until_it_is_clear(word: str) -> None:
    rig, order = resting()
    rig.see(order, word, "0")
    assert order.state is OrderState.WORKING
    assert f"has the unknown status '{word}'" in str(rig.records[-1])
    for _ in range(3):
        asked = [c for c in rig.wait(5_000) if isinstance(c, QueryOrder)]
        assert asked == [QueryOrder(order.order_id)]
        rig.see(order, word, "0", source="query")
    rig.see(order, "LIVE", "0", source="query")
    assert [c for c in rig.wait(20_000) if isinstance(c, QueryOrder)] == []


@pytest.mark.parametrize("word", TRADE_WORDS)
def test_con_12_what_each_word_of_a_trade_does(word: str) -> None:
    rig, order = taking()
    for spelt in (word, f"TRADE_STATUS_{word}"):
        rig.trade(order, "10", "0.42", spelt, trade_id="t-1")
    position = rig.kernel.state.position("0xc0", Side.UP)
    size = 0 if position is None else position.size
    settled = 0 if position is None else position.settled
    status, _ = TRADE_WORDS[word]
    assert size == (0 if status is TradeStatus.FAILED else 10_000_000)
    assert settled == (10_000_000 if status is TradeStatus.CONFIRMED else 0)


def test_con_12_an_unknown_word_of_a_trade_is_exposure_that_cannot_be_sold_and_is_told() -> None:
    rig, order = taking()
    rig.trade(order, "10", "0.42", "SETTLING", trade_id="t-1")
    position = rig.kernel.state.position("0xc0", Side.UP)
    assert position is not None
    assert (position.size, position.settled) == (10_000_000, 0)
    assert any("unknown status 'SETTLING'" in str(record) for record in rig.records)
    rig.trade(order, "10", "0.42", "CONFIRMED", trade_id="t-1")
    assert (position.size, position.settled) == (10_000_000, 10_000_000)


def test_con_12_the_documented_table_is_the_table() -> None:
    assert DOCUMENT.read_text("utf-8").endswith(table_text()), "write docs/status-words.md anew from table_text()"
