"""ORD-19, ORD-21: "not enough balance" told apart, and what is done about each cause."""

from __future__ import annotations

import pytest

from polyhost.kernel.exits import LATER_MS, NO_BID_MS, REFUSAL_WAITS_MS
from polyhost.kernel.shortage import CODES, Known, Shortage, shortage
from polyhost.model.commands import Cancel, Command, Post, Prepare, QueryBalance, QueryTokenBalance
from polyhost.model.events import PostAnswered
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget, HoldToSettlement
from polyhost.model.records import NoticeRaised
from polyhost.model.words import OrderState, Side

from .rig import START, Rig, cancels, none, only

SHORT = "not enough balance / allowance: the balance is not enough -> balance: 40000000, order amount: 57000000"
ACTIVE = "not enough balance / allowance: the balance is not enough -> balance: 57000000, sum of active orders: {}"
MATCHED = "not enough balance / allowance: the balance is not enough -> balance: 57000000, sum of matched orders: {}"
NOTHING = Known(0, 0, recent=False, patient=False)


def known(active: int = 0, matched: int = 0, *, recent: bool = False, patient: bool = False) -> Known:
    return Known(active, matched, recent, patient)


@pytest.mark.parametrize(
    ("code", "text", "books", "cause"),
    [
        ("allowance", "the allowance is not enough", NOTHING, Shortage.APPROVAL),
        ("allowance", "the allowance is not enough", known(5, 5, recent=True, patient=True), Shortage.APPROVAL),
        ("funds_active", ACTIVE.format(57), known(57), Shortage.OURS),
        ("funds_active", ACTIVE.format(57), known(100, patient=True), Shortage.OURS),
        ("funds_active", ACTIVE.format(58), known(57), Shortage.FOREIGN),
        ("funds_active", ACTIVE.format(58), known(57, recent=True), Shortage.NOT_YET),
        ("funds_active", ACTIVE.format(1), NOTHING, Shortage.FOREIGN),
        ("funds_matched", MATCHED.format(9), known(matched=9), Shortage.NOT_YET),
        ("funds_matched", MATCHED.format(10), known(matched=9), Shortage.FOREIGN),
        ("funds_matched", MATCHED.format(10), known(matched=9, recent=True), Shortage.NOT_YET),
        ("balance", SHORT, known(patient=True), Shortage.NOT_YET),
        ("balance", SHORT, known(recent=True), Shortage.NOT_YET),
        ("balance", SHORT, NOTHING, Shortage.SHORT),
        ("funds", "not enough balance / allowance", NOTHING, Shortage.SHORT),
        ("funds", "", known(patient=True), Shortage.NOT_YET),
    ],
)
def test_ord_19_the_cause_is_told_by_the_venues_words_and_by_ours(
    code: str, text: str, books: Known, cause: Shortage
) -> None:
    assert code in CODES
    assert shortage(code, text, books) is cause


# --- a sale -----------------------------------------------------------------------------------------------------------


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def selling() -> tuple[Rig, Post]:
    """A sale at market under way, long after the last fill."""
    rig = opened()
    rig.enter()
    rig.wait(6_000)
    rig.book("0.40/0.42")
    return rig, rig.posted(rig.answer(ExitNow(Side.UP, "stop")))


def refused(rig: Rig, post: Post, text: str, code: str = "balance") -> list[Command]:
    return rig.do(PostAnswered(post.request.order_id, "refused", code=code, text=text, http=400))


def told(rig: Rig, word: str) -> int:
    return sum(isinstance(r, NoticeRaised) and word in r.text and "was refused" in r.text for r in rig.records)


def test_ord_19_not_yet_is_tried_after_1_2_3_and_three_times_5_seconds_then_it_is_short_and_said_once() -> None:
    rig, post = selling()
    for pause in REFUSAL_WAITS_MS:
        caused = refused(rig, post, SHORT)
        only(caused, QueryTokenBalance)
        none(rig.wait(pause - 1), Prepare)
        assert told(rig, "are not there") == 0
        rig.book("0.40/0.42")
        post = rig.posted(rig.wait(1))
    refused(rig, post, SHORT)
    assert told(rig, "they are not there") == 1
    none(rig.wait(LATER_MS - 1), Prepare)
    assert rig.kernel.state.blocked == {}, "one that is short is one failure"


def test_ord_19_a_new_balance_ends_the_waiting() -> None:
    rig, post = selling()
    for pause in REFUSAL_WAITS_MS:
        refused(rig, post, SHORT)
        rig.wait(pause - 1)
        rig.book("0.40/0.42")
        post = rig.posted(rig.wait(1))
    refused(rig, post, SHORT)
    rig.balances(size="40")
    sold = [c.draft for c in rig.commands if isinstance(c, Prepare)][-1]
    assert sold.size == micros("40")


