"""ORD-03: what one order reserves no other can spend, whoever wants it and whatever the venue's balance says."""

from __future__ import annotations

from polyhost.model.commands import Prepare
from polyhost.model.events import BalanceSeen
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter
from polyhost.model.words import Side

from .rig import START, Rig, none, only


def rested(cash: str) -> Rig:
    """A run with this much cash, of which a resting entry has reserved its worst cost."""
    rig = Rig(cash=cash)
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.accept(rig.posted(rig.answer(Enter(Side.UP, ticks("0.41"), "rests", order_type="GTC"), stake="8")))
    assert rig.cash("reserved") > micros("7.9")
    return rig


def test_ord_03_what_an_order_reserves_is_not_spent_a_second_time() -> None:
    rig = rested("12")
    free = rig.cash()
    draft = only(rig.answer(Enter(Side.DOWN, ticks("0.60"), "the other side"), stake="8"), Prepare).draft
    # 12.00 less what rests leaves about 4, fee included: never the whole stake of 8.
    assert micros("3.5") < draft.size * draft.price // 10_000 < free < micros("4.1")
    assert rig.cash() >= 0
    assert rig.cash() + rig.cash("reserved") == micros("12")


def test_ord_03_with_enough_beside_the_reservation_the_second_entry_leaves_whole() -> None:
    rig = rested("20")
    draft = only(rig.answer(Enter(Side.DOWN, ticks("0.60"), "the other side"), stake="8"), Prepare).draft
    assert draft.size >= micros("12")
    assert rig.cash() >= 0


def test_ord_03_the_venues_lower_balance_counts_less_what_is_reserved() -> None:
    """The ledger says 12 are left, the venue shows 10 in all, of which 8 are reserved: nothing for another entry."""
    rig = rested("20")
    rig.balance = micros("10")
    rig.do(BalanceSeen(rig.balance, True))
    none(rig.answer(Enter(Side.DOWN, ticks("0.60"), "the other side"), stake="8"), Prepare)
