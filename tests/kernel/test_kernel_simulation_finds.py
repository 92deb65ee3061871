"""What simulations found in the kernel: each test is one seed's story, told in a few lines."""

from __future__ import annotations

from polyhost.model.commands import Cancel, Post, Prepare
from polyhost.model.events import PostAnswered, TokenBalanceSeen
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, ExitNow, ExitTarget
from polyhost.model.words import OrderState, OrderType, Purpose, Side

from .rig import CONDITION, START, UP, Rig, none, only

AT_99 = ExitTarget(Side.UP, ticks("0.99"))


def opened() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def test_u8_a_target_sell_of_unknown_fate_does_not_keep_new_shares_uncovered() -> None:
    """After a restart one exit was unknown for minutes, and 30 shares bought since rested nowhere."""
    rig = opened()
    first = rig.enter()
    unknown = rig.order(rig.posted(rig.answer(AT_99)))
    sent = rig.do(PostAnswered(unknown.order_id, "unknown", text="timeout"))
    assert unknown.state is OrderState.UNKNOWN
    assert only(sent, Cancel).order_id == unknown.order_id
    rig.balance -= 10 * 1_000_000
    rig.wait(2_000)
    more = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "more", purpose=Purpose.SCALE_IN), stake="10"))
    added = rig.order(more)
    rig.accept(more, "matched")
    rig.fill(added)
    assert unknown.state is OrderState.UNKNOWN
    placed = rig.order(rig.posted(rig.answer(AT_99)))
    assert placed.draft.size == added.draft.size
    assert placed.draft.size + unknown.open_upper <= first.draft.size + added.draft.size
    assert placed.draft.size > micros("5")


def test_t8_a_second_sale_waits_for_its_own_proof_not_for_that_of_the_first() -> None:
    """The first sale ended with a rest below the minimum; after more was bought the next one sold beside its own cancel
    at once, because the first one's wait still counted."""
    rig = opened()
    rig.enter()
    resting = rig.posted(rig.answer(AT_99))
    rig.accept(resting)
    first = rig.order(resting)
    rig.answer(ExitNow(Side.UP, "stop"))
    assert first.state is OrderState.CANCELLING
    rig.trade(first, "56.5", "0.99", "CONFIRMED", maker=True)
    rig.see(first, "CANCELED", "56.5", "CANCELLATION")
    position = rig.kernel.state.position(first.slot.condition_id, Side.UP)
    assert position is not None
    rig.balances()
    rig.wait(2_000)
    assert position.held == "minimum"
    rig.book("0.40/0.42")
    more = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "more", purpose=Purpose.SCALE_IN), stake="10"))
    rig.accept(more, "matched")
    rig.fill(rig.order(more))
    again = rig.posted(rig.answer(AT_99))
    rig.accept(again)
    sent = rig.answer(ExitNow(Side.UP, "stop"))
    assert only(sent, Cancel).order_id == again.request.order_id
    none(sent, Prepare)
    none(rig.wait(499), Prepare)
    assert [c for c in rig.wait(2) if isinstance(c, Prepare)]


def test_t8_an_exit_that_is_not_sent_yet_never_leaves_beside_a_sale_of_everything() -> None:
    """A second exit waited for its signature while everything was sold at market; then it was posted all the same."""
    rig = opened()
    rig.enter()
    resting = rig.posted(rig.answer(AT_99))
    rig.accept(resting)
    more = rig.posted(rig.answer(Enter(Side.UP, ticks("0.42"), "more", purpose=Purpose.SCALE_IN), AT_99, stake="10"))
    rig.accept(more, "matched")
    rig.fill(rig.order(more))
    growing = [c for c in rig.commands if isinstance(c, Prepare)][-1].draft
    assert growing.order_type is OrderType.GTC
    rig.answer(ExitNow(Side.UP, "stop"))
    rig.wait(600)
    rig.book("0.40/0.42")
    sales = [c.draft for c in [*rig.commands, *rig.wait(500)] if isinstance(c, Prepare) and c.draft.ref > growing.ref]
    assert sales
    none(rig.sign(growing), Post)
    assert rig.kernel.state.orders[growing.ref].state is OrderState.CLOSED