def test_ord_19_after_all_waits_the_obligation_takes_over() -> None:
    rig = opened()
    rig.enter()
    rig.to(rig.market.end - 145_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(ExitNow(Side.UP, "stop")))
    for pause in REFUSAL_WAITS_MS:
        refused(rig, post, SHORT)
        rig.wait(pause - 1)
        rig.book("0.40/0.42")
        post = rig.posted(rig.wait(1))
    refused(rig, post, SHORT)
    none(rig.to(rig.market.end - 120_001), Prepare)
    rig.book("0.40/0.42")
    draft = only(rig.to(rig.market.end - 118_000), Prepare).draft
    assert rig.kernel.state.orders[draft.ref].slot.purpose.value == "emergency"


def test_ord_19_a_lock_that_is_not_ours_is_told_and_is_no_failure_of_ours() -> None:
    rig, post = selling()
    for pause in REFUSAL_WAITS_MS[:4]:
        refused(rig, post, MATCHED.format(57_000_000), "funds_matched")
        rig.wait(pause - 1)
        rig.book("0.40/0.42")
        post = rig.posted(rig.wait(1))
    assert told(rig, "a lock that is not ours") == 1, "once a minute"
    assert rig.kernel.state.blocked == {}


def test_ord_21_shares_in_our_own_resting_exit_are_freed_first() -> None:
    """The proof of its cancel did not come in half a second, and the refusal says that it rests: it is awaited."""
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    rig.accept(post)
    resting = rig.order(post)
    rig.answer(ExitNow(Side.UP, "stop"))
    sale = rig.posted(rig.wait(500))
    refused(rig, sale, ACTIVE.format(57_000_000), "funds_active")
    assert rig.order(sale).state is OrderState.CLOSED
    waiting = rig.wait(1_200)
    none(waiting, Prepare)
    assert set(cancels(waiting)) == {resting.order_id}, "cancelled again when its cancel was lost"
    rig.trade(resting, "7", "0.99", maker=True)
    draft = only(rig.canceled(resting, "7"), Prepare).draft
    assert draft.size == micros("50"), "its fills are counted"


def test_ord_19_a_missing_approval_of_a_sell_is_told_with_its_remedy_and_tried_on() -> None:
    rig, post = selling()
    rig.do(PostAnswered(
        post.request.order_id, "refused", code="allowance", text="the allowance is not enough", blocks="approval",
        http=400,
    ))
    assert any(isinstance(r, NoticeRaised) and "setup approvals" in r.text for r in rig.records)
    only(rig.wait(1_000), Prepare)
    assert rig.kernel.state.blocked == {}


def test_a_market_sale_waits_a_second_while_nobody_bids() -> None:
    """In the last ten seconds any price will do; with an empty book that was an order every 0.4 s."""
    rig = opened()
    rig.enter()
    rig.answer(HoldToSettlement(Side.UP, "until the last seconds"))
    rig.to(rig.market.end - 9_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(ExitNow(Side.UP, "stop")))
    rig.book("/0.42")
    rig.refuse(post, "fak_killed", "no orders found to match with FAK order.")
    none(rig.wait(NO_BID_MS - 1), Prepare)
    only(rig.wait(1), Prepare)


# --- a buy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        ("balance", SHORT, "they are not there"),
        ("funds_active", ACTIVE.format(20_000_000), "an order of ours that rests"),
        ("funds_active", ACTIVE.format(900_000_000), "a lock that is not ours"),
        ("funds_matched", MATCHED.format(900_000_000), "a lock that is not ours"),
        ("allowance", "the allowance is not enough", "not approved"),
    ],
)
def test_ord_19_a_buy_that_lacks_money_ends_with_one_clear_line(code: str, text: str, says: str) -> None:
    rig = opened()
    rest = rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.50"), "rests", order_type="GTC")))
    rig.accept(rest)
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test")))
    caused = refused(rig, post, text, code)
    lines = [r.text for r in rig.records if isinstance(r, NoticeRaised) and "The venue refused" in r.text]
    assert len(lines) == 1
    assert says in lines[0]
    only(caused, QueryBalance)
    none(caused, Prepare, Cancel)
    assert rig.order(post).state is OrderState.CLOSED


def test_ord_19_money_that_a_cancel_of_ours_has_just_freed_is_not_yet_there() -> None:
    rig = opened()
    rest = rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.50"), "rests", order_type="GTC")))
    rig.accept(rest)
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test")))
    rig.kernel.flow.cancel(rig.order(rest))
    refused(rig, post, SHORT)
    assert any(isinstance(r, NoticeRaised) and "not visible at the venue yet" in r.text for r in rig.records)
