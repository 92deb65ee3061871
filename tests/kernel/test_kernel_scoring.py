"""Which resting orders score (REW-01): asked from the venue in no hurry, reckoned locally, seen by plugins, booked."""

from __future__ import annotations

from msgspec import structs

from polyhost.kernel.scoring import EARNINGS_APART_MS, LAST_DAY_MS, SCORING_APART_MS, SCORING_EVERY_MS, SCORING_MAX
from polyhost.kernel.state import OrderEntry, fold
from polyhost.lab.summary import Extras, summary
from polyhost.model.commands import QueryEarnings, QueryScoring
from polyhost.model.events import EarnedRow, EarningsSeen, ScoringSeen
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import QuoteTarget
from polyhost.model.records import EarningsReported
from polyhost.model.view import OrderView
from polyhost.model.words import Action, Side

from .rig import CONDITION, START, Rig, only, window

DAY_MS = 86_400_000


def rewarded(**changes: object) -> Rig:
    """A window that pays rewards from 20 shares up to 4.5 cents from the midpoint; 0.40 bid, 0.44 asked."""
    program = {"reward_min_size": micros("20"), "reward_max_spread": 450, "reward_rate_day": micros("100")}
    rig = Rig(market=structs.replace(window(), **{**program, **changes}))
    rig.to(START + 60_000)
    rig.book("0.40/0.44")
    return rig


def quote(rig: Rig, price: str = "0.40", size: str = "20", side: Side = Side.UP, key: str = "") -> OrderEntry:
    target = QuoteTarget(side, Action.BUY, ticks(price), micros(size), key=key)
    post = rig.posted(rig.answer(target))
    rig.accept(post)
    return rig.order(post)


def asked(rig: Rig, ms: int, *targets: QuoteTarget) -> list[QueryScoring]:
    """The questions about scores in the next time, while the quotes are kept up."""
    before = len(rig.commands)
    end = rig.now + ms
    while rig.now < end:
        rig.answer(*targets)
    return [command for command in rig.commands[before:] if isinstance(command, QueryScoring)]


def seen(rig: Rig, *targets: QuoteTarget) -> OrderView:
    ask = rig.ask()
    rig.reply(ask, *targets)
    (order,) = ask.view.orders
    return order


TARGET = QuoteTarget(Side.UP, Action.BUY, ticks("0.40"), micros("20"))


def test_rew_01_the_venue_is_asked_about_what_rests_in_no_hurry() -> None:
    rig = rewarded()
    order = quote(rig)
    questions = asked(rig, 5 * SCORING_EVERY_MS, TARGET)
    assert 4 <= len(questions) <= 5
    assert {question.order_ids for question in questions} == {(order.order_id,)}


def test_rew_01_nobody_is_asked_where_no_program_pays() -> None:
    rig = rewarded(reward_rate_day=0)
    quote(rig)
    assert asked(rig, 3 * SCORING_EVERY_MS, TARGET) == []


def test_rew_01_however_fast_the_market_runs_the_venue_is_not_asked_more_often() -> None:
    rig = rewarded()
    quote(rig)
    scoring, core = rig.kernel.scoring, rig.kernel._core
    core.take()
    counts = []
    for step in range(4):
        core.now, core.wall = rig.now + (step + 1) * SCORING_EVERY_MS, rig.now + step * SCORING_APART_MS // 2
        scoring.due()
        counts.append(sum(isinstance(command, QueryScoring) for command in core.take().commands))
    assert counts == [1, 0, 1, 0]


def test_rew_01_one_question_is_bounded_and_the_next_one_goes_on() -> None:
    rig = rewarded()
    order = quote(rig)
    orders = [
        structs.replace(order, ref=f"o{number:05d}") for number in range(SCORING_MAX + 10)
    ]
    scoring = rig.kernel.scoring
    first, second = scoring._next(orders), scoring._next(orders)
    assert len(first) == len(second) == SCORING_MAX
    assert {each.ref for each in (*first, *second)} == {each.ref for each in orders}


def test_rew_01_plugins_see_the_venues_word_and_our_own_reckoning() -> None:
    rig = rewarded()
    order = quote(rig)
    young = seen(rig, TARGET)
    assert (young.scoring, young.score) == (None, 0.0), "it has to rest 3.5 s first, and nobody was asked yet"
    asked(rig, SCORING_EVERY_MS, TARGET)
    rig.do(ScoringSeen(((order.order_id, True), ("0xsomebody", True))))
    old = seen(rig, TARGET)
    assert old.scoring is True
    assert old.score == 20 * (250 / 450) ** 2
    assert rig.kernel.scoring.said() == {order.ref: True}
    rig.do(ScoringSeen(((order.order_id, False),)))
    assert seen(rig, TARGET).scoring is False
    assert fold(rig.records) == rig.kernel.state, "the venue's word is volatile"


