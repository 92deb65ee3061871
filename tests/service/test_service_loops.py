"""A whole host whose loops are killed one after the other: each is told, blocks entries by name, lives again, and the
host trades on (ORD-15)."""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple

import pytest
from loguru import logger

from polyhost.configuration import load_configuration
from polyhost.model.events import LoopChanged
from polyhost.model.records import NoticeRaised, OrderIntended, Record
from polyhost.model.words import Action
from polyhost.service import account_loops, live_file
from polyhost.service.account import AccountRun
from polyhost.service.folder import DataFolder
from polyhost.service.session import Session
from polyhost.service.status import described, look
from polyhost.service.supervision import TaskLoop

from .service_runs import eager_configuration, records

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""The journal's thread is killed on purpose."""
WITHIN_S = 45.0
TASKS = (
    "kernel", "clock", "operator", "control socket", "market stream", "user stream", "book witness", "reference prices",
    "spot prices", "discovery", "venue notices", "sign of life", "status file", "journal check",
)
WATCHED = ("exits", "journal", "gateway", "reconciliation", "outbox", "analysis", "recorder")
SAFETY = {
    "kernel", "clock", "operator", "market stream", "user stream", "book witness", "exits", "journal", "gateway",
    "reconciliation",
}


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


async def _until(account: AccountRun, name: str, *, alive: bool) -> None:
    async with asyncio.timeout(WITHIN_S):
        while account.supervisor.all_loops()[name].alive is not alive:
            # Its death may last two turns of the event loop only: none is left out.
            await asyncio.sleep(0.005 if alive else 0)


def _kill(account: AccountRun, name: str) -> None:
    """End the loop as a bug would: its task is cancelled, its thread dies with its work in hand."""
    loop = account.supervisor.all_loops()[name]
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


def _published(account: AccountRun) -> bool:
    """The figures for ``status`` show the last loop that was killed as started again and alive."""
    live = live_file.read(account.folder.path)
    figures = {} if live is None else live.loops.get("journal", {})
    return live is not None and live.ready and figures["restarts"] == 1


def _buys(account: AccountRun) -> int:
    return sum(order.draft.action is Action.BUY for order in account.kernel.state.orders.values())


async def _story(session: Session) -> tuple[dict[str, Killed], dict[str, Any], dict[str, Any], set[str]]:
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
        for name in (*TASKS, "journal"):
            _kill(account, name)
            await _until(account, name, alive=False)
            blocks = [block for block, _ in account.kernel.blocks() if block.startswith("loop:")]
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
        session.stop("the test has seen enough")
        return killed, await run, loops, set(account.supervisor.all_loops())
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
            patch.setattr(account_loops, "ALIVE_EVERY_S", 1.0)
            killed, summary, loops, supervised = asyncio.run(_story(Session(loaded, folder)))
    finally:
        logger.remove(sink)
    return Story(killed, summary, records(base / "data"), loops, supervised, said)


def test_ord_15_every_loop_of_the_host_is_supervised(story: Story) -> None:
    assert story.supervised == {*TASKS, *WATCHED}


@pytest.mark.parametrize("name", [*TASKS, "journal"])
def test_ord_15_a_killed_loop_blocks_entries_by_name_if_it_is_a_safety_loop_and_lives_again(
    story: Story, name: str
) -> None:
    assert story.killed[name].blocks == ([f"loop:{name}"] if name in SAFETY else [])
    told = [record.text for record in story.records if isinstance(record, NoticeRaised)]
    assert any(text.startswith(f"Loop {name} is not alive and is started again: ") for text in told)
    assert any(text.startswith(f"Loop {name} is alive again") for text in told)
    assert story.loops[name]["alive"]
    assert story.loops[name]["restarts"] == 1


def test_ord_15_after_all_of_them_the_host_enters_trades_and_accounts_for_everything(story: Story) -> None:
    last = max(killed.seq for killed in story.killed.values())
    after = [record for record in story.records[last:] if isinstance(record, OrderIntended)]
    assert [record for record in after if record.draft.action is Action.BUY]
    assert story.summary["invariants"]["broken_names"] == []
    assert story.summary["orphans"] == 0


def test_log_08_each_loop_says_its_start_and_one_line_a_minute_says_what_was_checked(story: Story) -> None:
    for name in TASKS:
        assert f"loop {name} started\n" in story.said
    for name in WATCHED:
        assert f"loop {name} watched\n" in story.said
    line = re.compile(
        r"alive: \d+ markets, \d+ positions, \d+ open orders, \d+ evaluations, worst timer lag \d+\.\d{3} s; "
        r"\d+ of 21 loops alive, \d+ restarts"
    )
    assert any(line.match(said) for said in story.said)


def test_log_03_once_a_minute_each_market_has_a_line_of_details(story: Story) -> None:
    time = r"(\d+:\d\d left|waits for its result|begins in \d+:\d\d|settled)"
    prices = r"UP 0\.\d+/0\.\d+, \d+\.\d s old"
    line = re.compile(rf"btc-updown-5m-\d+: {time}; {prices}")
    told = [said for said in story.said if line.match(said)]
    assert told
    assert any(re.search(r"; [\d.]+ (UP|DOWN) (covered|held|closing|open|settled)", said) for said in told)
    assert any("; open: exit o" in said for said in told)


def test_log_08_the_kinds_of_loops_have_their_figures(story: Story) -> None:
    for name, figures in story.loops.items():
        assert figures["safety"] is (name in SAFETY)
        assert figures["age_s"] <= figures["limit_s"]
