"""A shadow account's kernel: everything is decided, and an order is told instead of placed (OPS-06)."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.model.commands import Act, Prepare
from polyhost.model.events import (
    BalanceSeen,
    MarketFound,
    Operator,
    PositionsSeen,
    RunBegan,
    StreamChanged,
    SweepDone,
)
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, Pair, QuoteTarget
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Action, Side

from .rig import CONDITION, START, UP, Rig, none
from .test_kernel_adoption import HELD


def watching() -> Rig:
    rig = Rig(settings={"host": {"mode": "shadow"}})
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def told(rig: Rig) -> list[str]:
    return [record.text for record in rig.records if isinstance(record, NoticeRaised) and "Would have" in record.text]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Enter(Side.UP, ticks("0.42"), "cheap"), "Would have placed entry: BUY 22.5 UP at 0.42 FAK [test: cheap]"),
        (QuoteTarget(Side.DOWN, Action.BUY, ticks("0.50"), micros("10")), "Would have placed quote: BUY 10 DOWN at"),
        (Pair(ticks("0.42"), ticks("0.60"), micros("20"), "both", Side.UP), "Would have placed leg: BUY"),
    ],
    ids=["entry", "quote", "pair"],
)
def test_ops_06_a_shadow_account_says_what_it_would_have_done(wish: Any, words: str) -> None:
    rig = watching()
    none(rig.answer(wish, stake="10"), Prepare)
    assert any(words in text for text in told(rig)), told(rig)
    assert rig.kernel.state.orders == {}
    assert rig.kernel.state.pairs == {}
    assert rig.kernel.broken_invariants() == []


def test_ops_06_the_gate_that_kept_the_entry_out_is_shadow_with_the_whole_order() -> None:
    rig = watching()
    rig.answer(Enter(Side.UP, ticks("0.42"), "cheap"), stake="10")
    assert "shadow" in str(rig.kernel.gates(CONDITION))
    assert dict(rig.kernel.blocks())["shadow"] == "the account only watches: nothing is posted"


def test_ops_06_what_is_wrong_with_an_entry_is_told_before_the_shadow_is() -> None:
    rig = watching()
    rig.answer(Enter(Side.UP, ticks("0.42"), "cheap"), stake="0.01")
    assert told(rig) == []


def test_ops_06_a_shadow_account_adopts_sells_and_merges_nothing_of_what_the_wallet_holds() -> None:
    rig = Rig(follow=False, settings={"host": {"mode": "shadow"}}, start_at=START + 60_000)
    rig.held = (HELD,)
    rig.do(RunBegan("run-1", "0.1.0", "shadow", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 1))
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    rig.do(MarketFound(rig.market))
    rig.book("0.40/0.42")
    rig.do(PositionsSeen((HELD,), True, begun=rig.now))
    assert list(rig.kernel.state.foreign) == [UP]
    assert rig.kernel.state.positions == {}
    sent = [*rig.answer(ExitNow(Side.UP, "stop")), *rig.do(Operator("merge", "", "ann")),
            *rig.do(Operator("close", "", "ann"))]
    assert not [each for each in sent if isinstance(each, Prepare | Act)]
