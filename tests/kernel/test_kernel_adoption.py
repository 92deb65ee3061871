"""What the wallet holds when the host starts: adopted, settled, or named as foreign (POS-04, OPS-06)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from polyhost.kernel.entries import exposure
from polyhost.kernel.state import PositionEntry, fold
from polyhost.model.commands import FindMarket, Follow, Prepare, QueryPositions, QueryResult, QueryTokenBalance
from polyhost.model.events import (
    BalanceSeen,
    MarketFound,
    MarketResolved,
    PositionsSeen,
    QueryFailed,
    RunBegan,
    StreamChanged,
    SweepDone,
    TokenBalanceSeen,
)
from polyhost.model.gateway import PositionRow
from polyhost.model.market import Market
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.records import ForeignSeen, LedgerPosted, NoticeRaised, ObligationSet, PositionAdopted
from polyhost.model.words import Action, Side

from .rig import CONDITION, DOWN, START, UP, Rig, none, only, window

BUY_UP = Enter(Side.UP, ticks("0.42"), "test")
BUY_DOWN = Enter(Side.DOWN, ticks("0.60"), "test")
HELD = PositionRow(UP, CONDITION, micros("30"), ticks("0.40"), micros("0.12"), "btc-updown-15m-1800000000")


def started(*rows: PositionRow, settings: dict[str, Any] | None = None, market: Market | None = None) -> Rig:
    """A host on an empty journal, whose wallet holds these; discovery has found nothing yet."""
    rig = Rig(follow=False, settings=settings, market=market, start_at=START + 60_000)
    rig.held = rows
    rig.do(RunBegan("run-1", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(StreamChanged("user", True, 1))
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    return rig


def position(rig: Rig, side: Side = Side.UP) -> PositionEntry | None:
    return rig.kernel.state.position(CONDITION, side)


def foreign(rig: Rig) -> list[tuple[str, str]]:
    return [(r.token_id, r.reason) for r in rig.records if isinstance(r, ForeignSeen) and r.size]


def blocked(rig: Rig) -> bool:
    return "adopting" in dict(rig.kernel.blocks())


# --- adopting ---------------------------------------------------------------------------------------------------------


def test_pos_04_a_position_we_do_not_know_is_adopted_with_obligation_exits_and_cost() -> None:
    rig = started(HELD)
    assert only(rig.commands, FindMarket).condition_id == CONDITION, "its market must be looked up first"
    assert blocked(rig), "entries wait"
    found = rig.do(MarketFound(rig.market))
    only(found, Follow)
    assert only(found, QueryTokenBalance).token_id == UP
    assert position(rig) is None, "two witnesses: the positions and the balance"
    rig.do(TokenBalanceSeen(UP, HELD.size))
    held = position(rig)
    assert held is not None
    assert (held.size, held.settled, held.cost, held.adopted) == (
        micros("30"), micros("30"), micros("12.12"), micros("30")
    )
    assert [r.due for r in rig.records if isinstance(r, ObligationSet)] == [rig.market.end - 120_000]
    assert rig.kernel.broken_invariants() == []
    assert fold(rig.records) == rig.kernel.state
    assert not blocked(rig)
    rig.book("0.40/0.42")
    sell = only(rig.answer(ExitTarget(Side.UP, ticks("0.60"))), Prepare).draft
    assert (sell.action, sell.size, sell.token_id) == (Action.SELL, micros("30"), UP)
    assert len([r for r in rig.records if isinstance(r, NoticeRaised) and "before us" in r.text]) == 1


def test_pos_04_an_adopted_position_is_closed_by_its_deadline_and_paid_like_any_other() -> None:
    rig = started(HELD)
    rig.do(MarketFound(rig.market))
    rig.do(TokenBalanceSeen(UP, HELD.size))
    rig.to(rig.market.end - 100_000)
    held = position(rig)
    data = rig.kernel.data(CONDITION)
    assert held is not None
    assert data is not None
    assert data.exit(Side.UP).forced
    rig.to(rig.market.end + 10_000)
    rig.resolve(Side.UP)
    assert rig.cash("unredeemed") == micros("30")
    assert held.pnl == micros("30") - micros("12.12")
    assert rig.kernel.broken_invariants() == []


def test_pos_04_an_adopted_position_in_an_ended_market_is_settled() -> None:
    """It closed while nobody was there, and is not decided yet: it is followed past its end."""
    rig = started(HELD, market=window(start=START - 900_000))
    assert rig.now > rig.market.end
    rig.do(MarketFound(rig.market))
    rig.do(TokenBalanceSeen(UP, HELD.size))
    assert position(rig) is not None
    assert any(isinstance(c, QueryResult) for c in rig.wait(5_000)), "POS-05: no price, an ended market"
    rig.resolve(Side.DOWN)
    assert rig.cash("unredeemed") == 0
    assert rig.kernel.broken_invariants() == []


def test_pos_04_a_second_start_adopts_nothing_twice() -> None:
    rig = started(HELD)
    rig.do(MarketFound(rig.market))
    rig.do(TokenBalanceSeen(UP, HELD.size))
    before = len(rig.records)
    again = Rig(follow=False, start_at=rig.now + 5_000)
    again.kernel.restore(rig.records)
    again.held = (HELD,)
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    again.do(StreamChanged("user", True, 1))
    again.do(SweepDone("", (), (), True, begun=again.now))
    again.do(TokenBalanceSeen(UP, HELD.size))
    again.wait(60_000)
    assert not any(isinstance(r, PositionAdopted | ForeignSeen) for r in again.records)
    assert not blocked(again)
    assert sum(isinstance(r, PositionAdopted) for r in rig.records[:before]) == 1


def test_pos_04_a_balance_that_says_otherwise_is_not_adopted() -> None:
    """The venue's count lags: it shows what was sold a minute ago."""
    rig = started(HELD)
    rig.do(MarketFound(rig.market))
    rig.do(TokenBalanceSeen(UP, 0))
    assert blocked(rig)
    rig.wait(20_000)
    assert foreign(rig) == [(UP, "its balance says otherwise")]
    assert position(rig) is None
    assert not blocked(rig)


