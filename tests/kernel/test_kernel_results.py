"""Markets that have ended are asked for their result until there is one (POS-05, POS-09)."""

from __future__ import annotations

from itertools import pairwise

from polyhost.kernel.settlement import RESULT_STEPS_MS
from polyhost.model.commands import QueryResult
from polyhost.model.records import CloseRecorded, NoticeRaised
from polyhost.model.words import Side

from .rig import CONDITION, START, Rig


def ended(*, holding: bool = True) -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.95/0.97")
    if holding:
        rig.enter(price="0.97")
    rig.to(rig.market.end)
    return rig


def asked(rig: Rig, ms: int) -> list[int]:
    """When the result was asked for, ms after the market's end."""
    times = []
    end = rig.now + ms
    while rig.now < end:
        times += [rig.now - rig.market.end for c in rig.wait(1_000) if isinstance(c, QueryResult)]
    return times


def test_pos_05_a_market_that_holds_a_position_is_asked_for_after_three_cycles_without_a_price() -> None:
    assert asked(ended(), 10_000)[:1] == [3_000]
    assert asked(ended(holding=False), 31_000) == [30_000]


def test_pos_05_a_result_that_does_not_come_is_asked_for_ever_with_growing_pauses() -> None:
    rig = ended()
    times = asked(rig, 4 * 3_600_000)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[: len(RESULT_STEPS_MS)] == list(RESULT_STEPS_MS)
    assert set(pauses[len(RESULT_STEPS_MS) :]) == {600_000}
    assert rig.now - rig.market.end - times[-1] <= 600_000, "it never stops"


def test_pos_05_it_is_told_after_half_an_hour_and_ends_with_the_result() -> None:
    rig = ended()
    told = [r for r in rig.records if isinstance(r, NoticeRaised) and "No result" in r.text]
    assert told == []
    asked(rig, 1_700_000)
    assert [r for r in rig.records if isinstance(r, NoticeRaised) and "No result" in r.text] == []
    asked(rig, 900_000)
    assert [r for r in rig.records if isinstance(r, NoticeRaised) and "No result" in r.text]
    rig.resolve(Side.UP)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.closed
    assert any(isinstance(r, CloseRecorded) for r in rig.records)
    assert asked(rig, 1_300_000) == []


def test_pos_05_a_market_without_a_position_is_not_worth_a_word() -> None:
    rig = ended(holding=False)
    asked(rig, 2_700_000)
    assert not [r for r in rig.records if isinstance(r, NoticeRaised) and "No result" in r.text]
