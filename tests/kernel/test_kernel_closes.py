"""How positions end: what is recorded of it, what a failed sell leaves, and that a filled exit is not sold twice."""

from __future__ import annotations

from polyhost.kernel.state import fold
from polyhost.model.commands import Prepare
from polyhost.model.events import MarketClosed, PostAnswered, PrepareFailed, RunBegan, StreamChanged, SweepDone
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import ExitNow, ExitTarget
from polyhost.model.records import CloseRecorded
from polyhost.model.words import OrderState, Side

from .rig import CONDITION, START, Rig, cancels, none, only

AT_99 = ExitTarget(Side.UP, ticks("0.99"), "plan")
STOP = ExitNow(Side.UP, "stop at 0.30", "stop")


def holding() -> Rig:
    """57 UP, settled and visible, in the window's second minute."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    return rig


def closes(rig: Rig) -> list[CloseRecorded]:
    return [record for record in rig.records if isinstance(record, CloseRecorded)]


def test_ord_12_a_stop_sells_nothing_of_an_exit_that_has_just_been_filled() -> None:
    """The fill is known only from the order's end: the trade comes later, and the sale must not leave before it."""
    rig = holding()
    resting = rig.order(rig.posted(rig.answer(AT_99)))
    rig.do(_accepted(resting.order_id))
    assert cancels(rig.answer(STOP)) == [resting.order_id]
    none(rig.see(resting, "MATCHED", "57", "UPDATE"), Prepare)
    none(rig.wait(3_000), Prepare)
    rig.trade(resting, "57", "0.99", "CONFIRMED", maker=True)
    none(rig.wait(3_000), Prepare)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert position.size == 0
    assert resting.state is OrderState.CLOSED


def test_ord_12_a_replacement_is_for_what_the_old_exit_left() -> None:
    rig = holding()
    resting = rig.order(rig.posted(rig.answer(AT_99)))
    rig.do(_accepted(resting.order_id))
    rig.wait(2_000)
    assert cancels(rig.answer(ExitTarget(Side.UP, ticks("0.90"), "nearer"))) == [resting.order_id]
    rig.trade(resting, "20", "0.99", "CONFIRMED", maker=True)
    draft = only(rig.canceled(resting, "20"), Prepare).draft
    assert draft.size == micros("37")


def test_pos_08_a_close_whose_sell_failed_says_so_and_stays_tracked_until_the_result() -> None:
    rig = holding()
    draft = only(rig.answer(STOP), Prepare).draft
    rig.do(PrepareFailed(draft.ref, "the signer is away"))
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert (position.size, position.closed) == (micros("57"), False)
    rig.to(rig.market.end + 1_000)
    assert not position.closed, "an ended window is no result"
    assert closes(rig) == []
    rig.resolve(Side.DOWN)
    close = closes(rig)[-1]
    assert close.sell_failed
    assert close.exit_price == 0
    assert position.closed


def test_pos_09_the_end_is_kept_with_the_position_when_the_venue_no_longer_shows_the_market() -> None:
    """The market object is gone after a restart; the deadline of the position is not."""
    rig = holding()
    again = Rig(follow=False)
    again.kernel.restore(rig.records)
    again.now = rig.now
    again.do(RunBegan("run-2", "0.1.0", "sim", "hash", "main"))
    again.do(StreamChanged("user", True, 1))
    again.do(SweepDone("", (), (), True))
    again.do(MarketClosed("0xanother"))
    state = again.kernel.state
    assert state.markets[CONDITION].market.end == rig.market.end
    due = state.obligations[f"{CONDITION}:UP"]
    assert START < due < rig.market.end
    again.balances()
    again.book("0.40/0.42")
    sold = [command for command in again.to(due + 10_000) if isinstance(command, Prepare)]
    assert sold, "closed by its deadline although nobody named the market again"
    assert sold[0].draft.size == micros("57")


def test_pos_13_a_close_stores_prices_fees_duration_reason_and_whether_it_was_forced() -> None:
    rig = holding()
    bought = rig.now
    rig.wait(30_000)
    rig.book("0.28/0.30")
    sale = rig.order(rig.posted(rig.answer(STOP)))
    rig.do(_accepted(sale.order_id, "matched"))
    rig.trade(sale, "57", "0.28", "CONFIRMED")
    (close,) = closes(rig)
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    assert (close.exit_reason, close.forced, close.sell_failed) == ("stop at 0.30", False, False)
    assert close.exit_price == ticks("0.28")
    assert close.entry_price == position.average > ticks("0.42"), "the fee is in the entry price"
    assert close.size == micros("57")
    assert close.opened_at <= bought < bought + 30_000 <= close.at
    assert close.fees == position.fees > 0
    assert close.pnl == position.received - position.paid - position.fees < 0
    assert fold(rig.records).closes == [close]


def _accepted(order_id: str, status: str = "live") -> PostAnswered:
    return PostAnswered(order_id, "accepted", status)
