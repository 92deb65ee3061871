"""Standing targets that do not oscillate (T1, T2, T5, T7), and sells nobody knows the fate of (U8)."""

from __future__ import annotations

import pytest

from polyhost.kernel.exits import OUTDATED_MS, RETRY_MS
from polyhost.kernel.invariants import INVARIANTS
from polyhost.model.commands import Ask, Cancel, Command, Post, Prepare, QueryTokenBalance
from polyhost.model.messages import Message
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget
from polyhost.model.records import CloseRecorded
from polyhost.model.words import OrderState, OrderType, Purpose, Side

from .rig import CONDITION, START, Rig, cancels, none, only

AT_99 = ExitTarget(Side.UP, ticks("0.99"))


def holding(**options: object) -> Rig:
    """57 UP, settled and visible, in the window's second minute."""
    rig = Rig(**options)  # type: ignore[arg-type]
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    return rig


def resting(rig: Rig, target: ExitTarget = AT_99) -> Post:
    post = rig.posted(rig.answer(target))
    rig.accept(post)
    return post


def shown(rig: Rig, size: str) -> list[Command]:
    """The venue's balance shows so many shares; what that caused."""
    before = len(rig.commands)
    rig.balances(size=size)
    return rig.commands[before:]


def test_t1_an_equal_target_is_no_change_however_often_it_comes() -> None:
    rig = holding()
    resting(rig)
    for _ in range(5):
        none(rig.answer(AT_99), Prepare, Cancel)


def test_t1_no_target_any_more_means_nothing_should_rest() -> None:
    rig = holding()
    post = resting(rig)
    assert cancels(rig.answer()) == [post.request.order_id]


def test_t2_a_price_off_the_grid_is_moved_in_the_safe_direction() -> None:
    rig = holding()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.9512"))))
    assert rig.order(post).draft.price == ticks("0.96"), "a sell is rounded up"


def test_t2_the_size_is_floored_to_a_hundredth_of_a_share() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.balances(size="56.9999")
    assert rig.order(rig.posted(rig.answer(AT_99))).draft.size == micros("56.99")


def test_t2_a_resting_order_within_the_tolerance_is_left_alone() -> None:
    rig = holding()
    post = resting(rig, ExitTarget(Side.UP, ticks("0.90")))
    rig.wait(2_000)
    none(rig.answer(ExitTarget(Side.UP, ticks("0.92"), tolerance=ticks("0.03"))), Cancel, Prepare)
    moved = rig.answer(ExitTarget(Side.UP, ticks("0.93"), tolerance=ticks("0.03")))
    assert cancels(moved) == [post.request.order_id]


def test_t5_an_increment_that_is_legal_by_itself_becomes_a_second_order_and_never_a_third() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.balances(size="20")
    first = rig.order(resting(rig))
    second = rig.posted(shown(rig, "30"))
    rig.accept(second)
    assert (first.draft.size, rig.order(second).draft.size) == (micros("20"), micros("10"))
    rig.wait(1_000)
    grown = shown(rig, "57")
    none(grown, Prepare)
    assert cancels(grown), "two sells rest: growing further goes by replacement (T4)"


def unread(ms: int) -> Rig:
    """The balance of the position's shares was read so long before the next answer arrives, and is read no more."""
    rig = holding()
    rig.shares_read = False
    rig.balances()
    rig.wait(ms - 1_000)  # the next view comes a second later
    return rig


def test_con_14_an_exit_is_sized_by_a_balance_of_at_most_five_seconds_or_it_is_read_first() -> None:
    rig = unread(6_000)
    asked = rig.answer(AT_99)
    none(asked, Prepare)
    assert only(asked, QueryTokenBalance).token_id == rig.market.up
    assert rig.kernel.data(CONDITION).exit(Side.UP).waiting  # type: ignore[union-attr]
    rig.balances(size="20")
    assert only(rig.commands[-1:], Prepare).draft.size == micros("20"), "what the new reading says"


def test_con_14_a_reading_that_says_the_same_is_waited_for_too() -> None:
    rig = unread(6_000)
    none(rig.answer(AT_99), Prepare)
    rig.balances()
    assert only(rig.wait(RETRY_MS), Prepare).draft.size == micros("57")


def test_con_14_a_balance_of_five_seconds_is_good_enough() -> None:
    rig = unread(5_000)
    assert rig.order(rig.posted(rig.answer(AT_99))).why["balance_age_ms"] == "5000"


def test_con_14_a_query_that_fails_leaves_no_position_uncovered() -> None:
    rig = unread(6_000)
    none(rig.answer(AT_99), Prepare)
    none(rig.wait(OUTDATED_MS - 1), Prepare)
    assert only(rig.wait(RETRY_MS), Prepare).draft.size == micros("57")


def test_con_14_a_sale_at_market_never_waits_for_a_balance() -> None:
    rig = unread(60_000)
    order = rig.order(rig.posted(rig.answer(ExitNow(Side.UP, "stop", "stop"))))
    assert order.why["balance_age_ms"] == "60000", "and it tells so"


def test_t5_a_low_balance_shrinks_nothing() -> None:
    rig = holding()
    resting(rig)
    rig.balances(size="10")
    none(rig.answer(AT_99), Cancel, Prepare)