def test_pos_04_what_an_order_of_ours_may_have_bought_is_never_adopted() -> None:
    """Posted, then the host died: the fill is found by its trade, and is not counted twice."""
    first = Rig()
    first.to(START + 60_000)
    first.book("0.40/0.42")
    post = first.posted(first.answer(BUY_UP))
    again = Rig(follow=False, start_at=first.now + 5_000)
    again.kernel.restore(first.records)
    size = first.order(post).draft.size
    again.held = (structs.replace(HELD, size=size),)
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    again.do(BalanceSeen(again.balance, True))
    again.do(StreamChanged("user", True, 1))
    again.do(SweepDone("", (), (), True, begun=again.now))
    again.do(TokenBalanceSeen(UP, size))
    assert position(again) is None
    assert foreign(again) == []
    again.trade(again.order(post), f"{size / 1e6}", "0.42", "CONFIRMED")
    held = position(again)
    assert held is not None
    assert (held.size, held.adopted) == (size, 0)


def test_pos_04_entries_wait_until_the_trades_are_compared_and_the_positions_are_whole() -> None:
    rig = Rig(follow=False, start_at=START + 60_000)
    rig.held = None
    rig.do(RunBegan("run-1", "0.1.0", "sim", "hash", "main"))
    rig.do(BalanceSeen(rig.balance, True))
    rig.do(MarketFound(rig.market))
    asked = only(rig.commands, QueryPositions)
    rig.do(QueryFailed("positions", "", "away"))
    rig.do(PositionsSeen((), False, "a page was missing", asked.begun))
    assert blocked(rig)
    assert any(isinstance(c, QueryPositions) for c in rig.wait(5_000)), "asked again"
    rig.do(PositionsSeen((), True, begun=rig.now))
    assert blocked(rig), "the trades are not compared yet"
    rig.do(StreamChanged("user", True, 1))
    rig.do(SweepDone("", (), (), True, begun=rig.now))
    assert rig.kernel.blocks() == []
    rig.book("0.40/0.42")
    only(rig.answer(BUY_UP), Prepare)


# --- foreign ----------------------------------------------------------------------------------------------------------


