"""Prices with source and age: a quiet book that was witnessed, and exits while the stream is lost (CON-02, 03)."""

from __future__ import annotations

import pytest

from polyhost.model.commands import Ask, Prepare, QueryBalance, Sweep
from polyhost.model.events import BalanceSeen, StreamChanged, SweepDone
from polyhost.model.messages import FETCHED, WITNESSED, Level, Message
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitNow
from polyhost.model.words import Side

from .rig import START, UP, Rig, none, only

ENTER = Enter(Side.UP, ticks("0.45"), reason="test")


def holding() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    return rig


def lost(rig: Rig) -> None:
    """The market stream goes down."""
    rig.do(StreamChanged("market", False, 2, "frozen"))


def fetched(rig: Rig, bid: str, ask: str, *, age_ms: int = 0) -> None:
    message = Message(
        event_type=FETCHED + "books", asset_id=UP, timestamp=str(rig.now - age_ms), bids=[Level(bid, "1000")],
        asks=[Level(ask, "1000")],
    )
    rig.kernel.feed(message, rig.now)


def midpoint(rig: Rig, price: str) -> None:
    rig.kernel.feed(
        Message(event_type=FETCHED + "midpoint", asset_id=UP, timestamp=str(rig.now), price=price), rig.now
    )


def witnessed(rig: Rig) -> None:
    rig.kernel.feed(Message(event_type=WITNESSED, asset_id=UP, timestamp=str(rig.now)), rig.now)


@pytest.mark.parametrize("witness", [True, False])
def test_con_02_a_quiet_book_takes_orders_only_while_it_is_witnessed(witness: bool) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    asks: list[Ask] = []
    for _ in range(60):
        if witness:
            witnessed(rig)
        asks += [command for command in rig.wait(1_000) if isinstance(command, Ask)]
    caused = rig.reply(asks[-1], ENTER)
    if witness:
        assert only(caused, Prepare)
        order = next(iter(rig.kernel.state.orders.values()))
        assert (order.why["price_source"], order.why["book_age_ms"]) == ("stream", "1000")
    else:
        none(caused, Prepare)
        assert rig.kernel.gates("0xc0")["book_old"] == 1


def test_con_02_a_witness_never_revives_a_book_that_is_lost() -> None:
    rig = holding()
    lost(rig)
    witnessed(rig)
    book = rig.kernel.book("0xc0")
    assert book is not None
    assert not book.priced


def test_con_03_a_stop_is_judged_and_carried_out_on_prices_that_were_asked_for() -> None:
    rig = holding()
    lost(rig)
    none(rig.wait(3_000), Ask)
    fetched(rig, "0.20", "0.24", age_ms=700)
    ask = [command for command in rig.wait(1_000) if isinstance(command, Ask)][-1]
    assert (ask.view.book_source, ask.view.side(Side.UP).bid) == ("books", ticks("0.20"))
    assert ask.view.book_age_ms == 1_700
    draft = only(rig.reply(ask, ExitNow(Side.UP, "stop loss", "stop")), Prepare).draft
    assert draft.price == ticks("0.19"), "one tick through the bid that was asked for"
    why = rig.kernel.state.orders[draft.ref].why
    assert (why["price_source"], why["book_age_ms"], why["bid"]) == ("books", "1700", "0.2")


def test_con_03_a_forced_close_has_a_worst_price_though_only_a_midpoint_answers() -> None:
    rig = holding()
    lost(rig)
    rig.to(rig.market.end - 121_000)
    for _ in range(8):
        midpoint(rig, "0.31")
        caused = rig.wait(1_000)
        if any(isinstance(command, Prepare) for command in caused):
            break
    draft = only(caused, Prepare).draft
    assert draft.price == ticks("0.30")
    assert rig.kernel.state.orders[draft.ref].why["price_source"] == "midpoint"


def test_con_03_no_entry_is_taken_on_prices_that_were_asked_for() -> None:
    rig = holding()
    lost(rig)
    fetched(rig, "0.40", "0.42")
    ask = [command for command in rig.wait(1_000) if isinstance(command, Ask)][-1]
    none(rig.reply(ask, Enter(Side.DOWN, ticks("0.65"), reason="test")), Prepare)
    assert rig.kernel.gates("0xc0")["book_lost"] == 1


def test_con_03_without_a_position_nobody_is_asked_about_a_lost_book() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    fetched(rig, "0.40", "0.42")
    none(rig.wait(3_000), Ask)


def test_con_03_the_full_book_of_the_stream_takes_over_at_once() -> None:
    rig = holding()
    lost(rig)
    fetched(rig, "0.20", "0.24")
    rig.do(StreamChanged("market", True, 3))
    book = rig.kernel.book("0xc0")
    assert book is not None
    assert not book.priced, "a new connection begins with nothing"
    rig.book("0.50/0.52")
    assert (book.ready, book.source, book.best_bid) == (True, "stream", ticks("0.50"))


@pytest.mark.parametrize("code", ["budget", "rate_limit"])
def test_con_06_an_exit_that_the_pace_held_back_is_no_failed_exit_and_is_tried_again(code: str) -> None:
    rig = holding()
    post = rig.posted(rig.answer(ExitNow(Side.UP, "stop loss", "stop")))
    for _ in range(6):
        none(rig.refuse(post, code), Prepare)
        none(rig.wait(900), Prepare)
        post = rig.posted(rig.wait(200))
    assert rig.kernel.state.blocked == {}


def test_con_14_a_balance_past_its_age_is_fetched_and_the_decision_made_after() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    asks: list[Ask] = []
    for _ in range(7):
        rig.book("0.40/0.42")
        asks += [command for command in rig.wait(1_000, balances=False) if isinstance(command, Ask)]
    caused = rig.reply(asks[-1], ENTER)
    none(caused, Prepare)
    assert only(caused, QueryBalance)
    assert rig.kernel.gates("0xc0")["balance_age"] == 1
    rig.do(BalanceSeen(rig.balance, True))
    rig.book("0.40/0.42")
    ask = [command for command in rig.wait(1_000, balances=False) if isinstance(command, Ask)][-1]
    draft = only(rig.reply(ask, ENTER), Prepare).draft
    assert rig.kernel.state.orders[draft.ref].why["balance_age_ms"] == "1000"


def test_ord_10_what_comes_during_the_comparison_is_applied_at_once_and_entries_wait_for_its_end() -> None:
    rig = holding()
    sell = rig.posted(rig.answer(ExitNow(Side.UP, "stop loss", "stop")))
    rig.accept(sell, "matched")
    assert only(rig.do(StreamChanged("user", True, 2, "planned rotation")), Sweep)
    order = rig.order(sell)
    rig.trade(order, str(order.draft.size / 1_000_000), "0.40", "CONFIRMED")
    position = rig.kernel.state.position("0xc0", Side.UP)
    assert position is not None
    assert position.size == 0, "a close is not kept for later"
    rig.book("0.40/0.42")
    assert "reconciling" in dict(rig.kernel.blocks())
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    assert "reconciling" not in dict(rig.kernel.blocks())
    assert rig.kernel.state.blocked == {}, "a planned rotation trips no breaker"
