"""CON-18: every order carries the configured builder code, and what it costs is reserved, charged and kept apart."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from polyhost.kernel.state import fold
from polyhost.model.builder import Builder
from polyhost.model.commands import Ask, Prepare
from polyhost.model.events import MarketFound, RunBegan
from polyhost.model.gateway import OrderDraft
from polyhost.model.money import micros, notional, ticks
from polyhost.model.proposals import Enter, ExitTarget, Pair, QuoteTarget
from polyhost.model.records import FillBooked, MarketChanged, OrderIntended, Record
from polyhost.model.words import Action, Purpose, Side

from .rig import CONDITION, START, Rig, only, window

OURS = Builder("0x" + "ab" * 32, 5_000, 10_000)
OTHER = Builder("0x" + "cd" * 32, 20_000, 30_000)
TAKE = Enter(Side.UP, ticks("0.42"), "test")
REST = Enter(Side.UP, ticks("0.40"), "test", order_type="GTC")


def opened(builder: Builder | None = OURS, *, cash: str = "1000") -> Rig:
    rig = Rig(builder=UNSET if builder is None else builder, cash=cash)
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def fills(rig: Rig) -> list[FillBooked]:
    return [record for record in rig.records if isinstance(record, FillBooked)]


def drafts(records: list[Record]) -> list[OrderDraft]:
    return [record.draft for record in records if isinstance(record, OrderIntended)]


def test_con_18_orders_of_every_purpose_carry_the_code() -> None:
    """Entries at market and resting, exits, quotes and both legs of a pair."""
    rig = opened()
    rig.enter()
    rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.80"), "target")))
    rig.posted(rig.answer(QuoteTarget(Side.DOWN, Action.BUY, ticks("0.50"), micros("20"))))
    resting = opened()
    resting.posted(resting.answer(REST))
    pair = opened()
    pair.book("0.40/0.42")
    pair.posted(pair.answer(Pair(ticks("0.42"), ticks("0.60"), micros("20"), "test", Side.UP)))
    records = rig.records + resting.records + pair.records
    purposes = {record.slot.purpose for record in records if isinstance(record, OrderIntended)}
    assert purposes >= {Purpose.ENTRY, Purpose.EXIT, Purpose.QUOTE, Purpose.LEG}
    assert all(draft.builder == OURS for draft in drafts(records))
    prepared = [c.draft.builder for c in rig.commands + resting.commands + pair.commands if isinstance(c, Prepare)]
    assert len(prepared) == len(drafts(records))
    assert set(prepared) == {OURS}, "what is signed is what is recorded"


def test_con_18_without_a_code_nothing_of_it_is_recorded() -> None:
    rig = opened(None)
    rig.enter()
    assert all(draft.builder is UNSET for draft in drafts(rig.records))
    assert all(fill.builder_fee is UNSET for fill in fills(rig))
    assert rig.kernel.state.builder_paid == {}
    assert not [record for record in rig.records if isinstance(record, MarketChanged) and record.cause == "builder"]


def test_con_18_a_stake_buys_less_and_reserves_what_the_code_costs_too() -> None:
    plain, ours = opened(None), opened()
    small = plain.order(plain.posted(plain.answer(TAKE)))
    order = ours.order(ours.posted(ours.answer(TAKE)))
    assert small.draft.size == micros("57")
    # 25.00 / (0.42 * 1.01 + 0.07 * 0.42 * 0.58) = 56.66 shares, in steps of half a share.
    assert order.draft.size == micros("56.5")
    assert order.reserve == notional(micros("56.5"), ticks("0.42")) + micros("0.96344") + micros("0.2373")
    assert ours.cash("reserved") == order.reserve <= micros("25")


def test_con_18_what_funds_and_limits_allow_counts_the_code() -> None:
    """25.00 in the wallet is 56.5 shares, not 57."""
    rig = opened(cash="25")
    assert rig.order(rig.posted(rig.answer(TAKE, stake="100"))).draft.size == micros("56.5")


def test_con_18_a_taker_pays_both_fees_and_a_maker_the_codes_alone() -> None:
    rig = opened()
    taken = rig.order(rig.posted(rig.answer(TAKE)))
    rig.trade(taken, "20", "0.41")
    # 8.20: market 20 * 0.07 * 0.41 * 0.59 = 0.33866, code 1 % = 0.082.
    assert (fills(rig)[0].fee, fills(rig)[0].builder_fee) == (micros("0.42066"), micros("0.082"))
    assert rig.cash(f"fees:{CONDITION}") == micros("0.42066")
    rig = opened()
    rested = rig.order(rig.posted(rig.answer(REST)))
    rig.trade(rested, "20", "0.40", maker=True)
    assert (fills(rig)[0].fee, fills(rig)[0].builder_fee) == (micros("0.04"), micros("0.04"))
    assert rig.kernel.state.builder_paid == {OURS.code: micros("0.04")}
    assert rig.kernel.state.today.builder_fees == micros("0.04")


def test_con_18_a_trade_that_failed_gives_the_fee_back() -> None:
    rig = opened()
    order = rig.order(rig.posted(rig.answer(TAKE)))
    before = rig.cash() + rig.cash("reserved")
    rig.trade(order, "20", "0.41", trade_id="t1")
    assert rig.kernel.state.builder_paid == {OURS.code: micros("0.082")}
    rig.trade(order, "20", "0.41", "FAILED", trade_id="t1")
    assert rig.kernel.state.builder_paid == {OURS.code: 0}
    assert rig.kernel.state.today.builder_fees == 0
    assert rig.cash() + rig.cash("reserved") == before
    assert rig.cash(f"fees:{CONDITION}") == 0


def test_con_18_plugins_see_the_codes_fees_in_the_markets() -> None:
    fees = opened().ask().view.market.fees
    size = micros("10")
    assert fees.maker(size, ticks("0.50")) == micros("0.025")
    assert fees.taker(size, ticks("0.50")) == micros("0.175") + micros("0.05")
    assert opened(None).ask().view.market.fees.maker(size, ticks("0.50")) == 0


@pytest.mark.parametrize("then", [OTHER, None])
def test_con_18_after_a_restart_with_another_code_old_orders_keep_the_one_they_signed(then: Builder | None) -> None:
    """What rests is charged by its own code; markets and new orders go by the new one, or by none."""
    rig = opened()
    rested = rig.posted(rig.answer(REST))
    rig.accept(rested)
    again = Rig(follow=False, start_at=rig.now)
    again.kernel.restore(rig.records)
    again.builder = UNSET if then is None else then
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main", again.builder))
    (changed,) = [record for record in again.records if isinstance(record, MarketChanged)]
    assert (changed.cause, changed.builder) == ("builder", then)
    assert again.kernel.state.markets[CONDITION].market.fees.builder == again.builder
    again.trade(again.order(rested), "20", "0.40", maker=True)
    assert again.kernel.state.builder_paid == {OURS.code: micros("0.04")}, "what was signed is what is charged"
    assert fills(again)[0].fee == micros("0.04")
    again.do(MarketFound(window(300, start=START + 900_000, condition="0xc1")))
    assert again.kernel.state.markets["0xc1"].market.fees.builder == again.builder
    assert fold(rig.records + again.records) == again.kernel.state


def test_con_18_the_same_code_after_a_restart_changes_nothing() -> None:
    rig = opened()
    again = Rig(follow=False, start_at=rig.now)
    again.kernel.restore(rig.records)
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main", OURS))
    assert not [record for record in again.records if isinstance(record, MarketChanged)]


def test_con_18_a_resting_exit_is_repriced_with_the_code() -> None:
    rig = opened()
    rig.enter()
    rig.accept(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.80"), "target"))))
    view = only(rig.wait(1_000), Ask).view
    assert view.market.fees.builder == OURS
