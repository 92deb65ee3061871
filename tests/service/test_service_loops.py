"""A whole host whose loops are killed one after the other: each is told, blocks entries by name, lives again, and the
host trades on (ORD-15)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import pytest
from loguru import logger
from prometheus_client.parser import text_string_to_metric_families

from polyhost.configuration import load_configuration
from polyhost.kernel.kernel import Kernel
from polyhost.model.events import LoopChanged
from polyhost.model.money import size_text
from polyhost.model.records import (
    CloseRecorded,
    FillBooked,
    MarketSettled,
    NoticeRaised,
    OrderIntended,
    Record,
)
from polyhost.model.words import Action, Purpose
from polyhost.service import account_loops, live_file
from polyhost.service.account import AccountRun
from polyhost.service.coverage import coverage
from polyhost.service.details import details
from polyhost.service.folder import DataFolder
from polyhost.service.health import watched
from polyhost.service.metric_samples import Samples
from polyhost.service.metric_table import BY_NAME, METRICS
from polyhost.service.metric_tally import Buckets
from polyhost.service.metrics import Metrics
from polyhost.service.session import Session
from polyhost.service.status import described, look
from polyhost.service.supervision import TaskLoop
from polyhost.settings import Configuration

from .patient_host import be_patient
from .service_runs import eager_configuration, records

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""The journal's thread is killed on purpose."""
WITHIN_S = 240.0
TASKS = (
    "kernel", "clock", "operator", "control socket", "market stream", "book witness", "spot prices", "discovery",
    "venue notices", "sign of life", "status file", "journal check", "metrics",
)
WATCHED = (
    "gateway process", "user stream", "reference prices", "exits", "journal", "gateway", "reconciliation", "outbox",
    "analysis", "recorder",
)
SAFETY = {
    "kernel", "clock", "operator", "gateway process", "market stream", "user stream", "book witness", "exits",
    "journal", "gateway", "reconciliation",
}
LIFE = re.compile(
    r"alive: \d+ markets, \d+ sim positions, \d+ open orders, \d+ evaluations, worst timer lag \d+\.\d{3} s; "
    r"\d+ of 23 loops alive, \d+ restarts"
)
"""The line of life, …"""
DETAILS = re.compile(
    r"btc-updown-5m-\d+: (\d+:\d\d left|waits for its result|begins in \d+:\d\d|settled); "
    r"UP 0\.\d+/0\.\d+, \d+\.\d s old"
)
"""… and that of a market."""
KILLED = (*TASKS, "gateway process", "journal")
"""The others have nothing of their own that could end."""


class Killed(NamedTuple):
    """What was seen of one killed loop."""

    blocks: list[str]
    """Names of what blocked entries right after it died."""
    seq: int
    """The journal's last record when it lived again."""


class Story(NamedTuple):
    killed: dict[str, Killed]
    summary: dict[str, Any]
    records: list[Record]
    loops: dict[str, Any]
    """What ``status --json`` said of the loops while the host ran."""
    supervised: set[str]
    said: list[str]
    """Lines of the log."""
    scraped: str
    """What ``/metrics`` gave while the host traded on."""
    ready: dict[str, Any]
    samples: Samples
    """The figures after its end."""
    lost: list[tuple[str, str]]
    """What blocked entries while there was no gateway process."""
    deaths: int
    """Gateway processes that were lost while they worked."""


async def _until(account: AccountRun, name: str, *, alive: bool) -> None:
    async with asyncio.timeout(WITHIN_S):
        while account.supervisor.all_loops()[name].alive is not alive:
            # Its death may last two turns of the event loop only: none is left out.
            await asyncio.sleep(0.005 if alive else 0)


def _kill(account: AccountRun, name: str) -> None:
    """End the loop as a bug would: its task is cancelled, its thread dies with its work in hand."""
    loop = account.supervisor.all_loops()[name]
    if name == "gateway process":
        _kill_worker(account)
        return
    if isinstance(loop, TaskLoop):
        assert loop.task is not None
        loop.task.cancel()
        return
    store: Any = account.engine.journal._store  # type: ignore[attr-defined]
    real = store.commit

    def commit(*args: object) -> int:
        store.commit = real
        raise SystemExit  # the one thing that a thread dies of without a word

    store.commit = commit
    account.engine.event(LoopChanged("test", False, "something to write", safety=False))


def _kill_worker(account: AccountRun) -> None:
    """kill -9 of the process that signs and sends. Its keeper is held up: however fast the machine, it is missed."""
    process = account.process
    assert process is not None
    assert process.pid is not None
    assert process.opened is not None
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(process.opened.pid, signal.SIGKILL)


def _go_on(account: AccountRun) -> None:
    """The keeper may go on, and forks the next worker."""
    assert account.process is not None
    assert account.process.pid is not None
    os.kill(account.process.pid, signal.SIGCONT)


