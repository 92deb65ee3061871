"""Liquidity rewards in the books (REW-01, PER-04): cash with a cause, booked once however often it is told."""

from __future__ import annotations

from polyhost.kernel.state import fold
from polyhost.lab.summary import Extras, summary
from polyhost.model.events import BalanceSeen, RewardPaid
from polyhost.model.money import micros
from polyhost.model.records import LedgerPosted, NoticeRaised

from .rig import Rig


def test_rew_01_a_payout_is_cash_booked_once_with_its_cause() -> None:
    rig = Rig()
    paid = RewardPaid("0xday", micros("3.25"), rig.now + 1_000)
    rig.wait(1_000)
    for _ in range(3):
        rig.do(paid)
    (posted,) = [record for record in rig.records if isinstance(record, LedgerPosted) and record.cause == "reward"]
    assert posted.ref == "0xday"
    assert rig.cash() == micros("1003.25")
    assert [record.text for record in rig.records if isinstance(record, NoticeRaised)] == [
        "The venue paid 3.250000 of liquidity rewards"
    ]  # fmt: skip
    told = summary(rig.kernel.state, Extras())
    assert (told["cash_start"], told["rewards"], told["cash_end"]) == ("1000.000000", "3.250000", "1003.250000")
    assert told["pnl"]["central"] == "0.000000", "a reward is no profit of trading"


def test_rew_01_a_payout_is_not_booked_again_after_a_restart() -> None:
    rig = Rig()
    paid = RewardPaid("0xday", micros("3.25"), rig.now + 1)
    rig.wait(1)
    rig.do(paid)
    state = fold(rig.records)
    assert state == rig.kernel.state
    again = Rig(follow=False)
    again.kernel.restore(rig.records)
    again.begin()
    again.do(paid)
    assert again.cash() == micros("1003.25")


def test_rew_01_what_was_paid_before_the_books_began_is_in_the_first_balance() -> None:
    rig = Rig()
    rig.do(RewardPaid("0xbefore", micros("3.25"), rig.now - 1))
    assert rig.cash() == micros("1000")
    blank = Rig(follow=False)
    blank.do(RewardPaid("0xearly", micros("3.25"), blank.now))
    assert blank.cash() == 0, "nothing is known yet: the first balance will have it"
    blank.do(BalanceSeen(micros("3.25"), True))
    assert blank.cash() == micros("3.25")
