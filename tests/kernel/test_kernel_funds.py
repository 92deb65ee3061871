"""SET-01, SET-04: where the money is, why little is free, and what is said when some comes back."""

from __future__ import annotations

from polyhost.kernel.funds import LOW, explained, funds_of
from polyhost.model.events import ActionAnswered, Operator
from polyhost.model.money import micros, money_text, ticks
from polyhost.model.proposals import Enter
from polyhost.model.records import NoticeRaised
from polyhost.model.words import Side

from .rig import START, Rig


def opened(cash: str = "1000") -> Rig:
    rig = Rig(cash=cash)
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    return rig


def notices(rig: Rig) -> list[str]:
    return [record.text for record in rig.records if isinstance(record, NoticeRaised)]


def test_set_04_free_in_orders_in_positions_and_unredeemed_are_all_there_is() -> None:
    rig = opened()
    post = rig.posted(rig.answer(Enter(Side.UP, ticks("0.40"), "rests", order_type="GTC")))
    rig.accept(post)
    rig.trade(rig.order(post), "10", "0.40", "CONFIRMED", maker=True)
    funds = funds_of(rig.kernel.state)
    assert funds.in_orders > 0 < funds.in_positions
    assert funds.free + funds.in_orders + funds.in_positions == micros("1000")
    assert (funds.low, explained(funds)) == (False, "")
    assert [release.command for release in funds.releases] == [""], "the buy that rests"


def test_set_04_a_low_balance_is_explained_with_what_is_tied_up_and_what_gives_it_back() -> None:
    rig = opened("30")
    rig.enter()
    state = rig.kernel.state
    funds = funds_of(state)
    assert funds.low
    assert explained(funds) == (
        f"only {money_text(funds.free)} is free: {money_text(funds.in_positions)} in 1 open position; "
        "positions release what they sell or pay when they close"
    )
    rig.resolve(Side.UP)
    funds = funds_of(state)
    assert explained(funds) == (
        f"only {money_text(funds.free)} is free: 57.000000 in decided markets that are not redeemed; "
        "`polyhost redeem` releases 57.000000"
    )


def test_set_04_low_begins_just_under_ten() -> None:
    for cash, low in ((LOW, False), (LOW - 1, True)):
        rig = Rig(cash=money_text(cash))
        assert funds_of(rig.kernel.state).low is low
    assert explained(funds_of(rig.kernel.state)) == (
        "only 9.999999 is free: nothing is tied up, the account needs a deposit"
    )


def test_set_04_pairs_that_can_be_merged_are_told_with_the_command() -> None:
    rig = opened()
    rig.enter()
    rig.book("0.58/0.60")
    rig.enter(Side.DOWN)
    sizes = [p.inventory for p in rig.kernel.state.positions.values()]
    (merge,) = [release for release in funds_of(rig.kernel.state).releases if release.command == "polyhost merge"]
    assert merge.amount == min(sizes) > 0


def test_set_01_what_a_redeem_released_is_told() -> None:
    rig = opened()
    rig.enter()
    rig.resolve(Side.UP)
    assert notices(rig)[-1].endswith(", 57.000000 to be redeemed")
    rig.do(Operator("redeem", "", "me"))
    free = rig.kernel.state.balance("free")
    rig.do(ActionAnswered("a00001", "done", "", "0xt"))
    assert notices(rig)[-1] == (
        f"{rig.market.slug}: redeem a00001 (57.000000) is done: 57.000000 released, "
        f"{money_text(free + 57_000_000)} free"
    )
