"""The kill switch: by command, signal or file; without a host; and when the host is half-broken (ORD-17)."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polyhost.configuration import load_configuration
from polyhost.journal import JournalError
from polyhost.kernel.state import folding
from polyhost.model.events import SweepDone
from polyhost.model.records import FillBooked, OperatorSaid, OrderIntended, Record
from polyhost.model.words import Action, Side
from polyhost.service.account import AccountRun
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import throwaway_key
from polyhost.service.operator_box import FOLDER, KILL_FILE, waiting
from polyhost.service.session import Session
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway

from .patient_host import be_patient
from .service_runs import Exchange, Started, command, eager_configuration, exchange, records, report, wait_for

SPEED = 20
"""Slow enough that a window outlives what a busy machine needs to start a command."""
SPEEDS = (20, 10, 5)
"""A machine that is busy elsewhere can let a window end between two steps of the story: then they are told again, with
more time."""
SEALED_SPEEDS = SPEEDS * 3
"""The exit that rests may be filled by the market before the kill is heard, at any speed: then it is told again."""
WITHIN_S = 240.0
LEFT_MS = 80_000
"""Of the window, market ms, when the journal fails: the run must not end by itself before it is killed."""
SELLABLE_MS = 30_000
"""Of the window, market ms, when the host hears of the kill: less is no time to sell in."""


class Sealed(NamedTuple):
    """A run whose journal failed while it held a position, and that was killed then."""

    summary: dict[str, Any]
    records: list[Record]
    sealed_at: int
    """The last record of the journal itself."""
    killed: bool

    @property
    def held(self) -> bool:
        """The host heard of the kill while it had shares to sell and time to sell them, and its exit did not do it."""
        before = {record.draft.ref for record in self.records[: self.sealed_at] if isinstance(record, OrderIntended)}
        for number, (record, state) in enumerate(folding(self.records)):
            if number >= self.sealed_at and isinstance(record, OperatorSaid) and record.word == "kill":
                rest = [each for each in self.records[number:] if isinstance(each, FillBooked)]
                return not any(fill.ref in before for fill in rest) and any(
                    position.size > 0
                    and state.markets[position.condition_id].market.end - record.at > SELLABLE_MS
                    for position in state.positions.values()
                )
        return False


class Story(NamedTuple):
    refused: Started
    killed: dict[str, Any]
    resting: int
    """Orders at the venue after the host died, and …"""
    left: int
    """… after the kill without a host."""
    signalled: Started
    sealed: Sealed


def at_the_venue(served: Exchange) -> int:
    async def ask() -> int:
        gateway = PolymarketGateway(endpoints_at(served.url), throwaway_key(1, "main"), selftest=False)
        await gateway.connect()
        try:
            swept = await gateway.sweep("", 0)
            assert isinstance(swept, SweepDone)
            return len(swept.orders)
        finally:
            await gateway.close()

    return asyncio.run(ask())


async def _until(true: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not true():
            await asyncio.sleep(0.01)


async def _seal_and_kill(session: Session) -> tuple[dict[str, Any], int]:
    run = asyncio.create_task(session.run())
    (account,) = session.accounts
    try:
        await _until(lambda: run.done() or (hasattr(account, "engine") and _holds(account)))
        journal: Any = account.engine.journal

        def full(*args: object) -> int:
            raise JournalError(journal.path, "the disk is full", "Free space")

        journal._store.commit = full
        await _until(lambda: run.done() or account.engine.sealed is not None)
        sealed_at = journal.durable_seq
        by_hand = account.folder.path / FOLDER / KILL_FILE
        by_hand.parent.mkdir(exist_ok=True)
        by_hand.write_text("flatten", encoding="utf-8")
        return await run, sealed_at
    finally:
        run.cancel()


def _holds(account: AccountRun) -> bool:
    """Shares with their exit resting that no plugin sells soon (a sealed run that is flat ends by itself)."""
    state, now = account.kernel.state, account.engine.clock.now()
    return any(
        order.draft.action is Action.SELL and order.slot.side is Side.DOWN and order.present and order.open
        and state.markets[order.slot.condition_id].market.end - now > LEFT_MS
        for order in state.orders.values()
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("kill")
    data = folder / "data"
    config = eager_configuration(folder, data, "[plugins.stop_loss]\nenabled = false\n")
    with exchange(folder, config, SPEED) as served:
        there = ("-c", config, "--exchange", served.url)
        for speed in SPEEDS:
            if served.speed != speed:
                served.goes_on(speed)
            with Started("run", *there, cwd=folder) as host:
                # What is said is the intention; the order is at the venue a moment later.
                wait_for(lambda: at_the_venue(served) > 0, WITHIN_S)
                host.stop(signal.SIGKILL)
            served.goes_on(1)
            resting = at_the_venue(served)
            if resting:
                break
        refused = command("kill", "-c", config, cwd=folder)
        config.write_text(config.read_text() + f'[venue]\nurl = "{served.url}"\n')
        killed = report(command("kill", "-c", config, "--json", cwd=folder))
        left = at_the_venue(served)
        served.goes_on(SPEED)
        with Started("run", "-c", config, "--json", cwd=folder) as signalled:
            signalled.says("loop recorder watched")
            signalled.stop(signal.SIGUSR1)
        command("resume", "-c", config, cwd=folder)
        loaded = load_configuration(config)
        for speed in SEALED_SPEEDS:
            if served.speed != speed:
                served.goes_on(speed)
            with DataFolder(data) as place, pytest.MonkeyPatch.context() as patch:
                be_patient(patch.setattr)
                session = Session(loaded, place)
                summary, sealed_at = asyncio.run(_seal_and_kill(session))
            sealed = Sealed(summary, records(data), sealed_at, session.accounts[0].killed)
            if sealed.held:
                break
            command("resume", "-c", config, cwd=folder)
        yield Story(refused, killed, resting, left, signalled, sealed)


def test_ord_17_without_a_host_the_orders_are_cancelled_at_the_exchange_that_is_configured(story: Story) -> None:
    assert story.resting > 0
    assert story.left == 0
    assert len(story.killed["cancelled"]) == story.resting
    assert story.killed["failed"] == []
    assert any("position" in line for line in story.killed["left"]), "what nobody sells is named"


def test_ord_17_without_a_host_and_an_exchange_it_is_said_plainly(story: Story) -> None:
    assert story.refused.process.returncode == 2
    assert "no host runs" in story.refused.told()


def test_ord_17_a_signal_kills(story: Story) -> None:
    assert story.signalled.process.returncode == 4
    summary = json.loads(story.signalled.out[0])
    assert summary["wall"]["killed"] is True
    assert summary["orphans"] == 0
    assert [line for line in summary["wall"]["left_open"] if line.startswith("order ")] == []


def test_ord_17_a_kill_of_a_host_whose_journal_failed_sells_and_ends_and_loses_nothing(story: Story) -> None:
    sealed = story.sealed
    assert sealed.held, f"in {len(SEALED_SPEEDS)} runs nothing was held when the kill was heard"
    assert sealed.killed
    assert sealed.summary["invariants"]["broken_names"] == ["journal_failed"], "the fold with the emergency file is it"
    after = [record for record in sealed.records[sealed.sealed_at :] if isinstance(record, OrderIntended)]
    assert after
    assert {record.draft.action for record in after} == {Action.SELL}
    assert sealed.summary["positions_open"] == 0 or all("held" in line for line in sealed.summary["wall"]["left_open"])


def test_ord_17_a_kill_by_hand_comes_first_and_needs_no_format(tmp_path: Path) -> None:
    box = tmp_path / FOLDER
    box.mkdir()
    (box / "1.json").write_text('{"event":"operator","word":"pause"}')
    (box / KILL_FILE).write_bytes(b"\xff all")
    assert [(word.word, word.target, word.flatten) for _, word in waiting(tmp_path)] == [
        ("kill", "all", False), ("pause", "", False),
    ]
