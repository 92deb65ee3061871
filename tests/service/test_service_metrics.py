"""Metrics: what is served, what health and readiness say, and that nothing of it touches trading (LOG-05)."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import State
from polyhost.model.commands import Post
from polyhost.model.events import LoopChanged
from polyhost.model.gateway import OrderDraft, OrderRequest, SignedFields
from polyhost.model.market import Market
from polyhost.model.records import (
    LedgerPosted,
    MarketAdded,
    MarketSettled,
    OrderIntended,
    OrderPrepared,
    Slot,
)
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Purpose, Side
from polyhost.service import metric_server, metric_table
from polyhost.service.folder import DataFolder
from polyhost.service.metric_samples import Health, Sampler
from polyhost.service.metric_server import LABELS_MAX, STALE_S, MetricServer, Page, bounded
from polyhost.service.metric_table import BY_NAME, METRICS, Kind
from polyhost.service.metric_tally import Buckets, Tally
from polyhost.service.metrics import Metrics
from polyhost.service.presence import Condition
from polyhost.service.session import Session
from polyhost.service.supervision import Supervisor

from .service_runs import configuration

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0
WELL = Condition("main", True, False, True, ())
MARKET = Market("btc-updown-5m-1800000000", "0x" + "ab" * 32, "1", "2", MarketMs(1_800_000_300_000), symbol="BTC")


# --- the table --------------------------------------------------------------------------------------------------------


def test_log_05_the_page_says_what_the_table_says() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == metric_table.page()


def test_log_05_names_are_prometheus_s_own_kind_and_no_label_is_an_order() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("polyhost_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.meaning
        assert not set(metric.labels) & {"order", "trade", "market", "window", "position", "le", "account"}
        if metric.name.removesuffix("_total").endswith("_seconds"):
            assert "seconds" in metric.unit
        if metric.kind is Kind.HISTOGRAM:
            assert not metric.labels


# --- the server -------------------------------------------------------------------------------------------------------


class Asked:
    """A server with a page of the test's own."""

    def __init__(self) -> None:
        self.page = Page()
        self.server = MetricServer(self.page, 0)

    def get(self, path: str, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        request = urllib.request.Request(url, headers={"Host": host}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def told(self, path: str) -> tuple[int, str]:
        status, text = self.get(path)
        found = json.loads(text)
        assert found["ok"] is (status == 200)
        return status, found["why"]


@pytest.fixture
def asked() -> Iterator[Asked]:
    found = Asked()
    try:
        yield found
    finally:
        found.server.close()


def healthy(**change: Any) -> Health:
    """Of a moment that is not over before it was asked for."""
    return structs.replace(Health(time.monotonic() + 3_600, "", {"main": ""}), **change)


def test_log_05_ready_and_health_turn_503_when_something_holds_and_200_again(asked: Asked) -> None:
    assert asked.told("/ready") == asked.told("/health") == (503, "nothing was collected yet")
    asked.page.health = healthy()
    assert asked.told("/ready") == asked.told("/health") == (200, "")
    asked.page.health = healthy(unready={"main": "", "b": "sealed: disk full"})
    assert asked.told("/ready") == (503, "b: sealed: disk full")
    assert asked.told("/health") == (200, ""), "a new process would find the same disk"
    asked.page.health = healthy(stuck="main kernel")
    assert asked.told("/ready") == asked.told("/health") == (503, "main kernel")
    asked.page.health = healthy(at=time.monotonic() - STALE_S - 1)
    status, why = asked.told("/health")
    assert (status, why.startswith("nothing was collected for ")) == (503, True)
    asked.page.health = healthy()
    assert asked.told("/ready") == (200, "")


def test_log_05_what_else_is_asked_is_refused(asked: Asked) -> None:
    assert asked.get("/nothing")[0] == 404
    assert asked.get("/metrics", method="POST")[0] == 405
    assert asked.get("/metrics", host="evil.example")[0] == 403
    assert asked.get("/metrics", host="localhost:1")[0] == 200


def test_log_05_a_histogram_is_served_with_cumulative_buckets(asked: Asked) -> None:
    buckets = Buckets((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        buckets.see(seconds)
    asked.page.samples = {"polyhost_tick_to_order_seconds": {("main",): buckets}}
    lines = asked.get("/metrics")[1].splitlines()
    name = "polyhost_tick_to_order_seconds"
    told = [line for line in lines if not line.startswith("#")]
    assert told == [
        f'{name}_bucket{{account="main",le="0.1"}} 2.0', f'{name}_bucket{{account="main",le="1.0"}} 3.0',
        f'{name}_bucket{{account="main",le="+Inf"}} 4.0', f'{name}_count{{account="main"}} 4.0',
        f'{name}_sum{{account="main"}} 7.65',
    ]


def test_log_05_labels_are_bounded_and_what_is_beyond_is_summed() -> None:
    values: dict[tuple[str, ...], float | Buckets] = {("main", f"r{number}"): 1.0 for number in range(LABELS_MAX + 7)}
    found = bounded(values | {("b", "x"): 2.0})
    assert len(found) == LABELS_MAX + 2
    assert (found["main", "other"], found["b", "other"]) == (7.0, 2.0)
    exact = dict(list(values.items())[:LABELS_MAX])
    assert bounded(exact) == exact


def test_log_05_without_its_library_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"pip install 'polyhost\[metrics\]'"):
        metric_server.library()


# --- the loop ---------------------------------------------------------------------------------------------------------


class Host:
    """Stands in for a session without accounts."""

    def __init__(self) -> None:
        self.run_id = "run"
        self.accounts: list[Any] = []
        self.said = [WELL]

    def conditions(self) -> list[Condition]:
        return self.said


class Known:
    """An account that is only named."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ([WELL], ""),
        ([structs.replace(WELL, begun=False)], "it is starting"),
        ([structs.replace(WELL, stopping=True)], "it is stopping"),
        ([structs.replace(WELL, ready=False, dead=("exits", "kernel"))], "not alive: exits, kernel"),
        ([structs.replace(WELL, ready=False, sealed="disk full")], "sealed: disk full"),
        ([], "it failed and ended"),
    ],
)
def test_log_05_an_account_is_ready_or_says_why_not(conditions: list[Condition], why: str) -> None:
    host = Host()
    host.accounts, host.said = [Known("main")], conditions
    assert Sampler(host).health().unready == {"main": why}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not true():
            await asyncio.sleep(0.005)


def test_ord_15_log_05_a_port_that_is_taken_is_told_and_served_when_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop fails, is told, and is started again until it can listen; it is no safety loop."""
    told: list[LoopChanged] = []

    async def story(port: int, taken: socket.socket) -> bool:
        supervisor = Supervisor(told.append)
        metrics = Metrics(Host(), port)
        monkeypatch.setattr(metrics._sampler, "samples", dict)
        metrics.begin(supervisor)
        watching = asyncio.create_task(supervisor.run())
        try:
            await until(lambda: bool(told))
            assert supervisor.safe()
            taken.close()
            await until(lambda: metrics.page.health is not None)
            return True
        finally:
            await supervisor.close()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert asyncio.run(story(taken.getsockname()[1], taken))
    assert (told[0].name, told[0].alive, told[0].safety) == ("metrics", False, False)
    assert "cannot be served: Address already in use; name one that is free" in told[0].reason


def test_log_05_metrics_are_off_unless_a_port_is_set(tmp_path: Path) -> None:
    config = configuration(tmp_path, tmp_path / "data")
    with DataFolder(tmp_path / "data") as folder:
        assert Session(load_configuration(config, {}), folder).metrics is None
        found = Session(load_configuration(config, {"metrics.port": 9464}), folder).metrics
    assert found is not None
    assert found.port == 9464


# --- counting ---------------------------------------------------------------------------------------------------------


def order(ref: str, book_age_ms: int) -> tuple[OrderIntended, OrderPrepared, Post]:
    draft = OrderDraft(ref, "1", Action.BUY, OrderType.FAK, 5_000, 10_000_000, 100, False)
    fields = SignedFields(1, "0x0", "0x0", "1", 1, 1, Action.BUY, 0, 1_800_000_000_000, "0x0", "0x0")
    request = OrderRequest("0x" + ref, fields, "0x", OrderType.FAK, False, 0, "k", False)
    slot = Slot(MARKET.condition_id, Side.UP, Purpose.ENTRY)
    at = 1_800_000_000_000
    intended = OrderIntended(at, slot, draft, 0, {"book_age_ms": str(book_age_ms)} if book_age_ms >= 0 else {})
    return intended, OrderPrepared(at, ref, request), Post(request)


def seconds(buckets: Buckets) -> float:
    return round(buckets.sum, 6)


def test_log_05_tick_to_order_is_the_age_of_the_book_and_what_came_after_the_decision() -> None:
    """600 market ms at speed 60 are 10 ms; the order left 20 ms after its decision."""
    tally, state = Tally(), State()
    first, second = order("o000001", 600), order("o000002", -1)
    noted: list[Any] = [
        (5.0, [first[0]]), (5.005, [second[0]]), (5.015, [first[1], second[1]]), (5.02, [first[2], second[2]]),
    ]  # fmt: skip
    tally.see(noted, state, lambda ms: ms / 60_000)
    assert tally.tick_to_order.count == tally.decision_to_order.count == 2
    assert seconds(tally.decision_to_order) == 0.035
    assert seconds(tally.tick_to_order) == 0.045
    tally.see([(9.0, [first[2]])], state, lambda ms: ms / 60_000)
    assert tally.tick_to_order.count == 2, "the same order, posted again, is no new decision"


def test_log_05_end_to_resolved_to_released() -> None:
    tally, kernel = Tally(), Kernel(load_configuration(None, {}).configuration, "main")
    kernel.restore([MarketAdded(MARKET.end - 1, MARKET, True)])
    settled = MarketSettled(MARKET.end + 9_000, MARKET.condition_id, Side.UP, None, "clob")
    paid = LedgerPosted(MARKET.end + 40_000, "redeem", MARKET.condition_id, ())
    tally.see([(1.0, [settled]), (2.0, [paid]), (3.0, [paid])], kernel.state, lambda ms: ms / 1_000)
    assert (tally.end_to_resolved.count, seconds(tally.end_to_resolved)) == (1, 9.0)
    assert (tally.resolved_to_released.count, seconds(tally.resolved_to_released)) == (1, 31.0)


def test_log_05_what_waits_for_its_next_step_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.service.metric_tally.UNDER_WAY_MAX", 3)
    tally = Tally()
    for number in range(5):
        tally.see([(1.0, list(order(f"o{number}", 0)[:2]))], State(), lambda ms: 0.0)
    assert list(tally._decided) == ["o2", "o3", "o4"]
    tally.see([(2.0, [order("o0", 0)[2], order("o4", 0)[2]])], State(), lambda ms: 0.0)
    assert tally.tick_to_order.count == 1