def test_t7_one_replacement_a_second() -> None:
    """0.95 was placed just now: 0.90 waits until a second after that, to the millisecond."""
    rig = holding(settings={"evaluation": {"cadence_ms": 200}})
    first = rig.order(resting(rig))
    rig.wait(2_000)
    ask = only(rig.answer(ExitTarget(Side.UP, ticks("0.95"))), Ask)
    second = rig.posted(rig.canceled(first))
    rig.accept(second)
    placed_at = rig.now
    none(rig.reply(ask, ExitTarget(Side.UP, ticks("0.90"))), Cancel, Prepare)
    none(rig.to(placed_at + 999), Cancel)
    assert cancels(rig.to(placed_at + 1_000)) == [second.request.order_id]


def test_u8_an_unknown_sell_is_cancelled_by_id_and_blocks_only_what_it_may_have_sold() -> None:
    """57 held, 57 perhaps sold already: nothing is signed. Once 20 are proved to be all it took, 37 are."""
    rig = holding()
    post = rig.posted(rig.answer(ExitNow(Side.UP, "stop")))
    unknown = rig.order(post)
    assert unknown.draft.order_type is OrderType.FAK
    lost = rig.wait(1_500)
    assert unknown.state is OrderState.UNKNOWN
    assert cancels(lost) == [unknown.order_id]
    none(rig.wait(3_000), Prepare)
    rig.trade(unknown, "20", "0.40", trade_id="t77")
    rig.book("0.40/0.42")
    after = rig.see(unknown, "CANCELED", "20", "CANCELLATION")
    drafts = [c.draft for c in [*after, *rig.wait(1_000)] if isinstance(c, Prepare)]
    assert [d.size for d in drafts] == [micros("37")]


def test_u8_near_the_end_an_unknown_sell_no_longer_counts() -> None:
    """The venue cannot be oversold, and its refusal would be evidence that the first one rests."""
    rig = holding(settings={"safety": {"close_before_expiry_s": 31}})
    rig.to(rig.market.end - 34_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(ExitNow(Side.UP, "stop")))
    rig.wait(1_500)
    assert rig.order(post).state is OrderState.UNKNOWN
    rig.book("0.40/0.42")
    drafts = [c.draft for c in rig.to(rig.market.end - 29_000) if isinstance(c, Prepare)]
    assert drafts
    assert drafts[0].size == micros("57")


def test_t1_an_exit_target_that_names_its_end_goes_then() -> None:
    rig = holding()
    post = resting(rig, ExitTarget(Side.UP, ticks("0.99"), valid_until=START + 70_000))
    none(rig.to(START + 69_999), Cancel)
    assert cancels(rig.to(START + 70_000)) == [post.request.order_id]


def test_t1_an_exit_target_proposed_anew_stands_longer() -> None:
    rig = holding()
    resting(rig, ExitTarget(Side.UP, ticks("0.99"), valid_until=START + 70_000))
    none(rig.answer(ExitTarget(Side.UP, ticks("0.99"), valid_until=START + 90_000)), Cancel)
    none(rig.to(START + 89_999), Cancel)


def test_t10_a_position_that_has_all_it_wants_is_not_visited_until_something_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its exit rests: thirty seconds of the same wish are thirty compares and no visit; a balance or a fill is one."""
    rig = holding()
    order = rig.order(resting(rig))
    rig.answer(AT_99)
    visits: list[int] = []
    rest = rig.kernel.exits._rest
    monkeypatch.setattr(rig.kernel.exits, "_rest", lambda *given: (visits.append(rig.now), rest(*given))[1])
    for _ in range(30):
        none(rig.answer(AT_99), Prepare, Cancel)
    assert visits == []
    rig.balances(size="30")
    assert len(visits) == 1
    rig.trade(order, "6", "0.99", "CONFIRMED", maker=True)
    assert len(visits) == 2
    visits.clear()
    rig.balances()
    rig.answer(AT_99)
    visits.clear()
    rig.answer(AT_99)
    assert visits == []
    assert rig.kernel.feed(Message(event_type="tick_size_change", asset_id="101", new_tick_size="0.001"), rig.now)
    rig.answer(AT_99)
    assert visits, "the market's tick is another"
    visits.clear()
    rig.answer(ExitTarget(Side.UP, ticks("0.98")))
    assert visits, "another wish"


def test_pos_13_a_close_has_prices_spot_at_both_ends_fees_and_duration() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.kernel.price("binance", "BTC", 100_000 * 10**8, rig.now, rig.now)
    rig.enter()
    opened_at = rig.now
    sell = rig.posted(rig.answer(AT_99))
    rig.accept(sell)
    rig.kernel.price("binance", "BTC", 100_500 * 10**8, rig.now, rig.now)
    rig.fill(rig.order(sell))
    close = next(r for r in rig.records if isinstance(r, CloseRecorded))
    assert (close.spot_entry, close.spot_exit) == (100_000 * 10**8, 100_500 * 10**8)
    assert close.duration_ms == close.at - close.opened_at > 0
    assert close.opened_at <= opened_at
    assert (close.exit_price, close.exit_reason, close.forced, close.sell_failed) == (9_900, "target", False, False)
    assert close.fees > 0
    assert close.pnl > 0


def test_u8_a_sale_of_shares_whose_purchase_is_not_known_yet_is_no_oversale() -> None:
    """Near the deadline an unknown sell no longer counts; the venue lets go what it knows to be bought, and no more."""
    rig = holding()
    resting_buy = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), purpose=Purpose.SCALE_IN)))
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    size = rig.order(resting_buy).draft.size
    position.sold += position.size + size
    assert INVARIANTS["never_oversold"](rig.kernel.state)
    position.sold += 1
    assert not INVARIANTS["never_oversold"](rig.kernel.state)