def test_t3_a_sell_whose_shares_went_while_it_was_signed_is_never_sent() -> None:
    """The cancelled exit had matched half, told while the sale of everything was being signed."""
    rig = opened()
    rig.enter()
    resting = rig.posted(rig.answer(AT_99))
    rig.accept(resting)
    first = rig.order(resting)
    rig.answer(ExitNow(Side.UP, "stop"))
    rig.book("0.40/0.42")
    sale = only(rig.wait(600), Prepare).draft
    assert sale.size == first.draft.size
    rig.trade(first, "20", "0.99", "CONFIRMED", maker=True)
    rig.see(first, "CANCELED", "20", "CANCELLATION")
    none(rig.sign(sale), Post)
    rig.book("0.40/0.42")
    left = [c.draft for c in rig.wait(500) if isinstance(c, Prepare)]
    assert [draft.size for draft in left[:1]] == [first.draft.size - micros("20")]


def test_t3_a_sell_is_judged_again_when_it_leaves_by_what_others_sold_meanwhile() -> None:
    """Seed 19: beside an unknown sell another was signed (U8); the first one's match was told before that had left."""
    rig = opened()
    rig.enter()
    rig.to(rig.market.end - 125_000)
    rig.book("0.40/0.42")
    first = rig.order(rig.posted(rig.answer(ExitNow(Side.UP, "stop"))))
    rig.wait(1_999)
    assert first.state is OrderState.UNKNOWN
    draft = only(rig.wait(1), Prepare).draft
    assert draft.size == first.draft.size, "so near to the obligation the unknown one does not count"
    rig.see(first, "LIVE", "20")
    none(rig.sign(draft), Post)
    assert rig.kernel.state.orders[draft.ref].cause == "never_sent"


def test_t8_each_resting_exit_has_half_a_second_from_its_own_cancel() -> None:
    """Seed 39: a second exit was still on its way when the first was cancelled; its own proof was waited 440 ms for."""
    rig = opened()
    rig.enter()
    rig.balances(size="20")
    rig.accept(rig.posted(rig.answer(AT_99)))
    position = rig.kernel.state.position(CONDITION, Side.UP)
    assert position is not None
    late = rig.posted(rig.do(TokenBalanceSeen(UP, position.size)))
    rig.wait(100)
    sent = rig.answer(ExitNow(Side.UP, "stop"))
    assert only(sent, Cancel).order_id != late.request.order_id
    rig.wait(200)
    assert only(rig.accept(late), Cancel).order_id == late.request.order_id
    rig.book("0.40/0.42")
    none(rig.wait(499), Prepare)
    assert [c for c in rig.wait(2) if isinstance(c, Prepare)]


def test_t6_a_small_rest_at_an_old_price_does_not_keep_the_other_shares_from_being_covered() -> None:
    """2 shares rested at the first target's price; 57 bought after it lay bare, because 2 alone could not be placed
    again (simulation, seed 6059)."""
    rig = opened()
    rig.enter()
    resting = rig.posted(rig.answer(AT_99))
    rig.accept(resting)
    first = rig.order(resting)
    left = micros("2")
    rig.trade(first, str((first.draft.size - left) / 1_000_000), "0.99", "CONFIRMED", maker=True)
    rig.see(first, "LIVE", str((first.draft.size - left) / 1_000_000))
    rig.balances()
    assert first.open_upper == left
    lower = ExitTarget(Side.UP, ticks("0.90"))
    none(rig.answer(lower), Cancel, Prepare)  # T6: it alone could not be placed again
    wish = Enter(Side.UP, ticks("0.42"), "more", purpose=Purpose.SCALE_IN)
    more = rig.posted(rig.answer(lower, wish, stake="10"))
    rig.accept(more, "matched")
    added = rig.order(more)
    rig.fill(added)
    rig.wait(1_000)
    assert first.state is OrderState.CANCELLING
    rig.see(first, "CANCELED", str((first.draft.size - left) / 1_000_000), "CANCELLATION")
    placed = rig.commands[-1]
    assert isinstance(placed, Prepare)
    assert (placed.draft.price, placed.draft.size) == (ticks("0.90"), left + added.draft.size)