def test_ops_06_what_is_elsewhere_is_foreign_told_once_and_counted_in_exposure() -> None:
    elsewhere = structs.replace(HELD, token_id="900", condition_id="0xelse", slug="will-it-rain", fees=0)
    rig = started(elsewhere)
    assert only(rig.commands, FindMarket).slug == "will-it-rain"
    rain = structs.replace(window(), condition_id="0xelse", slug="will-it-rain", up="900", down="901", symbol="",
                           start=None, duration_s=0)
    rig.do(MarketFound(rain))
    assert foreign(rig) == [("900", "not in a market of the configured series")]
    assert "0xelse" not in rig.kernel.state.markets
    assert not blocked(rig)
    rig.do(MarketFound(rig.market))
    assert exposure(rig.kernel._core, rig.market) == (0, 0, micros("12"))
    for _ in range(3):
        rig.do(PositionsSeen((elsewhere,), True, begun=rig.now))
    assert len(foreign(rig)) == 1
    assert len([r for r in rig.records if isinstance(r, NoticeRaised) and "not ours" in r.text]) == 1
    rig.do(PositionsSeen((), True, begun=rig.now))
    assert rig.kernel.state.foreign == {}
    assert exposure(rig.kernel._core, rig.market) == (0, 0, 0)


def test_ops_06_what_appears_while_the_host_runs_is_foreign_and_limits_count_it() -> None:
    rig = started(settings={"limits": {"window": "20"}})
    rig.do(MarketFound(rig.market))
    rig.book("0.40/0.42")
    rig.do(PositionsSeen((structs.replace(HELD, token_id=DOWN, average=ticks("0.60")),), True, begun=rig.now))
    assert foreign(rig) == [(DOWN, "appeared while the host was running")]
    assert position(rig, Side.DOWN) is None
    none(rig.answer(BUY_UP, stake="3"), Prepare)
    assert "limit_window" in str(rig.kernel.gates(CONDITION)) or "minimum" in str(rig.kernel.gates(CONDITION))
    rig.do(TokenBalanceSeen(DOWN, HELD.size))
    assert position(rig, Side.DOWN) is None, "never managed"


def test_pos_04_without_the_setting_nothing_is_adopted() -> None:
    rig = started(HELD, settings={"safety": {"adopt": False}})
    assert foreign(rig) == [(UP, "not to be adopted by setting")]
    none(rig.commands, FindMarket)
    assert not blocked(rig)


@pytest.mark.parametrize("row", [structs.replace(HELD, resolved=True), structs.replace(HELD, size=0)])
def test_pos_04_what_is_decided_or_gone_is_neither_adopted_nor_foreign(row: PositionRow) -> None:
    rig = started(row)
    assert foreign(rig) == []
    none(rig.commands, FindMarket)
    assert not blocked(rig)


def test_pos_04_a_token_that_was_tracked_and_settled_is_left_alone() -> None:
    """P: ghosts of settled positions were adopted again and again."""
    first = Rig()
    first.to(START + 60_000)
    first.book("0.40/0.42")
    first.enter()
    first.to(first.market.end + 1_000)
    first.resolve(Side.UP)
    ghost = Rig(follow=False, start_at=first.now + 5_000)
    ghost.kernel.restore(first.records)
    ghost.held = (structs.replace(HELD, size=micros("57")),)
    ghost.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    ghost.do(StreamChanged("user", True, 1))
    ghost.do(SweepDone("", (), (), True, begun=ghost.now))
    assert not any(isinstance(r, PositionAdopted | ForeignSeen | LedgerPosted) for r in ghost.records)
    assert not blocked(ghost)


def test_pos_04_a_market_that_is_not_found_holds_entries_up_for_a_few_looks_only() -> None:
    rig = started(HELD)
    rig.do(QueryFailed("market", CONDITION, "no such slug"))
    rig.wait(14_000)
    rig.do(BalanceSeen(rig.balance, True))
    assert len([c for c in rig.commands if isinstance(c, FindMarket)]) == 5
    rig.wait(3_000)
    assert foreign(rig) == [(UP, "its market was not found")]
    assert not blocked(rig)


def test_pos_04_a_position_closed_while_the_host_was_away_is_settled_at_the_next_start() -> None:
    """POS-09: the journal has the market's end; nobody lists the market any more."""
    first = Rig()
    first.to(START + 60_000)
    first.book("0.40/0.42")
    first.enter()
    again = Rig(follow=False, start_at=first.market.end + 3_600_000)
    again.kernel.restore(first.records)
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    asked = only(again.wait(10_000), QueryResult)
    assert asked.slug == first.market.slug
    again.do(MarketResolved(CONDITION, Side.UP, "gamma"))
    held = position(again)
    assert held is not None
    assert held.closed
    assert again.cash("unredeemed") == held.bought
    assert again.kernel.broken_invariants() == []
