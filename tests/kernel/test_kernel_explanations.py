"""EVD-03: what became of every entry that a plugin wanted, one row each, and what an order keeps of how it shrank."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from polyhost.lab.sim_explained import unexplained
from polyhost.model.commands import Analyse, Ask, Command
from polyhost.model.events import Candidate, Evaluated, Lost, Operator, Proposed
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, Pair, Skip
from polyhost.model.step import Step
from polyhost.model.words import Purpose, Side

from .rig import CONDITION, START, Rig

BUY_UP = Enter(Side.UP, ticks("0.42"), "cheap")
GUARDS = (("guard", "too many"), ("other", "not now"))


def opened(**options: Any) -> Rig:
    rig = Rig(**options)
    rig.kernel.explain = True
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def rows(commands: list[Command]) -> list[dict[str, Any]]:
    return [c.row for c in commands if isinstance(c, Analyse) and c.table == "explanations"]


def answered(rig: Rig, *candidates: Candidate, ask: Ask | None = None) -> list[Command]:
    view = (ask or rig.ask()).view
    event = Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id, trading="c", candidates=candidates
    )
    before = len(rig.records)
    commands = rig.do(event)
    assert unexplained(event, Step(rig.records[before:], commands)) == ""
    return commands


def wanted(entry: Enter | Pair = BUY_UP, *, stake: str | None = "25", **more: Any) -> Candidate:
    return Candidate(Proposed("test", entry), None if stake is None else micros(stake), "sizer", **more)


def test_evd_03_an_order_a_veto_and_a_refusal_are_told_with_who_and_why() -> None:
    rig = opened()
    (order,) = rows(answered(rig, wanted()))
    assert (order["outcome"], order["order"], order["by"], order["gate"]) == ("order", "o000001", "sizer", "")
    assert (order["plugin"], order["purpose"], order["side"], order["price_max"]) == ("test", "entry", "UP", 4_200)
    (again,) = rows(answered(rig, wanted()))
    assert (again["outcome"], again["gate"], again["by"], again["order"]) == ("refused", "slot", "host", "")
    assert again["text"] == "an entry is in flight"
    other = structs.replace(BUY_UP, side=Side.DOWN, price_max=ticks("0.60"))
    (vetoed,) = rows(answered(rig, wanted(other, vetoes=GUARDS)))
    assert (vetoed["outcome"], vetoed["by"], vetoed["text"]) == ("veto", "guard", "guard: too many")
    assert vetoed["vetoes"] == ("guard: too many", "other: not now")


def test_evd_03_a_veto_is_named_even_where_another_gate_came_first() -> None:
    rig = opened()
    rig.do(Operator("pause", "", "me"))
    (row,) = rows(answered(rig, wanted(vetoes=GUARDS)))
    assert (row["outcome"], row["by"], len(row["vetoes"])) == ("refused", "host", 2)
    assert row["gate"] not in ("", "veto")


def test_evd_03_entries_that_lost_to_another_one_are_told_with_the_winner() -> None:
    rig = opened()
    losers = (
        Lost("shy", structs.replace(BUY_UP, price_max=ticks("0.43"), stake=micros("9")), "merged"),
        Lost("bear", Enter(Side.DOWN, ticks("0.60"), "falls"), "outbid"),
    )
    won, merged, outbid = rows(answered(rig, wanted(lost=losers)))
    assert (won["plugin"], won["outcome"]) == ("test", "order")
    assert (merged["plugin"], merged["outcome"], merged["by"], merged["stake"]) == ("shy", "merged", "test", 9_000_000)
    assert (outbid["plugin"], outbid["outcome"], outbid["by"], outbid["text"]) == ("bear", "outbid", "test", "falls")
    why = rig.kernel.state.orders["o000001"].why
    assert (why["merged"], why["outbid"]) == ("shy", "bear")


def test_evd_03_stale_and_late_answers_are_explained_too() -> None:
    rig = opened()
    old = rig.ask()
    stale = structs.replace(old.view, state_rev=old.view.state_rev - 1)
    (row,) = rows(answered(rig, wanted(), ask=Ask(stale)))
    assert (row["outcome"], row["gate"]) == ("stale", "stale_answer")
    asked = rig.ask()
    rig.wait(1_001)
    (row,) = rows(answered(rig, wanted(), ask=asked))
    assert (row["outcome"], row["gate"], row["text"]) == ("late", "late_answer", "the answer came too late")
    asked = rig.ask()
    rig.to(rig.market.end + 1_000)
    rig.resolve(Side.UP)
    (row,) = rows(answered(rig, wanted(), ask=asked))
    assert (row["outcome"], row["gate"], row["slug"]) == ("late", "market_over", rig.market.slug)


def test_evd_03_a_pair_is_one_entry_with_the_order_of_its_first_leg() -> None:
    rig = opened()
    pair = Pair(ticks("0.42"), ticks("0.60"), micros("20"), "cheap", Side.UP)
    (row,) = rows(answered(rig, wanted(pair, stake="20")))
    assert (row["purpose"], row["side"], row["price_max"], row["order"]) == ("leg", "UP", None, "o000001")
    assert rig.kernel.state.orders["o000001"].slot.purpose is Purpose.LEG


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda found: found[:-1], "without an explanation"),
        (lambda found: [*found, found[0]], "explained and not wanted"),
        (lambda found: [structs.replace(found[0], row=found[0].row | {"order": "o000077"})], "orders that are none"),
        (lambda found: [structs.replace(found[0], row=found[0].row | {"outcome": "late"})], "that nobody wanted"),
    ],
)
def test_evd_03_the_check_sees_what_is_missing_twice_or_made_up(broken: Any, said: str) -> None:
    rig = opened()
    view = rig.ask().view
    event = Evaluated(view.view_seq, view.book_epoch, view.state_rev, CONDITION, trading="c", candidates=(wanted(),))
    before = len(rig.records)
    commands = rig.do(event)
    found = [c for c in commands if isinstance(c, Analyse)]
    assert unexplained(event, Step(rig.records[before:], list(found))) == ""
    assert said in unexplained(event, Step(rig.records[before:], broken(found)))


def test_evd_03_an_order_keeps_what_was_wanted_and_what_reduced_it() -> None:
    """40.00 were wanted of three sizers, 30.00 are allowed in the window, and the book offers a few shares."""
    rig = opened(settings={"limits": {"window": "30"}})
    rig.book("0.40/0.42", "12")
    stakes = (("careful", micros("40")), ("bold", micros("50")))
    answered(rig, wanted(structs.replace(BUY_UP, price_max=ticks("0.425")), stake="40", stakes=stakes))
    why = rig.kernel.state.orders["o000001"].why
    assert why["stakes"] == "careful 40.000000, bold 50.000000"
    assert (why["stake"], why["stake_wanted"]) == ("30.000000", "40.000000, reduced by limit_window")
    assert why["size_wanted"] == "68.5, reduced by depth: 12 of 12 near 0.42"
    assert (why["limited"], why["price_wanted"]) == ("depth: 12 of 12 near 0.42", "0.425")
    plain = opened()
    answered(plain, wanted())
    assert not {"stakes", "stake_wanted", "size_wanted", "price_wanted"} & set(plain.kernel.state.orders["o000001"].why)


def test_evd_03_an_evaluation_tells_what_its_gate_compared() -> None:
    rig = opened()
    rig.kernel.analyse = True
    view = rig.ask().view
    skipped = Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, CONDITION, trading="c",
        proposals=(Proposed("policy", Skip("low_edge", {"edge": 0.0113, "edge_min": 0.02})),),
    )
    (row,) = [c.row for c in rig.do(skipped) if isinstance(c, Analyse) and c.table == "evaluations"]
    assert (row["gate"], row["gate_text"]) == ("policy: low_edge", "edge 0.0113, edge_min 0.02")
    refused = rig.answer(BUY_UP, vetoes=GUARDS)
    (row,) = [c.row for c in refused if isinstance(c, Analyse) and c.table == "evaluations"]
    assert (row["gate"], row["gate_text"]) == ("veto", "guard: too many")
    taken = rig.answer(BUY_UP)
    (row,) = [c.row for c in taken if isinstance(c, Analyse) and c.table == "evaluations"]
    assert (row["gate"], row["gate_text"]) == ("", "")
