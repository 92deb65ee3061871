"""An exit that was moved for rewards never takes (REW-02): what its plugin saw may be a moment old."""

from __future__ import annotations

from polyhost.model.commands import Cancel, Prepare
from polyhost.model.money import ticks
from polyhost.model.proposals import ExitTarget
from polyhost.model.words import Side

from .rig import START, Rig, none, only


def holding() -> Rig:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    return rig


def target(price: str, *, passive: bool) -> ExitTarget:
    return ExitTarget(Side.UP, ticks(price), "moved", passive=passive)


def test_rew_02_a_passive_exit_is_placed_a_tick_above_a_bid_that_came_nearer() -> None:
    for bid, price, rests in (("0.44/0.46", "0.45", "0.45"), ("0.45/0.46", "0.45", "0.46"), ("0.99/", "0.45", "0.99")):
        rig = holding()
        ask = rig.ask()
        rig.book(bid)
        draft = only(rig.reply(ask, target(price, passive=True)), Prepare).draft
        assert rig.kernel.state.orders[draft.ref].why["reason"] == "moved", "why the order is where it is"
        assert draft.price == ticks(rests), bid
        assert not draft.post_only, "T9: exits are never post-only"


def test_rew_02_an_exit_that_is_not_passive_rests_where_its_owner_wants_it_whatever_the_bid() -> None:
    rig = holding()
    ask = rig.ask()
    rig.book("0.45/0.46")
    assert only(rig.reply(ask, target("0.45", passive=False)), Prepare).draft.price == ticks("0.45")


def test_rew_02_a_bid_that_comes_near_moves_nothing_that_rests() -> None:
    rig = holding()
    rig.accept(rig.posted(rig.answer(target("0.45", passive=True))))
    rig.book("0.45/0.46")
    for _ in range(3):
        none(rig.answer(target("0.45", passive=True)), Cancel, Prepare)
