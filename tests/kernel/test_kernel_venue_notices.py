"""NOT-03: a notification of the venue is matched to what we track; news leads to a question, the rest to nothing."""

from __future__ import annotations

from polyhost.model.commands import Command, QueryOrder, QueryResult, Sweep
from polyhost.model.events import RewardPaid, VenueNoticed
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter
from polyhost.model.words import Side

from .rig import CONDITION, START, Rig


def resting() -> tuple[Rig, str]:
    """A buy of 10 UP that rests; its id."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.40"), "rests", order_type="GTC")))
    rig.accept(post)
    return rig, post.request.order_id


def questions(commands: list[Command]) -> list[Command]:
    return [command for command in commands if isinstance(command, Sweep | QueryOrder | QueryResult)]


def test_not_03_a_fill_that_we_did_not_know_triggers_a_reconciliation_of_its_market() -> None:
    rig, order_id = resting()
    records = len(rig.records)
    (sweep,) = questions(rig.do(VenueNoticed("filled", order_id, CONDITION, "t9")))
    assert isinstance(sweep, Sweep)
    assert sweep.condition_id == CONDITION
    assert sweep.since_s <= (START + 60_000) // 1_000
    assert len(rig.records) == records, "a notification books nothing"


def test_not_03_a_fill_that_we_know_is_no_news() -> None:
    rig, order_id = resting()
    order = rig.kernel.state.by_order_id(order_id)
    assert order is not None
    rig.trade(order, "10", "0.40", trade_id="t9", maker=True)
    assert questions(rig.do(VenueNoticed("filled", order_id, CONDITION, "t9"))) == []
    assert len(questions(rig.do(VenueNoticed("fill_failed", order_id, CONDITION, "t9")))) == 1, "that it failed is"
    rig.trade(order, "10", "0.40", "FAILED", trade_id="t9", maker=True)
    assert questions(rig.do(VenueNoticed("fill_failed", order_id, CONDITION, "t9"))) == []


def test_not_03_a_cancellation_of_an_open_order_is_asked_about_and_of_a_closed_one_not() -> None:
    rig, order_id = resting()
    assert questions(rig.do(VenueNoticed("cancelled", order_id, CONDITION))) == [QueryOrder(order_id)]
    order = rig.kernel.state.by_order_id(order_id)
    assert order is not None
    rig.see(order, "CANCELED", "0", "CANCELLATION")
    assert questions(rig.do(VenueNoticed("cancelled", order_id, CONDITION))) == []


def test_not_03_a_result_is_asked_for_once_it_is_said_to_be_there() -> None:
    rig, _ = resting()
    said = VenueNoticed("resolved", "", CONDITION)
    assert questions(rig.do(said)) == [QueryResult(CONDITION, rig.market.slug)]
    rig.resolve(Side.UP)
    assert questions(rig.do(said)) == []


def test_not_03_what_concerns_nothing_of_ours_is_silent() -> None:
    rig, order_id = resting()
    words = rig.kernel.venue_words
    for strange in (
        VenueNoticed("filled", "0xhand", CONDITION, "t1"), VenueNoticed("cancelled", "0xhand", CONDITION),
        VenueNoticed("resolved", "", "0xelse"), VenueNoticed("something", order_id, CONDITION),
    ):
        assert questions(rig.do(strange)) == []
    assert not words.concerns(VenueNoticed("filled", "0xhand", CONDITION, "t1"))
    assert not words.concerns(VenueNoticed("resolved", "", "0xelse"))
    assert words.concerns(VenueNoticed("filled", order_id, CONDITION, "t1"))
    assert words.concerns(VenueNoticed("resolved", "", CONDITION))
    assert words.concerns(RewardPaid("0xt", 1, 1))
