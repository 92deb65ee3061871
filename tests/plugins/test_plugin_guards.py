"""The guards of entries, each threshold just inside and just outside (ENT-02, ENT-03)."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_builders import made, view
from pydantic import ValidationError

from polyhost import Bias, Enter, Estimate, Funds, Notice, Purpose, Side, Veto
from polyhost_plugins.low_balance_guard import LowBalanceGuard
from polyhost_plugins.underdog_guard import UnderdogGuard

UNIT = 1_000_000


def estimate(confidence: float, side: Side = Side.UP) -> Estimate:
    p_up = 0.5 + confidence / 2 if side is Side.UP else 0.5 - confidence / 2
    return Estimate(p_up, confidence, Bias(side.value))


def underdog(up: str, confidence: float | None, side: Side = Side.UP, **entry: Any) -> Veto | None:
    opinion = None if confidence is None else estimate(confidence, side)
    return made(UnderdogGuard).review(view(up=up), Enter(side, 5_000, **entry), opinion)


def funds(free: str) -> Funds:
    return Funds(round(float(free) * UNIT), 20 * UNIT, 30 * UNIT, 4 * UNIT)


def low_balance(free: str, purpose: Purpose = Purpose.ENTRY, stake: str = "25") -> Veto | None:
    entry = Enter(Side.UP, 5_000, purpose=purpose, stake=round(float(stake) * UNIT))
    return made(LowBalanceGuard).review(view(funds=funds(free)), entry)


# --- underdog_guard ---------------------------------------------------------------------------------------------------


def test_ent_02_an_underdog_needs_a_confidence_of_0_40() -> None:
    assert underdog("0.30/0.31", 0.40) is None
    veto = underdog("0.30/0.31", 0.399)
    assert veto is not None
    assert "0.305" in veto.reason
    assert "0.399" in veto.reason


@pytest.mark.parametrize(("up", "refused"), [("0.49/0.51", False), ("0.489/0.51", True), ("0.499/0.5009", True)])
def test_ent_02_a_side_priced_below_0_50_is_an_underdog(up: str, refused: bool) -> None:
    """Its midpoint, exactly: 0.49995 is below."""
    assert (underdog(up, 0.39) is not None) is refused


@pytest.mark.parametrize(("up", "refused"), [("/0.50", False), ("/0.49", True), ("0.50/", False), ("0.49/", True)])
def test_ent_02_where_a_side_of_the_book_is_empty_the_other_one_is_the_price(up: str, refused: bool) -> None:
    assert (underdog(up, 0.39) is not None) is refused


def test_ent_02_each_side_has_its_own_price_and_the_confidence_is_for_it() -> None:
    assert underdog("0.70/0.71", 0.39, Side.DOWN) is not None
    assert underdog("0.70/0.71", 0.40, Side.DOWN) is None
    assert underdog("0.70/0.71", 0.39, Side.UP) is None
    other = made(UnderdogGuard).review(view(up="0.30/0.31"), Enter(Side.UP, 3_200), estimate(0.90, Side.DOWN))
    assert other is not None, "confident of the other side"


def test_ent_02_an_underdog_without_an_estimate_is_refused() -> None:
    assert underdog("0.30/0.31", None) is not None
    assert underdog("0.60/0.61", None) is None


@pytest.mark.parametrize("purpose", list(Purpose))
def test_ent_02_only_bets_on_the_estimate_are_judged(purpose: Purpose) -> None:
    refused = underdog("0.30/0.31", 0.10, purpose=purpose) is not None
    assert refused is (purpose in (Purpose.ENTRY, Purpose.SCALE_IN))


# --- low_balance_guard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [Purpose.ENTRY, Purpose.GRID_LEVEL, Purpose.LEG])
def test_ent_03_below_1_00_nothing_is_entered(purpose: Purpose) -> None:
    assert low_balance("1.00", purpose) is None
    veto = low_balance("0.999999", purpose)
    assert veto is not None
    assert "0.999999" in veto.reason


def test_ent_03_a_hedge_has_the_hosts_own_rule() -> None:
    assert low_balance("0", Purpose.HEDGE) is None


def test_ent_03_a_scale_in_leaves_5_00_beyond_its_cost() -> None:
    assert low_balance("30", Purpose.SCALE_IN) is None
    assert low_balance("29.999999", Purpose.SCALE_IN) is not None
    assert low_balance("29.999999", Purpose.ENTRY) is None
    assert low_balance("0.5", Purpose.SCALE_IN, stake="0.1") is not None


def test_ent_03_one_warning_below_10_00_and_another_only_after_12_00() -> None:
    guard = made(LowBalanceGuard)

    def at(free: str) -> list[str]:
        return [f"{told.level}:{told.topic}" for told in guard.on_timer(funds(free))]

    assert at("10") == []
    assert at("9.999999") == ["warning:funds"]
    assert at("3") == [], "once"
    assert at("10.5") == [], "not yet enough"
    assert at("9") == [], "still the same low"
    assert at("12") == ["info:funds"]
    assert at("11.999999") == []
    assert at("9.9") == ["warning:funds"]


def test_ent_03_the_warning_says_where_the_money_is() -> None:
    (told,) = made(LowBalanceGuard).on_timer(funds("9.5"))
    assert isinstance(told, Notice)
    for part in ("9.500000", "20.000000", "30.000000", "4.000000", "10.000000"):
        assert part in told.text


def test_ent_03_before_the_balance_is_known_nothing_is_said() -> None:
    assert list(made(LowBalanceGuard).on_timer(None)) == []


def test_ent_03_a_warning_that_comes_again_too_early_is_refused() -> None:
    with pytest.raises(ValidationError, match="warn_again_from"):
        made(LowBalanceGuard, warn_below="10", warn_again_from="9")
    assert made(LowBalanceGuard, warn_below="10", warn_again_from="10").settings.warn_below == 10 * UNIT