def _published(account: AccountRun) -> bool:
    """The figures for ``status`` show the last loop that was killed as started again, and all of them as alive."""
    live = live_file.read(account.folder.path)
    if live is None or not live.ready or "journal" not in live.loops:
        return False
    return live.loops["journal"]["restarts"] >= 1 and all(figures["alive"] for figures in live.loops.values())


def _buys(account: AccountRun) -> int:
    return sum(order.draft.action is Action.BUY for order in account.kernel.state.orders.values())


async def _get(metrics: Metrics, path: str) -> str:
    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}{path}", timeout=WITHIN_S) as response:
            return str(response.read().decode())

    return await asyncio.to_thread(ask)


async def _ready(metrics: Metrics) -> dict[str, Any]:
    """What it says once it is ready: on a busy machine a stream may be late at any moment."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return dict(json.loads(await _get(metrics, "/ready")))
            except urllib.error.HTTPError as error:
                error.close()  # 503: not now
            await asyncio.sleep(0.05)


async def _story(session: Session, said: list[str]) -> Story:
    session.metrics = metrics = Metrics(session, port=0)
    ready = asyncio.Event()
    session.on_ready = lambda _: ready.set()
    run = asyncio.create_task(session.run())
    (account,) = session.accounts
    killed: dict[str, Killed] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            await ready.wait()
            while account.kernel.blocks():
                await asyncio.sleep(0.01)
        for name in KILLED:
            _kill(account, name)
            await _until(account, name, alive=False)
            blocks = [block for block, _ in account.kernel.blocks() if block.startswith("loop:")]
            if name == "gateway process":
                lost = account.kernel.blocks()
                _go_on(account)
            await _until(account, name, alive=True)
            killed[name] = Killed(blocks, account.engine.journal.last_seq)
        async with asyncio.timeout(WITHIN_S):
            while not _published(account):
                await asyncio.sleep(0.05)
        loops = described(look(account.folder.path))["loops"]
        entries = _buys(account)
        async with asyncio.timeout(2 * WITHIN_S):
            while _buys(account) == entries:
                await asyncio.sleep(0.05)
        async with asyncio.timeout(2 * WITHIN_S):
            while not any(order.slot.purpose is Purpose.EXIT for order in account.kernel.state.orders.values()):
                await asyncio.sleep(0.05)
        async with asyncio.timeout(WITHIN_S):
            while not metrics.page.samples["polyhost_tick_to_order_seconds"][("main",)].count:  # type: ignore[union-attr]
                await asyncio.sleep(0.05)
        async with asyncio.timeout(WITHIN_S):
            while not any(map(LIFE.match, said)) or not any(map(DETAILS.match, said)):
                await asyncio.sleep(0.05)
        scraped, said_ready = await _get(metrics, "/metrics"), await _ready(metrics)
        supervised = set(account.supervisor.all_loops())
        session.stop("the test has seen enough")
        summary = await run
        assert account.process is not None
        return Story(
            killed, summary, [], loops, supervised, [], scraped, said_ready, metrics._sampler.samples(), lost,
            account.process.deaths,
        )
    finally:
        run.cancel()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    base = tmp_path_factory.mktemp("loops")
    config = eager_configuration(base, base / "data")
    loaded = load_configuration(config, {"exchange.speed": 60.0})
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="DEBUG", diagnose=False)
    try:
        with DataFolder(base / "data") as folder, pytest.MonkeyPatch.context() as patch:
            be_patient(patch.setattr)
            patch.setattr(account_loops, "ALIVE_EVERY_S", 1.0)
            story = asyncio.run(_story(Session(loaded, folder), said))
    finally:
        logger.remove(sink)
    return story._replace(records=records(base / "data"), said=said)


def test_ord_15_every_loop_of_the_host_is_supervised(story: Story) -> None:
    assert story.supervised == {*TASKS, *WATCHED}


@pytest.mark.parametrize("name", KILLED)
def test_ord_15_a_killed_loop_blocks_entries_by_name_if_it_is_a_safety_loop_and_lives_again(
    story: Story, name: str
) -> None:
    assert story.killed[name].blocks == ([f"loop:{name}"] if name in SAFETY else [])
    told = [record.text for record in story.records if isinstance(record, NoticeRaised)]
    assert any(text.startswith(f"Loop {name} is not alive and is started again: ") for text in told)
    assert any(text.startswith(f"Loop {name} is alive again") for text in told)
    assert story.loops[name]["alive"]
    if name == "gateway process":
        assert story.loops[name]["restarts"] == 0, "that one comes back by itself"
    else:
        assert story.loops[name]["restarts"] >= 1, "it was killed once; a busy machine may do it again"


def test_ord_15_after_all_of_them_the_host_enters_trades_and_accounts_for_everything(story: Story) -> None:
    last = max(killed.seq for killed in story.killed.values())
    after = [record for record in story.records[last:] if isinstance(record, OrderIntended)]
    assert [record for record in after if record.draft.action is Action.BUY]
    assert story.summary["invariants"]["broken_names"] == []
    assert story.summary["orphans"] == 0


def test_log_08_each_loop_says_its_start_and_one_line_a_minute_says_what_was_checked(story: Story) -> None:
    assert story.deaths >= 1
    assert "user_stream" in dict(story.lost), "what happened meanwhile is unknown until all is compared"
    for name in TASKS:
        assert f"loop {name} started\n" in story.said
    for name in WATCHED:
        assert f"loop {name} watched\n" in story.said
    assert any(map(LIFE.match, story.said))


def test_log_03_once_a_minute_each_market_has_a_line_of_details(story: Story) -> None:
    assert any(map(DETAILS.match, story.said))


def test_log_03_the_details_name_positions_their_cover_and_open_orders(story: Story) -> None:
    """As they were when the first exit was intended."""
    kernel = Kernel(Configuration(), "main")
    for number, record in enumerate(story.records, 1):
        if isinstance(record, OrderIntended) and record.slot.purpose is Purpose.EXIT:
            kernel.restore(story.records[:number])
            break
    else:
        raise AssertionError("there was no exit")
    slot, ref, market = record.slot, record.draft.ref, kernel.state.markets[record.slot.condition_id]
    text = "; ".join(details(kernel, market, coverage(kernel), market.market.end - 61_000))
    position = kernel.state.position(slot.condition_id, slot.side)
    assert position is not None
    assert text.startswith(f"1:01 left; {size_text(position.size)} {slot.side.value} ")
    assert f"; open: exit {ref}" in text


def test_log_08_the_kinds_of_loops_have_their_figures(story: Story) -> None:
    for name, figures in story.loops.items():
        assert figures["safety"] is (name in SAFETY)
        assert figures["age_s"] >= 0
        assert figures["limit_s"] >= 0


# --- metrics ----------------------------------------------------------------------------------------------------------

MAY_LACK = {
    "polyhost_entries_blocked", "polyhost_rejects_total", "polyhost_pair_rollback_ratio", "polyhost_trade_success_ratio"
}
"""Metrics that have no row while there is nothing to say."""


def test_log_05_every_promised_metric_is_there_with_its_kind_meaning_and_labels(story: Story) -> None:
    families = {family.name: family for family in text_string_to_metric_families(story.scraped)}
    for metric in METRICS:
        family = families.pop(metric.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.kind.value, metric.meaning)
        assert family.samples or metric.name in MAY_LACK, metric.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} <= set(metric.all_labels), sample
            assert metric.of_process or sample.labels["account"] in ("main", ""), sample
            assert sample.value >= 0 or "pnl" in metric.name
    assert not families
    assert not re.search(r"o0000|0x[0-9a-f]{40}", story.scraped), "orders and markets are no labels"
    assert story.ready == {"ok": True, "why": "", "accounts": [{"name": "main", "ready": True, "why": ""}]}


def test_log_05_the_figures_are_what_the_journal_says(story: Story) -> None:
    def value(name: str, *labels: str) -> float:
        found = story.samples[name][("main", *labels)]
        return float(found.count if isinstance(found, Buckets) else found)

    told = watched(story.records, 0)
    assert value("polyhost_orders_total") == told.sent
    assert 0 < value("polyhost_tick_to_order_seconds") == value("polyhost_decision_to_order_seconds") <= told.sent
    assert value("polyhost_exit_latency_seconds") == len(told.latencies_s)
    settled = [record for record in story.records if isinstance(record, MarketSettled)]
    assert value("polyhost_end_to_resolved_seconds") == len(settled)
    pnl = sum(record.pnl for record in story.records if isinstance(record, CloseRecorded))
    assert value("polyhost_pnl_realised", "BTC") == pytest.approx(pnl / 1_000_000)
    fees = sum(record.fee for record in story.records if isinstance(record, FillBooked))
    assert value("polyhost_fees_total") == pytest.approx(fees / 1_000_000)
    assert (value("polyhost_orphans_total"), value("polyhost_unmanaged_expiries_total")) == (0, told.unmanaged)
    assert value("polyhost_comparisons_total", "extra") >= 1, "the run began with one"
    assert value("polyhost_disconnects_total", "market") >= 1, "its loop was killed"
    assert value("polyhost_loop_restarts_total", "metrics") >= 1
    assert value("polyhost_plugin_evaluations_total", "eager") > 0
    calls = {labels[1:] for labels in story.samples["polyhost_api_calls_total"]}
    assert {endpoint for endpoint, _ in calls} >= {"post", "gamma", "balance"}
    assert set(BY_NAME) == set(story.samples)
