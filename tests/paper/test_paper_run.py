"""A whole run in paper mode: another exchange plays the venue, and never hears of an order; the money is exact."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polyhost.configuration import load_configuration
from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.journal import read_journal
from polyhost.model.records import FillBooked, RunStarted
from polyhost.service import status, why
from polyhost.service.folder import DataFolder
from polyhost.service.session import Session

WINDOWS = 2
SPEED = 300
SETTINGS = """\
plugin_paths = ["{plugins}/eager.py"]
[host]
data_dir = "{data}"
mode = "paper"
[markets]
symbols = ["BTC"]
durations = ["5m"]
[venue]
url = "{url}"
[paper]
cash = "500"
[plugins.eager]
trusted = true
[plugins.entry_policy]
enabled = false
[plugins.reversal]
enabled = false
[plugins.scale_in]
enabled = false
[plugins.reward_optimizer]
enabled = false
[plugins.binance_momentum]
enabled = false
[plugins.polymarket_momentum]
enabled = false
[plugins.indicators]
enabled = false
[plugins.order_flow]
enabled = false
[plugins.divergence]
enabled = false
[plugins.bayesian]
enabled = false
[evaluation]
cadence_ms = 5000
[breakers]
drawdown = 1.0
exit_failures = 1000
disconnects_hour = 1000
emergency_stops_hour = 1000
"""


class Ran(NamedTuple):
    data: Path
    summary: dict[str, Any]
    venue_orders: int
    venue_trades: int


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("paper")
    return asyncio.run(_run(folder))


async def _run(folder: Path) -> Ran:
    world = WorldSettings(symbols=("BTC",), durations_s=(300,), density=0.6)
    async with running(ServerSettings(world=world), seed=3, speed=SPEED) as venue:
        config = folder / "paper.toml"
        plugins = Path(__file__).parents[1] / "service"
        config.write_text(SETTINGS.format(data=folder / "data", url=venue.url, plugins=plugins))
        loaded = load_configuration(config, env={})
        with DataFolder(folder / "data") as data:
            summary = await Session(loaded, data, windows=WINDOWS).run()
        state = venue.engine.world.exchange.save()
        keyed = [order for order in state["orders"] if order["owner"]]
        return Ran(folder / "data", summary, len(keyed), len(state["trades"]))


def test_ops_06_no_order_of_a_paper_account_reaches_the_venue(ran: Ran) -> None:
    assert (ran.venue_orders, ran.venue_trades) == (0, 0)
    assert ran.summary["fills"] >= 2


def test_ops_06_the_paper_account_is_exact_to_the_micro_unit(ran: Ran) -> None:
    summary = ran.summary
    assert summary["invariants"]["broken_names"] == []
    assert summary["cash_start"] == "500.000000"
    assert Decimal(summary["cash_start"]) + Decimal(summary["pnl"]["central"]) + Decimal(summary["rewards"]) == Decimal(
        summary["cash_end"]
    )
    assert (summary["orphans"], summary["positions_open"]) == (0, 0)


def test_ops_06_windows_settle_by_the_venue_s_result_and_why_and_status_tell_of_them(ran: Ran) -> None:
    records = [record for _, record in read_journal(ran.data / "journal.db")]
    assert next(record for record in records if isinstance(record, RunStarted)).mode == "paper"
    decided = [row for row in ran.summary["by_window"] if row["outcome"] is not None and row["entries"]]
    assert len(decided) >= WINDOWS
    fill = next(record for record in records if isinstance(record, FillBooked))
    told = "\n".join(why.lines(why.order(ran.data, fill.ref)))
    assert "paper" in told
    assert "eager" in told
    shown = status.described(status.look(ran.data))
    assert Decimal(shown["cash"]["free"]) + Decimal(shown["cash"]["unredeemed"]) == Decimal(ran.summary["cash_end"])