def test_rew_01_an_order_too_far_away_or_too_small_scores_nothing_by_our_reckoning() -> None:
    rig = rewarded()
    far = QuoteTarget(Side.UP, Action.BUY, ticks("0.37"), micros("20"))
    quote(rig, "0.37")
    asked(rig, 5_000, far)
    assert seen(rig, far).score == 0.0
    small = rewarded()
    less = QuoteTarget(Side.UP, Action.BUY, ticks("0.40"), micros("19"))
    quote(small, "0.40", "19")
    asked(small, 5_000, less)
    assert seen(small, less).score == 0.0


def test_rew_01_outside_the_middle_one_side_alone_scores_nothing() -> None:
    rig = rewarded()
    rig.book("0.04/0.06")
    one = QuoteTarget(Side.UP, Action.BUY, ticks("0.04"), micros("20"))
    two = QuoteTarget(Side.DOWN, Action.BUY, ticks("0.94"), micros("20"))
    post = rig.posted(rig.answer(one))
    rig.accept(post)
    asked(rig, 5_000, one)
    assert seen(rig, one).score == 0.0
    post = rig.posted(rig.answer(one, two))
    rig.accept(post)
    asked(rig, 5_000, one, two)
    ask = rig.ask()
    assert [order.score > 0.0 for order in ask.view.orders] == [True, True]


def test_rew_01_what_is_over_is_forgotten() -> None:
    rig = rewarded()
    order = quote(rig)
    rig.do(ScoringSeen(((order.order_id, True),)))
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    rig.wait(SCORING_EVERY_MS)
    assert rig.kernel.scoring.said() == {}
    rig.do(ScoringSeen(((order.order_id, True),)))
    assert rig.kernel.scoring.said() == {}, "a late answer about it says nothing"


# --- what a day brought -----------------------------------------------------------------------------------------------


def test_rew_03_earnings_are_reported_by_market_and_day_once_for_each_change() -> None:
    rig = rewarded()
    quote(rig)
    day = rig.now // DAY_MS
    told = EarningsSeen(day, (EarnedRow(CONDITION, micros("0.25"), micros("0.01")), EarnedRow("0xother", 7, 0)))
    for _ in range(3):
        rig.do(told)
    rig.do(EarningsSeen(day, (EarnedRow(CONDITION, micros("0.5"), micros("0.01")),)))
    reported = [record for record in rig.records if isinstance(record, EarningsReported)]
    assert [(record.condition_id, record.rewards) for record in reported] == [
        (CONDITION, micros("0.25")), ("0xother", 7), (CONDITION, micros("0.5")),
    ]  # fmt: skip
    told_rows = summary(rig.kernel.state, Extras())["earned"]
    assert told_rows == [
        {"day": "2027-01-15", "slug": rig.market.slug, "condition_id": CONDITION, "rewards": "0.500000",
         "rebates": "0.010000"},
        {"day": "2027-01-15", "slug": None, "condition_id": "0xother", "rewards": "0.000007", "rebates": "0.000000"},
    ]
    assert summary(rig.kernel.state, Extras())["rewards"] == "0.000000", "earned is not paid"
    assert fold(rig.records) == rig.kernel.state


def test_rew_03_shortly_after_midnight_the_day_before_is_asked_about_too() -> None:
    rig = rewarded()
    quote(rig)
    scoring, core = rig.kernel.scoring, rig.kernel._core
    core.take()
    midnight = rig.now - rig.now % DAY_MS + DAY_MS
    days = []
    for step, now in enumerate((midnight + LAST_DAY_MS - 1, midnight + LAST_DAY_MS)):
        core.now, core.wall = now, rig.now + step * EARNINGS_APART_MS
        scoring.earnings_due()
        days.append([c.day - midnight // DAY_MS for c in core.take().commands if isinstance(c, QueryEarnings)])
    assert days == [[0, -1], [0]]


def test_rew_03_an_account_that_never_ordered_asks_for_no_earnings() -> None:
    rig = rewarded()
    rig.wait(20_000)
    assert not any(isinstance(command, QueryEarnings) for command in rig.commands)
    quote(rig)
    rig.wait(310_000)
    assert only([c for c in rig.commands if isinstance(c, QueryEarnings)][:1], QueryEarnings).day == rig.now // DAY_MS
