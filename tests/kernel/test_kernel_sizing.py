"""ENT-04: a stake is reduced to what limits, funds and depth allow, or skipped below the minimum, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import Prepare, Tell
from polyhost.model.events import BalanceSeen, RunBegan
from polyhost.model.money import micros, money_text, ticks
from polyhost.model.proposals import Enter
from polyhost.model.view import Funds
from polyhost.model.words import Side
from polyhost.settings import Configuration

from .rig import START, Rig, none, only

WISH = Enter(Side.UP, ticks("0.43"), "test")


def wished(stake: str = "25", size: str = "1000", **options: Any) -> tuple[Rig, OrderEntry | None]:
    """An entry at market of so much, in a book with so many shares at 0.42."""
    rig = Rig(**options)
    rig.to(START + 60_000)
    rig.book("0.40/0.42", size)
    rig.answer(WISH, stake=stake)
    return rig, next(iter(rig.kernel.state.orders.values()), None)


def gate(rig: Rig) -> str:
    (failed,) = (name for name in rig.kernel.gates(rig.market.condition_id) if name != "no_book")
    return failed


def settings(**limits: str) -> dict[str, Any]:
    return {"settings": {"limits": limits}}


def test_ent_04_a_stake_that_fits_is_not_limited() -> None:
    _, order = wished()
    assert order is not None
    assert (order.why["limited"], order.why["stake"]) == ("", "25.000000")
    assert 0 < micros("25") - order.reserve < micros("0.5"), "floored to a legal size"


@pytest.mark.parametrize(
    ("options", "limited"),
    [
        (settings(window="10"), "limit_window"),
        (settings(symbol="10"), "limit_symbol"),
        (settings(total="10"), "limit_total"),
        ({"cash": "10"}, "funds"),
    ],
)
def test_ent_04_each_limit_reduces_the_stake_and_is_named(options: dict[str, Any], limited: str) -> None:
    _, order = wished(**options)
    assert order is not None
    assert (order.why["limited"], order.why["stake"]) == (limited, "10.000000")
    assert order.reserve <= micros("10")


@pytest.mark.parametrize(
    ("options", "failed"),
    [(settings(window="2.2"), "minimum"), (settings(total="0"), "limit_total"), ({"cash": "2.2"}, "minimum")],
)
def test_ent_04_below_the_minimum_it_is_skipped_with_the_reason(options: dict[str, Any], failed: str) -> None:
    """5 shares at 0.43 cost 2.24 with the fee."""
    rig, order = wished(**options)
    assert order is None
    assert gate(rig) == failed


def test_ent_04_five_shares_and_their_fee_are_just_enough() -> None:
    _, order = wished(cash="2.24")
    assert order is not None
    assert order.draft.size == micros("5")


def test_ent_04_depth_reduces_the_size_and_is_named() -> None:
    _, order = wished(size="30")
    assert order is not None
    assert order.draft.size == micros("30")
    assert order.why["limited"].startswith("depth")


def test_ent_04_less_depth_than_the_minimum_is_skipped_with_the_reason() -> None:
    rig, order = wished(size="4.99")
    assert order is None
    assert gate(rig) == "depth"


def test_ent_04_without_a_size_nothing_is_entered() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    none(rig.answer(WISH, stake=None), Prepare)
    assert gate(rig) == "size"


def test_ent_03_the_timer_tells_the_funds_and_none_before_they_are_known() -> None:
    kernel = Kernel(Configuration(), "main", ("on_timer",))
    kernel.handle(RunBegan("run-1", "0.1.0", "sim", "hash", "main"), START, START)

    def told(now: int) -> object:
        return only(kernel.turn(now, now).commands, Tell).what

    assert told(START + 1_000) is None
    kernel.handle(BalanceSeen(micros("9.5"), True), START + 1_100, START + 1_100)
    funds = told(START + 2_000)
    assert isinstance(funds, Funds)
    assert (money_text(funds.free), funds.equity) == ("9.500000", micros("9.5"))
