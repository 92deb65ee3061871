"""Unknown outcomes on a scripted venue: the same bytes again (U5), what proves absence (U6), and after it (U7)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from polyhost.kernel.orders_flow import FOREIGN_MAX
from polyhost.kernel.state import OrderEntry, fold
from polyhost.model.commands import Cancel, Command, Post, Prepare, QueryOrder
from polyhost.model.events import (
    BalanceSeen,
    CancelAnswered,
    MarketClosed,
    Operator,
    OrderNotFound,
    OrderSeen,
    PostAnswered,
    PostLeft,
    RunBegan,
    RunEnding,
    StreamChanged,
)
from polyhost.model.gateway import OrderRow, TradeRow
from polyhost.model.market import Market
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import CancelOrders, Enter, ExitTarget
from polyhost.model.records import NoticeRaised, OrderReposted, SlotReleased
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderState, Side

from .rig import CONDITION, DOWN, START, UP, Rig, cancels, none, only

REST = Enter(Side.UP, ticks("0.39"), "rests", order_type="GTC")
TAKE = Enter(Side.UP, ticks("0.42"), "takes")
MINUTE = 60_000


def opened(**options: object) -> Rig:
    rig = Rig(**options)  # type: ignore[arg-type]
    rig.to(START + MINUTE)
    rig.book("0.40/0.42")
    return rig


def silent(rig: Rig, wish: Enter = REST, *, left: bool = True) -> OrderEntry:
    """A buy that was sent and not answered."""
    post = rig.posted(rig.answer(wish))
    if left:
        rig.do(PostLeft(post.request.order_id))
    rig.wait(1_500)
    order = rig.order(post)
    assert order.state is OrderState.UNKNOWN
    return order


def lost(rig: Rig, wish: Enter = REST) -> OrderEntry:
    """A buy whose connection broke."""
    post = rig.posted(rig.answer(wish))
    rig.do(PostAnswered(post.request.order_id, "unknown", text="transport: reset"))
    order = rig.order(post)
    assert order.state is OrderState.UNKNOWN
    return order


def nowhere(rig: Rig, order: OrderEntry) -> None:
    """Asked by its id and in the lists: it is in neither."""
    rig.do(OrderNotFound(order.order_id))
    sweep(rig)


def sweep(
    rig: Rig, *, witness: OrderEntry | None = None, complete: bool = True, begun: int | None = None
) -> list[Command]:
    rows = () if witness is None else (rig.row(witness, "LIVE", "0"),)
    return rig.swept(*rows, complete=complete, begun=begun)


def posts(commands: list[Command]) -> list[Post]:
    return [command for command in commands if isinstance(command, Post)]


def later(rig: Rig, ms: int) -> list[Command]:
    """Time passes and the book stays fresh."""
    book = rig.kernel.book(CONDITION)
    assert book is not None
    caused: list[Command] = []
    end = rig.now + ms
    while rig.now < end:
        caused += rig.wait(min(1_000, end - rig.now))
        book.changed_at = rig.now
    return caused


# --- U5 ---------------------------------------------------------------------------------------------------------------


def test_u5_a_resting_buy_that_is_nowhere_is_posted_again_with_the_same_bytes() -> None:
    rig = opened()
    order = silent(rig)
    later(rig, 300)
    nowhere(rig, order)
    again = posts(later(rig, 2_000))
    assert [post.request for post in again] == [order.request]
    assert order.posts == 2
    assert fold(rig.records) == rig.kernel.state, "the number of posts is durable"


def test_u5_two_seconds_lie_between_two_posts_and_there_are_three_more_at_most() -> None:
    rig = opened()
    order = silent(rig)
    at = [rig.now - 1_500]
    for _ in range(60):
        nowhere(rig, order)
        for post in posts(later(rig, 500)):
            at.append(rig.now)
            rig.do(PostLeft(post.request.order_id))
    assert len(at) == 4
    assert all(after - before >= 2_000 for before, after in pairwise(at))
    assert order.posts == 4
    assert [r.posts for r in rig.records if isinstance(r, OrderReposted)] == [2, 3, 4]


@pytest.mark.parametrize("kind", ["FAK", "FOK"])
def test_u5_what_never_rests_is_never_posted_again(kind: str) -> None:
    rig = opened()
    order = silent(rig, Enter(Side.UP, ticks("0.42"), "takes", order_type=kind))
    nowhere(rig, order)
    none(later(rig, 30_000), Post)


def test_u5_a_good_till_date_buy_is_posted_again_only_while_its_date_is_legal() -> None:
    """The entry names no date today: the draft is given one that is 3 minutes and 2 seconds ahead."""
    from msgspec import structs

    from polyhost.model.words import OrderType

    for ahead_s, wanted in ((182 + 60, 1), (181, 0)):
        rig = opened()
        draft = only(rig.answer(REST), Prepare).draft
        date = structs.replace(
            draft, order_type=OrderType.GTD, expiration_s=rig.now // 1_000 + ahead_s
        )
        entry = rig.kernel.state.orders[draft.ref]
        entry.draft = date
        post = only(rig.sign(date), Post)
        rig.do(PostLeft(post.request.order_id))
        rig.wait(1_500)
        nowhere(rig, entry)
        assert len(posts(later(rig, 2_500))) == wanted


@pytest.mark.parametrize(
    "what",
    ["not asked", "not swept", "incomplete", "swept before", "not left", "seen", "stream down", "old book", "poor"],
)
def test_u5_without_each_condition_nothing_is_posted_again(what: str) -> None:
    rig = opened()
    rig.wait(0)
    before = rig.asks()
    order = silent(rig, left=what != "not left")
    if what != "not asked":
        rig.do(OrderNotFound(order.order_id))
    if what != "not swept":
        sweep(rig, complete=what != "incomplete", begun=before if what == "swept before" else None)
    match what:
        case "seen":
            rig.see(order, "LIVE", "0")
        case "stream down":
            rig.do(StreamChanged("user", False, 2, "test"))
        case "poor":
            rig.balance = 1
            rig.do(BalanceSeen(rig.balance, True))
        case _:
            pass
    sent = rig.wait(14_000) if what == "old book" else later(rig, 2_000)
    if what == "old book":
        assert len(posts(sent)) == 1, "while the book was fresh"
        rig.do(PostLeft(order.order_id))
        nowhere(rig, order)
        sent = rig.wait(10_000)
    none(sent, Post)
    assert cancels(sent) == [], "it is still wanted"


@pytest.mark.parametrize(
    "what", ["cancelled", "killed", "paused", "ending", "closed", "late", "limit", "breaker"]
)
def test_u5_what_is_no_longer_wanted_is_cancelled_by_id_at_each_step_instead(what: str) -> None:
    rig = opened(settings={"limits": {"window": "50"}})
    if what == "late":
        rig.to(rig.market.end - 126_000)
        rig.book("0.40/0.42")
    order = silent(rig)
    nowhere(rig, order)
    match what:
        case "cancelled":
            rig.answer(CancelOrders(Side.UP, "changed my mind"))
            rig.do(PostLeft(order.order_id))  # it may have been posted again until the plugin spoke
        case "killed":
            rig.do(Operator("kill", who="test"))
        case "paused":
            rig.do(Operator("pause", who="test"))
        case "ending":
            rig.do(RunEnding("test"))
        case "closed":
            rig.do(MarketClosed(CONDITION))
        case "late":
            later(rig, 6_000)
            rig.do(PostLeft(order.order_id))
            nowhere(rig, order)
        case "limit":
            limits = rig.kernel._core.settings.limits
            object.__setattr__(limits, "window", 1)
        case "breaker":
            rig.kernel.breakers.trip("drawdown", "test")
    before = order.posts
    sent = later(rig, 11_000)
    none(sent, Post)
    assert order.posts == before
    assert len(cancels(sent)) >= 2
    assert set(cancels(sent)) == {order.order_id}


def test_u5_after_a_cancel_nothing_brings_the_bytes_back() -> None:
    rig = opened()
    order = silent(rig)
    rig.do(Operator("pause", who="test"))
    later(rig, 3_000)
    rig.do(Operator("resume", who="test"))
    for _ in range(10):
        nowhere(rig, order)
        none(later(rig, 2_000), Post)


def test_u5_a_cancel_waits_until_the_second_post_has_left() -> None:
    """The post waits for the disk, a cancel does not: it would be overtaken, and the bytes would rest after it."""
    rig = opened()
    order = silent(rig)
    nowhere(rig, order)
    only(posts(later(rig, 2_000)), Post)
    assert cancels(rig.answer(CancelOrders(Side.UP, "changed my mind"))) == []
    assert cancels(rig.do(PostLeft(order.order_id))) == [order.order_id]


def test_u5_a_post_that_never_leaves_delays_a_cancel_by_five_seconds_at_most() -> None:
    """A sealed host drops what waits for the disk; its cancels go on."""
    rig = opened()
    order = silent(rig)
    nowhere(rig, order)
    only(posts(later(rig, 2_000)), Post)
    rig.do(Operator("kill", who="test"))
    assert cancels(later(rig, 10_000))[:1] == [order.order_id]


def test_u5_after_a_second_post_no_refusal_proves_anything() -> None:
    rig = opened()
    order = silent(rig)
    nowhere(rig, order)
    (post,) = posts(later(rig, 2_000))
    rig.refuse(post, "balance", "not enough balance / allowance")
    assert order.state is OrderState.UNKNOWN
    assert rig.cash("reserved") == order.reserve > 0


def test_u5_a_duplicate_proves_presence() -> None:
    rig = opened()
    order = silent(rig)
    nowhere(rig, order)
    (post,) = posts(later(rig, 2_000))
    rig.accept(post, "")
    assert order.state is OrderState.WORKING


def test_u5_an_order_of_an_earlier_run_is_asked_for_and_never_posted_again() -> None:
    """A cancel of it may have left without a trace; a restart does not forget how often it was posted, either."""
    rig = opened()
    order = silent(rig)
    nowhere(rig, order)
    later(rig, 2_000)
    assert order.posts == 2
    again = Rig(follow=False, start_at=rig.now + 1_000)
    again.kernel.restore(rig.records)
    again.begin()
    again.book("0.40/0.42")
    revived = again.kernel.state.orders[order.ref]
    assert revived.posts == 2
    for _ in range(10):
        nowhere(again, revived)
        sent = later(again, 2_000)
        none(sent, Post)
    assert cancels(sent) == []
    assert any(isinstance(command, QueryOrder) for command in sent)


def test_u8_an_unknown_resting_sell_is_cancelled_at_each_step_and_never_posted_again() -> None:
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    rig.do(PostLeft(post.request.order_id))
    rig.wait(1_500)
    order = rig.order(post)
    rig.do(OrderNotFound(order.order_id))
    sent = later(rig, 9_000)
    assert all(post.request.order_id != order.order_id for post in posts(sent))
    assert cancels(sent).count(order.order_id) >= 3


# --- U6 ---------------------------------------------------------------------------------------------------------------


def other_side(rig: Rig) -> OrderEntry:
    """A younger order of ours that the venue shows."""
    post = rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.50"), "younger", order_type="GTC")))
    rig.accept(post)
    return rig.order(post)


def test_u6_two_complete_sweeps_with_a_witness_prove_absence_after_a_minute() -> None:
    rig = opened()
    order = lost(rig, TAKE)
    since = rig.now
    younger = other_side(rig)
    rig.to(since + MINUTE - 1)
    sweep(rig, witness=younger)
    rig.to(since + MINUTE)
    sweep(rig, witness=younger)
    rig.to(since + MINUTE + 9_999)
    sweep(rig, witness=younger)
    assert order.state is OrderState.UNKNOWN, "not ten seconds apart"
    reserved = order.reserve
    free = rig.cash()
    rig.to(since + MINUTE + 10_000)
    sweep(rig, witness=younger)
    assert (order.state, order.cause) == (OrderState.CLOSED, "absent")
    assert rig.cash() == free + reserved
    assert rig.kernel.broken_invariants() == []


@pytest.mark.parametrize(
    "what", ["incomplete", "begun early", "no witness", "older witness", "connection open", "not left", "seen"]
)
def test_u6_without_each_condition_absence_is_not_proved(what: str) -> None:
    rig = opened()
    older = None
    if what == "older witness":
        older = other_side(rig)
    if what == "connection open":
        order = silent(rig, TAKE)
    elif what == "not left":
        order = silent(rig, TAKE, left=False)
    else:
        order = lost(rig, TAKE)
    since = rig.now
    younger = other_side(rig) if older is None else older
    if what == "seen":
        rig.see(order, "LIVE", "0")
    rig.to(since + 59_999)
    early = rig.asks() if what == "begun early" else None
    for seconds in (70, 85, 100):
        rig.to(since + seconds * 1_000)
        sweep(rig, witness=None if what == "no witness" else younger, complete=what != "incomplete", begun=early)
    if what == "seen":
        # Of a FAK that was there the end is asked for; it ended, it was never absent.
        assert (order.state, order.cause) in ((OrderState.WORKING, "seen"), (OrderState.CLOSED, "ended"))
    else:
        assert order.state is OrderState.UNKNOWN


@pytest.mark.parametrize("http", [425, 429, 500, 503])
@pytest.mark.parametrize("kind", ["post", "cancel"])
def test_u6_trouble_at_the_order_endpoints_begins_the_minute_anew(http: int, kind: str) -> None:
    rig = opened()
    order = lost(rig, TAKE)
    younger = other_side(rig)
    rig.wait(65_000)
    sweep(rig, witness=younger)
    if kind == "post":
        rig.do(PostAnswered(younger.order_id, "unknown", text="trouble", http=http))
    else:
        rig.do(CancelAnswered(younger.order_id, "unknown", "trouble", http))
    trouble = rig.now
    for ms in (45_000, MINUTE - 1):
        rig.to(trouble + ms)
        sweep(rig, witness=younger)
    assert order.state is OrderState.UNKNOWN
    for seconds in (60, 70):
        rig.to(trouble + seconds * 1_000)
        sweep(rig, witness=younger)
    assert order.cause == "absent"


def test_u6_a_plain_refusal_of_another_order_is_no_trouble() -> None:
    rig = opened()
    order = lost(rig, TAKE)
    younger = other_side(rig)
    rig.wait(30_000)
    rig.do(PostAnswered(younger.order_id, "refused", code="tick", http=400))
    for _ in range(2):
        rig.wait(MINUTE // 2)
        sweep(rig, witness=younger)
    assert order.cause == "absent"


def test_u6_without_a_witness_it_takes_five_minutes() -> None:
    rig = opened()
    order = lost(rig, TAKE)
    since = rig.now
    rig.to(since + 299_999)
    sweep(rig)
    rig.to(since + 309_999)
    sweep(rig)
    assert order.state is OrderState.UNKNOWN
    rig.to(since + 319_999)
    sweep(rig)
    assert order.cause == "absent"


def test_u6_a_younger_trade_of_ours_is_a_witness_and_a_strangers_is_none() -> None:
    for ours in (True, False):
        rig = opened()
        order = lost(rig, TAKE)
        younger = other_side(rig)
        taker = younger.order_id if ours else "0xstranger"
        row = TradeRow(
            "t77", CONDITION, DOWN, taker, Action.BUY, ticks("0.50"), micros("1"), "MATCHED", rig.now // 1_000, ()
        )
        for seconds in (61, 11):
            rig.wait(seconds * 1_000)
            rig.swept(trades=(row,))
        assert (order.cause == "absent") is ours


def test_u6_the_second_post_begins_the_minute_anew() -> None:
    rig = opened()
    order = lost(rig)
    younger = other_side(rig)
    nowhere(rig, order)
    later(rig, 40_000)
    last = max(r.at for r in rig.records if isinstance(r, OrderReposted))
    rig.do(PostAnswered(order.order_id, "unknown", text="transport: reset"))
    for seconds in (5, 16):
        rig.wait(seconds * 1_000)
        sweep(rig, witness=younger)
    assert rig.now - last > MINUTE - 5_000
    assert order.state is OrderState.UNKNOWN


def test_u6_a_market_that_takes_no_more_orders_needs_one_sweep_a_minute_later() -> None:
    rig = opened()
    order = silent(rig, TAKE)
    rig.do(MarketClosed(CONDITION))
    rig.wait(MINUTE - 1)
    early = rig.asks()
    rig.wait(1)
    sweep(rig, begun=early)
    assert order.state is OrderState.UNKNOWN, "begun too early"
    sweep(rig)
    assert order.cause == "absent"


# --- U7 ---------------------------------------------------------------------------------------------------------------


def absent(rig: Rig, wish: Enter = TAKE) -> OrderEntry:
    order = lost(rig, wish)
    younger = other_side(rig)
    for seconds in (61, 11):
        rig.wait(seconds * 1_000)
        sweep(rig, witness=younger)
    assert order.cause == "absent"
    rig.book("0.40/0.42")
    return order


def test_u7_the_slot_takes_no_second_entry_in_that_window() -> None:
    rig = opened()
    absent(rig)
    none(rig.answer(TAKE), Prepare)


def test_u7_an_absent_order_stays_watched_until_the_result() -> None:
    rig = opened()
    order = absent(rig)
    asked = [c for c in rig.wait(181_000) if isinstance(c, QueryOrder)]
    assert [c.order_id for c in asked] == [order.order_id] * 3
    rig.to(rig.market.end + 8_000)
    rig.resolve(Side.UP)
    none(rig.wait(MINUTE + 1), QueryOrder)


@pytest.mark.parametrize("how", ["stream", "list", "trade", "answer", "cancel answer"])
def test_u7_an_absent_order_that_shows_up_lives_again_trips_a_breaker_and_is_cancelled(how: str) -> None:
    rig = opened()
    order = absent(rig)
    worst = micros("24.91196")
    rig.commands.clear()
    match how:
        case "stream":
            rig.see(order, "LIVE", "0")
        case "list":
            rig.swept(rig.row(order, "LIVE", "0"))
        case "trade":
            rig.trade(order, "20", "0.42")
            worst -= micros("8.4") + micros("0.34104")
        case "answer":
            rig.do(PostAnswered(order.order_id, "accepted", "live"))
        case "cancel answer":
            rig.do(CancelAnswered(order.order_id, "canceled"))
    assert order.state is OrderState.CANCELLING
    assert order.present
    assert order.reserve == worst, "what is left of it is reserved again"
    assert list(rig.kernel.state.blocked) == ["late_fill"]
    assert order.order_id in cancels(rig.commands)
    assert any(isinstance(r, NoticeRaised) and r.level == "critical" and "absent" in r.text for r in rig.records)
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state


def test_u7_the_fill_of_an_absent_order_is_booked_and_its_position_managed() -> None:
    rig = opened()
    order = absent(rig)
    rig.trade(order, "57", "0.42")
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.size == micros("57")
    assert order.state is OrderState.CLOSED
    assert order.cause == "filled"
    assert f"{CONDITION}:UP" in rig.kernel.state.obligations
    assert rig.cash("reserved") == sum(o.reserve for o in rig.kernel.state.orders.values())


def test_u7_only_absence_can_be_taken_back() -> None:
    rig = opened()
    order = rig.enter()
    assert not order.open
    rig.see(order, "LIVE", "57")
    assert not order.open
    assert rig.kernel.state.blocked == {}


PLAIN = Market(
    slug="a-plain-question", condition_id=CONDITION, up=UP, down=DOWN, end=MarketMs(START + 30 * 86_400_000)
)


def test_u7_without_a_window_a_slot_is_free_after_fifteen_minutes_and_a_word() -> None:
    rig = opened(market=PLAIN)
    absent(rig)
    locked = next(iter(rig.kernel.state.slots_locked.values())).at
    rig.to(locked + 15 * MINUTE - 1)
    rig.do(Operator("resume", who="test"))
    rig.book("0.40/0.42")
    none(rig.answer(TAKE), Prepare)
    assert len(rig.kernel.state.slots_locked) == 1, "a minute too early, and time alone releases nothing"
    rig.do(Operator("resume", who="test"))
    assert any(isinstance(r, SlotReleased) for r in rig.records)
    only(rig.answer(TAKE), Prepare)


def test_u7_a_word_releases_no_slot_of_a_window() -> None:
    rig = opened(market=None)
    absent(rig)
    rig.wait(16 * MINUTE)
    rig.do(Operator("resume", who="test"))
    assert len(rig.kernel.state.slots_locked) == 1


def test_u7_after_a_restart_absent_orders_are_watched_on() -> None:
    rig = opened()
    order = absent(rig)
    again = Rig(follow=False, start_at=rig.now + 1_000)
    again.kernel.restore(rig.records)
    commands = again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    assert order.order_id in [c.order_id for c in commands if isinstance(c, QueryOrder)]


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_ops_06_orders_of_others_are_told_once_and_remembered_within_a_bound() -> None:
    rig = opened()

    def foreign(number: int) -> None:
        row = OrderRow(f"0xf{number}", CONDITION, UP, Action.BUY, 1_000, 10**7, 0, "LIVE")
        rig.do(OrderSeen(row, "stream"))

    foreign(0)
    foreign(0)
    assert sum(isinstance(r, NoticeRaised) and "0xf0" in r.text for r in rig.records) == 1
    for number in range(1, FOREIGN_MAX + 10):
        foreign(number)
    assert len(rig.kernel.flow._foreign) == FOREIGN_MAX
    none(rig.commands, Cancel)
