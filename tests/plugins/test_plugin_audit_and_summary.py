"""settlement_audit (SET-02) and daily_summary (NOT-01)."""

from __future__ import annotations

from typing import Any

import pytest

from polyhost import AuditTaken, DayFigures, Notice
from polyhost.extension.state import PluginState
from polyhost_plugins.daily_summary import DailySummary
from polyhost_plugins.settlement_audit import SettlementAudit

from .plugin_builders import made, market

MICRO = 1_000_000
TODAY = 20_559
"""2026-04-16, in days since 1970."""


def audited(ours: int, theirs: int, **settings: Any) -> list[Notice]:
    return list(made(SettlementAudit, **settings).on_audit(market(), AuditTaken(1, "0x01", ours, theirs)))


def summary(**settings: Any) -> DailySummary:
    plugin = made(DailySummary, **settings)
    state = PluginState("daily_summary")
    state.open()
    plugin.state = state
    return plugin


@pytest.mark.parametrize("sign", [1, -1])
def test_set_02_a_difference_above_ten_cents_is_told_with_both_figures(sign: int) -> None:
    assert audited(5 * MICRO, 5 * MICRO + sign * 100_000) == []
    (told,) = audited(5 * MICRO, 5 * MICRO + sign * 100_001)
    theirs = f"{5 + sign * 0.100001:.6f}"
    assert told.text == f"{market().slug}: our P&L is 5.000000, the venue's {theirs}: 0.100001 apart"
    assert (told.level, told.topic) == ("warning", "settlement")


def test_set_02_the_difference_is_a_setting() -> None:
    assert audited(0, MICRO, difference_max="1") == []
    assert len(audited(0, MICRO + 1, difference_max="1")) == 1


def test_not_01_a_day_is_told_once_however_often_the_host_says_so() -> None:
    plugin = summary()
    day = DayFigures(TODAY, 8, 6, 5, -1_500_000, 420_000, 250_000, 2, ("daily_loss", "drawdown"))
    (told,) = plugin.on_day(day)
    assert told.text == (
        "2026-04-16: P&L -1.50 after 0.42 of fees, rewards 0.25; 8 windows, 6 entries, 5 exits, 2 orders refused; "
        "breakers: daily_loss, drawdown"
    )
    assert (told.level, told.topic) == ("info", "summary")
    assert list(plugin.on_day(day)) == []
    again = summary()
    again.state = plugin.state  # after a restart
    assert list(again.on_day(day)) == []
    assert len(list(again.on_day(DayFigures(TODAY + 1)))) == 1


def test_not_01_what_the_builder_code_cost_is_told_where_it_cost_anything() -> None:
    day = DayFigures(TODAY, 8, 6, 5, -1_500_000, 420_000, builder_fees=104_000)
    (told,) = summary().on_day(day)
    assert "P&L -1.50 after 0.42 of fees (0.10 of them for the builder code), rewards 0.00" in told.text


@pytest.mark.parametrize("happened", [{}, {"windows": 1}, {"entries": 1}, {"exits": 1}, {"rejects": 1}])
def test_not_01_days_on_which_nothing_happened_can_be_left_out(happened: dict[str, int]) -> None:
    assert len(list(summary(empty_days=False).on_day(DayFigures(TODAY, **happened)))) == bool(happened)
    assert len(list(summary().on_day(DayFigures(TODAY, **happened)))) == 1
