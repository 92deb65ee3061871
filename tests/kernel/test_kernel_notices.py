"""What a notice says: which market it is about (LOG-06), and the whole window's result."""

from __future__ import annotations

from polyhost.model.money import ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Side

from .rig import START, Rig


def texts(rig: Rig) -> list[str]:
    return [record.text for record in rig.records if isinstance(record, NoticeRaised)]


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def test_log_06_a_notice_about_a_market_names_it_once() -> None:
    rig = opened()
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "test")))
    rig.refuse(post, "no_match", "no orders found to match")
    (text,) = texts(rig)
    assert text.startswith(f"{rig.market.slug}: The venue refused entry o000001: BUY 57 UP at 0.42 FAK")
    assert text.count(rig.market.slug) == 1


def test_set_01_the_result_counts_the_side_that_was_sold_before_the_end() -> None:
    """UP bought for 23.94 and sold for 56.43, DOWN bought for 23.94 and lost; fees as the venue takes them."""
    rig = opened()
    rig.enter()
    post = rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99"))))
    rig.accept(post)
    exit_order = rig.order(post)
    rig.trade(exit_order, "57", "0.99", "CONFIRMED", maker=True)
    rig.book("0.58/0.60")
    rig.enter(Side.DOWN)
    rig.resolve(Side.UP)
    state = rig.kernel.state
    pnl = sum(close.pnl for close in state.closes)
    assert len(state.closes) == 2
    assert pnl == state.balance("free") + state.balance("unredeemed") + state.balance("deposit")
    assert texts(rig)[-1] == f"{rig.market.slug} settled UP: P&L {pnl / 1e6:.6f}"


def test_a_window_without_a_position_settles_without_a_notice() -> None:
    rig = opened()
    rig.resolve(Side.DOWN)
    assert texts(rig) == []
